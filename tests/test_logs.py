"""What commands printed, and spoolq's own lines."""

import errno
import io
import json
import logging
import os
import subprocess
import sys

import pytest

from spoolq import instants, logs
from spoolq.logs import LogName
from spoolq.names import Name
from tests import given
from tests.conftest import environment

STAMP = "20261124T020646123456Z"
CLAIM = Name(STAMP, 5, 2, "nightly", "web1-4121-x7f3", "0")
NAME = LogName("nightly", 2, STAMP)


@pytest.fixture
def directory(spool):
    return spool.dir("logs")


def put(directory, name, data):
    directory.write(str(name), data, sync=False)


def test_a_log_is_named_after_the_run():
    assert logs.log_name(CLAIM) == NAME
    assert str(NAME) == f"nightly.a2.{STAMP}.log"


def test_a_takeover_does_not_change_the_name_of_the_log():
    assert logs.log_name(CLAIM._replace(worker="other-1-abc", slot="7")) == NAME


def test_the_name_of_a_log_says_whose_it_is():
    assert logs.parse(str(NAME)) == NAME


@pytest.mark.parametrize(
    "filename", ["", "x.log", f"../x.a1.{STAMP}.log", f"-x.a1.{STAMP}.log", f"x.a1.{STAMP}.log\n"]
)
def test_another_file_is_no_log(filename):
    assert logs.parse(filename) is None


def test_the_logs_of_a_job_are_its_own_the_oldest_first(directory):
    late = LogName("nightly", 1, "20270101T000000000000Z")
    for name in (late, NAME, LogName("nightly2", 1, STAMP), "nightly.a1.notes", "README"):
        put(directory, name, b"x")
    assert logs.of_job(directory, "nightly") == [NAME, late]
    assert logs.of_job(directory, "night") == []


def test_a_run_that_printed_nothing_leaves_no_log(directory):
    descriptor = directory.create(str(NAME))
    logs.close_log(directory, NAME, descriptor)
    assert directory.list() == []
    with pytest.raises(OSError):
        os.fstat(descriptor)


def test_a_run_that_printed_leaves_its_log(directory):
    descriptor = directory.create(str(NAME))
    os.write(descriptor, b"hello\n")
    logs.close_log(directory, NAME, descriptor)
    assert logs.tail(directory, NAME, 100) == "hello\n"


def test_a_silent_log_that_somebody_removed_is_no_error(directory):
    descriptor = directory.create(str(NAME))
    directory.unlink(str(NAME))
    logs.close_log(directory, NAME, descriptor)


def test_the_tail_is_the_last_bytes_whatever_they_are(directory):
    put(directory, NAME, b"0123456789\xff\0\xc3\xa9")
    assert logs.tail(directory, NAME, 5) == "9\ufffd\ufffdé"
    assert logs.tail(directory, NAME, 1) == "\ufffd"
    assert logs.tail(directory, NAME, 1000).startswith("0123")


def test_the_tail_of_no_log_is_empty(directory):
    assert logs.tail(directory, NAME, 100) == ""


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no FIFOs")
def test_what_took_the_place_of_a_log_is_not_read(directory):
    os.mkfifo(os.path.join(directory.path, str(NAME)))
    assert logs.tail(directory, NAME, 100) == ""


@pytest.fixture
def own_lines():
    return io.StringIO()  # conftest.py takes back what `configure` does


def test_a_line_is_time_level_and_text(own_lines):
    logs.configure(own_lines)
    logs.logger.info("%s %s", "k3v9", "completed")
    time, level, text = own_lines.getvalue().rstrip("\n").split(maxsplit=1)[1].split(maxsplit=2)
    assert (level, text) == ("INFO", "k3v9 completed")
    assert time[2] == ":"


def test_a_hostile_name_stays_on_its_line(own_lines):
    logs.configure(own_lines)
    logs.logger.warning("a\x1b[31mb\nc")
    assert own_lines.getvalue().count("\n") == 1
    assert r"a\x1b[31mb\nc" in own_lines.getvalue()


def test_a_hostile_name_in_an_error_moves_no_cursor(own_lines):
    logs.configure(own_lines)
    try:
        raise ValueError("a\x1b[31mb")
    except ValueError:
        logs.logger.exception("it broke")
    assert "\x1b" not in own_lines.getvalue()
    assert "Traceback" in own_lines.getvalue()
    assert own_lines.getvalue().count("\n") > 3


def test_details_are_shown_on_request_alone(own_lines):
    logs.configure(own_lines)
    logs.logger.debug("a detail")
    assert own_lines.getvalue() == ""
    logs.configure(own_lines, verbose=True)
    logs.logger.debug("a detail")
    assert own_lines.getvalue().count("a detail") == 1


def test_configuring_twice_prints_once(own_lines):
    logs.configure(own_lines)
    logs.configure(own_lines)
    logs.logger.info("once")
    assert own_lines.getvalue().count("once") == 1
    assert logging.getLogger("spoolq") is logs.logger


def test_a_line_for_programs_is_an_object_that_says_of_a_run_what_became_of_it(own_lines):
    logs.configure(own_lines, as_json=True)
    logs.logger.info("%s completed", CLAIM.id, extra=logs.about(CLAIM, "completed"))
    line = json.loads(own_lines.getvalue())
    assert instants.from_rfc3339(line.pop("time"))
    assert line == {
        "level": "info",
        "action": "completed",
        "job": "nightly",
        "attempt": 2,
        "message": "nightly completed",
    }


@pytest.mark.parametrize("as_json", [False, True])
def test_what_became_of_a_run_is_told_as_by_the_library(own_lines, as_json):
    logs.configure(own_lines, as_json=as_json)
    logs.tell(CLAIM, "completed", "nightly completed: a\x1b[31mb\nc")
    logs.logger.info("nightly completed: a\x1b[31mb\nc", extra=logs.about(CLAIM, "completed"))
    first, second = own_lines.getvalue().splitlines()
    assert _without_time(first) == _without_time(second)


def _without_time(line):
    return {**json.loads(line), "time": ""} if line[0] == "{" else line[24:]


def test_a_run_is_told_of_only_where_somebody_listens(own_lines, tmp_path):
    """As in a process without standard streams, or whose reader has gone."""
    with open(tmp_path / "closed", "w") as gone:
        logs.configure(gone)
    logs.tell(CLAIM, "completed", "to nobody")
    logs.configure(own_lines)
    logs.logger.handlers[0].stream = None
    logs.tell(CLAIM, "completed", "to nobody")
    logs.configure(own_lines)
    logs.logger.setLevel(logging.WARNING)
    logs.tell(CLAIM, "completed", "to nobody")
    assert own_lines.getvalue() == ""


def test_a_program_that_uses_the_library_gets_records_of_runs(caplog):
    caplog.set_level("INFO")
    logs.tell(CLAIM, "completed", "nightly completed")
    (record,) = caplog.records
    assert record.event["action"] == "completed"


def test_an_object_is_one_line_of_ascii_whatever_is_in_it(own_lines):
    logs.configure(own_lines, as_json=True)
    try:
        raise ValueError("a\x1b[31m\n\ud800é")
    except ValueError:
        logs.logger.exception("it \x1b[31m\n broke")
    text = own_lines.getvalue()
    assert text.isascii() and text.count("\n") == 1 and "\x1b" not in text
    line = json.loads(text)
    assert line["level"] == "error" and "ValueError" in line["traceback"]


@pytest.mark.parametrize("as_json", [False, True])
def test_a_line_for_the_journal_begins_with_its_priority_and_has_no_time(tmp_path, as_json):
    with open(tmp_path / "journal", "w+", encoding="utf-8") as stream:
        info = os.fstat(stream.fileno())
        logs.configure(
            stream, verbose=True, as_json=as_json, journal=f"{info.st_dev}:{info.st_ino}"
        )
        logs.tell(CLAIM, "completed", "nightly\n<0>completed")
        logs.logger.debug("more")
        logs.logger.warning("odd")
        try:
            raise ValueError("a\n<0>b")
        except ValueError:
            logs.logger.exception("broken")
        stream.seek(0)
        lines = stream.read().splitlines()
    assert [line[:3] for line in lines[:4]] == ["<6>", "<7>", "<4>", "<3>"]
    assert all(line.startswith("<3>") for line in lines[4:])
    said = [json.loads(line[3:])["message"] if as_json else line[3:] for line in lines[:4]]
    assert said == [
        "nightly\n<0>completed" if as_json else "nightly\\n<0>completed",
        "more",
        "odd",
        "broken",
    ]


@pytest.mark.parametrize("journal", [None, "", "1:2", "x"])
def test_a_stream_that_is_not_the_journal_gets_lines_as_ever(own_lines, tmp_path, journal):
    logs.configure(own_lines, journal=journal)
    logs.logger.info("well")
    assert own_lines.getvalue().endswith(" INFO    well\n")
    with open(tmp_path / "log", "w+", encoding="utf-8") as stream:
        logs.configure(stream, journal=journal)
        logs.logger.info("well")
        stream.seek(0)
        assert stream.read().endswith(" INFO    well\n")


STRAY = "\x1b[31mred.json"  # a file in processing/ that is put back with a warning

_LIBRARY = """
import sys
import spoolq
from spoolq import control
queue = spoolq.Spool(sys.argv[1])
control.recover_now(queue.dir)
assert queue.counts()["pending"] == 1
"""


def test_a_library_says_nothing_unasked(spool):
    given.write(spool, "processing", STRAY, '{"command": "true"}')
    done = subprocess.run(
        [sys.executable, "-c", _LIBRARY, spool.path],
        capture_output=True,
        text=True,
        env=environment(),
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_what_the_command_line_says_of_a_hostile_name_is_escaped(spool, clock, run_cli):
    own = given.worker(spool)
    given.claim(spool, own, given.job(spool, "pending", given.named(clock)), clock)
    given.die(own)
    given.write(spool, "processing", STRAY, '{"command": "true"}')
    done = run_cli("cancel", "j1")
    assert r"processing/\x1b[31mred.json names no worker" in done.stderr
    assert "\x1b" not in done.stdout + done.stderr


def test_a_disk_that_does_not_tell_the_size_of_a_log_holds_up_no_outcome(directory, monkeypatch):
    put(directory, NAME, b"hello\n")
    descriptor = directory.open_file(str(NAME))
    monkeypatch.setattr(os, "fstat", _fails)
    logs.close_log(directory, NAME, descriptor)
    monkeypatch.undo()
    assert directory.has(str(NAME))


def test_the_tail_that_a_disk_refuses_is_empty(directory, monkeypatch):
    put(directory, NAME, b"hello\n")
    monkeypatch.setattr(os, "lseek", _fails)
    assert logs.tail(directory, NAME, 100) == ""


def _fails(*_):
    raise OSError(errno.EIO, "Input/output error")

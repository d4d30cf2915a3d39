"""Dropped files: good ones become jobs, bad ones go to dead/ as they are, none holds up another."""

import errno
import json
import logging
import os
import socket
import stat
import subprocess
import threading
from datetime import timedelta

import pytest

from spoolq import fsio, instants, locks, names, platform
from spoolq.adoption import Intake
from spoolq.config import Settings
from spoolq.job import MAX_GIVEN, Job
from spoolq.spool import SpoolDir
from tests import given
from tests.faults.loop.seam import Plan, Seam
from tests.users import NUMBER, ROOT, home, run_as  # noqa: F401

SETTINGS = Settings()
GOOD = '{"command": "echo good"}'


@pytest.fixture
def intake(spool, clock):
    return Intake(spool, clock, clock.monotonic)


def admit(spool, intake):
    """Let the intake look at every file in pending/ that may be a job; return what it made."""
    odd = [name for name in spool.dir("pending").list() if names.is_job(name)]
    return intake.admit(sorted(odd), SETTINGS)


def settle(clock):
    clock.advance(SETTINGS.settle)


def dead(spool):
    return {name: given.content(spool, "dead", name) for name in spool.dir("dead").list()}


def fields(spool, filename):
    return json.loads(given.content(spool, "pending", filename))


# --- ways to drop a file --------------------------------------------------------------------------

SHELL = {
    "mv": "echo '{}' > ../tmp/x && mv ../tmp/x job.json",
    "cp": "echo '{}' > ../tmp/x && cp ../tmp/x job.json && rm ../tmp/x",
    "redirection": "echo '{}' > job.json",
    "appending": "printf '' > job.json; printf '%s' '{}' >> job.json",
    "tee": "echo '{}' | tee job.json > /dev/null",
    "ln": "echo '{}' > ../tmp/x && ln ../tmp/x job.json",
    "an editor that writes beside and renames": "echo '{}' > .x.swp; mv .x.swp job.json",
    "an editor that keeps a backup": "echo old > job.json; mv job.json job.json~; "
    "echo '{}' > job.json; rm job.json~",
}


@pytest.mark.skipif(platform.WINDOWS, reason="needs a POSIX shell")
@pytest.mark.parametrize("way", SHELL.values(), ids=SHELL)
def test_whatever_puts_a_file_there_has_put_a_job_there(spool, intake, way):
    script = way.replace("{}", GOOD)
    subprocess.run(["sh", "-c", script], cwd=spool.dir("pending").path, check=True)
    (filename,) = admit(spool, intake)
    assert fields(spool, filename) == {"command": "echo good"}
    assert names.parse(filename).id.startswith("job-")
    assert given.everything(spool) == [("pending", filename)]


def test_adoption_changes_no_byte_of_the_file(spool, intake):
    text = '{ "command":"echo",\n\n"unknown" : 1.50 }  '
    given.write(spool, "pending", "x.json", text)
    (filename,) = admit(spool, intake)
    assert given.content(spool, "pending", filename) == text.encode()


def test_the_same_name_dropped_twice_makes_two_jobs(spool, intake):
    made = []
    for number in range(2):
        given.write(spool, "pending", "x.json", f'{{"command": "echo {number}"}}')
        made += intake.admit(["x.json"], SETTINGS)
    assert [fields(spool, name)["command"] for name in made] == ["echo 0", "echo 1"]
    assert len({names.parse(name).id for name in made}) == 2


@pytest.mark.parametrize(
    "name",
    [
        b"with space.json",
        b"dots.in.it.json",
        "täglich-漢字-🎉.json".encode(),
        b"new\nline.json",
        b"\x1b[31mred\x1b[0m.json",
        b"x" * 250 + b".json",
        b"not-\xff\xfe-utf8.json",
        b"-rf.json",
        b"last.json",
        b"%s{}$(x).json",
        "\u202egnp.json".encode(),
        b"20261124T020646123456Z.p5.a0.json",
        b"20261324T020646123456Z.p5.a0.x.json",
    ],
    ids=ascii,
)
def test_any_name_will_do_for_a_drop(spool, intake, name):
    """The id is made from the stem where that is legal, else made anew."""
    filename = os.fsdecode(name)
    given.write(spool, "pending", filename, GOOD)
    (made,) = admit(spool, intake)
    job_id = names.parse(made).id
    assert names.is_id(job_id)
    stem = filename[: -len(".json")]
    assert job_id.startswith(f"{stem}-") == names.is_id(stem)
    assert given.everything(spool) == [("pending", made)]


@pytest.mark.parametrize(
    "name", [".hidden.json", "x.json~", "x.json.tmp", ".x.json.swp", "x", "README"]
)
def test_other_names_are_no_jobs_and_left_alone(spool, intake, name):
    given.write(spool, "pending", name, GOOD)
    assert admit(spool, intake) == []
    assert spool.dir("pending").list() == [name]


def test_the_fields_of_a_drop_make_its_name(spool, intake):
    content = {"command": "echo", "id": "mine", "priority": 9, "run_at": "2031-01-01T00:00:00Z"}
    given.write(spool, "pending", "x.json", json.dumps(content))
    assert admit(spool, intake) == ["20310101T000000000000Z.p9.a0.mine.json"]


def test_a_drop_waits_from_the_time_of_its_last_change(spool, intake, clock):
    path = given.write(spool, "pending", "x.json", GOOD)
    before = clock() - timedelta(hours=3)
    os.utime(path, (before.timestamp(), before.timestamp()))
    (filename,) = admit(spool, intake)
    assert abs(names.parse(filename).at - before) < timedelta(milliseconds=1)


def test_a_drop_from_the_future_is_due_now(spool, intake, clock):
    """A clock that is ahead, on a host or in an archive, holds no job back."""
    path = given.write(spool, "pending", "x.json", GOOD)
    ahead = clock() + timedelta(days=400)
    os.utime(path, (ahead.timestamp(), ahead.timestamp()))
    (filename,) = admit(spool, intake)
    assert names.parse(filename).stamp == instants.to_stamp(clock())


def test_a_field_that_means_nothing_is_warned_of_and_kept(spool, intake, caplog):
    given.write(spool, "pending", "x.json", '{"command": "echo", "priorty": 9}')
    with caplog.at_level(logging.WARNING, "spoolq"):
        (filename,) = admit(spool, intake)
    assert "'priorty' means nothing to spoolq; did you mean 'priority'?" in caplog.text
    assert fields(spool, filename)["priorty"] == 9


def test_a_second_hard_link_is_no_reason_to_refuse(spool, intake, tmp_path):
    outside = tmp_path / "kept"
    outside.write_text(GOOD)
    os.link(str(outside), os.path.join(spool.path, "pending", "x.json"))
    (filename,) = admit(spool, intake)
    assert fields(spool, filename) == {"command": "echo good"}


# --- slow writers ---------------------------------------------------------------------------------


@pytest.mark.skipif(not platform.LINUX, reason="only Linux tells whether there is a writer")
def test_a_file_is_left_alone_while_its_writer_has_it_open(spool, intake, clock):
    """However long the writer pauses."""
    path = os.path.join(spool.path, "pending", "slow.json")
    with open(path, "w", encoding="utf-8") as file:
        file.write('{"command": ')
        file.flush()
        for _ in range(5):
            assert admit(spool, intake) == []
            settle(clock)
        file.write('"echo slow"}')
    (filename,) = admit(spool, intake)
    assert fields(spool, filename) == {"command": "echo slow"}
    assert intake.is_idle()


@pytest.mark.skipif(not platform.LINUX, reason="only Linux tells whether there is a writer")
def test_a_writer_that_leaves_rubbish_is_judged_when_it_has_closed_the_file(spool, intake, clock):
    with open(os.path.join(spool.path, "pending", "slow.json"), "w", encoding="utf-8") as file:
        file.write("{")
        file.flush()
        admit(spool, intake)
        settle(clock)
        admit(spool, intake)
    assert dead(spool) == {}
    settle(clock)
    admit(spool, intake)
    assert dead(spool) == {"slow.json": b"{"}


@pytest.mark.parametrize("leases", [True, False], ids=["with leases", "without leases"])
def test_a_file_that_grows_bit_by_bit_is_left_alone_until_it_stands_still(
    spool, intake, clock, monkeypatch, leases
):
    """A writer that opens, appends and closes: nobody has the file open in between."""
    if not leases:
        monkeypatch.setattr(platform, "has_writer", lambda descriptor: False)
    text = '{"command": "echo slow"}'
    for end in range(1, len(text)):
        given.write(spool, "pending", "slow.json", text[:end])
        assert admit(spool, intake) == []
        clock.advance(SETTINGS.settle * 0.9)
    assert dead(spool) == {}
    given.write(spool, "pending", "slow.json", text)
    assert len(admit(spool, intake)) == 1


def test_a_file_that_stays_bad_is_judged_after_settle_seconds_and_not_before(spool, intake, clock):
    given.write(spool, "pending", "x.json", "{")
    admit(spool, intake)
    clock.advance(SETTINGS.settle * 0.99)
    admit(spool, intake)
    assert dead(spool) == {}
    assert not intake.is_idle()
    assert 0 < intake.patience(SETTINGS) <= SETTINGS.settle
    clock.advance(SETTINGS.settle * 0.02)
    assert intake.ripe(SETTINGS) == ["x.json"]
    admit(spool, intake)
    assert dead(spool) == {"x.json": b"{"}
    assert intake.is_idle()
    assert intake.patience(SETTINGS) is None


def test_standing_still_is_measured_by_the_workers_own_clock(spool, intake, clock):
    """Neither the file's times nor a wall clock that is set ahead hasten the judgement."""
    path = given.write(spool, "pending", "x.json", "{")
    os.utime(path, (1, 1))
    admit(spool, intake)
    clock.set_wall(clock() + timedelta(days=1))
    admit(spool, intake)
    assert dead(spool) == {}


def test_a_half_written_file_with_a_name_of_the_form_is_doubted_and_then_due(spool, intake, clock):
    filename = str(given.named(clock))
    given.write(spool, "pending", filename, '{"command": ')
    assert admit(spool, intake) == []
    assert intake.doubts() == {filename}
    given.write(spool, "pending", filename, GOOD)
    assert admit(spool, intake) == [filename]
    assert not intake.doubts()


def test_a_bad_file_with_a_name_of_the_form_keeps_it_in_dead(spool, intake, clock):
    filename = str(given.named(clock))
    given.write(spool, "pending", filename, "[]")
    admit(spool, intake)
    settle(clock)
    admit(spool, intake)
    assert dead(spool) == {filename: b"[]"}


def test_a_doubtful_file_that_is_taken_away_is_forgotten(spool, intake, clock):
    path = given.write(spool, "pending", "x.json", "{")
    admit(spool, intake)
    os.unlink(path)
    settle(clock)
    intake.admit(intake.ripe(SETTINGS), SETTINGS)
    assert intake.is_idle()


# --- what is no job -------------------------------------------------------------------------------

BAD = {
    "empty": (b"", "line 1, column 1"),
    "blank": (b"  \n\n", "not JSON"),
    "not JSON": (b"#!/bin/sh\necho\n", "line 1, column 1"),
    "cut short": (b'{"command": "ec', "line 1, column 13"),
    "a second value": (b'{"command": "echo"} {}', "line 1, column 21"),
    "a trailing comma": (b'{\n  "command": "echo",\n}', "line "),
    "single quotes": (b"{'command': 'echo'}", "line 1, column 2"),
    "a byte order mark": (b'\xef\xbb\xbf{"command": "echo"}', "byte order mark"),
    "UTF-16": ('{"command": "echo"}'.encode("utf-16"), "not UTF-8"),
    "invalid UTF-8": (b'{"command": "\xff"}', "line 1, column 14: not UTF-8"),
    "NUL bytes": (bytes(512), "line 1, column 1"),
    "half a surrogate": (b'{"command": "\\ud800"}', "field 'command'"),
    "a list": (b'["command"]', "a job is a JSON object"),
    "a number": (b"3", "a job is a JSON object"),
    "NaN": (b'{"command": "a", "timeout": NaN}', "field 'timeout'"),
    "infinity": (b'{"command": "a", "timeout": 1e999}', "field 'timeout'"),
    "a key twice": (b'{"command": "a",\n"command": "b"}', "line 2, column 1, field 'command'"),
    "too deep": (b'{"command": "a", "x": ' + b"[" * 100_000, "deep"),
    "a huge number": (b'{"command": "a", "x": ' + b"9" * 5000 + b"}", "field 'x'"),
    "too large": (b'{"command": "' + b"x" * MAX_GIVEN + b'"}', "larger than 1024 KiB"),
    "no command": (b'{"comand": "echo"}', "needs a 'command'"),
    "an empty command": (b'{"command": " "}', "field 'command'"),
    "a command of no words": (b'{"command": []}', "field 'command'"),
    "a program without a name": (b'{"command": ["", "a"]}', "field 'command[0]'"),
    "a word that is no text": (b'{"command": ["a", 1]}', "field 'command[1]'"),
    "NUL in the command": (b'{"command": "a\\u0000b"}', "field 'command'"),
    "a word too long": (b'{"command": ["a", "' + b"x" * 140_000 + b'"]}', "field 'command[1]'"),
    "true as a number": (b'{"command": "a",\n "priority": true}', "line 2, column 14"),
    "a number as text": (b'{"command": "a", "max_retries": "3"}', "field 'max_retries'"),
    "a priority too high": (b'{"command": "a", "priority": 10}', "field 'priority'"),
    "a time without offset": (b'{"command": "a", "run_at": "2031-01-01"}', "field 'run_at'"),
    "an illegal id": (b'{"command": "a", "id": "../x"}', "field 'id'"),
    "an id that is a word": (b'{"command": "a", "id": "last"}', "field 'id'"),
    "= in a variable": (b'{"command": "a", "env": {"A=B": "c"}}', "field 'env.A=B'"),
    "a history of no list": (b'{"command": "a", "history": {}}', "field 'history'"),
}


@pytest.mark.parametrize("content, reason", BAD.values(), ids=BAD)
def test_what_is_no_job_goes_to_dead_byte_for_byte_with_the_place_of_its_fault(
    spool, intake, clock, caplog, content, reason
):
    given.write(spool, "pending", "bad.json", content)
    given.write(spool, "pending", "good.json", GOOD)
    assert len(admit(spool, intake)) == 1  # the good one does not wait for the bad one
    settle(clock)
    with caplog.at_level(logging.WARNING, "spoolq"):
        assert intake.admit(["bad.json"], SETTINGS) == []
    assert dead(spool) == {"bad.json": content}
    assert "no job, now dead/bad.json" in caplog.text
    assert reason in caplog.text


def _make_fifo(path, _):
    os.mkfifo(path)


def _make_directory(path, _):
    os.mkdir(path)
    with open(os.path.join(path, "inside"), "w", encoding="utf-8") as file:
        file.write("kept")


def _make_socket(path, _):
    here = os.getcwd()
    os.chdir(os.path.dirname(path))  # the path of a socket must be short
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(os.path.basename(path))
    finally:
        os.chdir(here)


def _make_device(path, _):
    try:
        os.mknod(path, 0o600 | stat.S_IFCHR, os.makedev(1, 3))
    except PermissionError:
        pytest.skip("this user can make no devices")


IRREGULAR = {
    "a FIFO": _make_fifo,
    "a directory": _make_directory,
    "a socket": _make_socket,
    "a device": _make_device,
    "a link to nowhere": lambda path, outside: os.symlink("nowhere", path),
    "a link to itself": lambda path, outside: os.symlink(os.path.basename(path), path),
    "a link to a file outside": lambda path, outside: os.symlink(outside, path),
}


@pytest.mark.parametrize("formed", [False, True], ids=["any name", "a name of the form"])
@pytest.mark.parametrize("make", IRREGULAR.values(), ids=IRREGULAR)
def test_what_is_no_regular_file_goes_to_dead_unopened(
    spool, intake, clock, tmp_path, monkeypatch, make, formed
):
    """At once: it will never become a job. Opening a FIFO would wait, a device would act."""
    outside = tmp_path / "outside"
    outside.write_text(GOOD)
    filename = str(given.named(clock)) if formed else "x.json"
    make(os.path.join(spool.path, "pending", filename), str(outside))
    before = spool.dir("pending").stat(filename)
    given.write(spool, "pending", "good.json", GOOD)
    opened = []
    real = os.open

    def noting_open(path, *args, **kwargs):
        opened.append(path)
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", noting_open)
    assert len(admit(spool, intake)) == 1
    monkeypatch.undo()
    assert filename not in opened
    assert spool.dir("dead").list() == [filename]
    after = spool.dir("dead").stat(filename)
    assert (after.st_mode, after.st_ino) == (before.st_mode, before.st_ino)
    assert outside.read_text() == GOOD


@ROOT
def test_a_file_of_a_user_who_may_run_nothing_here_goes_to_dead(spool, intake):
    path = given.write(spool, "pending", "x.json", GOOD)
    os.chown(path, 12345, 12345)
    assert admit(spool, intake) == []
    assert dead(spool) == {"x.json": GOOD.encode()}


@ROOT
def test_a_member_of_the_spools_group_may_submit(spool, intake):
    path = given.write(spool, "pending", "x.json", GOOD)
    os.chown(path, 12345, 12345)
    assert len(intake.admit(["x.json"], SETTINGS._replace(group="root"))) == 1


def test_a_file_that_stays_bad_does_not_slow_the_good_ones(spool, intake, clock, monkeypatch):
    """It is read once, and again when it has changed or stood still: not with every look."""
    given.write(spool, "pending", "bad.json", "{")
    read = []
    real = fsio.Dir.open_file
    monkeypatch.setattr(
        fsio.Dir, "open_file", lambda self, name: read.append(name) or real(self, name)
    )
    for _ in range(10):
        admit(spool, intake)
    assert read == ["bad.json"]


# --- ids that drops bring -------------------------------------------------------------------------


def test_two_drops_with_one_id_run_once(spool, clock):
    """Whichever worker looks at which: one is adopted, the other goes to dead/ with the reason."""
    at_once = threading.Barrier(4)
    made = []

    def look(number):
        mine = SpoolDir.open(spool.path)
        intake = Intake(mine, clock, clock.monotonic)
        at_once.wait()
        for filename in ("one.json", "two.json"):
            made.extend(intake.admit([filename], SETTINGS))
        mine.close()

    for number, name in enumerate(("one.json", "two.json")):
        given.write(spool, "pending", name, f'{{"command": "echo {number}", "id": "twin"}}')
    threads = [threading.Thread(target=look, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Who found the lock taken looks again a second later.
    late = Intake(spool, clock, clock.monotonic)
    made += admit(spool, late)
    assert len({filename for filename in made if names.parse(filename).id == "twin"}) == 1
    assert sorted(state for state, _ in given.everything(spool)) == ["dead", "pending"]
    assert len(dead(spool)) == 1


@pytest.mark.parametrize("state", ["pending", "processing", "failed", "completed", "dead"])
def test_a_drop_whose_id_exists_in_any_state_goes_to_dead(spool, intake, clock, caplog, state):
    name = given.named(clock, "taken")
    given.job(spool, state, name._replace(worker="w", slot="0") if state == "processing" else name)
    before = given.everything(spool)
    given.write(spool, "pending", "x.json", '{"command": "echo", "id": "taken"}')
    with caplog.at_level(logging.WARNING, "spoolq"):
        assert intake.admit(["x.json"], SETTINGS) == []
    assert given.everything(spool) == sorted([*before, ("dead", "x.json")])
    assert "field 'id': this id is taken" in caplog.text


def test_drops_with_ids_wait_while_somebody_else_looks_for_ids(spool, intake, clock):
    """And are looked at again a second later, whether or not anything in pending/ changes."""
    given.write(spool, "pending", "x.json", '{"command": "echo", "id": "mine"}')
    with locks.held(spool.dir("tmp"), ".ids"):
        assert admit(spool, intake) == []
        assert not intake.is_idle()
    assert intake.ripe(SETTINGS) == []
    assert 0 < intake.patience(SETTINGS) <= 1
    clock.advance(1)
    (filename,) = intake.admit(intake.ripe(SETTINGS), SETTINGS)
    assert names.parse(filename).id == "mine"
    assert intake.is_idle()


# --- trouble --------------------------------------------------------------------------------------


def test_a_file_that_cannot_be_read_now_waits_and_holds_up_no_other(
    spool, intake, clock, monkeypatch, caplog
):
    given.write(spool, "pending", "bad.json", GOOD)
    given.write(spool, "pending", "good.json", GOOD)
    real = fsio.Dir.open_file

    def open_file(self, name):
        if name == "bad.json":
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(self, name)

    monkeypatch.setattr(fsio.Dir, "open_file", open_file)
    with caplog.at_level(logging.WARNING, "spoolq"):
        assert len(admit(spool, intake)) == 1
        for _ in range(3):
            clock.advance(1)
            assert intake.admit(intake.ripe(SETTINGS), SETTINGS) == []
    assert caplog.text.count("pending/bad.json") == 1  # said once, tried each second
    monkeypatch.undo()
    clock.advance(1)
    assert len(intake.admit(intake.ripe(SETTINGS), SETTINGS)) == 1
    assert intake.is_idle()


def _unreadable(monkeypatch, filename):
    """Refuse to open a file, as where it is another user's; root could open it all the same."""
    real = fsio.Dir.open_file

    def open_file(self, name):
        if name == filename:
            raise PermissionError(errno.EACCES, "Permission denied", name)
        return real(self, name)

    monkeypatch.setattr(fsio.Dir, "open_file", open_file)


def test_a_file_that_may_not_be_read_is_judged_when_it_has_stood_still(
    spool, intake, clock, monkeypatch, caplog
):
    """`install -m 600` and some copies give a file its owner and mode when it is whole."""
    given.write(spool, "pending", "x.json", GOOD)
    given.write(spool, "pending", "good.json", GOOD)
    _unreadable(monkeypatch, "x.json")
    assert len(admit(spool, intake)) == 1
    assert not intake.is_idle()
    assert intake.patience(SETTINGS) == SETTINGS.settle
    clock.advance(SETTINGS.settle * 0.99)
    intake.admit(intake.ripe(SETTINGS), SETTINGS)
    assert dead(spool) == {}
    clock.advance(SETTINGS.settle * 0.02)
    with caplog.at_level(logging.WARNING, "spoolq"):
        assert intake.admit(intake.ripe(SETTINGS), SETTINGS) == []
    assert dead(spool) == {"x.json": GOOD.encode()}
    assert "cannot be read: Permission denied" in caplog.text


def test_a_file_that_gets_its_mode_when_it_is_whole_becomes_a_job(
    spool, intake, clock, monkeypatch
):
    given.write(spool, "pending", "x.json", '{"command": "ec')
    with monkeypatch.context() as patch:
        _unreadable(patch, "x.json")
        for _ in range(3):
            admit(spool, intake)
            clock.advance(SETTINGS.settle * 0.6)
            given.write(
                spool, "pending", "x.json", '{"command": "ec' + "h" * int(clock.monotonic())
            )
    given.write(spool, "pending", "x.json", GOOD)
    (filename,) = admit(spool, intake)
    assert given.everything(spool) == [("pending", filename)]
    assert intake.is_idle()


@ROOT
def test_a_file_of_mode_0600_of_another_user_waits_as_well(spool, intake, clock, home):  # noqa: F811
    """For real: a worker that is not root meets a file of root's."""
    path = home(NUMBER, NUMBER)

    def look():
        theirs = SpoolDir.create(os.path.join(path, "spool"))
        intake = Intake(theirs, clock, clock.monotonic)
        put = os.path.join(theirs.path, "pending", "x.json")
        with open(put, "w", encoding="utf-8") as file:
            file.write(GOOD)
        os.chmod(put, 0)
        found = []
        for seconds in (0, SETTINGS.settle * 0.9, SETTINGS.settle * 0.2):
            clock.advance(seconds)
            found.append([admit(theirs, intake), theirs.dir("dead").list()])
        return found

    assert run_as(look, NUMBER, NUMBER) == [[[], []], [[], []], [[], ["x.json"]]]


@pytest.mark.parametrize(
    "content", [GOOD, '{"command": "a", "id": "mine"}'], ids=["without an id", "with an id"]
)
def test_a_drop_that_cannot_be_renamed_now_holds_up_no_other(spool, intake, clock, content):
    given.write(spool, "pending", "a.json", content)
    given.write(spool, "pending", "b.json", GOOD)
    spool.dir("dead")
    seam = Seam(Plan(1, "error"))
    with seam.installed():
        seam.armed = True
        assert len(admit(spool, intake)) == 1
    clock.advance(1)
    assert len(intake.admit(intake.ripe(SETTINGS), SETTINGS)) == 1
    assert len(given.everything(spool)) == 2


def test_a_bad_file_that_cannot_be_buried_holds_up_no_other(spool, intake, clock):
    """A directory without write permission cannot be moved by its user."""
    os.mkdir(os.path.join(spool.path, "pending", "a.json"))
    given.write(spool, "pending", "b.json", GOOD)
    seam = Seam(Plan(1, "error", errno.EACCES))
    spool.dir("dead")
    with seam.installed():
        seam.armed = True
        assert len(admit(spool, intake)) == 1
    clock.advance(1)
    intake.admit(intake.ripe(SETTINGS), SETTINGS)
    assert spool.dir("dead").list() == ["a.json"]


# --- many -----------------------------------------------------------------------------------------

MANY = 10_000 if os.environ.get("TEST_FULL") else 2_000


def test_thousands_of_drops_at_once_become_as_many_jobs(spool, intake, clock):
    """With a bad one among each hundred; ten thousand where $TEST_FULL is set."""
    for number in range(MANY):
        bad = number % 100 == 50
        text = "{" if bad else f'{{"command": "echo {number}"}}'
        given.write(spool, "pending", f"drop {number}.json", text)
    made = admit(spool, intake)
    settle(clock)
    assert admit(spool, intake) != []  # those that have been adopted are jobs now, and due
    assert len(made) == MANY - MANY // 100
    assert set(made) == set(spool.dir("pending").list())
    assert len(dead(spool)) == MANY // 100
    for filename in made[:50]:
        Job.from_bytes(given.content(spool, "pending", filename))


def test_drops_that_wait_for_each_other_hold_up_no_other(spool, intake):
    circles = {"a": "b", "b": "a", "c": "d", "d": "e", "e": "c"}
    for job_id, other in circles.items():
        given.write(spool, "pending", f"{job_id}.json", _drop(job_id, after=[other]))
    given.write(spool, "pending", "f.json", _drop("f", after=["g"], key="k"))
    given.write(spool, "pending", "g.json", _drop("g"))
    admit(spool, intake)
    assert sorted(dead(spool)) == sorted(f"{job_id}.json" for job_id in circles)
    assert sorted(names.id_in(name) for name in spool.dir("pending").list()) == ["f", "g"]
    assert spool.dir("after").list() == ["f.after.g"]


def _drop(job_id, **fields):
    return json.dumps({"id": job_id, "command": "true", **fields})

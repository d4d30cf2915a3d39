"""Programs that are no producers, or strange ones, are told of and do the check no harm."""

import os
import shutil
import sys

import pytest

from spoolq import conformance
from spoolq.conformance import calls
from spoolq.conformance.producer import Ground, Producer
from spoolq.errors import BadInput

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="producers are checked on POSIX")


def script(text):
    """Return the words of a shell script that finds the spool in $1."""
    return ["sh", "-c", text, "producer"]


@pytest.mark.parametrize(
    "text, rule",
    [
        ("true", "told-last"),
        ("echo an-id", "told-last"),
        ("exit 3", "errors"),
        ("kill -9 $$", "errors"),
        ('rm -rf "$1"; echo x', "nothing-else"),
        ('mv "$1" "$1.away"; echo x', "nothing-else"),
    ],
)
def test_what_submits_nothing_is_tried_once_and_nothing_else_is_called_kept(text, rule):
    report = conformance.examine(script(text))
    states = {verdict.rule: verdict.state for verdict in report.verdicts}
    assert states[rule] == "broken"
    assert "kept" not in states.values()
    assert report.not_tried == {"anything else": "it submits no job"}


@pytest.mark.parametrize("made", ["mkdir", "mkfifo", "ln -s /etc/passwd"])
def test_what_is_not_a_regular_file_is_not_opened_and_is_no_job(made):
    report = conformance.examine(script(f'{made} "$1/pending/x.json"; echo x'), trace=False)
    assert "json" in report.broken
    (verdict,) = [each for each in report.verdicts if each.rule == "json"]
    assert "pending/x.json is not a regular file" in verdict.seen


def test_what_does_not_end_is_killed_with_all_that_it_has_started(tmp_path):
    running = Producer(script("sleep 600 & sleep 600")).start(str(tmp_path), b"true")
    # That this returns shows it: both hold the pipe that is read to its end.
    assert running.ended(patience=0.2).code is None


def test_a_program_that_is_not_there_is_a_wrong_command_line():
    with pytest.raises(BadInput, match="there is no program 'no-such-program'"):
        conformance.examine(["no-such-program"])


def test_the_command_goes_to_where_it_belongs(tmp_path):
    both = Producer(["x"])
    assert both.line("/s", b"c") == [b"x", b"/s", b"c"]
    assert not both.reads_stdin
    placed = Producer(["x", "--to={spool}", "{command}", "-v"])
    assert placed.line("/s", b"\xff") == [b"x", b"--to=/s", b"\xff", b"-v"]
    stdin = Producer(["sh", "-c", 'cat; echo " $SPOOL $0"', "{spool}"])
    assert stdin.run(str(tmp_path), b"given").out.decode() == f"given {tmp_path} {tmp_path}\n"


@pytest.mark.skipif(calls.unable() is not None, reason=str(calls.unable()))
def test_a_kill_comes_right_after_the_step_and_before_the_next(tmp_path):
    ground = Ground(str(tmp_path))
    cat = shutil.which("cat")
    text = f'{cat} </dev/null >"$1/tmp/a"; rm "$1/tmp/a"; echo told'
    steps = {1: (["a"], b""), 2: ([], b""), 3: ([], b"told\n")}
    for number, (left, out) in steps.items():
        spool = ground.spool()
        ran, _ = calls.killed_after(Producer(script(text)), spool, b"true", number)
        assert (os.listdir(os.path.join(spool, "tmp")), ran.out) == (left, out)

"""A program beside the loop: what it reads, what is kept of it, and that it comes to an end."""

import os
import time

import pytest

from spoolq import child, platform
from tests.conftest import wait_until

pytestmark = pytest.mark.skipif(platform.WINDOWS, reason="the programs are of /bin/sh")


def run(script, given=b"", seconds=60.0, grace=5.0):
    late_at = time.monotonic() + seconds
    return child.run(
        ["/bin/sh", "-c", script],
        given,
        environment={"PATH": os.defpath},
        cwd="/",
        deadline=lambda: late_at,
        grace=grace,
        monotonic=time.monotonic,
    )


def test_it_reads_what_it_is_given_and_both_its_streams_are_kept():
    done = run("cat; echo no >&2; exit 3", b"given\n")
    assert done == child.Done(3, "given\nno")
    assert done.went == "exit 3"


def test_the_end_of_what_it_prints_is_kept():
    done = run("seq 100000")
    assert done.output.endswith("99999\n100000")
    assert len(done.output) <= child.KEPT


def test_a_signal_is_told_as_one():
    assert run("kill -TERM $$").went == "signal 15"


def test_it_leads_a_session_and_has_no_terminal():
    assert run("test $(ps -o sid= -p $$) -eq $$ && ! true < /dev/tty").code == 0


def test_it_can_stand_back_behind_others():
    late_at = time.monotonic() + 60
    done = child.run(
        ["/bin/sh", "-c", "sleep 0.2; ps -o ni= -p $$"],
        b"",
        environment={"PATH": os.defpath},
        cwd="/",
        deadline=lambda: late_at,
        grace=5,
        monotonic=time.monotonic,
        nice=10,
    )
    assert int(done.output) >= 10


def test_a_child_that_lives_on_does_not_hold_it_up():
    started = time.monotonic()
    assert run("sleep 30 & exit 0").code == 0
    assert time.monotonic() - started < 20


def test_it_is_asked_to_end_when_it_is_late():
    done = run("trap 'echo asked; exit 4' TERM; sleep 60 & wait", seconds=0.5)
    assert done == child.Done(4, "asked", "it took too long")


def test_it_is_killed_when_it_does_not_hear_and_so_is_its_group(tmp_path):
    script = f"trap '' TERM; sleep 60 & echo $! > {tmp_path}/pid; wait; sleep 60"
    done = run(script, seconds=0.5, grace=0.1)
    assert (done.code, done.ended) == (-9, "it took too long")
    pid = int((tmp_path / "pid").read_text())
    wait_until(lambda: not _is_alive(pid))


@pytest.mark.parametrize("before", ["", "trap '' TERM; "])
def test_one_that_prints_without_end_is_ended_long_before_it_is_late(before, monkeypatch):
    monkeypatch.setattr(child, "MOST", 1_000_000)
    script = before + "while :; do echo more; done"
    started = time.monotonic()
    done = run(script, seconds=600, grace=600)
    assert time.monotonic() - started < 60
    assert done.code in (-15, -9)
    assert done.ended == "it printed too much"
    assert done.output.endswith("more")
    assert len(done.output) <= child.KEPT


@pytest.mark.skipif(not platform.LINUX, reason="looks at the file through /proc")
def test_what_has_left_keeps_nothing_on_the_disk_of_what_was_printed(monkeypatch, tmp_path):
    monkeypatch.setattr(child, "MOST", 1_000_000)
    script = f"setsid sleep 60 & echo $! > {tmp_path}/pid; while :; do echo more; done"
    assert run(script).ended == "it printed too much"
    pid = int((tmp_path / "pid").read_text())
    try:
        assert os.stat(f"/proc/{pid}/fd/1").st_size == 0
    finally:
        os.kill(pid, 9)


def _is_alive(pid):
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_what_is_no_program_is_told_and_leaves_no_file_open(tmp_path):
    before = len(os.listdir("/dev/fd"))
    with pytest.raises(FileNotFoundError):
        child.run(
            [str(tmp_path / "none")],
            b"",
            environment={},
            cwd="/",
            deadline=time.monotonic,
            grace=0,
            monotonic=time.monotonic,
        )
    assert len(os.listdir("/dev/fd")) == before

"""What is left of a run is found by three marks, and nothing else is."""

import errno
import os
import signal
import subprocess
import sys
import time

import pytest

from spoolq import locks, platform, processes
from spoolq.processes import COOKIE, Ending, Marks, find, find_all, push_on, send
from tests.conftest import wait_until
from tests.leftovers import (
    SHED,
    command,
    end_quietly,
    is_alive,
    no_descriptor_left,
    pid_in,
)

CLAIM = "20261124T020646123456Z.p5.a1.k3v9x2a7m4q1c@web1-4121-x7f3.0.json"


class Started:
    """A process with all three marks of a run, and its lock."""

    def __init__(self, place, words, claim=CLAIM):
        self.path = str(place)
        self.lock = os.open(self.path, os.O_CREAT | os.O_RDWR, 0o600)
        assert locks.try_lock(self.lock)
        self.process = subprocess.Popen(
            words, start_new_session=True, pass_fds=(self.lock,), env={**os.environ, COOKIE: claim}
        )
        info = os.fstat(self.lock)
        self.inode = (info.st_dev, info.st_ino)
        self.marks = Marks(claim, self.inode, self.process.pid)

    def close(self):
        for pid in pids(self.marks):
            end_quietly(pid)
        self.process.kill()
        self.process.wait()
        if self.lock >= 0:
            os.close(self.lock)


@pytest.fixture
def started(tmp_path):
    """Start processes with marks; all that has them is killed at the end."""
    made = []

    def start(words, claim=CLAIM):
        made.append(Started(tmp_path / f"{len(made)}.lock", words, claim))
        return made[-1]

    yield start
    for one in made:
        one.close()


def pids(marks):
    """Return the pids of what is found."""
    return [process.pid for process in find(marks)]


def test_a_process_is_found_by_each_mark_alone(started):
    one = started(["sleep", "1000"])
    pid = one.process.pid
    nobody = "20261124T020646123456Z.p5.a1.other@web1-4121-x7f3.0.json"
    wait_until(lambda: pids(Marks(CLAIM)) == [pid], "the exec")
    assert pids(Marks(nobody, one.inode)) == [pid]
    assert pids(Marks(nobody, None, pid)) == [pid]
    assert pids(Marks(nobody)) == []


@pytest.mark.parametrize("shed", SHED.values(), ids=SHED)
def test_a_child_is_found_that_has_shed(started, tmp_path, shed):
    one = started(command(tmp_path / "pid", *shed))
    child = pid_in(tmp_path / "pid")
    assert sorted(pids(one.marks)) == sorted([one.process.pid, child])


def test_a_child_is_found_when_its_parent_is_gone(started, tmp_path):
    one = started(command(tmp_path / "pid", stays=False))
    child = pid_in(tmp_path / "pid")
    one.process.wait()
    assert pids(one.marks) == [child]
    assert pids(Marks("x", None, one.process.pid)) == [child]  # a session without its leader


def test_who_looks_is_never_found_though_it_holds_the_lock(started):
    one = started(["sleep", "1000"])
    assert os.getpid() not in pids(one.marks)


def test_who_merely_has_the_lock_file_open_is_not_found(started):
    one = started(["sleep", "1000"])
    looking = os.open(one.path, os.O_RDWR)
    looker = subprocess.Popen(["sleep", "1000"], pass_fds=(looking,))
    try:
        wait_until(lambda: looker.pid not in pids(Marks("x", one.inode)), "the exec")
        assert pids(Marks("x", one.inode)) == [one.process.pid]
    finally:
        os.close(looking)
        looker.kill()
        looker.wait()


def test_who_probes_the_lock_with_a_shared_one_is_not_found(started):
    one = started(["sleep", "1000"])
    one.process.kill()
    one.process.wait()
    os.close(one.lock)
    one.lock = -1
    looking = os.open(one.path, os.O_RDWR)
    assert locks.try_lock(looking, shared=True)
    looker = subprocess.Popen(["sleep", "1000"], pass_fds=(looking,))
    try:
        assert pids(Marks("x", one.inode)) == []
    finally:
        os.close(looking)
        looker.kill()
        looker.wait()


def test_a_claim_whose_name_only_begins_so_is_not_found(started):
    one = started(["sleep", "1000"], claim="claim-and-more")
    wait_until(lambda: pids(Marks("claim-and-more")) == [one.process.pid], "the exec")
    assert pids(Marks("claim")) == []


def test_another_process_that_got_the_leaders_number_is_not_found(started):
    one = started(["sleep", "1000"])
    pid = one.process.pid
    wait_until(lambda: pids(Marks(CLAIM)) == [pid], "the exec")
    long_ago = one.marks._replace(claim="x", lock=None, started=0.0)
    assert pids(long_ago) == []
    assert pids(long_ago._replace(started=platform.uptime())) == [pid]


def test_who_leads_is_asked_before_what_it_has_started(started, tmp_path, monkeypatch):
    """However long it takes to ask the others: its trap runs while it waits for them."""
    said = tmp_path / "said"
    trap = (
        f"trap 'echo bye >> {said}; exit 0' TERM; sleep 1000 & sleep 1000 & echo on > {said}; wait"
    )
    one = started(["sh", "-c", trap])
    wait_until(lambda: said.exists() and len(pids(one.marks)) == 3, "the command")
    kill = os.kill

    def slowly(pid, number):
        kill(pid, number)
        if pid != one.process.pid:
            wait_until(lambda: not is_alive(pid), "the end of who was asked")

    monkeypatch.setattr(processes.os, "kill", slowly)
    processes.ask(find(one.marks))
    assert one.process.wait() == 0
    assert said.read_text() == "on\nbye\n"


def test_find_looks_twice_before_it_says_none(started, monkeypatch):
    one = started(["sleep", "1000"])
    wait_until(lambda: pids(Marks(CLAIM)), "the exec")
    looks = []
    seen = processes._processes

    def born_while_we_look(*asked):
        looks.append(True)
        return iter(()) if len(looks) == 1 else seen(*asked)

    monkeypatch.setattr(processes, "_processes", born_while_we_look)
    assert pids(one.marks) == [one.process.pid]


def test_a_zombie_is_not_found(started):
    one = started(["true"])
    wait_until(lambda: not is_alive(one.process.pid), "its end")
    # While others of this machine die faster than they are looked at, its group is asked for.
    wait_until(lambda: pids(one.marks) == [], "a look at which nobody dies")


def test_a_signal_to_who_is_gone_does_no_harm(started):
    one = started(["true"])
    one.process.wait()
    send([one.process.pid], signal.SIGTERM)


def test_without_a_descriptor_to_look_with_nobody_is_said_to_be_gone(started):
    one = started(["sleep", "1000"])
    wait_until(lambda: pids(Marks(CLAIM)), "the exec")
    with no_descriptor_left(), pytest.raises(OSError, match="Too many open files"):
        pids(one.marks)
    assert pids(one.marks) == [one.process.pid]


def test_a_file_of_somebody_elses_on_a_disk_that_fails_stops_no_look(started, monkeypatch):
    """Found by chance: a process on a filesystem that had shut down stopped every recovery."""
    one = started(["sleep", "1000"])
    wait_until(lambda: pids(Marks(CLAIM)), "the exec")
    real = os.stat

    def stat(path, *args, **kwargs):
        if str(path).startswith("/proc/") and not str(path).startswith(f"/proc/{one.process.pid}/"):
            raise OSError(errno.EIO, os.strerror(errno.EIO), path)
        return real(path, *args, **kwargs)

    monkeypatch.setattr(processes.os, "stat", stat)
    assert pids(Marks("x", one.inode)) == [one.process.pid]


def test_what_is_left_of_many_runs_is_found_in_one_look(started, monkeypatch):
    runs = [started(["sleep", "1000"], f"claim-{number}") for number in range(5)]
    for one in runs:
        wait_until(lambda one=one: pids(Marks(one.marks.claim)), "the exec")
    looks = []
    real = processes._processes
    monkeypatch.setattr(processes, "_processes", lambda *asked: looks.append(True) or real(*asked))
    found = find_all([one.marks for one in runs])
    assert [[process.pid for process in seen] for seen in found] == [
        [one.process.pid] for one in runs
    ]
    assert len(looks) == 1


# --- the end, step by step ------------------------------------------------------------------------


def is_over(ending):
    """Look if it wants that, and say whether nothing is left."""
    push_on([ending])
    return ending.is_over


def until_over(ending):
    deadline = time.monotonic() + 60
    while not is_over(ending):
        assert time.monotonic() < deadline
        time.sleep(ending.patience())


def test_an_ending_is_over_when_nothing_is_left(started, tmp_path):
    one = started(command(tmp_path / "pid", "session", "environment"))
    child = pid_in(tmp_path / "pid")
    until_over(Ending(one.marks, 60, time.monotonic))
    assert one.process.wait() == -signal.SIGTERM
    assert not is_alive(child)


def test_an_ending_of_nothing_is_over_at_once(clock):
    ending = Ending(Marks("nobody has this claim"), 5, clock.monotonic)
    assert ending.patience() == 0
    assert is_over(ending)


def test_an_ending_kills_when_the_grace_is_over_and_not_before(started, clock, tmp_path):
    ready = tmp_path / "ready"
    words = ["sh", "-c", f"trap '' TERM; : > {ready}; while :; do sleep 1000; done"]
    one = started(words)
    wait_until(ready.exists, "the trap")
    ending = Ending(one.marks, 5, clock.monotonic)
    while clock.monotonic() < 1004.99:
        assert not is_over(ending)
        assert ending.patience() > 0
        clock.advance(ending.patience())
        assert one.process.poll() is None
    clock.advance(0.05)
    assert not is_over(ending)
    assert one.process.wait() == -signal.SIGKILL
    wait_until(lambda: pids(one.marks) == [], "the end of its children")
    # On a busy machine it may take several looks, between which other processes die.
    wait_until(lambda: clock.advance(1) or is_over(ending), "the ending to see that")


def test_an_ending_asks_each_process_once(started, clock, tmp_path):
    place = tmp_path / "terms"
    words = [
        sys.executable,
        "-S",
        "-c",
        "import signal, sys\n"
        "signal.signal(15, lambda *_: open(sys.argv[1], 'a').write('TERM '))\n"
        "open(sys.argv[1], 'w').write('ready ')\n"
        "while True: signal.pause()",
        str(place),
    ]
    one = started(words)
    wait_until(lambda: place.exists() and place.read_text(), "the handler")
    ending = Ending(one.marks, 5, clock.monotonic)
    for _ in range(5):
        assert not is_over(ending)
        wait_until(lambda: place.read_text() == "ready TERM ", "the signal")
        clock.advance(0.3)
    os.kill(one.process.pid, signal.SIGUSR1)
    assert one.process.wait() == -signal.SIGUSR1
    assert place.read_text() == "ready TERM "


def test_an_ending_that_is_over_does_not_want_to_be_asked_all_the_time(clock):
    """Its asker may go on to wait for a lock that something out of sight holds."""
    ending = Ending(Marks("nobody has this claim"), 5, clock.monotonic)
    assert is_over(ending)
    assert ending.patience() > 0


def test_an_ending_goes_on_though_nothing_could_be_looked_for_meanwhile(started):
    one = started(["sleep", "1000"])
    wait_until(lambda: pids(Marks(CLAIM)), "the exec")
    ending = Ending(one.marks, 60, time.monotonic)
    with no_descriptor_left():
        for _ in range(3):
            assert not is_over(ending)
            assert ending.patience() > 0
    assert is_alive(one.process.pid)
    assert not ending.has_begun()
    until_over(ending)
    assert one.process.wait() == -signal.SIGTERM


_CHAIN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
until = time.monotonic() + 50  # whatever comes, it ends by itself
if sys.argv[2] == "leads" and os.fork():
    while time.monotonic() < until:
        time.sleep(0.1)
open(sys.argv[1], "w").close()
while time.monotonic() < until:
    if os.fork():
        os._exit(0)
open(sys.argv[1] + ".end", "w").close()
"""


@pytest.mark.parametrize("leader", ["leads", "is gone"])
@pytest.mark.parametrize("numbers", ["rise", "began again"])
def test_a_command_that_forks_for_ever_is_ended(started, tmp_path, monkeypatch, leader, numbers):
    """Each process of the chain lives for a moment only; a signal to its group hits them all."""
    if numbers == "began again":  # then the newest process is not the one with the highest number
        monkeypatch.setattr(processes, "reversed", list, raising=False)
    ready = tmp_path / "ready"
    one = started([sys.executable, "-S", "-c", _CHAIN, str(ready), leader])
    wait_until(ready.exists, "the chain")
    until_over(Ending(one.marks, 0.1, time.monotonic))
    os.close(one.lock)
    one.lock = -1
    fresh = os.open(one.path, os.O_RDWR)
    try:
        assert locks.try_lock(fresh), "something still holds the lock"
    finally:
        os.close(fresh)
    assert not (tmp_path / "ready.end").exists()

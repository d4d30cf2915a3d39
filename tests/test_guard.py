"""The guard ends what runs before the lease is over, and touches nothing that may hang."""

import os
import signal
import subprocess
import sys
import threading
import time

import pytest

from spoolq import guard as module
from spoolq import names, processes
from spoolq.executors import Ended, Run
from spoolq.guard import Guard
from spoolq.job import CANCELLED, LOST, Job
from spoolq.names import Name
from tests.conftest import wait_until

pytestmark = pytest.mark.skipif(os.name != "posix", reason="sessions are a thing of POSIX")

DEAF = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print(1, flush=True)\n"


class Heart:
    """A heartbeat that a test stops: `began` is when the last good beat did."""

    def __init__(self, clock):
        self.began = clock.monotonic()
        self.is_gone = False


@pytest.fixture
def heart(clock):
    return Heart(clock)


class Runs(dict):
    """The runs under way: claims, and the processes that lead them."""

    def __init__(self):
        super().__init__()
        self.started = []


@pytest.fixture
def runs():
    runs = Runs()
    yield runs
    for process in runs.started:
        process.kill()
        process.communicate()


@pytest.fixture
def guard(heart, runs, clock, monkeypatch):
    monkeypatch.setattr(Guard, "_tell", lambda self, age: None)
    leaders = lambda: [(claim, one.pid) for claim, one in runs.items()]  # noqa: E731
    return Guard(heart, leaders, lease=60, grace=5, elapsed=clock.monotonic)


def start(runs, code="import time; print(1, flush=True)\n", then="time.sleep(600)"):
    """Start a command as a run is started, and wait until it is at work."""
    job_id = names.random_text(13)  # a search may go on from the test before
    claim = Name("20261124T020646123456Z", 5, 1, job_id, "web1-4121-x7f3kq", "0")
    process = subprocess.Popen(
        [sys.executable, "-c", code + then],
        stdout=subprocess.PIPE,
        start_new_session=True,
        env={**os.environ, processes.COOKIE: str(claim)},
        text=True,
    )
    process.claim = claim
    runs[claim] = process
    runs.started.append(process)
    assert process.stdout.readline() == "1\n"
    return process


def test_nothing_is_ended_in_the_first_half_of_a_lease(guard, runs, clock):
    process = start(runs)
    clock.advance(29.9)
    guard.look()
    assert guard.trusts()
    assert guard.trips == 0
    assert process.poll() is None


def test_a_run_is_asked_to_end_at_half_a_lease(guard, runs, clock):
    process = start(runs)
    clock.advance(30)
    assert not guard.trusts()
    guard.look()
    assert process.wait(30) == -signal.SIGTERM


def test_a_run_that_is_deaf_is_killed_after_its_grace(guard, runs, clock):
    process = start(runs, DEAF)
    for _ in range(2):
        clock.advance(32 if guard.trusts() else 2.9)
        guard.look()
    assert process.poll() is None
    clock.advance(0.2)
    guard.look()
    assert process.wait(30) == -signal.SIGKILL


@pytest.mark.parametrize("grace", [5.0, 3600.0])
@pytest.mark.parametrize("lease", [5.0, 60.0, 86_400.0])
def test_all_is_over_before_three_quarters_of_any_lease(heart, clock, lease, grace):
    guard = Guard(heart, None, lease, grace, elapsed=clock.monotonic)
    assert guard._kill_after <= 0.75 * lease
    assert guard._ask_after == 0.5 * lease


def test_who_left_its_session_is_found_by_its_cookie_and_killed(guard, runs, clock):
    away = "import subprocess, time; p = subprocess.Popen(['sleep', '600'], start_new_session=True)"
    process = start(runs, f"{away}\nprint(1, flush=True); print(p.pid, flush=True)\n")
    helper = int(process.stdout.readline())
    clock.advance(46)
    guard.look()
    wait_until(lambda: not _lives(helper), "the end of the helper")


def _lives(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


def test_a_child_whose_exec_hangs_and_which_no_run_names_is_ended_too(guard, runs, clock):
    process = start(runs)
    runs.clear()  # the worker waits for the exec, and has told nobody of it
    clock.advance(46)
    guard.look()
    assert process.wait(30) == -signal.SIGKILL


def test_it_opens_no_file_of_the_spool_and_asks_for_no_open_ones(guard, runs, clock, monkeypatch):
    """On a hard mount that hangs, stat of /proc/PID/fd/N would hang as well."""
    touched = []

    def hook(event, args):
        if event == "open" and threading.current_thread() is watched:
            touched.append(str(args[0]))

    watched = threading.current_thread()
    sys.addaudithook(hook)
    stat = os.stat
    monkeypatch.setattr(os, "stat", lambda path, *a, **k: touched.append(path) or stat(path))
    process = start(runs)
    touched.clear()
    clock.advance(46)
    guard.look()
    watched = None
    process.wait(30)
    assert touched
    assert all(str(path).startswith("/proc/") and "/fd" not in str(path) for path in touched)


def test_a_search_that_hangs_keeps_no_run_alive(guard, runs, clock, monkeypatch):
    goes_on = threading.Event()
    monkeypatch.setattr(Guard, "_kill_all_of", lambda self, claims, sessions: goes_on.wait())
    first = start(runs)
    clock.advance(46)
    guard.look()
    first.wait(30)
    second = start(runs)
    guard.look()
    assert second.wait(30) == -signal.SIGKILL
    goes_on.set()


def test_a_run_is_not_over_while_anything_of_it_lives(guard, heart, runs, clock):
    """Its shell heeds TERM, and what that has started does not: the job must not run beside it."""
    deaf = "import signal, subprocess, sys; " + (
        "p = subprocess.Popen([sys.executable, '-c', 'import signal, time; "
        "signal.signal(signal.SIGTERM, signal.SIG_IGN); print(2, flush=True); time.sleep(600)'])\n"
    )
    process = start(runs, deaf + "import time; print(1, flush=True); print(p.pid, flush=True)\n")
    told = sorted(process.stdout.readline() for _ in range(2))
    helper = next(int(line) for line in told if line != "2\n")
    clock.advance(31)
    guard.look()
    assert process.wait(30) == -signal.SIGTERM
    runs.clear()  # the executor has seen its end
    heart.began = clock.monotonic()  # and the server is back
    guard.look()
    assert not guard.is_through(process.claim)
    assert _lives(helper)
    clock.advance(4.1)
    heart.began = clock.monotonic()

    def is_through():
        guard.look()
        return guard.is_through(process.claim)

    wait_until(is_through)
    assert not _lives(helper)
    assert guard.judged(ended(process, clock, signal=15)).error == LOST
    wait_until(lambda: guard.look() or guard.trusts())


def test_it_ends_runs_with_no_descriptor_left(guard, runs, clock, monkeypatch):
    process = start(runs)
    clock.advance(46)

    def none_left(path):
        raise OSError(24, "Too many open files")

    with monkeypatch.context() as patches:
        patches.setattr(os, "listdir", none_left)
        guard.look()
    assert process.wait(30) == -signal.SIGKILL


def test_a_directory_that_is_gone_ends_all_at_once(guard, heart, runs, clock):
    process = start(runs, DEAF)
    heart.is_gone = True
    guard.look()
    assert process.wait(30) == -signal.SIGKILL


def test_after_the_server_is_back_it_trusts_again_when_nothing_runs(guard, heart, runs, clock):
    process = start(runs, DEAF)
    clock.advance(31)
    guard.look()
    heart.began = clock.monotonic()
    guard.look()
    assert not guard.trusts()  # what was asked to end goes on
    clock.advance(4.1)
    heart.began = clock.monotonic()
    guard.look()
    process.wait(30)
    runs.clear()
    wait_until(lambda: guard.look() or guard.trusts())
    assert guard.trips == 1


def test_each_outage_is_counted_once(guard, heart, clock):
    for trips in (1, 2):
        clock.advance(31)
        guard.look()
        guard.look()
        heart.began = clock.monotonic()
        guard.look()
        assert (guard.trips, guard.trusts()) == (trips, True)


def ended(process, clock, **how):
    run = Run(process.claim, process.claim.waiting(), Job({"command": "x"}), clock(), -1, None)
    return Ended(run, clock(), **how)


def test_a_run_that_it_has_ended_counts_as_lost(guard, runs, clock):
    process = start(runs)
    clock.advance(31)
    guard.look()
    assert guard.judged(ended(process, clock, signal=15)).error == LOST
    assert guard.judged(ended(process, clock, signal=15)).error is None  # another end than that


def test_a_run_that_was_being_cancelled_is_cancelled(guard, runs, clock):
    process = start(runs)
    clock.advance(31)
    guard.look()
    assert guard.judged(ended(process, clock, signal=15, error=CANCELLED)).error == CANCELLED


def test_a_run_that_had_ended_by_itself_counts_as_it_ended(guard, runs, clock):
    process = start(runs, "print(1, flush=True)\n", "")
    wait_until(lambda: not _lives(process.pid), "its end")  # and nobody has waited for it
    clock.advance(46)
    guard.look()
    assert guard.judged(ended(process, clock, exit_code=0)).error is None


def test_it_acts_by_itself_while_the_worker_hangs(clock, runs, monkeypatch):
    monkeypatch.setattr(Guard, "_tell", lambda self, age: None)
    heart = Heart(clock)
    heart.began = time.monotonic() - 50
    process = start(runs)
    guard = Guard(heart, lambda: [(process.claim, process.pid)], 60, 5, elapsed=time.monotonic)
    guard.start()
    process.wait(30)
    guard.stop()
    assert guard.trips == 1


def test_it_says_what_it_does_even_where_the_log_hangs(heart, runs, clock, monkeypatch):
    goes_on, said = threading.Event(), []

    def hang(*words):
        said.append(words)
        goes_on.wait()

    monkeypatch.setattr(module.logger, "error", hang)
    process = start(runs)
    guard = Guard(heart, lambda: [(process.claim, process.pid)], 60, 5, elapsed=clock.monotonic)
    clock.advance(31)
    guard.look()
    process.wait(30)
    wait_until(lambda: said)
    goes_on.set()
    assert "has not answered for 31 s" in said[0][1]

"""The warden as a process of its own, and what it ends when."""

import os
import signal
import subprocess
import sys
import time

import pytest

from spoolq.executors.dask.warden import Warden
from spoolq.processes import COOKIE
from tests.conftest import environment, wait_until
from tests.executors.dask.clusters import children_of
from tests.leftovers import is_alive

CLAIM = "20261124T020646123456Z.p5.a1.k3v9x2a7m4q1c@web1-4121-x7f3kq.dask_0.json"
OTHER = "20261124T020646123456Z.p5.a1.other@web1-4121-x7f3kq.dask_1.json"


@pytest.fixture
def warden():
    warden = Warden()
    yield warden
    warden.close()


@pytest.fixture
def start():
    """Start a command that carries a claim, and nothing else of it."""
    started = []

    def start_one(claim):
        process = subprocess.Popen(["sleep", "1000"], env=environment(**{COOKIE: claim}))
        started.append(process)
        return process

    yield start_one
    for process in started:
        process.kill()
        process.wait()


def soon():
    return time.monotonic() + 3600


def test_when_its_process_lets_go_all_that_it_knows_of_is_ended(warden, start):
    begun, only_told, stranger = start(CLAIM), start(OTHER), start("another")
    warden.begins(CLAIM, soon())
    warden.began(CLAIM, begun.pid, 0.0)
    warden.begins(OTHER, soon())
    warden.close()
    assert (begun.wait(), only_told.wait()) == (-signal.SIGTERM, -signal.SIGTERM)
    assert stranger.poll() is None


def test_what_is_over_is_left_alone(warden, start):
    daemon, other = start(CLAIM), start(OTHER)
    warden.begins(CLAIM, soon())
    warden.begins(OTHER, soon())
    warden.over(CLAIM)
    warden.close()
    assert other.wait() == -signal.SIGTERM
    assert daemon.poll() is None


def test_what_is_not_wanted_any_more_is_ended(warden, start):
    command = start(CLAIM)
    warden.begins(CLAIM, time.monotonic() + 0.5)
    assert command.wait(timeout=60) == -signal.SIGTERM


def test_what_is_confirmed_is_left_alone_for_longer(warden, start):
    confirmed, other = start(CLAIM), start(OTHER)
    warden.begins(CLAIM, time.monotonic() + 0.2)
    warden.wanted_until(time.monotonic() + 3)
    begun = time.monotonic()
    assert confirmed.wait(timeout=60) == -signal.SIGTERM
    assert time.monotonic() - begun > 2.5
    assert other.poll() is None


def test_a_command_that_comes_after_its_time_is_ended_too(warden, start):
    """Its process was stopped between the permission and the start."""
    warden.begins(CLAIM, time.monotonic())
    warden.begins(OTHER, time.monotonic())
    first = start(OTHER)
    assert first.wait(timeout=60) == -signal.SIGTERM
    assert start(CLAIM).wait(timeout=60) == -signal.SIGTERM


def test_a_warden_that_was_killed_is_followed_by_one_that_knows_all(warden, start):
    command = start(CLAIM)
    warden.begins(CLAIM, soon())
    warden.began(CLAIM, command.pid, 0.0)
    (first,) = [pid for pid in children_of(os.getpid()) if pid != command.pid]
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: not is_alive(first), "the warden's end")
    warden.wanted_until(soon())
    warden.close()
    assert command.wait(timeout=60) == -signal.SIGTERM


def test_the_process_itself_may_be_killed_at_any_moment(start):
    """Nothing is told then; the pipe alone says it."""
    command = start(CLAIM)
    code = (
        "import time\nfrom spoolq.executors.dask.warden import Warden\n"
        "warden = Warden()\n"
        f"warden.begins({CLAIM!r}, time.monotonic() + 3600)\n"
        "print(flush=True)\ntime.sleep(1000)\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, env=environment()
    ) as owner:
        owner.stdout.readline()
        owner.kill()
        assert command.wait(timeout=60) == -signal.SIGTERM


def test_a_warden_heeds_no_signal_that_is_meant_for_its_worker(warden, start):
    command = start(CLAIM)
    warden.begins(CLAIM, soon())
    (pid,) = [pid for pid in children_of(os.getpid()) if pid != command.pid]
    assert os.getsid(pid) == pid
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        os.kill(pid, number)
    warden.wanted_until(soon())
    warden.close()
    assert command.wait(timeout=60) == -signal.SIGTERM

"""Fixtures that every test may use: few, and each one thing."""

import os
import signal
import subprocess
import sys
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from spoolq import platform
from spoolq.logs import logger
from spoolq.spool import SpoolDir

REPOSITORY = Path(__file__).resolve().parent.parent
# A suite that a script started with `&` inherits an ignored SIGINT, and so would every child.
signal.signal(signal.SIGINT, signal.default_int_handler)

# An example may take its time on a slow, shared machine; and the checkout may be somebody else's.
settings.register_profile(
    "unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None
)
settings.load_profile("unhurried")

# The long campaigns (power cuts, every system call) run when they are asked for: SPOOLQ_CAMPAIGNS=1
# makes pytest run their short forms; read now, since every test is kept from SPOOLQ_ variables.
CAMPAIGNS = os.environ.get("SPOOLQ_CAMPAIGNS") == "1"
NOT_ASKED_FOR = "a campaign of minutes; SPOOLQ_CAMPAIGNS=1 runs its short form"

DEADLINE = 60.0  # seconds that a condition may take on a slow, shared machine; no speed is implied


@pytest.fixture(autouse=True)
def _no_default_spool(monkeypatch, tmp_path):
    """Keep every test away from the spools of whoever runs it."""
    nowhere = tmp_path / "not-a-spool"
    for name in [key for key in os.environ if key.startswith("SPOOLQ_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("SPOOLQ_SPOOL", str(nowhere))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    yield
    assert not nowhere.exists(), "the test used the default spool"


@pytest.fixture(autouse=True)
def _log_lines_as_before():
    """Take back what a verb that is called in this process does to spoolq's own log lines."""
    before = logger.handlers[:], logger.level, logger.propagate
    yield
    logger.handlers[:], level, logger.propagate = before
    logger.setLevel(level)  # by assignment, what was enabled would stay so


@pytest.fixture
def spool(tmp_path):
    """A fresh spool."""
    directory = SpoolDir.create(str(tmp_path / "spool"))
    yield directory
    directory.close()


@pytest.fixture
def shared_spool(tmp_path, monkeypatch):
    """A fresh spool on what is taken for NFS."""
    monkeypatch.setattr(platform, "network_filesystem", lambda path: "nfs4")
    directory = SpoolDir.create(str(tmp_path / "shared"))
    yield directory
    directory.close()


class FakeClock:
    """A clock that stands until it is moved: `clock()` is the instant, `monotonic()` seconds."""

    def __init__(self):
        self._now = datetime(2026, 11, 24, 2, 6, 46, 123456, timezone.utc)
        self._seconds = 1000.0

    def __call__(self):
        return self._now

    def monotonic(self):
        return self._seconds

    def advance(self, seconds):
        self._now += timedelta(seconds=seconds)
        self._seconds += seconds

    def set_wall(self, instant):
        """Move the wall clock alone, as an administrator or NTP does."""
        self._now = instant


@pytest.fixture
def clock():
    return FakeClock()


def wait_until(condition, what="the condition"):
    """Wait for a condition, and fail when it has not come true within the deadline.

    Returns what the condition returned last.
    """
    deadline = time.monotonic() + DEADLINE
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"{what} did not come true within {DEADLINE:g} s")
        time.sleep(0.01)


def environment(**changes):
    """The environment for a spoolq of this checkout as another process."""
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), "NO_COLOR": "1", **changes}


@pytest.fixture
def run_cli(spool):
    """Run `spoolq --spool SPOOL ARGS` to its end as a real process."""

    def run(*args, check=True, stdin="", cwd=None, spool_path=None, env=None, timeout=DEADLINE):
        done = subprocess.run(
            [sys.executable, "-m", "spoolq", "--spool", str(spool_path or spool.path), *args],
            input=stdin,
            capture_output=True,
            text=True,
            cwd=cwd,
            env=environment(**(env or {})),
            timeout=timeout,
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{args} exited {done.returncode}: {done.stdout}{done.stderr}")
        return done

    return run


@pytest.fixture
def start_worker(spool):
    """Start `spoolq worker start` as a real process; killed at the end if it still lives."""
    started = []

    def start(*args, spool_path=None, env=None, cwd=None, ready=True):
        log = open(os.path.join(str(spool_path or spool.path), f".worker-{len(started)}.log"), "w+")
        process = subprocess.Popen(
            [sys.executable, "-m", "spoolq", "--spool", str(spool_path or spool.path)]
            + ["worker", "start", *args],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=environment(**(env or {})),
            cwd=cwd,
        )
        process.log_path = log.name
        log.close()
        started.append(process)
        if ready:
            workers = Path(str(spool_path or spool.path)) / "workers"
            wait_until(
                lambda: (
                    process.poll() is not None
                    or any(f"-{process.pid}-" in entry.name for entry in workers.iterdir())
                ),
                "the worker's directory",
            )
        return process

    yield start
    for process in started:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
        process.wait()


def entries(spool, state):
    """The names of the jobs in a state, in order."""
    return sorted(name for name in spool.dir(state).list() if name.endswith(".json"))

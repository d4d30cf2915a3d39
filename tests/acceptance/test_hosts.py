"""A worker whose server stops answering ends what it runs, while all its own calls hang.

The server is a file: while it is there, every call hangs that would go to it, as on a hard mount.
"""

import os
import sys
import time

import pytest

from spoolq import config
from tests import given
from tests.conftest import environment, wait_until

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="mounts are found in /proc")

LEASE = 5

# What stands for a mount: calls of `fsio`, of the directories and of the heartbeat.
WORKER = """
import os, sys, time
from spoolq import fsio, heartbeat, platform
cut = sys.argv.pop(1)
def answered(call):
    def asks(*args, **kwargs):
        while os.path.exists(cut):
            time.sleep(0.02)
        return call(*args, **kwargs)
    return asks
class Mount:
    def __getattr__(self, name):
        value = getattr(os, name)
        return answered(value) if callable(value) else value
platform.network_filesystem = lambda path: "nfs4"
fsio.os = Mount()
heartbeat.sync_data = answered(heartbeat.sync_data)
from spoolq.cli.main import main
sys.exit(main())
"""


@pytest.fixture
def cut(tmp_path):
    path = tmp_path / "cut"
    yield path
    path.unlink(missing_ok=True)


@pytest.fixture
def worker(spool, cut, tmp_path):
    import subprocess

    spool.write_config(config.write({"lease": LEASE, "durability": "none"}))
    with open(tmp_path / "log", "w+", encoding="utf-8") as log:
        process = subprocess.Popen(
            [sys.executable, "-c", WORKER, str(cut), "--spool", spool.path, "worker", "start"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment(),
        )
        process.said = lambda: (tmp_path / "log").read_text(encoding="utf-8")
        yield process
        cut.unlink(missing_ok=True)
        process.kill()
        process.wait()


def pid_in(path):
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return int(text) if text.endswith("\n") else None


def lives(pid):
    try:
        with open(f"/proc/{pid}/stat", encoding="ascii") as file:
            return file.read().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


@pytest.mark.parametrize("trap", ["", "trap '' TERM; "], ids=["heeds TERM", "deaf"])
def test_a_worker_out_of_reach_ends_its_runs_within_the_lease(
    spool, clock, worker, cut, tmp_path, trap
):
    note = tmp_path / "pid"
    command = f"{trap}echo $$ > {note}; while :; do sleep 0.1; done"
    given.job(spool, "pending", given.named(clock), command=command, max_retries=0)
    pid = wait_until(lambda: pid_in(note), "the start of the command")
    began = time.monotonic()
    cut.touch()
    wait_until(lambda: not lives(pid), "the end of the command")
    assert time.monotonic() - began < LEASE
    assert cut.exists()


def test_what_the_guard_has_ended_is_lost_and_runs_again_when_the_server_is_back(
    spool, clock, worker, cut, tmp_path
):
    note = tmp_path / "pid"
    command = f"if test -e {note}; then exit 0; fi; echo $$ > {note}; exec sleep 600"
    given.job(spool, "pending", given.named(clock), command=command)
    pid = wait_until(lambda: pid_in(note), "the start of the command")
    cut.touch()
    wait_until(lambda: not lives(pid), "the end of the command")
    cut.unlink()
    wait_until(lambda: spool.dir("completed").list(), "the second run")
    (filename,) = spool.dir("completed").list()
    first, second = given.history(spool, "completed", filename)
    assert (first["error"], second["exit_code"]) == ("worker lost", 0)
    assert worker.poll() is None


def test_a_worker_that_is_fenced_meanwhile_leaves_and_says_why(spool, clock, worker, cut, tmp_path):
    note = tmp_path / "pid"
    command = f"echo $$ > {note}; exec sleep 600"
    given.job(spool, "pending", given.named(clock), command=command)
    pid = wait_until(lambda: pid_in(note), "the start of the command")
    cut.touch()
    wait_until(lambda: not lives(pid), "the end of the command")
    (name,) = os.listdir(os.path.join(spool.path, "workers"))
    os.rename(os.path.join(spool.path, "workers", name), os.path.join(spool.path, "tmp", name))
    cut.unlink()
    assert worker.wait(60) != 0
    assert "was removed or replaced" in worker.said()
    assert [state for state, _ in given.everything(spool)] == ["processing"]


def test_a_silence_shorter_than_half_the_lease_ends_nothing(spool, clock, worker, cut, tmp_path):
    note, goes_on = tmp_path / "pid", tmp_path / "goes-on"
    command = f"echo $$ > {note}; until test -e {goes_on}; do sleep 0.1; done"
    given.job(spool, "pending", given.named(clock), command=command)
    pid = wait_until(lambda: pid_in(note), "the start of the command")
    cut.touch()
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > 0.2 * LEASE)
    assert lives(pid)
    cut.unlink()
    goes_on.touch()
    wait_until(lambda: spool.dir("completed").list(), "the end of the run")
    (filename,) = spool.dir("completed").list()
    assert [run["exit_code"] for run in given.history(spool, "completed", filename)] == [0]

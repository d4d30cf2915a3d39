"""The tour: what it shows has happened, and nothing is left of it."""

import os
import signal
import subprocess
import sys

import pytest

from tests.conftest import environment, wait_until


@pytest.fixture
def start(tmp_path):
    """Start a demo whose temporary directory is in `tmp_path`."""
    started = []

    def run(*args):
        process = subprocess.Popen(
            [sys.executable, "-m", "spoolq", "demo", *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            env=environment(TMPDIR=str(tmp_path)),
            start_new_session=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def test_the_demo_shows_success_failure_retry_death_and_rescue(start, tmp_path):
    demo = start("--keep")
    said = demo.communicate(timeout=120)[0]
    assert demo.returncode == 0, said
    for fact in (
        "hello from job",
        "attempt 1  ",
        "1 of 9",
        "Now in a directory of your own",
        "exit code 1",
        "the server is busy",
        "report.txt: No such file",
        "all is well",
        "by-hand-",
        "worker lost",
        "completed   5",
        "no worker",
    ):
        assert fact in said, f"{fact}: {said}"
    (place,) = os.listdir(tmp_path)
    assert len(os.listdir(tmp_path / place / "spool" / "completed")) == 5
    assert f"{place}/spool" in said


def left_of(demo, place):
    """Return the processes of a demo's group, and those whose spool is below `place`.

    Not those that are dead and wait for whoever is to take their exit code: the system's own first
    process may be slow to do so.
    """
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:
                is_run = f"SPOOLQ_SPOOL={place}/".encode() in file.read()
            with open(f"/proc/{entry}/stat") as file:
                state, _, group = file.read().rpartition(") ")[2].split()[:3]
        except OSError:
            continue
        if state not in "ZX" and (is_run or int(group) == demo.pid):
            found.append(entry)
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="processes are looked for in /proc")
@pytest.mark.parametrize("moment", ["hello from job", "kill -9", "worker start --drain"])
def test_nothing_is_left_of_a_demo_that_is_interrupted(start, tmp_path, moment):
    demo = start("--no-pause")
    for line in demo.stdout:
        if moment in line:
            break
    os.killpg(demo.pid, signal.SIGINT)  # as a terminal does
    demo.communicate(timeout=60)
    assert demo.returncode == 130
    assert os.listdir(tmp_path) == []
    wait_until(lambda: left_of(demo, tmp_path) == [])

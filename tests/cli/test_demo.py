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
    demo = start("--no-pause", "--keep")
    said = demo.communicate(timeout=120)[0]
    assert demo.returncode == 0, said
    for fact in (
        "hello from job",
        "1        ",
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


def runs_of(place):
    """Return the processes whose environment names a spool below `place`."""
    found = []
    for entry in os.listdir("/proc"):
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:
                if f"SPOOLQ_SPOOL={place}/".encode() in file.read():
                    found.append(entry)
        except OSError:
            continue
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
    wait_until(lambda: runs_of(tmp_path) == [])
    with pytest.raises(ProcessLookupError):
        os.killpg(demo.pid, 0)

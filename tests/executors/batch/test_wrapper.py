"""The program on the compute node: one ticket, run as a worker here would run it."""

import json
import os
import signal
import subprocess
import sys
from datetime import datetime, timezone
from pathlib import Path

import pytest

from spoolq.config import Settings
from spoolq.executors import Run
from spoolq.executors.batch import wrapper
from spoolq.executors.batch.tickets import State, Tickets, stem
from spoolq.job import Job
from spoolq.names import Name
from tests.conftest import environment, wait_until

CLAIM = Name("20261124T020646123456Z", 5, 1, "k3v9", "web-1-abc", "slurm_0")
TICKET = stem(CLAIM)


@pytest.fixture
def tickets(spool):
    return Tickets(spool)


@pytest.fixture
def start(spool, tickets):
    """Write a ticket for a job, and start the wrapper for it."""
    started = []

    def begin(command="true", settings=None, cwd="/", write=True, **fields):
        run = Run(
            CLAIM,
            CLAIM.waiting(attempt=0),
            Job({"command": command, **fields}),
            datetime(2026, 11, 24, tzinfo=timezone.utc),
            -1,
            settings or Settings(grace=0.5),
        )
        if write:
            tickets.write(TICKET, wrapper.facts_of(run, cwd))
        process = subprocess.Popen(
            [sys.executable, "-m", "spoolq.executors.batch.wrapper", spool.path, TICKET],
            env=environment(SLURM_JOB_ID="4711"),
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield begin
    for process in started:
        if process.poll() is None:
            process.terminate()
        process.wait(20)
        process.stderr.close()


def log(spool):
    path = Path(spool.path) / "logs" / f"{TICKET}.log"
    return path.read_text() if path.exists() else ""


def test_a_ticket_runs_as_a_job_does_here(start, spool, tickets, tmp_path):
    process = start(
        "echo $SPOOLQ_JOB_ID $SPOOLQ_ATTEMPT $SPOOLQ_CLAIM $A; pwd; echo oops >&2; exit 3",
        cwd=str(tmp_path),
        env={"A": "b c"},
    )
    assert process.wait(30) == 0
    end = tickets.end(TICKET)
    assert end.pop("finished_at").startswith("20")
    assert end == {"exit_code": 3}
    assert log(spool) == f"k3v9 1 {CLAIM} b c\n{tmp_path}\noops\n"
    assert tickets.starter(TICKET)["native"] == "4711"


def test_the_history_of_a_job_stays_at_home(spool, tickets, start):
    run = start("true", history=[{"attempt": 1, "output": "secret"}])
    run.wait(30)
    text = (Path(tickets.path) / f"{TICKET}.started").read_text()
    assert "secret" not in text
    assert json.loads(text.splitlines()[0])["job"] == {"command": "true"}


def test_a_second_start_runs_nothing(start, spool, tickets):
    assert start("echo once").wait(30) == 0
    again = start(write=False)
    assert again.wait(30) == 0
    assert "may not run" in again.stderr.read()
    assert log(spool) == "once\n"


def test_a_forbidden_ticket_runs_nothing(start, spool, tickets):
    tickets.forbid(TICKET)
    assert start(write=False).wait(30) == 0
    assert tickets.look(TICKET) is State.VOID


def test_a_timeout_ends_everything(start, tickets):
    assert start("sleep 100 & sleep 100", timeout=0.3).wait(30) == 0
    assert "timed out after 0.3 s" in tickets.end(TICKET)["error"]


def test_a_signal_of_the_batch_system_ends_everything(start, spool, tickets):
    process = start("trap '' TERM; echo on; sleep 100")
    wait_until(lambda: log(spool) == "on\n", "the command")
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 0
    assert tickets.end(TICKET)["error"] == wrapper.STOPPED
    assert not tickets.is_held(TICKET)


def test_a_signal_that_reaches_the_command_first_is_told_as_the_batch_systems(
    start, spool, tickets
):
    process = start("echo $$; exec sleep 100")
    pid = int(wait_until(lambda: log(spool), "the command"))
    process.send_signal(signal.SIGSTOP)
    os.kill(pid, signal.SIGTERM)
    process.send_signal(signal.SIGTERM)
    process.send_signal(signal.SIGCONT)
    assert process.wait(30) == 0
    assert tickets.end(TICKET)["error"] == wrapper.STOPPED


def test_a_request_ends_a_run_for_its_reason(start, spool, tickets):
    process = start("echo on; sleep 100")
    wait_until(lambda: log(spool), "the command")
    tickets.ask_to_end(TICKET, "cancelled")
    assert process.wait(30) == 0
    assert tickets.end(TICKET)["error"] == "cancelled"


def test_a_run_whose_ticket_is_gone_ends(start, spool, tickets):
    process = start("echo on; sleep 100")
    wait_until(lambda: log(spool), "the command")
    os.unlink(os.path.join(tickets.path, f"{TICKET}.started"))
    assert process.wait(30) == 0
    assert tickets.look(TICKET) is State.NONE


def test_a_command_holds_its_ticket_when_the_wrapper_is_killed(start, spool, tickets):
    process = start("echo $$; exec sleep 100")
    pid = int(wait_until(lambda: log(spool), "the command"))
    process.kill()
    process.wait(30)
    assert tickets.is_held(TICKET)
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: not tickets.is_held(TICKET), "the lock")


def test_a_directory_that_is_not_there_is_the_runs_end(start, tickets, tmp_path):
    assert start("true", cwd=str(tmp_path / "missing")).wait(30) == 0
    assert "cannot start on" in tickets.end(TICKET)["error"]


def test_a_spool_that_is_not_there_is_told(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "spoolq.executors.batch.wrapper", str(tmp_path / "no"), TICKET],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=30,
    )
    assert done.returncode == 1
    assert "there is no spool at" in done.stderr
    assert "Traceback" not in done.stderr

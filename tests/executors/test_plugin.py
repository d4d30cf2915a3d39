"""An executor from another package, installed as any package is: the one in docs/executors."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from spoolq import lease
from spoolq.job import Job
from tests.conftest import REPOSITORY, entries, wait_until

SOURCE = REPOSITORY / "docs" / "executors" / "detached"


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Install the package beside this one, and return what PYTHONPATH has to name for it."""
    into = tmp_path_factory.mktemp("plugin")
    copy = shutil.copytree(SOURCE, tmp_path_factory.mktemp("source") / "detached")
    done = subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", into, copy],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return f"{REPOSITORY}{os.pathsep}{into}"


@pytest.fixture
def start(installed, start_worker, tmp_path):
    def start(*args):
        directory = f"dir={tmp_path / 'runs'}"
        options = ("--executor", "detached", "-o", directory, *args)
        return start_worker(*options, env={"PYTHONPATH": installed})

    return start


def kill(worker):
    worker.send_signal(signal.SIGKILL)
    worker.wait()


def told(worker):
    return Path(worker.log_path).read_text()


def job(spool, state):
    (filename,) = entries(spool, state)
    return Job.from_bytes(spool.dir(state).read(filename, 1 << 20)[0])


def gated(tmp_path):
    """Return a command that says when it begins, and ends when it may."""
    begun, gate = tmp_path / "begun", tmp_path / "gate"
    return f"echo x >>{begun}; until [ -e {gate} ]; do sleep 0.02; done; exit 3", begun, gate


def test_it_runs_jobs_as_local_does(spool, run_cli, start):
    run_cli("enqueue", "--id", "a", "--max-retries", "0", 'echo "$SPOOLQ_JOB_ID"; exit 4')
    run_cli("enqueue", "--id", "b", "--env", "X=it works", 'echo "$X"')
    assert start("--count", "2", "--drain").wait() == 0
    assert (run_cli("logs", "a").stdout, run_cli("logs", "b").stdout) == ("a\n", "it works\n")
    assert job(spool, "dead").history[0]["exit_code"] == 4
    assert job(spool, "completed").history[0]["exit_code"] == 0


def test_never_more_run_than_it_takes(spool, run_cli, start, tmp_path):
    command, begun, gate = gated(tmp_path)
    run_cli("enqueue", "-", stdin=f"{command}\n{command}\n{command}\n")
    worker = start("--count", "2", "--drain")
    wait_until(lambda: begun.exists() and len(begun.read_text().split()) == 2, "two runs")
    names = entries(spool, "processing")
    assert [name.rpartition("@")[2].split(".")[1] for name in names] == ["detached_0", "detached_1"]
    assert all(f"-{worker.pid}-" in name for name in names)
    gate.touch()
    assert len(entries(spool, "pending")) <= 1


def test_a_run_is_found_again_after_its_worker_was_killed(spool, run_cli, start, tmp_path):
    command, begun, gate = gated(tmp_path)
    run_cli("enqueue", "--max-retries", "0", command)
    first = start()
    wait_until(begun.exists, "the run")
    kill(first)
    second = start()
    wait_until(lambda: "its run goes on" in told(second), "the run to be taken on")
    gate.touch()
    wait_until(lambda: entries(spool, "dead"), "its end")
    (entry,) = job(spool, "dead").history
    assert (entry["exit_code"], entry["attempt"]) == (3, 1)
    assert begun.read_text() == "x\n"
    assert f"-{second.pid}-" in entry["worker"]


def test_a_run_is_found_again_after_two_deaths(spool, run_cli, start, tmp_path):
    command, begun, gate = gated(tmp_path)
    run_cli("enqueue", "--max-retries", "0", command)
    for _ in range(2):
        worker = start()
        wait_until(begun.exists, "the run")
        wait_until(
            lambda worker=worker: any(
                f"-{worker.pid}-" in name for name in entries(spool, "processing")
            ),
            "the claim in its name",
        )
        kill(worker)
    gate.touch()
    third = start()
    wait_until(lambda: entries(spool, "dead"), "its end")
    (entry,) = job(spool, "dead").history
    assert entry["exit_code"] == 3
    assert begun.read_text() == "x\n"
    assert f"-{third.pid}-" in entry["worker"]


def test_a_run_that_ended_while_no_worker_was_there_is_not_run_again(
    spool, run_cli, start, tmp_path
):
    command, begun, gate = gated(tmp_path)
    run_cli("enqueue", "--max-retries", "0", command)
    first = start()
    wait_until(begun.exists, "the run")
    kill(first)
    gate.touch()
    wait_until(lambda: list(tmp_path.glob("runs/*/end")), "the end")
    start()
    wait_until(lambda: entries(spool, "dead"), "its record")
    assert job(spool, "dead").history[0]["exit_code"] == 3
    assert begun.read_text() == "x\n"


def test_a_run_that_cannot_have_begun_is_lost_and_begins_anew(spool, run_cli, start, tmp_path):
    """As if the worker had died between its claim and the engine: the ticket is still there."""
    run_cli("enqueue", "--id", "a", "exit 3")
    first = start()
    wait_until(lambda: entries(spool, "failed"), "its first run")
    kill(first)
    (filename,) = entries(spool, "failed")
    (worker,) = spool.dir("workers").list()
    name = filename.replace(".json", f"@{worker}.detached_0.json")
    spool.dir("failed").rename(filename, spool.dir("processing"), name)
    start()
    wait_until(lambda: entries(spool, "failed") or entries(spool, "pending"), "its retry")
    state = "failed" if entries(spool, "failed") else "pending"
    errors = [entry.get("error") for entry in job(spool, state).history]
    assert "worker lost" in errors


def test_no_other_worker_touches_its_claims(spool, run_cli, start, start_worker, tmp_path):
    command, begun, gate = gated(tmp_path)
    run_cli("enqueue", "--id", "a", command)
    first = start()
    wait_until(begun.exists, "the run")
    kill(first)
    claims = entries(spool, "processing")
    other = start_worker("--count", "1")
    run_cli("enqueue", "--id", "b", "true")
    wait_until(lambda: entries(spool, "completed"), "another job")
    wait_until(lambda: "can tell" in told(other), "word of it")
    assert f"--executor detached -o dir={tmp_path / 'runs'}" in told(other)
    assert entries(spool, "processing") == claims
    run_cli("doctor", "--repair", check=False)
    assert entries(spool, "processing") == claims
    gate.touch()


def test_who_removes_the_worker_s_directory_declares_its_runs_lost(
    spool, run_cli, start, start_worker, tmp_path
):
    command, begun, gate = gated(tmp_path)
    run_cli("enqueue", "--id", "a", "--max-retries", "0", command)
    first = start()
    wait_until(begun.exists, "the run")
    kill(first)
    gate.touch()
    (worker,) = spool.dir("workers").list()
    lease.clear(spool.dir("workers"), worker, spool.dir("tmp"))
    start_worker()
    wait_until(lambda: entries(spool, "dead"), "its end")
    assert job(spool, "dead").history[-1]["error"] == "worker lost"


def test_a_cancel_that_nobody_could_heed_is_heeded_by_the_next(spool, run_cli, start, tmp_path):
    command, begun, _ = gated(tmp_path)
    run_cli("enqueue", "--id", "a", command)
    first = start()
    wait_until(begun.exists, "the run")
    kill(first)
    asked = subprocess.Popen(
        [sys.executable, "-m", "spoolq", "--spool", spool.path, "cancel", "a"],
        stderr=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        cwd=REPOSITORY,
    )
    (worker,) = (name for name in spool.dir("workers").list() if f"-{first.pid}-" in name)
    directory = Path(spool.path, "workers", worker)
    wait_until((directory / "cancel.a").exists, "the request")
    start()
    wait_until(lambda: entries(spool, "dead"), "its end")
    assert asked.wait() == 0
    (entry,) = job(spool, "dead").history
    assert entry["error"] == "cancelled"


def test_worker_json_says_who_runs_its_jobs(spool, run_cli, start, tmp_path):
    start()
    (worker,) = spool.dir("workers").list()
    card = json.loads(Path(spool.path, "workers", worker, "worker.json").read_text())
    assert card["executor"] == {"name": "detached", "dir": str(tmp_path / "runs")}


def test_a_missing_option_is_asked_for(installed, spool, run_cli):
    done = run_cli(
        "worker", "start", "--executor", "detached", check=False, env={"PYTHONPATH": installed}
    )
    assert done.returncode == 1
    assert "needs a directory" in done.stderr
    assert "-o dir=" in done.stderr

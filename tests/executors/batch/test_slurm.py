"""All of it on a real Slurm: jobs end as they would here, once each, whatever dies meanwhile."""

import json
import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.conftest import CAMPAIGNS, NOT_ASKED_FOR, entries, wait_until
from tests.leftovers import is_alive

QUICK = ("-o", "poll=1s")
campaign = pytest.mark.skipif(not CAMPAIGNS, reason=NOT_ASKED_FOR)


@pytest.fixture
def on_slurm(start_worker, slurm):
    """Start a worker whose jobs go to Slurm."""

    def start(*args, env=None, **more):
        environment = {**slurm.environment, **(env or {})}
        return start_worker("--executor", "slurm", *QUICK, *args, env=environment, **more)

    yield start
    slurm.run("scancel", "--me", "--signal=KILL", "--full", check=False)
    slurm.run("scancel", "--me", check=False)


@pytest.fixture
def enqueue(run_cli):
    def enqueue(command, *options, retries=0):
        done = run_cli("enqueue", "--max-retries", str(retries), *options, command)
        return done.stdout.strip()

    return enqueue


@pytest.fixture
def jobs(run_cli):
    """All jobs, by their ids."""
    return lambda: {job["id"]: job for job in json.loads(run_cli("list", "--json").stdout)}


@pytest.fixture
def log(run_cli):
    return lambda job_id: run_cli("logs", job_id, check=False).stdout


def all_over(jobs, meanwhile=lambda: None):
    def over():
        meanwhile()
        found = jobs()  # the one look that counts: of none all have ended
        ended = all(job["state"] in ("completed", "dead") for job in found.values())
        return found if ended else None

    return wait_until(over, "the end of all jobs")


def notes(place):
    """What the commands have noted, by job: each starts and ends with a word."""
    return {path.name: path.read_text().split() for path in place.iterdir()}


def noting(place, seconds):
    """A command that notes its start and its end."""
    file = f"{place}/$SPOOLQ_JOB_ID"
    return f"echo start >> {file}; sleep {seconds}; echo end >> {file}"


@pytest.fixture
def place(tmp_path):
    (tmp_path / "notes").mkdir()
    return tmp_path / "notes"


def test_jobs_end_on_slurm_as_they_would_here(on_slurm, enqueue, jobs, log, tmp_path):
    good = enqueue("echo $SPOOLQ_JOB_ID at $SLURM_JOB_ID; echo oops >&2")
    bad = enqueue("exit 3")
    missing = enqueue("no-such-command")
    killed = enqueue("kill -9 $$")
    there = enqueue("pwd; echo $WHO", "--cwd", str(tmp_path), "--env", "WHO=me")
    worker = on_slurm("--drain")
    assert worker.wait(60) == 0
    found = jobs()
    assert found[good]["state"] == found[there]["state"] == "completed"
    assert [found[one]["exit_code"] for one in (good, bad, missing)] == [0, 3, 127]
    assert found[killed]["error"] == "killed by signal 9"
    first, second = log(good).splitlines()
    assert first.startswith(f"{good} at ")
    assert first.split()[-1].isdigit()
    assert second == "oops"
    assert log(there) == f"{tmp_path}\nme\n"


def test_a_worker_that_is_killed_finds_its_jobs_again(
    on_slurm, enqueue, jobs, place, spool, slurm, run_cli
):
    """Some of them run in Slurm at that moment, the others wait in its queue."""
    ids = [enqueue(noting(place, 3)) for _ in range(2 * os.cpu_count() + 1)]
    first = on_slurm()
    wait_until(lambda: len(notes(place)) >= os.cpu_count(), "the first to run")
    wait_until(lambda: list(slurm.jobs().values()).count("PD") >= 2, "others to wait")
    first.kill()
    first.wait()
    assert len(entries(spool, "processing")) >= 3
    second = on_slurm("--drain")
    assert second.wait(90) == 0
    found = jobs()
    assert {found[one]["state"] for one in ids} == {"completed"}
    assert {found[one]["attempts"] for one in ids} == {1}
    assert notes(place) == {one: ["start", "end"] for one in ids}
    for one in ids:
        assert len(json.loads(run_cli("show", one, "--json").stdout)["history"]) == 1


@campaign
def test_a_job_that_ended_while_no_worker_lived_is_told_as_it_ended(
    on_slurm, enqueue, jobs, place, spool
):
    job = enqueue(f"{noting(place, 0)}; exit 5")
    first = on_slurm()
    wait_until(lambda: list((Path(spool.path) / "tickets").glob("*.ready")), "the ticket")
    wait_until(lambda: "native" in "".join(_slots(spool)), "the note")
    first.kill()
    first.wait()
    wait_until(lambda: list((Path(spool.path) / "tickets").glob("*.ended")), "its end")
    assert on_slurm("--drain").wait(60) == 0
    assert jobs()[job]["exit_code"] == 5
    assert notes(place)[job] == ["start", "end"]


def _slots(spool):
    for path in Path(spool.path).glob("workers/*/slurm_*.lock"):
        yield path.read_text()


@campaign
def test_a_worker_that_dies_in_sbatch_leaves_no_job_that_runs_twice(
    on_slurm, enqueue, jobs, place, spool, tmp_path, slurm
):
    """sbatch goes on when its parent is dead, and the job is there when nobody expects it."""
    slow = tmp_path / "bin" / "sbatch"
    slow.parent.mkdir()
    real = subprocess.run(["which", "sbatch"], capture_output=True, text=True).stdout.strip()
    slow.write_text(f'#!/bin/sh\ntouch {tmp_path}/in\nsleep 4\n{real} "$@"; touch {tmp_path}/out\n')
    slow.chmod(slow.stat().st_mode | stat.S_IXUSR)
    job = enqueue(noting(place, 0), retries=1)
    first = on_slurm(env={"PATH": f"{slow.parent}:{os.environ['PATH']}"})
    wait_until((tmp_path / "in").exists, "sbatch")
    first.kill()
    first.wait()
    assert on_slurm("--drain").wait(60) == 0
    wait_until((tmp_path / "out").exists, "the late submit")
    wait_until(lambda: not {"PD", "R", "CG"} & set(slurm.jobs().values()), "the late job")
    assert jobs()[job]["state"] == "completed"
    assert notes(place) == {job: ["start", "end"]}


@campaign
def test_a_cancelled_job_that_waits_in_slurm_never_runs(
    on_slurm, enqueue, jobs, place, run_cli, slurm
):
    blockers = [enqueue(noting(place, 4)) for _ in range(os.cpu_count())]
    on_slurm()
    wait_until(lambda: len(notes(place)) == len(blockers), "the others to run")
    job = enqueue(noting(place, 0))
    wait_until(lambda: "PD" in slurm.jobs().values(), "the job to wait")
    run_cli("cancel", job)
    assert jobs()[job]["error"] == "cancelled"
    all_over(jobs)
    wait_until(lambda: not {"PD", "R", "CG"} & set(slurm.jobs().values()), "an empty queue")
    assert job not in notes(place)


def test_a_cancelled_job_that_runs_is_ended_whole(on_slurm, enqueue, jobs, log, run_cli):
    job = enqueue("trap 'echo bye; exit' TERM; setsid sleep 1000 & echo $!; sleep 1000 & wait")
    on_slurm()
    pid = wait_until(lambda: log(job).strip(), "the command")
    run_cli("cancel", job)
    assert jobs()[job]["state"] == "dead"
    assert jobs()[job]["error"] == "cancelled"
    assert "bye" in log(job)
    assert not is_alive(int(pid))


@campaign
def test_a_job_that_scancel_ends_is_told_as_that_and_tried_again(
    on_slurm, enqueue, jobs, log, place, slurm
):
    job = enqueue(f"[ -e {place}/x ] && exit; touch {place}/x; echo on; sleep 1000", retries=1)
    on_slurm()
    wait_until(lambda: log(job) == "on\n", "the command")
    slurm.run("scancel", "--me")
    assert all_over(jobs)[job]["state"] == "completed"
    assert jobs()[job]["attempts"] == 2


@campaign
def test_an_attempt_whose_wrapper_was_killed_is_over_when_nothing_of_it_lives(
    on_slurm, enqueue, jobs, log, spool, slurm
):
    """Slurm says that the job has ended while its command, in a session of its own, lives on."""
    job = enqueue("echo $$; exec sleep 1000")
    on_slurm()
    pid = int(wait_until(lambda: log(job).strip(), "the command"))
    (ticket,) = (Path(spool.path) / "tickets").glob("*.started")
    about = json.loads(ticket.read_text().splitlines()[1])
    os.kill(about["pid"], signal.SIGKILL)
    try:
        ended = {"CD", "F", "CA", "NF"}
        wait_until(lambda: slurm.jobs()[about["native"]] in ended, "the end of the batch job")
        assert jobs()[job]["state"] == "processing" or not Path(f"/proc/{pid}").exists()
    finally:
        if Path(f"/proc/{pid}").exists():
            os.kill(pid, signal.SIGKILL)
    wait_until(lambda: jobs()[job]["state"] == "dead", "the end")
    assert "without a word" in jobs()[job]["error"]


def test_slurm_does_not_start_a_job_again_by_itself(on_slurm, enqueue, log, jobs, place, slurm):
    job = enqueue(noting(place, 2))
    on_slurm()
    number = wait_until(lambda: [n for n, state in slurm.jobs().items() if state == "R"], "it")[0]
    wait_until(lambda: notes(place), "its start")
    slurm.run("scontrol", "requeue", number, check=False)
    all_over(jobs)
    assert notes(place)[job] == ["start", "end"]


@campaign
@pytest.mark.parametrize("daemon", ["slurmctld", "slurmd"])
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_no_job_is_lost_when_a_daemon_of_slurm_is_restarted(
    on_slurm, enqueue, jobs, place, slurm, daemon, number
):
    """A controller that is killed forgets the last seconds, and has the node end what it forgot."""
    ids = [enqueue(noting(place, 1), retries=5) for _ in range(2 * os.cpu_count())]
    on_slurm()
    wait_until(lambda: notes(place), "the first to run")
    slurm.restart(daemon, number)
    found = all_over(jobs, meanwhile=slurm.resume)
    assert {found[one]["state"] for one in ids} == {"completed"}
    assert {tuple(noted[-2:]) for noted in notes(place).values()} == {("start", "end")}
    if number == signal.SIGTERM:
        assert notes(place) == {one: ["start", "end"] for one in ids}


@campaign
def test_while_slurm_is_away_jobs_wait_and_the_worker_says_so(
    on_slurm, enqueue, jobs, spool, place, slurm
):
    slurm.end("slurmctld")
    try:
        first = enqueue(noting(place, 0))
        worker = on_slurm()
        wait_until(lambda: "slurm takes no jobs" in _said(worker), "the complaint")
        later = [enqueue(noting(place, 0)) for _ in range(3)]
        assert len(entries(spool, "pending")) == 3
    finally:
        slurm.begin("slurmctld")
    found = all_over(jobs)
    assert {found[one]["state"] for one in (first, *later)} == {"completed"}
    assert {found[one]["attempts"] for one in (first, *later)} == {1}
    assert "slurm takes jobs again" in _said(worker)


def _said(worker):
    return Path(worker.log_path).read_text()


def test_needs_and_timeout_become_what_slurm_is_asked_for(on_slurm, enqueue, jobs, log):
    asked = enqueue(
        "scontrol show job $SLURM_JOB_ID",
        *("--needs", "gpu=2", "--needs", "cpus=2", "--needs", "memory=2e8", "--timeout", "5m"),
    )
    bare = enqueue("scontrol show job $SLURM_JOB_ID")
    on_slurm("-o", "walltime=3h")
    all_over(jobs)
    assert "gres:gpu:2" in log(asked)
    assert "CPUs/Task=2" in log(asked)
    assert "MinMemoryNode=191M" in log(asked)
    assert "TimeLimit=00:07:00" in log(asked)
    assert "TimeLimit=03:00:00" in log(bare)
    assert f"JobName=spoolq.{bare}" in log(bare)
    assert "Requeue=0" in log(bare)


def test_what_slurm_can_never_give_ends_the_attempt_and_not_the_others(on_slurm, enqueue, jobs):
    greedy = enqueue("true", "--needs", "gpu=100")
    strange = enqueue("true", "--needs", "wings=2")
    modest = enqueue("true")
    on_slurm()
    found = all_over(jobs)
    assert "slurm refuses it" in found[greedy]["error"]
    assert "'wings'" in found[strange]["error"]
    assert found[modest]["state"] == "completed"


def test_a_python_without_spoolq_is_told(on_slurm, enqueue, jobs, tmp_path):
    bare = tmp_path / "python"
    bare.write_text(f'#!/bin/sh\nexec {sys.executable} -S -E "$@"\n')
    bare.chmod(0o755)
    job = enqueue("true")
    on_slurm("-o", f"python={bare}")
    error = all_over(jobs)[job]["error"]
    assert "before it began" in error
    assert "No module named" in error


def test_a_queue_that_is_not_there_is_said_and_the_jobs_wait(on_slurm, enqueue, jobs, run_cli):
    job = enqueue("true")
    worker = on_slurm("-o", "queue=nowhere")
    wait_until(lambda: "nowhere" in _said(worker) or "partition" in _said(worker), "the complaint")
    assert jobs()[job]["state"] == "processing"
    run_cli("worker", "stop", "--now")
    assert jobs()[job]["state"] == "pending"
    assert jobs()[job]["attempts"] == 0

"""The seed scenarios of the command line, with their real delays and real processes."""

import json
import os
import signal

from spoolq import instants
from tests.conftest import entries, wait_until


def jobs(run_cli, state):
    return json.loads(run_cli("list", "--state", state, "--json").stdout)


def seconds_between(first, second):
    return (instants.from_rfc3339(second) - instants.from_rfc3339(first)).total_seconds()


def test_a_job_goes_from_pending_through_processing_to_completed(run_cli, start_worker, spool):
    job_id = run_cli("enqueue", '{"command": "sleep 3"}').stdout.strip()
    assert [job["id"] for job in jobs(run_cli, "pending")] == [job_id]

    worker = start_worker("--count", "1")
    wait_until(lambda: entries(spool, "processing"), "the job in processing/")
    assert [job["id"] for job in jobs(run_cli, "processing")] == [job_id]
    wait_until(lambda: entries(spool, "completed"), "the job in completed/")
    job = jobs(run_cli, "completed")[0]
    assert (job["id"], job["exit_code"], job["attempts"]) == (job_id, 0, 1)

    run_cli("worker", "stop")
    assert worker.wait() == 0


def test_a_command_that_is_not_found_is_retried_after_2_4_and_8_seconds_and_then_dead(
    run_cli, start_worker, spool
):
    for command in ("invalidcmd", "foobar123"):
        run_cli("enqueue", json.dumps({"command": command}))
    worker = start_worker("--count", "1", "--drain")
    assert worker.wait() == 0

    dead = json.loads(run_cli("dlq", "list", "--json").stdout)
    assert sorted(job["command"] for job in dead) == ["foobar123", "invalidcmd"]
    for job in dead:
        assert [run["exit_code"] for run in job["history"]] == [127] * 4
        waits = [
            seconds_between(before["finished_at"], after["started_at"])
            for before, after in zip(job["history"], job["history"][1:])
        ]
        assert all(wait >= due for wait, due in zip(waits, (2, 4, 8))), waits
        assert job["attempts"] == 4


def test_two_jobs_run_at_once_with_count_2(run_cli, start_worker, spool):
    for _ in range(2):
        run_cli("enqueue", "sleep 5")
    assert start_worker("--count", "2", "--drain").wait() == 0

    first, second = (job["history"][0] for job in jobs(run_cli, "completed"))
    assert seconds_between(first["started_at"], second["finished_at"]) > 0
    assert seconds_between(second["started_at"], first["finished_at"]) > 0


def test_nothing_is_lost_when_the_worker_is_stopped_and_started_again(run_cli, start_worker, spool):
    ids = {run_cli("enqueue", f"sleep 0.5; echo {n}").stdout.strip() for n in range(4)}
    worker = start_worker("--count", "1")
    wait_until(lambda: entries(spool, "processing"), "the first job running")
    worker.send_signal(signal.SIGINT)
    assert worker.wait() == 0
    assert entries(spool, "processing") == []
    assert len(entries(spool, "completed")) + len(entries(spool, "pending")) == 4

    assert start_worker("--count", "2", "--drain").wait() == 0
    completed = jobs(run_cli, "completed")
    assert {job["id"] for job in completed} == ids
    assert all(len(job["history"]) == 1 for job in completed)


def test_every_verb_of_the_seed_works_under_its_own_words(run_cli, start_worker, spool):
    run_cli("config", "set", "max-retries", "0")
    job_id = run_cli("enqueue", '{"command": "exit 7"}').stdout.strip()
    worker = start_worker("--count", "2")
    wait_until(lambda: entries(spool, "dead"), "the job in dead/")

    status = json.loads(run_cli("status", "--json").stdout)
    assert (status["dead"], status["pending"], status["completed"]) == (1, 0, 0)
    assert job_id in run_cli("dlq", "list").stdout
    assert json.loads(run_cli("list", "--state", "completed", "--json").stdout) == []

    run_cli("config", "set", "max_retries", "5")
    run_cli("config", "set", "backoff_base", "3")
    run_cli("dlq", "retry", job_id)
    wait_until(lambda: entries(spool, "failed"), "the job in failed/")
    failed = jobs(run_cli, "failed")[0]
    assert (failed["attempts"], failed["max_retries"]) == (1, 5)
    assert len(failed["history"]) == 2
    wait = seconds_between(failed["history"][-1]["finished_at"], failed["not_before"])
    assert wait == 3

    run_cli("worker", "stop")
    assert worker.wait() == 0
    assert os.listdir(os.path.join(spool.path, "workers")) == []

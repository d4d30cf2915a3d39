"""What a job says of its exit codes, and a running one of itself, by real commands."""

import json
import os

import pytest

from tests.conftest import entries, wait_until


def shown(spoolq, job_id="a"):
    return json.loads(spoolq("show", "--json", job_id).out)


def drain(start_worker):
    assert start_worker("--drain").wait() == 0


@pytest.mark.parametrize(
    ("options", "code", "state"),
    [
        (("--success-on", "3,4"), 4, "completed"),
        (("--dead-on", "100"), 100, "dead"),
        (("--retry-on", "1,2"), 7, "dead"),
    ],
)
def test_exit_codes_send_a_job_where_it_says(spool, spoolq, start_worker, options, code, state):
    spoolq("enqueue", "--id", "a", *options, f"exit {code}")
    drain(start_worker)
    job = shown(spoolq)
    assert (job["state"], job["exit_code"], len(job["history"])) == (state, code, 1)
    assert (job["error"] is None) is (state == "completed")


def test_codes_that_are_none_are_refused(spoolq):
    assert "no list of exit codes" in spoolq("enqueue", "--dead-on", "x", "true", code=2).err
    assert "--dead-on" in spoolq("enqueue", "--dead-on", "256", "true", code=2).err


def test_a_run_says_when_it_wants_to_be_tried_again(spool, spoolq, start_worker):
    spoolq("enqueue", "--id", "a", 'echo 3600 >"$SPOOLQ_RETRY_AFTER"; exit 1')
    start_worker()
    wait_until(lambda: entries(spool, "failed"), "its end")
    job = shown(spoolq)
    assert job["not_before"] == job["history"][0]["retry_at"]
    assert job["attempts"] == 1


def test_a_run_that_could_not_even_try_uses_no_attempt(spool, spoolq, start_worker, tmp_path):
    counter = tmp_path / "runs"
    spoolq(
        "enqueue", "--id", "a", "--max-retries", "0",
        f"echo x >>{counter}; [ $(wc -l <{counter}) -gt 3 ] && exit 0;"
        ' echo 0 >"$SPOOLQ_RETRY_AFTER"; exit 75',
    )  # fmt: skip
    drain(start_worker)
    job = shown(spoolq)
    assert (job["state"], job["attempts"], len(job["history"])) == ("completed", 1, 4)
    assert [run.get("deferred", False) for run in job["history"]] == [True, True, True, False]


def test_without_a_time_code_75_is_a_failure_like_any_other(spool, spoolq, start_worker):
    spoolq("enqueue", "--id", "a", "--max-retries", "0", "exit 75")
    drain(start_worker)
    assert shown(spoolq)["state"] == "dead"


def test_a_running_job_tells_how_far_it_is(spool, spoolq, start_worker, tmp_path):
    gate = tmp_path / "gate"
    spoolq(
        "enqueue", "--id", "a",
        f'echo 42 halfway there >"$SPOOLQ_PROGRESS"; until [ -e {gate} ]; do sleep 0.02; done',
    )  # fmt: skip
    assert shown(spoolq)["progress"] is None
    start_worker()
    wait_until(lambda: shown(spoolq)["progress"], "its progress")
    assert shown(spoolq)["progress"] == {"percent": 42, "text": "halfway there"}
    assert "42 % halfway there" in spoolq("show", "a").out
    gate.touch()
    wait_until(lambda: entries(spool, "completed"), "its end")
    (worker,) = spool.dir("workers").list()
    room = os.path.join(spool.path, "workers", worker)
    wait_until(
        lambda: not [entry for entry in os.listdir(room) if "progress" in entry],
        "the file to be tidied",
    )

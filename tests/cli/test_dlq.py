"""The dead letter queue: why, again, and never by accident away."""

import json
import os

import pytest

from spoolq import instants
from tests.conftest import entries


@pytest.fixture
def dead(spoolq, start_worker):
    """One job that failed for good, one that was cancelled."""
    spoolq("enqueue", "--id", "bad", "--max-retries", "0", "echo why; exit 3")
    assert start_worker("--drain").wait() == 0
    spoolq("enqueue", "--id", "unwanted", "true")
    spoolq("cancel", "unwanted")


def drop(spool, name, text, state="dead"):
    with open(os.path.join(spool.path, state, name), "w") as file:
        file.write(text)


def why(spoolq):
    return {job["id"]: job["why"] for job in json.loads(spoolq("dlq", "list", "--json").out)}


def test_list_says_why_each_is_dead(spoolq, spool, dead):
    drop(spool, "comma.json", '{"command": "x",}')
    drop(spool, "field.json", '{"command": "x",\n "priority": 99}')
    drop(spool, "mended.json", '{"command": "x"}')
    drop(spool, "twice.json", '{"command": "x", "id": "bad"}')
    drop(spool, "20261124T020646123456Z.p5.a1.byhand.json", '{"command": "x"}')
    reasons = why(spoolq)
    assert reasons.pop("comma.json").startswith("no job: line 1, column 1")  # Pythons differ
    assert reasons == {
        "bad": "exit code 3",
        "unwanted": "cancelled",
        "field.json": "no job: line 2, column 14, field 'priority': must be from 0 to 9",
        "mended.json": "it is a job now; dlq retry takes it in",
        "twice.json": "its id bad is taken by a job that is dead",
        "byhand": "put here by hand",
    }
    lines = spoolq("dlq", "list").out.splitlines()
    assert any("exit code 3: why  echo why; exit 3" in line for line in lines)
    assert any("line 2, column 14, field 'priority'" in line for line in lines)


def test_list_of_nothing_is_an_empty_array(spoolq):
    assert json.loads(spoolq("dlq", "list", "--json").out) == []
    assert spoolq("dlq", "list").out == ""


def test_retry_gives_all_attempts_back_and_keeps_the_history(spoolq, spool, dead):
    assert spoolq("dlq", "retry", "bad").err == "bad: runs again\n"
    job = json.loads(spoolq("show", "bad", "--json").out)
    assert (job["state"], job["attempts"], len(job["history"])) == ("pending", 0, 1)


def test_retry_all_takes_those_that_failed_alone(spoolq, spool, dead):
    drop(spool, "no-job.json", "{")
    spoolq("dlq", "retry", "--all")
    assert set(why(spoolq)) == {"unwanted", "no-job.json"}
    assert "nothing to retry" in spoolq("dlq", "retry", "--all").err


def test_retry_takes_in_a_file_that_has_been_mended(spoolq, spool):
    drop(spool, "my job.json", '{"command": "x", "priority": 99}')
    done = spoolq("dlq", "retry", "my job.json", code=1)
    assert "field 'priority'" in done.err
    assert f"  file  {spool.path}/dead/my job.json" in done.err
    assert "hint: mend the file, then retry it" in done.err
    drop(spool, "my job.json", '{"command": "x", "priority": 9}')
    assert "my job.json: runs again as " in spoolq("dlq", "retry", "my job.json").err
    assert ".p9.a0." in entries(spool, "pending")[0]


def test_retry_needs_ids_or_all_and_not_both(spoolq):
    spoolq("dlq", "retry", code=2)
    spoolq("dlq", "retry", "x", "--all", code=2)


def test_purge_in_a_pipe_requires_yes(spoolq, spool, dead):
    assert "hint: say it with --yes" in spoolq("dlq", "purge", code=2).err
    assert len(entries(spool, "dead")) == 2


def test_purge_removes_what_is_dead_with_its_logs(spoolq, spool, dead):
    drop(spool, "no-job.json", "{")
    spoolq("enqueue", "--id", "waits", "--in", "1h", "true")
    done = spoolq("dlq", "purge", "--yes")
    assert "removed 3 jobs and 1 log of " in done.err
    assert entries(spool, "dead") == []
    assert spool.dir("logs").list() == []
    assert len(entries(spool, "pending")) == 1


def test_purge_leaves_what_is_younger(spoolq, spool, dead):
    assert "removed 0 jobs" in spoolq("dlq", "purge", "--older-than", "1h", "--yes").err
    old = instants.to_stamp(instants.later(instants.now(), -7200))
    name = entries(spool, "dead")[0]
    os.rename(f"{spool.path}/dead/{name}", f"{spool.path}/dead/{old}{name[22:]}")
    assert "removed 1 job " in spoolq("dlq", "purge", "--older-than", "1h", "--yes").err
    assert len(entries(spool, "dead")) == 1


def test_purge_says_what_it_cannot_remove(spoolq, spool):
    os.mkdir(f"{spool.path}/dead/directory.json")
    drop(spool, "no-job.json", "{")
    done = spoolq("dlq", "purge", "--yes", code=1)
    assert "directory.json" in done.err
    assert entries(spool, "dead") == ["directory.json"]


# --- purge of completed jobs ----------------------------------------------------------------------


def test_purge_of_completed_jobs_never_touches_the_dead(spoolq, spool, start_worker, dead):
    spoolq("enqueue", "--id", "good", "echo x")
    assert start_worker("--drain").wait() == 0
    spoolq("purge", "--state", "completed", "--older-than", "7d")
    assert len(entries(spool, "completed")) == 1
    spoolq("purge", code=2)
    done = spoolq("purge", "--older-than", "0")
    assert "removed 1 job and 1 log of" in done.err
    assert entries(spool, "completed") == []
    assert len(entries(spool, "dead")) == 2
    spoolq("purge", "--state", "dead", "--state", "completed", "--yes")
    assert entries(spool, "dead") == []


@pytest.mark.parametrize("state", ["pending", "processing", "failed"])
def test_purge_of_what_has_not_ended_is_refused(spoolq, state):
    assert "have not ended" in spoolq("purge", "--state", state, "--yes", code=2).err


def test_purge_leaves_the_log_of_a_later_job_of_the_same_id(spoolq, spool, start_worker):
    spoolq("enqueue", "--id", "x", "echo first")
    assert start_worker("--drain").wait() == 0
    (first,) = spool.dir("logs").list()
    (name,) = entries(spool, "completed")
    earlier = "20200101T000000000000Z"
    os.rename(f"{spool.path}/completed/{name}", f"{spool.path}/completed/{earlier}{name[22:]}")
    spoolq("purge", "--older-than", "1d")
    assert spool.dir("logs").list() == [first]
    assert entries(spool, "completed") == []

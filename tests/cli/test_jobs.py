"""`list`, `show`, `logs`, `cancel`, `retry`, and `status` as data."""

import json
import os
import subprocess
import sys

import pytest

from spoolq import instants
from spoolq.layout import STATES
from tests.conftest import entries, environment, wait_until

LISTED = {
    "id", "command", "state", "attempts", "max_retries", "priority", "created_at", "updated_at",
    "not_before", "exit_code", "error",
}  # fmt: skip


@pytest.fixture
def worked(spoolq, start_worker):
    """A spool in which a job of each kind has ended."""
    spoolq("enqueue", "--id", "good", "--tag", "t", "echo out; echo err >&2")
    spoolq("enqueue", "--id", "bad", "--max-retries", "0", "echo why; exit 3")
    spoolq("enqueue", "--id", "silent", "true")
    assert start_worker("--drain").wait() == 0
    spoolq("enqueue", "--id", "later", "--in", "1h", "--tag", "t", "echo", "a b")


# --- list -----------------------------------------------------------------------------------------


def test_list_json_is_an_array_and_empty_where_nothing_is(run_cli):
    done = run_cli("list", "--json")
    assert json.loads(done.stdout) == []
    assert done.stderr == ""


def test_list_json_has_the_fields_of_the_contract(spoolq, worked):
    found = {job["id"]: job for job in json.loads(spoolq("list", "--json").out)}
    assert set(found) == {"good", "bad", "silent", "later"}
    assert all(set(job) >= LISTED for job in found.values())
    assert found["good"]["state"] == "completed"
    assert (found["bad"]["state"], found["bad"]["exit_code"]) == ("dead", 3)
    assert found["bad"]["error"] == "exit code 3"
    assert found["later"]["not_before"] > found["later"]["created_at"]


def test_list_takes_state_tag_and_limit(spoolq, worked):
    def ids(*args):
        return {job["id"] for job in json.loads(spoolq("list", "--json", *args).out)}

    assert ids("--state", "dead") == {"bad"}
    assert ids("--tag", "t") == {"good", "later"}
    assert ids("--tag", "t", "--state", "completed") == {"good"}
    assert len(ids("--limit", "2")) == 2
    assert ids("--state", "failed") == set()
    spoolq("list", "--limit", "0", code=2)


def test_list_in_a_pipe_has_aligned_columns_and_all_jobs(spoolq):
    spoolq("enqueue", "-", stdin=b"echo 'a b'\n" * 60)
    lines = spoolq("list").out.splitlines()
    assert lines[0].split() == ["ID", "STATE", "TRY", "WHEN", "COMMAND"]
    assert len(lines) == 61
    for line in lines[1:]:
        job_id, state, tried, at, command = line.split(None, 4)
        assert (len(job_id), state, tried, command) == (13, "pending", "0/4", "echo 'a b'")
        assert instants.from_rfc3339(at) <= instants.now()


def test_list_of_nothing_prints_nothing_in_a_pipe(run_cli):
    done = run_cli("list")
    assert (done.stdout, done.stderr) == ("", "")


def test_hostile_names_and_commands_reach_no_terminal(spoolq, spool):
    spoolq("enqueue", "--name", "\x1b]0;evil\x07", "--tag", "\x1b[2J", "echo \x1b[31m\u202e")
    with open(os.path.join(spool.path, "dead", "x\x1b[2J.json"), "w") as file:
        file.write('{"\x1b[2J": 1}')
    for verb in ("list", "show", "status", "dlq list", "list --json", "show --json"):
        done = spoolq(*verb.split())
        assert not set("\x1b\x07\u202e") & set(done.out + done.err)


# --- show -----------------------------------------------------------------------------------------


def test_show_tells_everything_about_a_job(spoolq, spool, worked):
    text = spoolq("show", "bad").out
    for part in (
        "job  bad is dead: exit code 3, after attempt 1 of 1, ",
        "  command    echo why; exit 3",
        "what attempt 1 printed\n  │ why\n",
        "next  nothing by itself; when the cause is mended:  spoolq retry bad\n",
        spool.path,
    ):
        assert part in text
    assert "'a b'" in spoolq("show").out


def test_show_json_is_one_object(spoolq, worked):
    job = json.loads(spoolq("show", "good", "--json").out)
    assert (job["id"], job["state"], job["attempts"], job["tags"]) == (
        "good",
        "completed",
        1,
        ["t"],
    )
    assert len(job["history"]) == 1
    assert job["file"].endswith(".good.json")


def test_a_beginning_of_an_id_is_enough_where_it_is_the_only_one(spoolq, worked):
    assert json.loads(spoolq("show", "lat", "--json").out)["id"] == "later"
    spoolq("enqueue", "--in", "1h", "--id", "later2", "true")
    assert "2 ids begin with 'lat'" in spoolq("show", "lat", code=1).err


# --- logs -----------------------------------------------------------------------------------------


def test_logs_prints_both_streams_in_order(run_cli, worked):
    done = run_cli("logs", "good")
    assert (done.stdout, done.stderr) == ("out\nerr\n", "")


def test_logs_into_a_pipe_are_raw(spoolq, spool, start_worker):
    spoolq("enqueue", "--id", "raw", r"printf '\033[2J\377\000\r\n'")
    assert start_worker("--drain").wait() == 0
    command = [sys.executable, "-m", "spoolq", "--spool", spool.path, "logs", "raw"]
    assert subprocess.check_output(command, env=environment()) == b"\x1b[2J\xff\0\r\n"


def test_logs_of_a_silent_job_are_empty_and_told_of(run_cli, worked):
    done = run_cli("logs", "silent")
    assert (done.stdout, done.stderr) == ("", "job silent printed nothing\n")
    done = run_cli("logs")
    assert (done.stdout, done.stderr) == ("", "job later is pending and has not run yet\n")


def test_logs_of_an_attempt(spoolq, start_worker):
    spoolq("enqueue", "--id", "two", "--max-retries", "1", "--backoff-base", "0",
           "echo $SPOOLQ_ATTEMPT; exit 1")  # fmt: skip
    assert start_worker("--drain").wait() == 0
    assert spoolq("logs", "two").out == "2\n"
    assert spoolq("logs", "two", "--attempt", "1").out == "1\n"
    assert "has had no attempt 3" in spoolq("logs", "two", "--attempt", "3", code=1).err
    document = json.loads(spoolq("logs", "two", "--json").out)
    assert (document["attempt"], document["output"]) == (2, "2\n")


def test_logs_of_a_silent_retry_are_not_those_of_the_attempt_before(spoolq, start_worker):
    spoolq("enqueue", "--id", "x", "--max-retries", "1", "--backoff-base", "0",
           "[ $SPOOLQ_ATTEMPT = 2 ] || { echo first; exit 1; }")  # fmt: skip
    assert start_worker("--drain").wait() == 0
    done = spoolq("logs", "x")
    assert (done.out, done.err) == ("", "job x printed nothing\n")


# --- cancel and retry -----------------------------------------------------------------------------


def test_a_waiting_job_is_cancelled_and_can_be_retried(spoolq, spool):
    spoolq("enqueue", "--id", "x", "true")
    assert spoolq("cancel", "x").err == "x: cancelled\n"
    assert "only waiting and running jobs can be cancelled" in spoolq("cancel", "x", code=1).err
    assert spoolq("retry", "x").err == "x: runs again\n"
    assert [name.split(".")[2] for name in entries(spool, "pending")] == ["a0"]


def test_a_running_job_is_cancelled(spoolq, spool, start_worker):
    spoolq("enqueue", "--id", "x", "echo begun; sleep 100")
    start_worker()
    wait_until(lambda: "begun" in spoolq("logs", "x").out, "the command's first line")
    spoolq("cancel", "x")
    assert json.loads(spoolq("show", "x", "--json").out)["error"] == "cancelled"
    assert entries(spool, "processing") == []


def test_several_ids_are_all_tried_and_each_error_is_told(spoolq, spool):
    spoolq("enqueue", "--id", "x", "true")
    done = spoolq("cancel", "nope", "x", "nada", code=1)
    assert "there is no job 'nope'" in done.err
    assert "there is no job 'nada'" in done.err
    assert len(entries(spool, "dead")) == 1


def test_retry_runs_a_failed_job_now(spoolq, spool, start_worker):
    spoolq("enqueue", "--id", "x", "--backoff-base", "1000", "exit 1")
    worker = start_worker()
    wait_until(lambda: entries(spool, "failed"), "the job in failed/")
    spoolq("worker", "stop")
    assert worker.wait() == 0
    spoolq("retry", "x")
    (name,) = entries(spool, "pending")
    assert name.split(".")[2] == "a1"


# --- status ---------------------------------------------------------------------------------------


def test_status_json_has_every_state_and_what_is_due(spoolq, spool, worked):
    status = json.loads(spoolq("status", "--json").out)
    assert [status[state] for state in STATES] == [1, 0, 0, 2, 1]
    assert (status["ignored"], status["paused"], status["workers"]) == (0, False, [])
    assert status["due"] == 0
    assert status["next_due"] == json.loads(spoolq("show", "later", "--json").out)["not_before"]
    assert status["spool"] == spool.path


def test_status_tells_of_pause_wrong_settings_and_ignored_entries(spoolq, spool):
    spoolq("pause")
    for name in ("pending/.hidden", "pending/notes.txt"):
        open(os.path.join(spool.path, name), "w").close()
    with open(os.path.join(spool.path, "config.json"), "w") as file:
        file.write('{"max_retries": "many"}')
    status = json.loads(spoolq("status", "--json").out)
    assert status["paused"] is True
    assert status["ignored"] == 2
    assert "max_retries must be a number" in status["warnings"][0]
    done = spoolq("status")
    assert ", paused" in done.out
    assert "ignored" in done.out
    assert "max_retries must be a number" in done.err


def test_status_shows_what_runs_and_its_attempt(spoolq, spool, start_worker):
    spoolq("enqueue", "--id", "x", "sleep 100")
    start_worker("--count", "2")
    wait_until(lambda: entries(spool, "processing"), "the job running")
    text = spoolq("status").out
    assert "1 of 2 busy" in text
    assert "x attempt 1 of 4, for " in text
    spoolq("worker", "stop", "--now")


@pytest.mark.parametrize(
    "words", ["show", "logs", "wait", "cancel", "retry", "dlq retry", "worker stop"]
)
def test_an_empty_text_names_nothing_and_nothing_is_done(spoolq, words):
    """As an empty variable of a script gives it: every name begins with it."""
    spoolq("enqueue", "true")
    assert "an empty text names no" in spoolq(*words.split(), "", code=1).err
    assert json.loads(spoolq("status", "--json").out)["pending"] == 1


def test_a_directory_that_is_missing_is_named_with_what_to_do(spoolq, spool):
    os.rmdir(os.path.join(spool.path, "failed"))
    err = spoolq("status", code=1).err
    assert "failed" in err and "doctor --repair" in err


def test_a_bare_spoolq_is_status_or_says_how_to_begin(run_cli, spool, tmp_path):
    done = run_cli()
    assert done.stdout.startswith(f"spool {spool.path}\n  pending     0\n")
    done = run_cli(spool_path=tmp_path / "nowhere")
    assert done.stdout == ""
    assert f"spoolq init {tmp_path}/nowhere\n" in done.stderr

"""`run` and `logs -f`: a job's output live, and its exit code."""

import os
import select
import signal

import pytest

from spoolq import control, instants, logs
from tests import given
from tests.conftest import DEADLINE, entries


def test_run_prints_what_the_job_prints_and_exits_with_its_code(run_cli, start_worker):
    start_worker()
    done = run_cli("run", "--max-retries", "0", "echo out; echo err >&2; exit 7", check=False)
    assert (done.returncode, done.stdout) == (7, "out\nerr\n")
    assert "is dead: exit code 7" in done.stderr
    done = run_cli("run", "printf", "%s|", "two words")
    assert done.stdout == "two words|"


@pytest.mark.parametrize(
    ("command", "code"),
    [
        (["true"], 0),
        (["kill -9 $$"], 137),
        (["no-such-program-anywhere"], 127),
        (["no-such-program-anywhere", "x"], 127),
        (["/"], 126),
    ],
)
def test_run_passes_the_end_of_the_job_on(run_cli, start_worker, command, code):
    start_worker()
    assert run_cli("run", "--max-retries", "0", *command, check=False).returncode == code


def test_run_tells_of_retries_and_prints_each_run_whole(run_cli, start_worker):
    start_worker()
    done = run_cli("run", "--max-retries", "2", "--backoff-base", "0",
                   "echo run $SPOOLQ_ATTEMPT; [ $SPOOLQ_ATTEMPT = 3 ]")  # fmt: skip
    assert done.stdout == "run 1\nrun 2\nrun 3\n"
    assert "attempt 1 of 3: exit code 1" in done.stderr
    assert "attempt 2 of 3: exit code 1" in done.stderr


def test_run_shows_output_while_the_job_runs(popen, start_worker, spoolq):
    start_worker()
    process = popen("run", "echo first; sleep 100")
    assert process.stdout.readline() == "first\n"
    assert process.poll() is None
    spoolq("worker", "stop", "--now")


def test_ctrl_c_lets_go_of_a_job_and_leaves_it_running(popen, start_worker, spool, spoolq):
    start_worker()
    process = popen("run", "echo begun; while [ ! -e stop ]; do sleep 0.02; done; echo ended")
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert process.returncode == 130
    (job,) = entries(spool, "processing")
    job_id = job.split(".")[3].partition("@")[0]
    assert f"let go of job {job_id}, which goes on\n" in err
    assert f"spoolq logs -f {job_id}" in err

    follower = popen("logs", "-f")
    open("stop", "w").close()
    try:
        out, err = follower.communicate()
    finally:
        os.unlink("stop")
    assert (follower.returncode, out, err) == (0, "begun\nended\n", "")


@pytest.fixture(autouse=True)
def _in_a_directory_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def test_run_says_when_no_worker_is_there_and_waits(popen, start_worker):
    process = popen("run", "echo late")
    assert process.stderr.readline().startswith("job ")
    assert "no worker runs here; start one with:" in process.stderr.readline()
    start_worker()
    out, _ = process.communicate()
    assert (process.returncode, out) == (0, "late\n")


def test_run_says_when_the_spool_is_paused(popen, spoolq):
    spoolq("pause")
    process = popen("run", "true")
    process.stderr.readline()
    assert "the spool is paused" in process.stderr.readline()


def test_run_of_a_job_that_is_cancelled_exits_with_the_signal_that_ended_it(
    popen, start_worker, spoolq
):
    start_worker()
    process = popen("run", "--id", "x", "echo begun; sleep 100")
    assert process.stdout.readline() == "begun\n"
    spoolq("cancel", "x")
    _, err = process.communicate()
    assert process.returncode == 128 + signal.SIGTERM
    assert "job x is dead: cancelled" in err


def test_run_of_a_job_that_is_cancelled_before_it_ran_exits_with_1(popen, spoolq):
    process = popen("run", "--id", "x", "true")
    assert process.stderr.readline().startswith("job x in ")
    spoolq("cancel", "x")
    assert process.wait() == 1


def test_run_follows_a_job_that_is_interrupted_into_its_next_run(popen, start_worker, spoolq):
    worker = start_worker()
    process = popen("run", "echo begun; [ -e again ] || exec sleep 100")
    assert process.stdout.readline() == "begun\n"
    spoolq("worker", "stop", "--now")
    assert worker.wait() == 0
    open("again", "w").close()
    start_worker()
    out, err = process.communicate()
    assert (process.returncode, out) == (0, "begun\n")
    assert "attempt 1 of 4: interrupted; it waits again" in err


def test_logs_f_ends_with_the_code_of_a_job_that_has_ended(run_cli, spoolq, start_worker):
    spoolq("enqueue", "--id", "x", "--max-retries", "1", "--backoff-base", "0",
           "echo $SPOOLQ_ATTEMPT; exit $((SPOOLQ_ATTEMPT + 4))")  # fmt: skip
    assert start_worker("--drain").wait() == 0
    done = run_cli("logs", "-f", "x", check=False)
    assert (done.returncode, done.stdout) == (6, "2\n")
    done = run_cli("logs", "-f", "--attempt", "1", "x", check=False)
    assert (done.returncode, done.stdout) == (5, "1\n")
    assert run_cli("logs", "-f", "--attempt", "9", "x", check=False).returncode == 1


def test_a_run_that_is_recorded_and_not_moved_is_told_once(popen, spool, clock):
    """Its worker died, or is slow, between the record and the move: both tell of the same run."""
    own = given.worker(spool)
    claim = given.claim(spool, own, given.job(spool, "pending", given.named(clock)), clock)
    record = given.record(spool, claim, clock, exit_code=0)
    given.write(spool, "processing", str(claim), record.data)
    given.write(spool, "logs", str(logs.log_name(claim)), "once\n")
    follower = popen("logs", "-f", "j1")
    assert select.select([follower.stdout], [], [], DEADLINE)[0], "it prints nothing"
    assert follower.stdout.readline() == "once\n"
    assert spool.finish_move(claim, record.state, record.stamp, record.attempt)
    out, _ = follower.communicate(timeout=DEADLINE)
    assert (follower.returncode, out) == (0, "")


def test_a_run_that_came_and_was_recorded_between_two_looks_is_told_once(popen, spool, clock):
    """The job is followed while it waits, and seen next when its run is recorded and not moved."""
    own = given.worker(spool)
    name = given.job(spool, "pending", given.named(clock))
    follower = popen("logs", "-f", "j1")
    assert "it waits for a free slot" in follower.stderr.readline()
    stamp = instants.to_stamp(instants.later(clock(), 0.001))
    claim = name._replace(stamp=stamp, attempt=1, worker=own.name, slot="0")
    given.write(spool, "logs", str(logs.log_name(claim)), "once\n")
    history = [given.entry(claim, clock, exit_code=0)]
    ended = given.job(spool, "tmp", name, history=history)
    spool.dir("tmp").rename(str(ended), spool.dir("pending"), str(name))
    assert given.claim(spool, own, name, clock) == claim
    assert follower.stdout.readline() == "once\n"
    assert "attempt 1 of 4: it succeeded" in follower.stderr.readline()
    spool.finish_move(claim, "completed", stamp, 1)
    out, _ = follower.communicate(timeout=DEADLINE)
    assert (follower.returncode, out) == (0, "")


def test_a_run_that_is_recorded_while_it_is_followed_is_told_once(popen, spool, clock):
    own = given.worker(spool)
    claim = given.claim(spool, own, given.job(spool, "pending", given.named(clock)), clock)
    given.write(spool, "logs", str(logs.log_name(claim)), "once\n")
    follower = popen("logs", "-f", "j1")
    assert follower.stdout.readline() == "once\n"
    spool.finish(own.dir, [given.record(spool, claim, clock, exit_code=3)], "none")
    assert select.select([follower.stderr], [], [], DEADLINE)[0], "it says nothing of the end"
    assert "exit code 3" in follower.stderr.readline()
    control.cancel(spool, "j1")
    out, err = follower.communicate(timeout=DEADLINE)
    assert out == ""
    assert "job j1 is dead: cancelled" in err


def test_logs_f_waits_for_a_job_that_waits(popen, spoolq, start_worker):
    spoolq("enqueue", "--id", "x", "echo here")
    process = popen("logs", "-f", "x")
    assert "no worker runs here" in process.stderr.readline()
    start_worker()
    assert process.communicate()[0] == "here\n"


def test_logs_f_is_not_one_document(spoolq):
    spoolq("enqueue", "true")
    spoolq("logs", "-f", "--json", code=2)


def test_options_of_run_come_before_the_command(spoolq, spool):
    done = spoolq("run", "sleep 5", "--priority", "9", code=2)
    assert "hint: spoolq run --priority 9 'sleep 5'" in done.err
    assert entries(spool, "pending") == []

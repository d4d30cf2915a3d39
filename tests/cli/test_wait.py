"""`wait`: until jobs have ended."""

import pytest

from tests.conftest import entries, wait_until


@pytest.fixture
def waiting(popen):
    """Start `spoolq wait` in the background."""
    return lambda *args: popen("wait", *args)


def test_wait_ends_with_the_jobs_named(waiting, spoolq, spool, start_worker):
    spoolq("enqueue", "--id", "a", "sleep 0.3")
    spoolq("enqueue", "--id", "b", "true")
    spoolq("enqueue", "--id", "later", "--in", "1h", "true")
    process = waiting("a", "b")
    start_worker()
    assert process.communicate()[0] == ""
    assert process.returncode == 0
    assert len(entries(spool, "completed")) == 2


def test_wait_is_1_and_says_who_when_one_has_died(run_cli, spoolq, start_worker):
    spoolq("enqueue", "--id", "good", "true")
    spoolq("enqueue", "--id", "bad", "--max-retries", "0", "exit 3")
    assert start_worker("--drain").wait() == 0
    done = run_cli("wait", "good", "bad", check=False)
    assert (done.returncode, done.stdout, done.stderr) == (1, "", "bad died: exit code 3\n")
    assert run_cli("wait", "good").returncode == 0


def test_wait_without_ids_counts_as_drain_does(waiting, spoolq, spool, start_worker):
    spoolq("enqueue", "--in", "1h", "true")
    spoolq("enqueue", "--max-retries", "1", "--backoff-base", "0.2", "[ $SPOOLQ_ATTEMPT = 2 ]")
    process = waiting()
    start_worker()
    assert process.wait() == 0
    assert [len(entries(spool, state)) for state in ("pending", "failed", "completed")] == [1, 0, 1]


def test_wait_without_ids_is_1_when_a_job_dies_meanwhile_and_not_for_older_ones(
    waiting, spoolq, start_worker
):
    spoolq("enqueue", "--max-retries", "0", "exit 1")
    assert start_worker("--drain").wait() == 0
    assert spoolq("wait").err == ""
    spoolq("enqueue", "--id", "bad", "--max-retries", "0", "exit 2")
    process = waiting()
    assert "no worker runs here" in process.stderr.readline()
    start_worker()
    assert process.communicate()[1] == "bad died: exit code 2\n"
    assert process.returncode == 1


def test_wait_for_a_tag_counts_all_that_have_it(waiting, spoolq, start_worker):
    spoolq("enqueue", "--tag", "t", "true")
    spoolq("enqueue", "--tag", "u", "--in", "1h", "true")
    process = waiting("--tag", "t")
    start_worker()
    assert process.wait() == 0
    assert "no job has the tag 'v'" in spoolq("wait", "--tag", "v", code=1).err
    spoolq("wait", "x", "--tag", "t", code=2)


def test_wait_gives_up_after_its_timeout_with_75(spoolq):
    spoolq("enqueue", "--id", "x", "true")
    done = spoolq("wait", "--timeout", "0.2", code=75)
    assert "1 of 1 jobs have not ended within 0.2 s" in done.err
    spoolq("wait", "x", "--timeout", "0", code=75)
    spoolq("wait", "--timeout", "long", code=2)


def test_wait_for_nothing_ends_at_once(spoolq):
    assert spoolq("wait").err == ""


def test_wait_for_what_is_not_there_is_an_error(spoolq):
    assert "there is no job 'nope'" in spoolq("wait", "nope", code=1).err


def test_wait_for_a_job_that_is_removed_is_an_error(waiting, spoolq, spool):
    spoolq("enqueue", "--id", "x", "true")
    process = waiting("x")
    assert "no worker" in process.stderr.readline()
    (name,) = entries(spool, "pending")
    spool.remove("pending", name)
    assert "there is no job 'x'" in process.communicate()[1]
    assert process.returncode == 1


def test_wait_includes_a_drop_that_is_not_adopted_yet(waiting, spool, start_worker):
    with open(f"{spool.path}/pending/drop.json", "w") as file:
        file.write('{"command": "true"}')
    process = waiting()
    assert "no worker" in process.stderr.readline()
    start_worker()
    assert process.wait() == 0
    wait_until(lambda: entries(spool, "completed"), "the drop in completed/")

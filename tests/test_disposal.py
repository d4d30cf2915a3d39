"""What jobs keep goes when they are over; a job that keeps nothing pays nothing."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from spoolq import disposal, lease, workdirs
from spoolq.chores import Beside
from spoolq.config import Settings
from spoolq.job import Job
from tests import given
from tests.conftest import entries, environment, wait_until

COUNT = 'n=$(cat "$SPOOLQ_WORKDIR/n" 2>/dev/null || echo 0); echo $((n + 1)) > "$SPOOLQ_WORKDIR/n"'
NEW = Job({"command": "true", "workdir": True})


def left_in(spool):
    work = os.path.join(spool.path, "work")
    gone = os.path.join(work, ".gone")
    found = [*os.listdir(work), *(os.listdir(gone) if os.path.isdir(gone) else ())]
    return sorted({*found} - {".gone"})


def test_an_attempt_goes_on_where_the_last_one_stopped(spool, run_cli):
    run_cli(
        "enqueue", "--workdir", "--id", "a", "--backoff-base", "0.1",
        f'{COUNT}; echo "at $n"; test "$n" = 2',
    )  # fmt: skip
    run_cli("worker", "start", "--drain")
    assert run_cli("logs", "a").stdout.split() == ["at", "2"]
    assert len(entries(spool, "completed")) == 1
    assert left_in(spool) == []


def test_a_dead_job_keeps_its_directory_and_a_retry_goes_on_from_it(spool, run_cli):
    run_cli("enqueue", "--workdir", "--id", "a", "--max-retries", "0", f'{COUNT}; test "$n" = 1')
    run_cli("worker", "start", "--drain")
    assert left_in_work(spool) == ["a"]
    assert "work in" in run_cli("show", "a").stdout
    run_cli("dlq", "retry", "a")
    run_cli("worker", "start", "--drain")
    assert len(entries(spool, "completed")) == 1
    assert left_in(spool) == []


def left_in_work(spool):
    return [name for name in os.listdir(os.path.join(spool.path, "work")) if name != ".gone"]


def test_what_a_killed_worker_s_run_has_left_is_found_by_the_next(spool, run_cli, start_worker):
    run_cli(
        "enqueue", "--workdir", "--id", "a",
        f'{COUNT}; test "$n" = 1 || sleep 60',
    )  # fmt: skip
    first = start_worker()
    wait_until(lambda: os.path.exists(os.path.join(spool.path, "work", "a", "n")), "the first run")
    first.send_signal(signal.SIGKILL)
    first.wait()
    run_cli("worker", "start", "--drain")
    assert len(entries(spool, "completed")) == 1
    assert left_in(spool) == []


def test_a_purged_job_s_directory_goes(spool, run_cli, start_worker):
    run_cli("enqueue", "--workdir", "--max-retries", "0", "exit 1")
    run_cli("worker", "start", "--drain")
    run_cli("purge", "--state", "dead", "--yes")
    assert len(left_in_work(spool)) == 1
    start_worker()
    wait_until(lambda: left_in(spool) == [], "the removing")


def test_a_job_that_keeps_nothing_finds_no_directory(spool, run_cli):
    run_cli("enqueue", "--id", "a", 'echo "${SPOOLQ_WORKDIR-none}"')
    run_cli("worker", "start", "--drain")
    assert run_cli("logs", "a").stdout == "none\n"
    assert not os.path.exists(os.path.join(spool.path, "work"))


def test_a_call_in_a_warm_process_has_its_directory(spool, run_cli, tmp_path):
    pytest.importorskip("spoolq.executors.python")
    (tmp_path / "kept.py").write_text(
        "import os\ndef keep():\n    return os.path.isdir(os.environ['SPOOLQ_WORKDIR'])\n"
    )
    from spoolq.api import Spool

    with Spool(spool.path) as queue:
        job_id = queue.enqueue_call("kept:keep", _job={"workdir": True})
    run_cli("worker", "start", "--executor", "python", "--drain", cwd=str(tmp_path))
    with Spool(spool.path) as queue:
        assert queue.result(job_id) is True
    assert left_in(spool) == []


def test_where_no_directory_can_be_made_the_others_get_their_turn(spool, run_cli, tmp_path):
    os.symlink(tmp_path, os.path.join(spool.path, "work"))
    run_cli("enqueue", "--workdir", "--id", "a", "--priority", "9", "true")
    run_cli("enqueue", "--id", "b", "spoolq=1; true")
    log = os.path.join(spool.path, ".log")
    with open(log, "w") as file:
        worker = subprocess.Popen(
            [sys.executable, "-m", "spoolq", "--spool", spool.path, "worker", "start"],
            stderr=file, env=environment(),
        )  # fmt: skip
    try:
        wait_until(lambda: len(entries(spool, "completed")) == 1, "the other job")
        wait_until(
            lambda: "work directory cannot be made" in Path(log).read_text(), "the complaint"
        )
        assert [name.split(".")[2:4] for name in entries(spool, "pending")] == [["a0", "a"]]
    finally:
        worker.terminate()
        worker.wait()


# --- the chore ------------------------------------------------------------------------------------


@pytest.fixture
def chore(spool, clock):
    own = lease.Lease.start(spool, {"count": 1})
    workdirs.provide(spool, "a", NEW, sync=False)
    made = disposal.Disposal(Beside(spool, own, None, clock, clock.monotonic))
    yield made
    made.close()
    own.leave()


def looked(chore):
    chore.look(Settings())
    if chore._thread is not None:
        chore._thread.join()


def test_a_directory_that_no_job_has_goes_two_seconds_after_it_was_first_seen(spool, chore, clock):
    looked(chore)
    assert left_in_work(spool) == ["a"]
    clock.advance(disposal.AGAIN)
    looked(chore)
    assert left_in(spool) == []


def test_it_looks_once_a_minute(spool, chore, clock, monkeypatch):
    given.job(spool, "dead", given.named(clock, "a"))
    sweeps = []
    real = workdirs.sweep
    monkeypatch.setattr(workdirs, "sweep", lambda *args: sweeps.append(1) or real(*args))
    for _ in range(180):
        looked(chore)
        clock.advance(1)
    assert len(sweeps) == 3


def test_what_goes_wrong_in_the_thread_is_told_by_the_next_look(chore, clock, monkeypatch):
    monkeypatch.setattr(workdirs, "remove", lambda *args: OSError(1, "no"))
    looked(chore)
    with pytest.raises(OSError, match="no"):
        chore.look(Settings())
    clock.advance(disposal.EVERY)
    looked(chore)


def test_a_completed_job_s_directory_goes_with_its_move(spool, chore, clock):
    own = given.worker(spool)
    name = given.job(spool, "pending", given.named(clock, "a"), workdir=True)
    claim = given.claim(spool, own, name, clock)
    record = given.record(spool, claim, clock, exit_code=0)
    assert chore.moved(record, record.claim.waiting(), Settings()) is False
    assert left_in_work(spool) == []
    own.leave()


def test_a_directory_that_somebody_has_removed_is_not_missed(spool, chore, clock):
    own = given.worker(spool)
    name = given.job(spool, "pending", given.named(clock, "a"), workdir=True)
    record = given.record(spool, given.claim(spool, own, name, clock), clock, exit_code=0)
    shutil.rmtree(os.path.join(spool.path, "work"))
    assert chore.moved(record, record.claim.waiting(), Settings()) is False
    own.leave()


@pytest.mark.parametrize("fields", [{}, {"workdir": False}, {"tags": ['\n  "workdir": true']}])
def test_nothing_is_asked_of_the_disk_for_a_job_that_keeps_nothing(
    spool, chore, clock, monkeypatch, fields
):
    own = given.worker(spool)
    name = given.job(spool, "pending", given.named(clock, "a"), **fields)
    claim = given.claim(spool, own, name, clock)
    record = given.record(spool, claim, clock, exit_code=0)
    monkeypatch.setattr(workdirs, "opened", lambda spool: pytest.fail("work/ was opened"))
    chore.moved(record, record.claim.waiting(), Settings())
    own.leave()


def test_a_failed_job_s_directory_stays(spool, chore, clock):
    own = given.worker(spool)
    name = given.job(spool, "pending", given.named(clock, "a"), workdir=True)
    claim = given.claim(spool, own, name, clock)
    chore.moved(given.record(spool, claim, clock, exit_code=1), name, Settings())
    assert left_in_work(spool) == ["a"]
    own.leave()

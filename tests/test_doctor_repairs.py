"""What a repair must not do: lose a job, disturb the living, or take all day."""

import json
import os
import shutil
import threading
import time

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from spoolq import doctor, instants
from spoolq.api import Spool
from spoolq.doctor import PROBLEM
from spoolq.layout import DIRECTORIES, STATES
from spoolq.names import Name
from spoolq.spool import SpoolDir
from tests import given as put
from tests.conftest import entries, wait_until
from tests.faults import checker
from tests.users import NUMBER, ROOT, home, run_as

__all__ = ["home"]  # a fixture of this module too


@pytest.fixture
def no_pause(monkeypatch):
    monkeypatch.setattr(doctor, "_MOVING", 0)
    monkeypatch.setattr(doctor, "_STILL", 0)


# --- random damage --------------------------------------------------------------------------------


def _claimed(spool, job_id, **outcome):
    """Leave a claim of a dead worker, its outcome recorded where one is given."""
    own = put.worker(spool)
    moment = instants.now()
    name = put.job(spool, "pending", Name(instants.to_stamp(moment), 5, 0, job_id))
    claim = spool.claim(str(name), name, instants.to_stamp(moment), own.name, "0")
    if outcome:
        record = put.record(spool, claim, lambda: moment, **outcome)
        put.write(spool, "processing", str(claim), record.data)
    put.die(own)


def _waiting(spool, job_id, state="pending"):
    put.job(spool, state, Name(instants.to_stamp(instants.now()), 5, 0, job_id))


def _stray(spool, job_id):
    _waiting(spool, job_id, "processing")


def _without_its_worker(spool, job_id):
    _claimed(spool, job_id)
    for worker in spool.dir("workers").list():
        shutil.rmtree(os.path.join(spool.path, "workers", worker))


def _in_two_places(spool, job_id):
    _waiting(spool, job_id)
    (name,) = [entry for entry in entries(spool, "pending") if job_id in entry]
    os.link(os.path.join(spool.path, "pending", name), os.path.join(spool.path, "tmp", name))


def _old(spool, job_id):
    path = put.write(spool, "tmp", job_id, "half a job")
    os.utime(path, (1, 1))


JOBS = {
    "waits": _waiting,
    "failed": lambda spool, job_id: _waiting(spool, job_id, "failed"),
    "claimed": _claimed,
    "recorded": lambda spool, job_id: _claimed(spool, job_id, exit_code=0),
    "recorded as failed": lambda spool, job_id: _claimed(spool, job_id, exit_code=7),
    "stray": _stray,
    "worker gone": _without_its_worker,
    "two names": _in_two_places,
}
DAMAGES = [f"mode {name}" for name in DIRECTORIES] + ["no tmp", "no logs", "bell", "old", "config"]


def _damage(spool, what):
    kind, _, name = what.partition(" ")
    if kind in ("mode", "no") and not os.path.isdir(os.path.join(spool.path, name)):
        return
    if kind == "mode":
        os.chmod(os.path.join(spool.path, name), (0o777, 0o000, 0o770)[len(name) % 3])
    elif kind == "no":
        shutil.rmtree(os.path.join(spool.path, name))
    elif kind == "bell":
        put.write(spool, "pending", ".bell-x", "")
    elif kind == "old":
        os.makedirs(os.path.join(spool.path, "tmp"), exist_ok=True)
        _old(spool, "litter")
    else:
        put.write(spool, "", "config.json", "{")


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    jobs=st.lists(st.sampled_from(sorted(JOBS)), max_size=6),
    damages=st.lists(st.sampled_from(DAMAGES), max_size=4),
)
def test_a_repair_after_random_damage_loses_no_job(no_pause, tmp_path_factory, jobs, damages):
    path = str(tmp_path_factory.mktemp("hurt") / "spool")
    spool = SpoolDir.create(path)
    for number, kind in enumerate(jobs):
        JOBS[kind](spool, f"j{number}")
    ids = {f"j{number}" for number in range(len(jobs))}
    before = checker.read(path)
    assert len(before.jobs) + jobs.count("stray") == len(ids)  # a stray is not a job yet
    for what in damages:
        _damage(spool, what)
    first = doctor.examine(path, repair=True)
    after = checker.read(path)
    assert checker.lost(before, after, set(before.jobs), set()) + after.wrong == []
    assert set(after.jobs) == ids
    for job_id, job in before.jobs.items():
        if job.is_recorded:  # it has run, and must not run again
            assert after.jobs[job_id].state in ("completed", "failed")
    left = {f.code for f in first.findings if f.severity == PROBLEM and not f.repaired}
    assert left <= {"config"}
    second = doctor.examine(path, repair=True)
    assert not any(finding.repaired for finding in second.findings)
    assert checker.read(path).jobs == after.jobs
    spool.close()


@ROOT
def test_a_user_without_root_repairs_a_spool_that_its_owner_cannot_use(spool, home, no_pause):
    _claimed(spool, "j0")
    doctor.examine(spool.path, repair=True)  # imports all that the child may not
    path = os.path.join(home(NUMBER, NUMBER), "spool")

    def hurt_and_repair():
        spool = SpoolDir.create(path)
        _waiting(spool, "j0")
        _claimed(spool, "j1", exit_code=0)
        for name in ("tmp", "pending", "processing", "dead"):
            os.chmod(os.path.join(path, name), 0o000)
        os.chmod(os.path.join(path, "workers"), 0o555)
        seen = {f.code for f in doctor.examine(path).findings if f.severity == PROBLEM}
        first = doctor.examine(path, repair=True)
        second = doctor.examine(path, repair=True)
        spool.close()
        return [
            sorted(seen),
            sorted({f.code for f in first.findings if f.repaired}),
            first.is_well,
            [f.code for f in second.findings],
        ]

    seen, repaired, is_well, left = run_as(hurt_and_repair, NUMBER, NUMBER)
    assert "no-access" in seen
    assert {"no-access", "unfinished-move"} <= set(repaired)
    assert is_well
    assert set(left) <= {"no-worker", "no-events"}  # a fork may lack what watchdog imports late


def test_a_repair_that_lost_a_job_would_be_noticed(spool):
    _waiting(spool, "j0")
    before = checker.read(spool.path)
    os.unlink(os.path.join(spool.path, "pending", entries(spool, "pending")[0]))
    assert checker.lost(before, checker.read(spool.path), {"j0"}, set()) != []


# --- while others work ----------------------------------------------------------------------------


def test_workers_that_run_jobs_meanwhile_are_not_disturbed(spool, start_worker):
    workers = [start_worker("--count", "4") for _ in range(2)]
    queue = Spool(spool.path)
    ids = queue.enqueue_many(["true"] * 300)
    rounds = 0
    while not all(state == "completed" for state in queue_states(queue, ids)):
        report = doctor.examine(spool.path, repair=rounds % 2 == 1)
        wrong = [finding for finding in report.findings if finding.severity == PROBLEM]
        assert wrong == []
        rounds += 1
        if rounds == 2:
            ids += queue.enqueue_many(["true"] * 100)
    assert rounds
    assert all(process.poll() is None for process in workers)
    runs = [json.loads(put.content(spool, *place))["history"] for place in put.everything(spool)]
    assert [len(history) for history in runs] == [1] * len(ids)
    queue.close()


def queue_states(queue, ids):
    from spoolq import views

    return views.states_of(queue.dir, ids).values()


def test_a_command_whose_worker_is_gone_is_not_ended_by_a_repair(spool, start_worker, tmp_path):
    done = tmp_path / "done"
    go = tmp_path / "go"
    command = f"until [ -e {go} ]; do sleep 0.05; done; echo over > {done}"
    queue = Spool(spool.path)
    queue.enqueue(command)
    worker = start_worker("--count", "1")
    (name,) = wait_until(lambda: entries(spool, "processing"), "the claim")
    slots = os.path.join(spool.path, "workers")
    wait_until(
        lambda: any('"pid"' in read(slots, w, "0.lock") for w in os.listdir(slots)), "the run"
    )
    worker.kill()
    worker.wait()
    report = doctor.examine(spool.path, repair=True)
    assert [f.code for f in report.findings if f.severity == PROBLEM] == ["orphan", "not-repaired"]
    assert entries(spool, "processing") == [name]
    go.touch()
    wait_until(done.exists, "the end of the command")

    def recovered():
        return any(f.repaired for f in doctor.examine(spool.path, repair=True).findings)

    wait_until(recovered, "the repair")
    assert entries(spool, "processing") == []
    queue.close()


def read(*parts):
    with open(os.path.join(*parts)) as file:
        return file.read()


def test_a_repair_of_a_claim_that_is_recovered_meanwhile_is_harmless(spool, no_pause):
    for number in range(20):
        _claimed(spool, f"j{number}")
    before = checker.read(spool.path)
    others = [
        threading.Thread(target=doctor.examine, args=(spool.path,), kwargs={"repair": True})
        for _ in range(3)
    ]
    for other in others:
        other.start()
    for other in others:
        other.join()
    after = checker.read(spool.path)
    assert checker.lost(before, after, set(before.jobs), set()) + after.wrong == []
    assert {job.state for job in after.jobs.values()} == {"failed"}


# --- size -----------------------------------------------------------------------------------------


def test_ten_thousand_jobs_cost_no_more_each_than_a_thousand(spool, no_pause):
    def timed(jobs):
        queue.enqueue_many(["true"] * jobs)
        started = time.process_time()
        doctor.examine(spool.path)
        return time.process_time() - started

    queue = Spool(spool.path)
    small = timed(1000)
    assert timed(9000) < 10 * small * 3
    queue.close()


def test_what_is_completed_is_read_up_to_a_bound(spool, no_pause, monkeypatch):
    seen = []
    look = doctor.entries.views.look
    monkeypatch.setattr(doctor.entries, "PARSED", 3)
    monkeypatch.setattr(
        doctor.entries.views, "look", lambda *args: seen.append(args[1]) or look(*args)
    )
    for state in STATES:
        for number in range(5):
            _waiting(spool, f"{state}{number}", state)
    doctor.examine(spool.path)
    assert seen.count("completed") in (3, 6)  # one look, or two

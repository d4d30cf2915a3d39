"""Claims of workers of other hosts: left alone until their lease is over, then fenced and taken."""

import os

import pytest

from spoolq import lease, names, platform
from spoolq.config import Settings
from spoolq.job import LOST
from spoolq.recovery import Recovery, record_of
from tests import given
from tests.hosts import beat, elsewhere

SETTINGS = Settings(durability="none", lease=60)


@pytest.fixture
def own(shared_spool):
    own = given.worker(shared_spool)
    yield own
    own.leave()


@pytest.fixture
def look(shared_spool, own, clock):
    """Look once as a worker does, record what was taken over, sweep, and return it."""
    watching = Recovery(shared_spool, own, clock, clock.monotonic)

    def look(after=0.0):
        clock.advance(after)
        taken = watching.look(SETTINGS, set())
        records = [record_of(one, SETTINGS) for one in taken]
        assert shared_spool.finish(own.dir, records, "none").error is None
        watching.sweep()
        return [one.claim.id for one in taken]

    return look


def orphan(spool, worker, clock, job_id="j1", slot="0", **fields):
    """Let a worker claim a job, with the lock of its slot, which nobody holds any more."""
    name = given.job(spool, "pending", given.named(clock, job_id), **fields)
    os.close(worker.take_slot(slot))
    return given.claim(spool, worker, name, clock, slot)


def test_a_claim_of_another_host_is_taken_over_when_its_lease_is_over(shared_spool, look, clock):
    worker = elsewhere(shared_spool)
    orphan(shared_spool, worker, clock)
    assert look() == []
    assert look(59.9) == []
    assert look(0.2) == ["j1"]
    ((state, filename),) = given.everything(shared_spool)
    assert state == "failed"
    assert [run["error"] for run in given.history(shared_spool, state, filename)] == [LOST]
    assert worker.name not in shared_spool.dir("workers").list()


def test_a_host_that_beats_keeps_its_claims_though_its_locks_are_lost(shared_spool, look, clock):
    worker = elsewhere(shared_spool)
    claim = orphan(shared_spool, worker, clock)
    for _ in range(10):
        assert look(30) == []
        beat(worker)
    assert given.everything(shared_spool) == [("processing", str(claim))]


def test_the_directory_goes_before_any_claim_is_taken_over(shared_spool, look, clock, monkeypatch):
    worker = elsewhere(shared_spool)
    orphan(shared_spool, worker, clock)
    seen = []
    take_over = shared_spool.take_over

    def watched(*args):
        seen.append(worker.name in shared_spool.dir("workers").list())
        return take_over(*args)

    monkeypatch.setattr(shared_spool, "take_over", watched)
    look()
    look(61)
    assert seen == [False]


def test_a_directory_that_cannot_be_removed_keeps_its_claims(
    shared_spool, look, clock, monkeypatch, caplog
):
    worker = elsewhere(shared_spool)
    claim = orphan(shared_spool, worker, clock)

    def refuse(name):
        raise OSError(39, "Directory not empty", name)

    look()
    with monkeypatch.context() as patches:
        patches.setattr(shared_spool.dir("workers"), "rmdir", refuse)
        assert look(61) == []
        assert given.everything(shared_spool) == [("processing", str(claim))]
    assert "cannot be removed: Directory not empty" in caplog.text


def test_how_its_runs_ended_is_read_before_its_directory_goes(shared_spool, look, clock):
    """Of three runs one has ended, one was to be cancelled, and of one nothing is known."""
    worker = elsewhere(shared_spool)
    claims = [orphan(shared_spool, worker, clock, f"j{n}", str(n)) for n in range(3)]
    record = given.record(shared_spool, claims[0], clock, exit_code=0)
    os.close(shared_spool.write_outcome(worker.dir, record))
    worker.dir.write("cancel.j1", b"", sync=False)
    look()
    assert sorted(look(61)) == ["j0", "j1", "j2"]
    found = {names.parse(filename).id: state for state, filename in given.everything(shared_spool)}
    assert found == {"j0": "completed", "j1": "dead", "j2": "failed"}


def test_while_one_run_holds_its_slot_no_claim_of_its_worker_is_taken_over(
    shared_spool, look, clock
):
    """With the directory would go the lock that tells that the other one lives."""
    worker = elsewhere(shared_spool)
    orphan(shared_spool, worker, clock, "j0", "0")
    orphan(shared_spool, worker, clock, "j1", "1")
    held = worker.take_slot("1")
    look()
    assert look(61) == []
    assert worker.name in shared_spool.dir("workers").list()
    os.close(held)
    assert sorted(look(1)) == ["j0", "j1"]


def test_a_claim_without_a_directory_waits_as_long(shared_spool, look, clock):
    worker = elsewhere(shared_spool)
    orphan(shared_spool, worker, clock)
    look()
    clock.advance(59)
    lease.clear(shared_spool.dir("workers"), worker.name, shared_spool.dir("tmp"))
    assert look() == []
    assert look(59) == []
    assert look(2) == ["j1"]


def test_a_claim_that_came_after_its_worker_was_fenced_waits_for_a_lease(shared_spool, look, clock):
    """The worker was back for a moment: it sees at its next beat that it has lost its place."""
    worker = elsewhere(shared_spool)
    orphan(shared_spool, worker, clock, "j1")
    look()
    assert look(61) == ["j1"]
    name = given.job(shared_spool, "pending", given.named(clock, "j2"))
    given.claim(shared_spool, worker, name, clock)
    assert look(1) == []
    assert look(59) == []
    assert look(2) == ["j2"]


def test_a_claim_of_this_kernel_is_taken_over_at_once(shared_spool, look, clock):
    worker = given.worker(shared_spool)
    orphan(shared_spool, worker, clock)
    given.die(worker)
    assert look() == ["j1"]


def test_a_recorded_outcome_is_not_moved_by_others_before_the_lease_is_over(
    shared_spool, look, clock
):
    worker = elsewhere(shared_spool)
    claim = orphan(shared_spool, worker, clock)
    record = given.record(shared_spool, claim, clock, exit_code=0)
    given.write(shared_spool, "processing", str(claim), record.data)
    assert look() == []
    assert [state for state, _ in given.everything(shared_spool)] == ["processing"]
    look(61)
    assert [state for state, _ in given.everything(shared_spool)] == ["completed"]


def test_the_empty_directory_of_another_host_goes_after_its_lease(shared_spool, look):
    worker = elsewhere(shared_spool)
    look()
    look(59)
    assert worker.name in shared_spool.dir("workers").list()
    look(2)
    assert worker.name not in shared_spool.dir("workers").list()


def test_what_is_waited_for_is_said_once(shared_spool, look, clock, caplog):
    orphan(shared_spool, elsewhere(shared_spool, renews=30), clock)
    for _ in range(3):
        look(1)
    assert caplog.text.count("taken over when that has lasted 30 s") == 1


def test_on_a_disk_another_kernel_is_one_that_was_there_before_a_reboot(spool, clock, monkeypatch):
    monkeypatch.setattr(platform, "boot_id", lambda: "the kernel of yesterday")
    worker = given.worker(spool)
    monkeypatch.undo()
    orphan(spool, worker, clock)
    given.die(worker)
    own = given.worker(spool)
    (taken,) = Recovery(spool, own, clock, clock.monotonic).look(SETTINGS, set())
    assert taken.claim.id == "j1"
    given.die(own)

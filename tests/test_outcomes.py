"""The ends of runs on their way to the disk, and the scribe that takes them there."""

import os
import threading

import pytest

from spoolq import instants, lease, locks
from spoolq.config import Settings
from spoolq.errors import WorkerLost
from spoolq.executors import Ended, Run
from spoolq.job import Job
from spoolq.outcomes import MOST_UNWRITTEN, PACE, Outcomes
from spoolq.recovery import Recovery, record_of
from spoolq.scribe import Scribe, at_once
from tests import given
from tests.conftest import entries, wait_until

SETTINGS = Settings(durability="none")


class Desk:
    """Outcomes whose scribe writes when it is told to."""

    def __init__(self, spool, clock):
        self.spool, self.clock = spool, clock
        self.own = given.worker(spool)
        self.works = []
        self.outcomes = Outcomes(
            spool, self.own, lambda: 0.0, self.works.append, clock.monotonic, PACE
        )
        self.slots = {}

    def end(self, job_id, exit_code=0, error=None):
        """Let a job run and end; return its claim."""
        name = given.job(self.spool, "pending", given.named(self.clock, job_id))
        number = len(self.slots)
        self.slots[number] = slot = self.own.take_slot(str(number))
        claim = given.claim(self.spool, self.own, name, self.clock, str(number))
        run = Run(claim, name, Job({"command": job_id}), self.clock(), slot, SETTINGS)
        self.outcomes.add(Ended(run, self.clock(), exit_code, error=error), SETTINGS)
        return claim

    def write(self):
        """Let the scribe do what it was given."""
        works, self.works[:] = list(self.works), []
        for work in works:
            work()

    def finish(self, busy=False):
        """Return the jobs that have been moved since."""
        return [record.claim.id for record, _ in self.outcomes.finish("full", busy=busy)]


@pytest.fixture
def desk(spool, clock):
    return Desk(spool, clock)


def test_a_run_that_ended_before_its_worker_was_killed_does_not_run_again(spool, clock, desk):
    """Though the disk has answered nothing: what is written outlives a kill without a sync."""
    for job_id, code in (("good", 0), ("bad", 3)):
        desk.end(job_id, code)
        desk.finish()
    given.die(desk.own)
    for slot in desk.slots.values():
        locks.let_go(slot)
    own = given.worker(spool)
    taken = Recovery(spool, own, clock, clock.monotonic).look(SETTINGS, set())
    spool.finish(own.dir, [record_of(one, SETTINGS) for one in taken], "none")
    assert [len(entries(spool, state)) for state in ("completed", "failed")] == [1, 1]
    assert [
        told["exit_code"] for told in given.history(spool, "failed", *entries(spool, "failed"))
    ] == [3]
    own.leave()


def test_what_ends_while_a_batch_is_written_is_the_next_batch(desk):
    desk.end("a")
    assert desk.finish() == []
    desk.end("b")
    desk.end("c")
    assert desk.finish() == []
    assert len(desk.works) == 1
    desk.write()
    assert desk.finish() == ["a"]
    desk.write()
    assert desk.finish() == ["b", "c"]
    desk.write()
    assert (desk.finish(), desk.outcomes.are_done(), desk.works) == ([], True, [])


def test_an_end_is_told_when_its_move_is_durable_and_not_before(desk, caplog):
    caplog.set_level("INFO", "spoolq")
    desk.end("a")
    desk.finish()
    desk.write()
    assert desk.finish() == ["a"]
    assert (caplog.messages, desk.outcomes.are_done()) == ([], False)
    desk.write()
    desk.finish()
    assert (caplog.messages, desk.outcomes.are_done()) == (["a completed: exit 0 after 0 s"], True)


def test_a_slot_is_held_until_its_job_has_moved(desk):
    desk.end("a")
    desk.finish()
    assert lease.probe(desk.spool, desk.own.name, "0.lock") == "held"
    desk.write()
    desk.finish()
    assert lease.probe(desk.spool, desk.own.name, "0.lock") == "free"


def test_a_busy_worker_shares_its_syncs_and_one_with_nothing_to_come_does_not_wait(desk):
    desk.end("a")
    desk.finish(busy=True)
    desk.write()
    assert desk.finish(busy=True) == ["a"]
    desk.end("b")
    assert (desk.works, desk.outcomes.patience(busy=True)) == ([], pytest.approx(PACE, rel=0.5))
    desk.clock.advance(PACE / 2)
    desk.end("c")
    desk.finish(busy=True)
    assert desk.works == []
    assert 0 < desk.outcomes.patience(busy=True) <= PACE / 2
    assert desk.outcomes.patience(busy=False) == 0
    desk.clock.advance(PACE / 2)
    desk.finish(busy=True)
    assert desk.outcomes.patience(busy=True) is None
    desk.write()
    assert desk.finish(busy=True) == ["b", "c"]
    desk.finish(busy=False)
    assert len(desk.works) == 1


def test_an_outcome_that_could_not_be_synced_is_written_anew_and_not_synced_again(
    desk, monkeypatch
):
    """The kernel may have dropped its data at the first try, and would call the second one good."""
    inodes = []

    def sync(files):
        inodes.append([lease.os.fstat(file).st_ino for file in files])
        if len(inodes) == 1:
            raise OSError(5, "Input/output error")

    monkeypatch.setattr("spoolq.spool.sync_files", sync)
    desk.end("a")
    assert desk.outcomes.finish("full") == []
    held = desk.own.dir.open_file("0.outcome")  # so that its number is not used again
    desk.write()
    assert desk.outcomes.finish("full") == []
    assert "Input/output error" in desk.outcomes.trouble
    assert (list(desk.works), desk.outcomes.finish("full")) == (
        [],
        [],
    )  # not at once: the loop waits
    desk.write()
    assert [record.claim.id for record, _ in desk.outcomes.finish("full")] == ["a"]
    assert inodes[0] != inodes[1]
    desk.write()
    desk.finish()
    assert desk.outcomes.trouble == ""
    lease.os.close(held)


def test_a_disk_that_is_full_when_a_run_ends_is_asked_again(desk, monkeypatch):
    refused = []

    def refuse(*_):
        refused.append(True)
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as full:
        full.setattr(desk.spool, "write_outcome", refuse)
        desk.end("a")
        assert desk.finish() == []
        assert "No space left" in desk.outcomes.trouble
    assert desk.finish() == []
    desk.write()
    assert desk.finish() == ["a"]
    assert len(refused) == 2


def test_a_full_disk_keeps_no_move_from_being_synced_and_told(desk, monkeypatch, caplog):
    caplog.set_level("INFO", "spoolq")
    desk.end("a")
    desk.finish(busy=True)
    desk.write()
    assert desk.finish(busy=True) == ["a"]  # and its move waits for the next batch

    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(desk.spool, "write_outcome", refuse)
    desk.end("b")
    desk.clock.advance(PACE)
    desk.finish(busy=True)
    desk.write()
    desk.finish(busy=True)
    assert "a completed: exit 0 after 0 s" in caplog.messages
    assert "No space left" in desk.outcomes.trouble


def test_no_move_is_told_as_durable_that_was_not_synced(desk, monkeypatch, caplog):
    caplog.set_level("INFO", "spoolq")
    desk.end("a")
    desk.finish()
    desk.write()
    assert desk.finish() == ["a"]

    def breaks(*_):
        raise MemoryError("no room")

    monkeypatch.setattr(desk.spool, "sync_moves", breaks)
    desk.write()
    with pytest.raises(MemoryError):
        desk.finish()
    assert [message for message in caplog.messages if "does not confirm it" in message]


def test_a_worker_that_gives_up_says_so_of_moves_too(desk, caplog):
    desk.end("a")
    desk.finish()
    desk.write()
    assert desk.finish() == ["a"]
    desk.outcomes.give_up()
    assert "the disk does not confirm it" in caplog.text


def test_a_directory_in_the_place_of_an_outcome_goes_to_tmp(desk):
    path = os.path.join(desk.spool.path, "workers", desk.own.name, "0.outcome", "x")
    os.makedirs(path)
    desk.end("a")
    desk.finish()
    desk.write()
    assert desk.finish() == ["a"]
    assert desk.outcomes.trouble == ""


def test_that_the_workers_directory_is_gone_is_told_by_the_loop(desk):
    desk.end("a")
    desk.finish()
    lease.clear(desk.spool.dir("workers"), desk.own.name, desk.spool.dir("tmp"))
    desk.write()
    with pytest.raises(WorkerLost):
        desk.finish()


def test_a_request_to_cancel_goes_with_the_run_that_it_ended_before_the_job_moves(
    desk, monkeypatch
):
    desk.own.dir.write("cancel.a", b"", sync=False)
    desk.outcomes.cancelling("a")
    desk.end("a", None, error="cancelled")
    desk.finish()
    desk.write()
    assert desk.outcomes.is_cancelling("a")
    there = []
    real = desk.spool.finish_move
    monkeypatch.setattr(
        desk.spool, "finish_move", lambda *to: there.append(desk.own.requests()) or real(*to)
    )
    assert desk.finish() == ["a"]
    assert (there, desk.outcomes.is_cancelling("a")) == ([[]], False)


def test_a_worker_does_not_run_ahead_of_its_disk_without_end(desk):
    for number in range(MOST_UNWRITTEN):
        assert not desk.outcomes.is_behind()
        desk.end(f"j{number}")
    assert desk.outcomes.is_behind()
    desk.finish()
    desk.write()
    desk.finish()
    assert not desk.outcomes.is_behind()


def test_a_scribe_works_in_order_beside_its_caller_and_rings_after_each():
    done, rung, may_go = [], [], threading.Event()
    scribe = Scribe(lambda: rung.append(list(done)))
    scribe(lambda: may_go.wait() and done.append(1))
    scribe(lambda: done.append(threading.current_thread() is threading.main_thread()))
    assert done == []
    may_go.set()
    wait_until(lambda: len(rung) == 2, "two rings")
    assert rung == [[1], [1, False]]
    scribe.close()


def test_a_scribe_that_is_closed_has_written_all():
    done, may_go = [], threading.Event()
    scribe = Scribe(lambda: None)
    scribe(may_go.wait)
    for number in range(3):
        scribe(lambda number=number: done.append(number))
    may_go.set()
    scribe.close()
    assert done == [0, 1, 2]


def test_the_plain_form_writes_in_the_callers_own_time():
    done = []
    at_once(lambda: done.append(instants.now()))
    assert len(done) == 1


def test_a_claim_that_was_taken_over_is_written_down_at_once_too(spool, clock, desk):
    """Its recoverer may be killed before its own batch begins."""
    desk.end("a")
    given.die(desk.own)
    for slot in desk.slots.values():
        locks.let_go(slot)
    for _ in range(2):
        recoverer = Desk(spool, clock)
        (taken,) = Recovery(spool, recoverer.own, clock, clock.monotonic).look(SETTINGS, set())
        recoverer.outcomes.add_taken(taken, SETTINGS)
        given.die(recoverer.own)
        assert taken.entry["exit_code"] == 0


def test_a_scribe_whose_work_breaks_says_so_at_the_next_one():
    rung = threading.Event()
    scribe = Scribe(rung.set)

    def breaks():
        raise MemoryError("no room")

    scribe(breaks)
    assert rung.wait(60)
    with pytest.raises(MemoryError):
        scribe(lambda: None)
    scribe.close()

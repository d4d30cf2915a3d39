"""The loop that moves jobs into another spool, and what breaks it, within this process."""

import json
import os

import pytest

from spoolq import changing, control, instants, lease, steering, views
from spoolq.api import Spool
from spoolq.errors import BadInput, StorageFull, Unreachable, WorkerLost, WrongState
from spoolq.names import Name, mark_of
from spoolq.packing import give_up
from spoolq.receiving import Receiver
from spoolq.spool import SpoolDir
from spoolq.targets import Share, Target, chosen
from tests import given
from tests.conftest import entries
from tests.forwarders import Direct, forward, forwarder, ids, lost, target_of


@pytest.fixture
def other(tmp_path):
    """The spool that jobs are forwarded to."""
    directory = SpoolDir.create(str(tmp_path / "other"))
    yield directory
    directory.close()


def enqueue(spool, number=3, **fields):
    with Spool(spool.path) as front:
        return front.enqueue_many([{"command": f"echo {n}", **fields} for n in range(number)])


def die_sending(source, other, *, arrives, number=None):
    """Let a forwarder be killed with a batch on its way; `arrives` says whether it is there."""
    way = Direct(other, after=lost) if arrives else Direct(other, before=lost)
    made, own = forwarder(source, other, connection=way)
    made._packing.has_work()
    made._open()
    made._packing.claim()
    with pytest.raises(Unreachable):
        made._send()
    given.die(own)
    return own.name


# --- what arrives ---------------------------------------------------------------------------------


def test_all_that_waits_goes_with_its_id_time_priority_and_fields(spool, other, clock):
    now = given.job(spool, "pending", given.named(clock, "now", priority=7), tags=["a"], odd=1)
    later = given.job(spool, "pending", given.named(clock, "later", wait=3600))
    tally = forward(spool, other)
    assert (tally.forwarded, tally.there, tally.refused, tally.left) == (2, 0, 0, 0)
    assert entries(other, "pending") == sorted(map(str, (now, later)))
    sent = json.loads(given.content(other, "pending", str(now)))
    assert (sent["command"], sent["tags"], sent["odd"]) == ("echo now", ["a"], 1)
    assert ids(spool, "completed") == ["later", "now"]
    assert ids(spool, "pending", "processing", "failed", "dead") == []


def test_a_failed_job_goes_with_its_attempts_its_history_and_the_time_of_its_retry(
    spool, other, clock
):
    run = {"attempt": 1, "started_at": "2026-11-24T00:00:00Z", "exit_code": 1}
    run["finished_at"] = "2026-11-24T00:00:01Z"
    name = given.job(spool, "failed", given.named(clock, "f", 1, wait=60), history=[run])
    forward(spool, other)
    assert entries(other, "pending") == [str(name)]
    first, second = given.history(other, "pending", name)
    assert first == run
    assert second["forwarded_to"] == other.path


def test_the_record_says_where_to_and_is_no_run(spool, other):
    (job_id,) = enqueue(spool, 1)
    forward(spool, other)
    view = views.find(spool, job_id)
    assert view.state == "completed"
    assert view.error is None and view.as_dict()["exit_code"] is None
    assert view.last_run["forwarded_to"] == other.path
    with pytest.raises(WrongState):
        control.retry(spool, job_id)


def test_a_forwarded_job_can_be_cancelled_over_there(spool, other):
    """What its history says of the way must not be taken for the record of the cancellation."""
    (job_id,) = enqueue(spool, 1)
    forward(spool, other)
    assert control.cancel(other, job_id).state == "dead"
    (job_id,) = enqueue(spool, 1)
    forward(spool, other)
    view = views.find(other, job_id)
    own = given.worker(other)
    other.claim_to_change("pending", view.filename, view.name, own.name)
    given.die(own)
    control.recover_now(other)
    assert views.find(other, job_id).state == "pending"


def test_a_job_that_was_dropped_is_taken_in_and_goes(spool, other):
    given.write(spool, "pending", "drop.json", '{"command": "echo dropped"}')
    given.write(spool, "pending", "bad.json", "no job")
    forward(spool, other)
    (name,) = entries(other, "pending")
    assert json.loads(given.content(other, "pending", name))["command"] == "echo dropped"
    assert entries(spool, "pending") == ["bad.json"]  # for as long as somebody may write it


def test_a_drop_goes_to_the_target_that_its_job_belongs_to(spool, other):
    away = Target("away:", "", "away")
    share = Share([target_of(other), away])
    for number in range(20):
        given.write(spool, "pending", f"d{number}.json", '{"command": "echo dropped"}')
    forward(spool, other, share=share)
    here, there = ids(spool, "pending"), ids(other, "pending")
    assert len(here) + len(there) == 20 and here and there
    assert all(chosen([target_of(other), away], job_id) == away for job_id in here)


def test_more_names_than_are_held_go_all_the_same(spool, other, monkeypatch):
    monkeypatch.setattr("spoolq.packing.WINDOW", 3)
    sent = enqueue(spool, 20)
    assert forward(spool, other).forwarded == len(sent)


def test_more_than_a_batch_goes_in_batches(spool, other, monkeypatch):
    monkeypatch.setattr("spoolq.wire.MOST", 4)
    sent = enqueue(spool, 10)
    way = Direct(other)
    forward(spool, other, connection=way)
    assert way.batches == [4, 4, 2]
    assert ids(other, "pending") == sorted(sent)


def test_the_most_urgent_goes_first(spool, other, clock, monkeypatch):
    monkeypatch.setattr("spoolq.wire.MOST", 1)
    for job_id, priority in (("low", 1), ("high", 9), ("middle", 5)):
        given.job(spool, "pending", given.named(clock, job_id, priority=priority))
    order = []
    way = Direct(other, before=lambda lines: order.append(lines[0].split(b".")[3]))
    forward(spool, other, connection=way)
    assert order == [b"high", b"middle", b"low"]


def test_nothing_leaves_a_spool_that_is_paused(spool, other):
    sent = enqueue(spool)
    steering.pause(spool)
    assert forward(spool, other).forwarded == 0
    steering.resume(spool)
    assert forward(spool, other).forwarded == len(sent)


def test_a_target_that_is_paused_takes_jobs_all_the_same(spool, other):
    sent = enqueue(spool)
    steering.pause(other)
    assert forward(spool, other).forwarded == len(sent)


def test_a_job_that_is_held_stays_until_it_is_released(spool, other):
    first, second = enqueue(spool, 2)
    changing.hold(spool, first)
    forward(spool, other)
    assert ids(other, "pending") == [second]
    changing.release(spool, first)
    forward(spool, other)
    assert ids(other, "pending") == sorted([first, second])


def test_only_what_has_the_tag_goes(spool, other):
    (tagged,) = enqueue(spool, 1, tags=["yes"])
    enqueue(spool, 2)
    target = target_of(other)
    forward(spool, other, share=Share([target], tag="yes"))
    assert ids(other, "pending") == [tagged]
    assert len(ids(spool, "pending")) == 2


# --- who is refused -------------------------------------------------------------------------------


def test_an_id_that_another_job_has_there_ends_in_dead_and_says_so(spool, other):
    with Spool(other.path) as front:
        front.enqueue("something else", id="mine")
    enqueue(spool, 1, id="mine")
    tally = forward(spool, other)
    assert (tally.refused, tally.forwarded) == (1, 0)
    view = views.find(spool, "mine")
    assert view.state == "dead"
    assert "its id is taken there, by another job" in view.error
    assert ids(other, "pending") == ["mine"]


def test_a_job_that_is_there_is_not_put_there_again(spool, other):
    sent = enqueue(spool)
    forward(spool, other)
    for state, name in given.everything(spool):
        path = os.path.join(spool.path, state, name)
        os.rename(path, os.path.join(spool.path, "pending", name))
    tally = forward(spool, other)
    assert (tally.there, tally.forwarded, tally.refused) == (len(sent), 0, 0)
    assert ids(other, "pending") == sorted(sent)


def test_a_job_that_was_purged_there_can_be_sent_again(spool, other):
    (job_id,) = enqueue(spool, 1)
    forward(spool, other)
    (name,) = entries(other, "pending")
    os.unlink(os.path.join(other.path, "pending", name))
    (done,) = entries(spool, "completed")
    os.rename(
        os.path.join(spool.path, "completed", done), os.path.join(spool.path, "pending", done)
    )
    assert forward(spool, other).forwarded == 1


def test_the_spool_itself_is_no_target(spool):
    enqueue(spool)
    made, own = forwarder(spool, spool)
    with pytest.raises(BadInput, match="is the spool that the jobs come from"):
        Receiver(spool).refuse_itself(own.name)
    own.leave()


def test_a_job_that_comes_back_to_where_it_was_sent_from_is_refused(spool, other):
    """Else each spool would say that the other one has it, and nobody would run it."""
    (job_id,) = enqueue(spool, 1)
    forward(spool, other)
    assert forward(other, spool).refused == 1
    assert views.find(other, job_id).state == "dead"
    assert "it comes from there" in views.find(other, job_id).error


def test_two_spools_that_forward_to_each_other_lose_nothing(spool, other):
    """The second has it before the first has recorded that, and sends it back meanwhile."""
    (job_id,) = enqueue(spool, 1)
    back = []

    def send_back(lines):
        with pytest.raises(Unreachable, match="is being forwarded from there"):
            forward(other, spool)
        back.append(True)

    forward(spool, other, connection=Direct(other, after=send_back))
    assert back
    assert views.find(spool, job_id).state == "completed"
    assert forward(other, spool).refused == 1
    assert views.find(other, job_id).state == "dead"


def test_a_job_that_has_gone_on_from_there_has_arrived(spool, other, tmp_path):
    third = SpoolDir.create(str(tmp_path / "third"))
    (job_id,) = enqueue(spool, 1)
    die_sending(spool, other, arrives=True)
    forward(other, third)
    assert forward(spool, other).there == 1
    assert ids(third, "pending") == [job_id]
    assert ids(other, "completed") == ids(spool, "completed") == [job_id]
    third.close()


# --- the way is lost ------------------------------------------------------------------------------


@pytest.mark.parametrize("arrives", [True, False])
def test_what_was_sent_and_not_answered_is_sent_again_and_is_there_once(spool, other, arrives):
    sent = enqueue(spool)
    fails = [True]

    def once(lines):
        if fails:
            fails.pop()
            lost()

    way = Direct(other, after=once) if arrives else Direct(other, before=once)
    tally = forward(spool, other, connection=way)
    assert (tally.there if arrives else tally.forwarded) == len(sent)
    assert ids(other, "pending") == ids(spool, "completed") == sorted(sent)


@pytest.mark.parametrize("arrives", [True, False])
def test_what_a_killed_forwarder_has_sent_does_not_run_here(spool, other, arrives):
    sent = enqueue(spool)
    dead = die_sending(spool, other, arrives=arrives)
    control.recover_now(spool, sweep=True)
    assert ids(spool, "processing") == sorted(sent)
    assert ids(spool, "pending", "failed", "completed", "dead") == []
    assert dead in spool.dir("workers").list()
    tally = forward(spool, other)
    assert (tally.there if arrives else tally.forwarded) == len(sent)
    assert ids(other, "pending") == ids(spool, "completed") == sorted(sent)


def test_claims_on_their_way_stay_when_the_forwarders_directory_is_removed(spool, other):
    """Their own names say it: a worker's directory is not needed for that."""
    sent = enqueue(spool)
    dead = die_sending(spool, other, arrives=True)
    lease.clear(spool.dir("workers"), dead, spool.dir("tmp"))
    control.recover_now(spool, sweep=True)
    assert ids(spool, "processing") == sorted(sent)
    assert forward(spool, other).there == len(sent)


def test_claims_on_their_way_elsewhere_are_not_sent_to_another_target(spool, other, tmp_path):
    third = SpoolDir.create(str(tmp_path / "third"))
    sent = enqueue(spool)
    die_sending(spool, other, arrives=True)
    assert forward(spool, third).forwarded == 0
    assert ids(spool, "processing") == sorted(sent)
    assert ids(third, "pending") == []
    third.close()


def test_the_claims_of_a_living_forwarder_are_its_own(spool, other):
    sent = enqueue(spool)

    def beside(lines):
        assert forward(spool, other).forwarded == 0

    tally = forward(spool, other, connection=Direct(other, before=beside))
    assert tally.forwarded == len(sent)


def test_what_was_sent_before_does_not_wait_again_when_it_is_not_taken_now(
    spool, other, monkeypatch
):
    """A receiver that nobody hears any more may still take it in."""
    sent = enqueue(spool)
    die_sending(spool, other, arrives=False)

    def full(*_):
        raise StorageFull("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(Direct(other).receiver._spool, "publish", full)
        with pytest.raises(Unreachable, match="takes nothing now"):
            forward(spool, other)
    assert ids(spool, "processing") == sorted(sent)
    assert forward(spool, other).forwarded == len(sent)


def test_what_is_not_taken_now_waits_again_as_it_was(spool, other, monkeypatch):
    sent = enqueue(spool)
    before = given.everything(spool)

    def full(*_):
        raise StorageFull("no space left")

    with monkeypatch.context() as patched:
        patched.setattr(other, "publish", full)
        with pytest.raises(Unreachable, match="no space left"):
            forward(spool, other)
    assert given.everything(spool) == before
    assert forward(spool, other).forwarded == len(sent)


def test_who_cannot_reach_the_target_claims_nothing(spool, other):
    enqueue(spool)
    before = given.everything(spool)
    made, own = forwarder(spool, other)
    made._connect = lost
    with pytest.raises(Unreachable):
        made.run()
    own.leave()
    assert given.everything(spool) == before
    assert spool.dir("workers").list() == []


def test_what_this_disk_refuses_to_record_is_held_and_settled_later(spool, other, monkeypatch):
    sent = enqueue(spool)
    real = SpoolDir.write_outcome

    def full(self, worker_dir, record):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(SpoolDir, "write_outcome", full)
    with pytest.raises(StorageFull):
        forward(spool, other)
    assert ids(spool, "processing") == ids(other, "pending") == sorted(sent)
    control.recover_now(spool)
    assert ids(spool, "processing") == sorted(sent)
    monkeypatch.setattr(SpoolDir, "write_outcome", real)
    assert forward(spool, other).there == len(sent)
    assert ids(spool, "completed") == sorted(sent)


def test_a_forwarder_whose_directory_is_removed_leaves(spool, other):
    enqueue(spool)
    made, own = forwarder(spool, other)
    lease.clear(spool.dir("workers"), own.name, spool.dir("tmp"))
    with pytest.raises(WorkerLost):
        made.run()
    own.leave()
    assert len(ids(spool, "pending")) == 3


def test_claims_are_synced_before_anything_is_sent(spool, other, monkeypatch):
    """A power cut must not bring back to pending/ what may be at the target."""
    enqueue(spool)
    steps = []
    processing = spool.dir("processing")
    monkeypatch.setattr(processing, "sync_moves", lambda: steps.append("synced"))
    way = Direct(other, before=lambda lines: steps.append("sent"))
    forward(spool, other, connection=way)
    assert steps == ["synced", "sent"]


def test_claims_that_cannot_be_synced_are_not_sent(spool, other, monkeypatch):
    enqueue(spool)
    before = given.everything(spool)

    def refused():
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(spool.dir("processing"), "sync_moves", refused)
        way = Direct(other)
        with pytest.raises(Exception, match="Input/output error"):
            forward(spool, other, connection=way)
    assert way.batches == []
    assert given.everything(spool) == before


# --- people ---------------------------------------------------------------------------------------


def test_who_gives_up_lets_the_jobs_wait_again_as_they_were(spool, other, clock):
    name = given.job(spool, "pending", given.named(clock, "tomorrow", 2, wait=86_400))
    die_sending(spool, other, arrives=False)
    assert give_up(spool, target_of(other)) == ["tomorrow"]
    assert entries(spool, "pending") == [str(name)]


def test_nobody_gives_up_what_is_recorded_as_forwarded(spool, other, monkeypatch):
    (job_id,) = enqueue(spool, 1)
    with monkeypatch.context() as patched:
        patched.setattr(SpoolDir, "finish_move", lost)
        with pytest.raises(Unreachable):
            forward(spool, other)
    assert give_up(spool, target_of(other)) == []
    control.recover_now(spool)
    assert ids(spool, "completed") == [job_id]


def test_nobody_gives_up_what_a_living_forwarder_holds(spool, other):
    enqueue(spool)
    found = []
    way = Direct(other, before=lambda lines: found.append(give_up(spool, target_of(other))))
    forward(spool, other, connection=way)
    assert found == [[]]


def test_who_cancels_a_job_that_may_have_arrived_is_told_so(spool, other):
    (job_id,) = enqueue(spool, 1)
    die_sending(spool, other, arrives=True)
    with pytest.raises(WrongState, match="may have been forwarded") as found:
        control.cancel(spool, job_id)
    assert other.path in found.value.hint


def test_a_forwarder_stops_when_it_is_asked_to(spool, other):
    made, own = forwarder(spool, other, follow=True)
    steering.stop(spool, [own.name], interrupt=False)
    made.run()
    own.leave()


def test_the_mark_of_a_target_is_in_the_slot_and_nowhere_else():
    mark = mark_of("host:spool")
    name = Name(instants.to_stamp(instants.now()), 5, 0, "j", "w-1-a")
    assert name._replace(slot=f"{mark}_12").mark == mark
    for slot in ("0", "change", "lostabc", "to_1", f"{mark}", "slurm_3", "torque_3"):
        assert name._replace(slot=slot).mark is None
    assert mark_of("host:spool") != mark_of("host:spool2")


def test_a_spelling_of_a_target_is_its_identity():
    assert Target("a:x", "x", "a").mark != Target("b@a:x", "x", "b@a").mark


def test_jobs_that_are_longer_than_a_batch_go_in_several(spool, other, monkeypatch):
    monkeypatch.setattr("spoolq.wire.MOST_BYTES", 1000)
    sent = enqueue(spool, 6, env={"X": "x" * 400})
    way = Direct(other)
    assert forward(spool, other, connection=way).forwarded == len(sent)
    assert max(way.batches) < 3
    assert ids(other, "pending") == sorted(sent)


def test_a_job_that_no_line_can_hold_is_refused_and_holds_up_no_other(spool, other, monkeypatch):
    monkeypatch.setattr("spoolq.wire.LONGEST_JOB", 2000)
    (long,) = enqueue(spool, 1, env={"X": "x" * 2000})
    (short,) = enqueue(spool, 1)
    tally = forward(spool, other)
    assert (tally.forwarded, tally.refused) == (1, 1)
    assert ids(spool, "dead") == [long] and ids(other, "pending") == [short]

"""What is asked from outside: cancel, retry, stop, pause; nothing is lost when who asks dies."""

import errno
import json
import os
import threading

import pytest

from spoolq import control, names, steering, views
from spoolq.config import Settings
from spoolq.errors import (
    Busy,
    InvalidJob,
    NotFound,
    OutcomeUnknown,
    StorageFailed,
    StorageFull,
    WrongState,
)
from spoolq.job import CANCELLED, LOST, MAX_GIVEN
from spoolq.recovery import Recovery
from spoolq.spool import SpoolDir
from tests import given
from tests.conftest import wait_until
from tests.faults.apart import in_child
from tests.faults.loop.seam import Plan, Seam
from tests.users import ROOT

SETTINGS = Settings()


def recover(spool, clock):
    """Recover what is left of dead workers, as the next worker does; return what it took over."""
    clock.advance(1)
    own = given.worker(spool)
    recovery = Recovery(spool, own, clock, clock.monotonic)
    taken = recovery.look(SETTINGS, set())
    recovery.sweep()
    own.leave()
    return taken


# --- cancel ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("state, attempt", [("pending", 0), ("failed", 2)])
def test_a_waiting_job_that_is_cancelled_ends_in_dead(spool, clock, state, attempt):
    given.job(spool, state, given.named(clock, attempt=attempt, wait=60))
    view = control.cancel(spool, "j1", clock)
    assert (view.state, view.error, view.attempts) == ("dead", CANCELLED, attempt)
    assert given.everything(spool) == [("dead", view.filename)]
    assert spool.dir("workers").list() == []


def test_a_job_on_its_last_attempt_or_without_retries_can_be_cancelled_too(spool, clock):
    given.job(spool, "failed", given.named(clock, attempt=1), max_retries=0)
    assert control.cancel(spool, "j1", clock).error == CANCELLED


@pytest.mark.parametrize("state", ["completed", "dead"])
def test_a_job_that_has_ended_cannot_be_cancelled(spool, clock, state):
    name = given.job(spool, state, given.named(clock, attempt=1))
    with pytest.raises(WrongState, match=f"job j1 is {state}"):
        control.cancel(spool, "j1", clock)
    assert given.everything(spool) == [(state, str(name))]


def test_what_does_not_exist_cannot_be_cancelled(spool, clock):
    with pytest.raises(NotFound):
        control.cancel(spool, "j1", clock)


def test_a_drop_that_is_no_job_yet_is_not_cancelled_but_named(spool, clock):
    path = given.write(spool, "pending", "x.json", '{"command": "echo"}')
    with pytest.raises(WrongState, match="is not a job yet") as caught:
        control.cancel(spool, "x.json", clock)
    assert caught.value.hint == f"rm {path}"


def test_a_waiting_job_whose_file_is_bad_is_put_back_and_the_fault_is_named(spool, clock):
    name = given.named(clock)
    given.write(spool, "pending", str(name), '{"command": []}')
    with pytest.raises(InvalidJob, match="command"):
        control.cancel(spool, "j1", clock)
    assert given.everything(spool) == [("pending", str(name))]
    assert spool.dir("workers").list() == []


def test_a_running_job_is_asked_of_its_worker_and_waited_for(spool, clock):
    """The worker finds the request in its directory; the asker returns when the job has ended."""
    own = given.worker(spool)
    claim = given.claim(spool, own, given.job(spool, "pending", given.named(clock)), clock)
    got = []

    def ask():
        mine = SpoolDir.open(spool.path)
        got.append(control.cancel(mine, "j1"))
        mine.close()

    asking = threading.Thread(target=ask)
    asking.start()
    wait_until(lambda: own.requests() == ["cancel.j1"], "the request")
    assert asking.is_alive()
    spool.finish(own.dir, [given.record(spool, claim, clock, signal=15, error=CANCELLED)])
    asking.join(60)
    assert [(view.state, view.error) for view in got] == [("dead", CANCELLED)]


def test_who_waits_for_a_worker_that_does_not_answer_is_told_once_and_may_give_up(spool, clock):
    own = given.worker(spool)
    given.claim(spool, own, given.job(spool, "pending", given.named(clock)), clock)
    told = []
    with pytest.raises(Busy, match="job j1 is to be cancelled, and still processing") as caught:
        control.cancel(spool, "j1", timeout=1.2, on_wait=told.append)
    assert [(view.id, view.state) for view in told] == [("j1", "processing")]
    assert caught.value.where == told[0].path
    assert own.requests() == ["cancel.j1"]


def test_who_does_not_wait_for_long_is_told_nothing(spool, clock):
    given.job(spool, "pending", given.named(clock))
    told = []
    control.cancel(spool, "j1", clock, timeout=60, on_wait=told.append)
    assert told == []


def test_a_running_job_may_complete_before_it_can_be_cancelled(spool, clock):
    own = given.worker(spool)
    claim = given.claim(spool, own, given.job(spool, "pending", given.named(clock)), clock)
    got = []
    asking = threading.Thread(target=lambda: got.append(control.cancel(spool, "j1").state))
    asking.start()
    wait_until(lambda: own.requests(), "the request")
    spool.finish(own.dir, [given.record(spool, claim, clock, exit_code=0)])
    asking.join(60)
    assert got == ["completed"]


def test_a_job_of_a_dead_worker_is_recovered_and_then_cancelled(spool, clock):
    own = given.worker(spool)
    given.claim(spool, own, given.job(spool, "pending", given.named(clock)), clock)
    given.die(own)
    clock.advance(1)
    view = control.cancel(spool, "j1", clock)
    assert (view.state, view.attempts) == ("dead", 1)
    assert [run["error"] for run in view.job.history] == [LOST, CANCELLED]


def test_a_cancelled_job_that_cannot_be_recorded_waits_on(spool, clock):
    name = given.job(spool, "failed", given.named(clock, attempt=1, wait=60))
    # After the claim: an old outcome is looked for, then the new one made.
    seam = Seam(Plan(_calls_to_a_claim(spool) + 2, "error", errno.ENOSPC))
    with seam.installed(), pytest.raises(StorageFull):
        seam.armed = True
        control.cancel(spool, "j1", clock)
    ((state, filename),) = given.everything(spool)
    assert (state, filename) == ("pending", str(name))
    assert given.history(spool, state, filename) == []


def _calls_to_a_claim(spool):
    """Return how many counted calls a worker for a moment makes until it has claimed a job."""
    seam = Seam()
    with seam.installed():
        seam.armed = True
        own = given.worker(spool)
        count = seam.count
        seam.armed = False
        own.leave()
    return count + 1


def test_a_cancellation_that_is_recorded_is_not_taken_back(spool, clock):
    """The record stands and its move fails: the job does not wait again, recovery finishes it."""
    given.job(spool, "pending", given.named(clock))
    # After the claim: the outcome is made, written, synced, renamed; then its move fails.
    seam = Seam(Plan(_calls_to_a_claim(spool) + 5, "error"))
    with seam.installed(), pytest.raises(StorageFailed):
        seam.armed = True
        control.cancel(spool, "j1", clock)
    ((state, filename),) = given.everything(spool)
    assert state == "processing"
    assert given.history(spool, state, filename)[-1]["error"] == CANCELLED
    assert recover(spool, clock) == []
    assert [state for state, _ in given.everything(spool)] == ["dead"]


def test_a_cancellation_that_the_disk_does_not_confirm_is_unknown(spool, clock):
    given.job(spool, "pending", given.named(clock))
    seam = Seam(Plan(_calls_to_a_claim(spool) + 6, "error"))
    with seam.installed(), pytest.raises(OutcomeUnknown) as caught:
        seam.armed = True
        control.cancel(spool, "j1", clock)
    assert caught.value.ids == ("j1",)
    assert [state for state, _ in given.everything(spool)] == ["dead"]


@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # a fork in a process with threads
@pytest.mark.parametrize("how", ["die before", "die after"])
@pytest.mark.parametrize("state", ["pending", "failed"])
def test_a_canceller_killed_in_the_middle_loses_nothing(spool, clock, state, how):
    """At whichever call: the job waits as it was, or it has ended as cancelled; nothing between."""
    name = given.job(spool, state, given.named(clock, attempt=1), note="kept")
    ends = set()
    for at in range(1, 100):
        seam = Seam(Plan(at, how), lambda: os._exit(77))
        events = in_child(lambda tell, die, seam=seam: tell("done", _cancel_with(spool, seam)))
        assert recover(spool, clock) == []
        ((now, filename),) = given.everything(spool)
        fields = json.loads(given.content(spool, now, filename))
        assert (fields["command"], fields["note"]) == ("echo j1", "kept")
        assert names.parse(filename).attempt == 1
        ends.add(now)
        if now == "dead":
            assert [run["error"] for run in fields["history"]] == [CANCELLED]
            os.unlink(os.path.join(spool.path, now, filename))
            given.job(spool, state, name, note="kept")
        else:
            assert "history" not in fields
            assert names.parse(filename) == name
            os.rename(
                os.path.join(spool.path, now, filename), os.path.join(spool.path, state, filename)
            )
        if events == [["done", "dead"]]:
            break
    assert "dead" in ends
    assert "pending" in ends
    assert spool.dir("workers").list() == []


def _cancel_with(spool, seam):
    mine = SpoolDir.open(spool.path)
    with seam.installed():
        seam.armed = True
        return control.cancel(mine, "j1").state


# --- recovery on request --------------------------------------------------------------------------


def test_recovering_now_takes_over_what_dead_workers_left_and_nothing_else(spool, clock):
    dead, alive = given.worker(spool), given.worker(spool)
    given.claim(spool, dead, given.job(spool, "pending", given.named(clock, "lost")), clock)
    kept = given.claim(spool, alive, given.job(spool, "pending", given.named(clock, "kept")), clock)
    given.die(dead)
    clock.advance(1)
    control.recover_now(spool, clock)
    found = views.find(spool, "lost")
    assert (found.state, found.error, found.attempts) == ("failed", LOST, 1)
    assert views.find(spool, "kept").name == kept


# --- retry ----------------------------------------------------------------------------------------


def test_a_failed_job_that_is_retried_runs_now_and_keeps_its_attempts(spool, clock):
    given.job(spool, "failed", given.named(clock, attempt=2, wait=3600))
    name = control.retry(spool, "j1", clock)
    assert (name.at, name.attempt) == (clock(), 2)
    assert given.everything(spool) == [("pending", str(name))]


def test_a_dead_job_that_is_retried_has_all_its_attempts_and_its_history(spool, clock):
    run = {"attempt": 4, "exit_code": 1}
    given.job(spool, "dead", given.named(clock, attempt=4), history=[run])
    clock.advance(60)
    name = control.retry(spool, "j1", clock)
    assert (name.at, name.attempt) == (clock(), 0)
    assert given.history(spool, "pending", name) == [run]


@pytest.mark.parametrize("state", ["pending", "processing", "completed"])
def test_only_failed_and_dead_jobs_can_be_retried(spool, clock, state):
    name = given.named(clock)
    given.job(spool, state, name._replace(worker="w", slot="0") if state == "processing" else name)
    before = given.everything(spool)
    with pytest.raises(WrongState, match=f"job j1 is {state}") as caught:
        control.retry(spool, "j1", clock)
    assert "spoolq enqueue --like j1" in caught.value.hint
    assert given.everything(spool) == before


def test_a_file_that_is_still_no_job_is_not_retried_and_says_why(spool, clock):
    given.write(spool, "dead", "bad.json", '{\n"command": []}')
    with pytest.raises(InvalidJob, match="line 2, column 12, field 'command'"):
        control.retry(spool, "bad.json", clock)
    assert given.everything(spool) == [("dead", "bad.json")]


def test_a_mended_file_is_adopted_as_if_it_had_just_been_dropped(spool, clock):
    given.write(spool, "dead", "mended file.json", '{"command": "echo", "id": "m", "priority": 9}')
    name = control.retry(spool, "mended file.json", clock)
    assert (name.id, name.priority, name.attempt) == ("m", 9, 0)
    assert given.everything(spool) == [("pending", str(name))]


def test_a_mended_file_whose_id_is_taken_is_refused(spool, clock):
    given.job(spool, "completed", given.named(clock, "m", attempt=1))
    given.write(spool, "dead", "x.json", '{"command": "echo", "id": "m"}')
    before = given.everything(spool)
    with pytest.raises(InvalidJob, match="taken"):
        control.retry(spool, "x.json", clock)
    assert given.everything(spool) == before


def test_a_file_that_is_larger_than_a_worker_takes_is_not_retried(spool, clock):
    """It would go back to dead/ at once."""
    given.write(spool, "dead", "x.json", '{"command": "true", "note": "' + "x" * MAX_GIVEN + '"}')
    with pytest.raises(InvalidJob, match="larger than 1024 KiB"):
        control.retry(spool, "x.json", clock)
    assert given.everything(spool) == [("dead", "x.json")]


def test_a_job_that_moves_while_it_is_retried_is_looked_at_again(spool, clock, monkeypatch):
    name = given.job(spool, "failed", given.named(clock, attempt=1))
    real = SpoolDir.requeue

    def requeue(self, *args):
        monkeypatch.setattr(SpoolDir, "requeue", real)
        spool.promote(str(name), name)
        return real(self, *args)

    monkeypatch.setattr(SpoolDir, "requeue", requeue)
    with pytest.raises(WrongState, match="is pending"):
        control.retry(spool, "j1", clock)


def test_retrying_all_leaves_out_what_was_cancelled_and_what_is_no_job(spool, clock):
    given.job(spool, "dead", given.named(clock, "failed", attempt=4))
    given.job(spool, "pending", given.named(clock, "cancelled"))
    control.cancel(spool, "cancelled", clock)
    given.write(spool, "dead", "bad.json", "{")
    given.write(spool, "dead", "mended.json", '{"command": "echo"}')
    taken = [view.id for view in views.jobs(spool) if control.may_be_retried_with_all(view)]
    assert taken == ["failed"]


# --- stop, pause ----------------------------------------------------------------------------------


def test_all_workers_are_asked_to_stop_if_none_is_named(spool):
    workers = [given.worker(spool), given.worker(spool)]
    assert sorted(steering.stop(spool, [], interrupt=False)) == sorted(own.name for own in workers)
    assert [own.requests() for own in workers] == [["stop"], ["stop"]]


def test_a_worker_is_named_by_its_name_or_a_beginning_of_it(spool):
    one, two = given.worker(spool), given.worker(spool)
    assert steering.stop(spool, [one.name], interrupt=True) == [one.name]
    assert (one.requests(), two.requests()) == (["stop.now"], [])
    assert len(steering.stop(spool, [two.name[:3]], interrupt=False)) == 2


def test_asking_twice_changes_nothing(spool):
    own = given.worker(spool)
    for _ in range(2):
        steering.stop(spool, [own.name], interrupt=False)
    assert own.requests() == ["stop"]


@pytest.mark.parametrize("text", ["nobody", "dead"])
def test_who_is_not_alive_cannot_be_stopped(spool, text):
    own = given.worker(spool)
    given.die(own)
    with pytest.raises(NotFound, match="is alive"):
        steering.stop(spool, [own.name if text == "dead" else text], interrupt=False)


def test_pausing_and_resuming_say_whether_they_changed_anything(spool):
    assert [steering.resume(spool), steering.pause(spool), steering.pause(spool)] == [
        False,
        True,
        False,
    ]
    assert views.is_paused(spool)
    assert steering.resume(spool) is True
    assert not views.is_paused(spool)


@ROOT
def test_root_finishes_what_a_users_worker_recorded_and_does_not_run_it_again(spool, clock):
    own = given.worker(spool)
    claim = given.claim(spool, own, given.job(spool, "pending", given.named(clock)), clock)
    record = given.record(spool, claim, clock, exit_code=0)
    given.write(spool, "processing", str(claim), record.data)
    given.die(own)
    for folder, _, files in os.walk(spool.path):
        for path in [folder, *(os.path.join(folder, name) for name in files)]:
            os.chown(path, 12345, 12345)
    opened = SpoolDir.open(spool.path)
    control.recover_now(opened)
    assert [state for state, _ in given.everything(spool)] == ["completed"]
    opened.close()

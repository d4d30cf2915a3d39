"""What is asked of jobs from outside: cancel, retry; and recovery, by whoever needs it now.

Everything is a move of a file or a file put where a worker looks for it. Who changes a waiting job
is a worker for a moment: it claims the job, so nobody else can, and finishes it.
"""

from __future__ import annotations

import shlex
import time
from contextlib import contextmanager
from datetime import datetime
from typing import Callable, Iterator, Optional

from spoolq import admission, errands, instants, lease, names, steering, views
from spoolq.errors import Busy, NotFound, OutcomeUnknown, WrongState
from spoolq.executors import kind_of
from spoolq.job import CANCELLED, Entry, next_place
from spoolq.layout import storage_error, translated
from spoolq.names import Name
from spoolq.neighbours import DEAD, Neighbours
from spoolq.recovery import Recovery, record_of
from spoolq.spool import Record, SpoolDir
from spoolq.views import JobView

Clock = Callable[[], datetime]
_POLL = 0.05
_SILENCE = 1.0  # seconds after which a person is told what is waited for


@contextmanager
def worker_for_a_moment(spool: SpoolDir) -> Iterator[lease.Lease]:
    """Be a worker without jobs of its own, as who claims a job to change it has to be."""
    own = lease.Lease.start(spool, {"count": 0})
    try:
        yield own
    finally:
        own.leave()


def cancel(
    spool: SpoolDir,
    job_id: str,
    clock: Clock = instants.now,
    *,
    timeout: Optional[float] = None,
    on_wait: Callable[[JobView], None] = lambda view: None,
) -> JobView:
    """Cancel a job, waiting or running, and return it when it has ended.

    A running job is ended by its worker; it may complete before that.

    Args:
        timeout: seconds to wait for a worker that ends it, once it has been asked; None: as long
            as it takes.
        on_wait: called once when a worker has been asked and has not ended it within a second.

    Raises:
        NotFound: there is no such job.
        WrongState: it had ended before.
        Busy: it has been asked for, and has not happened within `timeout`.
    """
    started = time.monotonic()
    neighbours = Neighbours(spool, time.monotonic)
    told = asked = False
    view = views.find(spool, job_id)
    if view.state in ("completed", "dead"):
        raise WrongState(
            f"job {job_id} is {view.state}; only waiting and running jobs can be cancelled",
            where=view.path,
            hint=f"how it ended:  spoolq show {shlex.quote(job_id)}",
        )
    while view.state not in ("completed", "dead"):
        waited = time.monotonic() - started
        if timeout is not None and waited > timeout and asked:
            raise Busy(f"job {job_id} is to be cancelled, and still {view.state}", where=view.path)
        if waited > _SILENCE and not told:
            told = True
            on_wait(view)
        if view.state == "processing":
            _ask_its_worker(spool, view, clock, neighbours)
        else:
            _cancel_waiting(spool, view, clock)
        asked = True
        view = views.find(spool, job_id)
    return view


def cancel_waiting(spool: SpoolDir, job_id: str, clock: Clock = instants.now) -> None:
    """Cancel a job if it waits; one that runs by now goes on."""
    try:
        view = views.find(spool, job_id)
    except NotFound:
        return
    if view.state in ("pending", "failed"):
        _cancel_waiting(spool, view, clock)


def _cancel_waiting(spool: SpoolDir, view: JobView, clock: Clock) -> None:
    if view.name is None:
        raise WrongState(
            f"{view.filename} is not a job yet", where=view.path, hint=f"rm {view.path}"
        )
    with worker_for_a_moment(spool) as own:
        end_waiting(spool, own, view, {"error": CANCELLED}, clock)


def end_waiting(
    spool: SpoolDir, own: lease.Lease, view: JobView, facts: Entry, clock: Clock
) -> bool:
    """End a waiting job without a run, for what `facts` say; False if it has moved on meanwhile.

    Raises:
        InvalidJob: it is no job.
        OutcomeUnknown: it has ended, and the disk did not confirm it.
    """
    assert view.name is not None
    with translated(spool.path):
        claim = spool.claim_to_change(view.state, view.filename, view.name, own.name)
        if claim is None:
            return False  # who asked looks again
        # CRASH: the claim of a canceller that died is put back by recovery, as it was
        # (test_a_canceller_killed_in_the_middle_loses_nothing).
        current = views.look(spool, "processing", str(claim), view.settings)
        if current is None or current.job is None:
            spool.give_back(claim, view.name)
            raise (
                current.problem
                if current and current.problem
                else WrongState(f"job {view.id} is no longer there")
            )
        entry: Entry = {
            "attempt": claim.attempt,
            "worker": own.name,
            "started_at": instants.stamp_to_rfc3339(claim.stamp),
            "finished_at": instants.to_rfc3339(clock()),
            **facts,
            "not_before": instants.stamp_to_rfc3339(claim.stamp),  # it waited, and did not run
        }
        job = current.job.with_entry(entry, current.written_at)
        state, at, attempt = next_place(entry, claim.attempt, view.settings.policy(job))
        record = Record(claim, job.to_bytes(), state, instants.to_stamp(at), attempt)
        report = spool.finish(own.dir, [record], view.settings.durability)
        if report.error is not None and claim in report.done:
            raise OutcomeUnknown(
                f"job {view.id} is ended, but the disk did not confirm it: {report.error}",
                [view.id],
            ) from report.error
        if report.error is not None:
            _undo(spool, claim, view)
            raise storage_error(report.error, spool.path) from report.error
        return report.done[claim] is not None


def _undo(spool: SpoolDir, claim: Name, view: JobView) -> None:
    """Put a job back that could not be cancelled.

    CRASH: once the cancellation is recorded the job must not wait again: its claim stays, and
    recovery finishes the move (test_a_cancellation_that_is_recorded_is_not_taken_back).
    """
    assert view.name is not None
    current = views.look(spool, "processing", str(claim), view.settings)
    recorded = current and current.job and current.job.recorded(claim.attempt, claim.stamp)
    if current is not None and not recorded:
        spool.give_back(claim, view.name)


def _ask_its_worker(spool: SpoolDir, view: JobView, clock: Clock, neighbours: Neighbours) -> None:
    """Ask the worker of a running job to end it, and wait until the job has moved."""
    claim = view.name
    if claim is None or claim.worker is None:
        time.sleep(_POLL)  # a stray file: a worker puts it back
        return
    if claim.mark is not None and lease.probe(spool, claim.worker) != "held":
        raise WrongState(
            f"job {claim.id} may have been forwarded, and its forwarder is gone",
            where=view.path,
            hint=f"settle that first:  {errands.settling(lease.read_card(spool, claim.worker))}",
        )
    is_elsewhere = kind_of(claim.slot) and spool.dir("workers").has(claim.worker)
    if not is_elsewhere and neighbours.state_of(claim.worker) in DEAD:
        recover_now(spool, clock, neighbours=neighbours)
        time.sleep(_POLL)  # what is left of its run may be waited for
        return
    if steering.request(spool, claim.worker, f"cancel.{claim.id}"):
        spool.ring()
    time.sleep(_POLL)


def recover_now(
    spool: SpoolDir,
    clock: Clock = instants.now,
    *,
    orphans: Optional[str] = None,
    sweep: bool = False,
    neighbours: Optional[Neighbours] = None,
) -> None:
    """Take over the claims of dead workers at once, as every worker does each second.

    Args:
        orphans: what the commands of dead workers get, "end" or "wait"; None: as configured.
        sweep: also remove the directories of dead workers, and old litter.
        neighbours: what is known of the workers; who has just begun to look takes none of another
            host for dead.
    """
    settings = views.settings_of(spool)[0]
    settings = settings._replace(orphans=orphans or settings.orphans)
    with worker_for_a_moment(spool) as own, translated(spool.path):
        recovery = Recovery(spool, own, clock, time.monotonic, neighbours=neighbours)
        taken = recovery.look(settings, set())
        deadline = time.monotonic() + settings.grace + _SILENCE
        while recovery.patience() is not None and time.monotonic() < deadline:
            time.sleep(_POLL)
            taken += recovery.look(settings, {found.claim for found in taken})
        records = [record_of(found, settings) for found in taken]
        report = spool.finish(own.dir, records, settings.durability)
        if report.error is not None:
            raise storage_error(report.error, spool.path) from report.error
        if sweep:
            recovery.sweep()
            spool.tidy_bells()


def retry(spool: SpoolDir, job_id: str, clock: Clock = instants.now) -> Name:
    """Let a failed job run now, or a dead one anew with all its attempts; its history stays.

    Raises:
        NotFound: there is no such job.
        WrongState: it is neither failed nor dead.
        InvalidJob: it is not a job, and has not been mended; or what it waits for is dead.
        KeyTaken: another job has its key by now.
    """
    while True:  # it may move while we look: then look again
        moved = _retry_once(spool, views.find(spool, job_id), clock)
        if moved is not None:
            return moved


def _retry_once(spool: SpoolDir, view: JobView, clock: Clock) -> Optional[Name]:
    if view.state not in ("failed", "dead"):
        raise WrongState(
            f"job {view.id} is {view.state}; only failed or dead jobs can be retried.",
            where=view.path,
            hint=f"run a copy of it:  spoolq enqueue --like {view.id}",
        )
    if view.problem is not None:
        raise view.problem
    assert view.job is not None
    stamp = instants.to_stamp(clock())
    with translated(spool.path):
        if view.name is None:
            return _drop_again(spool, view)
        attempt = view.name.attempt if view.state == "failed" else 0
        name = view.name.waiting(stamp=stamp, attempt=attempt)
        if view.state == "failed" or not admission.concerns(view.job):
            return _moved(spool, view, name)
        asked = admission.Asked(name, view.job)
        return admission.readmit(
            spool, asked, view.settings.durability, lambda name: _moved(spool, view, name)
        )


def _moved(spool: SpoolDir, view: JobView, name: Name) -> Optional[Name]:
    return spool.requeue(view.state, view.filename, name, name.stamp, name.attempt)


def _drop_again(spool: SpoolDir, view: JobView) -> Optional[Name]:
    """Adopt a mended file from dead/ as if it had just been dropped."""
    assert view.job is not None
    given = view.job.fields.get("id")
    stamp = instants.to_stamp(view.job.run_at or view.changed_at)
    name = Name(stamp, view.job.priority, 0, given or names.id_from_stem(view.filename))
    asked = admission.Asked(name, view.job)
    return admission.readmit(
        spool,
        asked,
        view.settings.durability,
        lambda name: spool.requeue("dead", view.filename, name, name.stamp, 0),
        is_new=True,
    )


def may_be_retried_with_all(view: JobView) -> bool:
    """Say whether `dlq retry --all` takes it: not what was cancelled, nor what is no job."""
    return view.problem is None and view.name is not None and view.error != CANCELLED

"""Jobs that wait, changed: held, released, put elsewhere in the order, or rewritten.

What the name of a waiting job says, its time and its priority, is changed by one rename where the
job is. What its file says is changed by a claim, so that nobody runs it meanwhile: who rewrites a
job is a worker for a moment, and records the new file as a run's end is recorded.
"""

from __future__ import annotations

import os
from datetime import datetime
from typing import Any, Callable, Dict, Mapping

from spoolq import dependencies, instants, views
from spoolq.control import worker_for_a_moment
from spoolq.errors import OutcomeUnknown, WrongState
from spoolq.job import DERIVED, Job
from spoolq.layout import storage_error, translated
from spoolq.names import AFTER, HELD, Name, is_held
from spoolq.spool import Record, SpoolDir
from spoolq.views import JobView

#: What a job is, and not how it is to run: no edit changes it.
FIXED = ("id", "created_at", "history", "after", "after_any", "key")
_OF_NAME = ("priority", "run_at")
_WAITING = ("pending", "failed")


def hold(spool: SpoolDir, job_id: str) -> JobView:
    """Let a waiting job wait until it is released, and return it; held already, it stays so.

    Raises:
        NotFound: there is no such job.
        WrongState: it does not wait.
    """
    return _renamed(spool, job_id, lambda name: name._replace(stamp=HELD))


def release(spool: SpoolDir, job_id: str, clock: Callable[[], datetime] = instants.now) -> JobView:
    """Let a held job fall due now, and return it; the same for one that waits for its time.

    A job that waits for others, and was held besides, waits for them again; another release lets
    it go all the same.

    Raises:
        NotFound, WrongState: as `hold`.
    """

    return _renamed(spool, job_id, lambda name: _due(spool, name, clock))


def rewrite(
    spool: SpoolDir,
    before: JobView,
    fields: Mapping[str, Any],
    clock: Callable[[], datetime] = instants.now,
) -> JobView:
    """Give a waiting job other fields, and return it.

    Args:
        before: the job as it was when the fields were thought of: it must still be that.
        fields: all that it is to have, but for FIXED. Where priority and run_at are not as `shown`,
            they go into its name; without the run_at that was shown it falls due.

    Raises:
        InvalidJob: a field is wrong; nothing was changed.
        WrongState: it does not wait, or not as it was.
        OutcomeUnknown: it was changed, and the disk did not confirm it.
    """
    old = _waiting(before)
    assert before.name is not None
    kept = {key: old.fields[key] for key in FIXED if key in old.fields}
    given = {key: fields[key] for key in fields if key not in FIXED and key not in DERIVED}
    seen = shown(before)
    job = Job({**given, **kept})  # what is wrong with it is told of what was given
    name = _as_wished(spool, before.name, seen, job, clock)
    for key in _OF_NAME:  # what is in the name alone stays there: a hold is no time of the job
        if given.get(key) == seen.get(key):
            given.pop(key, None)
            given.update({key: old.fields[key]} if key in old.fields else {})
    job = Job({**given, **kept})
    data = job.to_bytes()
    if job.fields == old.fields:
        return _renamed(spool, before.id, lambda _: name)
    with worker_for_a_moment(spool) as own, translated(spool.path):
        wanted = before.name._replace(priority=name.priority)
        claim = spool.claim_to_change(before.state, before.filename, wanted, own.name)
        if claim is None:
            raise _moved_on(views.find(spool, before.id))
        # CRASH: recovery puts the job back, with the old file or the new one
        # (test_who_dies_while_a_job_is_rewritten_leaves_it_waiting).
        now = views.look(spool, "processing", str(claim), before.settings)
        if now is None or now.job is None or now.job.fields != old.fields:
            _put_back(spool, claim, before)
            raise _moved_on(views.find(spool, before.id))
        record = Record(claim, data, before.state, name.stamp, name.attempt)
        report = spool.finish(own.dir, [record], before.settings.durability)
        if report.error is not None and claim not in report.done:
            _put_back(spool, claim, before)
            raise storage_error(report.error, spool.path) from report.error
        if report.error is not None:
            raise OutcomeUnknown(
                f"job {before.id} is changed, but the disk did not confirm it: {report.error}",
                [before.id],
            ) from report.error
    return views.find(spool, before.id)


def shown(view: JobView) -> Dict[str, Any]:
    """Return the fields of a waiting job that can be changed, as its name has them.

    Raises:
        WrongState: it does not wait.
    """
    fields = {key: value for key, value in _waiting(view).fields.items() if key not in FIXED}
    assert view.name is not None
    fields["priority"] = view.name.priority
    if view.name.stamp != AFTER and ("run_at" in fields or is_held(view.name.stamp)):
        fields["run_at"] = instants.stamp_to_rfc3339(view.name.stamp)
    return fields


# --- inside ---------------------------------------------------------------------------------------


def _put_back(spool: SpoolDir, claim: Name, before: JobView) -> None:
    assert before.name is not None
    stamp, attempt = before.name.stamp, before.name.attempt
    spool.requeue("processing", str(claim), before.name, stamp, attempt, into=before.state)


def _as_wished(
    spool: SpoolDir, name: Name, seen: Mapping[str, Any], new: Job, clock: Callable[[], datetime]
) -> Name:
    """Return a job's name after its fields were changed: only what has changed goes into it."""
    moved = new.fields.get("run_at") != seen.get("run_at")
    if moved and name.stamp != AFTER:  # else it is due at that time once nothing is waited for
        at = new.run_at
        name = (
            _due(spool, name, clock) if at is None else name._replace(stamp=instants.to_stamp(at))
        )
    return name._replace(priority=new.fields.get("priority", name.priority))


def _due(spool: SpoolDir, name: Name, clock: Callable[[], datetime]) -> Name:
    """Return a job's name when it is held no more, and waits for no time."""
    now = instants.to_stamp(clock())
    if is_held(name.stamp) and name.stamp != AFTER and dependencies.waits_of(spool, name.id):
        return name._replace(stamp=AFTER)
    return name if name.stamp <= now else name._replace(stamp=now)


def _waiting(view: JobView) -> Job:
    if view.problem is not None:
        raise view.problem
    if view.state not in _WAITING or view.name is None or view.job is None:
        raise _moved_on(view)
    return view.job


def _moved_on(view: JobView) -> WrongState:
    if view.name is None:
        return WrongState(f"{view.filename} is not a job yet", where=view.path)
    if view.state in _WAITING:
        return WrongState(
            f"job {view.id} has changed meanwhile",
            where=view.path,
            hint="look at it, then try again",
        )
    hints = {
        "processing": f"spoolq cancel {view.id}, or wait until it has ended",
        "dead": f"edit the file itself, then:  spoolq retry {view.id}",
        "completed": f"run a copy of it:  spoolq enqueue --like {view.id}",
    }
    state = "running" if view.state == "processing" else view.state
    return WrongState(
        f"job {view.id} is {state}; only jobs that wait can be changed",
        where=view.path,
        hint=hints[view.state],
    )


def _renamed(spool: SpoolDir, job_id: str, change: Callable[[Name], Name]) -> JobView:
    """Give a waiting job another name where it is."""
    while True:  # it may move while we look: then look again
        view = views.find(spool, job_id)
        _waiting(view)
        assert view.name is not None
        name = change(view.name)
        if name == view.name:
            return view
        with translated(spool.path):
            moved = spool.requeue(
                view.state, view.filename, name, name.stamp, name.attempt, into=view.state
            )
            if moved is None:
                continue
            spool.sync_moves([view.state], view.settings.durability)
        # RACE: it may run by now, which is no reason to say that it could not be changed
        # (test_a_living_worker_starts_what_is_released).
        path = os.path.join(spool.dir(view.state).path, str(moved))
        return view._replace(name=moved, filename=str(moved), path=path)

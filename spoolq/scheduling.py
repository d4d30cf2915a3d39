"""What is done to schedules: by people, and by the workers that enqueue what falls due.

CRASH: what a kill or a power cut leaves (test_a_tick_is_enqueued_once_wherever_its_worker_dies):

add, pause, resume, remove   Before the one rename, create or unlink the old schedule, after it the
                             new one. A `.last` that is left over does no harm: a schedule begins
                             anew when its file changes.
a tick                       The new `.last` is written in tmp/, durably; the job is published;
                             `.last` is renamed into place. Who finds one in tmp/ knows that
                             somebody died in between, and looks for the job by its id in the whole
                             spool: where it is there, nothing is left to do but the rename.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from spoolq import admission, annexes, instants, names, strictjson
from spoolq.config import Settings
from spoolq.errors import BadInput, IdTaken, InvalidJob, NotFound
from spoolq.fsio import Dir
from spoolq.job import Job
from spoolq.layout import translated
from spoolq.logs import logger
from spoolq.names import Name
from spoolq.schedules import (
    FILE,
    LAST,
    MAX_NAME,
    PAUSED,
    PLACE,
    Schedule,
    check,
    id_of,
    is_name,
    last_of,
    opened,
    read,
)
from spoolq.spool import SpoolDir
from spoolq.text import closest

#: Seconds after a tick up to which it counts as in time.
IN_TIME = 60.0
#: Missed ticks that are made up for, at most: the newest.
MOST = 1000


class Dealt(NamedTuple):
    """What became of a schedule's ticks: the ids of the new jobs, and when the next one is due."""

    ids: List[str]
    next: Optional[datetime]


# --- ticks ----------------------------------------------------------------------------------------


def deal(
    spool: SpoolDir, place: Dir, name: str, settings: Settings, clock: Callable[[], datetime]
) -> Dealt:
    """Enqueue what a schedule has due: each tick once, however many workers do so.

    Raises:
        FileNotFoundError: the schedule is gone.
        BadInput: it is none.
        Busy: somebody else publishes ids just now.
        OSError, StorageFailed, OutcomeUnknown: the disk refused; to be tried again.
    """
    schedule = read(place, name, settings)
    due = schedule.cron.after(schedule.begins(last_of(place, name)))
    if due is None or due > clock():
        return Dealt([], due)
    with admission.held(spool, patience=0.0):
        # RACE: another worker may have dealt with it before the lock was ours, and somebody may
        # have removed it (test_a_tick_is_enqueued_once_by_many_workers).
        schedule, now = read(place, name, settings), clock()
        last = last_of(place, name)
        ticks = schedule.cron.newest(
            schedule.begins(last), now, MOST if schedule.missed == "all" else 1
        )
        if not ticks:
            return Dealt([], schedule.cron.after(schedule.begins(last)))
        wanted = _wanted(schedule, schedule.begins(last), ticks, now)
        # Else only the next tick is due, and nobody can have dealt with it but under this lock.
        sure = last is not None and (now - ticks[0]).total_seconds() <= IN_TIME
        jobs = dict(_job(schedule, tick, now) for tick in wanted)
        ids = _enqueue(spool, place, name, jobs, ticks[-1], settings.durability, sure=sure)
        return Dealt(ids, schedule.cron.after(ticks[-1]))


def _wanted(
    schedule: Schedule, after: datetime, ticks: List[datetime], now: datetime
) -> List[datetime]:
    """Return the ticks that become jobs, and tell of those that do not."""
    late = (now - ticks[-1]).total_seconds() > IN_TIME
    wanted = [] if late and schedule.missed == "skip" else ticks
    first = schedule.cron.after(after)
    if first is not None and (not wanted or first < wanted[0]):
        until = ticks[-1] if not wanted else wanted[0]
        logger.warning(
            "schedule %s: no worker was there in time from %s on; %s",
            schedule.name,
            instants.to_rfc3339(first)[:19] + "Z",
            "what was missed is skipped"
            if not wanted
            else f"what was missed before {instants.to_rfc3339(until)[:19]}Z is not made up for",
        )
    return wanted


def _enqueue(
    spool: SpoolDir,
    place: Dir,
    name: str,
    jobs: Dict[Name, Job],
    last: datetime,
    durability: str,
    *,
    sure: bool,
) -> List[str]:
    """Publish jobs whose ids are not taken, and note that all up to the last tick is dealt with.

    The lock on the ids is held. Whether an id is taken is found by a look at the whole spool,
    unless it is `sure` that nobody has dealt with these ticks, as far as `.last` tells.
    """
    tmp, sync, note = spool.dir("tmp"), durability != "none", name + LAST
    sure = sure and not tmp.has(note)  # else somebody has begun, and not come to the end
    fresh = f"{note}.{names.random_text(8)}"
    tmp.write(fresh, f"{instants.to_rfc3339(last)[:19]}Z\n".encode("ascii"), sync=sync)
    # CRASH: of two who die one after the other, the second must not take away what tells of the
    # first (test_of_two_who_die_in_a_row_the_first_is_not_forgotten).
    try:
        tmp.rename(fresh, tmp, note)
    except OSError:
        tmp.tidy(fresh)
        raise
    if sync:
        tmp.sync_moves()
    if sure:
        pending = spool.dir("pending")
        taken = {job.id: ("pending", str(job)) for job in jobs if pending.has(str(job))}
    else:
        taken = spool.locate([job.id for job in jobs])
    new = {key: job for key, job in jobs.items() if key.id not in taken}
    skipped = _publish(spool, new, durability)
    if sync:
        # CRASH: whoever has published it was killed before it was synced; it must not be lost once
        # the tick counts as dealt with (test_what_is_there_is_synced_before_it_is_noted).
        for state in {state for state, _ in taken.values()}:
            spool.dir(state).sync_moves()
    tmp.rename(note, place, note)
    if sync:
        place.sync_moves()
    for job_id, other in skipped.items():
        logger.info("schedule %s: %s is skipped: %s has its key", name, job_id, other)
    return [job.id for job in new if job.id not in skipped]


def _job(schedule: Schedule, tick: datetime, now: datetime) -> Tuple[Name, Job]:
    """Return name and job of a tick; its time is the tick's, so its name is always the same."""
    job = Job({**schedule.job, "created_at": instants.to_rfc3339(now)})
    return Name(instants.to_stamp(tick), job.priority, 0, id_of(schedule.name, tick)), job


def _publish(spool: SpoolDir, new: Dict[Name, Job], durability: str) -> Dict[str, str]:
    """Publish jobs by names that are free; return those skipped for their key, and who has it."""
    files = {name: job.to_bytes() for name, job in new.items()}
    for name in files:
        # CRASH: what was being written when its worker was killed has the same name
        # (test_what_a_killed_worker_was_writing_is_in_nobodys_way).
        spool.dir("tmp").discard(str(name))
    if any(map(admission.concerns, new.values())):
        return admission.publish_held(spool, files, new, durability, "skip")
    if files:
        spool.publish(files, durability)
    return {}


# --- by people ------------------------------------------------------------------------------------


def add(spool: SpoolDir, name: str, fields: Dict[str, Any], *, replace: bool = False) -> Schedule:
    """Add a schedule; its first tick is the next one.

    Args:
        fields: the object in its file: cron, timezone, missed, job.
        replace: put it in the place of the one that has the name, if any has.

    Raises:
        BadInput: the name or a field is wrong.
        IdTaken: there is one of this name, and `replace` is False.
        StorageFull, StorageFailed: it was not added.
    """
    _require_name(name)
    cron, missed, job = check(fields)
    if cron.after(instants.now()) is None:
        raise BadInput(f"{cron.text!r} means no day of the next fifty years")
    data = strictjson.dump_object(fields)
    temporary = f"{name}.{names.random_text(8)}"
    with translated(spool.path):
        annexes.made(spool, PLACE)
        with opened(spool) as place, admission.held(spool):
            tmp = spool.dir("tmp")
            there = [ending for ending in (FILE, PAUSED) if place.has(name + ending)]
            if there and not replace:
                raise IdTaken(
                    f"there is a schedule {name!r} already",
                    where=os.path.join(place.path, name + there[0]),
                    hint="put this one in its place:  --replace",
                )
            tmp.write(temporary, data, sync=True)
            if replace:
                tmp.rename(temporary, place, name + FILE)
                place.discard(name + PAUSED)
            else:
                tmp.publish(temporary, place, name + FILE)
            place.sync_moves()
    return Schedule(name, cron, missed, job, instants.now())


def remove(spool: SpoolDir, name: str) -> None:
    """Remove a schedule; when it returns, nothing of it is enqueued any more.

    Raises:
        NotFound: there is none of this name.
    """
    with _held(spool, name) as place:
        for ending in (FILE, PAUSED):
            place.discard(name + ending)
        place.discard(name + LAST)
        place.sync()


def pause(spool: SpoolDir, name: str) -> None:
    """Let a schedule rest: its ticks do not count.

    Raises:
        NotFound: there is none of this name.
    """
    _rename(spool, name, FILE, PAUSED)


def resume(spool: SpoolDir, name: str) -> None:
    """Let a schedule go on, from its next tick.

    Raises:
        NotFound: there is none of this name.
    """
    _rename(spool, name, PAUSED, FILE)


def _rename(spool: SpoolDir, name: str, old: str, new: str) -> None:
    with _held(spool, name) as place:
        if place.has(name + old):
            place.rename(name + old, place, name + new)
            place.sync_moves()


def find(spool: SpoolDir, name: str, settings: Settings) -> Schedule:
    """Return a schedule by its name, though it may rest.

    Raises:
        NotFound: there is none of this name.
        BadInput: it is none.
    """
    with _held(spool, name) as place:
        ending = FILE if place.has(name + FILE) else PAUSED
        try:
            return read(place, name, settings, ending)
        except BadInput as error:
            error.where = os.path.join(place.path, name + ending)
            raise


@contextmanager
def _held(spool: SpoolDir, name: str) -> Iterator[Dir]:
    """Open schedules/ for what is done to a schedule that is there, while no worker deals with it.

    Raises:
        NotFound: there is none of this name.
    """
    _require_name(name)
    with translated(spool.path):
        try:
            with opened(spool) as place, admission.held(spool):
                there = place.list()
                if name + FILE not in there and name + PAUSED not in there:
                    raise _unknown(name, there)
                yield place
        except FileNotFoundError:
            raise _unknown(name, []) from None


def _unknown(name: str, entries: List[str]) -> NotFound:
    known = [os.path.splitext(entry)[0] for entry in entries if entry.endswith((FILE, PAUSED))]
    meant = closest(name, known)
    asked = f"; did you mean {meant!r}?" if meant else ""
    return NotFound(f"there is no schedule {name!r}{asked}", hint="spoolq schedule list")


def _require_name(name: str) -> None:
    if not is_name(name):
        raise InvalidJob(
            f"{name!r} cannot name a schedule: it has 1 to {MAX_NAME} of A-Z a-z 0-9 _ -, begins "
            "with none of -, and is not last"
        )

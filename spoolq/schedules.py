"""Schedules: jobs that are enqueued again and again, a file each in schedules/.

`NAME.json` says by a cron expression when, and which job; `NAME.last` up to which tick all is dealt
with; `NAME.paused` is a schedule that rests. A tick becomes a job whose id is the name and the
tick's time, and whose place in pending/ is made by one exclusive create, under the lock on
`tmp/.ids` under which `NAME.last` moves on as well. So it is enqueued once, however many workers
see it fall due.

A tick counts if it comes after `NAME.last`, and after the last change of the schedule's file: who
adds a schedule, changes it, lets it go on or touches it begins anew. What changes
them is in `scheduling`.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from spoolq import instants, names, strictjson
from spoolq.adoption import require_trusted
from spoolq.config import Settings
from spoolq.errors import BadInput, InvalidJob, SpoolqError, StorageFailed
from spoolq.fsio import Dir, read_all
from spoolq.job import MAX_GIVEN, Job
from spoolq.layout import words
from spoolq.spool import SpoolDir
from spoolq.text import closest
from spoolq.ticks import UTC, Cron

PLACE = "schedules"
#: What becomes of ticks for which no worker was there in time.
MISSED = ("once", "skip", "all")
#: How the files of a schedule end: its own, the same while it rests, and its last tick.
FILE, PAUSED, LAST = ".json", ".paused", ".last"
#: Fields that are of one job alone, and not of all that a schedule makes.
OF_ONE = ("id", "run_at", "after", "after_any", "created_at", "history")

_KEYS = ("cron", "timezone", "missed", "job")
_STAMP = "-20261201T020000Z"
MAX_NAME = names.MAX_ID - len(_STAMP)
_LAST_SIZE = 64
_AHEAD = 60.0  # seconds that another clock may be ahead of ours, and still be believed


class Schedule(NamedTuple):
    """What the file of a schedule says, and when it was changed last."""

    name: str
    cron: Cron
    missed: str
    job: Dict[str, Any]
    since: datetime

    def begins(self, last: Optional[datetime]) -> datetime:
        """Return the instant after which ticks count."""
        return self.since if last is None else max(last, self.since)


class View(NamedTuple):
    """A schedule as it is shown; `problem` says why nothing of it is enqueued."""

    name: str
    paused: bool
    schedule: Optional[Schedule]
    last: Optional[datetime]
    next: Optional[datetime]
    problem: str

    @property
    def file(self) -> str:
        """Its file, in the spool."""
        return f"{PLACE}/{self.name}{PAUSED if self.paused else FILE}"

    @property
    def last_job(self) -> Optional[str]:
        """The id of the job that the last tick became, if it became one."""
        return None if self.last is None else id_of(self.name, self.last)

    @property
    def cron(self) -> str:
        """Its expression, or "" where it cannot be read."""
        return "" if self.schedule is None else self.schedule.cron.text

    def as_dict(self) -> Dict[str, Any]:
        """Return it as JSON has it."""
        found = self.schedule
        return {
            "name": self.name,
            "cron": found and found.cron.text,
            "timezone": found and found.cron.zone,
            "missed": found and found.missed,
            "job": found and found.job,
            "paused": self.paused,
            "next": self.next and instants.to_rfc3339(self.next),
            "last_tick": self.last and instants.to_rfc3339(self.last),
            "last_job": self.last_job,
            "problem": self.problem or None,
        }


class Summary(NamedTuple):
    """How many schedules there are, which comes next and when, what is wrong with which file."""

    number: int = 0
    name: str = ""
    next: Optional[datetime] = None
    problems: Sequence[Tuple[str, str]] = ()

    @property
    def warnings(self) -> List[str]:
        """What is wrong, a text each."""
        return [f"{path}: {what}" for path, what in self.problems]


# --- what is there --------------------------------------------------------------------------------


def is_name(text: str) -> bool:
    """Say whether a schedule may be called so."""
    return names.is_id(text) and len(text) <= MAX_NAME


def id_of(name: str, tick: datetime) -> str:
    """Return the id of the job that a tick becomes."""
    stamp = instants.to_stamp(tick)
    return f"{name}-{stamp[:15]}Z"


def open_place(spool: SpoolDir) -> Dir:
    """Open schedules/.

    Raises:
        FileNotFoundError: the spool has none.
        StorageFailed: it is on another filesystem.
        OSError: it is no directory, or cannot be opened.
    """
    place = spool.root.sub(PLACE)
    if place.stat().st_dev != spool.root.stat().st_dev:
        place.close()
        raise StorageFailed(
            f"{PLACE}/ is on another filesystem than its spool, and nothing can be renamed there",
            where=os.path.join(spool.path, PLACE),
            hint="unmount it, or put the whole spool there",
        )
    return place


@contextmanager
def opened(spool: SpoolDir) -> Iterator[Dir]:
    """Open schedules/ for a while; errors as `open_place`."""
    place = open_place(spool)
    try:
        yield place
    finally:
        place.close()


def names_in(entries: Iterable[str], ending: str = FILE) -> List[str]:
    """Return the names of the schedules among the entries of schedules/, in order.

    What no schedule can be called is among them: it is complained of.
    """
    files = (entry for entry in entries if entry.endswith(ending) and not entry.startswith("."))
    return sorted(entry[: -len(ending)] for entry in files)


def read(place: Dir, name: str, settings: Settings, ending: str = FILE) -> Schedule:
    """Read a schedule, which anybody who may write here can have put there.

    Raises:
        FileNotFoundError: it is gone.
        BadInput: it is none; says why.
        Missing: a library is not installed.
    """
    if not is_name(name):
        raise BadInput(f"a schedule's name has 1 to {MAX_NAME} of A-Z a-z 0-9 _ -, and is not last")
    descriptor = place.open_file(name + ending)
    try:
        info = require_trusted(place, descriptor, settings.group)
        data = read_all(descriptor, MAX_GIVEN)
    finally:
        os.close(descriptor)
    if len(data) > MAX_GIVEN:
        raise BadInput(f"larger than {MAX_GIVEN // 1024} KiB")
    text, fields = strictjson.parse_object(data)
    try:
        cron, missed, job = check(fields)
    except InvalidJob as error:
        line, column = strictjson.place(text, error.path)
        raise InvalidJob(
            error.reason, path=error.path, line=line, column=column, hint=error.hint
        ) from None
    return Schedule(name, cron, missed, job, instants.of_file(info.st_ctime_ns))


def check(fields: Dict[str, Any]) -> Tuple[Cron, str, Dict[str, Any]]:
    """Return what the object in a schedule's file says: when, what of missed ticks, and the job.

    Raises:
        InvalidJob: a rule is broken; `path` says where.
        Missing: a library is not installed.
    """
    for key in fields:
        if key not in _KEYS:
            meant = closest(key, _KEYS)
            asked = f"; did you mean {meant!r}?" if meant else ""
            raise InvalidJob(f"means nothing in a schedule{asked}", path=(key,))
    for key in ("cron", "job"):
        if key not in fields:
            raise InvalidJob(f"a schedule needs a {key!r}")
    for key in ("cron", "timezone"):
        if not isinstance(fields.get(key, ""), str):
            raise InvalidJob("must be text", path=(key,))
    zone = fields.get("timezone", UTC)
    try:
        cron = Cron(fields["cron"], zone)
    except BadInput as error:
        key = "timezone" if "time zone" in str(error) else "cron"
        raise InvalidJob(str(error), path=(key,), hint=error.hint) from None
    missed = fields.get("missed", MISSED[0])
    if missed not in MISSED:
        raise InvalidJob(f"must be one of {', '.join(MISSED)}", path=("missed",))
    job = fields["job"]
    if not isinstance(job, dict):
        raise InvalidJob("must be an object with the fields of a job", path=("job",))
    for key in OF_ONE:
        if key in job:
            raise InvalidJob("is of one job, and a schedule makes many", path=("job", key))
    try:
        Job(job)
    except InvalidJob as error:
        raise InvalidJob(error.reason, path=("job", *error.path), hint=error.hint) from None
    return cron, missed, job


def last_of(place: Dir, name: str) -> Optional[datetime]:
    """Return the tick up to which all is dealt with, or None: none has been yet.

    Raises:
        BadInput: what is noted is no time.
    """
    try:
        data, _ = place.read(name + LAST, _LAST_SIZE)
        return instants.from_rfc3339(data.decode("ascii").strip())
    except FileNotFoundError:
        return None
    except (ValueError, InvalidJob):
        raise BadInput(
            f"{name}{LAST} does not say a time",
            hint=f"remove it: ticks then count from the last change of {name}{FILE}",
        ) from None


def views(spool: SpoolDir, settings: Settings, now: datetime) -> List[View]:
    """Return the schedules of a spool, in order of their names; whatever is wrong with one."""
    try:
        with opened(spool) as place:
            entries = place.list()
            found = [
                _view(place, name, settings, now, ending)
                for ending in (FILE, PAUSED)
                for name in names_in(entries, ending)
            ]
    except FileNotFoundError:
        return []
    return sorted((view for view in found if view is not None), key=lambda view: view.name)


def summary(spool: SpoolDir, settings: Settings, now: datetime) -> Summary:
    """Return what there is to say in a line; where there are no schedules, that costs one look."""
    if not spool.root.has(PLACE):
        return Summary()
    try:
        found = views(spool, settings, now)
    except (OSError, SpoolqError) as error:
        return Summary(problems=[(f"{PLACE}/", words(error))])
    coming = [(view.next, view.name) for view in found if view.next is not None]
    first, name = min(coming, default=(None, ""))
    problems = [(view.file, view.problem) for view in found if view.problem]
    return Summary(len(found), name, first, problems)


def _view(place: Dir, name: str, settings: Settings, now: datetime, ending: str) -> Optional[View]:
    paused = ending == PAUSED
    last: Optional[datetime] = None
    try:
        last = last_of(place, name) if is_name(name) else None
        schedule = read(place, name, settings, ending)
    except FileNotFoundError:
        return None
    except (OSError, SpoolqError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        return View(name, paused, None, last, None, reason)
    after = max(schedule.begins(last), now)
    problem = ""
    if after > instants.later(now, _AHEAD):
        problem = (
            f"counts from {instants.to_rfc3339(after)[:19]}Z, which is ahead of the clock; anew:  "
            f"rm -f {name}{LAST}; touch {name}{FILE}"
        )
    return View(
        name, paused, schedule, last, None if paused else schedule.cron.after(after), problem
    )

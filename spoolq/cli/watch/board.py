"""Looks at a spool again and again, and keeps what has not changed: the source of every scene.

A census keeps the names. A job's file is read when its row is shown, or searched, and kept; what
a state's rows are is worked out anew when its directory was read anew, or the filter is another.
Where a directory moves faster than it is read, rows whose files have gone meanwhile are left out.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from itertools import islice
from typing import (
    Callable,
    Collection,
    Dict,
    FrozenSet,
    Iterable,
    List,
    NamedTuple,
    Optional,
    Set,
    Tuple,
)

from spoolq import api, instants, logs, names, pauses, schedules, views, wishes
from spoolq.census import ENDED, Census
from spoolq.cli import output, tables, times
from spoolq.cli.watch.scene import KINDS, Crew, Detail, Rate, Row, Scene, Section
from spoolq.errors import SpoolqError
from spoolq.glance import Glance
from spoolq.layout import STATES
from spoolq.roster import WorkerView
from spoolq.views import JobView

_REST = 100.0  # so a directory that moves costs a hundredth of a core, and two of them two
_MOST = 200  # rows of a kind that can be gone through
_SEARCHED = 500  # jobs of a kind whose files are read for a filter
_PASSED = 5000  # names of a kind that are looked for, to leave out those that have gone
_KEPT = 8 * _SEARCHED
_STRETCHES = (1.0, 10.0, 60.0, 600.0, 3600.0)  # seconds of one bar
_BARS = 60
_ENOUGH = 20  # ended jobs that tell a rate
_ANEW = 60.0  # seconds after which schedules are read anew, though nothing seems to have changed
_PRIORITY = 24  # where in a name it stands

Clock = Callable[[], float]


class _Rows(NamedTuple):
    """The rows of a kind, what they were worked out from, and with which look."""

    basis: Tuple[object, ...]
    look: int
    ordered: List[str]
    section: Section


class Board:
    """What a screen shows of a spool."""

    def __init__(
        self, spool: api.Spool, clock: Clock = time.time, monotonic: Clock = time.perf_counter
    ) -> None:
        self.spool = spool
        self._clock = clock
        self._census = Census(spool.dir, monotonic, _REST)
        self._looks = 0
        self._readings = dict.fromkeys(KINDS.values(), 0)
        self._rows: Dict[str, _Rows] = {}
        self._details: OrderedDict[Tuple[str, str], Tuple[Detail, str]] = OrderedDict()
        self._tails: Dict[str, str] = {}
        self._ended_at = 0.0  # up to when it is known what has ended
        self._old: FrozenSet[str] = frozenset()
        self._warnings: List[str] = []
        self._paused = False
        self._schedules = schedules.Summary()
        self._glance = Glance(lambda: spool.dir.root.stat(schedules.PLACE), monotonic)
        self._standing: List[str] = []
        self.workers: List[WorkerView] = []

    def look(self) -> None:
        """Look at the spool.

        Raises:
            OSError, SpoolqError: it cannot be seen.
        """
        self._looks += 1
        anew = self._census.look()
        for state in anew:
            self._readings[state] += 1
        self._old = frozenset(
            state for state in STATES if state not in anew and self._census.is_behind(state)
        )
        self._tails.clear()
        self._look_at_schedules()
        self._warnings = [*self._look_at_workers(), *self._schedules.warnings]
        self._paused = views.is_paused(self.spool.dir)
        self._standing = self._look_at_standing()

    def _look_at_standing(self) -> List[str]:
        try:
            return pauses.standing(self.spool.dir, views.settings_of(self.spool.dir)[0])
        except OSError:
            return []

    def scene(self, sought: str = "") -> Scene:
        """Return what the last look saw, as it is to be shown now."""
        now = self._clock()
        due = self._due(now)
        return Scene(
            self.spool.path,
            self._census.counts(),
            [self._section(kind, due, sought.lower()) for kind in KINDS],
            self.detail,
            due + len(self._census.drops("pending")),
            self._rate(now),
            self._crew(),
            self._paused,
            tuple(self._warnings),
            self._old,
            sought,
            self._coming(),
            tuple(self._standing),
        )

    def wait(self) -> float:
        """Return the seconds after which there may be more to see, though nothing is told of it."""
        return self._census.wait()

    def find(self, job_id: str) -> Optional[Tuple[str, str]]:
        """Return state and file name of a job, as of the last look."""
        part = f".{job_id}."
        for state in KINDS.values():
            end = f".{job_id}@" if state == "processing" else part
            for name in self._census.names(state):
                if end in name and names.id_in(name) == job_id:
                    return state, name
            if job_id in self._census.drops(state):
                return state, job_id
        return None

    # --- workers ----------------------------------------------------------------------------------

    def _look_at_schedules(self) -> None:
        now, due = instants.from_epoch(self._clock()), self._schedules.next
        old = self._glance.may_differ() or self._glance.age() >= _ANEW
        if old or (due is not None and due <= now):
            self._glance.look()
            self._schedules = schedules.summary(self.spool.dir, self.spool.settings, now)

    def _coming(self) -> str:
        if self._schedules.next is None:
            return ""
        now = instants.from_epoch(self._clock())
        return f"schedule {self._schedules.name} at {times.short(self._schedules.next, now)}"

    def _look_at_workers(self) -> List[str]:
        """Look at the workers; return what is to be warned of."""
        try:
            self.workers = tables.shown_workers(self.spool)
        except (OSError, SpoolqError) as error:
            self.workers = []
            return [f"the workers cannot be seen: {error}"]
        found = list(views.settings_of(self.spool.dir)[1])
        for view in self.workers:
            if view.card.get("trouble"):
                found.append(f"worker {view.name} is in trouble: {view.card['trouble']}")
        return found

    def _crew(self) -> Tuple[Crew, ...]:
        found = []
        for view in self.workers:
            busy = len(view.running)
            count = view.card.get("count")
            slots = count if isinstance(count, int) else busy
            told = view.heirs if not view.alive else ""
            if view.alive and view.forwards_to is not None:
                told = f"sends {len(view.sending)} jobs to {view.forwards_to}"
            crew = Crew(view.name, min(busy, slots), slots, _since(view), view.alive, told)
            found.append(crew)
        return tuple(found)

    # --- how many, and how fast -------------------------------------------------------------------

    def _due(self, now: float) -> int:
        """Return how many of the names in pending/ are due."""
        return bisect_right(self._census.names("pending"), _stamp(now))

    def _rate(self, now: float) -> Rate:
        """Count what ended lately, by the shortest stretches that show enough of it."""
        if self._old.isdisjoint(ENDED):
            self._ended_at = now
        rates = [self._rate_by(seconds) for seconds in _STRETCHES]
        enough = min(_ENOUGH, rates[-1].total)
        return next(rate for rate in rates if rate.total >= enough)

    def _rate_by(self, seconds: float) -> Rate:
        last = self._ended_at // seconds * seconds
        marks = [_stamp(last - seconds * left) for left in range(_BARS - 1, -2, -1)]
        return Rate(seconds, *(self._between(state, marks) for state in ENDED))

    def _between(self, state: str, marks: List[str]) -> List[int]:
        held = self._census.names(state)
        places = [bisect_left(held, mark) for mark in marks]
        return [after - before for before, after in zip(places, places[1:])]

    # --- rows -------------------------------------------------------------------------------------

    def _section(self, kind: str, due: int, sought: str) -> Section:
        state = KINDS[kind]
        waits = self._waits_for_the_disk() if kind == "running" else frozenset()
        basis = (self._readings[state], due if kind == "next" else 0, waits, sought)
        held = self._rows.get(kind)
        if held is None or held.basis != basis:
            ordered = self._chosen(kind, self._ordered(kind, due, waits), sought)
        elif state in self._old and held.look != self._looks:
            ordered = held.ordered
        else:
            return held.section
        if state in self._old:
            ordered = self._without_gone(state, ordered)
        section = Section(kind, [_row(kind, name) for name in ordered[:_MOST]], len(ordered))
        self._rows[kind] = _Rows(basis, self._looks, ordered, section)
        return section

    def _ordered(self, kind: str, due: int, without: Collection[str]) -> List[str]:
        """Return the file names of a kind as they are shown.

        What runs: the longest first; what waits: what is taken next first; what ended: the last
        first. A drop has no time: one that waits is taken in before anything is taken.
        """
        held = self._census.names(KINDS[kind])
        if without:
            held = [name for name in held if name not in without]
        drops = self._census.drops(KINDS[kind])
        if kind == "next":
            return [*drops, *_by_priority(held[:due]), *held[due:]]
        return [*(reversed(held) if KINDS[kind] in ENDED else held), *drops]

    def _waits_for_the_disk(self) -> FrozenSet[str]:
        """Return the claims whose run has ended, of workers that live."""
        runs = {view.name: set(view.running) for view in self.workers if view.alive}
        claims = filter(None, map(names.parse, self._census.names("processing") if runs else ()))
        return frozenset(
            str(claim) for claim in claims if claim not in runs.get(str(claim.worker), {claim})
        )

    def _chosen(self, kind: str, ordered: List[str], sought: str) -> List[str]:
        """Return the names that a filter lets through: all ids are looked at, and some files."""
        if sought in KINDS[kind] or sought in kind:
            return ordered
        return [
            name
            for place, name in enumerate(ordered)
            if (sought in name.lower() and _id_has(name, sought))
            or (place < _SEARCHED and sought in self._text(kind, name))
        ]

    def _without_gone(self, state: str, ordered: List[str]) -> List[str]:
        """Leave out, of those that come first, what has gone since the directory was read."""
        directory = self.spool.dir.dir(state)
        rest = iter(ordered)
        there: List[str] = []
        for name in islice(rest, _PASSED):
            if directory.has(name):
                there.append(name)
                if len(there) == _MOST:
                    break
        return [*there, *rest]

    def _text(self, kind: str, filename: str) -> str:
        """Return what a filter looks at in a job's file."""
        row = _row(kind, filename)
        return f"{row.id.lower()}\n{self._read(row)[1]}"

    # --- one job ----------------------------------------------------------------------------------

    def detail(self, row: Row) -> Detail:
        """Return what is known of a row's job; of one that has gone meanwhile nothing."""
        found = self._read(row)[0]
        return found._replace(tail=self._tail(row)) if row.kind == "running" else found

    def log_path(self, row: Row) -> Optional[str]:
        """Return where the output of a running job goes."""
        name = names.parse(row.filename)
        if row.kind != "running" or name is None:
            return None
        return os.path.join(self.spool.dir.dir("logs").path, str(logs.log_name(name)))

    def _read(self, row: Row) -> Tuple[Detail, str]:
        key = (row.state, row.filename)
        if key in self._details:
            self._details.move_to_end(key)
            return self._details[key]
        try:
            view = views.look(self.spool.dir, row.state, row.filename, self.spool.settings)
        except (OSError, SpoolqError) as error:
            return Detail(reason=str(error)), ""
        if view is None:
            return Detail(), ""
        found = _detail(view), _searched(view)
        if view.name is not None:  # what has no name of the form may be written just now
            self._details[key] = found
            if len(self._details) > _KEPT:
                self._details.popitem(last=False)
        return found

    def _tail(self, row: Row) -> str:
        name = names.parse(row.filename)
        if row.filename not in self._tails and name is not None:
            text = output.tail_of(self.spool, logs.log_name(name), 1).strip()
            progress = wishes.progress(self.spool.dir, name)
            self._tails[row.filename] = f"{progress}  {text}".strip() if progress else text
        return self._tails.get(row.filename, "")


def _stamp(seconds: float) -> str:
    return instants.to_stamp(instants.from_epoch(seconds))


def _since(view: WorkerView) -> Optional[float]:
    try:
        return instants.from_rfc3339(view.card["started_at"]).timestamp()
    except (KeyError, ValueError, TypeError):
        return None


def _by_priority(held: Iterable[str]) -> List[str]:
    """Return the names of what is due, the highest priority first, then by time."""
    found: Dict[str, List[str]] = {}
    for name in held:
        found.setdefault(name[_PRIORITY], []).append(name)
    return [name for priority in sorted(found, reverse=True) for name in found[priority]]


def _id_has(filename: str, sought: str) -> bool:
    return sought in names.id_in(filename).lower()


def _row(kind: str, filename: str) -> Row:
    name = names.parse(filename)
    if name is None:
        return Row(kind, filename, filename, None)
    owner = f"{name.worker}.{name.slot}" if name.worker else ""
    return Row(kind, filename, name.id, name.at.timestamp(), name.attempt, owner)


def _detail(view: JobView) -> Detail:
    line = tables.command_line(view)
    given = view.job.fields.get("name") if view.job else None
    told = view.problem is not None or view.state in ("failed", "dead")
    reason = view.error or "" if told else ""
    runs = f"{view.attempts}/{1 + view.max_retries}" if view.job else ""
    took = None
    if view.state == "completed":
        try:
            run = view.last_run
            began = instants.from_rfc3339(run["started_at"])
            took = (instants.from_rfc3339(run["finished_at"]) - began).total_seconds()
        except (KeyError, ValueError, TypeError):
            pass
    return Detail(f"{given}: {line}" if given else line, reason, runs, took)


def _searched(view: JobView) -> str:
    if view.job is None:
        return (view.error or "").lower()
    fields = view.job.fields
    words: Set[str] = {tables.command_line(view), str(fields.get("name", ""))}
    words.update(map(str, fields.get("tags", ())))
    return "\n".join(words).lower()

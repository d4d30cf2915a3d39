"""Looks at a spool again and again, and keeps what has not changed: the source of every scene.

A census keeps the names. A job's file is read when its row is shown, or searched, and kept; what
a state's rows are is worked out anew when its directory was read anew, or the filter is another.
"""

from __future__ import annotations

import os
import time
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from typing import (
    Callable,
    Dict,
    FrozenSet,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Set,
    Tuple,
)

from spoolq import api, instants, logs, names, views
from spoolq.census import ENDED, Census
from spoolq.cli import output, tables
from spoolq.cli.watch.scene import KINDS, Crew, Detail, Rate, Row, Scene, Section
from spoolq.errors import SpoolqError
from spoolq.layout import STATES
from spoolq.views import JobView, WorkerView

_REST = 100.0  # so a directory that moves costs a hundredth of a core, and two of them two
_MOST = 200  # rows of a kind that can be gone through
_SEARCHED = 500  # jobs of a kind whose files are read for a filter
_KEPT = 8 * _SEARCHED
_STRETCHES = (1.0, 10.0, 60.0, 600.0, 3600.0)  # seconds of one bar
_BARS = 60
_ENOUGH = 20  # ended jobs that tell a rate
_PRIORITY = 24  # where in a name it stands

Clock = Callable[[], float]


class _Rows(NamedTuple):
    """The rows of a kind, and what they were worked out from."""

    basis: Tuple[object, ...]
    section: Section


class Board:
    """What a screen shows of a spool."""

    def __init__(
        self, spool: api.Spool, clock: Clock = time.time, monotonic: Clock = time.perf_counter
    ) -> None:
        self.spool = spool
        self._clock = clock
        self._census = Census(spool.dir, monotonic, _REST)
        self._readings = dict.fromkeys(KINDS.values(), 0)
        self._rows: Dict[str, _Rows] = {}
        self._details: OrderedDict[Tuple[str, str], Tuple[Detail, str]] = OrderedDict()
        self._tails: Dict[str, str] = {}
        self._ended_at = 0.0  # up to when it is known what has ended
        self._old: FrozenSet[str] = frozenset()
        self._warnings: List[str] = []
        self._paused = False
        self.workers: List[WorkerView] = []

    def look(self) -> None:
        """Look at the spool.

        Raises:
            OSError, SpoolqError: it cannot be seen.
        """
        anew = self._census.look()
        for state in anew:
            self._readings[state] += 1
        self._old = frozenset(
            state for state in STATES if state not in anew and self._census.is_behind(state)
        )
        self._tails.clear()
        self._warnings = self._look_at_workers()
        self._paused = views.is_paused(self.spool.dir)

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
            count = view.card.get("count")
            slots = count if isinstance(count, int) else len(view.running)
            found.append(Crew(view.name, len(view.running), slots, _since(view), view.alive))
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
        basis = (self._readings[state], due if kind == "next" else 0, sought)
        held = self._rows.get(kind)
        if held is None or held.basis != basis:
            held = self._rows[kind] = _Rows(basis, self._work_out(kind, due, sought))
        return held.section

    def _work_out(self, kind: str, due: int, sought: str) -> Section:
        state = KINDS[kind]
        held = self._census.names(state)
        drops = self._census.drops(state) if kind in ("next", "dead") else []
        if not sought or sought in state or sought in kind:
            first = [*_ordered(kind, held, due, _MOST), *drops][:_MOST]
            return Section(kind, [_row(kind, name) for name in first], len(held) + len(drops))
        matching = [name for name in held if sought in name.lower() and _id_has(name, sought)]
        chosen = set(matching)
        searched = [*_ordered(kind, held, due, _SEARCHED), *drops][:_SEARCHED]
        matching += [
            name for name in searched if name not in chosen and sought in self._text(kind, name)
        ]
        total = len(matching)
        due_of_these = total
        if kind == "next":
            stamp = _stamp(self._clock())
            due_of_these = bisect_right(sorted(matching), stamp)
        first = [*_ordered(kind, sorted(matching), due_of_these, _MOST)]
        return Section(kind, [_row(kind, name) for name in first], total)

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
            text = output.tail_of(self.spool, logs.log_name(name), 1)
            self._tails[row.filename] = text.strip()
        return self._tails.get(row.filename, "")


def _stamp(seconds: float) -> str:
    return instants.to_stamp(instants.from_epoch(seconds))


def _since(view: WorkerView) -> Optional[float]:
    try:
        return instants.from_rfc3339(view.card["started_at"]).timestamp()
    except (KeyError, ValueError, TypeError):
        return None


def _ordered(kind: str, held: List[str], due: int, most: int) -> Iterator[str]:
    """Yield file names as they are shown, at most so many.

    What runs: the longest first; what waits: what is taken next first; what ended: the last first.
    """
    if kind in ("dead", "completed"):
        yield from reversed(held[-most:])
        return
    if kind == "next":
        yield from _by_priority(held[:due], most)
        held = held[due:]
    yield from held[:most]


def _by_priority(held: Iterable[str], most: int) -> List[str]:
    """Return the names of what is due, the highest priority first, then by time."""
    found: Dict[str, List[str]] = {}
    for name in held:
        bucket = found.setdefault(name[_PRIORITY], [])
        if len(bucket) < most:
            bucket.append(name)
    return [name for priority in sorted(found, reverse=True) for name in found[priority]][:most]


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
    reason = view.error or "" if view.state in ("failed", "dead") else ""
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

"""Numbers into the geometry of charts; the templates draw it, and nothing here knows of a page.

Every chart is a strip from 0 to WIDTH by 0 to its height, which the page stretches; words stand
beside it, so that they stay legible on a phone. Pure functions of what was read of the spool.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from spoolq import instants

WIDTH = 1000.0


# --- jobs ended over time -------------------------------------------------------------------------


class Span(NamedTuple):
    """How far back a chart goes: so many steps of so many seconds."""

    words: str
    steps: int
    step: int


SPANS = {
    "15min": Span("15 minutes", 60, 15),
    "hour": Span("hour", 60, 60),
    "day": Span("24 hours", 48, 1800),
    "week": Span("7 days", 56, 10_800),
}


class Bar(NamedTuple):
    """What ended within one step; `at` is its beginning in seconds since the epoch."""

    at: float
    completed: int
    dead: int

    @property
    def total(self) -> int:
        """How many ended."""
        return self.completed + self.dead


def ended(held: Dict[str, Sequence[str]], span: Span, now: float) -> List[Bar]:
    """Count the jobs that ended in each step of a span, from their sorted file names."""
    first = (math.floor(now / span.step) - span.steps + 1) * span.step
    edges = [first + index * span.step for index in range(span.steps + 1)]
    stamps = [instants.to_stamp(instants.from_epoch(edge)) for edge in edges]
    counted = {}
    for state in ("completed", "dead"):
        places = [bisect_left(held[state], stamp) for stamp in stamps]
        counted[state] = [later - earlier for earlier, later in zip(places, places[1:])]
    return [Bar(at, *both) for at, *both in zip(edges, counted["completed"], counted["dead"])]


# --- how long it took -----------------------------------------------------------------------------


class Spread(NamedTuple):
    """What half, nine tenths and 99 of a hundred stay below, in seconds; and of how many."""

    of: int
    p50: float
    p90: float
    p99: float


def spread(seconds: Iterable[float]) -> Optional[Spread]:
    """Return how lengths of time spread, by the nearest rank; None of nothing."""
    ordered = sorted(seconds)
    if not ordered:
        return None
    ranks = (max(math.ceil(share * len(ordered) / 100) - 1, 0) for share in (50, 90, 99))
    return Spread(len(ordered), *(ordered[rank] for rank in ranks))


_TICKS = (
    (0.001, "1 ms"),
    (0.01, "10 ms"),
    (0.1, "0.1 s"),
    (1.0, "1 s"),
    (10.0, "10 s"),
    (60.0, "1 min"),
    (600.0, "10 min"),
    (3600.0, "1 h"),
    (36_000.0, "10 h"),
    (86_400.0 * 7, "7 d"),
)


class Scale(NamedTuple):
    """A logarithmic axis of time; `ticks` are places on it and their words."""

    least: float
    most: float
    ticks: List[Tuple[float, str]]

    def at(self, seconds: float) -> float:
        """Return the place of a length of time, from 0 to WIDTH."""
        inside = min(max(seconds, self.least), self.most)
        return round(WIDTH * math.log(inside / self.least) / math.log(self.most / self.least), 1)


def scale(spreads: Iterable[Optional[Spread]]) -> Scale:
    """Return the axis on which all of these can be seen."""
    values = [value for found in spreads if found is not None for value in found[1:]]
    least = max([at for at, _ in _TICKS[:-1] if at <= min(values, default=1)] or [_TICKS[0][0]])
    above = [at for at, _ in _TICKS if at > least and at >= max(values, default=1)]
    most = min(above or [_TICKS[-1][0]])
    empty = Scale(least, most, [])
    return empty._replace(
        ticks=[(empty.at(at), words) for at, words in _TICKS if least <= at <= most]
    )


# --- the last runs --------------------------------------------------------------------------------


class Stretch(NamedTuple):
    """One run on the timeline: `outcome` is ok, bad or running; `ended_at` None while it runs."""

    job: str
    worker: str
    attempt: object
    started_at: float
    ended_at: Optional[float]
    outcome: str


class Drawn(NamedTuple):
    """A stretch and its place in a lane, from 0 to WIDTH."""

    stretch: Stretch
    x: float
    width: float


class Lane(NamedTuple):
    """The runs of a worker that do not overlap; the first lane of a worker names it."""

    worker: str
    first: bool
    drawn: List[Drawn]


class Timeline(NamedTuple):
    """Lanes from `since` to `until`, in seconds since the epoch; `hidden` lanes had no room."""

    since: float
    until: float
    lanes: List[Lane]
    hidden: int


_LEAST_WIDTH = 3.0  # of a run of a moment
_GAP = 1.0  # between two runs of a lane, where they are longer than that
_MOST_LANES = 24


def timeline(stretches: Sequence[Stretch], now: float) -> Optional[Timeline]:
    """Pack runs into lanes by worker, so that those that overlap get lanes of their own.

    It begins a little before the first of the ended ones ended, so that one long run leaves room
    for the others; what began earlier is cut off there. None of nothing.
    """
    if not stretches:
        return None
    ends = [now if run.ended_at is None else run.ended_at for run in stretches]
    until = max(ends)
    starts = sorted(run.started_at for run in stretches)
    since = starts[len(starts) // 20] if until > starts[0] else until - 1  # not for one in twenty
    since = min(since, until - 0.001)
    per_second = WIDTH / (until - since)
    lanes: List[Lane] = []
    by_worker: Dict[str, List[Stretch]] = {}
    for run in stretches:
        if (now if run.ended_at is None else run.ended_at) >= since:
            by_worker.setdefault(run.worker, []).append(run)
    for worker in sorted(by_worker):
        packed = _packed(by_worker[worker], now)
        for index, lane in enumerate(packed):
            drawn = [_drawn(run, since, now, per_second) for run in lane]
            lanes.append(Lane(worker, index == 0, drawn))
    return Timeline(since, until, lanes[:_MOST_LANES], max(len(lanes) - _MOST_LANES, 0))


def _packed(runs: List[Stretch], now: float) -> List[List[Stretch]]:
    """Put each run into the first lane that is free when it starts."""
    lanes: List[List[Stretch]] = []
    free_at: List[float] = []
    for run in sorted(runs, key=lambda run: run.started_at):
        end = now if run.ended_at is None else run.ended_at
        fitting = (index for index, free in enumerate(free_at) if free <= run.started_at)
        index = next(fitting, len(lanes))
        if index == len(lanes):
            lanes.append([])
            free_at.append(0.0)
        lanes[index].append(run)
        free_at[index] = end
    return lanes


def _drawn(run: Stretch, since: float, now: float, per_second: float) -> Drawn:
    end = now if run.ended_at is None else run.ended_at
    x = max(run.started_at - since, 0) * per_second
    width = max((end - since) * per_second - x - _GAP, _LEAST_WIDTH)
    return Drawn(run, round(min(x, WIDTH - _LEAST_WIDTH), 1), round(width, 1))

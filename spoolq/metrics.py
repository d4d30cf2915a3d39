"""What a spool looks like to Prometheus: a text of gauges, made from a `Census`.

All is derived from the files that are there, so nothing here is a counter. A count of files drops
when jobs are purged or retried, which Prometheus would take for a restart, and count what is left
a second time. What happens over time is told of the last hour instead, whatever is purged later:

    spoolq_recent_ended_jobs    exact, from the names alone, however many
    the other spoolq_recent_…   of the newest MOST_READ of these, whose files are read

`spoolq_recent_seconds` says how much of the hour those cover, so that what is divided by it is a
rate. A run is told of once its job has ended.

Needs prometheus_client, the extra `metrics`; its registry of the process is left alone.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from datetime import datetime
from typing import TYPE_CHECKING, Dict, Iterable, Iterator, List, NamedTuple, Optional, Sequence

from spoolq import instants, names, roster, views
from spoolq.census import Census, Ended, Run
from spoolq.errors import SpoolqError
from spoolq.job import CANCELLED, INTERRUPTED, LOST
from spoolq.layout import STATES
from spoolq.text import printable

if TYPE_CHECKING:
    from prometheus_client import Metric
    from prometheus_client.core import GaugeMetricFamily

#: What a server says that the text is.
CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"

#: How far back, in seconds, and how many jobs that have ended are read at most.
WINDOW = 3600
MOST_READ = 1000

#: Of how many tags is told where none are named.
MOST_TAGS = 20

_NO_STAMP = ":"  # what sorts after every digit: somebody may name a file anything
_MOST_DROPS = 1000  # looked at for the oldest: without a worker there may be any number
_ATTEMPTS = (1, 2, 3, 4, 5, 10)
_SECONDS = (0.01, 0.03, 0.1, 0.3, 1, 3, 10, 30, 60, 300, 900, 3600, 10_800, 43_200, 86_400)
_OUTCOMES = ("succeeded", "failed", "timed_out", "cancelled", "interrupted", "lost")
_BY_ERROR = {CANCELLED: "cancelled", INTERRUPTED: "interrupted", LOST: "lost"}


def exposition(
    census: Census,
    *,
    tags: Sequence[str] = (),
    max_tags: int = MOST_TAGS,
    now: Optional[datetime] = None,
) -> bytes:
    """Look at a spool and return what there is to tell, in Prometheus' text format.

    Args:
        tags: these alone are told of, with 0 where there is nothing; else the most frequent ones.
        max_tags: so many at most, where none are named.

    Raises:
        SpoolqError: prometheus_client is not installed.
    """
    try:
        from prometheus_client import CollectorRegistry, generate_latest
    except ImportError:
        raise SpoolqError(
            "metrics need the library prometheus_client, which is not installed",
            hint="pip install 'spoolq[metrics]'",
        ) from None
    census.look()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(census, now or instants.now(), tags, max_tags))
    return generate_latest(registry)


def outcome(run: Run) -> str:
    """Return how a run ended, in one of six words."""
    if run.succeeded:
        return "succeeded"
    if (run.error or "").startswith("timed out"):
        return "timed_out"
    return _BY_ERROR.get(run.error or "", "failed")


def _first(filenames: Iterable[str]) -> Optional[datetime]:
    """Return the first instant in sorted names; one that only looks like a job's has none."""
    found = (name for name in map(names.parse, filenames) if name is not None)
    return next((name.at for name in found), None)


class _Recent(NamedTuple):
    """What ended in the window: all of it by state, and what was read of the newest."""

    since: float
    seconds: float
    by_state: Dict[str, int]
    jobs: List[Ended]


class _Collector:
    """Makes the metrics of one look, when the registry asks for them."""

    def __init__(self, census: Census, now: datetime, tags: Sequence[str], max_tags: int) -> None:
        self._census = census
        self._now = now
        self._stamp = instants.to_stamp(now)
        self._spool = census.spool
        self._path = printable(census.spool.path)
        self._tags = [printable(tag) for tag in tags]
        self._max_tags = max_tags

    def collect(self) -> Iterator[Metric]:
        """Yield every metric."""
        yield from self._standing()
        yield from self._workers()
        yield from self._recent()

    # --- what stands ------------------------------------------------------------------------------

    def _standing(self) -> Iterator[Metric]:
        counts = self._census.counts()
        yield self._gauge(
            "jobs", "Jobs in each state.", {state: counts[state] for state in STATES}, "state"
        )
        yield self._one("ignored_entries", "Entries that are not jobs.", counts["ignored"])
        yield self._one("paused", "1 where workers take nothing new.", views.is_paused(self._spool))
        waiting = self._census.names("pending")
        due = bisect_right(waiting, self._stamp + "~")
        drops = self._census.drops("pending")
        yield self._one("due_jobs", "Pending jobs whose time has come.", due + len(drops))
        yield self._one(
            "oldest_due_age_seconds",
            "For how long the job that is due longest has waited, 0 where none is due.",
            max([self._age(_first(waiting[:due])), *self._ages(drops)]),
        )
        coming = [_first(waiting[due:]), _first(self._census.names("failed"))]
        instants_to_come = [at for at in coming if at is not None]
        if instants_to_come:
            yield self._one(
                "next_due_timestamp_seconds",
                "When the next job or retry falls due; absent where nothing is to come.",
                min(instants_to_come).timestamp(),
            )
        yield self._one(
            "longest_running_seconds",
            "For how long the job that runs longest has run, 0 where none runs.",
            self._age(_first(self._census.names("processing"))),
        )

    def _age(self, since: Optional[datetime]) -> float:
        return 0.0 if since is None else max((self._now - since).total_seconds(), 0.0)

    def _ages(self, drops: Sequence[str]) -> Iterator[float]:
        """Yield for how long dropped files, not yet jobs, have been there."""
        for filename in drops[:_MOST_DROPS]:
            try:
                changed = self._spool.dir("pending").stat(filename).st_ctime
            except OSError:
                continue  # gone: a worker has taken it up
            yield max(self._now.timestamp() - changed, 0.0)

    def _workers(self) -> Iterator[Metric]:
        found = roster.workers(self._spool)
        alive = [view for view in found if view.alive and view.card.get("count") != 0]
        trouble = [view for view in alive if view.card.get("trouble")]
        slots = [view.card.get("count") for view in alive]  # somebody may have written anything
        busy = sum(len(view.running) for view in alive)
        lost = [view for view in found if not view.alive]
        yield self._one("workers", "Workers that live.", len(alive))
        yield self._one("workers_lost", "Dead workers whose jobs nobody took over yet.", len(lost))
        yield self._one("workers_in_trouble", "Living workers that cannot write.", len(trouble))
        yield self._one(
            "slots",
            "Jobs that may run at a time.",
            sum(count for count in slots if type(count) is int and 0 < count < 10**6),
        )
        yield self._one("slots_busy", "Jobs that run in them.", busy)

    # --- what happened lately ---------------------------------------------------------------------

    def _look_back(self) -> _Recent:
        begin = instants.later(self._now, -WINDOW)
        since = instants.to_stamp(begin)
        by_state = Counter(state for stamp, state in self._census.ended(since) if stamp < _NO_STAMP)
        newest = [
            (state, filename, name.at)
            for state, filename in self._census.newest_ended(MOST_READ)
            if filename >= since and (name := names.parse(filename)) is not None
        ]
        if newest and len(newest) < sum(by_state.values()):
            begin = newest[-1][2]
        told = [self._census.ended_job(state, filename) for state, filename, _ in newest]
        return _Recent(
            begin.timestamp(),
            max((self._now - begin).total_seconds(), 1.0),
            {state: by_state[state] for state in ("completed", "dead")},
            [job for job in told if job is not None],
        )

    def _recent(self) -> Iterator[Metric]:
        recent = self._look_back()
        runs = [run for job in recent.jobs for run in job.runs]
        started = [run.started_at for run in runs]
        claims = map(names.parse, self._census.names("processing"))
        started += [claim.at.timestamp() for claim in claims if claim is not None]
        yield self._gauge(
            "recent_ended_jobs", "Jobs that ended in the last hour.", recent.by_state, "state"
        )
        yield self._one(
            "recent_read_jobs",
            f"How many of them, the newest {MOST_READ} at most, the metrics below are about.",
            len(recent.jobs),
        )
        yield self._one(
            "recent_seconds", "The time in which those ended, up to now.", recent.seconds
        )
        yield self._one(
            "recent_started_runs",
            "Runs that started in this time, of those jobs and of jobs that run.",
            sum(at >= recent.since for at in started),
        )
        outcomes = Counter(map(outcome, runs))
        yield self._gauge(
            "recent_runs",
            "The runs of those jobs, by how they ended.",
            {word: outcomes[word] for word in _OUTCOMES},
            "outcome",
        )
        yield self._histogram(
            "recent_attempts",
            "How many runs those jobs took; a histogram of the present, take no rate of it.",
            _ATTEMPTS,
            [float(len(job.runs)) for job in recent.jobs],
        )
        waits = [job.waited for job in recent.jobs]
        yield self._histogram(
            "recent_wait_seconds",
            "How long they waited, from when they were due to their first run.",
            _SECONDS,
            [waited for waited in waits if waited is not None],
        )
        yield self._histogram(
            "recent_run_seconds",
            "How long each of their runs took.",
            _SECONDS,
            [max(run.finished_at - run.started_at, 0.0) for run in runs],
        )
        yield from self._by_tag(recent.jobs)

    def _by_tag(self, jobs: Iterable[Ended]) -> Iterator[Metric]:
        # What is shown is made printable first: two tags may look the same then, and are one.
        found = Counter(
            (tag, job.state) for job in jobs for tag in {printable(tag) for tag in job.tags}
        )
        sizes: Counter[str] = Counter()
        for (tag, _), number in found.items():
            sizes[tag] += number
        most = sorted(sizes, key=lambda tag: (-sizes[tag], tag))[: self._max_tags]
        shown = list(dict.fromkeys(self._tags)) or most
        family = self._family("recent_tag_jobs", "Those jobs by their tags.", "tag", "state")
        for tag in shown:
            for state in ("completed", "dead"):
                family.add_metric([self._path, tag, state], found[tag, state])
        yield family
        yield self._one(
            "recent_tags_left_out",
            "Tags of those jobs that are not told of.",
            len(sizes.keys() - set(shown)),
        )

    # --- families ---------------------------------------------------------------------------------

    def _family(self, name: str, text: str, *labels: str) -> GaugeMetricFamily:
        from prometheus_client.core import GaugeMetricFamily

        return GaugeMetricFamily(f"spoolq_{name}", text, labels=["spool", *labels])

    def _one(self, name: str, text: str, value: float) -> Metric:
        family = self._family(name, text)
        family.add_metric([self._path], value)
        return family

    def _gauge(self, name: str, text: str, values: Dict[str, int], label: str) -> Metric:
        family = self._family(name, text, label)
        for key, value in values.items():
            family.add_metric([self._path, key], value)
        return family

    def _histogram(
        self, name: str, text: str, bounds: Sequence[float], values: List[float]
    ) -> Metric:
        from prometheus_client.core import HistogramMetricFamily

        values.sort()
        buckets = [(str(float(bound)), float(bisect_right(values, bound))) for bound in bounds]
        family = HistogramMetricFamily(f"spoolq_{name}", text, labels=["spool"])
        family.add_metric([self._path], [*buckets, ("+Inf", len(values))], sum(values))
        return family

"""The spool as the pages see it: one look that all threads share.

The names of all jobs are kept by a `Census`, so that a spool of a hundred thousand jobs is read
anew only where it has changed; files are read for what is shown alone. The census is not made for
threads: whoever calls it here holds the lock. The lists of names that it hands out are never
changed afterwards, only replaced.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_right
from datetime import datetime
from typing import Dict, List, NamedTuple, Optional, Tuple

from spoolq import api, instants, metrics, names, views
from spoolq.census import Census, Ended, Run
from spoolq.layout import STATES
from spoolq.names import Name
from spoolq.views import JobView, WorkerView

#: How many of the jobs that ended last the charts read.
_RECENT = 500

_FRESH = 0.5  # seconds for which workers are not asked again


class Due(NamedTuple):
    """What waits, by time."""

    now: int
    later: int
    next_run: Optional[datetime]
    next_retry: Optional[datetime]


class Running(NamedTuple):
    """One claim, and the job's file if it can be read."""

    claim: Name
    view: Optional[JobView]


class Look:
    """The present state of a spool; every method may be called by any thread."""

    def __init__(self, spool: api.Spool) -> None:
        self.spool = spool
        self._census = Census(spool.dir)
        self._lock = threading.Lock()
        self._times = 0
        self._workers: List[WorkerView] = []
        self._asked = 0.0

    def refresh(self) -> int:
        """Look at what has changed; return a number that is another one if anything may have."""
        with self._lock:
            self.spool.dir.reopen_replaced()
            before = self._workers
            if time.monotonic() >= self._asked + _FRESH or not self._asked:
                # Without those who are a worker for a moment, to change a job.
                self._workers = [
                    view
                    for view in self.spool.workers()
                    if view.card.get("count") != 0 or view.running
                ]
                self._asked = time.monotonic()
            if self._census.look() or before != self._workers:
                self._times += 1
            return self._times

    def metrics(self) -> bytes:
        """Return what there is to tell Prometheus, in its text format.

        Raises:
            SpoolqError: prometheus_client is not installed.
        """
        with self._lock:
            return metrics.exposition(self._census)

    def hurry(self) -> None:
        """Let the next look see what was just changed, though a directory was read lately."""
        with self._lock:
            self._census.hurry()
            self._asked = 0.0

    def counts(self) -> Dict[str, int]:
        """Return the number of jobs in each state, and of what is no job as `ignored`."""
        with self._lock:
            return self._census.counts()

    def names(self, state: str) -> List[str]:
        """Return the file names of a state that have the form, by their time."""
        with self._lock:
            return self._census.names(state)

    def drops(self, state: str) -> List[str]:
        """Return the file names of a state that are meant as jobs and have not the form."""
        with self._lock:
            return self._census.drops(state)

    def workers(self) -> List[WorkerView]:
        """Return the workers as they were at the last look."""
        with self._lock:
            return self._workers

    def due(self, now: datetime) -> Due:
        """Return how much of what waits is due, and when the next of each kind is."""
        pending, failed = self.names("pending"), self.names("failed")
        is_due = bisect_right(pending, instants.to_stamp(now) + "~")
        return Due(
            is_due + len(self.drops("pending")),
            len(pending) - is_due,
            _first(pending[is_due : is_due + 1]),
            _first(failed[:1]),
        )

    def running(self, limit: int) -> List[Running]:
        """Return what runs, the longest first."""
        lives = {view.name: view.running for view in self.workers() if view.alive}
        claims = [
            claim
            for filename in self.names("processing")
            if (claim := names.parse(filename)) is not None
            # Of a worker that lives some may have ended, and wait for the disk.
            and (claim.worker not in lives or claim in lives[claim.worker])
        ][:limit]
        settings = self.spool.settings
        return [
            Running(claim, views.look(self.spool.dir, "processing", str(claim), settings))
            for claim in claims
            if claim.worker is not None
        ]

    def recent(self) -> List[Ended]:
        """Return what is told of the jobs that ended last, the last one first."""
        with self._lock:
            newest = self._census.newest_ended(_RECENT)
            told = (self._census.ended_job(state, filename) for state, filename in newest)
            return [ended for ended in told if ended is not None]

    def newest(self, state: str, limit: int) -> List[JobView]:
        """Return the newest jobs of a state."""
        settings = self.spool.settings
        found = (
            views.look(self.spool.dir, state, filename, settings)
            for filename in reversed(self.names(state)[-limit:])
        )
        return [view for view in found if view is not None]

    def find(self, job_id: str) -> Optional[JobView]:
        """Return a job by its whole id; None where there is none.

        The names that are kept tell where it is, and only where they are behind the directories.
        """
        settings = self.spool.settings
        for state in STATES:
            for filename in self.names(state):
                if job_id in filename and names.id_in(filename) == job_id:
                    view = views.look(self.spool.dir, state, filename, settings)
                    if view is not None:
                        return view
        place = self.spool.dir.locate([job_id]).get(job_id)
        return None if place is None else views.look(self.spool.dir, *place, settings)


def runs_of(recent: List[Ended]) -> List[Tuple[Ended, Run]]:
    """Return the runs of jobs that have ended, the one that ended last first."""
    found = [(ended, run) for ended in recent for run in ended.runs]
    return sorted(found, key=lambda pair: pair[1].finished_at, reverse=True)


def _first(held: List[str]) -> Optional[datetime]:
    name = names.parse(held[0]) if held else None
    return name.at if name is not None else None

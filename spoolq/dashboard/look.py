"""The spool as the pages see it: one look that all threads share.

The names of all jobs are kept by a `Census`, so that a spool of a hundred thousand jobs is read
anew only where it has changed; files are read for what is shown alone. The census is not made for
threads: whoever calls it here holds the lock, under which no file is read. The lists of names that
it hands out are never changed afterwards, only replaced.

A spool that is another one by now (moved away, and made again at its path) is opened anew. Threads
that are at the old one may go on with it, so it is let go only when it is replaced once more.
"""

from __future__ import annotations

import os
import threading
import time
from bisect import bisect_right
from datetime import datetime
from typing import Dict, List, NamedTuple, Optional, Tuple

from spoolq import api, instants, metrics, names, views
from spoolq.census import Census, Ended, Run
from spoolq.dashboard.reading import PATIENCE, Reader
from spoolq.errors import NoSpool
from spoolq.layout import DIRECTORIES, STATES
from spoolq.names import Name
from spoolq.roster import WorkerView
from spoolq.views import JobView

#: How many of the jobs that ended last the charts read.
_RECENT = 500

_FRESH = 0.5  # seconds for which workers are not asked again
_PATIENCE = 0.5  # seconds in which the charts read what they do not know yet


#: A job's file: state and name, and what tells whether it is still the same.
Place = Tuple[str, str, Tuple[int, int, int]]


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
        self._lock = threading.Lock()
        self._reading = threading.Lock()  # for what a census keeps of files
        self._scraping = threading.Lock()
        self._times = 0
        self._before: Optional[api.Spool] = None
        self._take(spool)

    def _take(self, spool: api.Spool) -> None:
        # All at once: what is opened on first use would be opened by two threads at a time.
        for name in DIRECTORIES:
            spool.dir.dir(name)
        self.spool = spool
        self._census = Census(spool.dir)
        self._scraped: Optional[Census] = None
        self._workers: List[WorkerView] = []
        self._asked = 0.0
        self._times += 1

    def follow(self) -> None:
        """Open anew the spool at this path, if it is not the one that is open.

        Raises:
            NoSpool: there is none.
        """
        with self._lock:
            path = self.spool.path
            try:
                if os.path.samestat(os.stat(path), self.spool.dir.root.stat()):
                    return
            except (FileNotFoundError, NotADirectoryError):
                raise NoSpool(
                    f"there is no spool at {path} any more", hint="it was moved or removed"
                ) from None
            fresh, held = api.Spool(path), self.spool
            try:
                self._take(fresh)
            except BaseException:
                fresh.close()
                raise
            if self._before is not None:
                self._before.close()
            self._before = held

    def refresh(self) -> int:
        """Look at what has changed; return a number that is another one if anything may have."""
        with self._lock:
            self.spool.dir.reopen_replaced()
            before = self._workers
            if time.monotonic() >= self._asked + _FRESH or not self._asked:
                self._workers = [view for view in self.spool.workers() if view.stays]
                self._asked = time.monotonic()
            if self._census.look() or before != self._workers:
                self._times += 1
            return self._times

    def metrics(self) -> bytes:
        """Return what there is to tell Prometheus, in its text format.

        Raises:
            SpoolqError: prometheus_client is not installed.
            OSError: a directory of the spool is missing.
        """
        self.refresh()
        with self._scraping:  # with a census of its own, for it reads files
            spool = self.spool
            if self._scraped is None or self._scraped.spool is not spool.dir:
                self._scraped = Census(spool.dir)
            return metrics.exposition(self._scraped)

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

    def reader(self, patience: float = PATIENCE) -> Reader:
        """Return what reads the files of one page."""
        return Reader(self.spool, patience)

    def running(self, limit: int) -> List[Running]:
        """Return what runs, the longest first."""
        lives = {view.name: view.running for view in self.workers() if view.alive}
        claims = [
            claim
            for filename in self.names("processing")
            if (claim := names.parse(filename)) is not None
            and claim.mark is None
            # Of a worker that lives some may have ended, and wait for the disk.
            and (claim.worker not in lives or claim in lives[claim.worker])
        ][:limit]
        read = self.reader()
        return [
            Running(claim, read("processing", str(claim)))
            for claim in claims
            if claim.worker is not None
        ]

    def recent(self) -> List[Ended]:
        """Return what is told of the jobs that ended last, the last one first.

        Those with large files are left out, and where time is short those that are not known yet.
        """
        with self._lock:
            census = self._census
            newest = census.newest_ended(_RECENT)
        found = []
        with self._reading:  # of a census this alone touches what it keeps of files
            read = self.reader(_PATIENCE)
            for state, filename in newest:
                if read.is_late():
                    break
                told = None if read.is_large(state, filename) else census.ended_job(state, filename)
                if told is not None:
                    found.append(told)
        return found

    def newest(self, state: str, limit: int) -> List[JobView]:
        """Return the newest jobs of a state."""
        read = self.reader()
        found = (read(state, filename) for filename in reversed(self.names(state)[-limit:]))
        return [view for view in found if view is not None]

    def place(self, job_id: str) -> Optional[Place]:
        """Return where a job is, by its whole id; None where there is none.

        The names that are kept tell where it is, and only where they are behind the directories.
        """
        for state in STATES:
            for filename in self.names(state):
                if job_id in filename and names.id_in(filename) == job_id:
                    place = self._placed(state, filename)
                    if place is not None:
                        return place
        found = self.spool.dir.locate([job_id]).get(job_id)
        return None if found is None else self._placed(*found)

    def _placed(self, state: str, filename: str) -> Optional[Place]:
        try:
            info = self.spool.dir.dir(state).stat(filename)
        except FileNotFoundError:
            return None
        return state, filename, (info.st_ino, info.st_mtime_ns, info.st_ctime_ns)

    def read(self, place: Place) -> Optional[JobView]:
        """Return a job, however large its file; None if it is gone from there."""
        state, filename, _ = place
        return views.look(self.spool.dir, state, filename, self.spool.settings)


def runs_of(recent: List[Ended]) -> List[Tuple[Ended, Run]]:
    """Return the runs of jobs that have ended, the one that ended last first."""
    found = [(ended, run) for ended in recent for run in ended.runs]
    return sorted(found, key=lambda pair: pair[1].finished_at, reverse=True)


def _first(held: List[str]) -> Optional[datetime]:
    name = names.parse(held[0]) if held else None
    return name.at if name is not None else None

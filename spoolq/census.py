"""What a spool holds, kept from look to look: for what watches a spool for long.

Only names are held, sorted; a directory is read anew where its times say that it may have changed,
and a large one no more often than a fiftieth of the time allows. So a spool of a hundred thousand
jobs that rests costs five `stat` a look, and one that moves two hundredths of a core. Files are
read for what is shown alone, and what has ended is read once.

Nothing here changes anything, and nothing is promised between two directories: a job that moves
during a look may be seen twice or not at all until the next.
"""

from __future__ import annotations

import time
from bisect import bisect_left
from collections import OrderedDict
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

from spoolq import instants, names, views
from spoolq.config import Settings
from spoolq.glance import Glance
from spoolq.job import Job, ran
from spoolq.layout import STATES
from spoolq.spool import SpoolDir

_REST = 50.0

#: The states whose files do not change any more; only a person moves them on.
ENDED = ("completed", "dead")

#: Of how many jobs that have ended it is kept what is told of them, and how many runs of each.
_KEPT = 4096
_MOST_RUNS = 100


class Run(NamedTuple):
    """One run that has ended; instants are seconds since the epoch.

    `error` is what the record says went wrong beside the exit code: "timeout", "worker lost".
    """

    worker: str
    attempt: int
    started_at: float
    finished_at: float
    exit_code: Optional[int]
    signal: Optional[int]
    error: Optional[str]

    @property
    def succeeded(self) -> bool:
        """Whether the record says so."""
        return self.exit_code == 0 and self.error is None


class Ended(NamedTuple):
    """What is told of a job that has ended; `due_at` is when it could first have run."""

    id: str
    state: str
    filename: str
    tags: Tuple[str, ...]
    due_at: Optional[float]
    runs: Tuple[Run, ...]

    @property
    def waited(self) -> Optional[float]:
        """Seconds from when it was first due to its first run, of those that are told."""
        if self.due_at is None or not self.runs or self.runs[0].attempt != 1:
            return None
        return max(self.runs[0].started_at - self.due_at, 0.0)


class Census:
    """The names of all jobs by state, and what was read of those that have ended."""

    def __init__(
        self,
        spool: SpoolDir,
        monotonic: Callable[[], float] = time.perf_counter,
        rest: float = _REST,
    ) -> None:
        """Begin with nothing known.

        Args:
            rest: a directory that took so long to read is left alone for so many times as long.
        """
        self.spool = spool
        self._monotonic = monotonic
        self._rest = rest
        self._glances = {state: Glance(spool.dir(state).stat, monotonic) for state in STATES}
        self._not_before = dict.fromkeys(STATES, 0.0)
        self._names: Dict[str, List[str]] = {state: [] for state in STATES}
        self._drops: Dict[str, List[str]] = {state: [] for state in STATES}
        self._ignored = dict.fromkeys(STATES, 0)
        self._ended: OrderedDict[Tuple[str, str], Optional[Ended]] = OrderedDict()
        self._settings = Settings()  # nothing of them is told of what has ended

    def look(self) -> Set[str]:
        """Look at the directories; return the states that were read anew."""
        anew = set()
        for state, glance in self._glances.items():
            if self._monotonic() >= self._not_before[state] and glance.may_differ():
                glance.look()
                self._list(state)
                anew.add(state)
        return anew

    def hurry(self) -> None:
        """Let the next look read what has changed, however large: somebody has just changed it."""
        self._not_before = dict.fromkeys(STATES, 0.0)

    def wait(self) -> float:
        """Return the seconds after which a directory that rests now may be read, 0 if none does."""
        now = self._monotonic()
        return min((until - now for until in self._not_before.values() if until > now), default=0.0)

    def is_behind(self, state: str) -> bool:
        """Say whether a directory rests though it may have changed since it was read."""
        return self._not_before[state] > self._monotonic() and self._glances[state].may_differ()

    def counts(self) -> Dict[str, int]:
        """Return what `views.counts` does: jobs by state, and what is no job as `ignored`."""
        numbers = {state: len(self._names[state]) + len(self._drops[state]) for state in STATES}
        return {**numbers, "ignored": sum(self._ignored.values())}

    def names(self, state: str) -> List[str]:
        """Return the file names of a state that have the form, by their time; not to be changed."""
        return self._names[state]

    def drops(self, state: str) -> List[str]:
        """Return the file names of a state that are meant as jobs and have not the form, sorted."""
        return self._drops[state]

    def ended(self, since: str) -> Iterator[Tuple[str, str]]:
        """Yield stamp and state of each job that has ended at the stamp `since` or later."""
        for state in ENDED:
            held = self._names[state]
            for filename in held[bisect_left(held, since) :]:
                yield filename[: len(since)], state

    def newest_ended(self, limit: int) -> List[Tuple[str, str]]:
        """Return state and file name of the jobs that ended last, the last one first."""
        last = [(name, state) for state in ENDED for name in self._names[state][-limit:]]
        return [(state, name) for name, state in sorted(last, reverse=True)[:limit]]

    def ended_job(self, state: str, filename: str) -> Optional[Ended]:
        """Return what is told of a job that has ended; None if it is gone, or is no job.

        A file is read once, for what has ended stays as it is.
        """
        key = (state, filename)
        if key not in self._ended:
            view = views.look(self.spool, state, filename, self._settings)
            if view is None:
                return None
            self._ended[key] = None if view.job is None else _told(filename, state, view.job)
            if len(self._ended) > _KEPT:
                self._ended.popitem(last=False)
        self._ended.move_to_end(key)
        return self._ended[key]

    def _list(self, state: str) -> None:
        began = self._monotonic()
        held, drops, ignored = [], [], 0
        for entry in self.spool.dir(state).scan():
            if names.id_in(entry):
                held.append(entry)
            elif names.is_job(entry):
                drops.append(entry)
            elif entry not in (".gitignore", ".gitkeep"):
                ignored += 1
        held.sort()
        drops.sort()
        self._names[state], self._drops[state], self._ignored[state] = held, drops, ignored
        now = self._monotonic()
        self._not_before[state] = now + (now - began) * self._rest


def _told(filename: str, state: str, job: Job) -> Ended:
    created_at = job.fields.get("created_at")
    due = [instants.from_rfc3339(created_at)] if created_at else []
    due += [job.run_at] if job.run_at else []
    runs = tuple(
        Run(
            entry.get("worker", ""),
            entry.get("attempt", 0),
            _epoch(entry["started_at"]),
            _epoch(entry["finished_at"]),
            entry.get("exit_code"),
            entry.get("signal"),
            entry.get("error"),
        )
        for entry in job.history[-_MOST_RUNS:]
        if "started_at" in entry and "finished_at" in entry and ran(entry)
    )
    tags = tuple(job.fields.get("tags", ()))
    due_at = max(due).timestamp() if due else None
    return Ended(names.id_in(filename), state, filename, tags, due_at, runs)


def _epoch(text: str) -> float:
    return instants.from_rfc3339(text).timestamp()

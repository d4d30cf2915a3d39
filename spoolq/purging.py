"""Removes jobs that have ended, and the logs of what is removed.

A job goes before its logs: whoever retries it meanwhile has it, and the logs stay. With an archive
it goes when no power cut takes it from there any more. A kill in between leaves the rest for the
next time; logs without a job are removed by the rule for logs, and `doctor` knows of them.
"""

from __future__ import annotations

import os
import time
from datetime import datetime
from itertools import islice
from typing import Callable, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

from spoolq import archive, dependencies, instants, logs, names
from spoolq.fsio import Dir
from spoolq.keeping import Keep
from spoolq.layout import words
from spoolq.spool import SpoolDir

_LIVE = ("pending", "processing", "failed", "pending")  # whose logs stay
_BATCH = 500

_Aged = Tuple[str, str]  # when it ended, and its name: sorted, the oldest first


class Purge:
    """One purge of a spool: what it has removed, in numbers.

    Args:
        refuse: told the path of what could not be removed, and why.
        pause: seconds of rest after every few hundred files, for the disk to do other things.
    """

    def __init__(
        self,
        spool: SpoolDir,
        now: datetime,
        refuse: Callable[[str, str], None],
        pause: float = 0.0,
    ) -> None:
        self.jobs = self.logs = self.archived = self.stuck = 0
        self._spool = spool
        self._now = now
        self._tell = refuse
        self._pause = pause
        self._ended: Dict[str, str] = {}  # ids of what was removed, and when they ended

    def older_than(self, state: str, seconds: float, *, archived: bool = False) -> None:
        """Remove what is in a state, `completed` or `dead`, and ended so long ago."""
        self.all_but(state, Keep(seconds, None, archived))

    def all_but(self, state: str, keep: Keep) -> None:
        """Remove what is in a state, `completed` or `dead`, and need not be kept.

        Raises:
            OSError: the directory cannot be read, or the archive not be written.
        """
        directory = self._spool.dir(state)
        # What others wait for stays until a worker has let them go: they would take it for gone.
        awaited = {wait.other for wait in dependencies.still_open(self._spool)}
        found = (
            (_ended_at(directory, filename), filename)
            for filename in directory.scan()
            if names.is_job(filename) and not (awaited and names.id_in(filename) in awaited)
        )
        self._remove(state, _surplus(directory, found, keep, self._now), keep.archive)

    def logs_of_removed(self) -> None:
        """Remove the logs of runs that began before their job ended: a later one may have its id.

        Raises:
            OSError: logs/ cannot be read.
        """
        if self._ended:
            directory = self._spool.dir("logs")
            for entry in list(directory.scan()):
                log = logs.parse(entry)
                if log is not None and log.stamp <= self._ended.get(log.id, ""):
                    directory.discard(entry)
                    self.logs += 1

    def logs_but(self, keep: Keep) -> None:
        """Remove logs that need not be kept, of jobs that neither run nor wait.

        RACE: the logs are listed before the jobs, so that what starts meanwhile is not among them
        (test_the_log_of_a_job_that_starts_meanwhile_stays).

        Raises:
            OSError: a directory cannot be read.
        """
        directory = self._spool.dir("logs")
        parsed = [(logs.parse(entry), entry) for entry in directory.scan()]
        live = {names.id_in(entry) for state in _LIVE for entry in self._spool.dir(state).scan()}
        found = ((log.stamp, entry) for log, entry in parsed if log and log.id not in live)
        for batch in _batches(_surplus(directory, found, keep, self._now)):
            for entry in batch:
                directory.discard(entry)
                self.logs += 1
            self._rest()

    # --- inside -----------------------------------------------------------------------------------

    def _remove(self, state: str, filenames: Sequence[str], archived: bool) -> None:
        batches = _batches(filenames)
        if archived and filenames:
            batches = archive.store(self._spool, state, filenames, self._now, self._refuse)
        for batch in batches:
            for filename in batch:
                self._remove_one(state, filename, archived)
            self._rest()

    def _rest(self) -> None:
        if self._pause:  # no call at all, else: under a clock that is set it may be refused
            time.sleep(self._pause)

    def _remove_one(self, state: str, filename: str, archived: bool) -> None:
        try:
            if not self._spool.remove(state, filename):
                return
        except OSError as error:
            self._refuse(os.path.join(self._spool.dir(state).path, filename), words(error))
            return
        self.jobs += 1
        self.archived += archived
        name = names.parse(filename)
        self._ended[name.id if name else filename] = name.stamp if name else ""

    def _refuse(self, path: str, why: str) -> None:
        self.stuck += 1
        self._tell(path, why)


def _surplus(directory: Dir, found: Iterable[_Aged], keep: Keep, now: datetime) -> List[str]:
    """Return the names of what is too old, or the oldest of what is too much, in that order."""
    limit = "" if keep.age is None else instants.to_stamp(instants.later(now, -keep.age))
    if keep.size is None:
        return [entry for _, entry in sorted(one for one in found if one[0] <= limit)]
    left = sorted(found)
    sizes = [_size(directory, entry) for _, entry in left]
    total = sum(sizes)
    surplus = []
    for (stamp, entry), size in zip(left, sizes):
        if stamp > limit and total <= keep.size:
            break
        total -= size
        surplus.append(entry)
    return surplus


def _ended_at(directory: Dir, filename: str) -> str:
    """Return when a job ended; by its file's own time if it has no name of the form."""
    name = names.parse(filename)
    if name is not None:
        return name.stamp
    try:
        return instants.to_stamp(instants.of_file(directory.stat(filename).st_ctime_ns))
    except FileNotFoundError:
        return names.HELD  # gone: it is not removed


def _size(directory: Dir, entry: str) -> int:
    try:
        return directory.stat(entry).st_size
    except FileNotFoundError:
        return 0


def _batches(entries: Iterable[str]) -> Iterator[List[str]]:
    rest = iter(entries)
    while True:
        batch: Optional[List[str]] = list(islice(rest, _BATCH))
        if not batch:
            return
        yield batch

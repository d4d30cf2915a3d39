"""Removes the directories of jobs that are over, beside the worker's loop.

A job's directory goes by a rename as soon as this worker has moved the job to completed/. What
others have left (a worker that was killed, a purge) is found by a look once a minute. What has
been renamed may be a million files, so a thread removes it; who leaves waits for it a little.
"""

from __future__ import annotations

import threading
from typing import Optional, Set

from spoolq import workdirs
from spoolq.chores import Beside, Chore
from spoolq.config import Settings
from spoolq.errors import SpoolqError
from spoolq.names import Name
from spoolq.spool import Record

EVERY, AGAIN = 60.0, 2.0  # seconds from a look to the next; after one that has found suspects
_PATIENCE = 2.0  # seconds that a worker which leaves waits for the removing
_ASKED_FOR = b'\n  "workdir": true'  # as the fields of a record are written


class Disposal(Chore):
    """What a worker does about work/."""

    def __init__(self, beside: Beside) -> None:
        self._spool = beside.spool
        self._monotonic = beside.monotonic
        self._next = 0.0
        self._suspects: Set[str] = set()
        self._thread: Optional[threading.Thread] = None
        self._failure: Optional[Exception] = None
        self._is_leaving = False

    def look(self, settings: Settings) -> bool:
        """Begin to remove what is over, if it is time and nobody is at it."""
        if self._thread is None or not self._thread.is_alive():
            failure, self._failure, self._thread = self._failure, None, None
            if failure is not None:
                raise failure
            if self._monotonic() >= self._next:
                self._thread = threading.Thread(target=self._tidy, daemon=True)
                self._thread.start()
        return False

    def moved(self, record: Record, name: Name, settings: Settings) -> bool:
        """Take a completed job's directory away; it is removed at the next look."""
        if record.state == "completed" and _ASKED_FOR in record.data:
            try:
                work = workdirs.opened(self._spool)
            except FileNotFoundError:
                return False  # somebody has removed all of it
            try:
                if workdirs.dispose(work, name.id):
                    self._next = 0.0
            finally:
                work.close()
        return False

    def close(self) -> None:
        """Leave what takes longer to the next worker."""
        if self._thread is not None:
            self._thread.join(_PATIENCE)
        self._is_leaving = True

    def _tidy(self) -> None:
        """Do one round, in a thread; what goes wrong is for the next look to tell."""
        self._next = self._monotonic() + EVERY
        try:
            work = workdirs.opened(self._spool)
            try:
                self._suspects = workdirs.sweep(self._spool, work, self._suspects)
                self._failure = workdirs.remove(work, lambda: self._is_leaving)
            finally:
                work.close()
        except FileNotFoundError:
            pass  # somebody has removed all of it
        except (OSError, SpoolqError) as error:
            self._failure = error
        if self._suspects:
            self._next = min(self._next, self._monotonic() + AGAIN)

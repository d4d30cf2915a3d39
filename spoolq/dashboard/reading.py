"""Job files read for a page: for a moment at most, and none that is large.

A job may take 8 MiB, and a second to read; fifty of them on one page would hold up all others. What
is not read here is shown by its name, and is read whole on the page of that job alone.
"""

from __future__ import annotations

import os
import time
from typing import Callable, Optional

from spoolq import api, instants, names, views
from spoolq.errors import InvalidJob
from spoolq.views import JobView

#: Seconds for the files of one page, and bytes of a file that a list reads.
PATIENCE = 1.0
LARGE = 1 << 20


class Unread(InvalidJob):
    """Stands in the place of what a file would have told."""


class Reader:
    """Reads job files for one page."""

    def __init__(
        self,
        spool: api.Spool,
        patience: float = PATIENCE,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spool = spool.dir
        self._settings = spool.settings
        self._monotonic = monotonic
        self._until = monotonic() + patience

    def is_late(self) -> bool:
        """Say whether the time for this page is over."""
        return self._monotonic() > self._until

    def is_large(self, state: str, filename: str) -> bool:
        """Say whether a file is too large for a list; False if it is gone."""
        try:
            return self._spool.dir(state).stat(filename).st_size > LARGE
        except FileNotFoundError:
            return False

    def __call__(self, state: str, filename: str) -> Optional[JobView]:
        """Look at one file, or at its name alone; None if it is gone."""
        if self.is_large(state, filename):
            return self._unread(state, filename, "a large file: open it to see what it is")
        if self.is_late():
            return self._unread(state, filename, "not read, for lack of time")
        return views.look(self._spool, state, filename, self._settings)

    def _unread(self, state: str, filename: str, why: str) -> Optional[JobView]:
        directory = self._spool.dir(state)
        try:
            info = directory.stat(filename)
        except FileNotFoundError:
            return None
        return JobView(
            state,
            filename,
            os.path.join(directory.path, filename),
            names.parse(filename),
            None,
            Unread(why),
            instants.of_file(info.st_ctime_ns),
            instants.of_file(info.st_mtime_ns),
            self._settings,
        )

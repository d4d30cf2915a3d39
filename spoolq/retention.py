"""Applies the setting `retention` every few minutes, by a process beside the worker.

Any worker does; whoever comes first notes it in tmp/, and the others have nothing to do. The
process is `spoolq purge --retention`: to read the names of a million jobs holds up no job so, and
people and timers can do the same by hand.
"""

from __future__ import annotations

import math
import sys
import threading
from contextlib import contextmanager
from datetime import datetime
from typing import Iterator, Optional

from spoolq import child, config, instants, keeping, locks, notify
from spoolq.chores import Beside, Chore
from spoolq.config import Settings
from spoolq.fsio import write_all
from spoolq.logs import logger
from spoolq.purging import Purge
from spoolq.spool import SpoolDir
from spoolq.text import printable

NOTE = ".retention"  # in tmp/: locked while it is applied, and written then
FIRST, EVERY = 60.0, 300.0  # seconds after a worker's start, and from then on
_LONGEST = 3600.0
PAUSE = 0.02  # after every few hundred files
_NICE = 10
_TRY_AGAIN = 75


class Retention(Chore):
    """Starts the process, and tells what it has removed."""

    def __init__(self, beside: Beside) -> None:
        self._beside = beside
        self._next = beside.monotonic() + FIRST
        self._closes_at = math.inf
        self._thread: Optional[threading.Thread] = None

    def look(self, settings: Settings) -> bool:
        """Start it, if it is time and nobody else has."""
        now = self._beside.monotonic()
        if now < self._next or settings.retention is None or self._is_at_work():
            return False
        self._next = now + EVERY
        if not is_fresh(self._beside.spool, self._beside.clock()):
            self._thread = threading.Thread(target=self._apply, args=(settings,), name="retention")
            self._thread.start()
        return False

    def close(self) -> None:
        """End it: what is left is for the next time."""
        self._closes_at = -math.inf
        if self._thread is not None:
            self._thread.join()

    def _is_at_work(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def _apply(self, settings: Settings) -> None:
        late_at = self._beside.monotonic() + _LONGEST
        try:
            done = child.run(
                [sys.executable, "-m", "spoolq", "--spool", self._beside.spool.path]
                + ["purge", "--retention"],
                b"",
                environment=notify.without(config.environment()),
                cwd="/",
                deadline=lambda: min(late_at, self._closes_at),
                grace=settings.grace,
                monotonic=self._beside.monotonic,
                nice=_NICE,
            )
        except OSError as error:
            logger.warning("the retention is not applied: %s", error.strerror)
            return
        if done.code == 0 and done.output:
            logger.info("retention: %s", printable(done.output))
        elif done.code not in (0, _TRY_AGAIN) and self._closes_at == math.inf:
            said = printable(done.output)
            logger.warning("the retention is not applied: %s: %s", done.went, said)


def is_fresh(spool: SpoolDir, now: datetime) -> bool:
    """Say whether the retention was applied a moment ago, by whomever."""
    try:
        noted = spool.dir("tmp").stat(NOTE).st_mtime_ns
    except FileNotFoundError:
        return False
    return abs((now - instants.of_file(noted)).total_seconds()) < EVERY


def apply(purge: Purge, settings: Settings) -> None:
    """Remove what need not be kept.

    Raises:
        OSError: a directory cannot be read, or the archive not be written.
    """
    rules = keeping.read(settings.retention or {})
    try:
        for state in ("completed", "dead"):
            if state in rules:
                purge.all_but(state, rules[state])
    finally:
        purge.logs_of_removed()
    if "logs" in rules:
        purge.logs_but(rules["logs"])


@contextmanager
def alone(spool: SpoolDir, now: datetime) -> Iterator[None]:
    """Be the only one who applies it, and note when that was.

    Raises:
        Busy: somebody else is at it.
    """
    tmp = spool.dir("tmp")
    with locks.held(tmp, NOTE, patience=0):
        note = tmp.open_lock(NOTE)
        try:
            write_all(note, instants.to_stamp(now).encode("ascii") + b"\n")
        finally:
            locks.let_go(note)
        yield

"""The chore of a worker in whose spool tags are paused: it notices which, once a second.

Where no tag has ever been paused since the worker's start there is no such chore, and no look.
"""

from __future__ import annotations

from spoolq import pauses
from spoolq.chores import Beside, Chore
from spoolq.config import Settings
from spoolq.glance import Remembered


class Pausing(Chore):
    """Tells what sets jobs aside which tags are paused."""

    def __init__(self, beside: Beside) -> None:
        root = beside.spool.root
        self._entries = Remembered(root.list, root.stat, beside.monotonic)
        self._aside = beside.aside

    def look(self, settings: Settings) -> bool:
        """Notice what was paused and resumed; True if jobs may go on."""
        if self._aside is None:
            return False
        return self._aside.pause(pauses.tags_of(self._entries()))

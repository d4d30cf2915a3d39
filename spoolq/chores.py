"""What a worker does beside its jobs: once a second, and when one of them has moved on.

A chore is about something that a spool need not have: a directory in its root, or a setting. Where
there is none of that it is not even imported; then all chores together cost one look a second at
the root, whose times tell whether anything has come into it. So a feature that is made of files
needs no place in the worker's loop.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from contextlib import contextmanager
from datetime import datetime
from typing import Callable, Collection, Dict, Iterator, NamedTuple, Optional, Sequence

from spoolq.aside import Aside
from spoolq.bell import Bell
from spoolq.config import Settings
from spoolq.errors import SpoolqError, WorkerLost
from spoolq.glance import Glance, Remembered
from spoolq.layout import words
from spoolq.lease import Lease
from spoolq.logs import Complaints
from spoolq.names import Name
from spoolq.spool import Record, SpoolDir

_SHARE = 50  # a look through the whole spool may cost one part in so many of the time
_ANEW = 60.0  # seconds after which it is looked at whatever its times tell
_PATIENCE = 2.0  # seconds to wait for a lock, before all is taken for done


class Beside(NamedTuple):
    """What a worker lends its chores; `bell` is rung from a thread of theirs to be looked at.

    `aside` is told what keeps jobs from running.
    """

    spool: SpoolDir
    own: Lease
    bell: Bell
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    aside: Optional[Aside] = None


class Chore:
    """One thing that is done beside the jobs; what takes long has a thread or process of its own.

    Whatever it does another worker may be doing at the same moment, and may be killed while it
    does: so every change is one rename or one exclusive create, and is found half done by a look.
    """

    def look(self, settings: Settings) -> bool:
        """Do what has become due; True if that may have put a job into pending/.

        Called about once a second.
        """
        return False

    def settle(self, settings: Settings) -> bool:
        """As `look`, and thoroughly: a worker that drains is about to take all for done."""
        return self.look(settings)

    def moved(self, record: Record, name: Name, settings: Settings) -> bool:
        """Hear that this worker has moved a job on, from a claim to `name`.

        True if the bell was told of another job that is due by that.
        Called for every job: so it asks no disk about those that the chore is not about.
        """
        return False

    def close(self) -> None:
        """End what the chore has begun: the worker leaves."""


class Sparing(Chore, ABC):
    """A chore that looks through the whole spool: when something may have changed, and not often.

    Args:
        places: the directories whose changes it is about.
    """

    def __init__(self, beside: Beside, *places: str) -> None:
        self._monotonic = beside.monotonic
        self._glances = [Glance(beside.spool.dir(place).stat, beside.monotonic) for place in places]
        self._rests_until = 0.0

    def look(self, settings: Settings) -> bool:
        """Look through the spool if it may have changed, and the last look was cheap enough."""
        return self._monotonic() >= self._rests_until and self._look_if_changed(settings, 0.0)

    def settle(self, settings: Settings) -> bool:
        """As `look`, however short a time ago the last one was."""
        return self._look_if_changed(settings, _PATIENCE)

    @abstractmethod
    def look_through(self, settings: Settings, patience: float) -> bool:
        """Look at everything; wait `patience` seconds for locks that others hold."""

    def look_again(self) -> None:
        """Have another look at the next opportunity: the last one did not see to everything."""
        for glance in self._glances:
            glance.forget()

    def _look_if_changed(self, settings: Settings, patience: float) -> bool:
        is_old = self._glances[0].age() >= _ANEW  # some network filesystems tell of no change
        if not is_old and not any(glance.may_differ() for glance in self._glances):
            return False
        started = self._monotonic()
        for glance in self._glances:
            glance.look()
        try:
            found = self.look_through(settings, patience)
        except BaseException:
            self.look_again()
            raise
        now = self._monotonic()
        self._rests_until = now + (now - started) * _SHARE
        return found


class Kind(NamedTuple):
    """A chore that there can be: when it is wanted, and what makes it."""

    name: str
    wanted: Callable[[Collection[str], Settings], bool]  # by what is in the root, and the settings
    make: Callable[[Beside], Chore]


class Chores:
    """Those that a spool has; each fails by itself, is complained of, and tried again."""

    def __init__(self, kinds: Sequence[Kind], beside: Beside) -> None:
        self._kinds = kinds
        self._beside = beside
        self._root = Remembered(beside.spool.root.list, beside.spool.root.stat, beside.monotonic)
        self._chores: Dict[str, Chore] = {}  # those that were wanted once
        self._complain = Complaints(beside.monotonic)

    def look(self, settings: Settings, *, thorough: bool = False) -> bool:
        """Let each do what has become due; True if that may have put a job into pending/.

        Raises:
            OSError: the root cannot be read.
        """
        if not self._kinds:
            return False
        entries = self._root()
        for kind in self._kinds:
            if kind.name not in self._chores and kind.wanted(entries, settings):
                with self._forgiven():
                    self._chores[kind.name] = kind.make(self._beside)
        found = False
        for chore in self._chores.values():
            with self._forgiven():
                done = chore.settle(settings) if thorough else chore.look(settings)
                found = done or found
        return found

    def moved(self, record: Record, name: Name, settings: Settings) -> bool:
        """Tell each that a job was moved on; True if the bell was told of another by that."""
        found = False
        for chore in self._chores.values():
            with self._forgiven():
                found = chore.moved(record, name, settings) or found
        return found

    def close(self) -> None:
        """End what they have begun."""
        for chore in self._chores.values():
            chore.close()

    @contextmanager
    def _forgiven(self) -> Iterator[None]:
        """Say what goes wrong in the body, and go on: the next look tries again."""
        try:
            yield
        except WorkerLost:
            raise
        except (OSError, SpoolqError) as error:
            self._complain(words(error))

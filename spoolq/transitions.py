"""Every job that comes into a state, told as it happens, from the file names alone.

Where inotify can be asked, one descriptor watches the five directories, so all is told, and in the
order in which it happened, unless the reader is so slow that the kernel's queue runs over, which is
told too. Elsewhere the directories are listed and compared: then a job that has passed through a
state between two looks is told in the one that it has reached. Nothing is read of a job's file, and
what leaves a spool is not told.
"""

from __future__ import annotations

import os
import struct
from datetime import datetime
from typing import Any, Callable, Dict, Iterable, Iterator, List, NamedTuple, Optional, Set, Tuple

from spoolq import instants, names, platform
from spoolq.layout import STATES
from spoolq.lookout import inotify_calls
from spoolq.spool import CHANGE, SpoolDir

_HEAD = struct.Struct("iIII")  # watch, mask, cookie, length of the name: inotify(7)
_OVERFLOW, _IGNORED = 0x4000, 0x8000
_READ = 256 * 1024
_MOST_CLAIMS = 100_000
#: In the order of a job's life: so a look tells of several changes of one job in their order.
_ORDER = ("pending", "processing", "failed", "completed", "dead")


class Transition(NamedTuple):
    """A job has come into a state; `seen_at` is when that was seen, `name` says the rest."""

    seen_at: datetime
    state: str
    name: names.Name
    filename: str

    def as_dict(self) -> Dict[str, Any]:
        """Return it as JSON has it; `time` is what the state is about, as its name says."""
        return {
            "seen_at": instants.to_rfc3339(self.seen_at),
            "id": self.name.id,
            "state": self.state,
            "attempt": self.name.attempt,
            "priority": self.name.priority,
            "time": instants.stamp_to_rfc3339(self.name.stamp),
            "worker": self.name.worker,
            "file": self.filename,
        }


def present(spool: SpoolDir, clock: Callable[[], datetime] = instants.now) -> List[Transition]:
    """Return the last transition of each job that is there, in the order of their times."""
    seen_at = clock()
    found = [
        transition
        for state in STATES
        for transition in _told(state, spool.dir(state).list(), seen_at)
    ]
    return sorted(found, key=lambda one: (one.name.stamp, _ORDER.index(one.state)))


class Transitions:
    """What comes into the states of a spool, from now on."""

    def __init__(
        self, spool: SpoolDir, clock: Callable[[], datetime] = instants.now, *, poll: bool = False
    ) -> None:
        """Begin to watch; with `poll` only by looking, as where there are no events.

        Raises:
            OSError: a directory cannot be listed.
        """
        self._spool = spool
        self._clock = clock
        self._watches: Dict[int, str] = {}
        #: Readable when there is something to take, where inotify tells of it.
        self.descriptor: Optional[int] = None
        if not poll and platform.network_filesystem(spool.path) is None:
            self._watch()
        self._known: Dict[str, Set[str]] = {}
        self._claims: Set[str] = set()  # that have no record yet
        self._begin()

    def take(self) -> Tuple[List[Transition], bool]:
        """Return what has happened since the last call, and whether that is all.

        Raises:
            OSError: a directory cannot be listed.
        """
        if self.descriptor is None:
            return self._look(), True
        try:
            data = os.read(self.descriptor, _READ)
        except BlockingIOError:
            return [], True
        seen_at = self._clock()
        found: List[Transition] = []
        for watch, mask, filename in _events(data):
            if mask & (_OVERFLOW | _IGNORED):  # some were dropped, or a directory is another now
                self._watch()
                self._begin()
                return found, False
            state = self._watches.get(watch)
            if state is None or (state == "processing" and self._is_a_record(filename)):
                continue
            found += _told(state, [filename], seen_at)
        return found, True

    def close(self) -> None:
        """Watch no more."""
        descriptor, self.descriptor = self.descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    # --- inside -----------------------------------------------------------------------------------

    def _begin(self) -> None:
        """Note what is there, where nothing but a look will tell what comes."""
        if self.descriptor is None:
            self._look()
        else:
            self._claims = set(self._spool.dir("processing").list())

    def _is_a_record(self, filename: str) -> bool:
        """Say whether a claim comes into processing/ once more: as the record of its end."""
        if filename in self._claims:
            self._claims.discard(filename)
            return True
        if len(self._claims) > _MOST_CLAIMS:  # those that went back unrun
            self._claims.clear()
        self._claims.add(filename)
        return False

    def _watch(self) -> None:
        """Watch the five directories with one descriptor, a new one; without events, poll."""
        self.close()
        self._watches = {}
        try:
            calls = inotify_calls()
            if calls is None:
                return
            self.descriptor = calls.open()
            for state in _ORDER:
                path = self._spool.dir(state).path
                self._watches[calls.add(self.descriptor, path, calls.ARRIVALS)] = state
        except OSError:
            self.close()

    def _look(self) -> List[Transition]:
        """Return what is in a state that was not there at the last look."""
        found: List[Transition] = []
        seen_at = self._clock()
        for state in _ORDER:
            now = set(self._spool.dir(state).list())
            found += _told(state, sorted(now - self._known.get(state, set())), seen_at)
            self._known[state] = now
        return found


def _told(state: str, filenames: Iterable[str], seen_at: datetime) -> Iterator[Transition]:
    """Yield what is to be told: no drops, which have no id yet, nor jobs that nobody runs here."""
    for filename in filenames:
        name = names.parse(filename)
        if name is not None and name.slot != CHANGE and name.mark is None:
            yield Transition(seen_at, state, name, filename)


def _events(data: bytes) -> Iterator[Tuple[int, int, str]]:
    """Yield watch, mask and file name of each event. Source: inotify(7)."""
    start = 0
    while start + _HEAD.size <= len(data):
        watch, mask, _, length = _HEAD.unpack_from(data, start)
        start += _HEAD.size
        yield watch, mask, os.fsdecode(data[start : start + length].rstrip(b"\0"))
        start += length

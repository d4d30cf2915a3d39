"""The chore of schedules: what falls due becomes jobs.

When a schedule falls due next is kept in memory, and found out anew when its file, or schedules/ as
a whole, has changed; so a second in which nothing is due costs a `stat` each. What is wrong with
one is said once, and stops no other. Where hundreds fall due at once the runs get their turn in
between.
"""

from __future__ import annotations

from datetime import datetime
from functools import partial
from typing import Dict, List, Optional

from spoolq import schedules, scheduling, trust
from spoolq.chores import Beside, Chore
from spoolq.config import Settings
from spoolq.errors import BadInput, Busy, SpoolqError, WorkerLost
from spoolq.fsio import Dir
from spoolq.glance import Glance, Remembered
from spoolq.layout import words
from spoolq.logs import Complaints, logger
from spoolq.ticks import Missing

_AT_ONCE = 0.5  # seconds of enqueuing, before the runs get their turn again


class _Watched:
    """A schedule, and when it is to be dealt with next: None where it has no more ticks."""

    def __init__(self, glance: Glance, now: datetime, since: float) -> None:
        self.glance = glance
        self.due: Optional[datetime] = now
        self.since = since  # when it was first seen as it is, by the monotonic clock


class Ticking(Chore):
    """Enqueues what the schedules of a spool have due."""

    def __init__(self, beside: Beside) -> None:
        self._beside = beside
        root = beside.spool.root
        self._listing = Remembered(self._list, lambda: root.stat(schedules.PLACE), beside.monotonic)
        self._place: Optional[Dir] = None
        self._listed: Optional[List[str]] = None
        self._watched: Dict[str, _Watched] = {}
        self._said: Dict[str, str] = {}  # what is wrong with which
        self._latest = ""  # the one that was dealt with before the runs got their turn
        self._complain = Complaints(beside.monotonic)

    def look(self, settings: Settings) -> bool:
        """Enqueue what has fallen due.

        Raises:
            UnsafeSpool: others could put commands here.
            OSError, StorageFailed: schedules/ cannot be read.
        """
        try:
            listed = self._listing()
        except FileNotFoundError:
            self._watched = {}
            return False
        if listed is not self._listed:
            trust.require_safe(self._beside.spool.path, [schedules.PLACE], settings.group)
            self._watch(listed)
        found, ends_at = False, self._beside.monotonic() + _AT_ONCE
        for name in sorted(self._watched, key=lambda name: (name <= self._latest, name)):
            found = self._deal(name, settings) or found
            if found and self._beside.monotonic() >= ends_at:
                self._latest = name  # the next look goes on behind it
                break
        return found

    def close(self) -> None:
        """Let schedules/ go."""
        if self._place is not None:
            self._place.close()
            self._place = None

    def _list(self) -> List[str]:
        self.close()
        self._listed = None
        self._place = schedules.open_place(self._beside.spool)
        return self._place.list()

    def _watch(self, entries: List[str]) -> None:
        """Begin with the schedules that are there; of none is anything known any more."""
        assert self._place is not None
        self._listed, watched = entries, {}
        now, monotonic = self._beside.clock(), self._beside.monotonic()
        for name in schedules.names_in(entries):
            looks = partial(self._place.stat, name + schedules.FILE)
            watched[name] = _Watched(Glance(looks, self._beside.monotonic), now, monotonic)
            watched[name].glance.look()
            if name in self._watched:
                watched[name].since = self._watched[name].since
        self._watched = watched
        self._said = {name: what for name, what in self._said.items() if name in watched}

    def _deal(self, name: str, settings: Settings) -> bool:
        """Look after one schedule; True if it has become a job."""
        one, place, now = self._watched[name], self._place, self._beside.clock()
        if one.glance.may_differ():
            one.glance.look()
            one.due, one.since = now, self._beside.monotonic()
        if one.due is None or one.due > now or place is None:
            return False
        one.due = now  # unless it is dealt with: to be tried again
        spool = self._beside.spool
        try:
            dealt = scheduling.deal(spool, place, name, settings, self._beside.clock)
        except FileNotFoundError:
            self._watched.pop(name)
        except Busy as error:
            logger.debug("schedule %s: %s", name, error)
        except Missing as error:
            self._trouble(f"{error}: {error.hint}")
            self._say(name, f"{error}; {error.hint}")
            one.due = None
        except BadInput as error:
            if self._beside.monotonic() - one.since >= settings.settle:  # else still written
                self._say(name, str(error))
                one.due = None
        except WorkerLost:
            raise
        except (OSError, SpoolqError) as error:
            self._complain(f"schedule {name}: {words(error)}")
        else:
            one.due = dealt.next
            self._said.pop(name, None)
            self._trouble("")
            for job_id in dealt.ids:
                logger.info("schedule %s: enqueued %s", name, job_id)
            return bool(dealt.ids)
        return False

    def _trouble(self, what: str) -> None:
        self._beside.own.show_trouble(schedules.PLACE, what)

    def _say(self, name: str, what: str) -> None:
        if self._said.get(name) != what:
            self._said[name] = what
            logger.warning(
                "%s/%s%s: %s; nothing of it is enqueued",
                schedules.PLACE,
                name,
                schedules.FILE,
                what,
            )

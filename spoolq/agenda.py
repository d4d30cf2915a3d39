"""Which job is next: the due jobs of pending/ in their order, and when the next one falls due.

The directories are the truth and this is a recent look at them, with the names that events have
told since: a name that is gone when it is claimed costs one failed rename. A look costs time in
proportion to the directory, so only a tenth of the time is spent on looking while nothing but
claims and told arrivals has changed it, and at most `WINDOW` due names are held.
"""

from __future__ import annotations

import heapq
import sys
from datetime import datetime
from typing import Callable, Iterable, List, Optional, Set, Tuple

from spoolq import instants, names
from spoolq.adoption import Intake
from spoolq.aside import Aside
from spoolq.config import Settings
from spoolq.glance import Glance
from spoolq.layout import BELL
from spoolq.logs import logger
from spoolq.names import Name
from spoolq.spool import SpoolDir

WINDOW = 50_000
ADMIT_AT_ONCE = 500  # drops looked at before running jobs get their turn again
_SHARE = 10  # a look may cost a tenth of the time while there is work

#: By a job's priority: what its file name is to begin with, to sort as its turn comes. A look at
#: 100,000 names takes 0.3 s so, and 0.6 where they are sorted as tuples of these.
_TURN = {str(priority): str(9 - priority) for priority in range(10)}
_BEHIND = "/"  # sorts behind the point that follows the stamp in a name


def _turn(filename: str) -> Optional[str]:
    """Return the digit of `_TURN` for a name that has the form at first sight, else None."""
    return _TURN.get(filename[24:25]) if filename[21:24] == "Z.p" else None


class Agenda:
    """The order of what is due, over pending/ and failed/."""

    def __init__(
        self,
        spool: SpoolDir,
        intake: Intake,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        aside: Optional[Aside] = None,
    ) -> None:
        self._spool = spool
        self._intake = intake
        self._aside = aside or Aside(spool, monotonic)
        self._clock = clock
        self._monotonic = monotonic
        self._due: List[str] = []  # a heap of turns: file names behind a digit of `_TURN`
        self._last: Optional[str] = None  # where the window ends, if more is due than fits into it
        self._later: Optional[str] = None  # the earliest stamp in pending/ that is not due
        self._retry: Optional[str] = None  # the earliest stamp in failed/
        self._odd: List[str] = []
        self._dirty = True  # something may be there that was not told by its name
        self._stale = False  # the directory has changed: mostly by what was told, and by claims
        self._own: Set[str] = set()  # what was put into pending/ here, and will be told as well
        self._pending = Glance(spool.dir("pending").stat, monotonic)
        self._failed = Glance(spool.dir("failed").stat, monotonic)
        self._looked_until = 0.0
        self._look_cost = 0.0

    def rang(self) -> None:
        """Note that something arrived, or may have: a look will tell."""
        self._dirty = True

    def look_again(self) -> None:
        """Have another look if something may be there that the last one did not see."""
        self._dirty = self._dirty or self._pending.may_differ()

    def arrived(self, filenames: Iterable[str]) -> None:
        """Take names of pending/ that events told: so what waits there need not be read again."""
        end = instants.to_stamp(self._clock()) + _BEHIND
        doubts = self._intake.doubts()
        for filename in filenames:
            turn = _turn(filename)
            self._aside.forget(filename)
            if filename in self._own:
                self._own.discard(filename)
            elif not names.is_job(filename):
                pass
            elif len(self._due) + len(self._odd) >= 2 * WINDOW:
                self._dirty = True  # nothing is taken just now; a look will tell
            elif turn is None or filename in doubts:
                self._odd.append(filename)
            elif filename < end:
                self._put(turn + filename)
            else:
                name = names.parse(filename)
                if name is None:
                    self._odd.append(filename)
                else:
                    self._waits_until(name.stamp)

    def tick(self) -> None:
        """Once a second: notice what no event told."""
        if self._pending.may_differ():
            self._stale = True
        if self._failed.may_differ():
            self.look_at_failed()

    def refresh(self, settings: Settings) -> None:
        """Bring the agenda up to date, as far as it is worth its cost just now."""
        now = instants.to_stamp(self._clock())
        if self._retry is not None and self._retry <= now:
            self.look_at_failed()
        if self._later is not None and self._later <= now:
            self._dirty, self._later = True, None  # the look will tell; until it is due, no alarm
        wanted = self._dirty or (self._last is not None and not self._due)
        if wanted or self._stale:
            rested = self._monotonic() - self._looked_until
            if rested >= self._look_cost * _SHARE or (wanted and not self._due):
                self._look_at_pending(now)
        self._odd += self._intake.ripe(settings)
        self._admit(settings)
        for filename in self._aside.back(settings):
            self.again(filename)

    def take(self) -> Optional[Tuple[str, Name]]:
        """Return file name and name of the job to claim next, or None if nothing is due."""
        now = instants.to_stamp(self._clock())
        while self._due:
            filename = heapq.heappop(self._due)[1:]
            name = names.parse(filename)
            if name is None:
                self._odd.append(filename)
            elif name.stamp > now:  # the clock was set back
                self._waits_until(name.stamp)
            else:
                return filename, name
        return None

    def again(self, filename: str) -> None:
        """Take back what was taken, or set aside: it is to be claimed still."""
        self._put(_TURN[filename[24]] + filename)

    def wakes_in(self, settings: Settings) -> Optional[float]:
        """Return the seconds until something falls due or wants another look, or None."""
        waits = [wait for wait in (self._intake.patience(settings),) if wait is not None]
        if self._odd or ((self._dirty or self._last is not None) and not self._due):
            return 0.0
        if self._aside.is_behind():
            return 0.0
        for stamp in (self._later, self._retry):
            if stamp is not None:
                wait = (instants.from_stamp(stamp) - self._clock()).total_seconds()
                waits.append(max(wait, 0.0))
        return min(waits, default=None)

    def is_empty(self, settings: Settings) -> bool:
        """Look, and say whether nothing is due, waits for a retry, or may yet become a job."""
        if not self._aside.is_idle():  # without a look: `tick` notices when those have gone
            return False
        if not (self._due or self._odd):  # a look would forget what is odd
            self._dirty = True
            self.look_at_failed()
            self.refresh(settings)
        return not (
            self._due
            or self._last is not None
            or self._odd
            or self._dirty
            or (self._retry is not None and self._has_retries())
            or not self._intake.is_idle()
            or not self._aside.is_idle()  # by that look
        )

    def _has_retries(self) -> bool:
        """Say whether a job waits for a retry that is this worker's to run."""
        failed = self._spool.dir("failed")
        return self._aside.concerns(failed, (n for n in failed.scan() if not names.is_held(n)))

    def add_retry(self, stamp: str) -> None:
        """Note a job that went to failed/ until `stamp`."""
        self._retry = stamp if self._retry is None else min(self._retry, stamp)

    def look_at_failed(self) -> None:
        """Let every failed job whose time has come wait in pending/, and note the next time."""
        self._failed.look()
        now = instants.to_stamp(self._clock())
        self._retry = None
        try:
            for filename in self._spool.dir("failed").list():
                self._promote_if_due(filename, now)
        except BaseException:
            self._failed.forget()  # it was not seen whole: the next tick looks again
            raise

    # --- inside -----------------------------------------------------------------------------------

    def _promote_if_due(self, filename: str, now: str) -> None:
        name = names.parse(filename)
        if name is None:
            return
        if name.stamp > now:
            if not names.is_held(name.stamp):  # nothing waits for that one, not even a drain
                self.add_retry(name.stamp)
            return
        try:
            promoted = self._spool.promote(filename, name)
        except OSError as error:  # one file that cannot be moved holds up no other
            logger.warning("failed/%s stays: %s", filename, error.strerror)
            self._failed.forget()
            return
        if promoted is not None:
            self._push(str(promoted))

    def _look_at_pending(self, now: str) -> None:
        started = self._monotonic()
        self._pending.look()
        due = _Earliest(WINDOW)
        later: Optional[str] = None
        odd: List[str] = []
        doubts = self._intake.doubts()
        end = now + _BEHIND
        aside = bool(self._aside.known)
        waits: Set[str] = set()
        for entry in self._spool.dir("pending").entries():
            filename = entry.name
            if aside and self._aside.stays(filename, entry.inode()):
                waits.add(filename)
                continue
            # A quick look at the form; the whole name is read when its turn comes.
            turn = _turn(filename)
            if turn is not None and filename < end and turn + filename > due.last:
                pass  # of a million names nearly all: what begins so is behind the window
            elif not names.is_job(filename):  # such as an editor's backup of a job
                if filename.startswith(BELL):  # it has rung, and who rang it is gone
                    self._spool.dir("pending").tidy(filename)
            elif turn is None or filename in doubts:
                odd.append(filename)
            elif filename < end:
                due.add(turn + filename)
            elif names.parse(filename) is None or not entry.is_file(follow_symlinks=False):
                odd.append(filename)  # its turn would never come, or need not be waited for
            elif later is None or filename < later:
                later = filename
        self._aside.keep(waits)
        self._dirty = self._stale = False  # only now: a look that fails has to be taken again
        self._due, self._last = due.in_order()
        self._own.clear()
        self._later = later and later[: instants.STAMP_WIDTH]
        self._odd = odd
        self._looked_until = self._monotonic()
        self._look_cost = self._looked_until - started

    def _admit(self, settings: Settings) -> None:
        batch, self._odd = self._odd[:ADMIT_AT_ONCE], self._odd[ADMIT_AT_ONCE:]
        for filename in self._intake.admit(batch, settings) if batch else ():
            self._push(filename)

    def _push(self, filename: str) -> None:
        stamp = filename[: instants.STAMP_WIDTH]
        if stamp > instants.to_stamp(self._clock()):
            self._waits_until(stamp)
        else:
            self._put(_TURN[filename[24]] + filename)
            self._own.add(filename)

    def _put(self, due: str) -> None:
        if self._last is None or due < self._last:  # else it is found when the window has run out
            heapq.heappush(self._due, due)

    def _waits_until(self, stamp: str) -> None:
        self._later = stamp if self._later is None else min(self._later, stamp)


class _Earliest:
    """The first `most` of any number of texts, without holding many more than those."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._texts: List[str] = []
        self._is_cut = False
        self.last = chr(sys.maxunicode)  # what comes behind this is not among them

    def add(self, text: str) -> None:
        if text <= self.last:
            self._texts.append(text)
            if len(self._texts) >= 2 * self._most:
                self._cut()

    def _cut(self) -> None:
        self._texts.sort()
        if len(self._texts) > self._most:
            del self._texts[self._most :]
            self.last = self._texts[-1]
            self._is_cut = True

    def in_order(self) -> Tuple[List[str], Optional[str]]:
        """Return them, and if there were more, the last of them."""
        self._cut()
        return self._texts, self.last if self._is_cut else None

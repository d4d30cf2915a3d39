"""The ticks of a cron expression in a time zone; nothing here reads a file or a clock.

cronsim reads the expressions and counts as Debian's cron does, over changes of the clocks as well:
a time that is skipped counts when they have been set ahead, one that comes twice counts once, and
what runs every so many minutes or hours keeps its distance. The libraries are imported when they
are needed.
"""

from __future__ import annotations

import sys
import warnings
from datetime import datetime, timedelta, timezone, tzinfo
from itertools import islice, takewhile
from typing import Any, Iterator, List, Optional

from spoolq.errors import BadInput, SpoolqError
from spoolq.text import closest

UTC = "UTC"
MAX_TEXT = 200
#: What else stands for an expression, as in a crontab.
WORDS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}

_FORM = "minute hour day month weekday, as in: '30 2 * * *'; or @daily, @hourly, @weekly, @monthly"
_MINUTE = timedelta(minutes=1)


class Missing(SpoolqError):
    """A library that schedules need is not installed."""


class Cron:
    """A cron expression in a time zone: instants without end, each at the full minute, in UTC."""

    def __init__(self, text: str, zone: str = UTC) -> None:
        """Read an expression.

        Args:
            zone: a name of the IANA database, such as Europe/Berlin.

        Raises:
            BadInput: it is none, or there is no such zone.
            Missing: a library is not installed.
        """
        self.text, self.zone = text, zone
        self._simulate, refusal = _cronsim()
        self._tz = _zone(zone)
        self._fields = _fields(text)
        try:
            series = self._simulate(self._fields, datetime(2000, 1, 1, tzinfo=timezone.utc))
            self.words = _lowered(series.explain())
        except (refusal, ValueError, AssertionError) as error:
            reason = str(error)[:1].lower() + str(error)[1:]
            raise BadInput(f"{text!r} is no cron expression: {reason}", hint=_FORM) from None

    def after(self, instant: datetime) -> Optional[datetime]:
        """Return the first tick after an instant, or None: there is none for fifty years."""
        return next(self.from_(instant), None)

    def from_(self, instant: datetime) -> Iterator[datetime]:
        """Yield the ticks after an instant."""
        minute = instant.astimezone(timezone.utc).replace(second=0, microsecond=0)
        last = instant
        try:
            for found in self._simulate(self._fields, minute.astimezone(self._tz)):
                tick = found.astimezone(timezone.utc)
                # In an hour that comes twice the search begins with its first time.
                if tick > last:
                    last = tick
                    yield tick
        except (OverflowError, ValueError):
            return  # the end of time

    def newest(self, after: datetime, until: datetime, most: int) -> List[datetime]:
        """Return the ticks after one instant and not after another, the `most` newest, in order.

        However long the time between the two, that takes a few dozen searches.
        """
        found, before = self._some(after, until, most + 1), until
        while len(found) > most and before - after > _MINUTE:
            middle = after + (before - after) / 2
            later = self._some(middle, until, most + 1)
            if len(later) < most:
                before = middle
            else:
                after, found = middle, later
        return found[-most:]

    def local(self, tick: datetime) -> datetime:
        """Return a tick as the clocks of the zone show it."""
        return tick.astimezone(self._tz)

    def _some(self, after: datetime, until: datetime, most: int) -> List[datetime]:
        return [*islice(takewhile(lambda tick: tick <= until, self.from_(after)), most)]


def local_zone() -> str:
    """Return the name of this machine's time zone, or UTC where it has none.

    Raises:
        Missing: a library is not installed.
    """
    try:
        import tzlocal
    except ImportError:
        raise _missing("tzlocal") from None
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of a machine that says nothing of its zone
        try:
            name = tzlocal.get_localzone_name()
            _zone(name)
        except (BadInput, LookupError, ValueError, OSError, TypeError):
            return UTC
    return str(name)


def _fields(text: str) -> str:
    """Return the five fields of an expression."""
    if len(text) > MAX_TEXT:
        raise BadInput(f"a cron expression has at most {MAX_TEXT} characters", hint=_FORM)
    plain = text.strip().lower()
    if plain == "@reboot":
        raise BadInput(
            "'@reboot' is no time", hint="what is to run at a start is the unit's affair"
        )
    if plain.startswith("@") and plain not in WORDS:
        meant = closest(plain, WORDS)
        asked = f"; did you mean {meant!r}?" if meant else ""
        raise BadInput(f"{text!r} is no cron expression{asked}", hint=_FORM)
    fields = WORDS.get(plain, text).split()
    if len(fields) != 5:
        raise BadInput(f"{text!r} is no cron expression: it has five fields", hint=_FORM)
    return " ".join(fields)


def _lowered(words: str) -> str:
    return words[:1].lower() + words[1:]


def _missing(library: str) -> Missing:
    return Missing(
        f"schedules need the library {library}, which is not installed",
        hint="pip install 'spoolq[schedule]'",
    )


def _cronsim() -> Any:
    try:
        from cronsim import CronSim, CronSimError
    except ImportError:
        raise _missing("cronsim") from None
    return CronSim, CronSimError


def _zone(name: str) -> tzinfo:
    """Return a time zone.

    Raises:
        BadInput: there is none of this name.
    """
    if name == UTC:
        return timezone.utc  # needs no database
    try:
        if sys.version_info >= (3, 9):
            from zoneinfo import ZoneInfo
        else:
            from backports.zoneinfo import ZoneInfo
    except ImportError:
        raise _missing("backports.zoneinfo") from None
    try:
        zone: tzinfo = ZoneInfo(name)
    except (LookupError, ValueError, OSError):  # unknown; no name; a directory of the database
        hint = "names are as Europe/Berlin and UTC; without a database of them: pip install tzdata"
        raise BadInput(f"there is no time zone {name!r}", hint=hint) from None
    return zone

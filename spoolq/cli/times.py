"""Times and durations as people type them.

    2026-11-24T18:00:00+01:00   RFC 3339; without the offset it is local time, seconds optional
    1795543200                  seconds since 1970
    18:00   tomorrow 06:00      the next 18:00 of the local clock; 06:00 of the next day
    90  10m  3h  2d  1h30m      from now; a number alone is seconds

A number alone is a duration below 10^8 (three years) and an instant from there on (1973): neither
reading of the other kind is a time that anybody schedules a job for. What is past is refused. The
local zone is the system's, so an hour that a change of the clocks skips or repeats is read as the
system reads it; the time understood is always told.
"""

from __future__ import annotations

import math
import re
from datetime import datetime, time, timedelta, timezone

from spoolq import instants, names, spans
from spoolq.errors import InvalidTime

FIRST_EPOCH = 10**8
_SLACK = 1.0  # `date -Iseconds` names a time that is up to a second past when we read it

_NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,9})?", re.ASCII)
_CLOCK = re.compile(r"(?:(today|tomorrow)[ T]+)?(\d{1,2}):(\d\d)(?::(\d\d))?", re.ASCII)
_LOCAL = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[ Tt](\d\d):(\d\d)(?::(\d\d)(?:\.(\d{1,6})\d*)?)?)?", re.ASCII
)
_FORMS = "times are 18:00, 'tomorrow 06:00', 10m, 1h30m, 2d, 2026-11-24T18:00 or seconds since 1970"


def duration(text: str) -> float:
    """Return the seconds of a duration: 90, 10m, 3h, 2d, 1h30m, 1.5h.

    Raises:
        InvalidTime: it is none.
    """
    seconds = spans.seconds(text)
    if seconds is None:
        raise InvalidTime(
            f"{text!r} is not a duration", hint="durations are 90 (seconds), 10m, 3h, 2d, 1h30m"
        )
    return seconds


def instant(text: str, now: datetime) -> datetime:
    """Return the instant that a person means, in the future or just now.

    Raises:
        InvalidTime: it cannot be read, is no instant between year 1 and 9999, or is past.
    """
    try:
        found = _read(text.strip(), now)
    except (ValueError, OverflowError, OSError) as error:
        if isinstance(error, InvalidTime):
            raise
        raise InvalidTime(f"there is no time {text!r}: {error}", hint=_FORMS) from None
    if (now - found).total_seconds() > _SLACK:
        raise InvalidTime(f"{text!r} is past: it was {spelled(found)}", hint=_FORMS)
    return found


def _read(text: str, now: datetime) -> datetime:
    if _NUMBER.fullmatch(text):
        number = float(text)
        if number >= FIRST_EPOCH:
            return instants.from_epoch(number)
        return now + timedelta(seconds=number)
    length = spans.seconds(text)
    if length is not None:
        return now + timedelta(seconds=length)
    clock = _CLOCK.fullmatch(text.lower())
    if clock is not None:
        return _clock_time(clock, now)
    local = _LOCAL.fullmatch(text)
    if local is not None:
        year, month, day, hour, minute, second = (int(part or 0) for part in local.groups()[:6])
        micro = int((local.group(7) or "").ljust(6, "0"))
        naive = datetime(year, month, day, hour, minute, second, micro)  # noqa: DTZ001
        return naive.astimezone(timezone.utc)
    try:
        return instants.from_rfc3339(text)
    except ValueError:
        raise InvalidTime(f"{text!r} is not a time", hint=_FORMS) from None


def _clock_time(match: re.Match[str], now: datetime) -> datetime:
    day, hour, minute, second = match.groups()
    wanted = time(int(hour), int(minute), int(second or 0))
    today = now.astimezone().date()
    if day != "tomorrow":
        found = datetime.combine(today, wanted).astimezone(timezone.utc)
        if day == "today" or found > now:
            return found
    return datetime.combine(today + timedelta(days=1), wanted).astimezone(timezone.utc)


def _local(when: datetime) -> datetime:
    """Return an instant in local time; in UTC where that has no year, at either end of time."""
    try:
        return when.astimezone()
    except (OverflowError, ValueError):
        return when


def spelled(when: datetime) -> str:
    """Return an instant in local time: 2026-11-24 18:00:00 +0100."""
    return _local(when).strftime("%Y-%m-%d %H:%M:%S %z")


def short(when: datetime, now: datetime) -> str:
    """Return an instant in local time, as short as can be understood: no date where it is today."""
    local = _local(when)
    if local.date() == now.astimezone().date():
        return local.strftime("%H:%M:%S")
    return local.strftime("%Y-%m-%d %H:%M")


def ago(when: datetime, now: datetime) -> str:
    """Return how long an instant is past, in one unit: just now, 12 s ago, 5 min ago, 3 h ago."""
    seconds = (now - when).total_seconds()
    if seconds < 1:
        return "just now" if seconds > -1 else until(when, now)
    return f"{spans.brief(seconds)} ago"


def until(when: datetime, now: datetime) -> str:
    """Return how far away an instant is, in at most two units: now, in 3 s, in 2 h 05 m; held.

    The time of a job that waits for others never comes: waits.
    """
    stamp = instants.to_stamp(when)
    if names.is_held(stamp):
        return "waits" if stamp == names.AFTER else "held"
    seconds = (when - now).total_seconds()
    if seconds <= 0:
        return "now"
    return f"in {max(math.ceil(seconds), 1)} s" if seconds < 10 else f"in {spans.length(seconds)}"


def echoed(when: datetime, now: datetime) -> str:
    """Return an instant as it is told to who typed it: in local time, and how far away."""
    return f"{spelled(when)}, {until(when, now)}"

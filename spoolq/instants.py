"""Instants and their three spellings: in file names, in JSON, and as aware datetimes.

A *stamp* is the spelling in file names, ``20261124T020646123456Z``: UTC, microseconds, of fixed
width, so that stamps sort as text. Nothing here reads a clock but `now`, and nothing knows of
local time: that is the command line's business.
"""

from __future__ import annotations

import re
from datetime import datetime, timedelta, timezone
from typing import Callable

Clock = Callable[[], datetime]

STAMP_WIDTH = 22

_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?([Zz]|[+-]\d\d:\d\d)", re.ASCII
)
#: As `to_rfc3339` writes it; the library reads that, and not much else in Python 3.8.
_OUR_OWN = re.compile(r"\d{4}-\d\d-\d\dT(?:[01]\d|2[0-3]):\d\d:[0-5]\d\.\d{6}Z", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_FIRST = datetime(1, 1, 1, tzinfo=timezone.utc)
_LAST = datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=timezone.utc)


def now() -> datetime:
    """Return the present instant."""
    return datetime.now(timezone.utc)


def to_stamp(instant: datetime) -> str:
    """Return the stamp of an aware instant."""
    text = _iso(instant)
    return f"{text[:4]}{text[5:7]}{text[8:13]}{text[14:16]}{text[17:19]}{text[20:26]}Z"


def _iso(instant: datetime) -> str:
    utc = instant if instant.tzinfo is timezone.utc else instant.astimezone(timezone.utc)
    return utc.isoformat(timespec="microseconds")


def from_stamp(stamp: str) -> datetime:
    """Return the instant of a stamp.

    Raises:
        ValueError: no such day or time.
    """
    return datetime(
        int(stamp[:4]),
        int(stamp[4:6]),
        int(stamp[6:8]),
        int(stamp[9:11]),
        int(stamp[11:13]),
        int(stamp[13:15]),
        int(stamp[15:21]),
        timezone.utc,
    )


def to_rfc3339(instant: datetime) -> str:
    """Return an aware instant as RFC 3339 in UTC with microseconds."""
    return _iso(instant)[:26] + "Z"


def stamp_to_rfc3339(stamp: str) -> str:
    """Return a stamp as RFC 3339: the same digits with their punctuation."""
    return (
        f"{stamp[:4]}-{stamp[4:6]}-{stamp[6:8]}T"
        f"{stamp[9:11]}:{stamp[11:13]}:{stamp[13:15]}.{stamp[15:21]}Z"
    )


def from_rfc3339(text: str) -> datetime:
    """Return the instant that an RFC 3339 text with an offset names.

    Digits beyond microseconds are dropped; a leap second counts as the second after it.

    Raises:
        ValueError: it is not RFC 3339, has no offset, or names no instant between year 1 and 9999.
    """
    if _OUR_OWN.fullmatch(text) is not None:
        return datetime.fromisoformat(text[:26] + "+00:00")
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise ValueError("not a time with an offset, such as 2026-11-24T18:00:00+01:00")
    year, month, day, hour, minute, second = (int(part) for part in match.groups()[:6])
    micro = int((match.group(7) or "").ljust(6, "0")[:6])
    zone = match.group(8)
    offset = timedelta(0)
    if zone not in "Zz":
        offset_hours, offset_minutes = int(zone[1:3]), int(zone[4:6])
        if offset_hours > 23 or offset_minutes > 59:
            raise ValueError("no such offset from UTC")
        offset = timedelta(hours=offset_hours, minutes=offset_minutes)
        if zone[0] == "-":
            offset = -offset
    try:
        second, leap = (59, 1) if second == 60 else (second, 0)
        local = datetime(year, month, day, hour, minute, second, micro, timezone.utc)
        return local - offset + timedelta(seconds=leap)
    except OverflowError as error:
        raise ValueError("outside the years 1 to 9999") from error


def from_epoch(seconds: float) -> datetime:
    """Return the instant `seconds` after 1970 began in UTC.

    Raises:
        ValueError: outside the years 1 to 9999.
    """
    try:
        return _EPOCH + timedelta(seconds=seconds)
    except OverflowError as error:
        raise ValueError("outside the years 1 to 9999") from error


def of_file(nanoseconds: int) -> datetime:
    """Return a file's time, or the end of time that is nearer: anybody may set it to anything."""
    try:
        return from_epoch(nanoseconds / 1e9)
    except ValueError:
        return _FIRST if nanoseconds < 0 else _LAST


def later(instant: datetime, seconds: float) -> datetime:
    """Return the instant `seconds` after `instant`, or the end of time if that is earlier."""
    try:
        return instant + timedelta(seconds=seconds)
    except OverflowError:
        return _LAST

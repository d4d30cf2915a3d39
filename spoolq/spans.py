"""Lengths of time in words, for whatever shows or reads one."""

from __future__ import annotations

import re
from typing import Optional

_UNITS = ((86_400, "d", 3_600, "h"), (3_600, "h", 60, "m"), (60, "m", 1, "s"))

_READ = {"w": 604_800, "d": 86_400, "h": 3_600, "m": 60, "s": 1}
_NUMBER = re.compile(r"\d{1,15}(?:\.\d{1,9})?", re.ASCII)
_DURATION = re.compile(
    "".join(rf"(?:(\d{{1,9}}(?:\.\d{{1,9}})?){unit})?" for unit in _READ), re.ASCII
)


def seconds(text: str) -> Optional[float]:
    """Return the seconds of a duration as people type it: 90, 10m, 3h, 2d, 1h30m; else None."""
    plain = text.strip().lower()
    if _NUMBER.fullmatch(plain):
        return float(plain)
    match = _DURATION.fullmatch(plain)
    if not plain or match is None:
        return None
    parts = zip(match.groups(), _READ.values())
    return sum(float(number) * size for number, size in parts if number)


def length(seconds: float) -> str:
    """Return a length of time in at most two units: 3 ms, 0.3 s, 12 s, 2 m 04 s, 3 h 05 m, 2 d."""
    if seconds < 0.05:
        return f"{max(seconds, 0) * 1000:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    return whole(seconds + 0.5)


def whole(seconds: float) -> str:
    """Return a length of time in at most two units, what is not full left out: 0 s, 2 m 04 s."""
    seconds = max(int(seconds), 0)
    for size, unit, smaller_size, smaller in _UNITS:
        if seconds >= size:
            rest = seconds % size // smaller_size
            return f"{seconds // size} {unit}" + (f" {rest:02} {smaller}" if rest else "")
    return f"{seconds} s"


def brief(seconds: float) -> str:
    """Return a length of time in one unit, what is not full left out: 4 s, 3 min, 2 h, 5 d."""
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds / size)} {unit}"
    return f"{max(int(seconds), 0)} s"

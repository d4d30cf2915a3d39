"""Lengths of time as a screen shows them, and when what it shows will be another text."""

from __future__ import annotations

from typing import Iterable, Optional

from spoolq.cli.watch.scene import Row

_UNITS = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def short(seconds: float) -> str:
    """Return a length of time in one unit, what is not full left out: 4 s, 3 min, 2 h, 5 d."""
    whole = max(int(seconds), 0)
    for size, unit in _UNITS:
        if whole >= size:
            return f"{whole // size} {unit}"
    return "0 s"


def exact(seconds: float) -> str:
    """Return a length of time in two units: 4 s, 3 min 20 s, 2 h 5 min."""
    whole = max(int(seconds), 0)
    for (size, unit), (smaller_size, smaller) in zip(_UNITS, _UNITS[1:]):
        if whole >= size:
            rest = whole % size // smaller_size
            return f"{whole // size} {unit} {rest} {smaller}" if rest else f"{whole // size} {unit}"
    return f"{whole} s"


def of_row(row: Row, now: float, *, brief: bool = False) -> str:
    """Return what a row says of its time; `brief`: in one unit, where there is little room."""
    if row.at is None:
        return ""
    if row.kind == "running":
        return short(now - row.at) if brief else exact(now - row.at)
    if row.kind in ("next", "retries"):
        left = row.at - now
        if left <= 0:
            return "due" if row.kind == "next" else "now"
        return f"in {exact(left + 0.999)}" if left < 3_600 and not brief else f"in {short(left)}"
    return f"{short(now - row.at)} ago"


def next_change(rows: Iterable[Row], now: float) -> Optional[float]:
    """Return the seconds until a row says something else of its time; None if none ever does."""
    soonest: Optional[float] = None
    for row in rows:
        left = _lasts(row, now)
        if left is not None and (soonest is None or left < soonest):
            soonest = left
    return soonest


def _lasts(row: Row, now: float) -> Optional[float]:
    if row.at is None:
        return None
    age = now - row.at
    if row.kind in ("next", "retries"):
        if age >= 0:
            return None
        return 1.0 if age > -3_600 else 60.0
    fine = 3_600 if row.kind == "running" else 60
    step = 1 if age < fine else 60 if age < 86_400 else 3_600
    return max(step - age % step, 0.05) if age >= 0 else 1.0

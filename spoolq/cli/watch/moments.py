"""What a screen says of times, and when that will be another text."""

from __future__ import annotations

import math
from typing import Iterable, Optional

from spoolq import instants, names, spans
from spoolq.cli.watch.scene import Row

_HELD = instants.from_stamp(names.HELD).timestamp()
_AFTER = instants.from_stamp(names.AFTER).timestamp()


def of_row(row: Row, now: float, *, brief: bool = False) -> str:
    """Return what a row says of its time; `brief`: in one unit, where there is little room."""
    if row.at is None:
        return ""
    if row.kind == "running":
        return spans.brief(now - row.at) if brief else spans.whole(now - row.at)
    if row.kind in ("next", "retries"):
        left = row.at - now
        if row.at >= _HELD:
            return "waits" if row.at == _AFTER else "held"
        if left <= 0:
            return "due" if row.kind == "next" else "now"
        return (
            f"in {spans.whole(math.ceil(left))}"
            if left < 3_600 and not brief
            else f"in {spans.brief(left)}"
        )
    return f"{spans.brief(now - row.at)} ago"


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
        if age >= 0 or row.at >= _HELD:
            return None
        return 1.0 if age > -3_600 else 60.0
    fine = 3_600 if row.kind == "running" else 60
    step = 1 if age < fine else 60 if age < 86_400 else 3_600
    return max(step - age % step, 0.05) if age >= 0 else 1.0

"""Lengths, amounts and commands in the words of the pages."""

from __future__ import annotations

import json
from typing import Optional

from markupsafe import Markup

from spoolq import spans
from spoolq.dashboard.reading import Unread
from spoolq.views import JobView


def length(seconds: Optional[float]) -> str:
    """Return a length of time as the command line does: 3 ms, 0.3 s, 12 s, 2 m 04 s, 3 h 05 m."""
    return "" if seconds is None else spans.length(seconds)


def count(number: int) -> Markup:
    """Return a number with its thousands apart, by a narrow space that does not break."""
    return Markup(f"{number:,}".replace(",", "&#8239;"))  # as text it would be shown as an escape


def many(number: int, one: str, several: str) -> Markup:
    """Return a number with what it counts."""
    return count(number) + " " + (one if number == 1 else several)


def size(number: int) -> Markup:
    """Return a number of bytes as people say it."""
    if number < 10_000:
        return many(number, "byte", "bytes")
    return count(number >> 10) + " KiB" if number < 10 * 2**20 else count(number >> 20) + " MiB"


def setting(value: object) -> str:
    """Return a setting as a person types it."""
    if isinstance(value, (tuple, list)):
        return " ".join(map(str, value))
    if isinstance(value, str):
        return value
    return "none" if value is None else json.dumps(value)


def command(view: JobView) -> str:
    """Return a job's command as it could be typed; "" where the file is no job."""
    return view.job.typed if view.job is not None else ""


def instead(view: JobView) -> str:
    """Return what stands where the command of a file would that holds no job, or was not read."""
    return str(view.problem) if isinstance(view.problem, Unread) else "no job"


def why(view: JobView) -> str:
    """Return why a job is dead or waits for a retry."""
    if isinstance(view.problem, Unread):
        return ""
    if view.problem is not None:
        return f"no job: {view.problem}"
    if view.name is None:
        return "no job when it was looked at; spoolq dlq list says more"
    return view.error or "put here by hand"

"""What a running command tells its worker by files: how far it is, when to retry, its result.

    workers/W/<slot>.<claim time>.progress      42 halfway there
    workers/W/<slot>.<claim time>.retry         90, or 2026-11-24T18:00:00+01:00
    workers/W/<slot>.<claim time>.result        {"result": [1, 2]}, of a call of Python alone

The command finds the paths in its environment, and makes the files if it has something to say.
Whatever else is in them, or in their place, says nothing: no command is trusted with more.
"""

from __future__ import annotations

import os
import re
from datetime import datetime
from typing import Any, Dict, Mapping, NamedTuple, Optional

from spoolq import callables, instants, lease, strictjson
from spoolq.errors import InvalidJob
from spoolq.fsio import Dir
from spoolq.names import Name
from spoolq.spool import SpoolDir
from spoolq.text import printable

RETRY_AFTER, PROGRESS, RESULT = "SPOOLQ_RETRY_AFTER", "SPOOLQ_PROGRESS", "SPOOLQ_RESULT"
_RETRY, _FAR, _RESULT = "retry", "progress", "result"
MOST_RESULT = 64 * 1024  #: bytes of what a call returns, as JSON
_LONGEST = 256
_LONGEST_WAIT = 366 * 86_400.0
_NAME = re.compile(r"\w{1,16}\.(\d{8}T\d{12}Z)\.(?:retry|progress|result)", re.ASCII)
_PROGRESS = re.compile(r"\s*(\d{1,3}(?:\.\d{1,9})?)\s*%?(?:\s+(\S.*?))?\s*", re.ASCII | re.DOTALL)


class Progress(NamedTuple):
    """How far a run is: from 0 to 100, and what it says of that."""

    percent: float
    text: str

    def as_dict(self) -> Dict[str, Any]:
        """Return it as JSON has it."""
        return {"percent": self.percent, "text": self.text}

    def __str__(self) -> str:
        return f"{self.percent:.3g} %" + (f" {self.text}" if self.text else "")


def variables(claim: Name, spool_path: str) -> Mapping[str, str]:
    """Return where a run's command may say what it wishes."""
    base = os.path.join(spool_path, "workers", claim.worker or "", f"{claim.slot}.{claim.stamp}")
    return {RETRY_AFTER: f"{base}.{_RETRY}", PROGRESS: f"{base}.{_FAR}"}


def result_path(claim: Name, spool_path: str) -> str:
    """Return where a call leaves what it has returned."""
    return os.path.join(
        spool_path, "workers", claim.worker or "", f"{claim.slot}.{claim.stamp}.{_RESULT}"
    )


def take_result(directory: Dir, claim: Name) -> Dict[str, Any]:
    """Return what a call has returned as {"result": value}, {} where it left none; once."""
    name = f"{claim.slot}.{claim.stamp}.{_RESULT}"
    try:
        data, _ = directory.read(name, MOST_RESULT)
        directory.tidy(name)
        _, told = strictjson.parse_object(data)
        value = told["result"]
        callables.require_plain(value, (_RESULT,))
    except (OSError, InvalidJob, KeyError):
        return {}
    return {_RESULT: value}


def is_left(entry: str, running: Mapping[Name, Any]) -> bool:
    """Say whether a file in a worker's directory is a wish of a run that is over."""
    match = _NAME.fullmatch(entry)
    return match is not None and all(claim.stamp != match.group(1) for claim in running)


def retry_at(directory: Dir, claim: Name, now: datetime) -> Optional[datetime]:
    """Return when a run wants to be tried again, a year from now at most; None: nothing said."""
    text = _text(directory, claim, _RETRY).strip()
    try:
        at = instants.later(now, float(text)) if _is_number(text) else instants.from_rfc3339(text)
    except ValueError:
        return None
    return min(max(at, now), instants.later(now, _LONGEST_WAIT))


def progress(spool: SpoolDir, claim: Name) -> Optional[Progress]:
    """Return how far a run is, by its own account; None where it has given none."""
    if claim.worker is None:
        return None
    try:
        directory = lease.room(spool, claim.worker)
    except OSError:
        return None
    try:
        match = _PROGRESS.fullmatch(_text(directory, claim, _FAR))
    finally:
        directory.close()
    if match is None or float(match.group(1)) > 100:
        return None
    return Progress(float(match.group(1)), printable(match.group(2) or "")[:_LONGEST])


def _is_number(text: str) -> bool:
    return re.fullmatch(r"\d{1,12}(?:\.\d{1,9})?", text, re.ASCII) is not None


def _text(directory: Dir, claim: Name, kind: str) -> str:
    """Return what a command has written, "" where that is nothing, no file, or too much."""
    try:
        data, _ = directory.read(f"{claim.slot}.{claim.stamp}.{kind}", _LONGEST)
    except (OSError, InvalidJob):
        return ""
    return data.decode("utf-8", "replace")

"""One job: its runs, and what they printed.

The log of a run has a name that its history, or the claim of the present run, tells, so the
directory of all logs is not read. A log is opened as `spoolq logs` opens it: in the directory that
is held, a regular file, no link.
"""

from __future__ import annotations

import os
import re
import stat
from datetime import datetime
from typing import List, NamedTuple, Optional

from spoolq import instants, logs
from spoolq.fsio import Dir
from spoolq.harmless import Harmless
from spoolq.job import Entry, ended, ran, succeeded, was_forwarded
from spoolq.logs import LogName
from spoolq.views import JobView

#: How many runs a page tells of, and how many bytes of output an answer holds.
MOST_RUNS = 100
PIECE = 64 * 1024
_TAIL = 32 * 1024

#: The beginning of a character, of a sequence for terminals, or of a line's end, at the end of
#: what is there: it is held back for the next piece, unless it is all there is.
_UNFINISHED = re.compile(
    rb"(?:[\xc2-\xdf]|[\xe0-\xef][\x80-\xbf]?|[\xf0-\xf4][\x80-\xbf]{0,2}"
    rb"|\x1b(?:\[[0-9;:]{0,60})?|\r)\Z"
)


class Told(NamedTuple):
    """One run as the page tells of it; `end` is "" while it runs, `log` what its log is named."""

    attempt: object
    worker: str
    started_at: Optional[datetime]
    seconds: Optional[float]
    end: str
    good: bool
    log: Optional[LogName]


class Piece(NamedTuple):
    """Some output as harmless text: where in the log it starts and ends, and the log's size."""

    text: str
    start: int
    end: int
    size: int


def runs(view: JobView) -> List[Told]:
    """Return the runs of a job, the newest first, the present one included."""
    found = [_present(view)] if view.state == "processing" and view.name is not None else []
    history = view.job.history[-MOST_RUNS:] if view.job is not None else []
    return found + [_ended(view, entry) for entry in reversed(history)]


def _present(view: JobView) -> Told:
    assert view.name is not None
    claim = view.name
    return Told(claim.attempt, claim.worker or "", claim.at, None, "", True, logs.log_name(claim))


def _ended(view: JobView, entry: Entry) -> Told:
    worker = entry.get("worker", "")
    if not ran(entry):
        is_gone = was_forwarded(entry)
        words = ended(entry) if is_gone else f"{ended(entry)} while it waited"
        return Told("", worker, None, None, words, is_gone, None)
    started = finished = None
    if "started_at" in entry:
        started = instants.from_rfc3339(entry["started_at"])
    if "finished_at" in entry:
        finished = instants.from_rfc3339(entry["finished_at"])
    attempt, log = entry.get("attempt", "?"), None
    if started is not None:
        name = LogName(view.id, attempt, instants.to_stamp(started))
        log = logs.parse(str(name))  # the history of a dropped file says what it likes
    seconds = None
    if started is not None and finished is not None:
        seconds = max((finished - started).total_seconds(), 0.0)
    return Told(attempt, worker, started, seconds, ended(entry), succeeded(entry), log)


def has_log(logs_dir: Dir, name: LogName) -> Optional[bool]:
    """Say whether there is a log of this name; None where what is there is not to be opened."""
    try:
        info = logs_dir.stat(str(name))
    except FileNotFoundError:
        return False
    shared = logs_dir.file_mode & 0o060 and info.st_nlink > 1  # as `logs.open_log` judges it
    return True if stat.S_ISREG(info.st_mode) and not shared else None


def tail(logs_dir: Dir, name: LogName) -> Piece:
    """Return the end of a log, from the beginning of a line if there is one."""
    return _read(logs_dir, name, -_TAIL)


def piece(logs_dir: Dir, name: LogName, start: int) -> Piece:
    """Return what follows a byte of a log; from its beginning if it is shorter than that."""
    return _read(logs_dir, name, start)


def _read(logs_dir: Dir, name: LogName, start: int) -> Piece:
    descriptor = logs.open_log(logs_dir, name)
    if descriptor is None:
        return Piece("", 0, 0, 0)
    try:
        size = os.fstat(descriptor).st_size
        from_end = start < 0
        if from_end:
            start = max(size + start, 0)
        elif start > size:
            start = 0
        os.lseek(descriptor, start, os.SEEK_SET)
        data = os.read(descriptor, PIECE)
    finally:
        os.close(descriptor)
    if from_end and start:  # not in the middle of a line, nor of a character
        skipped = data.find(b"\n") + 1
        start, data = start + skipped, data[skipped:]
    unfinished = _UNFINISHED.search(data)
    if unfinished is not None and unfinished.start():
        data = data[: unfinished.start()]
    return Piece(Harmless(colors=False).feed(data, final=True), start, start + len(data), size)

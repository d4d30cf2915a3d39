"""What the commands printed, and what spoolq itself says of its work.

A run's log is `logs/<id>.a<attempt>.<claim time>.log`: both streams in order, written by the
command itself, unsynced. A run that printed nothing leaves none. This module alone configures
logging.
"""

from __future__ import annotations

import json
import logging
import os
import re
import sys
import time
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, TextIO

from spoolq import instants
from spoolq.errors import InvalidJob
from spoolq.fsio import Dir
from spoolq.names import Name
from spoolq.text import printable

logger = logging.getLogger("spoolq")
logger.addHandler(logging.NullHandler())  # a library says nothing unasked, nor unescaped
# watchdog complains of its own threads when it is stopped, on stderr where nobody listens.
logging.getLogger("watchdog").addHandler(logging.NullHandler())

_LOG = re.compile(r"([A-Za-z0-9_][A-Za-z0-9_-]{0,63})\.a(\d{1,6})\.(\d{8}T\d{12}Z)\.log", re.ASCII)


class LogName(NamedTuple):
    """Whose output a log file holds; times sort as text."""

    id: str
    attempt: int
    stamp: str

    def __str__(self) -> str:
        return f"{self.id}.a{self.attempt}.{self.stamp}.log"


def log_name(claim: Name) -> LogName:
    """Return the name of the log of a claim's run; a takeover does not change it."""
    return LogName(claim.id, claim.attempt, claim.stamp)


def parse(filename: str) -> Optional[LogName]:
    """Return what a log's file name says, or None for another file."""
    match = _LOG.fullmatch(filename)
    return LogName(match.group(1), int(match.group(2)), match.group(3)) if match else None


def of_job(logs: Dir, job_id: str) -> List[LogName]:
    """Return the logs of a job, the oldest first."""
    prefix = f"{job_id}.a"
    found = (parse(entry) for entry in logs.scan() if entry.startswith(prefix))
    return sorted(
        (name for name in found if name and name.id == job_id), key=lambda name: name.stamp
    )


def size(descriptor: int) -> Optional[int]:
    """Return the size of an open log; None where the disk does not tell (xfs that has shut down).

    A log holds up no outcome: the end of a run that is not told is a finished job that runs anew.
    """
    try:
        return os.fstat(descriptor).st_size
    except OSError:
        return None


def close_log(logs: Dir, name: LogName, descriptor: int) -> None:
    """Close the log of a run that has ended, and remove it if nothing was printed."""
    silent = size(descriptor) == 0
    try:
        os.close(descriptor)
    except OSError:
        pass  # over a quota, on NFS: the descriptor is closed all the same
    if silent:
        logs.tidy(str(name))  # on a disk that fails it stays, and holds up no outcome


def tail(logs: Dir, name: LogName, count: int) -> str:
    """Return the last `count` bytes of a log as text, "" where there is none."""
    try:
        descriptor = logs.open_file(str(name))
    except (OSError, InvalidJob):  # none, or the command put something else there
        return ""
    try:
        info = os.fstat(descriptor)
        # RACE: a member of the spool's group may have linked a file of the owner's there, which
        # the record would show to the group (test_no_file_outside_is_shown_through_a_hard_link).
        if logs.file_mode & 0o060 and info.st_nlink > 1:
            return ""
        length = info.st_size
        os.lseek(descriptor, max(length - count, 0), os.SEEK_SET)
        data = os.read(descriptor, count)
    except OSError:  # a disk that fails: the outcome is told without it
        return ""
    finally:
        os.close(descriptor)
    return data.decode("utf-8", "replace").replace("\0", "\ufffd")


def about(claim: Name, action: str) -> Dict[str, Any]:
    """Return what a log line is about, as its `extra`: which run, and what became of it."""
    return {"event": {"action": action, "job": claim.id, "attempt": claim.attempt}}


def configure(
    stream: Optional[TextIO] = None, *, verbose: bool = False, as_json: bool = False
) -> None:
    """Send spoolq's own log lines to a stream: time, level, text; control characters escaped.

    With `as_json` each line is an object, which says of a run what `about` says.
    """
    handler = _Lines(stream or sys.stderr)
    handler.setFormatter(_OneObject() if as_json else _OneLine())
    logger.handlers[:] = [handler]
    logger.setLevel(logging.DEBUG if verbose else logging.INFO)
    logger.propagate = False
    # What no line shows need not be found out for each of them: a third of the cost of a line.
    logging.logThreads = logging.logProcesses = logging.logMultiprocessing = False
    logging._srcfile = None  # by its own guide, "Optimization"


if TYPE_CHECKING:
    _Stream = logging.StreamHandler[TextIO]
else:  # Python 3.8 knows no parameter of it
    _Stream = logging.StreamHandler


class _Lines(_Stream):
    """A line that cannot be written (a full disk, a reader that has gone) is lost, and no bug."""

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


class _OneLine(logging.Formatter):
    """Names and commands are hostile: nothing of them may move the terminal's cursor."""

    _second = -1
    _time = ""

    def format(self, record: logging.LogRecord) -> str:
        second = int(record.created)
        if second != self._second:
            self._second = second
            self._time = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
        what = super().format(record) if record.exc_info else record.getMessage()
        text = f"{self._time},{record.msecs:03.0f} {record.levelname:<7} {what}"
        lines = text.split("\n") if record.exc_info else [text]
        return "\n".join(map(printable, lines))


class _OneObject(logging.Formatter):
    """A line for programs; ASCII, so no terminal acts on what is in it."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": instants.to_rfc3339(instants.from_epoch(record.created)),
            "level": record.levelname.lower(),
            **getattr(record, "event", {}),
            "message": record.getMessage(),
        }
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line)

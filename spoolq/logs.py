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
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Mapping, NamedTuple, Optional, TextIO

from spoolq import instants
from spoolq.errors import InvalidJob
from spoolq.fsio import Dir
from spoolq.names import Name
from spoolq.text import printable

logger = logging.getLogger("spoolq")
logger.addHandler(logging.NullHandler())  # a library says nothing unasked, nor unescaped
# watchdog complains of its own threads when it is stopped, on stderr where nobody listens.
logging.getLogger("watchdog").addHandler(logging.NullHandler())

Event = Mapping[str, Any]
_COMPLAIN_EVERY = 60.0

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


def open_log(logs: Dir, name: LogName) -> Optional[int]:
    """Open a log to read, or return None where there is none: nothing was printed, or not yet.

    Nor is there one where a link or a FIFO stands in its place, or, in a spool that a group
    shares, a file of the owner's that a member has linked there.
    """
    try:
        descriptor = logs.open_file(str(name))
    except (FileNotFoundError, InvalidJob):
        return None
    if logs.file_mode & 0o060 and os.fstat(descriptor).st_nlink > 1:
        os.close(descriptor)
        return None
    return descriptor


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


def tell(claim: Name, action: str, message: str) -> None:
    """Say what has become of a run, at INFO: two such lines are written for every job.

    Through the logging library they cost three times as much (docs/benchmarks.md).
    """
    extra = about(claim, action)
    handler = logger.handlers[0]
    if isinstance(handler, _Lines) and logger.isEnabledFor(logging.INFO):
        handler.tell(message, extra["event"])
    else:  # somebody else's program, who may want records
        logger.info("%s", message, extra=extra)


class Complaints:
    """Says what is refused, and tried again each second, once a minute in each of its words.

    A disk that fails refuses each step in words of its own, in turn.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._said: Dict[str, float] = {}  # in the last minute, and when

    def __call__(self, what: str) -> None:
        now = self._monotonic()
        self._said = {said: at for said, at in self._said.items() if now - at < _COMPLAIN_EVERY}
        if what not in self._said:
            self._said[what] = now
            logger.error("%s; trying again each second", what)


def configure(
    stream: Optional[TextIO] = None,
    *,
    verbose: bool = False,
    as_json: bool = False,
    journal: Optional[str] = None,
) -> None:
    """Send spoolq's own log lines to a stream: time, level, text; control characters escaped.

    With `as_json` each line is an object, which says of a run what `about` says. Where the stream
    is the `journal` that $JOURNAL_STREAM names, a line begins with its priority, by which
    `journalctl -p` chooses, and has no time, which is there already.
    """
    stream = stream or sys.stderr
    line: _Line
    if journal and _place(stream) == journal:
        line = _for_journal(_one_object if as_json else _plain)
    else:
        line = _one_object if as_json else _OneLine()
    handler = _Lines(stream, line)
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

    def __init__(self, stream: TextIO, line: _Line) -> None:
        super().__init__(stream)
        self._line = line

    def format(self, record: logging.LogRecord) -> str:
        event = getattr(record, "event", {})
        if record.exc_info:
            event = {**event, "traceback": logging.Formatter().formatException(record.exc_info)}
        return self._line(record.created, record.levelno, record.getMessage(), event)

    def tell(self, message: str, event: Event) -> None:
        """Write a line at INFO, without what else a record of the library is asked for."""
        stream: Optional[TextIO] = self.stream  # none in a process that was started without
        line = self._line(time.time(), logging.INFO, message, event)
        with self.lock or nullcontext():
            try:
                if stream is not None:
                    stream.write(line + "\n")
                    stream.flush()
            except (OSError, ValueError):
                pass  # full, or closed: lost, as `handleError` has it

    def handleError(self, record: logging.LogRecord) -> None:
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


_PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6), (0, 7))
_Line = Callable[[float, int, str, Event], str]


def _place(stream: Optional[TextIO]) -> str:
    """Return device and inode of a stream, as $JOURNAL_STREAM has them; systemd.exec(5)."""
    try:
        info = os.fstat(stream.fileno()) if stream is not None else None
    except (OSError, ValueError):  # closed, or none of the system's
        info = None
    return f"{info.st_dev}:{info.st_ino}" if info else ""


def _for_journal(line: _Line) -> _Line:
    """Return what writes lines so that systemd knows their priority; sd-daemon(3)."""

    def prefixed(created: float, level: int, message: str, event: Event) -> str:
        number = next(number for least, number in _PRIORITIES if level >= least)
        return "\n".join(
            f"<{number}>{part}" for part in line(created, level, message, event).split("\n")
        )

    return prefixed


def _plain(created: float, level: int, message: str, event: Event) -> str:
    return _shown(message, event)


def _shown(text: str, event: Event) -> str:
    lines = [text, *event.get("traceback", "").split("\n")] if "traceback" in event else [text]
    return "\n".join(map(printable, lines))


class _OneLine:
    """Names and commands are hostile: nothing of them may move the terminal's cursor."""

    _second = -1
    _time = ""

    def __call__(self, created: float, level: int, message: str, event: Event) -> str:
        second = int(created)
        if second != self._second:
            self._second = second
            self._time = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(second))
        thousandths = int((created - second) * 1000)
        text = f"{self._time},{thousandths:03} {logging.getLevelName(level):<7} {message}"
        return _shown(text, event)


def _one_object(created: float, level: int, message: str, event: Event) -> str:
    """Return a line for programs; ASCII, so no terminal acts on what is in it."""
    return json.dumps(
        {
            "time": instants.to_rfc3339(instants.from_epoch(created)),
            "level": logging.getLevelName(level).lower(),
            **event,
            "message": message,
        }
    )

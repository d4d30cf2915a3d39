"""Every exception that spoolq raises, told apart by what the caller can do.

    SpoolqError                something expected went wrong; the text is for people
    |-- BadInput               what was given is wrong: mend it and ask again
    |   |-- InvalidJob         ... in a job: field, line and column are known
    |   |-- InvalidSetting     ... in a configuration key or value
    |   `-- InvalidTime        ... in a time as people write it
    |-- NotFound               there is no such job, worker or spool
    |   `-- NoSpool            ... no spool in this place
    |-- Ambiguous              a short id fits several jobs
    |-- IdTaken                the id is in use
    |-- KeyTaken               a job with this key waits or runs
    |-- WrongState             the job is not in a state that allows this
    |-- JobFailed              the job whose result was asked for is dead
    |-- WrongFormat            the spool is of a format that this spoolq does not know
    |-- UnsafeSpool            others may write where commands come from
    |-- Busy                   try again: somebody else is at it, or a limit is reached
    |   |-- StorageFull        ... no space, no inodes, over quota
    |   `-- Unreachable        ... another spool, or the way to it
    |-- StorageFailed          the filesystem refused; what was asked did not happen
    |-- OutcomeUnknown         the last sync failed: it may or may not survive a power cut
    `-- WorkerLost             this worker's claims are no longer its own

The text of an error says what happened and where; `hint` says what to do.
"""

from __future__ import annotations

from typing import Optional, Sequence, Tuple, Union

#: Where in a JSON text: keys and indexes from the outside in.
Path = Tuple[Union[str, int], ...]


class SpoolqError(Exception):
    """The base of all; `str()` is a sentence for people, `hint` the next step."""

    def __init__(
        self, message: str, *, hint: Optional[str] = None, where: Optional[str] = None
    ) -> None:
        super().__init__(message)
        self.hint = hint
        self.where = where


class BadInput(SpoolqError):
    """What was given is wrong and stays wrong until it is mended."""


class InvalidJob(BadInput):
    """A job that breaks the rules of the format.

    `path` leads to the fault in the object and `field` spells it (``env.PATH``, ``command[2]``);
    `line` and `column` count from 1. Each is empty or None where the fault has no such place.
    """

    def __init__(
        self,
        message: str,
        *,
        path: Path = (),
        line: Optional[int] = None,
        column: Optional[int] = None,
        hint: Optional[str] = None,
    ) -> None:
        place = [] if line is None else [f"line {line}, column {column}"]
        if path:
            place.append(f"field {spell(path)!r}")
        super().__init__(", ".join(place) + ": " + message if place else message, hint=hint)
        self.reason = message
        self.path = path
        self.field = spell(path) or None
        self.index: Optional[int] = None  # which job of a batch, from 0
        self.line = line
        self.column = column


class InvalidSetting(BadInput):
    """A configuration key that does not exist, or a value that it cannot take."""


class InvalidTime(BadInput):
    """A time that cannot be read, or that lies in the past."""


class NotFound(SpoolqError):
    """No such job, worker, log or spool."""


class NoSpool(NotFound):
    """There is no spool in this place."""


class Ambiguous(SpoolqError):
    """A short id that several jobs begin with."""


class IdTaken(SpoolqError):
    """A job with this id exists, in whatever state."""

    index: Optional[int] = None  # which job of a batch, from 0


class KeyTaken(SpoolqError):
    """A job with this key waits or runs; `job_id` is that job, and `state` where it is."""

    index: Optional[int] = None  # which job of a batch, from 0

    def __init__(self, key: str, job_id: str, state: str, *, where: str) -> None:
        is_there = "runs" if state == "processing" else f"is {state}"
        super().__init__(
            f"job {job_id} has the key {key!r}, and {is_there}",
            where=where,
            hint=f"wait for it:  spoolq wait {job_id};  or end it:  spoolq cancel {job_id}",
        )
        self.job_id = job_id
        self.state = state


class WrongState(SpoolqError):
    """The job is not in a state in which this can be done."""


class JobFailed(SpoolqError):
    """The job whose result was asked for is dead; `output` is what it printed last."""

    def __init__(self, message: str, *, output: str, hint: Optional[str] = None) -> None:
        super().__init__(message, hint=hint)
        self.output = output


class WrongFormat(SpoolqError):
    """The spool is of a format that this spoolq does not know: it keeps its hands off."""


class UnsafeSpool(SpoolqError):
    """Somebody else could put commands here, so no worker runs on it."""


class Busy(SpoolqError):
    """Not now: the same call may succeed later."""


class StorageFull(Busy):
    """No space, no inodes, or over quota."""


class Unreachable(Busy):
    """Another spool does not answer, or takes nothing now; what was asked may have happened."""


class StorageFailed(SpoolqError):
    """The filesystem refused an operation; what was asked did not happen."""


class OutcomeUnknown(SpoolqError):
    """Everything was done but the last directory sync, so only a power cut can tell.

    `ids` names the jobs: look them up rather than enqueue them again.
    """

    def __init__(self, message: str, ids: Sequence[str], *, hint: Optional[str] = None) -> None:
        super().__init__(message, hint=hint)
        self.ids = tuple(ids)


class WorkerLost(SpoolqError):
    """The worker's directory is gone: its claims belong to whoever recovers them."""


def spell(path: Path) -> str:
    """Write a path as people do: env.PATH, command[2]."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else part)
    return text

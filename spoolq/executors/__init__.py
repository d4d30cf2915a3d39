"""Who runs the commands: the protocol between the worker and an executor.

The worker claims, records and moves; an executor runs commands, tells how they ended, and ends them
on request. It knows nothing of states, retries or names. `local` runs them here; others hand them
to an engine that runs them elsewhere, and the spool stays the only truth.

A run elsewhere outlives its worker, so its claim says in the slot's name who runs it
(`slurm_0`), and a note in the slot's file says how it is found again. The claims of a dead worker
are settled by one that has the same executor; no other can tell what became of them.
"""

from __future__ import annotations

import enum
import re
from datetime import datetime
from typing import (
    Any,
    Callable,
    Dict,
    List,
    Mapping,
    NamedTuple,
    Optional,
    Protocol,
    Sequence,
    runtime_checkable,
)

from spoolq.bell import Bell
from spoolq.config import Settings
from spoolq.errors import Busy
from spoolq.job import Job
from spoolq.names import Name
from spoolq.spool import SpoolDir
from spoolq.tokens import Token

LOCAL = "local"
_KIND = re.compile(r"[a-z][a-z0-9]{0,9}")
_SLOT = re.compile(r"([a-z][a-z0-9]{0,9})_\d+", re.ASCII)

#: What the slot's file says of a run: "claim" (its file name now), "run" (its file name when it was
#: submitted), and whatever its executor needs to find it again.
Note = Mapping[str, Any]


class NotNow(Busy):
    """There is no room for another run just now; the job is not to blame."""


class NoRoom(NotNow):
    """What this job needs is not free just now; the others get their turn."""


class Run(NamedTuple):
    """One attempt: the claim, the name under which the job waited, and what is to be done.

    `slot` is the descriptor that holds the lock of the claim's slot; a local command inherits it,
    and the `tokens` that the job needs.
    `may_start` is to be asked right before the command starts, after whatever may hang on the
    spool: if it says no, another host may have the job by now, and NotNow is the answer.
    """

    claim: Name
    waited: Name
    job: Job
    created_at: datetime
    slot: int
    settings: Settings
    may_start: Callable[[], bool] = lambda: True
    tokens: Sequence[Token] = ()


class Ended(NamedTuple):
    """How a run ended: an exit code or a signal, and an error where that does not say it all."""

    run: Run
    finished_at: datetime
    exit_code: Optional[int] = None
    signal: Optional[int] = None
    error: Optional[str] = None


class Fate(enum.Enum):
    """What became of a run whose worker is dead."""

    OVER = "over"  #: nothing of it runs, or ever will, and nobody knows how it ended
    ALIVE = "alive"  #: it waits or runs, or has ended in a way that is known
    UNKNOWN = "unknown"  #: that cannot be said yet


class Executor(Protocol):
    """What the worker asks of an executor; it never blocks for long."""

    def capacity(self) -> int:
        """Return how many runs may be under way at once, just now."""

    def submit(self, run: Run) -> None:
        """Begin a run.

        Raises:
            NotNow: nothing was begun; no job can be.
            NoRoom: nothing was begun; another job may be.
        """

    def outcomes(self) -> List[Ended]:
        """Return the runs that have ended since the last call, each once."""

    def cancel(self, claim: Name, error: str) -> None:
        """Begin to end a run; it is told as ended, with this error, when nothing is left of it.

        One that has ended by itself is told as it ended. A second call changes nothing.
        """

    def patience(self) -> Optional[float]:
        """Return the seconds after which `outcomes` is worth a call whatever rings, or None."""

    def fate(self, claim: Name, note: Note) -> Fate:
        """Say what became of a run of a dead worker with the same executor.

        It is asked again each second while it is UNKNOWN. Who answers OVER has seen to it that
        this attempt will never run.
        """

    def reattach(self, run: Run, note: Note) -> None:
        """Take a run on whose fate is ALIVE: from now on its end is told by `outcomes`."""

    def close(self) -> None:
        """Let everything go; nothing runs any more, or what does is to go on."""


@runtime_checkable
class Resizable(Protocol):
    """An executor whose number of runs can be changed; a worker says so of one that is not."""

    def resize(self, most: int) -> None:
        """Take no more than `most` runs at once from now on; those under way go on."""


class Context(NamedTuple):
    """What an executor is made of; `most` is how many runs at a time the user asked for.

    `nice` is the nice value for commands; only those get one whose runs are of this machine.
    """

    spool: SpoolDir
    worker: str
    most: Optional[int]
    bell: Bell
    environment: Mapping[str, str]
    clock: Callable[[], datetime]
    monotonic: Callable[[], float]
    nice: Optional[int] = None


class Factory(Protocol):
    """What an entry point of the group `spoolq.executors` names: a module will do."""

    #: The options of `worker start -o`, each with its meaning for people.
    OPTIONS: Mapping[str, str]

    #: Whether all its runs are processes of this machine with the marks of local ones, so that
    #: recovery finds what is left of them; False where it is not said.
    HERE: bool

    def identity(self, options: Mapping[str, str]) -> Dict[str, str]:
        """Return what tells this executor from others of its kind: where its engine is."""

    def make(self, context: Context, options: Mapping[str, str]) -> Executor:
        """Make the executor.

        Raises:
            BadInput: an option is wrong.
            SpoolqError: the engine is not there; the text says what to do.
        """


def is_kind(text: str) -> bool:
    """Say whether this may be the name of an executor, which becomes part of slots' names."""
    return _KIND.fullmatch(text) is not None


def slot_name(kind: str, number: int) -> str:
    """Return the name of a slot: bare for local runs, with the executor's name for others."""
    return str(number) if kind == LOCAL else f"{kind}_{number}"


def kind_of(slot: Optional[str]) -> Optional[str]:
    """Return the name of the executor that a slot's run was given to; None for a local one."""
    match = _SLOT.fullmatch(slot or "")
    return match.group(1) if match else None

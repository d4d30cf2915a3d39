"""Who runs the commands: the protocol between the worker and an executor.

The worker claims, records and moves; an executor starts a command, tells when it has ended, and
ends it on request. It knows nothing of states, retries or names.
"""

from __future__ import annotations

from datetime import datetime
from typing import List, NamedTuple, Optional, Protocol, Tuple

from spoolq.config import Settings
from spoolq.errors import Busy
from spoolq.job import Job
from spoolq.names import Name


class NotNow(Busy):
    """The system has no room for another process just now; the job is not to blame."""


class Run(NamedTuple):
    """One attempt: the claim, the name under which the job waited, and what is to be done.

    `slot` is the descriptor that holds the lock of the claim's slot; the command inherits it.
    """

    claim: Name
    waited: Name
    job: Job
    created_at: datetime
    slot: int
    settings: Settings


class Ended(NamedTuple):
    """How a run ended: an exit code or a signal, and an error where that does not say it all."""

    run: Run
    finished_at: datetime
    exit_code: Optional[int] = None
    signal: Optional[int] = None
    error: Optional[str] = None


class Executor(Protocol):
    """What the worker asks of an executor; it never blocks."""

    def start(self, run: Run) -> None:
        """Start a run.

        Raises:
            NotNow: nothing was started; the job can wait.
        """

    def running(self) -> Tuple[Run, ...]:
        """Return the runs that have started and not been told as ended."""

    def busy(self) -> int:
        """Return how many those are."""

    def ended(self) -> List[Ended]:
        """Return the runs that have ended since the last call, each once."""

    def end(self, claim: Name, error: str) -> None:
        """Begin to end a run; it is told as ended, with this error, when nothing is left of it."""

    def patience(self) -> Optional[float]:
        """Return the seconds after which `ended` is worth a call whatever rings, or None."""

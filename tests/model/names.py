"""File names and file contents of the modelled spool, cut down to what the protocol looks at.

A name is ``TIME.aATTEMPT.ID`` and, in ``processing/``, ``TIME.aATTEMPT.ID@WORKER.SLOT``.
Priorities are left out: they choose an order, and the model tries every order.
"""

from functools import lru_cache
from typing import NamedTuple, Optional, Tuple

STATES = ("pending", "processing", "failed", "completed", "dead")

# A time that has not come: a job whose name starts with it must not be run.
TOMORROW = "tomorrow"

# Slots of claims that run nothing, so that a name alone says what is to become of it. The code puts
# random letters behind "lost" and "cancel"; the model needs none to tell its few claims apart.
CHANGE = "change"  # a command line changes a waiting job: no attempt counted, its old time kept
LOST = "lost"  # recovered: to be recorded as lost
CANCELLED = "cancel"  # recovered, and a cancel had been asked for: to be recorded as cancelled


class Name(NamedTuple):
    """A job's file name in parts; ``worker`` and ``slot`` are None outside ``processing/``."""

    time: str
    attempt: int
    job: str
    worker: Optional[str] = None
    slot: Optional[str] = None

    def __str__(self) -> str:
        owner = f"@{self.worker}.{self.slot}" if self.worker else ""
        return f"{self.time}.a{self.attempt}.{self.job}{owner}"


@lru_cache(maxsize=None)
def parse(name: str) -> Optional[Name]:
    """Return the parts of a file name, or None where it is not in the form."""
    head, _, owner = name.partition("@")
    parts = head.split(".")
    if len(parts) != 3:
        return None
    time, attempt, job = parts
    worker, _, slot = owner.partition(".")
    return Name(time, int(attempt[1:]), job, worker or None, slot or None)


def split(path: str) -> Tuple[str, str]:
    """Return a path's directory and its last part."""
    directory, _, name = path.rpartition("/")
    return directory, name


class Entry(NamedTuple):
    """One entry of a job's history: which claim, and how it ended."""

    attempt: int
    started_at: str
    outcome: str  # ok, fail, killed, lost, cancelled or interrupted
    not_before: str = ""  # of an interrupted run: the time under which the job waits again


class Job(NamedTuple):
    """A job file that parses. ``key`` tells jobs apart whatever they are called."""

    key: str
    history: Tuple[Entry, ...] = ()
    explicit_id: str = ""

    def with_entry(self, entry: Entry) -> "Job":
        """Return this job with one more history entry."""
        return self._replace(history=self.history + (entry,))

    def goes_on(self, before: "Job") -> bool:
        """Say whether this history has all that it had before."""
        return self.history[: len(before.history)] == before.history


class HalfWritten(NamedTuple):
    """A job file whose producer is still writing: it does not parse yet."""

    key: str


class LockFile(NamedTuple):
    """The content of a lock file: it names the inode, so that a rename does not lose the lock."""

    made_as: str
    generation: int = 0


class Rubbish(NamedTuple):
    """A file that is no job and never will be: not a regular file, or one that has stood still."""

    key: str


REQUEST = "request"  # the content of a cancel request


def is_recorded(job: Job, claim: Name, by_attempt: bool = False) -> bool:
    """Say whether the last history entry is the outcome of this very claim.

    Args:
        by_attempt: the plainer rule, which forgets that an attempt can come again.
    """
    if not job.history:
        return False
    last = job.history[-1]
    if by_attempt:
        return last.attempt == claim.attempt
    return (last.attempt, last.started_at) == (claim.attempt, claim.time)

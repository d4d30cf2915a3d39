"""What is decided about new jobs before they are in pending/: whether an id and a key are free, and
whether what they wait for exists.

All of it is decided, and what follows is made, under one lock, on `tmp/.ids`, so that of two who
ask at once one is told no. A job that brings no id, has no key and waits for nobody is none of this
module's business, and takes no lock.
"""

from __future__ import annotations

import os
from contextlib import contextmanager
from typing import Callable, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence

from spoolq import dependencies, keys, locks, names
from spoolq.dependencies import Wait
from spoolq.errors import Busy, IdTaken, InvalidJob, KeyTaken, StorageFailed
from spoolq.fields import DECIDED
from spoolq.job import Job
from spoolq.layout import translated
from spoolq.names import Name
from spoolq.spool import SpoolDir


class Asked(NamedTuple):
    """A job that asks to be let in, under a name that is not its last word on when."""

    name: Name
    job: Job


def taken_of_file(hint: Optional[str] = None) -> InvalidJob:
    """Return what a taken id is to who has put it into a file: a fault of that file."""
    return InvalidJob("this id is taken", path=("id",), hint=hint)


def concerns(job: Job) -> bool:
    """Say whether anything has to be decided about a job."""
    return not job.fields.keys().isdisjoint(DECIDED)


@contextmanager
def held(spool: SpoolDir, *, patience: float = 10.0) -> Iterator[None]:
    """Hold the lock under which all this is decided.

    Raises:
        Busy: somebody else held it all that time.
    """
    with locks.held(spool.dir("tmp"), ".ids", patience=patience):
        yield


class Gate:
    """The decisions about some jobs, all under one holding of the lock.

    First each job is judged; then what those need that were let in is made, and they are published.
    """

    def __init__(self, spool: SpoolDir, asked: Sequence[Asked]) -> None:
        """Look for all that these jobs name, with one look at the spool."""
        self._spool = spool
        self._keys: Dict[str, str] = {}  # of those that were let in, with their ids
        self._waits: Dict[str, List[Wait]] = {}  # by the ids of those that were let in
        wanted = {one.name.id for one in asked if "id" in one.job.fields}
        for one in asked:
            wanted.update(wait.other for wait in dependencies.of(one.job, one.name.id))
        keyed = {one.job.fields["key"] for one in asked if "key" in one.job.fields}
        self._holders = {key: keys.holder(spool, key) for key in keyed}
        wanted.update(filter(None, self._holders.values()))
        self._places = spool.locate(wanted)

    def judge(self, one: Asked, *, anew: bool = False) -> None:
        """Let a job in, or refuse it, for its id and its key; `anew`: it exists, and is to run.

        Raises:
            IdTaken, KeyTaken: it is not let in.
        """
        if not anew and "id" in one.job.fields:
            self._refuse_taken(one.name.id)
        key = one.job.fields.get("key")
        if key is not None:
            self._refuse_held(key, one.name.id)
            self._keys[key] = one.name.id
        self._waits[one.name.id] = []

    def judge_waits(self, one: Asked, *, anew: bool = False) -> None:
        """Let a job wait for what it names, once all have been judged that came with it.

        Args:
            anew: what has gone since it waited first is waited for no more.

        Raises:
            InvalidJob: what it waits for is not there, or dead; it is not let in any more.
        """
        waits = dependencies.of(one.job, one.name.id)
        if anew:
            waits = [wait for wait in waits if wait.other in self._places]
        states = {job_id: state for job_id, (state, _) in self._places.items()}
        try:
            self._waits[one.name.id] = dependencies.unmet(waits, states, self._waits)
        except InvalidJob:
            self.withdraw(one)
            raise

    def withdraw(self, one: Asked) -> None:
        """Refuse a job that was let in."""
        del self._waits[one.name.id]
        self._keys.pop(one.job.fields.get("key", ""), None)

    def replace(self, one: Asked, taken: KeyTaken) -> None:
        """Let a job in as it is to be once the one that has its key is cancelled.

        Raises:
            InvalidJob: its key is that of another job of the batch, or it waits for the success of
                the one that is to be cancelled for it.
        """
        self.refuse_twice(taken)
        if Wait(one.name.id, True, taken.job_id) in dependencies.of(one.job, one.name.id):
            raise InvalidJob(f"it waits for {taken.job_id}, which it replaces", path=("after",))
        self._keys[one.job.fields["key"]] = one.name.id
        self._waits[one.name.id] = []

    def refuse_circles(self) -> None:
        """Refuse jobs that were let in and wait for each other.

        Raises:
            Circle: two or more do.
        """
        dependencies.refuse_circles([wait for some in self._waits.values() for wait in some])

    def make(self, durability: str) -> None:
        """Make the keys and the waits of those that were let in, durably.

        CRASH: their jobs may never come; then they are nobody's
        (test_what_a_killed_enqueue_left_is_swept).

        Raises:
            Circle: they wait for each other.
        """
        self.refuse_circles()
        waits = [wait for some in self._waits.values() for wait in some]
        if self._keys:
            keys.take(self._spool, self._keys, durability)
        if waits:
            dependencies.begin(self._spool, waits, durability)

    def undo(self) -> None:
        """Remove what was made, for jobs of which none was published; what stays is nobody's."""
        try:
            for wait in (wait for some in self._waits.values() for wait in some):
                dependencies.end(self._spool, wait)
            for key, job_id in self._keys.items():
                keys.let_go(self._spool, key, job_id)
        except (OSError, StorageFailed):
            pass  # what went wrong first is what is told

    def name(self, name: Name) -> Name:
        """Return what a job is published as: with a time that never comes, if it waits."""
        return name._replace(stamp=names.AFTER) if self._waits.get(name.id) else name

    def state_of(self, job_id: str) -> str:
        """Return the state of a job that one of these names, as it was when that was looked for."""
        return self._places.get(job_id, ("", ""))[0]

    def refuse_twice(self, error: KeyTaken) -> None:
        """Refuse a key that another job of the batch brings: neither is there to be replaced."""
        if error.job_id in self._waits:
            raise InvalidJob("two jobs of this batch have this key", path=("key",)) from error

    def _refuse_taken(self, job_id: str) -> None:
        taken = self._places.get(job_id)
        if taken is not None or job_id in self._waits:
            state, filename = taken or ("pending", "")
            raise IdTaken(
                f"there is a job {job_id!r} already; it is {state}",
                where=os.path.join(self._spool.path, state, filename),
                hint="choose another id, or leave it out",
            )

    def _refuse_held(self, key: str, job_id: str) -> None:
        new, old = self._keys.get(key), self._holders[key]
        if new is not None:
            raise KeyTaken(key, new, "pending", where=os.path.join(self._spool.path, "pending"))
        state, filename = self._places.get(old or "", ("", ""))
        if old is not None and old != job_id and state in keys.WAITING_OR_RUNNING:
            raise KeyTaken(key, old, state, where=os.path.join(self._spool.path, state, filename))


def publish(
    spool: SpoolDir,
    files: Mapping[Name, bytes],
    decided: Mapping[Name, Job],
    durability: str,
    *,
    if_queued: str = "skip",
    cancel: Callable[[str], None] = lambda job_id: None,
) -> Dict[str, str]:
    """Publish new jobs, of some of which something has to be decided, or none of them.

    Args:
        files: all of them, and what their files are to hold.
        decided: those of which something has to be decided.
        if_queued: what is done where a job with the key waits or runs already: `skip` the new one,
            `replace` the old one, unless it runs, or refuse it all: `error`.
        cancel: cancels a job if it waits.

    Returns:
        For each job that was skipped the id of the one that is there.

    Raises:
        InvalidJob, IdTaken, KeyTaken: and nothing was enqueued; `index` says of which, from 0.
        StorageFull, StorageFailed, OutcomeUnknown: as `SpoolDir.publish`.
    """
    while True:
        with translated(spool.path), held(spool):
            try:
                return publish_held(spool, files, decided, durability, if_queued)
            except KeyTaken as error:
                taken = error
        if if_queued != "replace" or taken.state == "processing":
            raise taken
        cancel(taken.job_id)  # else it runs by now, which the next look tells


def publish_held(
    spool: SpoolDir,
    files: Mapping[Name, bytes],
    decided: Mapping[Name, Job],
    durability: str,
    if_queued: str,
) -> Dict[str, str]:
    """As `publish`, by who holds the lock.

    A KeyTaken that is to be replaced is raised once nothing else is wrong with any of the jobs: for
    one that is refused no other is to be cancelled.
    """
    asked = [Asked(name, decided[name]) for name in files if name in decided]
    gate = Gate(spool, asked)
    skipped: Dict[str, str] = {}
    replaced: List[KeyTaken] = []
    one = asked[0]
    try:
        for one in asked:
            try:
                gate.judge(one)
            except KeyTaken as error:
                if if_queued == "skip":
                    skipped[one.name.id] = error.job_id
                elif if_queued == "replace" and error.state != "processing":
                    gate.replace(one, error)
                    replaced.append(error)
                else:
                    gate.refuse_twice(error)
                    raise
        for one in asked:
            if one.name.id not in skipped:
                gate.judge_waits(one)
        if replaced:
            gate.refuse_circles()
            raise replaced[0]
        gate.make(durability)
    except (InvalidJob, IdTaken, KeyTaken) as error:
        error.index = [*files].index(one.name)
        raise
    try:
        spool.publish(
            {gate.name(name): files[name] for name in files if name.id not in skipped}, durability
        )
    except (Busy, StorageFailed):
        gate.undo()
        raise
    return skipped


def readmit(
    spool: SpoolDir,
    asked: Asked,
    durability: str,
    move: Callable[[Name], Optional[Name]],
    *,
    is_new: bool = False,
) -> Optional[Name]:
    """Let a job out of dead/, by `move`, which is given the name that it is to have.

    Args:
        is_new: it was no job before.

    Raises:
        KeyTaken: another job has its key now.
        InvalidJob: what it waits for is dead; or the id of a new one is taken.
    """
    with held(spool):
        gate = Gate(spool, [asked])
        try:
            gate.judge(asked, anew=not is_new)
        except IdTaken as error:
            raise taken_of_file(hint="change it in the file") from error
        gate.judge_waits(asked, anew=not is_new)
        gate.make(durability)
        moved = move(gate.name(asked.name))
        if moved is None:
            gate.undo()
        return moved

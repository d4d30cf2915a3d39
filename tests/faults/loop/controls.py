"""Negative controls: a worse spoolq for each rule, which the loop has to notice."""

import os
from contextlib import ExitStack, contextmanager
from typing import Any, Callable, ContextManager, Dict, NamedTuple, Optional, Sequence
from unittest import mock

from spoolq import dependencies, fsio, importing, keys, spool
from spoolq.job import Job
from spoolq.names import Name
from spoolq.spool import Record, SpoolDir

from .campaign import try_all
from .operations import BATCH, OPERATIONS


class Control(NamedTuple):
    """A rule that is broken, and the operations that show it."""

    name: str
    variant: Callable[[], ContextManager[Any]]
    operations: Sequence[str]
    ways: Sequence[str] = ("dies before", "dies after")


def caught(control: Control) -> int:
    """Run the loop on the worse spoolq and return how many tries noticed."""
    chosen = [operation for operation in OPERATIONS if operation.name in control.operations]
    tries = try_all(chosen, control.ways, control.variant)
    return sum(bool(done.wrong) for done in tries)


def _patched(*patches: Any) -> Callable[[], ContextManager[Any]]:
    @contextmanager
    def variant():
        with ExitStack() as stack:
            for target, name, worse in patches:
                stack.enter_context(mock.patch.object(target, name, worse))
            yield

    return variant


def _write_nothing(self: SpoolDir, worker_dir: fsio.Dir, record: Record) -> int:
    return os.open(os.devnull, os.O_RDONLY)


def _sync_nothing(
    self: SpoolDir, worker_dir: fsio.Dir, files: Sequence[int], durability: str
) -> None:
    pass


def _move_before_record(self: SpoolDir, worker_dir: fsio.Dir, record: Record) -> Optional[Name]:
    name = self.finish_move(record.claim, record.state, record.stamp, record.attempt)
    if name is not None:
        worker_dir.write("outcome", record.data, sync=True)
        worker_dir.rename("outcome", self.dir(record.state), str(name))
    return name


def _copy_and_unlink(self: SpoolDir, claim: Name, worker: str, slot: str) -> Optional[Name]:
    mine = claim._replace(worker=worker, slot=slot)
    processing = self.dir("processing")
    try:
        data = processing.read(str(claim), 1 << 21)[0]
    except FileNotFoundError:
        return None
    processing.write(str(mine), data, sync=True)
    processing.unlink(str(claim))
    return mine


def _publish_in_place(self: SpoolDir, files: Dict[Name, bytes], durability: str = "full") -> None:
    fsio.write_together(self.dir("pending"), {str(k): v for k, v in files.items()}, sync=True)
    self.dir("pending").sync()


def _claim_by_copy(self: SpoolDir, claim: Name, state: str, filename: str) -> Optional[Name]:
    os.link(
        filename, str(claim), src_dir_fd=self.dir(state).fd, dst_dir_fd=self.dir("processing").fd
    )
    self.dir(state).unlink(filename)
    return claim


def _write_together_unsynced(directory: fsio.Dir, files: Dict[str, bytes], *, sync: bool) -> None:
    fsio.write_together(directory, files, sync=False)


FINISHES = ["finish completed", "finish two"]


def _after_publishing(name: str) -> Callable[[], ContextManager[Any]]:
    """Return a variant that makes what a new job needs when the job is in pending/ already."""

    @contextmanager
    def variant():
        late = []
        real, publish = getattr(*_MADE[name]), SpoolDir.publish

        def publish_first(self, files, durability="full"):
            publish(self, files, durability)
            for arguments in late:
                real(*arguments)

        with mock.patch.object(*_MADE[name], lambda *arguments: late.append(arguments)):
            with mock.patch.object(SpoolDir, "publish", publish_first):
                yield

    return variant


_MADE = {"waits": (dependencies, "begin"), "keys": (keys, "take")}


CONTROLS = [
    Control(
        "moved before it is recorded",
        _patched(
            (SpoolDir, "write_outcome", _write_nothing),
            (SpoolDir, "sync_outcomes", _sync_nothing),
            (SpoolDir, "record_and_move", _move_before_record),
        ),
        FINISHES,
    ),
    Control(
        "a file's data is not synced",
        _patched((fsio, "sync_data", lambda descriptor: None)),
        ["enqueue one", *FINISHES, "config set"],
    ),
    Control(
        "what is imported is not synced",
        _patched((importing, "write_together", _write_together_unsynced)),
        ["import three"],
        ("EIO once",),
    ),
    Control(
        "the states of an import are not synced",
        _patched((fsio.Dir, "sync_moves", lambda self: None)),
        ["import three"],
        ("EIO once",),
    ),
    Control(
        "a batch's data is not synced",
        _patched((spool, "write_together", _write_together_unsynced)),
        [f"enqueue {BATCH}"],
        ("EIO once",),
    ),
    Control(
        "a directory is not synced",
        _patched((fsio.Dir, "sync", lambda self: None)),
        ["enqueue one", *FINISHES, "config set"],
    ),
    Control(
        "a takeover copies and unlinks",
        _patched((SpoolDir, "take_over", _copy_and_unlink)),
        ["recover"],
    ),
    Control(
        "a job is written where it waits",
        _patched((SpoolDir, "publish", _publish_in_place)),
        ["enqueue one", "enqueue three"],
    ),
    Control(
        "a claim is a link and an unlink",
        _patched((SpoolDir, "_claim_as", _claim_by_copy)),
        ["claim"],
    ),
    Control(
        "a recorded outcome is not looked for",
        _patched((Job, "recorded", lambda self, attempt, stamp: None)),
        FINISHES,
    ),
    Control(
        "a job is published before it is noted what it waits for",
        _after_publishing("waits"),
        ["enqueue after another", "enqueue a chain"],
    ),
    Control(
        "a job is published before it has its key",
        _after_publishing("keys"),
        ["enqueue with a key"],
    ),
]

"""No space, no inodes, no quota left under a worker, and then again some."""

import os
from typing import Any, Callable, ContextManager, List

from ..cases import Bench, Case
from . import disks
from .disks import judge, refused, start_waiting, unable, until_refused

_FULL = ("No space left", "quota", "Quota", "is full", "space")


def fill_space(bench: Bench) -> Callable[[], None]:
    """Take all the space of a spool's filesystem; return what gives it back."""
    path = os.path.join(bench.place.spool, ".filler")
    with open(path, "wb", buffering=0) as file:
        for size in (1 << 16, 1 << 12, 64):
            until_refused(lambda size=size: _write(file, size))
    return lambda: os.unlink(path)


def _write(file: Any, size: int) -> None:
    file.write(b"x" * size)
    os.fsync(file.fileno())


def fill_inodes(bench: Bench) -> Callable[[], None]:
    """Take all the inodes of a spool's filesystem; return what gives them back."""
    top = os.path.join(bench.place.spool, ".filler")
    os.mkdir(top)
    made: List[str] = []

    def make() -> None:
        with open(os.path.join(top, str(len(made))), "x", encoding="ascii"):
            made.append(os.path.join(top, str(len(made))))

    until_refused(make)

    def free() -> None:
        for path in made:
            os.unlink(path)
        os.rmdir(top)

    return free


def case_of(
    disk: Callable[[Bench], ContextManager[str]],
    fill: Callable[[Bench], Callable[[], None]],
    is_told: bool = True,
) -> Callable[[Bench], None]:
    """Return a case: everything that must hold while a disk is full, and after.

    `is_told` says whether a worker can say it in its own file, for `status`: over its quota btrfs
    takes no byte, not even one that another is written over.
    """

    def perform(bench: Bench) -> None:
        with disk(bench):
            bench.place.make()
            running = start_waiting(bench, 2)
            try:
                free = fill(bench)
                running.let_go()
                _under_the_fault(bench, running, is_told)
                free()
                running.completes(bench.place.enqueue(["true"] * 3))
                running.says("outcomes can be written again")
                running.leaves()
                judge(bench, running.ids[:2])
            finally:
                running.end()

    return perform


def _under_the_fault(bench: Bench, running: disks.Running, is_told: bool) -> None:
    place = bench.place
    running.says("outcomes cannot be written")
    before = sorted(place.names("tmp"))
    refused(bench, place, *_FULL)
    bench.check(sorted(place.names("tmp")) == before, f"litter: {place.names('tmp')}")
    running.stays_calm()
    done = place.spoolq("status", check=False)
    status = done.stdout + done.stderr
    bench.check(not is_told or "trouble" in status, f"status says nothing of it: {status}")
    bench.check(not place.names("completed"), "a job is completed without its outcome")
    bench.check(len(place.names("processing")) == 2, f"processing: {place.names('processing')}")


_EARLY = """
import os
from spoolq.spool import SpoolDir
def worse(self, worker_dir, record):
    return self.finish_move(record.claim, record.state, record.stamp, record.attempt)
SpoolDir.write_outcome = lambda self, worker_dir, record: os.open(os.devnull, os.O_RDONLY)
SpoolDir.sync_outcomes = lambda self, worker_dir, files, durability: None
SpoolDir.record_and_move = worse
"""


def _move_without_a_record(bench: Bench) -> None:
    bench.place = bench.place.spoiled(_EARLY)
    case_of(lambda bench: disks.ext4(bench), fill_space)(bench)


_ONE = "size=2m,nr_inodes=200"

CASES = [
    Case("ext4 without space", case_of(lambda b: disks.ext4(b), fill_space), unable),
    Case("ext4 without inodes", case_of(lambda b: disks.ext4(b, "-N", "64"), fill_inodes), unable),
    Case("tmpfs without space", case_of(lambda b: disks.tmpfs(b, _ONE), fill_space), unable),
    Case("tmpfs without inodes", case_of(lambda b: disks.tmpfs(b, _ONE), fill_inodes), unable),
    Case(
        "btrfs without quota",
        case_of(disks.btrfs_quota, fill_space, is_told=False),
        lambda: unable("btrfs", "mkfs.btrfs"),
    ),
    Case(
        "moved without its record",
        _move_without_a_record,
        unable,
        expects="completed without its outcome",
    ),
]

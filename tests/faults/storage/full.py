"""No space, no inodes, no quota left under a worker, and then again some."""

import fcntl
import glob
import os
from typing import Any, Callable, ContextManager, List

from ..cases import Bench, Case
from ..place import body, wait_for
from . import disks
from .disks import UNTIL_LET_GO, judge, refused, start_waiting, unable, until_refused

_ONE = "size=2m,nr_inodes=200"
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
                _full_and_free_again(bench, running, fill(bench), is_told)
            finally:
                running.end()

    return perform


def _full_and_free_again(
    bench: Bench, running: disks.Running, free: Callable[[], None], is_told: bool = True
) -> None:
    running.let_go()
    _under_the_fault(bench, running, is_told)
    free()
    ids = running.ids
    running.completes(bench.place.enqueue(["true"] * 3))
    running.says("outcomes can be written again")
    running.leaves()
    judge(bench, ids)


def _many(bench: Bench) -> None:
    """A hundred runs end at once while the disk is full: the worker holds all their outcomes."""
    place = bench.place
    with disks.tmpfs(bench, "size=8m,nr_inodes=2000"):
        place.make()
        with open(os.path.join(place.runs, "hold"), "w", encoding="ascii") as hold:
            fcntl.flock(hold, fcntl.LOCK_EX)  # a hundred that look again and again are a load
            command = body('echo here; flock -s "$R/hold" true; ')
            running = start_waiting(bench, 100, command)
            try:
                free = fill_space(bench)
                fcntl.flock(hold, fcntl.LOCK_UN)
                _full_and_free_again(bench, running, free)
            finally:
                running.end()


def _by_a_job(what: str, filled: str) -> Callable[[Bench], None]:
    """Return a case: a command takes all the space itself, beside a good job.

    Args:
        what: it takes the space.
        filled: a pattern of the file that it takes it with, in the spool.
    """

    def perform(bench: Bench) -> None:
        place = bench.place
        with disks.tmpfs(bench, _ONE):
            place.make()
            running = start_waiting(bench)
            try:
                running.ids += place.enqueue([body(f'{what}; touch "$R/full"; {UNTIL_LET_GO}')])
                full = wait_for(lambda: os.path.exists(os.path.join(place.runs, "full")), 20)
                room = os.statvfs(place.spool).f_bavail
                bench.check(full and not room, f"the job leaves {room} blocks free")
                (path,) = glob.glob(os.path.join(place.spool, filled.format(running.ids[-1])))
                _full_and_free_again(bench, running, lambda: os.truncate(path, 0))
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
    held = place.names("processing")
    bench.check(len(held) == len(running.ids), f"processing: {held}")


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


CASES = [
    Case("ext4 without space", case_of(lambda b: disks.ext4(b), fill_space), unable),
    Case("ext4 without inodes", case_of(lambda b: disks.ext4(b, "-N", "64"), fill_inodes), unable),
    Case("tmpfs without space", case_of(lambda b: disks.tmpfs(b, _ONE), fill_space), unable),
    Case(
        "a job fills the disk",
        _by_a_job('cat /dev/zero >"$SPOOLQ_SPOOL/.filler"', ".filler"),
        unable,
    ),
    Case("a job fills the disk by what it prints", _by_a_job("cat /dev/zero", "logs/{}.*"), unable),
    Case("tmpfs without space for a hundred outcomes", _many, unable),
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

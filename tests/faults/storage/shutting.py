"""A filesystem that shuts down under a worker, as on a journal that cannot be written.

From then on every operation answers EIO, on xfs even `fstat` of an open file, until it has been
unmounted and mounted again. The `ioctl` does it on a healthy disk.
"""

import fcntl
import os
import re
import signal
import struct
from typing import Callable, ContextManager

from ..cases import Bench, Case
from ..place import body, wait_for
from ..uml import run
from . import disks
from .disks import Running, judge, start_waiting, unable

_GOING_DOWN = 0x8004587D  # XFS_IOC_GOINGDOWN, and EXT4_IOC_SHUTDOWN
_LOG_FLUSHED, _LOG_LOST = 1, 2
#: Whoever only looks may be answered from memory, if the kernel still has it there.
_LOOKS = (
    ("status",), ("status", "--json"), ("list",), ("show", "last"), ("worker", "list"),
    ("dlq", "list"), ("logs", "last"), ("config", "list"), ("init",),
)  # fmt: skip
_CHANGES = (
    ("enqueue", "true"), ("enqueue", "--id", "one", "true"), ("pause",),
    ("cancel", "last"), ("config", "set", "grace", "1"), ("worker", "stop"), ("doctor",),
    ("doctor", "--repair"), ("worker", "start", "--drain"),
)  # fmt: skip
_MISLEADING = re.compile(r"Traceback|[Nn]o spool at|made a spool|bug in spoolq|no worker$")


def words_are_clear(bench: Bench) -> None:
    """Every verb fails with the words of the disk: no traceback, no "no spool", none made."""
    for verb in _LOOKS + _CHANGES:
        done = bench.place.spoolq(*verb, check=False)
        said = done.stdout + done.stderr
        told = f"{' '.join(verb)}: exit {done.returncode}: {said[-500:]}"
        bench.check(not _MISLEADING.search(said), told)
        looks = verb in _LOOKS and done.returncode == 0
        if verb[0] == "status" or not looks:
            bench.check(re.search("nput/output|ead-only", said), told)
        bench.check(looks or done.returncode in (1, 4, 75), told)
        bench.count("verbs on a failing disk")


def leave(bench: Bench, running: Running) -> None:
    """Tell the worker to leave, and a second time since it has what it cannot write."""
    for _ in range(2):
        if running.worker.poll() is None:
            running.worker.send_signal(signal.SIGTERM)
            wait_for(lambda: running.worker.poll() is not None, 2)
    left = wait_for(lambda: running.worker.poll() is not None, 20)
    said = bench.place.said()
    bench.check(left, f"the worker does not leave, though told twice: {said[-300:]}")
    bench.check("Traceback" not in said, said[-800:])


def _shut_down(path: str, how: int) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        fcntl.ioctl(descriptor, _GOING_DOWN, struct.pack("I", how))
    finally:
        os.close(descriptor)


def _shuts_down(disk: Callable[[Bench], ContextManager[str]], how: int) -> Callable[[Bench], None]:
    """Return a case: jobs have ended, run and wait when their filesystem shuts down."""

    def perform(bench: Bench) -> None:
        place = bench.place
        with disk(bench) as image:
            place.make()
            ended = place.enqueue([body()] * 3)
            place.spoolq("worker", "start", "--drain")
            running = start_waiting(bench, 2)
            ids = [*ended, *running.ids, *place.enqueue([body()] * 3)]
            try:
                _shut_down(place.spool, how)
                running.let_go()
                running.says("outcomes cannot be written")
                running.stays_calm()
                words_are_clear(bench)
                leave(bench, running)
                running.says("is not recorded")
            finally:
                running.end()
            run("umount", place.spool)
            run("mount", "-o", "loop", image, place.spool)
            done = place.spoolq("worker", "start", "--drain", check=False)
            bench.check(done.returncode == 0, f"the next worker: {done.stderr[-500:]}")
            judge(bench, ids, runs=2)
            for job_id in ended:
                bench.check(len(place.noted(job_id)) == 2, f"{job_id} had ended, and ran again")
            bench.count("shutdowns")

    return perform


CASES = [
    Case("xfs shuts down", _shuts_down(disks.xfs, _LOG_FLUSHED), lambda: unable("mkfs.xfs")),
    *(
        Case(name, _shuts_down(disk, how), lambda: unable("mkfs.xfs"), is_long=True)
        for name, disk, how in (
            ("ext4 shuts down", lambda b: disks.ext4(b), _LOG_FLUSHED),
            ("ext4 shuts down and loses its log", lambda b: disks.ext4(b), _LOG_LOST),
            ("xfs shuts down and loses its log", disks.xfs, _LOG_LOST),
        )
    ),
]

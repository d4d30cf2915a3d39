"""A disk that fails for good or for a while."""

import signal
import subprocess
from typing import Callable, Optional

from ..cases import Bench, Case
from ..place import body, wait_for
from ..syscalls import tracing
from ..uml import run
from . import disks
from .disks import judge, refused, start_waiting, unable

_CHANGES = "renameat,renameat2,fdatasync,fsync"
_ALL = f"{_CHANGES},newfstatat,openat"


def _turns_read_only(bench: Bench) -> None:
    """ext4 that meets an error refuses to write from then on; a repair needs it unmounted."""
    place = bench.place
    with disks.ext4(bench, "-e", "remount-ro") as image:
        place.make()
        running = start_waiting(bench)
        try:
            run("mount", "-o", "remount,abort", place.spool)
            running.let_go()
            running.says("outcomes cannot be written")
            refused(bench, place, "Read-only", "read-only", "Input/output", "I/O")
            running.stays_calm()
            bench.check(not place.names("completed"), "completed without its outcome")
            running.worker.send_signal(signal.SIGTERM)
            # Twice, more than a second apart: then it gives up what it cannot write.
            gone = wait_for(lambda: running.worker.poll() is not None, 3)
            if not gone:
                running.worker.send_signal(signal.SIGTERM)
            left = wait_for(lambda: running.worker.poll() is not None, 20)
            bench.check(left, "the worker does not leave, though told twice")
            run("umount", place.spool)
            subprocess.run(["e2fsck", "-p", image], stdout=subprocess.DEVNULL)
            run("mount", "-o", "loop", image, place.spool)
            done = place.spoolq("worker", "start", "--drain", check=False)
            bench.check(done.returncode == 0, f"the next worker: {done.stderr[-500:]}")
            judge(bench, running.ids, runs=2)
        finally:
            running.end()


def _fails(calls: str) -> Callable[[Bench], None]:
    """Return a case: these calls of a worker all fail with EIO; then none, and all is recorded."""

    def perform(bench: Bench) -> None:
        place = bench.place
        place.make()
        running = start_waiting(bench, 2)
        fault = None
        try:
            # The commands of jobs are not hit: they had started before, and -f follows new ones.
            words = ["strace", "-qq", "-f", "-o", "/dev/null", "-p", str(running.worker.pid)]
            words += ["-e", f"trace={calls}", "-e", f"inject={calls}:error=EIO"]
            fault = subprocess.Popen(words, stderr=subprocess.DEVNULL)
            attached = wait_for(lambda: _is_traced(running.worker.pid), 20)
            bench.check(attached, "strace does not attach")
            waiting = place.enqueue([body()] * 3)
            running.let_go()
            running.says("outcomes cannot be written")
            running.stays_calm()
            bench.check(not place.names("completed"), "completed, though nothing could be renamed")
            bench.check(running.worker.poll() is None, "the worker has ended")
            fault.send_signal(signal.SIGINT)
            fault.wait(20)
            running.completes(waiting)
            running.leaves()
            judge(bench, running.ids)
        finally:
            if fault is not None and fault.poll() is None:
                fault.kill()
                fault.wait()
            running.end()

    return perform


def _is_traced(pid: int) -> bool:
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return any(line.startswith("TracerPid:") and line.split()[1] != "0" for line in file)


def _no_strace() -> Optional[str]:
    return tracing.unable()


def _falsely_calm(bench: Bench) -> None:
    """The judge of busy loops is given one."""
    spins = subprocess.Popen(["sh", "-c", "while :; do :; done"])
    try:
        disks.Running(bench, spins, []).stays_calm()
    finally:
        spins.kill()
        spins.wait()


CASES = [
    Case("ext4 turns read-only", _turns_read_only, lambda: unable("e2fsck")),
    Case("renames and syncs fail for a while", _fails(_CHANGES), _no_strace),
    Case("renames, syncs, opens and stats fail for a while", _fails(_ALL), _no_strace),
    Case("a busy loop", _falsely_calm, expects="^a busy loop: "),
]

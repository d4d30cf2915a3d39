"""A disk that fails for good or for a while, and one that takes its time."""

import signal
import subprocess
from typing import Optional

from ..cases import Bench, Case, end
from ..place import body, wait_for
from ..power.machine import run
from ..syscalls import tracing
from . import disks
from .disks import judge, refused, start_waiting, unable

_SYNCS = "fsync,fdatasync,syncfs"
_CHANGES = "renameat,renameat2,fdatasync,fsync"


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


def _fails_for_a_while(bench: Bench) -> None:
    """Every rename and sync of a worker fails with EIO; then none does, and all is recorded."""
    place = bench.place
    place.make()
    running = start_waiting(bench, 2)
    try:
        words = ["strace", "-qq", "-f", "-o", "/dev/null", "-p", str(running.worker.pid)]
        words += ["-e", f"inject={_CHANGES}:error=EIO"]
        fault = subprocess.Popen(words, stderr=subprocess.DEVNULL)
        attached = wait_for(lambda: _is_traced(running.worker.pid), 20)
        bench.check(attached, "strace does not attach")
        waiting = place.enqueue([body()] * 3)
        running.let_go()
        running.says("outcomes cannot be written")
        running.stays_calm()
        bench.check(not place.names("completed"), "completed, though nothing could be renamed")
        fault.send_signal(signal.SIGINT)
        fault.wait(20)
        running.completes(waiting)
        running.leaves()
        judge(bench, running.ids)
    finally:
        running.end()


def _is_traced(pid: int) -> bool:
    with open(f"/proc/{pid}/status", encoding="ascii") as file:
        return any(line.startswith("TracerPid:") and line.split()[1] != "0" for line in file)


def _takes_its_time(bench: Bench) -> None:
    """Each sync takes seconds: nobody is declared dead, nothing runs twice."""
    place = bench.place
    place.make(lease=5)
    seconds = 30 if bench.long else 3
    slow = ["strace", "-qq", "-f", "-o", "/dev/null", "-e", f"trace={_SYNCS}"]
    slow += ["-e", f"inject={_SYNCS}:delay_enter={seconds * 1_000_000}"]
    worker = place.start("worker", "start", "--count", "2", within=slow)
    beside = place.start("worker", "start")
    try:
        wait_for(lambda: len(place.names("workers")) == 2, 20)
        ids = place.enqueue([body("sleep 0.2; ")] * 8)
        done = wait_for(lambda: len(place.names("completed")) == 8, 60 + 8 * seconds)
        bench.check(done, f"completed: {place.names('completed')}")
        place.spoolq("worker", "stop")
        over = wait_for(lambda: worker.poll() is not None, 20 + 4 * seconds)
        bench.check(over, "a slow worker does not stop")
    finally:
        end(worker)
        end(beside)
    judge(bench, ids)
    for name in ("lost", "Traceback"):
        bench.check(name not in place.said(), f"the log says {name}: {place.said()[-500:]}")


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
    Case("renames and syncs fail for a while", _fails_for_a_while, _no_strace),
    Case("syncs that take seconds", _takes_its_time, _no_strace),
    Case("a busy loop", _falsely_calm, is_control=True),
]

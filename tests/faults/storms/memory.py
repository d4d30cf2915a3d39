"""The kernel takes a command, or a whole worker, for want of memory."""

import json
import os
import signal
import subprocess
import sys
from contextlib import contextmanager
from typing import Iterator, Optional

from ..cases import Bench, Case
from ..place import body, wait_for
from .kills import calm, judge

_GROUPS = "/sys/fs/cgroup/memory"
_EATS = f"{sys.executable} -S -c 'x = []; exec(\"while True: x.append(bytearray(1 << 20))\")'"
_ROOM = 48 << 20


def _unable() -> Optional[str]:
    if os.geteuid() != 0 or not os.path.isdir(_GROUPS):
        return "this needs root, and control groups of version 1 with a limit of memory"
    try:
        os.mkdir(f"{_GROUPS}/spoolq-probe-{os.getpid()}")
        os.rmdir(f"{_GROUPS}/spoolq-probe-{os.getpid()}")
    except OSError as error:
        return f"no control group can be made: {error.strerror}"
    return None


@contextmanager
def _group(name: str) -> Iterator[str]:
    """Make a control group with little memory; it is gone when all in it is."""
    path = f"{_GROUPS}/spoolq-{name}-{os.getpid()}"
    os.mkdir(path)
    try:
        _write(f"{path}/memory.limit_in_bytes", str(_ROOM))
        yield path
    finally:
        wait_for(lambda: not _members(path), 10)
        os.rmdir(path)


def _members(path: str) -> str:
    with open(f"{path}/cgroup.procs", encoding="ascii") as file:
        return file.read()


def _a_command_is_killed(bench: Bench) -> None:
    place = bench.place
    place.make(max_retries=0)
    with _group("command") as path:
        (eats,) = place.enqueue([f"echo 0 >{path}/cgroup.procs; exec {_EATS}"])
        others = place.enqueue([body()] * 5)
        wrong = calm(place)
        bench.check(not wrong, wrong)
    last = json.loads(place.spoolq("show", eats, "--json").stdout)["history"][-1]
    bench.check(last.get("signal") == 9, f"killed for want of memory, and recorded as {last}")
    bench.check(len(place.names("completed")) == len(others), "the others have not all run")
    bench.count("commands killed")


def _a_worker_is_killed(bench: Bench) -> None:
    """The worker is in a group whose memory ends; what it ran is ended, and runs again."""
    place = bench.place
    place.make(max_retries=20)
    with _group("worker") as path:
        ids = set(place.enqueue([body("sleep 2; ")] * 3))
        worker = place.start("worker", "start", "--count", "3")
        started = wait_for(lambda: all(place.noted(job_id) for job_id in ids), 20)
        bench.check(started, "the jobs do not start: nothing was tried")
        _write(f"/proc/{worker.pid}/oom_score_adj", "1000")  # the kernel takes it first
        _write(f"{path}/cgroup.procs", str(worker.pid))
        eater = subprocess.Popen(["sh", "-c", f"echo 0 >{path}/cgroup.procs; exec {_EATS}"])
        ended = wait_for(lambda: worker.poll() is not None and eater.poll() is not None, 20)
        bench.check(ended and worker.returncode == -signal.SIGKILL, "the worker was not killed")
        for process in (worker, eater):
            process.kill()
            process.wait()
    wrong = calm(place)
    bench.check(not wrong, wrong)
    found = judge(bench, ids)
    for job in found.jobs.values():
        bench.check(len(job.history) == 2, f"{job.id} ran {len(job.history)} times, not twice")
    bench.count("workers killed")


def _write(path: str, text: str) -> None:
    with open(path, "w", encoding="ascii") as file:
        file.write(text)


CASES = [
    Case("the kernel kills a command for its memory", _a_command_is_killed, unable=_unable),
    Case("the kernel kills a worker for want of memory", _a_worker_is_killed, unable=_unable),
]

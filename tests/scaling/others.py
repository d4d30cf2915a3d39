"""What else ran on the machine meanwhile: a figure that others had a hand in is taken again.

Processor seconds of all processes that are not of ours, read from /proc before and after. Those of
the kernel's own threads are left out: what they do meanwhile is mostly our disk's work.
"""

import os
import time
from pathlib import Path
from typing import Dict, NamedTuple

_TICK = os.sysconf("SC_CLK_TCK")
_KERNEL = 2  # the parent of the kernel's threads


class _Process(NamedTuple):
    parent: int
    seconds: float  # its own, and those of its children that have been waited for


def _processes() -> Dict[int, _Process]:
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:  # it has ended
                continue
            found[int(entry.name)] = _Process(int(fields[1]), sum(map(int, fields[11:15])) / _TICK)
    return found


def _is_ours(pid: int, processes: Dict[int, _Process]) -> bool:
    while pid in processes:
        if pid == os.getpid():
            return True
        pid = processes[pid].parent
    return False


class Others:
    """How many cores were busy with what is not ours, since this was made."""

    def __init__(self) -> None:
        self._began = time.perf_counter()
        self._before = _their_seconds()

    def cores(self) -> float:
        """Return the cores that others kept busy, in the mean."""
        gained = _their_seconds() - self._before
        return max(gained, 0.0) / (time.perf_counter() - self._began)


def _their_seconds() -> float:
    """Return the sum over all of them: who ends leaves its seconds to who waits for it."""
    processes = _processes()
    return sum(
        process.seconds
        for pid, process in processes.items()
        if pid != _KERNEL and process.parent != _KERNEL and not _is_ours(pid, processes)
    )


def busy_seconds() -> float:
    """Return for how long the cores have been busy since the machine started, with anything."""
    fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:]
    user, nice, system, _, _, irq, softirq = map(int, fields[:7])
    return (user + nice + system + irq + softirq) / _TICK

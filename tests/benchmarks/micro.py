"""Two figures beneath the others: the start of a process, and the syncs of a batch."""

import os
import statistics
import time
from typing import Any, Dict

from spoolq.executors import spawning
from spoolq.fsio import Dir, sync_together
from tests.benchmarks.bench import Bench

EVERYWHERE = False


def start_of_a_process(place, rounds):
    """Microseconds for which starting a command holds up who starts it: our way, and Popen."""
    descriptor = os.open(os.path.join(place, "lock"), os.O_CREAT | os.O_RDWR)
    null = os.open(os.devnull, os.O_RDWR)
    how = {"stdin": null, "output": null, "inherit": (descriptor,), "cwd": place}
    variables = dict(os.environb)
    can_spawn = spawning._can_spawn
    taken = {"ours": [], "Popen": []}
    try:
        for _ in range(rounds):
            for way in taken:
                spawning._can_spawn = can_spawn if way == "ours" else lambda: False
                started = time.perf_counter()
                process = spawning.start(["/bin/true"], variables, **how)
                taken[way].append((time.perf_counter() - started) * 1e6)
                process.wait()
    finally:
        spawning._can_spawn = can_spawn
        os.close(descriptor)
        os.close(null)
    return {way: statistics.median(figures) for way, figures in taken.items()}


def syncs_of_a_batch(place, rounds, files=10):
    """Milliseconds to make so many new files durable: together, and one after the other."""
    taken = {"together": [], "one by one": []}
    for number in range(rounds):
        for way in taken:
            path = os.path.join(place, f"batch.{way}.{number}")
            os.mkdir(path)
            directory = Dir.open(path)
            names = [str(name) for name in range(files)]
            for name in names:
                directory.write(name, b"x" * 300, sync=False)
            started = time.perf_counter()
            for some in [names] if way == "together" else [[name] for name in names]:
                sync_together(directory, some)
            taken[way].append((time.perf_counter() - started) * 1e3)
            directory.close()
    return {way: statistics.median(figures) for way, figures in taken.items()}


def measure(bench: Bench) -> Dict[str, Any]:
    """Measure both."""
    with bench.directory() as place:
        return {
            "start_of_a_process_us": start_of_a_process(place, bench.size(1000, 10)),
            "sync_of_10_files_ms": syncs_of_a_batch(place, bench.size(30, 2)),
        }

"""What a worker costs that has nothing to do."""

import os
import time
from typing import Any, Dict

from tests.benchmarks import fill
from tests.benchmarks.bench import Bench, Worker

EVERYWHERE = False
_SETTLED = 3.0  # seconds after its start, which does not count


def measure(bench: Bench) -> Dict[str, Any]:
    """CPU and memory of a worker on a spool with many ended and some scheduled jobs."""
    completed, later = bench.size(100_000, 100), bench.size(10_000, 20)
    seconds = bench.size(60, 2)
    with bench.directory() as place:
        spool = fill.make(os.path.join(place, "spool"))
        fill.fill(spool, "true", completed=completed, later=later)
        with Worker(spool, "--count", "2") as worker:
            worker.ready()
            time.sleep(min(_SETTLED, seconds))
            before, started = worker.cpu(), time.perf_counter()
            time.sleep(seconds)
            used, lasted = worker.cpu() - before, time.perf_counter() - started
            memory, peak = worker.memory(), worker.memory("VmHWM")
    return {
        "seconds": seconds,
        "completed": completed,
        "later": later,
        "cpu_percent": used / lasted * 100,
        "rss_mb": memory,
        "peak_mb": peak,
    }

"""How soon what a killed worker was running runs again."""

import os
import random
import time
from pathlib import Path
from typing import Any, Dict, List

from tests.benchmarks import fill
from tests.benchmarks.bench import Bench, Worker, end_runs, median, say, settle, size_of, until
from tests.benchmarks.latency import put

EVERYWHERE = False


def _sleeper(starts: Path) -> str:
    return f"printf x >> {starts}; exec sleep 3600"


def again(bench: Bench) -> float:
    """Seconds from the kill -9 of a worker until its job has started under another."""
    with bench.directory() as place:
        spool, starts = fill.make(os.path.join(place, "spool")), Path(place, "starts")
        try:
            with Worker(spool) as one, Worker(spool) as other:
                one.ready()
                other.ready()
                put(spool, _sleeper(starts))
                until(lambda: size_of(starts) == 1, "the job")
                time.sleep(random.random())  # at any moment of the other's second
                (claim,) = fill.names_in(spool, "processing")
                killed = one if f"-{one.pid}-" in claim else other
                began = time.perf_counter()
                killed.kill()
                until(lambda: size_of(starts) == 2, "the job again")
                taken = time.perf_counter() - began
                assert size_of(starts) == 2
                for worker in (one, other):
                    worker.kill()
        finally:
            end_runs(spool)
    return taken


def orphans(bench: Bench, count: int, pending: int) -> Dict[str, Any]:
    """Seconds from the start of a worker until all that a killed one ran runs again.

    Many other jobs wait, of a lower priority.
    """
    with bench.directory() as place:
        spool, starts = fill.make(os.path.join(place, "spool")), Path(place, "starts")
        try:
            with Worker(spool, "--count", str(count)) as first:
                first.ready()
                for _ in range(count):
                    put(spool, _sleeper(starts), priority=9)
                until(lambda: size_of(starts) == count, "all jobs")
                first.kill()
            fill.fill(spool, "true", pending=pending)
            settle(spool)
            with Worker(spool, "--count", str(count)) as second:
                until(lambda: size_of(starts) == 2 * count, "all jobs again")
                taken = time.perf_counter() - second.started
                second.kill()
            left = sum(len(fill.names_in(spool, s)) for s in ("pending", "processing", "completed"))
            assert size_of(starts) == 2 * count
            assert left == count + pending, (left, count, pending)
        finally:
            end_runs(spool)
    return {"count": count, "pending": pending, "all_again_s": taken}


def measure(bench: Bench) -> Dict[str, Any]:
    """Kill one worker of two, twenty times; then one with many runs, each round."""
    times = bench.size(20, 1)
    taken: List[float] = [again(bench) for _ in range(times)]
    say(f"  again after {median(taken):.2f} s")
    some = [orphans(bench, bench.size(64, 4), bench.size(100_000, 20)) for _ in range(bench.rounds)]
    return {
        "times": times,
        "again_s": median(taken),
        "worst_s": max(taken),
        "orphans": {**some[0], "all_again_s": median(row["all_again_s"] for row in some)},
    }

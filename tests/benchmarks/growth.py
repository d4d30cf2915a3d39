"""How the cost of a job grows: with the backlog, slots, workers, and the size of jobs and output.

CPU is the worker's own, without that of the commands that it runs.
"""

import contextlib
import os
import time
from pathlib import Path
from typing import Any, Dict, List, Sequence

from tests.benchmarks import fill
from tests.benchmarks.bench import (
    Bench,
    Miscount,
    Worker,
    demand_exactly,
    end_runs,
    median,
    say,
    settle,
    size_of,
    until,
    watch,
)
from tests.benchmarks.latency import put

EVERYWHERE = False
Points = List[Dict[str, float]]


def cost(spool: str, out: Path, jobs: int) -> Dict[str, float]:
    """Own CPU and wall time of one job, from the first to the last of so many; two slots."""
    with contextlib.suppress(FileNotFoundError):
        out.unlink()
    before = len(fill.names_in(spool, "completed"))
    settle(spool)
    with Worker(spool, "--count", "2") as worker:
        until(lambda: size_of(out) > 0, "the first job")
        at_first, ran, used = time.perf_counter(), size_of(out), worker.cpu()
        seen = watch(out, jobs, worker.started)
        wall = worker.started + seen.last - at_first
        used, ran = worker.cpu() - used, max(size_of(out) - ran, 1)
        worker.stop(60)
    if size_of(out) != len(fill.names_in(spool, "completed")) - before:
        raise Miscount(f"{size_of(out)} runs in {spool}")
    return {"cpu_us": used / ran * 1e6, "wall_us": wall / ran * 1e6}


def _medians(rows: List[Dict[str, float]]) -> Dict[str, float]:
    return {key: median(row[key] for row in rows) for key in rows[0]}


def by_backlog(bench: Bench) -> Points:
    """Return the cost of a job while so many wait."""
    points = []
    jobs = bench.size(500, 10)
    for pending in bench.size([1000, 10_000, 100_000, 1_000_000], [20, 40]):
        say(f"  {pending:,} pending")
        with bench.directory(large=True) as place:
            spool, out = fill.make(os.path.join(place, "spool")), Path(place, "out")
            fill.fill(spool, f"printf x >> {out}", pending=pending)
            rows = []
            for _ in range(bench.rounds):
                rows.append(cost(spool, out, jobs))
                fill.fill(spool, f"printf x >> {out}", pending=size_of(out))  # as many as before
            points.append({"x": pending, **_medians(rows)})
    return points


def by_slots(bench: Bench) -> Points:
    """Return the CPU of a worker, of one core, while so many jobs sleep."""
    points = []
    seconds = bench.size(20, 1)
    for slots in bench.size([1, 4, 16, 64], [1, 4]):
        say(f"  {slots} slots")
        with bench.directory() as place:
            spool, out = fill.make(os.path.join(place, "spool")), Path(place, "out")
            with Worker(spool, "--count", str(slots)) as worker:
                worker.ready()
                for _ in range(slots):
                    put(spool, f"printf x >> {out}; exec sleep 3600")
                until(lambda out=out, slots=slots: size_of(out) == slots, "sleeping jobs")
                time.sleep(min(2.0, seconds))
                used, began = worker.cpu(), time.perf_counter()
                time.sleep(seconds)
                share = (worker.cpu() - used) / (time.perf_counter() - began)
                memory = worker.memory()
                worker.kill()
            end_runs(spool)
            demand_exactly(out, slots)
        points.append({"x": slots, "cpu_percent": share * 100, "rss_mb": memory})
    return points


def by_workers(bench: Bench) -> Points:
    """Return the jobs a second that so many workers with one slot each do together."""
    jobs = bench.size(2000, 20)
    points = []
    for workers in bench.size([1, 2, 4, 8], [1, 2]):
        say(f"  {workers} workers")
        rates = [_together(bench, workers, jobs) for _ in range(bench.rounds)]
        points.append({"x": workers, "a_second": median(rates)})
    return points


def _together(bench: Bench, workers: int, jobs: int) -> float:
    """Return jobs a second of workers that have all started before any job may run."""
    with bench.directory() as place, contextlib.ExitStack() as stack:
        spool, out = fill.make(os.path.join(place, "spool")), Path(place, "out")
        fill.fill(spool, f"printf x >> {out}", pending=jobs)
        paused = Path(spool, "paused")
        paused.touch()
        some = [stack.enter_context(Worker(spool)) for _ in range(workers)]
        for worker in some:
            worker.ready()
        settle(spool)
        paused.unlink()
        bell = Path(spool, "pending", ".bell")
        bell.touch()
        bell.unlink()
        rate = watch(out, jobs, time.perf_counter()).after_first
        for worker in some:
            worker.stop()
        demand_exactly(out, jobs)
    return rate


def by_job_bytes(bench: Bench) -> Points:
    """Return the cost of a job whose file is so large, by a field that spoolq only keeps."""
    points = []
    for size in bench.size([100, 1 << 10, 10 << 10, 100 << 10, 1000 << 10], [100, 10 << 10]):
        say(f"  jobs of {size:,} bytes")
        jobs = bench.size(500 if size <= 10 << 10 else 100, 5)
        points.append({"x": size, **_cost_of(bench, jobs, "", payload="x" * max(size - 100, 1))})
    return points


def by_output_bytes(bench: Bench) -> Points:
    """Return the cost of a job that prints so much."""
    points = []
    for size in bench.size([0, 1 << 10, 32 << 10, 1 << 20], [0, 1 << 10]):
        say(f"  output of {size:,} bytes")
        jobs = bench.size(500 if size <= 1 << 10 else 100, 5)
        points.append({"x": size, **_cost_of(bench, jobs, f"head -c {size} /dev/zero; ")})
    return points


def _cost_of(bench: Bench, jobs: int, before: str, **fields: Any) -> Dict[str, float]:
    rows = []
    for _ in range(bench.rounds):
        with bench.directory() as place:
            spool, out = fill.make(os.path.join(place, "spool")), Path(place, "out")
            fill.fill(spool, f"{before}printf x >> {out}", pending=jobs, **fields)
            rows.append(cost(spool, out, jobs))
    return _medians(rows)


def measure(bench: Bench) -> Dict[str, Sequence[Any]]:
    """Measure point by point."""
    return {
        "backlog": by_backlog(bench),
        "slots": by_slots(bench),
        "workers": by_workers(bench),
        "job_bytes": by_job_bytes(bench),
        "output_bytes": by_output_bytes(bench),
    }

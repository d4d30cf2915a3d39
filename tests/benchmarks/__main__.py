"""A few figures in one run: latency, drain beside xargs, cold start. Ratios count, not times.

    python -m tests.benchmarks            five rounds, about two minutes
    python -m tests.benchmarks --quick    one small round: only that it runs

Rivals and our own are interleaved; medians are printed, one JSON object at the end.
"""

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from spoolq import Spool
from tests.conftest import environment, wait_until

SPOOLQ = [sys.executable, "-m", "spoolq"]


def timed(command, **options):
    started = time.perf_counter()
    subprocess.run(command, check=True, env=environment(), **options)
    return time.perf_counter() - started


def start_to_first_instruction(place, rounds):
    """Seconds from `mv` into pending/ to the first line of the command, the worker being idle."""
    spool = Path(place, "latency")
    Spool(str(spool), create=True).close()
    fifo = Path(place, "fifo")
    os.mkfifo(fifo)
    worker = subprocess.Popen(
        [*SPOOLQ, "--spool", str(spool), "worker", "start"],
        stderr=subprocess.DEVNULL,
        env=environment(),
    )
    try:
        wait_until(lambda: any((spool / "workers").iterdir()), "the worker")
        taken = []
        for number in range(rounds):
            new = spool / "tmp" / f"new.{number}"
            new.write_text(json.dumps({"command": f"echo > {fifo}"}))
            wait_until(lambda: not any((spool / "processing").iterdir()), "an idle worker")
            started = time.perf_counter()
            new.rename(spool / "pending" / f"job.{number}.json")
            fifo.read_bytes()
            taken.append(time.perf_counter() - started)
    finally:
        worker.terminate()
        worker.wait()
    return sorted(taken)


def drain(place, jobs, durability):
    """Seconds to run so many jobs that are due, start of the worker included."""
    with tempfile.TemporaryDirectory(dir=place) as path:
        spool = Spool(os.path.join(path, "spool"), create=True)
        Path(spool.path, "config.json").write_text(json.dumps({"durability": durability}))
        spool.enqueue_many([f"printf x >> {path}/out"] * jobs)
        command = [*SPOOLQ, "--spool", spool.path, "worker", "start", "--count", "2", "--drain"]
        taken = timed(command, stderr=subprocess.DEVNULL)
        assert Path(path, "out").stat().st_size == jobs
        return taken


def xargs(place, jobs):
    """Seconds that xargs -P2 takes for the same commands, and remembers nothing."""
    out = Path(place, "xargs.out")
    lines = f"printf x >> {out}\n" * jobs
    command = ["xargs", "-P2", "-d", "\n", "-n1", "sh", "-c"]
    taken = timed(command, input=lines, text=True)
    out.unlink()
    return taken


def enqueue_many(place, jobs):
    """Durable jobs a second, enqueued in one batch."""
    with tempfile.TemporaryDirectory(dir=place) as path:
        spool = Spool(os.path.join(path, "spool"), create=True)
        started = time.perf_counter()
        spool.enqueue_many(["true"] * jobs)
        return jobs / (time.perf_counter() - started)


def cold_start(place):
    """Seconds of `spoolq enqueue true`, and of Python with click alone."""
    path = os.path.join(place, "cold")
    Spool(path, create=True).close()
    ours = timed([*SPOOLQ, "--spool", path, "enqueue", "true"], stdout=subprocess.DEVNULL)
    return ours, timed([sys.executable, "-c", "import click"])


def main():
    quick = "--quick" in sys.argv[1:]
    rounds, jobs = (1, 50) if quick else (5, 1000)
    rows = []
    with tempfile.TemporaryDirectory() as place:
        latency = start_to_first_instruction(place, 10 if quick else 200)
        for _ in range(rounds):
            rows.append(
                (
                    xargs(place, jobs),
                    drain(place, jobs, "full"),
                    drain(place, jobs, "none"),
                    *cold_start(place),
                    enqueue_many(place, 10 * jobs),
                )
            )
    theirs, full, none, enqueue, click, bulk = (statistics.median(c) for c in zip(*rows))
    figures = {
        "latency_ms": {
            "p50": latency[len(latency) // 2] * 1000,
            "p95": latency[len(latency) * 95 // 100] * 1000,
            "p99": latency[len(latency) * 99 // 100] * 1000,
        },
        "drain_jobs_a_second": {
            "xargs -P2": jobs / theirs,
            "full": jobs / full,
            "none": jobs / none,
            "full to xargs": theirs / full,
            "none to xargs": theirs / none,
        },
        "cold_start": {"enqueue_ms": enqueue * 1000, "to import click": enqueue / click},
        "enqueue_many_a_second": bulk,
    }
    print(json.dumps(figures, indent=2 if sys.stdout.isatty() else None, default=float))


if __name__ == "__main__":
    main()

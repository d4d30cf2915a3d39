"""A few figures in one run: latency, drain beside xargs, starts, syncs. Ratios count, not times.

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
from spoolq.executors import spawning
from spoolq.fsio import Dir, sync_together
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


def start_of_a_process(place, rounds):
    """Microseconds for which starting a command holds up who starts it: our way, and Popen."""
    descriptor = os.open(os.path.join(place, "lock"), os.O_CREAT | os.O_RDWR)
    null = os.open(os.devnull, os.O_RDWR)
    how = {"stdin": null, "output": null, "inherit": descriptor, "cwd": place}
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


def main():
    quick = "--quick" in sys.argv[1:]
    rounds, jobs = (1, 50) if quick else (5, 1000)
    rows = []
    with tempfile.TemporaryDirectory() as place:
        latency = start_to_first_instruction(place, 10 if quick else 200)
        starts = start_of_a_process(place, 10 if quick else 300)
        syncs = syncs_of_a_batch(place, 2 if quick else 15)
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
        "start_of_a_process_us": starts,
        "sync_of_10_files_ms": syncs,
    }
    print(json.dumps(figures, indent=2 if sys.stdout.isatty() else None, default=float))


if __name__ == "__main__":
    main()

"""What it costs to get jobs into a spool, beside the system calls alone that this takes.

The bare loops do in Python what any durable spool must: write, sync, rename, sync.
"""

import ctypes
import json
import os
import subprocess
import time
from pathlib import Path
from typing import Any, Callable, Dict, List

from spoolq import Spool
from tests.benchmarks import fill
from tests.benchmarks.bench import (
    SPOOLQ,
    Bench,
    Worker,
    clean_environment,
    demand_exactly,
    median,
    ratio_of_pairs,
    rotated,
    settle,
    until,
    watch,
)

EVERYWHERE = True
_BYTES = b'{\n  "command": "true",\n  "created_at": "2026-11-24T02:06:46.123456Z"\n}\n'


def many(place: str, jobs: int) -> float:
    """Seconds of `Spool.enqueue_many`."""
    with Spool(os.path.join(place, "spool"), create=True) as spool:
        settle(place)
        started = time.perf_counter()
        ids = spool.enqueue_many(["true"] * jobs)
        taken = time.perf_counter() - started
        assert len(set(ids)) == spool.counts()["pending"] == jobs
    return taken


def by_lines(place: str, jobs: int) -> float:
    """Seconds of `spoolq enqueue -`, the start of the process included."""
    path = fill.make(os.path.join(place, "spool"))
    settle(place)
    started = time.perf_counter()
    done = subprocess.run(
        [*SPOOLQ, "--spool", path, "enqueue", "-"],
        input=b"true\n" * jobs,
        stdout=subprocess.PIPE,
        check=True,
        env=clean_environment(),
    )
    taken = time.perf_counter() - started
    assert len(set(done.stdout.split())) == len(fill.names_in(path, "pending")) == jobs
    return taken


def bare_bulk(place: str, jobs: int) -> float:
    """Seconds to make so many files durable with one sync of the filesystem: as fast as can be."""
    syncfs = ctypes.CDLL(None, use_errno=True).syncfs
    tmp, pending = _directories(place)
    names = [f"{number:020}.json" for number in range(jobs)]
    settle(place)
    started = time.perf_counter()
    for name in names:
        file = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600, dir_fd=tmp)
        os.write(file, _BYTES)
        os.close(file)
    if syncfs(pending) != 0:
        raise OSError(ctypes.get_errno(), "syncfs")
    for name in names:
        os.rename(name, name, src_dir_fd=tmp, dst_dir_fd=pending)
    os.fsync(pending)
    taken = time.perf_counter() - started
    assert _number_pending(place) == jobs
    os.close(tmp)
    os.close(pending)
    return taken


def _directories(place: str) -> "tuple[int, int]":
    handles = []
    for name in ("tmp", "pending"):
        os.mkdir(os.path.join(place, name))
        handles.append(os.open(os.path.join(place, name), os.O_RDONLY))
    return handles[0], handles[1]


def _number_pending(place: str) -> int:
    """Count by the path: btrfs lists nothing that came after a directory was opened."""
    return len(os.listdir(os.path.join(place, "pending")))


def one_at_a_time(bench: Bench, times: int) -> "tuple[List[float], List[float]]":
    """Seconds of one durable enqueue, and of a bare write, sync, rename, sync: by turns."""
    ours: List[float] = []
    bare: List[float] = []
    with bench.directory() as place, Spool(os.path.join(place, "spool"), create=True) as spool:
        tmp, pending = _directories(place)

        def plain(number: int) -> None:
            name = f"{number:020}.json"
            file = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600, dir_fd=tmp)
            os.write(file, _BYTES)
            os.fsync(file)
            os.close(file)
            os.rename(name, name, src_dir_fd=tmp, dst_dir_fd=pending)
            os.fsync(pending)

        settle(place)
        for number in range(times):
            started = time.perf_counter()
            spool.enqueue("true")
            between = time.perf_counter()
            plain(number)
            bare.append(time.perf_counter() - between)
            ours.append(between - started)
        assert spool.counts()["pending"] == _number_pending(place) == times
        os.close(tmp)
        os.close(pending)
    return ours, bare


def dropped(bench: Bench, files: int, paused: bool) -> Dict[str, float]:
    """CPU of an idle worker into whose spool so many files are moved.

    Paused, it only looks at them; else it runs them too, and its own share of that counts.
    """
    with bench.directory() as place:
        path = fill.make(os.path.join(place, "spool"))
        if paused:
            Path(path, "paused").touch()
        out = Path(place, "out")
        tmp, pending = os.path.join(path, "tmp"), os.path.join(path, "pending")
        data = json.dumps({"command": f"printf x >> {out}"}).encode("ascii")
        for number in range(files):
            Path(tmp, f"new.{number}").write_bytes(data)
        settle(place)
        with Worker(path, "--count", "2") as worker:
            worker.ready()
            _at_rest(worker)
            before, started = worker.cpu(), time.perf_counter()
            for number in range(files):
                os.rename(f"{tmp}/new.{number}", f"{pending}/drop.{number}.json")
            moved = time.perf_counter() - started
            if not paused:
                watch(out, files, started)
            _at_rest(worker)
            used = worker.cpu() - before
        if paused:
            assert len(fill.names_in(path, "pending")) == files
        else:
            demand_exactly(out, files)
            assert len(fill.names_in(path, "completed")) == files
    return {"worker_us_a_file": used / files * 1e6, "move_us_a_file": moved / files * 1e6}


def _at_rest(worker: Worker) -> None:
    """Wait until a worker has used next to nothing for a second and a half."""
    seen = [time.monotonic(), worker.cpu()]

    def rests() -> bool:
        now, used = time.monotonic(), worker.cpu()
        if used - seen[1] > 0.02:
            seen[:] = [now, used]
        time.sleep(0.05)
        return now - seen[0] > 1.5

    until(rests, "a worker at rest", 600)


def measure(bench: Bench) -> Dict[str, Any]:
    """Measure all, interleaved."""
    jobs = bench.size(10_000, 50)
    ways: List[Callable[[str, int], float]] = [many, by_lines, bare_bulk]
    taken: Dict[str, List[float]] = {way.__name__: [] for way in ways}
    for number in range(bench.rounds):
        for way in rotated(ways, number):
            with bench.directory() as place:
                taken[way.__name__].append(way(place, jobs))
    ours, bare = one_at_a_time(bench, bench.size(500, 10))
    files = bench.size(10_000, 20)
    return {
        "jobs": jobs,
        "enqueue_many_a_second": jobs / median(taken["many"]),
        "enqueue_lines_a_second": jobs / median(taken["by_lines"]),
        "bare_bulk_a_second": jobs / median(taken["bare_bulk"]),
        "many_to_bare_bulk": ratio_of_pairs(taken["bare_bulk"], taken["many"]),
        "one_ms": median(ours) * 1e3,
        "bare_one_ms": median(bare) * 1e3,
        "one_to_bare": median(ours) / median(bare),
        "one_to_bare_of_sums": sum(ours) / sum(bare),
        "dropped_files": files,
        "dropped_paused": dropped(bench, files, paused=True),
        "dropped_running": dropped(bench, files, paused=False),
    }

"""From the rename into pending/ to the first instruction of the command, by the millisecond.

The command opens a FIFO that the measurer reads, so the start of the shell is in it.
"""

import os
import threading
import time
from pathlib import Path
from typing import Any, Callable, Dict, List

from spoolq import instants
from spoolq.job import Job
from spoolq.names import Name, new_id
from tests.benchmarks import fill
from tests.benchmarks.bench import Bench, Worker, percentile, settle, until

EVERYWHERE = True
_STREAM_EVERY = 0.005  # seconds between two jobs of the stream beside


def put(spool: str, command: str, priority: int = 5) -> str:
    """Put a whole job into pending/ with one rename, unsynced, as `mv` does; return its id."""
    job = Job({"command": command, "priority": priority})
    name = Name(instants.to_stamp(instants.now()), priority, 0, new_id())
    made = os.path.join(spool, "tmp", f"new.{name.id}")
    Path(made).write_bytes(job.to_bytes())
    os.rename(made, os.path.join(spool, "pending", str(name)))
    return name.id


def samples(spool: str, fifo: Path, times: int, ready: Callable[[], bool]) -> List[float]:
    """Milliseconds from the rename to the first instruction, each time when all is `ready`."""
    taken = []
    data = Job({"command": f"echo > {fifo}", "priority": 9}).to_bytes()
    for number in range(times):
        new = Path(spool, "tmp", f"sample.{number}")
        new.write_bytes(data)
        until(ready, "a worker that waits")
        name = Name(instants.to_stamp(instants.now()), 9, 0, new_id())
        started = time.perf_counter()
        os.rename(new, os.path.join(spool, "pending", str(name)))
        fifo.read_bytes()
        taken.append((time.perf_counter() - started) * 1e3)
    return taken


def idle(bench: Bench, times: int, busy: int = 0) -> List[float]:
    """Samples with a worker of which one slot is free, and so many others run something."""
    with bench.directory() as place:
        spool, fifo = _spool(place)
        with Worker(spool, "--count", str(busy + 1)) as worker:
            worker.ready()
            for _ in range(busy):
                put(spool, "exec sleep 3600")
            until(lambda: len(fill.names_in(spool, "processing")) == busy, "sleeping jobs")
            settle(place)
            taken = samples(
                spool, fifo, times, lambda: len(fill.names_in(spool, "processing")) == busy
            )
            completed = len(fill.names_in(spool, "completed"))
            if busy:
                worker.stop(0.1)  # does not wait for what sleeps
        assert times - 1 <= completed <= times
    return taken


def beside_a_stream(bench: Bench, times: int) -> List[float]:
    """Samples with two workers that claim and run a stream of other jobs at the same time."""
    with bench.directory() as place:
        spool, fifo = _spool(place)
        over = threading.Event()
        put_in: List[str] = []

        def stream() -> None:
            while not over.wait(_STREAM_EVERY):
                put_in.append(put(spool, "true"))

        settle(place)
        with Worker(spool, "--count", "2") as one, Worker(spool, "--count", "2") as other:
            one.ready()
            other.ready()
            feeder = threading.Thread(target=stream)
            feeder.start()
            try:
                taken = samples(spool, fifo, times, lambda: True)
            finally:
                over.set()
                feeder.join()
            until(
                lambda: len(fill.names_in(spool, "completed")) == len(put_in) + times,
                "the end of the stream",
            )
    return taken


def _spool(place: str) -> "tuple[str, Path]":
    fifo = Path(place, "fifo")
    os.mkfifo(fifo)
    return fill.make(os.path.join(place, "spool")), fifo


def figures(taken: List[float]) -> Dict[str, Any]:
    """Return what is told of samples."""
    return {
        "samples": len(taken),
        **{f"p{percent}_ms": percentile(taken, percent) for percent in (50, 95, 99)},
        "worst_ms": max(taken),
    }


def measure(bench: Bench) -> Dict[str, Any]:
    """Measure all three, in turn, so many rounds; their samples are put together."""
    each = bench.size(200, 5)
    taken: Dict[str, List[float]] = {"idle": [], "busy": [], "stream": []}
    for _ in range(bench.rounds):
        taken["idle"] += idle(bench, each)
        taken["busy"] += idle(bench, each, busy=3)
        taken["stream"] += beside_a_stream(bench, each)
    return {
        "stream_every_ms": _STREAM_EVERY * 1e3,
        **{name: figures(some) for name, some in taken.items()},
    }

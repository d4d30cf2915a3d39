"""Calls of a Python function a second, in two processes, by spoolq and by rq's own pool.

The function adds a byte to a file. All calls are enqueued first; the time is from the start of the
worker until the file has a byte for each, imports and forks included.
"""

import contextlib
import os
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List

from spoolq import Spool
from tests.benchmarks import fill
from tests.benchmarks.bench import (
    SPOOLQ,
    Bench,
    Miscount,
    demand_exactly,
    median,
    ratio_of_pairs,
    rotated,
    say,
    settle,
    watch,
)
from tests.benchmarks.contenders import SYNCED, UNSYNCED, Contender, Ready, Start, group
from tests.benchmarks.rivals import rq
from tests.benchmarks.tables import NOT_ASKED_FOR

EVERYWHERE = False
_FUNCTION = "tests.benchmarks.tasks:mark"
_KEEPS = "the calls that wait"


def ours(durability: str) -> Ready:
    """Return how spoolq gets ready with two warm processes."""

    @contextlib.contextmanager
    def ready(place: str, paths: List[str]) -> Iterator[Start]:
        spool = fill.make(os.path.join(place, "spool"), durability=durability)
        with Spool(spool) as front:
            for path in paths:
                front.enqueue_call(_FUNCTION, path)
        module = _FUNCTION.partition(":")[0]
        options = ["--executor", "python", "--preload", module, "--count", "2", "--drain"]
        with group() as start:
            yield lambda: [start(*SPOOLQ, "--spool", spool, "worker", "start", *options)]

    return ready


OURS = [
    Contender("spoolq, full", "ours", SYNCED, ours("full"), True),
    Contender("spoolq, none", "ours", UNSYNCED, ours("none")),
]
RQ = [
    Contender(
        f"rq worker-pool -n 2 ({said})",
        "queue",
        _KEEPS,
        rq(worker, "mark"),
        True,
        ["redis-server"],
        ["rq", "redis"],
        at_most,
    )
    for said, worker, at_most in (
        ("its default", "rq.worker.Worker", 500),
        ("SimpleWorker", "rq.worker.SimpleWorker", 500),
    )
]


def once(bench: Bench, contender: Contender, calls: int) -> float:
    """Let a contender make so many calls and return how many a second.

    Raises:
        Miscount: not every call was made exactly once.
    """
    with bench.directory() as place:
        out = Path(place, "out")
        with contender.ready(place, [str(out)] * calls) as start:
            settle(place)
            started = time.perf_counter()
            processes = start()
            seen = watch(out, calls, started, 30.0 if bench.quick else 120.0)
            if contender.kind == "ours":
                for process in processes:
                    process.wait(120)
        demand_exactly(out, calls)
    return seen.a_second


def measure(bench: Bench) -> Dict[str, Any]:
    """Let all make calls in turn, so many rounds."""
    calls = bench.size(4000, 50)
    contenders, left_out = [*OURS], {}
    for rival in RQ:
        asked = "all" in bench.rivals or any(name in rival.name for name in bench.rivals)
        problem = rival.unable() if asked else NOT_ASKED_FOR
        if problem:
            left_out[rival.name] = problem
        else:
            contenders.append(rival)
    rows: List[Dict[str, float]] = []
    miscounted: Dict[str, List[str]] = {}
    for number in range(bench.rounds):
        rows.append({})
        for contender in rotated(contenders, number):
            try:
                rate = once(bench, contender, min(calls, contender.at_most))
            except (Miscount, TimeoutError) as error:
                if contender.kind == "ours":
                    raise
                say(f"  {contender.name}: {error}")
                miscounted.setdefault(contender.name, []).append(str(error))
                continue
            say(f"  {number + 1}: {contender.name}: {rate:.0f} calls a second")
            rows[-1][contender.name] = rate
    return {
        "contenders": {
            contender.name: {
                "calls": min(calls, contender.at_most),
                "keeps": contender.keeps,
                **_rates(contender.name, rows),
                "to": {rival.name: _to(rival.name, contender.name, rows) for rival in RQ},
                "miscounted": miscounted.get(contender.name, []),
            }
            for contender in contenders
        },
        "left_out": left_out,
    }


def _rates(name: str, rows: List[Dict[str, float]]) -> Dict[str, Any]:
    rates = [row[name] for row in rows if name in row]
    return {"a_second": median(rates) if rates else None, "rounds_a_second": rates}


def _to(base: str, name: str, rows: List[Dict[str, float]]) -> Any:
    both = [row for row in rows if base in row and name in row]
    if not both:
        return None
    return ratio_of_pairs([row[name] for row in both], [row[base] for row in both])

"""The small cases, measured: real workers and producers on one host, on a fresh ext4.

All jobs are enqueued first, all workers stand ready on a paused spool, and the time is from the
first job to the last. What others did on the machine meanwhile is noted beside each figure.
"""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple

from tests.benchmarks import fill
from tests.benchmarks.bench import (
    Bench,
    Worker,
    clean_environment,
    demand_exactly,
    rotated,
    say,
    settle,
    until,
    watch,
)
from tests.scaling.others import Others, busy_seconds
from tests.scaling.rows import Rows

SHORT, NAP = 0.0, 0.05  # seconds that a job sleeps


class Case(NamedTuple):
    """So many workers of so many slots, shared out over so many spools of one filesystem."""

    workers: int
    slots: int
    spools: int
    durability: str
    nap: float
    jobs: int

    def key(self) -> str:
        """Return its name among the figures."""
        kind = f"nap {self.nap:g} s" if self.nap else "short"
        return f"{self.workers}x{self.slots} on {self.spools}, {self.durability}, {kind}"


def cases(bench: Bench) -> List[Case]:
    """Return what is measured."""
    short = bench.size(2000, 24)
    found = []
    for durability in ("full", "none"):
        for workers in bench.size([1, 2, 4, 8], [1, 2]):
            for slots in bench.size([1, 2, 4], [1]):
                found.append(Case(workers, slots, 1, durability, SHORT, short))
            for slots in bench.size([1, 4], [2]):
                jobs = bench.size(30, 4) * workers * slots
                found.append(Case(workers, slots, 1, durability, NAP, jobs))
        for workers in bench.size([16, 32], []):
            found.append(Case(workers, 1, 1, durability, SHORT, short))
        for spools in (2, 4):
            for workers in bench.size([4, 8], [4]):
                found.append(Case(workers, 1, spools, durability, SHORT, short))
    return found


def run(case: Case, bench: Bench) -> Dict[str, float]:
    """Measure a case once."""
    with bench.directory() as place, contextlib.ExitStack() as stack:
        out = Path(place, "out")
        before = f"sleep {case.nap:g}; " if case.nap else ""
        spools = []
        for number in range(case.spools):
            spool = fill.make(os.path.join(place, f"s{number}"), durability=case.durability)
            fill.fill(spool, f"{before}printf x >> {out}", pending=case.jobs // case.spools)
            Path(spool, "paused").touch()
            spools.append(spool)
        some = [
            stack.enter_context(Worker(spools[number % case.spools], "--count", str(case.slots)))
            for number in range(case.workers)
        ]
        for worker in some:
            worker.ready()
        settle(place)
        used, children = sum(map(Worker.cpu, some)), sum(map(_waited_for, some))
        others, busy = Others(), busy_seconds()
        for spool in spools:
            Path(spool, "paused").unlink()
            bell = Path(spool, "pending", ".bell")
            bell.touch()
            bell.unlink()
        seen = watch(out, case.jobs, time.perf_counter())
        elsewhere = others.cores()
        busy = busy_seconds() - busy
        until(lambda: _ended(spools) == case.jobs, "all outcomes")
        used = sum(map(Worker.cpu, some)) - used
        children = sum(map(_waited_for, some)) - children
        for worker in some:
            worker.stop()
        demand_exactly(out, case.jobs)
    return {
        "a_second": seen.after_first,
        "worker_us": used / case.jobs * 1e6,
        "command_us": children / case.jobs * 1e6,
        "all_us": (busy - elsewhere * seen.last) / case.jobs * 1e6,
        "busy_cores": busy / seen.last,
        "others_cores": elsewhere,
    }


def _ended(spools: List[str]) -> int:
    return sum(len(fill.names_in(spool, "completed")) for spool in spools)


def _waited_for(worker: Worker) -> float:
    """Return the seconds of CPU of the commands that a worker has seen end."""
    fields = Path(f"/proc/{worker.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[13]) + int(fields[14])) / os.sysconf("SC_CLK_TCK")


# --- producers ------------------------------------------------------------------------------------

_PRODUCE = """
import sys
from spoolq import Spool
with Spool(sys.argv[1]) as spool:
    print(flush=True)
    sys.stdin.readline()
    for _ in range(int(sys.argv[2])):
        spool.enqueue_many(["true"] * int(sys.argv[3]))
"""


class Feed(NamedTuple):
    """So many producers, shared out over so many spools, that enqueue so many at a time."""

    producers: int
    spools: int
    durability: str
    batch: int
    batches: int

    def key(self) -> str:
        """Return its name among the figures."""
        return f"{self.producers} on {self.spools}, {self.durability}, {self.batch} at a time"


def feeds(bench: Bench) -> List[Feed]:
    """Return what is measured."""
    found = []
    for durability in ("full", "none"):
        for producers in bench.size([1, 2, 4], [2]):
            for spools in sorted({1, producers}):
                found.append(Feed(producers, spools, durability, 1, bench.size(400, 5)))
                found.append(Feed(producers, spools, durability, 1000, bench.size(5, 1)))
    return found


def produce(feed: Feed, bench: Bench) -> Dict[str, float]:
    """Measure a feed once."""
    with bench.directory() as place, contextlib.ExitStack() as stack:
        spools = [
            fill.make(os.path.join(place, f"s{number}"), durability=feed.durability)
            for number in range(feed.spools)
        ]
        command = [sys.executable, "-c", _PRODUCE]
        some = [
            stack.enter_context(_producer([*command, spools[number % feed.spools]], feed))
            for number in range(feed.producers)
        ]
        for one in some:
            one.stdout.readline()
        settle(place)
        others, started = Others(), time.perf_counter()
        for one in some:
            one.stdin.close()
        for one in some:
            if one.wait():
                raise ChildProcessError("a producer failed")
        taken, elsewhere = time.perf_counter() - started, others.cores()
        jobs = feed.producers * feed.batch * feed.batches
        assert sum(len(fill.names_in(spool, "pending")) for spool in spools) == jobs
    return {"a_second": jobs / taken, "others_cores": elsewhere}


@contextlib.contextmanager
def _producer(command: List[str], feed: Feed) -> Iterator[Any]:
    process = subprocess.Popen(
        [*command, str(feed.batches), str(feed.batch)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=clean_environment(),
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


# --- all of it ------------------------------------------------------------------------------------


def measure(bench: Bench, rows: Rows) -> None:
    """Measure every case and every feed once a round, where calm rows are missing."""
    for number in range(bench.rounds):
        say(f"round {number + 1} of {bench.rounds}")
        both: List[Any] = [("cases", run, cases(bench)), ("feeds", produce, feeds(bench))]
        for part, once, some in both:
            for one in rotated(some, number * 7):
                rows.measure(
                    bench,
                    part,
                    one.key(),
                    lambda once=once, one=one: {**one._asdict(), **once(one, bench)},
                )

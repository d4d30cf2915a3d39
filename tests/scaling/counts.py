"""How often claims are lost, and what that takes, in real workers that share a spool.

It looks into the worker for that, by two functions that are its own: `take` gives the next name,
and `_claim` returns a slot where another worker was faster.
"""

import contextlib
import os
import subprocess
import sys
import time
from pathlib import Path

from tests.benchmarks import fill
from tests.benchmarks.bench import Bench, clean_environment, demand_exactly, end_runs, until, watch
from tests.scaling.rows import Row, Rows

#: `spoolq`, but it leaves behind how many claims were won and lost, and the time of the lost.
_COUNTING = """
import sys
from time import thread_time
from spoolq.agenda import Agenda
from spoolq.claiming import Claiming
from spoolq.cli.main import main

won, lost, began = [], [], []
take, claim = Agenda.take, Claiming._claim

def timed_take(self):
    began[:] = [thread_time()]
    return take(self)

def counted_claim(self, *args):
    slot = claim(self, *args)
    (won if slot is None else lost).append(thread_time() - began[0])
    return slot

Agenda.take, Claiming._claim = timed_take, counted_claim
path, sys.argv[1:] = sys.argv[1], sys.argv[2:]
try:
    main()
finally:
    with open(path, "w") as file:
        print(len(won), len(lost), sum(lost), file=file)
"""


def lost_claims(bench: Bench, workers: int, slots: int) -> Row:
    """Return how many claims are lost for each that is won, among so many workers of one spool."""
    jobs = bench.size(1000, 20)
    with bench.directory() as place, contextlib.ExitStack() as stack:
        spool, out = fill.make(os.path.join(place, "spool")), Path(place, "out")
        fill.fill(spool, f"printf x >> {out}", pending=jobs)
        Path(spool, "paused").touch()
        stack.callback(end_runs, spool)
        some = []
        for number in range(workers):
            words = [f"{place}/{number}", "--spool", spool, "worker", "start", f"--count={slots}"]
            process = subprocess.Popen(
                [sys.executable, "-c", _COUNTING, *words],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=clean_environment(),
            )
            stack.callback(process.wait)
            stack.callback(process.kill)
            some.append(process)
        there = Path(spool, "workers")
        until(lambda: len(list(there.iterdir())) == workers, "all workers")
        time.sleep(1.2)  # until each has had its first tick
        Path(spool, "paused").unlink()
        bell = Path(spool, "pending", ".bell")
        bell.touch()
        bell.unlink()
        watch(out, jobs, time.perf_counter())
        for process in some:
            process.terminate()
        for process in some:
            process.wait(60)
        demand_exactly(out, jobs)
        told = [Path(place, str(number)).read_text().split() for number in range(workers)]
    won, lost, seconds = (sum(float(words[field]) for words in told) for field in (0, 1, 2))
    return {"won": won, "lost": lost, "lost_for_each": lost / won, "each": seconds / max(lost, 1)}


def measure(bench: Bench, rows: Rows) -> None:
    """Count among few and among many workers."""
    for _ in range(bench.rounds):
        for workers, slots in bench.size([(1, 1), (2, 1), (4, 1), (8, 1), (4, 4)], [(2, 1)]):
            rows.measure(
                bench,
                "counts",
                f"{workers}x{slots}",
                lambda workers=workers, slots=slots: lost_claims(bench, workers, slots),
                calm=False,
            )

"""Batch: workers that forward to a real Slurm are killed, and so are Slurm's own daemons."""

import os
import random
import signal
import subprocess
import time
from contextlib import contextmanager
from typing import Iterator, List, Optional, Set

from tests.executors.batch import cluster

from .. import checker
from ..cases import Bench, Case
from ..place import age, body, wait_for

_WORKER = ("worker", "start", "--executor", "slurm", "-o", "poll=1s", "--count", "24")
_RETRIES = 100


def _unable() -> Optional[str]:
    import importlib.util

    if importlib.util.find_spec("psij") is None:
        return "PSI/J is not installed: pip install 'spoolq[psij]'"
    return cluster.why_not() or None


@contextmanager
def _slurm(bench: Bench) -> Iterator[cluster.Slurm]:
    slurm = cluster.Slurm(os.path.join(bench.place.top, "slurm"), share=4)
    bench.place = bench.place._replace(variables=slurm.environment)
    try:
        yield slurm.start()
    finally:
        slurm.stop()


class _Forwarder:
    """A worker that is killed at random moments, and another started in its place."""

    def __init__(self, bench: Bench, seed: int) -> None:
        self._bench = bench
        self._chance = random.Random(seed)
        self._worker: Optional[subprocess.Popen[bytes]] = None
        self.kills = 0

    def run(self, done: int, seconds: float, slurm: cluster.Slurm, daemons: List[str]) -> None:
        """Go on until so many jobs are completed; the last worker leaves by itself."""
        until = time.monotonic() + seconds
        harmed = 0
        while len(self._bench.place.names("completed")) < done * 0.7:
            if not self._bench.check(time.monotonic() < until, f"not done in {seconds:g} s"):
                break
            self._worker = self._worker or self._bench.place.start(*_WORKER)
            time.sleep(self._chance.choice((0.8, 1.5, 2.5, 5.0)) * self._chance.uniform(0.7, 1.3))
            self.kill()
            self.kills += 1
            if daemons and self.kills % 3 == 0:
                slurm.restart(daemons[harmed % len(daemons)])
                harmed += 1
        self._bench.count("kills", self.kills)
        self._bench.count("restarts of Slurm's daemons", harmed)
        age(os.path.join(self._bench.place.spool, "tmp"))  # where some died while they began
        last = self._bench.place.start(*_WORKER, "--drain")
        over = wait_for(lambda: last.poll() is not None, seconds)
        self._bench.check(over, "the rest is not done")
        if not over:
            last.kill()
            last.wait()

    def kill(self) -> None:
        """Kill the worker that runs, if one does."""
        if self._worker is not None:
            self._worker.send_signal(signal.SIGKILL)
            self._worker.wait()
            self._worker = None


def _jobs(bench: Bench, number: int) -> Set[str]:
    chance = random.Random(7)
    bench.place.make(max_retries=_RETRIES)
    lines = [body(f"sleep {chance.choice((0.0, 0.1, 0.5, 2.0))}; ") for _ in range(number)]
    return set(bench.place.enqueue(lines))


def _judge(bench: Bench, ids: Set[str]) -> checker.Snapshot:
    found = bench.settled(ids, _RETRIES)
    for job in found.jobs.values():
        notes = bench.place.noted(job.id)
        bench.check(job.state == "completed", f"{job.id} is {job.state}")
        begun = sum(note.startswith("start") for note in notes)
        bench.check(begun == 1, f"{job.id} ran {begun} times: {notes}")
        bench.count("attempts that were lost", len(job.history) - 1)
    return found


def _kill_workers(bench: Bench) -> None:
    number = 1500 if bench.long else 60
    with _slurm(bench) as slurm:
        ids = _jobs(bench, number)
        forwarder = _Forwarder(bench, seed=1)
        forwarder.run(number, 2400 if bench.long else 180, slurm, [])
        bench.check(forwarder.kills > 3, f"{forwarder.kills} kills are none")
        _judge(bench, ids)


def _kill_workers_and_restart_slurm(bench: Bench) -> None:
    number = 1500 if bench.long else 60
    with _slurm(bench) as slurm:
        ids = _jobs(bench, number)
        forwarder = _Forwarder(bench, seed=2)
        forwarder.run(number, 2400 if bench.long else 180, slurm, ["slurmctld", "slurmd"])
        _judge(bench, ids)


_TRUSTING = """
from spoolq.executors import Fate
from spoolq.executors.batch import courier
courier.Courier._found = lambda self, ticket, native, answer: courier.Found(ticket, Fate.OVER)
"""


def _take_what_is_alive_for_over(bench: Bench) -> None:
    bench.place = bench.place.spoiled(_TRUSTING)
    with _slurm(bench) as slurm:
        ids = _jobs(bench, 24)
        _Forwarder(bench, seed=3).run(24, 20, slurm, [])
        _judge(bench, ids)
    del bench.tried["attempts that were lost"]  # it is made to lose them


CASES = [
    Case("workers are killed", _kill_workers, _unable),
    Case("workers are killed and Slurm is restarted", _kill_workers_and_restart_slurm, _unable),
    Case(
        "what is alive is taken for over",
        _take_what_is_alive_for_over,
        _unable,
        expects="ran ([2-9]|[0-9]{2}) times",
    ),
]

"""Workers beside hostile things: are they alive, at rest, modest, and brief in what they say?"""

import contextlib
import os
import subprocess
import time
from typing import Iterator, List

from ..cases import Bench
from ..place import body, wait_for

#: What spoolq makes of a bug.
_BUG = "this is a bug in spoolq"
_TICKS = os.sysconf("SC_CLK_TCK")


@contextlib.contextmanager
def workers(bench: Bench, number: int = 1, count: int = 3) -> "Iterator[List[subprocess.Popen]]":
    """Let workers run beside the body; they have to live, and to leave when they are asked."""
    place = bench.place
    before = place.said().count(" at a time")
    crew = [place.start("worker", "start", "--count", str(count)) for _ in range(number)]
    try:
        ready = wait_for(lambda: place.said().count(" at a time") - before >= number, 60)
        bench.check(ready, f"the workers do not start: {place.said()[-400:]}")
        yield crew
        for worker in crew:
            bench.check(worker.poll() is None, f"a worker ended: {place.said()[-400:]}")
            bench.modest(worker.pid)
            worker.terminate()
        for worker in crew:
            left = wait_for(lambda worker=worker: worker.poll() is not None, 60)  # type: ignore
            bench.check(left and worker.returncode == 0, f"its exit: {worker.poll()}")
        no_bug(bench, place.said(), "a worker's log")
    finally:
        for worker in crew:
            worker.kill()
            worker.wait()


def no_bug(bench: Bench, text: str, what: str) -> None:
    """Note a traceback."""
    at = max(text.find("Traceback"), text.find(_BUG))
    bench.check(at < 0, f"{what} has a traceback: {text[max(at - 200, 0) : at + 1500]}")


def good(bench: Bench, number: int = 3, seconds: float = 60.0) -> None:
    """Enqueue good jobs; each runs once, whatever else is there."""
    place = bench.place
    ids = place.enqueue([body()] * number)
    ran_once(bench, ids, seconds)


def ran_once(bench: Bench, ids: List[str], seconds: float = 60.0) -> None:
    """Wait until these jobs have run, and see that each did so once."""
    place = bench.place
    ended = wait_for(lambda: all("end" in place.noted(one) for one in ids), seconds)
    late = [one for one in ids if "end" not in place.noted(one)]
    bench.check(ended, f"{len(late)} good jobs of {len(ids)} have not run: {late[:3]}")
    for one in set(ids) - set(late):
        bench.check(place.noted(one) == ["start 1", "end"], f"{one} ran {place.noted(one)}")
    bench.count("good jobs", len(ids))


def seconds_of(pid: int) -> float:
    """Return the processor time that a process has taken."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        user, system = file.read().rpartition(")")[2].split()[11:13]
    return (int(user) + int(system)) / _TICKS


def at_rest(bench: Bench, crew: "List[subprocess.Popen]", part: float = 0.2) -> None:
    """See that workers with nothing to do take little of the processor, and say nothing."""

    def rests() -> bool:
        before, began = [seconds_of(one.pid) for one in crew], time.monotonic()
        said = len(bench.place.said())
        wait_for(lambda: time.monotonic() > began + 1.5, 5)
        spent = sum(seconds_of(one.pid) for one in crew) - sum(before)
        quiet = len(bench.place.said()) == said
        return quiet and spent < part * (time.monotonic() - began) * len(crew)

    bench.check(any(rests() for _ in range(4)), "the workers do not come to rest")

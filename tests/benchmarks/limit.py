"""How near to xargs a worker can come that is one loop: the rate against what each job costs it.

A loop that starts jobs two at a time, waits for them, and computes for so many microseconds a job
instead of being spoolq. Beside it what spoolq's worker costs, and what the bare system calls cost
that the format asks of a job: what is left between is Python.
"""

import os
import select
import time
from pathlib import Path
from typing import Any, Callable, Dict, List

from spoolq import Spool
from tests.benchmarks import fill
from tests.benchmarks.bench import Bench, demand_exactly, median, rotated, settle
from tests.benchmarks.contenders import XARGS
from tests.benchmarks.growth import cost

EVERYWHERE = False
_COSTS = (0, 100, 200, 300, 400, 500)  # µs
_GOALS = (0.80, 0.65)  # of the rate of xargs


def loop(command: str, jobs: int, cost_us: float) -> float:
    """Run a command so often, two at a time, computing so long for each; return µs a job."""
    null = os.open(os.devnull, os.O_RDWR)
    actions = [(os.POSIX_SPAWN_DUP2, null, number) for number in range(3)]
    poll, running, left = select.poll(), {}, jobs
    started = time.perf_counter()
    while left or running:
        while left and len(running) < 2:
            words = ["/bin/sh", "-c", command]
            pid = os.posix_spawn(words[0], words, os.environ, file_actions=actions, setsid=True)
            ended = os.pidfd_open(pid)
            poll.register(ended, select.POLLIN)
            running[ended], left = pid, left - 1
        for ended, _ in poll.poll():
            poll.unregister(ended)
            os.close(ended)
            os.waitpid(running.pop(ended), 0)
            _compute(cost_us / 1e6)
    os.close(null)
    return (time.perf_counter() - started) / jobs * 1e6


def _compute(seconds: float) -> None:
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        pass


def xargs(place: str, command: str, jobs: int) -> float:
    """Let xargs do the same; return µs a job."""
    with XARGS.ready(place, [command] * jobs) as start:
        started = time.perf_counter()
        for process in start():
            process.wait(120)
    return (time.perf_counter() - started) / jobs * 1e6


def calls(place: str, jobs: int) -> float:
    """Return the µs of the system calls that the format asks of one job, and of nothing else."""
    names = ("pending", "processing", "completed", "logs", "w")
    for name in names:
        os.mkdir(os.path.join(place, name))
    at = {name: os.open(os.path.join(place, name), os.O_RDONLY) for name in names}
    new = os.O_CREAT | os.O_EXCL | os.O_RDWR | os.O_CLOEXEC
    record = b"x" * 400
    for number in range(jobs):
        os.close(os.open(f"{number}", new, 0o600, dir_fd=at["pending"]))
    os.close(os.open("lock", new, 0o600, dir_fd=at["w"]))
    started = time.perf_counter()
    for number in range(jobs):
        _calls_of_one(f"{number}", at, new, record)
    taken = time.perf_counter() - started
    for descriptor in at.values():
        os.close(descriptor)
    return taken / jobs * 1e6


def _calls_of_one(name: str, at: Dict[str, int], new: int, record: bytes) -> None:
    import fcntl

    def move(source: str, target: str, to: str = name) -> None:
        os.rename(name, to, src_dir_fd=at[source], dst_dir_fd=at[target])

    slot = os.open("lock", os.O_RDWR | os.O_CLOEXEC, dir_fd=at["w"])
    fcntl.flock(slot, fcntl.LOCK_EX | fcntl.LOCK_NB)
    move("pending", "processing")
    job = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=at["processing"])
    os.fstat(job)
    os.read(job, 1 << 20)
    os.close(job)
    log = os.open(name, new, 0o600, dir_fd=at["logs"])
    os.write(slot, record)  # who leads the run
    os.fstat(log)
    os.close(log)
    os.unlink(name, dir_fd=at["logs"])
    outcome = os.open(name, new, 0o600, dir_fd=at["w"])
    os.write(outcome, record)
    os.close(outcome)
    move("w", "processing")
    move("processing", "completed")
    os.close(slot)


def spoolq(place: str, jobs: int, durability: str) -> Dict[str, float]:
    """Return what a job costs the worker itself, and how long it takes, in µs."""
    path = fill.make(os.path.join(place, "spool"), durability=durability)
    out = Path(place, "out")
    with Spool(path) as spool:
        spool.enqueue_many([f"printf x >> {out}"] * jobs)
    return cost(path, out, jobs)


def measure(bench: Bench) -> Dict[str, Any]:
    """Measure all in turn, so many rounds."""
    jobs = bench.size(2000, 20)
    taken: Dict[str, List[float]] = {}
    ratios: Dict[float, List[float]] = {cost_us: [] for cost_us in _COSTS}

    def once(what: str, run: Callable[[str], float]) -> float:
        with bench.directory() as place:
            settle(place)
            taken.setdefault(what, []).append(run(place))
        return taken[what][-1]

    for number in range(bench.rounds):
        theirs = once("xargs", lambda place: xargs(place, _printf(place), jobs))
        for cost_us in rotated(list(_COSTS), number):
            ours = once(f"loop {cost_us}", lambda place, c=cost_us: _loop(place, jobs, c))
            ratios[cost_us].append(theirs / ours)
        once("calls", lambda place: calls(place, jobs))
        for durability in ("none", "full"):
            once(f"cpu {durability}", lambda place, d=durability: spoolq(place, jobs, d)["cpu_us"])
        once("cpu loop", lambda place: _own_cpu_of_a_start(place, jobs))
    curve = [
        {"x": cost_us, "us": median(taken[f"loop {cost_us}"]), "to_xargs": median(ratios[cost_us])}
        for cost_us in _COSTS
    ]
    start = median(taken["cpu loop"])
    return {
        "xargs_us": median(taken["xargs"]),
        "curve": curve,
        "may_cost_us": {f"{goal:.2f}": reached(curve, goal) for goal in _GOALS},
        "calls_us": median(taken["calls"]),
        "spoolq_us": {d: median(taken[f"cpu {d}"]) - start for d in ("none", "full")},
    }


def _printf(place: str) -> str:
    return f"printf x >> {os.path.join(place, 'out')}"


def _loop(place: str, jobs: int, cost_us: float) -> float:
    taken = loop(_printf(place), jobs, cost_us)
    demand_exactly(Path(place, "out"), jobs)
    return taken


def _own_cpu_of_a_start(place: str, jobs: int) -> float:
    """Return the µs of its own that starting and awaiting a job costs the loop, whatever it is."""
    before = time.process_time()
    loop(_printf(place), jobs, 0)
    return (time.process_time() - before) / jobs * 1e6


def reached(curve: List[Dict[str, float]], goal: float) -> float:
    """Return the cost of a job, in µs, up to which the rate is so much of that of xargs."""
    for left, right in zip(curve, curve[1:]):
        if left["to_xargs"] >= goal >= right["to_xargs"]:
            part = (left["to_xargs"] - goal) / (left["to_xargs"] - right["to_xargs"])
            return left["x"] + part * (right["x"] - left["x"])
    return 0.0 if curve[0]["to_xargs"] < goal else float(curve[-1]["x"])

"""What every part of the benchmarks uses: where it runs, how much, a worker, and a stopwatch."""

import contextlib
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Callable, ContextManager, Dict, Iterable, List, NamedTuple, Sequence, Tuple

from tests.conftest import environment

SPOOLQ = [sys.executable, "-m", "spoolq"]
STALLED = 120.0  # seconds without a single job after which a run is given up
_CPU_CLOCK = 2  # as clock_getcpuclockid() makes the id of the clock of a process
_LOOK_EVERY = 0.001


class Miscount(AssertionError):
    """Not every job ran exactly once: whatever was measured is not worth a figure."""


class Bench(NamedTuple):
    """Where and how much is measured."""

    place: str  # a directory on the filesystem that is measured
    filesystem: str
    quick: bool = False
    rounds: int = 5
    disposable: bool = False  # the filesystem is gone after the part
    rivals: Tuple[str, ...] = ("all",)  # who to measure beside us, where there is a choice

    def size(self, full: Any, quick: Any) -> Any:
        """Return how many: `full`, or `quick` where only is tried that it runs."""
        return quick if self.quick else full

    def directory(self, large: bool = False) -> ContextManager[str]:
        """Return a fresh directory that goes when it is left.

        A large one stays where the whole filesystem goes soon: to remove a million files takes
        minutes.
        """
        if large and self.disposable:
            return contextlib.nullcontext(tempfile.mkdtemp(prefix="b", dir=self.place))
        return tempfile.TemporaryDirectory(prefix="b", dir=self.place)


def say(text: str) -> None:
    """Tell whoever waits, on standard error."""
    print(text, file=sys.stderr, flush=True)


def clean_environment(**changes: str) -> Dict[str, str]:
    """Return an environment in which nobody's own settings for spoolq count."""
    return {k: v for k, v in environment(**changes).items() if not k.startswith("SPOOLQ_")}


def timed(command: Sequence[str], **options: Any) -> float:
    """Run a command to its success and return its seconds."""
    options.setdefault("stdout", subprocess.DEVNULL)
    started = time.perf_counter()
    subprocess.run(command, check=True, env=clean_environment(), **options)
    return time.perf_counter() - started


def settle(place: str) -> None:
    """Write out what earlier steps left to be written, so that nobody else pays for it."""
    subprocess.run(["sync", "-f", place], check=True)


def until(condition: Callable[[], Any], what: str, deadline: float = STALLED) -> Any:
    """Wait for a condition, looking each millisecond, and return what it returned last."""
    end = time.monotonic() + deadline
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {deadline:g} s")
        time.sleep(_LOOK_EVERY)


def size_of(path: Path) -> int:
    """Return the bytes in a file, none where it is not there."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


class Watched(NamedTuple):
    """When jobs ran, in seconds from the start of who runs them."""

    first: float
    last: float
    jobs: int

    @property
    def a_second(self) -> float:
        """Jobs a second, the start of the worker included."""
        return self.jobs / self.last

    @property
    def after_first(self) -> float:
        """Jobs a second from the first job on: the start of the worker left out."""
        return (self.jobs - 1) / max(self.last - self.first, 1e-9)


def watch(out: Path, jobs: int, started: float, stalled: float = STALLED) -> Watched:
    """Watch a file to which each job adds one byte until it has as many as there are jobs.

    Raises:
        Miscount: no job came for `stalled` seconds.
    """
    first, seen, seen_at = 0.0, 0, time.perf_counter()
    while True:
        size, now = size_of(out), time.perf_counter()
        if size and not first:
            first = now - started
        if size >= jobs:
            return Watched(first, now - started, jobs)
        if size > seen:
            seen, seen_at = size, now
        elif now - seen_at > stalled:
            raise Miscount(f"{size} of {jobs} jobs ran, and then none for {stalled:g} s")
        time.sleep(_LOOK_EVERY)


def demand_exactly(out: Path, jobs: int) -> None:
    """Refuse a run in which some job ran twice or not at all."""
    size = size_of(out)
    if size != jobs:
        raise Miscount(f"{size} runs of {jobs} jobs")


# --- processes ------------------------------------------------------------------------------------


def cpu_of(pid: int) -> float:
    """Return the seconds of CPU that a process used itself, its children left out."""
    try:
        return time.clock_gettime(~pid << 3 | _CPU_CLOCK)  # by the nanosecond, as clock(3) has it
    except OSError:
        pass
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def memory_of(pid: int, field: str = "VmRSS") -> float:
    """Return megabytes (10^6 bytes) that a process has resident, or `VmHWM`: had at the most."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024 / 1e6
    raise LookupError(field)


class Worker:
    """A `spoolq worker start` that is gone, with its runs, when the with statement is left."""

    def __init__(self, spool: str, *args: str) -> None:
        self._spool = spool
        self.started = time.perf_counter()
        self.process = subprocess.Popen(
            [*SPOOLQ, "--spool", spool, "worker", "start", *args],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=clean_environment(),
        )
        self.pid = self.process.pid

    def __enter__(self) -> "Worker":
        return self

    def __exit__(self, failed: Any, *_: object) -> None:
        self.stop(20.0 if failed is None else 0.5)

    def ready(self) -> "Worker":
        """Wait until it is a worker of its spool."""
        workers = Path(self._spool, "workers")
        until(
            lambda: any(f"-{self.pid}-" in entry.name for entry in workers.iterdir()), "the worker"
        )
        return self

    def kill(self) -> None:
        """Kill it as the kernel does when memory is short."""
        self.process.kill()
        self.process.wait()

    def stop(self, patience: float = 20.0) -> None:
        """Let it finish what runs; what it does not leave in time is killed."""
        if self.process.poll() is not None:
            return
        self.process.terminate()
        try:
            self.process.wait(patience)
        except subprocess.TimeoutExpired:
            self.kill()
            end_runs(self._spool)

    def cpu(self) -> float:
        """Return the seconds of CPU that it used, its jobs left out."""
        return cpu_of(self.pid)

    def memory(self, field: str = "VmRSS") -> float:
        """Return its megabytes."""
        return memory_of(self.pid, field)


def end_runs(spool: str) -> None:
    """Kill what carries the mark of this spool, which is a fresh path that nobody else uses."""
    mark = b"SPOOLQ_SPOOL=" + os.fsencode(os.path.realpath(spool))
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit() or int(entry.name) == os.getpid():
            continue
        try:
            if mark in (entry / "environ").read_bytes().split(b"\0"):
                os.kill(int(entry.name), 9)
        except (OSError, ValueError):  # it has gone meanwhile, or is not ours
            continue


# --- figures --------------------------------------------------------------------------------------


def median(values: Iterable[float]) -> float:
    """Return the median."""
    return float(statistics.median(values))


def percentile(values: Sequence[float], percent: float) -> float:
    """Return the smallest value that is no less than so many percent of all."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no values")
    rank = -(-len(ordered) * percent // 100)  # rounded up
    return ordered[max(int(rank) - 1, 0)]


def ratio_of_pairs(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """Return the median of the ratios round by round: each pair was measured side by side."""
    return median(a / b for a, b in zip(ours, theirs))


def rounded(value: Any, digits: int = 4) -> Any:
    """Return figures with as many digits as they are worth, whatever they lie in."""
    if isinstance(value, dict):
        return {key: rounded(item, digits) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [rounded(item, digits) for item in value]
    if isinstance(value, float):
        return float(f"{value:.{digits}g}")
    return value


def rotated(things: List[Any], by: int) -> List[Any]:
    """Return the same things beginning elsewhere, so that nobody always goes first."""
    by %= max(len(things), 1)
    return things[by:] + things[:by]

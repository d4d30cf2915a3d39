"""Who runs jobs beside whom: spoolq in its ways, and programs that run commands and forget them.

Each contender takes a directory and the commands, gets all ready as its users would (enqueued,
where it has a queue; its server up, where it needs one), and gives back a function that starts
whatever runs the jobs, two at a time. All that it started has gone when the context is left.
"""

import contextlib
import os
import shutil
import signal
import subprocess
from importlib import util
from pathlib import Path
from typing import Any, Callable, ContextManager, Iterator, List, NamedTuple, Sequence

from spoolq import Spool
from tests.benchmarks import fill
from tests.benchmarks.bench import SPOOLQ, clean_environment, end_runs

Start = Callable[[], Sequence["subprocess.Popen[bytes]"]]
Ready = Callable[[str, List[str]], ContextManager[Start]]


class Contender(NamedTuple):
    """Somebody who runs jobs."""

    name: str
    kind: str  # "ours", "runner" (nothing outlives it) or "queue"
    keeps: str  # what is left for it to run after a kill -9, and whether that was synced
    ready: Ready
    synced: bool = False  # what it was told, and what it says, survives a power cut
    programs: Sequence[str] = ()
    modules: Sequence[str] = ()
    at_most: int = 10**9  # jobs: what it can hold, or is patient enough for

    def unable(self) -> str:
        """Say why it cannot run here, or nothing if it can."""
        missing = [name for name in self.programs if shutil.which(name) is None]
        missing += [name for name in self.modules if util.find_spec(name) is None]
        return f"not installed: {', '.join(missing)}" if missing else ""


@contextlib.contextmanager
def group(patience: float = 10.0) -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
    """Give a function that starts processes, each in a session of its own; end them all at last.

    A worker with children is asked first, then its whole session is killed.
    """
    started: List[Any] = []

    def start(*command: str, **options: Any) -> "subprocess.Popen[bytes]":
        variables = clean_environment(**options.pop("env", {}))
        options = {
            "stdin": subprocess.DEVNULL,
            "stdout": subprocess.DEVNULL,
            "stderr": subprocess.DEVNULL,
            **options,
        }
        process = subprocess.Popen(command, env=variables, start_new_session=True, **options)
        started.append(process)
        return process

    try:
        yield start
    finally:
        for process in reversed(started):
            if process.poll() is None:
                process.terminate()
                try:
                    process.wait(patience)
                except subprocess.TimeoutExpired:
                    pass
            try:
                os.killpg(process.pid, signal.SIGKILL)  # the session is ours, and its number
            except ProcessLookupError:
                pass
            process.wait()


# --- ours -----------------------------------------------------------------------------------------


def ours(durability: str, workers: int = 1, count: int = 2) -> Ready:
    """Return how spoolq gets ready with so many workers of so many slots."""

    @contextlib.contextmanager
    def ready(place: str, commands: List[str]) -> Iterator[Start]:
        path = fill.make(os.path.join(place, "spool"), durability=durability)
        with Spool(path) as spool:
            spool.enqueue_many(commands)
        worker = [*SPOOLQ, "--spool", path, "worker", "start", "--count", str(count), "--drain"]
        try:
            with group() as start:
                yield lambda: [start(*worker) for _ in range(workers)]
        finally:
            end_runs(path)

    return ready


# --- runners --------------------------------------------------------------------------------------


def runner(*command: str, **variables: str) -> Ready:
    """Return how a program gets ready that reads commands from its standard input."""

    @contextlib.contextmanager
    def ready(place: str, commands: List[str]) -> Iterator[Start]:
        lines = Path(place, "lines")
        lines.write_text("".join(f"{line}\n" for line in commands))
        with group() as start, open(lines, "rb") as stdin:
            yield lambda: [
                start(*command, stdin=stdin, cwd=place, env={"HOME": place, **variables})
            ]

    return ready


SYNCED = "all jobs, those that ran too"
UNSYNCED = "all jobs, those that ran too; not synced"
OURS = [
    Contender("spoolq, full", "ours", SYNCED, ours("full"), True),
    Contender("spoolq, none", "ours", UNSYNCED, ours("none")),
    Contender("spoolq, full, 2 workers", "ours", SYNCED, ours("full", 2, 1), True),
    Contender("spoolq, none, 2 workers", "ours", UNSYNCED, ours("none", 2, 1)),
]
XARGS = Contender(
    "xargs -P2",
    "runner",
    "nothing",
    runner("xargs", "-P2", "-d", "\\n", "-n1", "sh", "-c"),
    programs=["xargs"],
)
PARALLEL = Contender(
    "GNU parallel -j2",
    "runner",
    "nothing",
    runner("parallel", "-j2", "--will-cite", PARALLEL_SHELL="/bin/sh"),
    programs=["parallel"],
    at_most=1000,
)

"""What the command line costs from a cold start of Python, on small and on large spools."""

import os
import subprocess
import sys
from typing import Any, Dict, List

from tests.benchmarks import fill
from tests.benchmarks.bench import (
    SPOOLQ,
    Bench,
    clean_environment,
    median,
    ratio_of_pairs,
    say,
    settle,
    timed,
)

EVERYWHERE = False
_CLICK = [sys.executable, "-c", "import click"]


def _enqueue(spool: str) -> List[str]:
    return [*SPOOLQ, "--spool", spool, "enqueue", "true"]


def verbs(spool: str) -> Dict[str, List[str]]:
    """Return the verbs that are timed on a spool."""
    some_id = fill.names_in(spool, "completed")[0].split(".")[3]
    program = [*SPOOLQ, "--spool", spool]
    return {
        "status_s": [*program, "status"],
        "list_s": [*program, "list", "--limit", "20"],
        "show_s": [*program, "show", some_id],
    }


def measure(bench: Bench) -> Dict[str, Any]:
    """Enqueue beside a bare import; then three verbs on spools of two sizes."""
    rounds = bench.rounds * bench.size(4, 1)
    sizes = (50, 100) if bench.quick else (100_000, 1_000_000)
    enqueue: List[float] = []
    click: List[float] = []
    with bench.directory() as place:
        spool = fill.make(os.path.join(place, "spool"))
        for command in (_CLICK, _enqueue(spool)):
            timed(command)  # the compiled files are there from now on
        settle(place)
        for _ in range(rounds):
            enqueue.append(timed(_enqueue(spool)))
            click.append(timed(_CLICK))
        assert len(fill.names_in(spool, "pending")) == rounds + 1
    return {
        "enqueue_ms": median(enqueue) * 1e3,
        "import_click_ms": median(click) * 1e3,
        "to_import_click": ratio_of_pairs(enqueue, click),
        "sizes": [_on(bench, jobs) for jobs in sizes],
    }


def _on(bench: Bench, jobs: int) -> Dict[str, Any]:
    """Time the verbs on a spool of so many jobs, of which one in ten waits."""
    pending = jobs // 10
    with bench.directory(large=True) as place:
        spool = fill.make(os.path.join(place, "spool"))
        say(f"  making a spool of {jobs:,}")
        fill.fill(spool, "true", pending=pending, completed=jobs - pending)
        commands = verbs(spool)
        said = subprocess.run(
            commands["list_s"], stdout=subprocess.PIPE, check=True, env=clean_environment()
        )
        assert len(said.stdout.splitlines()) >= 20
        taken: Dict[str, List[float]] = {name: [] for name in commands}
        for _ in range(bench.rounds):
            for name, command in commands.items():
                taken[name].append(timed(command))
    return {"jobs": jobs, **{name: median(seconds) for name, seconds in taken.items()}}

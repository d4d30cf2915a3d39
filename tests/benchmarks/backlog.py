"""What a large spool costs: the first jobs of a long queue, and the worker's memory."""

import os
import time
from pathlib import Path
from typing import Any, Dict, List, NamedTuple

from tests.benchmarks import fill
from tests.benchmarks.bench import (
    Bench,
    Miscount,
    Worker,
    median,
    ratio_of_pairs,
    rotated,
    say,
    settle,
    size_of,
    watch,
)

EVERYWHERE = False


class Case(NamedTuple):
    """A spool: what lies in it besides, or before, the jobs that are measured."""

    name: str
    pending: int
    completed: int = 0
    later: int = 0


def cases(bench: Bench) -> List[Case]:
    """Return the spools, the plain one first."""
    jobs = bench.size(2000, 20)
    large, largest = bench.size(100_000, 60), bench.size(1_000_000, 120)
    return [
        Case("nothing else", jobs),
        Case(f"{large:,} pending", large),
        Case(f"{largest:,} pending", largest),
        Case(f"{largest:,} completed", jobs, completed=largest),
        Case(f"{large:,} scheduled for later", jobs, later=large),
    ]


def once(spool: str, out: Path, jobs: int) -> Dict[str, float]:
    """Run the first jobs of a spool with two slots, and stop.

    Raises:
        Miscount: more or fewer ran than were completed.
    """
    before = len(fill.names_in(spool, "completed"))
    if size_of(out):
        out.unlink()
    settle(spool)
    with Worker(spool, "--count", "2") as worker:
        seen = watch(out, jobs, worker.started, 300)
        peak = worker.memory("VmHWM")
        worker.stop(60)
    ran, ended = size_of(out), len(fill.names_in(spool, "completed")) - before
    if ran != ended or not jobs <= ran:
        raise Miscount(f"{ran} runs, {ended} jobs completed")
    return {
        "a_second": seen.after_first,
        "first_s": seen.first,
        "peak_mb": peak,
    }


def measure(bench: Bench) -> Dict[str, Any]:
    """Let each spool's first jobs run in turn, so many rounds."""
    all_cases = cases(bench)
    jobs = all_cases[0].pending
    rounds: Dict[str, List[Dict[str, float]]] = {case.name: [] for case in all_cases}
    with bench.directory(large=True) as place:
        spools: Dict[str, str] = {}
        for number, case in enumerate(all_cases):
            say(f"  making a spool with {case.name}")
            started = time.perf_counter()
            spools[case.name] = fill.make(os.path.join(place, f"spool{number}"))
            first = 0 if case.pending == jobs else case.pending  # those are filled anew each round
            fill.fill(
                spools[case.name],
                f"printf x >> {place}/out{number}",
                pending=first,
                completed=case.completed,
                later=case.later,
            )
            say(f"    {time.perf_counter() - started:.0f} s")
        for round_number in range(bench.rounds):
            for number, case in rotated([*enumerate(all_cases)], round_number):
                out = Path(place, f"out{number}")
                if case.pending == jobs:
                    fill.fill(spools[case.name], f"printf x >> {out}", pending=jobs)
                row = once(spools[case.name], out, jobs)
                say(f"  {round_number + 1}: {case.name}: {row['a_second']:.0f} jobs a second")
                rounds[case.name].append(row)
    plain = [row["a_second"] for row in rounds[all_cases[0].name]]
    return {
        "jobs": jobs,
        "cases": {case.name: _figures(case, rounds[case.name], plain) for case in all_cases},
    }


def _figures(case: Case, rows: List[Dict[str, float]], plain: List[float]) -> Dict[str, Any]:
    return {
        "pending": case.pending,
        "completed": case.completed,
        "later": case.later,
        **{key: median(row[key] for row in rows) for key in rows[0]},
        "to_plain": ratio_of_pairs([row["a_second"] for row in rows], plain),
    }

"""Jobs a second that get done, two at a time, by spoolq and by what else could run them.

A job is `printf x >> FILE`, run by the shell. All jobs are enqueued first; the time is from the
start of whoever runs them until the file has a byte for each. After all has ended the file must
have exactly so many: a job that ran twice or never spoils the run.
"""

import os
import time
from pathlib import Path
from typing import Any, Dict, List, NamedTuple

from tests.benchmarks.bench import (
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
from tests.benchmarks.contenders import OURS, XARGS, Contender
from tests.benchmarks.rivals import RIVALS
from tests.benchmarks.tables import NOT_ASKED_FOR

EVERYWHERE = True  # it is worth measuring on each filesystem
_TRIAL = 200


class Round(NamedTuple):
    """One run of one contender: jobs a second, and seconds."""

    whole: float
    after_first: float
    first: float
    ended: float


def once(bench: Bench, contender: Contender, jobs: int) -> Round:
    """Let a contender do so many jobs.

    Raises:
        Miscount: not every job ran exactly once.
    """
    with bench.directory() as place:
        out = Path(place, "out")
        with contender.ready(place, [f"printf x >> {out}"] * jobs) as start:
            settle(place)
            started = time.perf_counter()
            processes = start()
            seen = watch(out, jobs, started, 30.0 if bench.quick else 120.0)
            ended = seen.last
            if contender.kind != "queue":  # these leave by themselves
                for process in processes:
                    process.wait(120)
                    ended = time.perf_counter() - started
        demand_exactly(out, jobs)
    return Round(seen.a_second, seen.after_first, seen.first, ended)


def chosen(bench: Bench) -> "tuple[List[Contender], Dict[str, str]]":
    """Return who takes part, and why the others do not."""
    wanted, left_out = [*OURS], {}
    for rival in RIVALS:
        if "all" not in bench.rivals and not any(name in rival.name for name in bench.rivals):
            left_out[rival.name] = NOT_ASKED_FOR
            continue
        problem = rival.unable()
        if problem:
            left_out[rival.name] = problem
            say(f"  without {rival.name}: {problem}")
        else:
            wanted.append(rival)
    return _faster_kinds(bench, wanted, left_out), left_out


def _faster_kinds(
    bench: Bench, wanted: List[Contender], left_out: Dict[str, str]
) -> List[Contender]:
    """Keep of huey's threads and processes, for each storage, what a short trial finds faster."""
    by_storage: Dict[str, List[Contender]] = {}
    for contender in wanted:
        if contender.name.startswith("huey"):
            by_storage.setdefault(contender.name.partition(" ")[0], []).append(contender)
    kept = [contender for contender in wanted if not contender.name.startswith("huey")]
    for kinds in by_storage.values():
        best = kinds[0]
        if not bench.quick and len(kinds) > 1:
            speed = {kind.name: _trial(bench, kind) for kind in kinds}
            best = max(kinds, key=lambda kind: speed[kind.name])
            for kind in kinds:
                if kind is not best:
                    said = f"slower in a trial: {speed[kind.name]:.0f} jobs a second"
                    left_out[kind.name] = f"{said}, {best.name} {speed[best.name]:.0f}"
        kept.append(best)
    return kept


def _trial(bench: Bench, contender: Contender) -> float:
    try:
        return once(bench, contender, _TRIAL).after_first
    except (Miscount, TimeoutError) as error:
        say(f"  trial of {contender.name}: {error}")
        return 0.0


def measure(bench: Bench) -> Dict[str, Any]:
    """Let all run in turn, so many rounds."""
    jobs = bench.size(4000, 50)
    contenders, left_out = chosen(bench)
    rounds: Dict[str, List[Round]] = {contender.name: [] for contender in contenders}
    miscounted: Dict[str, List[str]] = {}
    pairs: List[Dict[str, Round]] = []
    for number in range(bench.rounds):
        row: Dict[str, Round] = {}
        for contender in rotated(contenders, number):
            try:
                row[contender.name] = once(bench, contender, min(jobs, contender.at_most))
            except (Miscount, TimeoutError) as error:
                if contender.kind == "ours":
                    raise
                say(f"  {contender.name}: {error}")
                miscounted.setdefault(contender.name, []).append(str(error))
                continue
            say(f"  {number + 1}: {contender.name}: {row[contender.name].whole:.0f} jobs a second")
            rounds[contender.name].append(row[contender.name])
        pairs.append(row)
    return {
        "jobs": jobs,
        "contenders": {
            contender.name: {
                "kind": contender.kind,
                "keeps": contender.keeps,
                "synced": contender.synced,
                "jobs": min(jobs, contender.at_most),
                **_figures(rounds[contender.name]),
                "to_xargs": _to(XARGS.name, contender.name, pairs),
                "miscounted": miscounted.get(contender.name, []),
            }
            for contender in contenders
        },
        "two_workers_to_one": {
            durability: _to(f"spoolq, {durability}", f"spoolq, {durability}, 2 workers", pairs)
            for durability in ("full", "none")
        },
        "left_out": left_out,
        "cores": os.cpu_count(),
    }


def _figures(rounds: List[Round]) -> Dict[str, Any]:
    if not rounds:
        return {}
    return {
        "a_second": median(one.whole for one in rounds),
        "after_first_a_second": median(one.after_first for one in rounds),
        "first_s": median(one.first for one in rounds),
        "ended_s": median(one.ended for one in rounds),
        "rounds_a_second": [one.whole for one in rounds],
    }


def _to(base: str, name: str, pairs: List[Dict[str, Round]]) -> Any:
    both = [row for row in pairs if base in row and name in row]
    if not both:
        return None
    return ratio_of_pairs([row[name].whole for row in both], [row[base].whole for row in both])

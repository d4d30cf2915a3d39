"""A campaign of cases: each prepares, harms, looks and says what was wrong; one line of JSON.

A case that is a control works on a spoolq that breaks a rule, or its judge is given a lie: it has
to find that this very rule is broken. `python -m tests.faults.NAME` runs a campaign, pytest its
short form.
"""

import argparse
import json
import re
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Callable, Dict, Iterable, List, NamedTuple, Optional, Sequence

from . import bounds, checker
from .apart import scratch
from .place import Place

_BROKE = "the case itself broke"  # which is no way to notice what a control does


class Bench:
    """What a case works with: a place of its own, how long it may take, and what it found."""

    def __init__(self, top: str, long: bool) -> None:
        self.place = Place(top)
        self.long = long
        self.tried: Counter[str] = Counter()
        self.wrong: List[str] = []

    def count(self, what: str, number: int = 1) -> None:
        """Note what was tried: jobs, kills, files."""
        self.tried[what] += number

    def check(self, holds: Any, otherwise: str) -> bool:
        """Note what is wrong unless `holds`."""
        if not holds:
            self.wrong.append(otherwise)
        return bool(holds)

    def settled(self, ids: Iterable[str], retries: int = 3) -> checker.Snapshot:
        """Read the spool when all is over, and note what must not be, whatever was done to it.

        Args:
            ids: what was acknowledged.
            retries: what a job may have that does not say it itself.
        """
        path = self.place.spool
        found = checker.read(path)
        nothing = checker.Snapshot({}, {}, [])
        self.wrong += found.wrong + checker.lost(nothing, found, set(ids), set())
        self.wrong += checker.ill_lived(found, retries=retries) + checker.unsettled(path, found)
        self.wrong += checker.litter(path, found)
        for job_id in found.jobs:
            notes = self.place.noted(job_id)
            self.check("overlap" not in notes, f"{job_id} ran twice at the same time: {notes}")
        self.count("jobs", len(found.jobs))
        return found

    def modest(self, *pids: int) -> None:
        """See that processes have never taken much memory: those that still live."""
        for pid in pids:
            self.wrong += bounds.greedy(bounds.memory(pid))

    def brief(self, runs: int, besides: int = 40, said: str = "") -> None:
        """See that the workers' log, or what else was `said`, has but some lines for each run."""
        self.wrong += bounds.wordy(said or self.place.said(), runs, besides)


class Case(NamedTuple):
    """One fault and what must hold under it and after it."""

    name: str
    perform: Callable[[Bench], None]
    unable: Callable[[], Optional[str]] = lambda: None  # why it cannot be done on this machine
    expects: str = ""  # of a control: what it has to find wrong, as a regular expression
    is_long: bool = False  # not in the short form

    @property
    def is_control(self) -> bool:
        return bool(self.expects)


class Outcome(NamedTuple):
    """What came of a case; `skipped` says why it was not tried."""

    case: Case
    tried: Dict[str, int]
    wrong: List[str]
    skipped: Optional[str]
    seconds: float

    @property
    def is_noticed(self) -> bool:
        """Say whether a control found what it has to; that anything else goes wrong is none."""
        found = [text for text in self.wrong if not text.startswith(_BROKE)]
        return any(re.search(self.case.expects, text) for text in found)


def perform(case: Case, long: bool = False) -> Outcome:
    """Try one case in a directory of its own, which is gone afterwards."""
    began = time.monotonic()
    reason = case.unable()
    if reason is not None:
        return Outcome(case, {}, [], reason, 0.0)
    top = tempfile.mkdtemp(prefix="spoolq-case-", dir=scratch())
    bench = Bench(top, long)
    try:
        case.perform(bench)
    except Exception:
        bench.wrong.append(f"{_BROKE}: {traceback.format_exc()}")
    finally:
        shutil.rmtree(top, ignore_errors=True)
    return Outcome(case, dict(bench.tried), bench.wrong, None, time.monotonic() - began)


def summary(campaign: str, long: bool, outcomes: Sequence[Outcome]) -> Dict[str, Any]:
    """Return what was tried and found as one object."""
    tried: Counter[str] = Counter()
    for outcome in outcomes:
        tried.update(outcome.tried)
    cases = [outcome for outcome in outcomes if not outcome.case.is_control]
    controls = [o for o in outcomes if o.case.is_control and o.skipped is None]
    examples = [f"{o.case.name}: {text}" for o in cases for text in o.wrong]
    line: Dict[str, Any] = {
        "campaign": campaign,
        "form": "long" if long else "short",
        "cases": sum(outcome.skipped is None for outcome in cases),
        "tried": dict(tried),
        "violations": len(examples),
        "controls": {o.case.name: o.is_noticed for o in controls},
        "skipped": {o.case.name: o.skipped for o in outcomes if o.skipped is not None},
        "slowest": {
            o.case.name: round(o.seconds, 1) for o in sorted(outcomes, key=lambda o: -o.seconds)[:3]
        },
        "seconds": round(sum(outcome.seconds for outcome in outcomes), 1),
    }
    if examples:
        line["examples"] = examples[:10]
    missed = {o.case.name: o.wrong[:10] for o in controls if not o.is_noticed}
    if missed:
        line["said instead"] = missed
    return line


def main(
    campaign: str,
    cases: Sequence[Case],
    arguments: Optional[Sequence[str]] = None,
    at_once: int = 1,
) -> int:
    """Run a campaign as a command.

    Args:
        at_once: how many cases are tried at a time, in threads, since most of them mostly wait.

    Returns:
        1 where something was violated or a control was not noticed.
    """
    parser = argparse.ArgumentParser(prog=f"python -m tests.faults.{campaign}")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--short", action="store_true", help="as if not given")
    length.add_argument("--long", action="store_true", help="more of everything")
    parser.add_argument("--only", action="append", metavar="CASE", help="one case; repeatable")
    parser.add_argument("--list", action="store_true", help="name the cases, and try none")
    options = parser.parse_args(arguments)
    chosen = [case for case in cases if not options.only or case.name in options.only]
    chosen = [case for case in chosen if options.only or options.long or not case.is_long]
    if options.list or not chosen:
        print("\n".join(case.name for case in cases), file=sys.stderr)
        return int(not chosen)
    outcomes = []
    with ThreadPoolExecutor(at_once) as pool:
        each = map if at_once == 1 else pool.map
        for outcome in each(lambda case: perform(case, options.long), chosen):
            outcomes.append(outcome)
            is_caught = outcome.case.is_control and outcome.is_noticed
            for text in () if is_caught else outcome.wrong:
                print(f"{outcome.case.name}: {text}", file=sys.stderr, flush=True)
    line = summary(campaign, options.long, outcomes)
    print(json.dumps(line), flush=True)
    return int(bool(line["violations"]) or not all(line["controls"].values()))


def demand(outcome: Outcome) -> None:
    """Say as a test what came of a case: that nothing was wrong, or that the control was caught."""
    if outcome.skipped is not None:
        import pytest

        pytest.skip(outcome.skipped)
    if outcome.case.is_control:
        assert outcome.is_noticed, f"{outcome.case.expects!r} is not in {outcome.wrong}"
    else:
        assert outcome.wrong == []


def end(process: "subprocess.Popen[bytes]", seconds: float = 20.0) -> bool:
    """Ask a process that was started to end, and kill it if it does not; say whether it did."""
    process.terminate()
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        return False
    return True

"""A worker of a later version beside one of this: fields that only one of them knows are kept."""

import os
from typing import Any, Dict, List

from .. import checker
from ..cases import Bench, Case
from ..place import job, wait_for
from . import hosting

#: It names another version, in worker.json too, and adds a field to that and to each run.
_LATER = """
import spoolq
spoolq.__version__ = "99.0"
from spoolq import lease
from spoolq.job import Job
card_bytes = lease._card_bytes
def later_card(card):
    return card_bytes({**card, "version": "99.0", "later": {"deep": [1, 2.5, None]}})
lease._card_bytes = later_card
with_entry = Job.with_entry
def with_later_entry(self, entry, created_at):
    return with_entry(self, {**entry, "energy": 1.5}, created_at)
Job.with_entry = with_later_entry
"""
#: A worse spoolq: it keeps of a job what it knows.
_FORGETS = """
from spoolq.fields import FIELDS
from spoolq.job import Job
with_entry = Job.with_entry
def forgetful(self, entry, created_at):
    job = with_entry(self, entry, created_at)
    job.fields = {key: value for key, value in job.fields.items() if key in FIELDS}
    return job
Job.with_entry = forgetful
"""
_UNKNOWN: Dict[str, Any] = {
    "later": {"deep": [1, 2.5, None, "ünïcödé", {"x": False}], "command": "false"},
    "not_after": "2999-01-01T00:00:00Z",
}
_FAILS_ONCE = '[ "$SPOOLQ_ATTEMPT" -gt 1 ] || exit 1; '


def _beside(bench: Bench, spoiled: str = "") -> None:
    """Let both run jobs that fail once, so that each records after the other, and before."""
    older = bench.place.spoiled(spoiled) if spoiled else bench.place
    later = bench.place._replace(top=os.path.join(bench.place.top, "later"))
    os.mkdir(later.top)
    later = later.spoiled(_LATER)._replace(top=bench.place.top)
    bench.place = older
    older.make(later="setting", backoff_base=0.05)
    lines = [job(f"j{number}", "sleep 0.05; " + _FAILS_ONCE, **_UNKNOWN) for number in range(40)]
    ids = older.enqueue(lines[:20]) + later.enqueue(lines[20:])
    before = checker.read(older.spool)
    crew = [one.start("worker", "start", "--count", "2") for one in (older, later)]
    try:
        done = wait_for(lambda: len(older.names("completed")) == len(ids), 60)
        bench.check(done, f"{len(older.names('completed'))} of {len(ids)} completed")
        cards = [_card(older.spool, worker) for worker in older.names("workers")]
        bench.check(len(cards) == 2 and sum("99.0" in card for card in cards) == 1, f"{cards}")
        for place in (older, later):
            for verb in (["status"], ["worker", "list"], ["list"], ["show", ids[0]], ["doctor"]):
                done = place.spoolq(*verb, check=False)
                bench.check(done.returncode == 0, f"{verb}: {done.returncode} {done.stderr}")
        bench.modest(*(worker.pid for worker in crew))
    finally:
        for worker in crew:
            worker.terminate()
        for worker in crew:
            left = wait_for(lambda one=worker: one.poll() is not None, 20)
            bench.check(left and worker.returncode == 0, f"its exit: {worker.poll()}")
            worker.kill()
            worker.wait()
    hosting.no_bug(bench, older.said(), "a worker's log")
    found = bench.settled(ids)
    bench.wrong += checker.lost(before, found, set(ids), set())
    _each_has_run_some(bench, [run for one in found.jobs.values() for run in one.history])
    bench.brief(2 * len(ids))


def _card(spool: str, worker: str) -> str:
    with open(os.path.join(spool, "workers", worker, "worker.json"), encoding="utf-8") as file:
        return file.read().strip()


def _each_has_run_some(bench: Bench, runs: List[Dict[str, Any]]) -> None:
    by_worker: Dict[str, List[bool]] = {}
    for run in runs:
        by_worker.setdefault(run["worker"], []).append("energy" in run)
    bench.check(len(by_worker) == 2, f"workers that ran jobs: {sorted(by_worker)}")
    for worker, marked in by_worker.items():
        same = all(marked) or not any(marked)
        bench.check(same, f"a field of a run of {worker} was added or is lost")
    bench.check(any(map(any, by_worker.values())), "no run is of the later version")
    bench.count("runs of two versions", len(runs))


def _forgetful(bench: Bench) -> None:
    _beside(bench, _FORGETS)


CASES = [
    Case("a worker of a later version beside one of this", _beside),
    Case(
        "a spoolq that keeps what it knows alone", _forgetful, expects="^later of j[0-9]+ changed"
    ),
]

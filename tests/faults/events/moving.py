"""The watched directory is renamed, made anew, and comes back."""

import os
import time

from ..cases import Bench, Case, end
from ..place import Place, body, wait_for
from .losing import judge, run_one_by_one


def _swap(place: Place, name: str) -> str:
    """Rename one of the spool's directories away and make another in its place."""
    path = os.path.join(place.spool, name)
    aside = f"{place.top}/aside-{name}-{time.monotonic_ns()}"
    os.rename(path, aside)
    os.mkdir(path, 0o700)
    return aside


def _bring_back(place: Place, name: str, aside: str) -> None:
    """Move what was in the old directory into the new one, as somebody would by hand."""
    for entry in os.listdir(aside):
        os.rename(os.path.join(aside, entry), os.path.join(place.spool, name, entry))
    os.rmdir(aside)


def _while_idle(bench: Bench) -> None:
    place = bench.place
    place.make()
    worker = place.start("worker", "start")
    try:
        ids = list(run_one_by_one(bench, 1))
        for _ in range(10 if bench.long else 2):
            aside = _swap(place, "pending")
            ids += run_one_by_one(bench, 2)
            _bring_back(place, "pending", aside)
            bench.count("renames")
        ids += run_one_by_one(bench, 1)
    finally:
        end(worker)
    judge(bench, ids, worker)


def _while_busy(bench: Bench) -> None:
    """The directory with all that waits is taken away under a busy worker, and brought back."""
    place = bench.place
    place.make()
    worker = place.start("worker", "start", "--count", "3")
    try:
        ids = place.enqueue([body("sleep 0.05; ")] * 120)
        for number in range(20 if bench.long else 3):
            least = 5 + 10 * number
            wait_for(lambda least=least: len(place.names("completed")) >= least, 30)
            aside = _swap(place, "pending")
            ids += place.enqueue([body()] * 3)
            _bring_back(place, "pending", aside)
            bench.count("renames")
        done = wait_for(lambda: len(place.names("completed")) == len(ids), 60)
        bench.check(done, f"{len(place.names('completed'))} of {len(ids)} have run")
        bench.modest(worker.pid)
    finally:
        end(worker)
    judge(bench, ids, worker)


def _others_while_busy(bench: Bench) -> None:
    """What jobs go to and come from is taken away under a busy worker, and brought back."""
    place = bench.place
    place.make(max_retries=3)
    flaky = body('sleep 0.02; [ "$SPOOLQ_ATTEMPT" -gt 1 ] || exit 1; ')
    worker = place.start("worker", "start", "--count", "3")
    try:
        ids = list(place.enqueue([flaky] * 60))
        # A worker that starts later holds none of them open, and so has nothing to notice.
        bench.check(wait_for(lambda: "at a time" in place.said(), 60), "the worker does not start")
        for name in ("completed", "failed", "tmp", "logs", "dead") * (5 if bench.long else 1):
            ids += place.enqueue([flaky] * 5)
            noticed = place.said().count(_noticed(name))
            aside = _swap(place, name)
            seen = wait_for(lambda n=name, k=noticed: place.said().count(_noticed(n)) > k, 20)
            bench.check(seen, f"the worker did not notice that {name}/ is another")
            _bring_back(place, name, aside)
            bench.count("renames")
        done = wait_for(lambda: len(place.names("completed")) == len(ids), 60)
        bench.check(done, f"{len(place.names('completed'))} of {len(ids)} have completed")
    finally:
        bench.check(end(worker), "the worker does not end")
    bench.settled(ids)
    bench.brief(2 * len(ids))
    for job_id in ids:
        notes = place.noted(job_id)
        bench.check(notes == ["start 1", "start 2", "end"], f"{job_id} ran so: {notes}")


def _noticed(name: str) -> str:
    return f"{name}/ is another directory now"


def _the_whole_spool(bench: Bench) -> None:
    """A spool that is renamed away and back within a moment is the same spool."""
    place = bench.place
    place.make()
    worker = place.start("worker", "start")
    try:
        ids = list(run_one_by_one(bench, 1))
        for _ in range(50 if bench.long else 5):
            os.rename(place.spool, place.spool + ".away")
            os.rename(place.spool + ".away", place.spool)
            bench.count("renames")
        ids += run_one_by_one(bench, 3)
    finally:
        end(worker)
    judge(bench, ids, worker)


CASES = [
    Case("pending/ is renamed and made anew while nothing waits", _while_idle),
    Case("pending/ is renamed and made anew under a busy worker", _while_busy),
    Case("the other directories are renamed and made anew", _others_while_busy),
    Case("the spool is renamed, and back", _the_whole_spool),
]

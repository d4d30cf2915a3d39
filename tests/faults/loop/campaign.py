"""The loop: for every operation and way to go wrong, n = 1, 2, ... until nothing is touched.

Each try is a child process of its own, so that a death is a death: it ends by `os._exit` with its
descriptors open, and the kernel frees its locks. What it was promised came through a pipe before.
"""

import errno
import json
import os
import shutil
import tempfile
import time
import traceback
from collections import Counter
from contextlib import nullcontext
from typing import Any, Callable, ContextManager, Dict, Iterable, List, NamedTuple, Optional, Tuple
from unittest import mock

from spoolq import annexes, recovery
from spoolq.errors import OutcomeUnknown, SpoolqError, StorageFailed, StorageFull
from spoolq.spool import SpoolDir

from .. import checker, reboot
from ..apart import in_child, scratch
from .operations import OPERATIONS, Call, Operation
from .seam import Plan, Seam

WAYS: Dict[str, Plan] = {
    "EIO once": Plan(0, "error", errno.EIO),
    "EIO from then on": Plan(0, "errors", errno.EIO),
    "ENOSPC once": Plan(0, "error", errno.ENOSPC),
    "ENOSPC from then on": Plan(0, "errors", errno.ENOSPC),
    "dies before": Plan(0, "die before"),
    "dies after": Plan(0, "die after"),
}
_MOST = 2000  # no operation makes more calls than this
_MAY_BE_UNKNOWN = ("enqueue", "replace", "cancel", "rewrite", "end what waited")
Variant = Callable[[], ContextManager[Any]]


class Try(NamedTuple):
    """One try: which, how the child ended, and what was wrong afterwards."""

    operation: str
    way: str
    at: int
    reached: bool
    end: str
    wrong: List[str]


def try_all(
    operations: Iterable[Operation] = OPERATIONS,
    ways: Iterable[str] = tuple(WAYS),
    variant: Variant = nullcontext,
) -> List[Try]:
    """Run the whole loop and return every try.

    Args:
        variant: makes a context in which spoolq is a worse one; for negative controls.
    """
    tries = []
    with tempfile.TemporaryDirectory(prefix="spoolq-faults-", dir=scratch()) as top:
        for operation in operations:
            for way in ways:
                for at in range(1, _MOST):
                    path = os.path.join(top, "spool")
                    done = try_once(path, operation, way, at, variant)
                    tries.append(done)
                    shutil.rmtree(path)
                    if not done.reached:
                        break
                else:
                    raise AssertionError(f"{operation.name} never passes untouched")
    return tries


def try_once(
    path: str, operation: Operation, way: str, at: int, variant: Variant = nullcontext
) -> Try:
    """Prepare a spool, let a child go wrong on it, reboot, and judge what is found."""
    spool = SpoolDir.create(path)
    operation.prepare(spool)
    spool.close()
    drops = _drops(path)
    before = checker.read(path, drops)
    # No command is started here, so nobody needs to look for what is left of one in /proc.
    with variant(), mock.patch.object(recovery, "find_all", lambda runs: [[] for _ in runs]):
        events = in_child(lambda tell, die: _attempt(path, operation, WAYS[way], at, tell, die))
        told = _Told(events)
        wrong = before.wrong + told.wrong(operation)
        found = checker.read(path, drops)
        wrong += _judge_found(path, operation, before, found, told)
        try:
            ran = reboot.to_the_end(path)
        except Exception:
            wrong.append("after the reboot: " + traceback.format_exc())
            return Try(operation.name, way, at, told.reached, told.end, wrong)
    wrong += _judge_end(path, operation, found, checker.read(path, drops), told, ran)
    if not told.reached:
        wrong += checker.told_too_early(path, told.trace)
    return Try(operation.name, way, at, told.reached, told.end, wrong)


def _drops(path: str) -> List[bytes]:
    """Return the contents of what was put there by hand: no name of the form, or no owner."""
    contents = []
    for state in ("pending", "processing", "dead"):
        for entry in os.listdir(os.path.join(path, state)):
            if not entry[:8].isdigit() or (state == "processing" and "@" not in entry):
                with open(os.path.join(path, state, entry), "rb") as file:
                    contents.append(file.read())
    return contents


# --- the child ------------------------------------------------------------------------------------


def _attempt(
    path: str,
    operation: Operation,
    plan: Plan,
    at: int,
    tell: Callable[..., None],
    die: Callable[[], None],
) -> None:
    def last_words() -> None:
        tell("reached")
        die()

    seam = Seam(plan._replace(at=at), last_words, has_noreplace=operation.has_noreplace)

    def tell_and_note(what: str, *rest: Any) -> None:
        seam.told(what)
        tell(what, *rest)

    with seam.installed():
        spool = SpoolDir.open(path)
        for name in ("tmp", "pending", "processing", "failed", "completed", "dead", "workers"):
            spool.dir(name)
        for name in ("after", "keys"):
            annexes.opened(spool, name)
        descriptors = _descriptors()
        seam.armed = True
        try:
            operation.run(Call(spool, seam, tell_and_note))
        except SpoolqError as error:
            tell("refused", type(error).__name__, str(error))
        except OSError as error:
            tell("failed", type(error).__name__, traceback.format_exc())
        seam.armed = False
        if not operation.primitive and _descriptors() != descriptors:
            tell("leaked", len(_descriptors()) - len(descriptors))
        if seam.reached:
            tell("reached")
        else:
            tell("trace", seam.trace)


def _descriptors() -> List[str]:
    return os.listdir("/proc/self/fd") if os.path.isdir("/proc/self/fd") else []


# --- the judgement --------------------------------------------------------------------------------


class _Told:
    """What a child said."""

    def __init__(self, events: List[List[Any]]) -> None:
        self.events = events
        self.acknowledged = {event[1] for event in events if event[0] == "promise" and event[1]}
        self.moved = {event[1] for event in events if event[0] == "moved" and event[2]}
        self.admitted = {event[1] for event in events if event[0] == "admitted"}
        self.configured = [event[1] for event in events if event[0] == "configured"]
        self.refused: Optional[str] = next((e[1] for e in events if e[0] == "refused"), None)
        self.trace = next((event[1] for event in events if event[0] == "trace"), [])
        self.reached = any(event[0] == "reached" for event in events)
        ends = [event[0] for event in events if event[0] in ("died", "crashed", "failed")]
        self.end = ends[-1] if ends else (self.refused or "returned")

    def wrong(self, operation: Operation) -> List[str]:
        """Say what a caller should never have seen."""
        wrong = [f"crashed: {event[1]}" for event in self.events if event[0] == "crashed"]
        if not operation.primitive:
            wrong += [f"let an {e[1]} out: {e[2]}" for e in self.events if e[0] == "failed"]
            wrong += [f"left {e[1]} descriptors open" for e in self.events if e[0] == "leaked"]
        if not self.reached and self.end != "returned":
            wrong.append(f"untouched, and yet {self.events}")
        return wrong


def _judge_found(
    path: str, operation: Operation, before: checker.Snapshot, found: checker.Snapshot, told: _Told
) -> List[str]:
    """Judge what lies there after the end, before anyone mends it."""
    wrong = [f"found: {text}" for text in found.wrong]
    wrong += checker.lost(before, found, told.acknowledged, set(operation.gone))
    wrong += checker.ill_lived(found, operation.forgiven)
    wrong += checker.keyless(path, found)
    refused = (StorageFull.__name__, StorageFailed.__name__)
    if told.refused in refused and operation.name.startswith("enqueue"):
        for job_id in set(found.jobs) - set(before.jobs):
            wrong.append(f"{job_id} is there, and its caller was told that it is not")
    may_be_unknown = operation.name.startswith(_MAY_BE_UNKNOWN)
    if told.refused == OutcomeUnknown.__name__ and not may_be_unknown:
        wrong.append("told that the outcome is unknown")
    if told.refused in refused and operation.name.startswith("cancel"):
        before_it, now = before.jobs["j1"], found.jobs["j1"]
        if now.history != before_it.history and now.state == "pending":
            wrong.append("a job waits that is recorded as cancelled")
    return wrong


def _judge_end(
    path: str,
    operation: Operation,
    found: checker.Snapshot,
    after: checker.Snapshot,
    told: _Told,
    ran: List[str],
) -> List[str]:
    """Judge what is there when a fresh worker has recovered and run everything."""
    wrong = [f"at the end: {text}" for text in after.wrong]
    wrong += checker.lost(found, after, told.acknowledged, set(operation.gone))
    wrong += checker.ill_lived(after, operation.forgiven)
    wrong += checker.out_of_turn(after)
    wrong += checker.unsettled(path, after) + checker.litter(path, after, operation.gone)
    for job_id, times in Counter(ran).items():
        if times > 1:
            wrong.append(f"{job_id} ran {times} times after the reboot")
    for job in found.jobs.values():
        ended = job.state in ("completed", "dead") or (job.is_recorded and _is_final(job))
        if ended and job.id in ran:
            wrong.append(f"{job.id} had ended, and ran again")
    wrong += _judge_settings(path, told)
    return wrong


def _is_final(job: checker.Found) -> bool:
    last = job.history[-1]
    return last.get("exit_code") == 0 or last.get("error") == "cancelled"


def _judge_settings(path: str, told: _Told) -> List[str]:
    with open(os.path.join(path, "config.json"), encoding="utf-8") as file:
        try:
            settings = json.load(file)
        except ValueError as error:
            return [f"config.json is torn: {error}"]
    if settings.get("max_retries") not in ((7,) if told.configured else (None, 7)):
        return [f"config.json says {settings}"]
    return []


# --- the sum --------------------------------------------------------------------------------------


def summary(tries: List[Try], seconds: float) -> Dict[str, Any]:
    """Return what was tried as one object: it is printed as one line."""
    by_way = Counter(done.way for done in tries)
    ends = Counter(done.end for done in tries)
    longest = {name: max(t.at for t in tries if t.operation == name) - 1 for name in _names(tries)}
    return {
        "tries": len(tries),
        "violations": sum(bool(done.wrong) for done in tries),
        "seconds": round(seconds, 1),
        "operations": len(longest),
        "ways": dict(by_way),
        "ends": dict(ends),
        "calls": longest,
    }


def _names(tries: List[Try]) -> List[str]:
    return list(dict.fromkeys(done.operation for done in tries))


def timed(work: Callable[[], List[Try]]) -> Tuple[List[Try], float]:
    """Run `work` and return its result with the seconds that it took."""
    started = time.monotonic()
    return work(), time.monotonic() - started

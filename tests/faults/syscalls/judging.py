"""What must hold after a fault, and after the recovery: judged from files and answers alone."""

import json
import os
from typing import List, Optional, Set

from .. import checker
from ..place import Place
from .operations import Operation, Told
from .plan import BEFORE, LIMIT, ON, Case

_SPIN = 1500  # refused calls in the seconds that a try lasts: more is a busy loop
BUG = 3  # spoolq's exit code for "a bug in spoolq"


def acknowledged(operation: Operation, told: Told) -> Set[str]:
    """Return the ids that were printed, whatever the exit code: they were promised."""
    return set(told.out.split()) if operation.new else set()


def judge_answer(operation: Operation, case: Case, told: Told, hits: int) -> List[str]:
    """Judge what the caller saw."""
    wrong = []
    if "Traceback" in told.err or told.code == BUG:
        wrong.append(f"a storage error became a bug (exit {told.code}): {told.err[-1500:]}")
    ids = told.out.split()
    if operation.new and told.code == 0 and len(ids) != operation.new:
        wrong.append(f"exit 0 and {len(ids)} ids of {operation.new}")
    if told.code not in (None, 0, BUG) and not told.err.strip() and not _mute(case):
        wrong.append(f"exit {told.code} without a word")
    if told.code is None and not case.kind.startswith("killed") and not operation.is_worker:
        wrong.append("it hangs")
    if hits > _SPIN:
        wrong.append(f"a busy loop: {hits} refused calls")
    return wrong


def _mute(case: Case) -> bool:
    """Say whether the fault may keep the program from saying anything."""
    return case.call == "write" and case.kind in (ON, LIMIT)


def judge_found(
    operation: Operation,
    before: checker.Snapshot,
    found: checker.Snapshot,
    told: Told,
) -> List[str]:
    """Judge what lies there before anyone mends it."""
    wrong = [f"found: {text}" for text in found.wrong]
    promised = acknowledged(operation, told)
    wrong += checker.lost(before, found, promised, set(operation.gone))
    wrong += checker.ill_lived(found, operation.forgiven)
    new = set(found.jobs) - set(before.jobs) - promised - {"d1"}
    refused = operation.new and told.code not in (None, 0) and told.err.strip()
    if refused and new and not any(job_id in told.err for job_id in new):
        wrong.append(f"{sorted(new)} are there, and the caller was told: {told.err}")
    if told.code == 0:
        wrong += _kept(operation, before, found)
    return wrong


def judge_syncs(
    case: Case, before: checker.Snapshot, found: checker.Snapshot, told: Told
) -> List[str]:
    """Judge what came of a scribe that died at a sync, or was refused one.

    No power is cut here, so what moved on without its sync is all there: it has to be counted.
    """
    wrong = []
    if case.call == "fdatasync" and case.kind in (BEFORE, ON):
        ends = _ends(found) - _ends(before)
        if ends >= case.number:
            wrong.append(f"{ends} ends are recorded, of which {case.number - 1} were synced")
    is_promise = case.call != "fadvise64" and "/processing>" not in case.text
    if case.error not in ("", "EINTR") and is_promise and not any(map(told.err.count, _TELLS)):
        wrong.append(f"a sync was refused, and the worker does not say so: {told.err}")
    return wrong


_TELLS = ("outcomes cannot be written", "the disk does not confirm it")


def _ends(snapshot: checker.Snapshot) -> int:
    return sum(len(job.history) for job in snapshot.jobs.values())


def _kept(operation: Operation, before: checker.Snapshot, found: checker.Snapshot) -> List[str]:
    """Say which promise of an exit code of 0 is not kept."""
    job = found.jobs.get("j1")
    if operation.name.startswith("cancel") and job is not None:
        last = job.history[-1] if job.history else {}
        if job.state == "dead" and last.get("error") == "cancelled":
            return []
        return [f"cancelled, exit 0, and j1 is {job.state} with {last}"]
    if operation.name == "purge":
        return [
            f"purged, exit 0, and {name} is there" for name in operation.gone if name in found.jobs
        ]
    if operation.name in ("retry", "dlq retry") and job is not None and job.state != "pending":
        return [f"retried, exit 0, and j1 is {job.state}"]
    if operation.name == "stop now" and job is not None and job.state != "pending":
        return [f"its worker stopped, exit 0, and j1 is {job.state}"]
    return []


def judge_end(
    operation: Operation,
    case: Case,
    place: Place,
    found: checker.Snapshot,
    after: checker.Snapshot,
    told: Told,
    ran: List[str],
) -> List[str]:
    """Judge what is there when a fresh worker has recovered and run everything.

    Args:
        ran: the jobs that started during the recovery, one entry for each start.
    """
    wrong = [f"at the end: {text}" for text in after.wrong]
    wrong += checker.lost(found, after, acknowledged(operation, told), set())
    wrong += checker.ill_lived(after, operation.forgiven)
    wrong += checker.unsettled(place.spool, after)
    wrong += [f"{at[0]}/{at[1]} is no job" for at in after.strangers if at[0] != "dead"]
    for job in found.jobs.values():
        if _has_ended(job) and job.id in ran:
            wrong.append(f"{job.id} had ended ({job.state}), and ran again")
    for job in after.jobs.values():
        notes = place.noted(job.id)
        if "overlap" in notes:
            wrong.append(f"{job.id} ran twice at the same time: {notes}")
        if job.state == "completed" and "end" not in notes:
            wrong.append(f"{job.id} is completed and never ran to its end: {notes}")
        starts = sum(note.startswith("start") for note in notes)
        if starts > len(job.history):
            wrong.append(f"{job.id} started {starts} times, of which {len(job.history)} are known")
        allowed = operation.ends.get(job.id, ("completed",))
        if case.call == "execve":
            allowed = (*allowed, "dead")  # each attempt's command is refused, or killed, anew
        if job.state not in allowed:
            wrong.append(f"{job.id} ended {job.state}: {job.history[-2:]}")
    return wrong + _settings(operation, place.spool, told)


def _has_ended(job: checker.Found) -> bool:
    if job.state in ("completed", "dead"):
        return True
    return job.is_recorded and (
        job.history[-1].get("exit_code") == 0 or job.history[-1].get("error") == "cancelled"
    )


def _settings(operation: Operation, spool: str, told: Told) -> List[str]:
    with open(os.path.join(spool, "config.json"), encoding="utf-8") as file:
        try:
            value: Optional[int] = json.load(file).get("max_retries")
        except ValueError as error:
            return [f"config.json is torn: {error}"]
    if operation.name != "config set":
        return [] if value is None else [f"max_retries is {value}"]
    if told.code == 0 and value != 7:
        return ["config set, exit 0, and the setting is the old one"]
    return [] if value in (None, 7) else [f"max_retries is {value}"]

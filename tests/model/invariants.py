"""What must hold: in every state, and at every end once a fresh recoverer has had its turn.

An invariant takes a state and returns what is wrong with it in words, or "".
"""

from typing import Callable, Dict, List, Set

from .machine import State
from .names import STATES, TOMORROW, Job, parse, split

Invariant = Callable[[State], str]


def places_by_key(state: State) -> Dict[str, List[str]]:
    """Return the paths of each job, told apart by content."""
    found: Dict[str, List[str]] = {}
    for path, content in state.places(STATES):
        found.setdefault(content.key, []).append(path)
    return found


def in_one_place(*keys: str) -> Invariant:
    """I1: a job is in exactly one state directory at every instant."""

    def check(state: State) -> str:
        found = places_by_key(state)
        for key in keys:
            if len(found.get(key, ())) != 1:
                return f"I1: job {key} is at {sorted(found.get(key, ()))}"
        return ""

    return check


def in_one_place_at_most(state: State) -> str:
    """I1, where somebody may delete jobs."""
    for key, paths in places_by_key(state).items():
        if len(paths) > 1:
            return f"I1: job {key} is at {sorted(paths)}"
    return ""


def never_two_runs(state: State) -> str:
    """I2: of two runs of a job, never more than one is alive."""
    for job, runs in state.live_runs().items():
        if len(runs) > 1:
            return f"I2: job {job} runs twice at once: {sorted(runs)}"
    return ""


def never_early(state: State) -> str:
    """I3: a job whose time has not come is not made due by an accident, nor run."""
    for run in state.started:
        return f"I3: {run} was started before its time"
    for path, _ in state.places(("pending", "failed")):
        if not split(path)[1].startswith(TOMORROW):
            return f"I3: a job for tomorrow is due now as {path}"
    return ""


def ids_are_unique(state: State) -> str:
    """I4: no two files in the form have the same id."""
    seen: Set[str] = set()
    for path, _ in state.places(STATES):
        name = parse(split(path)[1])
        if name is not None:
            if name.job in seen:
                return f"I4: the id {name.job} is there twice"
            seen.add(name.job)
    return ""


def success_is_real(state: State) -> str:
    """I5: what is recorded as a success came to its own end, and what succeeded is filed so."""
    for path, job in state.places(STATES):
        if not isinstance(job, Job):
            continue
        for entry in job.history:
            if entry.outcome == "ok" and not any(
                result == "ok" and _is_run(run, entry.attempt, entry.started_at)
                for run, result in state.results.items()
            ):
                return f"I5: {path} is recorded as a success and never ended by itself"
        if path.startswith("completed/") and (not job.history or job.history[-1].outcome != "ok"):
            return f"I5: {path} is completed without a success"
    return ""


def success_is_final(state: State) -> str:
    """I6: a job whose success was recorded does not wait to be run again."""
    for path, job in state.places(("pending", "failed", "dead")):
        if isinstance(job, Job) and any(e.outcome == "ok" for e in job.history):
            return f"I6: {path} has succeeded and waits to run again"
    return ""


def no_negative_attempt(state: State) -> str:
    """I7: no attempt is given back that was not taken."""
    for path, _ in state.places(STATES):
        name = parse(split(path)[1])
        if name is not None and name.attempt < 0:
            return f"I7: {path} has a negative attempt"
    return ""


def nothing_is_unrecorded(state: State) -> str:
    """I8: what was recorded is not written over by who has not read it."""
    return f"I8: what was recorded in {state.undone} is written over" if state.undone else ""


# ---- at the end


def nothing_is_stuck(state: State) -> str:
    """E1: no job stays in processing/ whose worker is dead."""
    for path, _ in state.places(("processing",)):
        return f"E1: {path} is stuck"
    return ""


def history_is_whole(state: State) -> str:
    """E2: every run is in its job's history once; no claim is there twice."""
    entries = []
    for path, job in state.places(STATES):
        if isinstance(job, Job):
            claims = [(e.attempt, e.started_at) for e in job.history]
            if len(claims) != len(set(claims)):
                return f"E2: the history of {path} names a claim twice: {job.history}"
            entries += claims
    for run in state.started:
        if not any(_is_run(run, *entry) for entry in entries):
            return f"E2: the run {run} is in no history"
    return ""


def budget_is_kept(max_attempts: int) -> Invariant:
    """E3: no job had more runs that count than it may have, nor lost one that it should have."""

    def check(state: State) -> str:
        for path, job in state.places(STATES):
            if not isinstance(job, Job):
                continue
            given = [e for e in job.history if e.outcome != "interrupted"]
            counted = [e for e in given if e.outcome != "cancelled"]
            name = parse(split(path)[1])
            if len(counted) > max_attempts:
                return f"E3: {path} ran {len(counted)} times"
            if name is not None and name.attempt > len(given):
                return f"E3: {path} has used {name.attempt} attempts in {len(given)} runs"
            gave_up = path.startswith("dead/") and job.history
            if gave_up and job.history[-1].outcome != "cancelled" and len(counted) < max_attempts:
                return f"E3: {path} is dead after {len(counted)} runs"
        return ""

    return check


def cancel_is_honoured(state: State) -> str:
    """E4: a job whose cancel was asked for waits no more."""
    for path, _ in state.places(("pending", "processing", "failed")):
        return f"E4: {path} was to be cancelled"
    return ""


def _is_run(run: str, attempt: int, started_at: str) -> bool:
    claim = parse(run)
    return claim is not None and (claim.attempt, claim.time) == (attempt, started_at)

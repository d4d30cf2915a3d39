"""Building blocks of the scenarios: the state in which one begins, and who puts an end right."""

from typing import Any, Callable

from .explore import Problem
from .invariants import (
    Invariant,
    budget_is_kept,
    history_is_whole,
    in_one_place,
    never_two_runs,
    no_negative_attempt,
    nothing_is_stuck,
    nothing_is_unrecorded,
    success_is_final,
    success_is_real,
)
from .machine import State
from .names import Entry, Job, LockFile, Name
from .rules import Rules
from .worker import Plan, worker

ALWAYS = (
    in_one_place("job"),
    never_two_runs,
    success_is_real,
    success_is_final,
    no_negative_attempt,
    nothing_is_unrecorded,
)

Build = Callable[[State], None]


def waiting_job(
    state: State, time: str = "t0", attempt: int = 0, where: str = "pending", job_id: str = "j"
) -> str:
    """Put a job there that waits; return its path. Its earlier attempts have failed."""
    history = tuple(Entry(n + 1, f"past{n + 1}", "fail") for n in range(attempt))
    path = f"{where}/{Name(time, attempt, job_id)}"
    state.files[path] = Job("job" if job_id == "j" else job_id, history)
    return path


def ready_worker(state: State, name: str, rules: Rules, plan: Plan) -> None:
    """Start a worker; unless its start is to be explored, it has its directory and lock."""
    if not plan.starts:
        lock = dead_worker(state, name)
        state.launch(name, worker, name, rules, plan)
        descriptor = state.open_lock(name, lock, False)
        assert descriptor is not None
        state.flock(name, descriptor, False)
    else:
        state.launch(name, worker, name, rules, plan)


def dead_worker(state: State, name: str) -> str:
    """Put a worker's directory there, with its lock free; return the lock's path."""
    state.dirs.add(f"workers/{name}")
    path = f"workers/{name}/lock"
    state.files[path] = LockFile(path)
    return path


def dead_claim(
    state: State, content: Any, attempt: int = 1, slot: str = "0", job_id: str = "j"
) -> str:
    """Put a claim of a worker A there that is dead; return its path."""
    dead_worker(state, "A")
    state.files[f"workers/A/{slot}.lock"] = LockFile(f"workers/A/{slot}.lock")
    path = f"processing/{Name('At1', attempt, job_id, 'A', slot)}"
    state.files[path] = content
    return path


def problem(
    build: Build,
    rules: Rules,
    mortals: str = "",
    kills: int = 0,
    always: "tuple[Invariant, ...]" = ALWAYS,
    at_end: "tuple[Invariant, ...] | None" = None,
    settles: bool = True,
) -> Problem:
    """Make a problem of a start.

    Args:
        mortals: the processes that may be killed, one letter each.
        at_end: what must hold at an end; None for all that usually must.
        settles: at an end a fresh worker Z recovers and works alone before the end is judged.
    """

    def begin() -> State:
        state = State()
        build(state)
        return state

    def settle(state: State) -> None:
        ready_worker(state, "Z", rules, Plan(rounds=4))

    if at_end is None:
        at_end = (nothing_is_stuck, history_is_whole, budget_is_kept(rules.max_attempts))
    return Problem(begin, always, at_end, tuple(mortals), kills, settle if settles else None)

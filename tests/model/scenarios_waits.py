"""Scenarios of jobs that wait for others, and of keys: who enqueues, looks, ends, and is killed."""

from typing import Tuple

from . import waits
from .explore import Problem
from .invariants import Invariant
from .machine import State
from .names import Job, Name, split
from .registry import scenario
from .rules import Rules

OTHERS = ("a", "b")


def _there(state: State, job: str) -> "str | None":
    """Return where a job is."""
    for path, content in state.files.items():
        if isinstance(content, Job) and content.key == job:
            return path
    return None


def not_let_go_early(job: str, others: Tuple[str, ...]) -> Invariant:
    """W1: a job that waits for others may run only when all of them have completed."""

    def check(state: State) -> str:
        path = _there(state, job)
        if path is None or not waits.has_time(path) or split(path)[0] == "dead":
            return ""
        for other in others:
            place = _there(state, other)
            if place is None or split(place)[0] != "completed":
                return f"W1: {job} may run, and {other} is {place}"
        return ""

    return check


def not_ended_early(job: str, others: Tuple[str, ...]) -> Invariant:
    """W2: a job dies of another only if that is dead, or has never come."""

    def check(state: State) -> str:
        path = _there(state, job)
        if path is None or split(path)[0] != "dead":
            return ""
        places = [_there(state, other) for other in others]
        alive = [place for place in places if place is not None and split(place)[0] != "dead"]
        return f"W2: {job} is dead, and {alive} is not" if len(alive) == len(others) else ""

    return check


def settled(job: str, others: Tuple[str, ...]) -> Invariant:
    """W3: in the end a job that came runs, or is dead where it has to be, and no file is left."""

    def check(state: State) -> str:
        left = [path for path in state.files if path.startswith("after/")]
        path = _there(state, job)
        places = [_there(state, other) or "" for other in others]
        all_over = all(split(place)[0] in ("completed", "dead", "") for place in places)
        if path is not None and all_over and not waits.has_time(path):
            return f"W3: {job} waits for ever"
        if left and (path is None or all_over):
            return f"W3: {left} is left"
        return ""

    return check


def one_at_a_time(state: State) -> str:
    """K1: of the jobs of a key one waits or runs."""
    held = [
        path
        for path, content in state.files.items()
        if isinstance(content, Job) and split(path)[0] in waits.HELD
    ]
    return f"K1: {held} have one key" if len(held) > 1 else ""


def _others(state: State, *jobs: str) -> None:
    for job in jobs:
        state.files[f"pending/{Name('t0', 0, job)}"] = Job(job)


def _problem(
    build: "object", rules: Rules, others: Tuple[str, ...], mortals: str, kills: int
) -> Problem:
    def begin() -> State:
        state = State()
        build(state)  # type: ignore[operator]
        return state

    def settle(state: State) -> None:
        state.launch("Z", waits.look_often, "c", others, rules, 3)

    always = (not_let_go_early("c", others), not_ended_early("c", others))
    return Problem(begin, always, (settled("c", others),), tuple(mortals), kills, settle)


@scenario
def one_waits_for_two(rules: Rules) -> Problem:
    """A job that is enqueued while the two it waits for end, and a worker looks, goes when it may.

    Whoever is killed.
    """

    def build(state: State) -> None:
        _others(state, *OTHERS)
        state.launch("E", waits.enqueue_after, "c", OTHERS, rules)
        state.launch("A", waits.end, "pending/t0.a0.a", ("completed",))
        state.launch("B", waits.end, "pending/t0.a0.b", ("completed", "dead"))
        state.launch("W", waits.look_often, "c", OTHERS, rules, 1)

    return _problem(build, rules, OTHERS, "EW", 2)


@scenario
def two_look_at_one_that_waits(rules: Rules) -> Problem:
    """Two workers that look, each taking away what the other has not, let it go once, and in time.

    Whoever is killed.
    """

    def build(state: State) -> None:
        _others(state, *OTHERS)
        state.files["pending/never.a0.c"] = Job("c")
        for other in OTHERS:
            state.files[waits.mark("c", other)] = ""
        state.launch("A", waits.end, "pending/t0.a0.a", ("completed",))
        state.launch("B", waits.end, "pending/t0.a0.b", ("completed",))
        state.launch("V", waits.look_often, "c", OTHERS, rules, 1)
        state.launch("W", waits.look_often, "c", OTHERS, rules, 1)

    return _problem(build, rules, OTHERS, "VW", 1)


@scenario
def a_batch_beside_a_look(rules: Rules) -> Problem:
    """A job whose prerequisite comes in the same batch, behind it, is not ended for that."""

    def build(state: State) -> None:
        state.launch("E", waits.enqueue_batch, "c", "a", rules)
        state.launch("W", waits.look_often, "c", ("a",), rules, 2)

    return _problem(build, rules, ("a",), "", 0)


@scenario
def two_ask_for_one_key(rules: Rules) -> Problem:
    """Of two jobs of one key that are enqueued at once, one waits or runs, whoever is killed.

    Beside them the one before it ends, and a worker tidies the keys.
    """

    def begin() -> State:
        state = State()
        state.files[f"pending/{Name('t0', 0, 'o')}"] = Job("o")
        state.files["keys/k"] = "o"
        state.launch("O", waits.end, "pending/t0.a0.o", ("completed",))
        state.launch("E", waits.enqueue_keyed, "c", rules)
        state.launch("F", waits.enqueue_keyed, "d", rules)
        state.launch("K", waits.tidy_keys, rules)
        return state

    return Problem(begin, (one_at_a_time,), (), ("E", "F", "K"), 1)

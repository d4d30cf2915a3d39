"""The search: every interleaving, and a kill -9 of every worker before every one of its steps.

It goes breadth first, so that the trace of a violation is as short as can be.
A state is known by its 64-bit hash: with a million states, one chance in thirty million that two
are taken for one.
"""

import time
from collections import deque
from typing import Any, Callable, Deque, Dict, List, NamedTuple, Optional, Tuple

from . import routine
from .invariants import Invariant
from .machine import State

# A move: who makes a step, and which of its choices; or who is killed.
KILL = "kill"
Move = Tuple[str, Any]
Key = Tuple[int, int]


class Problem(NamedTuple):
    """What to explore: where it starts, who may be killed, what must hold."""

    begin: Callable[[], State]
    always: Tuple[Invariant, ...] = ()
    at_end: Tuple[Invariant, ...] = ()
    mortals: Tuple[str, ...] = ()
    kills: int = 0
    settle: Optional[Callable[[State], None]] = None  # start who puts things right at an end


class Result(NamedTuple):
    """What was found."""

    states: int
    ends: int
    seconds: float
    violation: str = ""
    trace: Tuple[str, ...] = ()
    complete: bool = True

    def __str__(self) -> str:
        how = "explored whole" if self.complete else "not explored whole"
        found = f"VIOLATION {self.violation}" if self.violation else f"holds, {how}"
        text = f"{found} ({self.states} states, {self.ends} ends, {self.seconds:.1f} s)"
        return "\n".join((text,) + tuple(f"    {line}" for line in self.trace))


def explore(problem: Problem, limit: int = 0) -> Result:
    """Explore a problem whole, or up to a violation.

    Args:
        limit: give up after so many states; 0 for never.
    """
    began = time.monotonic()
    first = problem.begin()
    start: Key = (first.fingerprint(), 0)
    came_from: Dict[Key, Tuple[Optional[Key], Move]] = {start: (None, ("", None))}
    waiting: Deque[Tuple[Key, State]] = deque([(start, first)])
    ends = 0

    def report(violation: str = "", trace: Tuple[str, ...] = (), complete: bool = True) -> Result:
        spent = time.monotonic() - began
        return Result(len(came_from), ends, spent, violation, trace, complete)

    while waiting:
        key, state = waiting.popleft()
        wrong = _first_wrong(problem.always, state)
        if wrong:
            return report(wrong, _trace(problem, came_from, key))
        moves = [(n, c) for n in state.processes for c in state.choices(n)]
        if not moves:
            ends += 1
            tail: List[str] = []
            wrong = _end(problem, state.copy(), tail)
            if wrong:
                return report(wrong, _trace(problem, came_from, key) + tuple(tail))
        killed = key[1]
        if killed < problem.kills:
            moves += [(n, KILL) for n in problem.mortals if n in state.processes]
        for move in moves:
            after = state.copy()
            _make(after, move)
            reached = (after.fingerprint(), killed + (move[1] == KILL))
            if reached not in came_from:
                came_from[reached] = (key, move)
                waiting.append((reached, after))
        if limit and len(came_from) > limit:
            return report(complete=False)
    return report()


def _make(state: State, move: Move) -> Any:
    name, choice = move
    if choice == KILL:
        return state.exit(name)
    return state.step(name, choice)


def _first_wrong(invariants: Tuple[Invariant, ...], state: State) -> str:
    for invariant in invariants:
        wrong = invariant(state)
        if wrong:
            return wrong
    return ""


def _end(problem: Problem, state: State, tail: List[str]) -> str:
    """Let who puts things right have its turn, step by step, then check the end."""
    if problem.settle is not None:
        problem.settle(state)
        while True:
            ready = [n for n in state.processes if state.choices(n)]
            if not ready:
                break
            name = min(ready, key=lambda n: (not n.startswith("command"), n != "Z", n))
            choice = state.choices(name)[0]
            tail.append(_describe(state, (name, choice)))
            wrong = _first_wrong(problem.always, state)
            if wrong:
                return wrong
    return _first_wrong(problem.at_end, state)


def _trace(problem: Problem, came_from: Dict[Key, Any], key: Optional[Key]) -> Tuple[str, ...]:
    """Replay the way to a state, in words."""
    moves = []
    while key is not None:
        key, move = came_from[key]
        moves.append(move)
    state = problem.begin()
    return tuple(_describe(state, move) for move in reversed(moves[:-1]))


def _describe(state: State, move: Move) -> str:
    """Make a move and say what it was."""
    name, choice = move
    if choice == KILL:
        state.exit(name)
        return f"{name} is killed"
    wanted = routine.request(state.processes[name].program)
    result = state.step(name, choice)
    if isinstance(wanted, routine.Choose):
        return f"{name} chooses {choice}"
    assert isinstance(wanted, routine.Op)
    if wanted.name == "spawn":
        return f"{name} starts the {wanted.args[0]}"
    said = " ".join(str(a) for a in wanted.args if isinstance(a, str))
    return f"{name} {wanted.name} {said}: {result}"

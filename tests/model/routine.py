"""Processes as plain data, so that a state of the model can be copied, compared and hashed.

A routine is a generator function: it yields what it wants done and is sent the answer.
A process is a stack of frames, and a frame is (routine, arguments, answers so far).
A generator cannot be copied, but a frame can: to take it one step further, the routine is run
again from its start on the answers it got.
So a routine must depend on its arguments and answers alone, and both must be hashable.
A finished subroutine leaves only its value behind, which keeps equal situations equal.
"""

from typing import Any, Callable, Dict, Generator, List, NamedTuple, Tuple, Union


class Op(NamedTuple):
    """One visible step: a system call by name, as `machine.State` carries it out."""

    name: str
    args: Tuple[Any, ...]


class Sub(NamedTuple):
    """Run another routine, and go on with the value that it returns."""

    routine: "Routine"
    args: Tuple[Any, ...]


class Choose(NamedTuple):
    """Go on with any one of the options: the explorer tries them all."""

    options: Tuple[Any, ...]


class End(NamedTuple):
    """The routine returned."""

    value: Any


Request = Union[Op, Sub, Choose, End]
Steps = Generator[Union[Op, Sub, Choose], Any, Any]
Routine = Callable[..., Steps]
Frame = Tuple[Routine, Tuple[Any, ...], Tuple[Any, ...]]
Stack = Tuple[Frame, ...]

_numbers: Dict[Stack, int] = {}
_stacks: List[Stack] = []
_waiting_for: List[Request] = []
_successors: Dict[Tuple[int, Any], int] = {}
_asked: Dict[Frame, Request] = {}


def begin(routine: Routine, *args: Any) -> int:
    """Return the number of a process that is about to make its first step."""
    return _number(((routine, args, ()),))


def request(process: int) -> Request:
    """Return what the process waits for: an `Op`, a `Choose`, or `End` if it is over."""
    return _waiting_for[process]


def answer(process: int, value: Any) -> int:
    """Return the number of the process once its request has been answered."""
    following = _successors.get((process, value))
    if following is None:
        following = _number(_push(_stacks[process], value))
        _successors[process, value] = following
    return following


def forget() -> None:
    """Drop every process known so far, to give its memory back between two explorations."""
    _numbers.clear()
    _stacks.clear()
    _waiting_for.clear()
    _successors.clear()
    _asked.clear()


def _push(stack: Stack, value: Any) -> Stack:
    routine, args, answers = stack[-1]
    return stack[:-1] + ((routine, args, answers + (value,)),)


def _ask(frame: Frame) -> Request:
    """Run a frame's routine from its start on its answers, up to the next request."""
    known = _asked.get(frame)
    if known is None:
        routine, args, answers = frame
        steps = routine(*args)
        try:
            known = next(steps)
            for value in answers:
                known = steps.send(value)
        except StopIteration as stop:
            known = End(stop.value)
        _asked[frame] = known
    return known


def _number(stack: Stack) -> int:
    """Enter and leave subroutines until the process waits for the outside; then number it."""
    while True:
        wanted = _ask(stack[-1])
        if isinstance(wanted, Sub):
            stack = stack + ((wanted.routine, wanted.args, ()),)
        elif isinstance(wanted, End) and len(stack) > 1:
            stack = _push(stack[:-1], wanted.value)
        else:
            break
    if stack not in _numbers:
        _numbers[stack] = len(_stacks)
        _stacks.append(stack)
        _waiting_for.append(wanted)
    return _numbers[stack]

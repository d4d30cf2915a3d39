"""What a routine of the model does to files and locks when nobody is in its way."""

from typing import Any, Dict, List

from . import routine
from .machine import State
from .names import parse
from .words import Step, in_order, moved, word

_MOVES = ("rename", "rename_new", "rename_unheard", "link")
_SINGLE = ("create", "unlink", "mkdir", "rmdir")


def steps_of(state: State, me: str, dead: str = "") -> List[Step]:
    """Let a process go to its end, or until it only waits, and return its steps in words.

    Every other process moves only when it has to wait.
    """
    script = _Script(state, me, dead)
    while True:
        ready = [name for name in state.processes if state.choices(name)]
        if not ready:
            return in_order(script.steps)
        script.take(min(ready, key=lambda name: (name.partition("+")[0] != me, name)))


class _Script:
    def __init__(self, state: State, me: str, dead: str) -> None:
        self.steps: List[Step] = []
        self._state = state
        self._me = me
        self._dead = dead
        self._opened: Dict[str, str] = {}

    def take(self, name: str) -> None:
        """Let one process make one step."""
        wanted = routine.request(self._state.processes[name].program)
        existed = set(self._state.files)
        answer = self._state.step(name, self._state.choices(name)[0])
        if name.partition("+")[0] == self._me and isinstance(wanted, routine.Op):
            self._note(wanted, answer, existed)

    def _note(self, op: routine.Op, answer: Any, existed: "set[str]") -> None:
        what, args = op.name, op.args
        if what in _MOVES and (answer == "ok" or what == "rename_unheard"):
            what = "rename" if what == "rename_unheard" else what
            self._say(what, *args, when=moved(*args, parse))
        elif what in _SINGLE and answer in ("ok", None):
            self._say(what, args[0])
        elif what == "open_lock" and answer is not None:
            self._opened[answer] = args[0]
            self._say("open" if args[0] in existed else "create", args[0])
        elif what in ("flock", "flock_wait"):
            shared = what == "flock" and args[1]
            got = "got" if answer else "held"
            self._say("probe" if shared else "lock", self._opened[args[0]], when=(got,))
        elif what.startswith("close") and args[0] in self._opened:
            self._say("close", self._opened.pop(args[0]))

    def _say(self, what: str, *paths: str, when: "tuple[str, ...]" = ()) -> None:
        said = tuple(word(path, parse, self._dead) for path in paths)
        if all(said):
            self.steps.append((what, *said, *when))

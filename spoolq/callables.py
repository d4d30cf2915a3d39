"""What a call of Python is in a job: a function by its name, and arguments that JSON brings back.

    {"target": "shop.mail:send", "args": ["a@b.example"], "kwargs": {"copies": 2}}

Nothing is pickled, and nothing becomes something else on its way: what JSON would bring back
changed (a tuple, NaN, a key that is no text) is refused when the job is made.
"""

from __future__ import annotations

import math
import re
import sys
from typing import Any, Dict, List, Mapping, Sequence

from spoolq.errors import InvalidJob, Path

MODULE = "spoolq.call"  #: what makes a call, as `python -m spoolq.call`
NOT_PLAIN = 65  #: the exit code where what it returned cannot be kept; EX_DATAERR of sysexits.h
PATTERN = (
    r"[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*"
    r":[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*"
)
LONGEST = 512
MOST_DEEP = 32  # a job file may be nested twice as deep, and has a result three levels down
_LARGEST = 2**63 - 1
_EXACT = frozenset({str, int, float, bool, type(None)})


def command() -> List[str]:
    """Return the command of a job that makes a call with this Python."""
    return [sys.executable, "-m", MODULE]


def makes_call(words: Any) -> bool:
    """Say whether a job's command makes the job's call: whatever else stands there is run."""
    return isinstance(words, list) and len(words) == 3 and words[1:] == ["-m", MODULE]


def check(value: Any) -> None:
    """Refuse what is no call.

    Raises:
        InvalidJob: with the path to the fault, from the job's own object on.
    """
    if not isinstance(value, dict):
        raise InvalidJob("must be an object with a target", path=("call",))
    target = value.get("target")
    if not isinstance(target, str) or len(target) > LONGEST or not re.fullmatch(PATTERN, target):
        raise InvalidJob(
            "must be a function by its name, package.module:function", path=("call", "target")
        )
    if not isinstance(value.get("args", []), list):
        raise InvalidJob("must be a list", path=("call", "args"))
    if not isinstance(value.get("kwargs", {}), dict):
        raise InvalidJob("must be an object", path=("call", "kwargs"))
    require_plain(value, ("call",))


def require_plain(value: Any, path: Path) -> None:
    """Refuse a value that JSON would not bring back as it is.

    Raises:
        InvalidJob: `path` leads to what it cannot bring back.
    """
    kind = type(value)
    if kind is str:
        if not value.isascii() and any("\ud800" <= char <= "\udfff" for char in value):
            raise InvalidJob("holds half a surrogate pair, which is no character", path=path)
    elif kind is float:
        if not math.isfinite(value):
            raise InvalidJob(f"{value} is no number of JSON", path=path)
    elif kind is int:
        if abs(value) > _LARGEST:
            raise InvalidJob("is larger than 63 bits; give it as text", path=path)
    elif kind is list or kind is dict:
        if len(path) > MOST_DEEP:
            raise InvalidJob(f"is nested more than {MOST_DEEP} deep", path=path)
        if kind is list:
            for index, item in enumerate(value):
                require_plain(item, (*path, index))
            return
        for key, item in value.items():
            if type(key) is not str:
                raise InvalidJob(f"the key {key!r:.80} is no text", path=path)
            require_plain(key, path)
            require_plain(item, (*path, key))
    elif kind not in _EXACT:
        raise InvalidJob(
            f"{_a(kind)} would not come back from JSON as it is",
            path=path,
            hint="give text, numbers, True, False, None, lists, and dicts with text as keys",
        )


def name_of(function: Any) -> str:
    """Return the target that names a function; a text is one already.

    Raises:
        InvalidJob: a worker could not find it by its name.
    """
    if isinstance(function, str):
        return function
    where: Path = ("call", "target")
    module = getattr(function, "__module__", None)
    name = getattr(function, "__qualname__", None)
    if not isinstance(module, str) or not isinstance(name, str):
        raise InvalidJob(f"{_a(type(function))} has no name to be found by", path=where)
    if "<" in name:
        raise InvalidJob(
            f"{name} cannot be found by its name: it is made anew each time",
            path=where,
            hint="move the function to the top of a module",
        )
    if module == "__main__":
        raise InvalidJob(
            f"{name} is of the program that was started, which a worker cannot import",
            path=where,
            hint="move it into a module",
        )
    found: Any = sys.modules.get(module)
    for part in name.split("."):
        found = getattr(found, part, None)
    if found != function and getattr(found, "function", None) != function:  # a task of it
        raise InvalidJob(f"{module}:{name} is something else", path=where)
    return f"{module}:{name}"


def spelled(call: Mapping[str, Any]) -> str:
    """Return a call as Python would have it: shop.mail:send('a@b.example', copies=2)."""
    args: Sequence[Any] = call.get("args", [])
    kwargs: Dict[str, Any] = call.get("kwargs", {})
    given = [*map(repr, args), *(f"{key}={value!r}" for key, value in kwargs.items())]
    return f"{call['target']}({', '.join(given)})"


def _a(kind: type) -> str:
    return f"{'an' if kind.__name__[:1].lower() in 'aeiou' else 'a'} {kind.__name__}"

"""How long what has ended is kept: the setting `retention`, checked and read.

{"completed": {"age": "30d", "size": "1GB"}, "dead": {"age": "90d", "archive": true},
 "logs": {"age": "30d"}}
"""

from __future__ import annotations

import re
from typing import Any, Dict, NamedTuple, Optional

from spoolq import spans
from spoolq.text import closest

KINDS = ("completed", "dead", "logs")
_EXAMPLE = '{"completed": {"age": "30d", "size": "1GB"}}'
_SIZE = re.compile(r"(\d{1,15}(?:\.\d{1,9})?) ?(?:([kmgt])(i?))?b?", re.ASCII | re.IGNORECASE)
_POWERS = {"": 0, "k": 1, "m": 2, "g": 3, "t": 4}
_MOST_AGE, _MOST_SIZE = 3_153_600_000, 2**60


class Keep(NamedTuple):
    """How much of one kind is kept.

    `age` is in seconds since the end, or of a log since its run began; `size` in bytes of all
    together. With `archive`, what goes is written into the archive before.
    """

    age: Optional[float]
    size: Optional[int]
    archive: bool = False


def check(value: Any) -> Any:
    """Return the setting as it is.

    Raises:
        ValueError: with a text for people.
    """
    read(value)
    return value


def read(value: Any) -> Dict[str, Keep]:
    """Return how much of each kind is kept; what is not named is kept for ever.

    Raises:
        ValueError: with a text for people.
    """
    if not isinstance(value, dict):
        raise ValueError(f"must be an object, as {_EXAMPLE}")
    for kind in value:
        if kind not in KINDS:
            raise ValueError(f"knows no {kind!r}{_meant(kind, KINDS)}; it has {', '.join(KINDS)}")
    return {kind: _keep(kind, rule) for kind, rule in value.items()}


def _keep(kind: str, rule: Any) -> Keep:
    keys = ("age", "size") if kind == "logs" else ("age", "size", "archive")
    if not isinstance(rule, dict):
        raise ValueError(f'{kind} must be an object, as {{"age": "30d"}}')
    for key in rule:
        if key not in keys:
            raise ValueError(
                f"{kind} knows no {key!r}{_meant(key, keys)}; it has {', '.join(keys)}"
            )
    if rule.get("age") is None and rule.get("size") is None:
        raise ValueError(f"{kind} needs an age or a size")
    archive = rule.get("archive", False)
    if not isinstance(archive, bool):
        raise ValueError(f"{kind}.archive must be true or false")
    age = rule.get("age")
    size = rule.get("size")
    return Keep(
        None if age is None else _age(f"{kind}.age", age),
        None if size is None else _size(f"{kind}.size", size),
        archive,
    )


def _age(where: str, value: Any) -> float:
    seconds = spans.seconds(value) if isinstance(value, str) else _number(value)
    if seconds is None or not 0 <= seconds <= _MOST_AGE:
        raise ValueError(f"{where} must be a duration: 90 (seconds), 12h, 30d, 8w")
    return seconds


def _size(where: str, value: Any) -> int:
    size = _number(value)
    if isinstance(value, str):
        match = _SIZE.fullmatch(value.strip())
        if match is not None:
            number, unit, binary = match.groups("")
            size = float(number) * (1024 if binary else 1000) ** _POWERS[unit.lower()]
    if size is None or not 0 <= size <= _MOST_SIZE:
        raise ValueError(f"{where} must be a size: 1000000 (bytes), 500MB, 1.5GB, 2GiB")
    return int(size)


def _number(value: Any) -> Optional[float]:
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return value if is_number else None


def _meant(word: str, words: Any) -> str:
    meant = closest(word, words)
    return f"; did you mean {meant!r}?" if meant else ""

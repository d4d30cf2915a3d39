"""Which executors there are: entry points of the group `spoolq.executors`.

A package that brings one names it in its metadata; spoolq's own are named there in the same way.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any, Dict, Mapping, cast

from spoolq.errors import BadInput
from spoolq.executors import LOCAL, Factory, is_kind
from spoolq.text import closest

GROUP = "spoolq.executors"


def find(kind: str) -> Factory:
    """Return what makes the executor of this name.

    Raises:
        BadInput: there is none, or what its package says of it is wrong.
    """
    if kind == LOCAL:  # no look at the metadata of all packages, which takes 20 ms
        return cast(Factory, import_module("spoolq.executors.local"))
    points = _entry_points()
    if kind not in points or not is_kind(kind):
        meant = closest(kind, points)
        guess = f"; did you mean {meant!r}?" if meant else ""
        raise BadInput(
            f"there is no executor {kind!r}{guess}", hint=f"there are: {', '.join(sorted(points))}"
        )
    try:
        return cast(Factory, points[kind].load())
    except (ImportError, AttributeError) as error:
        raise BadInput(
            f"the executor {kind!r} cannot be loaded: {error}",
            hint=f"it is said to be {points[kind].value}; is that package whole?",
        ) from error


def known_options(kind: str, factory: Factory, options: Mapping[str, str]) -> None:
    """Refuse options that an executor does not have.

    Raises:
        BadInput: it has no such option.
    """
    for key in options:
        if key not in factory.OPTIONS:
            meant = closest(key, factory.OPTIONS)
            guess = f"; did you mean {meant!r}?" if meant else ""
            there = ", ".join(sorted(factory.OPTIONS)) or "it has none"
            raise BadInput(
                f"the executor {kind!r} has no option {key!r}{guess}", hint=f"options: {there}"
            )


def _entry_points() -> Dict[str, Any]:
    from importlib.metadata import entry_points

    found: Any = entry_points()
    if sys.version_info >= (3, 10):
        return {point.name: point for point in found.select(group=GROUP)}
    return {point.name: point for point in found.get(GROUP, ())}

"""The chores that a worker of the command line does beside its jobs, in their order.

Each is imported when a spool first has something of it.
"""

from __future__ import annotations

from typing import Tuple

from spoolq.chores import Beside, Chore, Kind


def _hooks(beside: Beside) -> Chore:
    from spoolq.hooks import Hooks

    return Hooks(beside)


def _retention(beside: Beside) -> Chore:
    from spoolq.retention import Retention

    return Retention(beside)


CHORES: Tuple[Kind, ...] = (
    Kind("hooks", lambda entries, _: "hooks" in entries, _hooks),
    Kind("retention", lambda _, settings: settings.retention is not None, _retention),
)

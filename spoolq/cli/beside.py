"""The chores that a worker of the command line does beside its jobs, in their order.

Each is imported when a spool first has something of it.
"""

from __future__ import annotations

from typing import Tuple

from spoolq import pauses
from spoolq.chores import Beside, Chore, Kind


def _pausing(beside: Beside) -> Chore:
    from spoolq.groups import Pausing

    return Pausing(beside)


CHORES: Tuple[Kind, ...] = (
    Kind("paused tags", lambda entries, _: any(map(pauses.is_pause, entries)), _pausing),
)

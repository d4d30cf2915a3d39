"""The chores that a worker of the command line does beside its jobs, in their order.

Each is imported when a spool first has something of it.
"""

from __future__ import annotations

from typing import Tuple

from spoolq.chores import Beside, Chore, Kind
from spoolq.workdirs import WORK


def _disposal(beside: Beside) -> Chore:
    from spoolq.disposal import Disposal

    return Disposal(beside)


CHORES: Tuple[Kind, ...] = (Kind("work", lambda entries, _: WORK in entries, _disposal),)

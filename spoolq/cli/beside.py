"""The chores that a worker of the command line does beside its jobs, in their order.

Each is imported when a spool first has something of it.
"""

from __future__ import annotations

from typing import Tuple

from spoolq import pauses
from spoolq.chores import Beside, Chore, Kind
from spoolq.workdirs import WORK


def _pausing(beside: Beside) -> Chore:
    from spoolq.groups import Pausing

    return Pausing(beside)


def _releasing(beside: Beside) -> Chore:
    from spoolq.releasing import Releasing

    return Releasing(beside)


def _keyring(beside: Beside) -> Chore:
    from spoolq.keyring import Keyring

    return Keyring(beside)


def _ticking(beside: Beside) -> Chore:
    from spoolq.ticking import Ticking

    return Ticking(beside)


def _disposal(beside: Beside) -> Chore:
    from spoolq.disposal import Disposal

    return Disposal(beside)


def _hooks(beside: Beside) -> Chore:
    from spoolq.hooks import Hooks

    return Hooks(beside)


def _retention(beside: Beside) -> Chore:
    from spoolq.retention import Retention

    return Retention(beside)


CHORES: Tuple[Kind, ...] = (
    Kind("pausing", lambda entries, settings: any(map(pauses.is_pause, entries)), _pausing),
    Kind("releasing", lambda entries, settings: "after" in entries, _releasing),
    Kind("keyring", lambda entries, settings: "keys" in entries, _keyring),
    Kind("ticking", lambda entries, settings: "schedules" in entries, _ticking),
    Kind("disposal", lambda entries, settings: WORK in entries, _disposal),
    Kind("hooks", lambda entries, settings: "hooks" in entries, _hooks),
    Kind("retention", lambda entries, settings: settings.retention is not None, _retention),
)

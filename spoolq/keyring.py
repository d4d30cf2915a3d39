"""Keeps keys/ short: the keys of jobs that have ended, or never came, are removed.

Such a key is nobody's, whether its file is there or not; this is for those who look with `ls`.
"""

from __future__ import annotations

from typing import Dict

from spoolq import admission, keys
from spoolq.chores import Beside, Sparing
from spoolq.config import Settings
from spoolq.errors import Busy
from spoolq.spool import SpoolDir


class Keyring(Sparing):
    """The keys of a spool."""

    def __init__(self, beside: Beside) -> None:
        super().__init__(beside, keys.PLACE, "completed", "dead")
        self._spool = beside.spool

    def look_through(self, settings: Settings, patience: float) -> bool:
        """Remove what is nobody's."""
        try:
            self._remove(_nobodys(self._spool, keys.holders(self._spool)))
        except Busy:
            self.look_again()
        return False

    def _remove(self, candidates: Dict[str, str]) -> None:
        """Remove keys that are still nobody's under the lock: a job may be about to be published.

        RACE: without it the key of a job that is being published would go, and a second one be let
        in (test_a_key_whose_job_is_being_published_stays).
        """
        if not candidates:
            return
        with admission.held(self._spool, patience=0):
            now = keys.holders(self._spool)
            same = {name: job_id for name, job_id in candidates.items() if now.get(name) == job_id}
            for name in _nobodys(self._spool, same):
                self._spool.dir(keys.PLACE).discard(name)


def _nobodys(spool: SpoolDir, holders: Dict[str, str]) -> Dict[str, str]:
    """Return those keys whose job neither waits nor runs."""
    places = spool.locate(holders.values())
    return {
        name: job_id
        for name, job_id in holders.items()
        if places.get(job_id, ("", ""))[0] not in keys.WAITING_OR_RUNNING
    }

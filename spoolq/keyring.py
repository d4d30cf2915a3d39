"""Keeps keys/ short: the keys of jobs that have ended, or never came, are removed.

Such a key is nobody's, whether its file is there or not; this is for those who look with `ls`.
"""

from __future__ import annotations

from typing import Dict

from spoolq import admission, keys
from spoolq.chores import Beside, Chore
from spoolq.config import Settings
from spoolq.errors import Busy
from spoolq.glance import Glance
from spoolq.spool import SpoolDir

_SHARE = 50  # a look at the whole spool may cost one part in so many of the time


class Keyring(Chore):
    """The keys of a spool."""

    def __init__(self, beside: Beside) -> None:
        self._spool = beside.spool
        self._monotonic = beside.monotonic
        self._glances = [
            Glance(beside.spool.dir(place).stat, beside.monotonic)
            for place in (keys.PLACE, "completed", "dead")
        ]
        self._rests_until = 0.0

    def look(self, settings: Settings) -> bool:
        """Remove what is nobody's, if there may be any."""
        return self._monotonic() >= self._rests_until and self.settle(settings)

    def settle(self, settings: Settings) -> bool:
        """As `look`, however short a time ago the last one was."""
        if not any(glance.may_differ() for glance in self._glances):
            return False
        started = self._monotonic()
        for glance in self._glances:
            glance.look()
        try:
            self._remove(_nobodys(self._spool, keys.holders(self._spool)))
        except BaseException as error:
            self._glances[0].forget()
            if not isinstance(error, Busy):
                raise
        now = self._monotonic()
        self._rests_until = now + (now - started) * _SHARE
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

"""Lets jobs go when what they wait for has come about, and ends those for which it never will.

Who ends a job lets go what waited for it at once, as far as this worker knows; a look finds what
other workers, people and crashes have left. None of it is synced: after a power cut the same look
does the same again.
"""

from __future__ import annotations

from typing import Dict, List, Optional, Set, Tuple

from spoolq import admission, control, dependencies, instants, names, views
from spoolq.chores import Beside, Sparing
from spoolq.config import Settings
from spoolq.dependencies import Wait
from spoolq.errors import Busy
from spoolq.logs import logger
from spoolq.names import Name
from spoolq.spool import Record
from spoolq.views import JobView

_AT_ONCE = (
    0.25  # seconds in a row; each end of a job is synced, and the loop has runs to look after
)
_ENDED = ("completed", "dead")
_GONE = ""  # in the place of a state: there is no such job


class Releasing(Sparing):
    """The jobs of a spool that wait for others."""

    def __init__(self, beside: Beside) -> None:
        super().__init__(beside, dependencies.PLACE, *_ENDED)
        self._spool = beside.spool
        self._beside = beside
        self._waits: Dict[str, Set[Wait]] = {}  # by what is waited for, as of the last look
        self._open: List[Tuple[Wait, str]] = []  # what is to be settled, and for what state
        self._is_told = False  # the bell, of a job that was let go
        self._names: Dict[str, Name] = {}  # of all that is held in pending/, as of the last look

    def look(self, settings: Settings) -> bool:
        """Go on with what was begun; only then is it worth to look for more."""
        if not self._open:
            return super().look(settings)
        self._go_on(settings)
        return False

    def settle(self, settings: Settings) -> bool:
        """Look, and settle all that there is."""
        found = super().settle(settings)
        while self._open:
            self._go_on(settings)
        return found

    def moved(self, record: Record, name: Name, settings: Settings) -> bool:
        """Settle at once what waited for a job that this worker has ended."""
        if record.state not in _ENDED or name.id not in self._waits:
            return False
        self._is_told = False
        self._follow([(name.id, record.state)], settings)
        return self._is_told

    # --- inside -----------------------------------------------------------------------------------

    def look_through(self, settings: Settings, patience: float) -> bool:
        """Look at all that waits, and at all that it waits for."""
        # RACE: a job's files are made before it is published. Who looks at the jobs first, and at
        # the files then, sees all of them (test_a_job_whose_files_are_being_made_is_not_let_go).
        waiting = self._names = {
            name.id: name
            for name in map(names.parse, self._spool.dir("pending").scan())
            if name is not None and names.is_held(name.stamp)
        }
        waits = dependencies.still_open(self._spool)
        self._waits = {}
        for wait in waits:
            self._waits.setdefault(wait.other, set()).add(wait)
        places = self._spool.locate(self._waits)
        ended = [
            (other, places[other][0])
            for other in self._waits
            if other in places and places[other][0] in _ENDED
        ]
        self._follow(ended, settings)
        with_files = {wait.job for wait in waits}
        for name in waiting.values():
            if name.stamp == names.AFTER and name.id not in with_files:
                view = self._waiting(name.id, settings)
                if view is not None:
                    self._let_go(view)
        missing = {other for other in self._waits if other not in places}
        unclaimed = {wait for wait in waits if wait.job not in waiting}
        if missing or unclaimed:
            self._sweep(missing, unclaimed, settings, patience)
        return False

    def _sweep(
        self, missing: Set[str], unclaimed: Set[Wait], settings: Settings, patience: float
    ) -> None:
        """Settle what waits for jobs that are gone, and remove files whose job does not wait.

        RACE: both are as they are while a batch is being published, under the lock that is taken
        here (test_a_batch_that_is_being_published_is_not_settled).
        """
        try:
            with admission.held(self._spool, patience=patience):
                jobs = {wait.job for wait in unclaimed}
                places = self._spool.locate(missing | jobs)
                for wait in unclaimed:
                    _, filename = places.get(wait.job, ("", ""))
                    if not names.is_held(filename):
                        dependencies.end(self._spool, wait)
                        self._waits.get(wait.other, set()).discard(wait)
        except Busy:
            self.look_again()
            return
        self._follow([(other, _GONE) for other in missing - places.keys()], settings)

    def _follow(self, ended: List[Tuple[str, str]], settings: Settings) -> None:
        """Settle what waited for jobs that are over, and what waited for those in turn."""
        for other, state in ended:
            waits = sorted(self._waits.pop(other, ()), reverse=True)
            self._open += [(wait, state) for wait in waits]
        self._go_on(settings)

    def _go_on(self, settings: Settings) -> None:
        """Settle what is open, for a while: thousands may have waited for one that died."""
        until = self._monotonic() + _AT_ONCE
        try:
            while self._open:
                self._settle(*self._open.pop(), settings)
                if self._monotonic() > until:
                    break
        except BaseException:
            self._open.clear()
            self.look_again()
            raise

    def _settle(self, wait: Wait, state: str, settings: Settings) -> None:
        """Let a job go, or end it, now that what it waited for is over."""
        view = self._waiting(wait.job, settings)
        if view is None:
            # RACE: it may be on its way into pending/, or being changed: without its files nothing
            # would tell that it is to be let go when it has come there
            # (test_what_comes_about_before_a_job_is_in_pending_lets_it_go_then).
            self.look_again()
        elif state == "completed" or not wait.success or view.job is None:
            # What is no job any more is let go as well: who claims it says what is wrong.
            # CRASH: a job that has no files left is let go by the next look
            # (test_who_dies_between_the_last_file_and_the_job_leaves_it_to_others).
            dependencies.end(self._spool, wait)
            self._let_go(view)
        elif self._end(wait, view, state):
            waits = sorted(self._waits.pop(wait.job, ()), reverse=True)
            self._open += [(other, "dead") for other in waits]

    def _let_go(self, view: JobView) -> None:
        """Let a job fall due if it waits for nothing any more."""
        if view.name is None or view.name.stamp != names.AFTER:
            return  # held by a person besides, or let go by another worker
        if view.job is not None:
            place = self._spool.dir(dependencies.PLACE)
            if any(place.has(str(wait)) for wait in dependencies.of(view.job, view.id)):
                return
        due = instants.to_stamp(self._beside.clock())
        if view.job is not None and view.job.run_at is not None:
            due = max(due, instants.to_stamp(view.job.run_at))
        name = view.name
        moved = self._spool.requeue("pending", view.filename, name, due, name.attempt)
        if moved is not None:
            self._is_told = True
            self._beside.bell.tell(str(moved))  # so that pending/ need not be looked through for it

    def _end(self, wait: Wait, view: JobView, state: str) -> bool:
        """End a job that waits for the success of one that has none."""
        what = "is dead" if state == "dead" else "is gone"
        error = f"{wait.other}, which it waited for, {what}"
        facts = {"error": error, "waited_for": wait.other}
        own, clock = self._beside.own, self._beside.clock
        # RACE: it may be changed just now: then its files have to stay, or it would be let go
        # (test_the_files_of_a_job_that_could_not_be_ended_stay).
        if not control.end_waiting(self._spool, own, view, facts, clock):
            self.look_again()
            return False
        logger.warning("%s dead: %s", wait.job, error)
        for one in [one for some in self._waits.values() for one in some if one.job == wait.job]:
            self._waits[one.other].discard(one)
            dependencies.end(self._spool, one)
        dependencies.end(self._spool, wait)
        return True

    def _waiting(self, job_id: str, settings: Settings) -> Optional[JobView]:
        """Return a job that is held in pending/, or None where it is not known by which name.

        No look through the spool is worth it: the next one finds it.
        """
        pending = self._spool.dir("pending")
        known = self._names.get(job_id)
        guesses = (Name(names.AFTER, priority, 0, job_id) for priority in (5, *range(10)))
        for name in (*([known] if known else []), *guesses):
            if pending.has(str(name)):
                return views.look(self._spool, "pending", str(name), settings)
        return None

"""One loop: claim, run, record, stop.

A turn of the loop looks at what has happened and does what follows; then the worker sleeps until
something rings: a file event, the end of a child, a signal, a timer, or the tick of once a second
on which everything that no event tells is looked at. The clock, the executor and the rest come in
from outside, so that a test can replay a history without processes or sleeps.

A freed slot is filled before the run that freed it is recorded, and a scribe records beside the
loop: the next commands run while the outcomes of the last ones are being synced.
"""

from __future__ import annotations

import math
import random
from datetime import datetime
from typing import Callable, Collection, List, Optional, Sequence

from spoolq import instants, lease, names, requests, wishes
from spoolq.adoption import Intake
from spoolq.agenda import Agenda
from spoolq.aside import Aside
from spoolq.bell import Bell
from spoolq.chores import Beside, Chores, Kind
from spoolq.claiming import Claiming
from spoolq.config import FILE, LiveSettings
from spoolq.errors import SpoolqError, WorkerLost
from spoolq.executors import Ended, Executor
from spoolq.glance import Remembered
from spoolq.guard import Guarding, Unneeded
from spoolq.job import CANCELLED, INTERRUPTED
from spoolq.layout import words
from spoolq.logs import Complaints, about, logger
from spoolq.outcomes import Outcomes
from spoolq.permit import Permit
from spoolq.recovery import Recovery
from spoolq.scribe import Work, at_once
from spoolq.spool import SpoolDir

TICK = 1.0
_SECOND_SIGNAL = 1.0  # a second signal within this time is the same one, told twice


class Worker:
    """A process that runs as many jobs as its executor takes, until it is asked to stop."""

    def __init__(
        self,
        spool: SpoolDir,
        own: lease.Lease,
        executor: Executor,
        bell: Bell,
        *,
        drain: bool = False,
        stop_within: float = math.inf,
        clock: Callable[[], datetime] = instants.now,
        monotonic: Callable[[], float],
        chance: Callable[[], float] = random.random,
        each_second: Callable[[], None] = lambda: None,
        watch: Callable[[], None] = lambda: None,
        write: Callable[[Work], None] = at_once,
        pace: float = 0.0,
        guard: Guarding = Unneeded(),  # noqa: B008 - it keeps nothing
        chores: Sequence[Kind] = (),
        tags: Collection[str] = (),
        permit: Optional[Permit] = None,
    ) -> None:
        self._spool = spool
        self._lease = own
        self._executor = executor
        self._guard = guard
        self._bell = bell
        self._drain = drain
        self._stop_within = stop_within
        self._clock = clock
        self._monotonic = monotonic
        self._each_second = each_second
        self._watch: Optional[Callable[[], None]] = watch  # until it has been called
        self._live = LiveSettings(
            Remembered(spool.config_bytes, lambda: spool.root.stat(FILE), monotonic)
        )
        self._entries = Remembered(own.dir.list, own.dir.stat, monotonic)
        intake = Intake(spool, clock, monotonic)
        self._aside = aside = Aside(spool, monotonic, tags, limited="executor" not in own.card)
        self._agenda = Agenda(spool, intake, clock, monotonic, aside)
        self._recovery = Recovery(spool, own, clock, monotonic, executor)
        self._outcomes = Outcomes(spool, own, chance, write, monotonic, pace)
        self._claiming = Claiming(
            spool,
            own,
            executor,
            intake,
            self._agenda,
            self._outcomes,
            guard,
            clock,
            monotonic,
            aside,
            permit or Permit(),
        )
        self._is_told = False  # of a job that is due, by a chore: it is heard in the next turn
        self._chores = Chores(chores, Beside(spool, own, bell, clock, monotonic, aside))
        self._ended: List[Ended] = []  # told, and not through for the guard
        self._next_tick = 0.0
        self._write = write
        self._is_free_again = False  # to claim, and slots stood free while it was not
        self._claims_error: Optional[OSError] = None
        self._recovers = True  # the last recovery did not fail
        self._complain = Complaints(monotonic)
        self._stopping = False
        self._end_at = math.inf  # when what still runs is ended
        self._signals: List[float] = []
        self._interrupting = False

    # --- from outside -----------------------------------------------------------------------------

    def signalled(self) -> None:
        """Note a signal to stop: finish what runs; a second one, a second later, ends it."""
        self._signals.append(self._monotonic())  # no more in a handler: the loop does the rest

    def stop(self, *, interrupt: bool = False) -> None:
        """Take nothing new and leave when nothing runs; with `interrupt` end what runs."""
        if not self._stopping:
            kept = len(self._outcomes.claims()) if self._outcomes.trouble else 0
            left = f"; a second signal gives {kept} up that cannot be recorded yet" if kept else ""
            logger.info("stopping: %d running%s", len(self._claiming.runs), left)
            self._end_at = self._monotonic() + self._stop_within
        self._stopping = True
        if interrupt and not self._interrupting:
            self._interrupting = True
            logger.info("ending what runs; it goes back to pending/")

    def run(self) -> None:
        """Work until stopped, or with `drain` until nothing is left to do.

        Raises:
            WorkerLost: the worker's directory was removed; its runs have been ended.
        """
        try:
            while not self.turn():
                self._bell.wait(self.patience())
        except WorkerLost:
            self._end_all("lost")
            while True:
                self._hear()
                if not self._claiming.runs:
                    raise
                self._bell.wait(self._executor.patience())

    def close(self) -> None:
        """End what is done beside the jobs."""
        self._chores.close()

    # --- one turn ---------------------------------------------------------------------------------

    def turn(self) -> bool:
        """Do what has become due; True when the worker is to leave.

        Raises:
            WorkerLost: the worker's directory was removed.
        """
        rang, arrived = self._bell.rang(), self._bell.told()
        if rang:
            self._agenda.rang()
        if arrived:
            self._agenda.arrived(arrived)
        if rang or arrived:
            self._guarded(self._listen)
        if self._monotonic() >= self._next_tick:
            self._guarded(self._tick)
        elif self._recovers and self._recovery.patience() == 0:
            self._recovers = bool(self._guarded(self._recover))
        if self._signals:
            self.stop(interrupt=self._signals[-1] - self._signals[0] > _SECOND_SIGNAL)
        if self._monotonic() >= self._end_at and not self._interrupting:
            self.stop(interrupt=True)
        if self._interrupting:
            self._end_all(INTERRUPTED)
        for ended in self._hear():
            self._outcomes.add(ended, self._live.current)
        could_claim = self._may_claim()
        if could_claim and not self._guarded(self._refill, "claims"):
            self._claiming.hold_off()
        self._guarded(self._finish)
        self._is_free_again = not could_claim and self._may_claim()
        return bool(self._guarded(self._is_done))

    def _guarded(self, step: Callable[[], Optional[bool]], shown: str = "") -> Optional[bool]:
        """Take a step; what the system refuses is said, and tried again a second later.

        Where the step is `shown` by a name, `status` tells of it too, until it can be taken.
        """
        try:
            done = step()
            if shown:
                self._lease.show_trouble(shown, "")
            return done
        except WorkerLost:
            raise
        except (OSError, SpoolqError) as error:
            said = words(error)
            self._complain(said)
            if shown:
                self._lease.show_trouble(shown, said)
            return None

    def patience(self) -> float:
        """Return the seconds to sleep if nothing rings."""
        if self._is_free_again:
            return 0.0
        waits = [self._next_tick - self._monotonic()]
        if not self._interrupting:
            waits.append(self._end_at - self._monotonic())
        others = [self._executor.patience(), self._claiming.patience()]
        if self._recovers:
            others.append(self._recovery.patience())
        if not self._outcomes.trouble:
            others.append(self._outcomes.patience(busy=self._is_busy()))
        waits += [wait for wait in others if wait is not None]
        if self._may_claim() and self._claiming.has_room():
            due = self._agenda.wakes_in(self._live.current)
            waits += [] if due is None else [due]
        return max(min(waits), 0.0)

    def _tick(self) -> None:
        if self._next_tick:  # a second has passed
            self._begin_to_watch()
        self._next_tick = self._monotonic() + TICK
        self._each_second()
        self._lease.reopen()
        if not self._lease.is_ours():
            raise WorkerLost(
                f"{self._spool.path} or workers/{self._lease.name} in it was removed or replaced: "
                "the claims of this worker are lost"
            )
        self._guarded(self._reopen)
        self._guarded(self._listen)
        self._guarded(self._agenda.tick)
        self._recovers = bool(self._guarded(self._recover))
        self._guarded(self._look_beside)
        self._guarded(self._sync_claims)
        self._guarded(self._tidy)

    def _look_beside(self) -> None:
        if self._chores.look(self._live.current):
            self._agenda.rang()

    def _tidy(self) -> None:
        """Remove what the commands of ended runs have left in this worker's directory."""
        for entry in self._entries():
            if wishes.is_left(entry, self._claiming.runs):
                self._lease.dir.tidy(entry)

    def _begin_to_watch(self) -> None:
        """Have arrivals told, once there is nothing to claim: the first jobs wait for no import."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch()
            # RACE: nobody tells of what came since the last look
            # (test_what_arrives_while_the_watch_begins_is_found).
            self._agenda.look_again()

    def _reopen(self) -> None:
        for name in self._spool.reopen_replaced():
            logger.warning("%s/ is another directory now", name)

    def _sync_claims(self) -> None:
        if self._claiming.unsynced and self._live.current.durability == "full":
            self._claiming.unsynced = False
            self._write(self._sync_processing)
        error, self._claims_error = self._claims_error, None
        if error is not None:
            raise error

    def _sync_processing(self) -> None:
        try:
            self._spool.dir("processing").sync_moves()
        except OSError as error:  # for the loop to tell
            self._claims_error = error

    def _recover(self) -> bool:
        settings = self._live.current
        known = self._claiming.runs.keys() | self._outcomes.claims()
        for taken in self._recovery.look(settings, known):
            what = taken.entry.get("error", "it had ended when its worker was lost")
            logger.warning(
                "%s: %s (attempt %d)",
                taken.claim.id,
                what,
                taken.claim.attempt,
                extra=about(taken.claim, "taken over"),
            )
            self._outcomes.add_taken(taken, settings)
        for alive, cancel in self._recovery.alive():
            self._claiming.take_on(alive, settings, cancel=cancel)
        self._recovery.sweep()
        return True

    def _heed_settings(self) -> None:
        for warning in self._live.refresh():
            logger.warning("%s", warning)

    def _listen(self) -> None:
        """Heed what others have written: the settings, and requests to this worker."""
        self._guarded(self._heed_settings)
        counts: List[str] = []
        for request in filter(lease.is_request, self._entries()):
            if request.startswith("cancel."):
                self._cancel(request)
            elif request.startswith("count."):
                counts.append(request)
            else:
                self.stop(interrupt=request == "stop.now")

        if counts:
            requests.resize(self._lease, self._executor, counts)

    def _cancel(self, request: str) -> None:
        job_id = request[len("cancel.") :]
        if self._outcomes.is_cancelling(job_id):
            return
        ours = [claim for claim in self._claiming.runs if claim.id == job_id]
        for claim in ours:
            self._outcomes.cancelling(job_id)
            self._executor.cancel(claim, CANCELLED)
        if not ours and not any(claim.id == job_id for claim in self._outcomes.claims()):
            self._lease.dir.discard(request)

    def _hear(self) -> List[Ended]:
        """Return the runs that have ended, which are under way no more."""
        told, self._ended = [*self._ended, *self._executor.outcomes()], []
        ended: List[Ended] = []
        for one in told:
            if self._guard.is_through(one.run.claim):
                ended.append(self._guard.judged(one))
            else:
                self._ended.append(one)
        for one in ended:
            self._claiming.ended(one.run.claim)
        return ended

    # --- claim and run ----------------------------------------------------------------------------

    def _may_claim(self) -> bool:
        held_off = self._outcomes.trouble or self._claiming.holds_off()
        free = not (self._stopping or held_off or self._outcomes.is_behind())
        return free and self._guard.trusts()

    def _refill(self) -> bool:
        if self._claiming.refill(self._live.current, self._may_claim):
            self._begin_to_watch()
        return True

    def _end_all(self, error: str) -> None:
        for claim in self._claiming.runs:
            self._executor.cancel(claim, error)

    # --- record and move --------------------------------------------------------------------------

    def _is_busy(self) -> bool:
        return bool(self._claiming.runs)

    def _finish(self) -> None:
        if self._outcomes.trouble and self._claiming.holds_off():
            return
        durability = self._live.current.durability
        for record, name in self._outcomes.finish(durability, busy=self._is_busy()):
            if record.state == "failed":
                self._agenda.add_retry(name.stamp)
            elif record.state == "pending":
                self._agenda.rang()
            if self._chores.moved(record, name, self._live.current):
                self._is_told = True
        if self._outcomes.trouble and not self._outcomes.is_writing():
            self._claiming.hold_off()

    def _is_done(self) -> bool:
        if self._is_told:  # without a look through the spool, which is to come to that
            self._is_told = False
            return False
        running = self._is_busy()
        if running or not self._outcomes.are_done():
            if running or not (self._interrupting and self._outcomes.trouble):
                return False
            self._outcomes.give_up()
            return True
        if self._stopping:
            return True
        processing = self._spool.dir("processing")
        claims = (name for name in processing.list() if names.is_job(name))
        others = [name for name in claims if not names.is_on_its_way(name)]
        if not self._drain or self._aside.concerns(processing, others):
            return False  # looked at first: what others run may fail, and wait for its retry
        if self._chores.look(self._live.current, thorough=True):
            self._agenda.rang()
        return self._agenda.is_empty(self._live.current)

"""From what is due to runs under way, as many as the executor takes.

Nothing that stands in one job's way holds the others up: a claim that cannot become a run goes back
where it was, and its file waits until it is worth another look.
"""

from __future__ import annotations

from datetime import datetime
from typing import Callable, Dict, Optional, Sequence, Tuple

from spoolq import executors, instants, lease, logs, platform, workdirs
from spoolq.adoption import Intake, Unreadable, read_job
from spoolq.agenda import Agenda
from spoolq.aside import Aside
from spoolq.config import Settings
from spoolq.elsewhere import Alive
from spoolq.errors import InvalidJob, StorageFailed
from spoolq.executors import Executor, NoRoom, NotNow, Run
from spoolq.guard import Guarding
from spoolq.job import CANCELLED, Job
from spoolq.layout import PAUSED
from spoolq.locks import let_go
from spoolq.logs import logger
from spoolq.names import Name
from spoolq.outcomes import Outcomes
from spoolq.permit import Permit
from spoolq.spool import SpoolDir
from spoolq.text import shortened
from spoolq.tokens import Token

HOLD_OFF = 1.0  # seconds without claims after what the system refused

_Slot = Tuple[int, int]  # the number of a slot of this worker, and the descriptor that locks it


class Claiming:
    """The runs of one worker, and how they come about."""

    def __init__(
        self,
        spool: SpoolDir,
        own: lease.Lease,
        executor: Executor,
        intake: Intake,
        agenda: Agenda,
        outcomes: Outcomes,
        guard: Guarding,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        aside: Aside,
        permit: Permit,
    ) -> None:
        self._spool = spool
        self._lease = own
        self._aside = aside
        self._permit = permit
        self._kind: str = own.card.get("executor", {}).get("name", executors.LOCAL)
        self._executor = executor
        self._intake = intake
        self._agenda = agenda
        self._outcomes = outcomes
        self._guard = guard
        self._clock = clock
        self._monotonic = monotonic
        self._hold_off_until = 0.0
        self.runs: Dict[Name, Run] = {}  # submitted, and not heard of as ended
        self.unsynced = False  # a claim was made since this was last looked at

    def hold_off(self) -> None:
        """Claim nothing for a second: the system has refused something."""
        self._hold_off_until = self._monotonic() + HOLD_OFF

    def holds_off(self) -> bool:
        """Say whether nothing is claimed just now."""
        return self._monotonic() < self._hold_off_until

    def has_room(self) -> bool:
        """Say whether the executor takes another run."""
        return len(self.runs) < self._executor.capacity()

    def patience(self) -> Optional[float]:
        """Return the seconds after which it is worth a try to claim, whatever rings, or None."""
        return self._permit.patience()

    def refill(self, settings: Settings, may_claim: Callable[[], bool]) -> bool:
        """Claim and submit what is due; True if the executor takes more, and nothing is."""
        self._agenda.refresh(settings)
        if not self.has_room() or self._spool.root.has(PAUSED):
            return False
        slot: Optional[_Slot] = None  # locked, and not used yet: another worker was faster
        try:
            while self.has_room() and may_claim():
                if self._aside.is_behind() or self._aside.is_full():
                    return False
                found = self._agenda.take()
                if found is None:
                    return True
                slot = slot or self._free_slot()
                tokens = self._aside.admit(*found)
                if tokens is None:
                    continue
                if not self._permit.is_given():
                    self._aside.withdraw(tokens)
                    self._agenda.again(found[0])
                    return False
                before = len(self.runs)
                locked, slot = slot, None  # who has it lets it go, once
                slot = self._claim(*found, locked, settings, tokens)
                if len(self.runs) > before:
                    self._permit.used()
        except BaseException:
            self._agenda.rang()  # what was taken from it, and not claimed, is found by a look
            raise
        finally:
            if slot is not None:
                let_go(slot[1])
        return False

    def ended(self, claim: Name) -> None:
        """Take a run for under way no more; what it needed is free for the next one."""
        self._aside.let_go(self.runs.pop(claim).tokens)

    def take_on(self, alive: Alive, settings: Settings, *, cancel: bool) -> None:
        """Take a run on that a dead worker has left alive, elsewhere."""
        number, slot = self._free_slot()
        run = None
        try:
            run = self._taken_on(alive, executors.slot_name(self._kind, number), slot, settings)
        except (InvalidJob, OSError) as error:  # the next recovery finds it, in whose name it is
            logger.warning("%s: its run cannot be taken on yet: %s", alive.claim.id, error)
        finally:
            if run is None:
                let_go(slot)
        if run is None:
            return
        self._executor.reattach(run, alive.note)
        self.runs[run.claim] = run
        told = "its worker was lost, its run goes on"
        logger.warning("%s: %s", run.claim.id, told, extra=logs.about(run.claim, "taken on"))
        if cancel:
            self._outcomes.cancelling(run.claim.id)
            self._executor.cancel(run.claim, CANCELLED)

    # --- inside -----------------------------------------------------------------------------------

    def _taken_on(self, alive: Alive, label: str, slot: int, settings: Settings) -> Optional[Run]:
        """Take over a claim with its run, or return None: another worker was faster.

        CRASH: the note is written before the claim has the name that it tells of, so whoever takes
        it over in turn finds the run too (test_a_run_is_found_again_after_two_deaths).
        """
        wanted = alive.claim._replace(worker=self._lease.name, slot=label)
        lease.write_note(slot, {**alive.note, "claim": str(wanted)})
        claim = self._spool.take_over(alive.claim, self._lease.name, label)
        if claim is None:
            return None
        job, created_at = read_job(self._spool.dir("processing"), str(claim), settings)
        waited = claim.waiting(attempt=max(claim.attempt - 1, 0))
        return Run(claim, waited, job, created_at, slot, settings)

    def _claim(
        self,
        filename: str,
        name: Name,
        slot: _Slot,
        settings: Settings,
        tokens: Sequence[Token],
    ) -> Optional[_Slot]:
        """Claim a job and start its run; return the slot, still locked, if the job was gone.

        Of several workers all but one lose each job, and to lock a slot costs more than to lose.
        """
        number, lock = slot
        is_gone = started = False
        trips = self._guard.trips
        try:
            stamp = instants.to_stamp(self._clock())
            label = executors.slot_name(self._kind, number)
            claim = self._spool.claim(filename, name, stamp, self._lease.name, label)
            is_gone = claim is None
            found = None
            if claim is not None:
                self.unsynced = True
                found = self._read(claim, name, settings)
            if claim is not None and found is not None:
                job, changed_at = found
                if not self._aside.suits(job, tokens):
                    unsuited, tokens = tokens, ()
                    self._aside.let_go(unsuited)
                    admitted = self._aside.judge(job, str(name.waiting()), name, self._inode(claim))
                    if admitted is None:
                        self._spool.give_back(claim, name)
                        return None
                    tokens = admitted
                run = Run(claim, name, job, changed_at, lock, settings, tokens=tokens)
                started = self._start(run, trips)
        except PermissionError as error:  # this file alone: the others get their turn
            self._intake.put_off(filename, error)
        finally:
            if not (started or is_gone):
                let_go(lock)
            if not started:
                self._aside.let_go(tokens)
        if started and tokens:
            self._agenda.refresh(settings)  # there may be enough for the next one too
        return slot if is_gone else None

    def _inode(self, claim: Name) -> Callable[[], int]:
        return lambda: self._spool.dir("processing").stat(str(claim)).st_ino

    def _read(self, claim: Name, name: Name, settings: Settings) -> Optional[Tuple[Job, datetime]]:
        """Return the job of a claim and its age; put what is none where it belongs."""
        processing = self._spool.dir("processing")
        try:
            found = read_job(processing, str(claim), settings)
            if settings.sync_claims:
                processing.sync_moves()
            return found
        except FileNotFoundError:
            logger.warning("%s: the claim was taken away", claim.id)
        except Unreadable as error:
            self._spool.give_back(claim, name)
            self._intake.doubt(str(name.waiting()), error, settings)
        except InvalidJob as error:
            buried = self._spool.bury("processing", str(claim), str(name.waiting()))
            logger.warning("no job, now dead/%s: %s", buried, error)
        except OSError as error:  # the job is not to blame
            self._spool.give_back(claim, name)
            if error.errno not in platform.FAILING_ERRNOS:
                raise  # no descriptor left
            # A bad sector under this file, or a disk that fails: the others get their turn.
            self._intake.put_off(str(name.waiting()), error)
            self.hold_off()
        return None

    def _start(self, run: Run, trips: int) -> bool:
        """Start a run; where that cannot be, let the job wait again.

        RACE: any call on the spool may have hung for longer than the lease, and another host have
        taken the claim over meanwhile; so nothing is started that was claimed, at `trips`, before
        the guard acted (test_a_claim_from_before_the_guard_acted_is_not_started).
        """
        guard, claim, name = self._guard, run.claim, run.waited

        def may_start() -> bool:
            return guard.trusts() and guard.trips == trips

        run = run._replace(may_start=may_start)
        try:
            if not may_start():
                raise NotNow("the server of the spool was out of reach")
            if run.job.fields.get("workdir") and not self._provides(run):
                return False
            self._executor.submit(run)
        except NoRoom as error:
            self._spool.give_back(claim, name)
            self._intake.put_off(str(name.waiting()), error)
            return False
        except NotNow:
            self._spool.give_back(claim, name)
            raise
        self.runs[claim] = run
        attempts = 1 + run.settings.policy(run.job).max_retries
        told = f"{claim.id} attempt {claim.attempt} of {attempts}: {shortened(run.job.line, 200)}"
        logs.tell(claim, "started", told)
        return True

    def _provides(self, run: Run) -> bool:
        """Make the directory that a job keeps, wherever its command runs; False: it waits again."""
        sync = run.settings.durability != "none"
        try:
            workdirs.provide(self._spool, run.claim.id, run.job, sync=sync)
        except OSError as error:
            failure = StorageFailed(f"its work directory cannot be made: {error.strerror}")
            self._spool.give_back(run.claim, run.waited)
            self._intake.put_off(str(run.waited.waiting()), failure)
            return False
        return True

    def _free_slot(self) -> _Slot:
        """Return the number and the lock of a slot that nothing holds, not even a left daemon."""
        used = {claim.slot for claim in self.runs} | {c.slot for c in self._outcomes.claims()}
        number = 0
        while True:
            label = executors.slot_name(self._kind, number)
            if label not in used:
                slot: Optional[int] = self._lease.take_slot(label)
                if slot is not None:
                    return number, slot
            number += 1

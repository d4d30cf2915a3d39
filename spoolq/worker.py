"""One loop: claim, run, record, stop.

A turn of the loop looks at what has happened and does what follows; then the worker sleeps until
something rings: a file event, the end of a child, a signal, a timer, or the tick of once a second
on which everything that no event tells is looked at. The clock, the executor and the rest come in
from outside, so that a test can replay a history without processes or sleeps.

A freed slot is filled before the run that freed it is recorded: the next command then runs while
the outcome of the last one is being synced.
"""

from __future__ import annotations

import random
from datetime import datetime
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Set

from spoolq import instants, lease, logs, names
from spoolq.adoption import Intake, Unreadable, read_job
from spoolq.agenda import Agenda
from spoolq.bell import Bell
from spoolq.config import LiveSettings, Settings
from spoolq.errors import InvalidJob, SpoolqError, WorkerLost
from spoolq.executors import Ended, Executor, NotNow, Run
from spoolq.job import CANCELLED, INTERRUPTED, Entry, next_place, succeeded
from spoolq.layout import PAUSED
from spoolq.locks import let_go
from spoolq.logs import logger
from spoolq.names import Name
from spoolq.recovery import Recovery, record_of
from spoolq.spool import Record, SpoolDir
from spoolq.text import shortened

TICK = 1.0
OUTPUT_KEPT = 2048  # bytes of a failed run's output that its record keeps
_SECOND_SIGNAL = 1.0  # a second signal within this time is the same one, told twice
_COMPLAIN_EVERY = 60.0


class _Unfinished(NamedTuple):
    """The end of a run that is not on disk yet, and the descriptor that holds its slot.

    `how` is what the log says of it, once it is on disk: before, a crash would make it a lie.
    """

    record: Record
    slot: Optional[int]
    how: str = ""


class Worker:
    """A process that runs `count` jobs at a time until it is asked to stop."""

    def __init__(
        self,
        spool: SpoolDir,
        own: lease.Lease,
        executor: Executor,
        bell: Bell,
        *,
        count: int,
        drain: bool = False,
        clock: Callable[[], datetime] = instants.now,
        monotonic: Callable[[], float],
        chance: Callable[[], float] = random.random,
        check_watcher: Callable[[], None] = lambda: None,
    ) -> None:
        self._spool = spool
        self._lease = own
        self._executor = executor
        self._bell = bell
        self._count = count
        self._drain = drain
        self._clock = clock
        self._monotonic = monotonic
        self._chance = chance
        self._check_watcher = check_watcher
        self._live = LiveSettings(spool.config_bytes)
        self._intake = Intake(spool, clock, monotonic)
        self._agenda = Agenda(spool, self._intake, clock, monotonic)
        self._recovery = Recovery(spool, own, clock, monotonic)
        self._unfinished: Dict[Name, _Unfinished] = {}
        self._next_tick = 0.0
        self._hold_off_until = 0.0
        self._cancelling: Set[str] = set()
        self._unsynced_claims = False
        self._recovers = True  # the last recovery did not fail
        self._trouble = ""
        self._complaint = ("", 0.0)
        self._stopping = False
        self._signals: List[float] = []
        self._interrupting = False

    # --- from outside -----------------------------------------------------------------------------

    def signalled(self) -> None:
        """Note a signal to stop: finish what runs; a second one, a second later, ends it."""
        self._signals.append(self._monotonic())  # no more in a handler: the loop does the rest

    def stop(self, *, interrupt: bool = False) -> None:
        """Take nothing new and leave when nothing runs; with `interrupt` end what runs."""
        if not self._stopping:
            logger.info("stopping: %d running", len(self._executor.running()))
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
                self._executor.ended()
                if not self._executor.running():
                    raise
                self._bell.wait(self._executor.patience())

    # --- one turn ---------------------------------------------------------------------------------

    def turn(self) -> bool:
        """Do what has become due; True when the worker is to leave.

        Raises:
            WorkerLost: the worker's directory was removed.
        """
        if self._bell.rang():
            self._agenda.rang()
            self._guarded(self._listen)
        if self._monotonic() >= self._next_tick:
            self._guarded(self._tick)
        elif self._recovers and self._recovery.patience() == 0:
            self._recovers = bool(self._guarded(self._recover))
        if self._signals:
            self.stop(interrupt=self._signals[-1] - self._signals[0] > _SECOND_SIGNAL)
        if self._interrupting:
            self._end_all(INTERRUPTED)
        for ended in self._executor.ended():
            self._note_end(ended)
        if self._may_claim() and not self._guarded(self._refill):
            self._hold_off_until = self._monotonic() + TICK
        self._guarded(self._finish)
        return bool(self._guarded(self._is_done))

    def _guarded(self, step: Callable[[], Optional[bool]]) -> Optional[bool]:
        """Take a step; what the filesystem refuses is said, and tried again a second later."""
        try:
            return step()
        except WorkerLost:
            raise
        except (OSError, SpoolqError) as error:
            now = self._monotonic()
            said, when = self._complaint
            if str(error) != said or now - when > _COMPLAIN_EVERY:
                self._complaint = (str(error), now)
                logger.error("%s; trying again each second", error)
            return None

    def patience(self) -> float:
        """Return the seconds to sleep if nothing rings."""
        waits = [self._next_tick - self._monotonic()]
        others = (self._executor.patience(), self._recovery.patience() if self._recovers else None)
        waits += [wait for wait in others if wait is not None]
        if self._may_claim() and len(self._executor.running()) < self._count:
            due = self._agenda.wakes_in(self._live.current)
            waits += [] if due is None else [due]
        return max(min(waits), 0.0)

    def _tick(self) -> None:
        self._next_tick = self._monotonic() + TICK
        if not self._lease.is_ours():
            raise WorkerLost(
                f"{self._spool.path} or workers/{self._lease.name} in it was removed or replaced: "
                "the claims of this worker are lost"
            )
        self._guarded(self._reopen)
        self._check_watcher()
        self._guarded(self._listen)
        self._guarded(self._agenda.tick)
        self._recovers = bool(self._guarded(self._recover))
        self._guarded(self._sync_claims)

    def _reopen(self) -> None:
        for name in self._spool.reopen_replaced():
            logger.warning("%s/ is another directory now", name)
            self._agenda.forget(name)

    def _sync_claims(self) -> None:
        if self._unsynced_claims and self._live.current.durability == "full":
            self._unsynced_claims = False
            self._spool.dir("processing").sync()

    def _recover(self) -> bool:
        settings = self._live.current
        known = {run.claim for run in self._executor.running()} | set(self._unfinished)
        for taken in self._recovery.look(settings, known):
            logger.warning(
                "%s: %s (attempt %d)", taken.claim.id, taken.entry["error"], taken.claim.attempt
            )
            self._unfinished[taken.claim] = _Unfinished(record_of(taken, settings), None)
        self._recovery.sweep()
        return True

    def _listen(self) -> None:
        """Heed what others have written: the settings, and requests to this worker."""
        for warning in self._live.refresh():
            logger.warning("%s", warning)
        for request in self._lease.requests():
            if request.startswith("cancel."):
                self._cancel(request)
            else:
                self.stop(interrupt=request == "stop.now")

    def _cancel(self, request: str) -> None:
        job_id = request[len("cancel.") :]
        ours = [run.claim for run in self._executor.running() if run.claim.id == job_id]
        for claim in ours:
            self._cancelling.add(job_id)
            self._executor.end(claim, CANCELLED)
        if not ours and not any(claim.id == job_id for claim in self._unfinished):
            self._lease.dir.discard(request)

    # --- claim and run ----------------------------------------------------------------------------

    def _may_claim(self) -> bool:
        return not (self._stopping or self._trouble or self._monotonic() < self._hold_off_until)

    def _refill(self) -> bool:
        settings = self._live.current
        self._agenda.refresh(settings)
        if len(self._executor.running()) >= self._count or self._spool.root.has(PAUSED):
            return True
        while len(self._executor.running()) < self._count and self._may_claim():
            found = self._agenda.take()
            if found is None:
                break
            self._claim(*found, settings)
        return True

    def _claim(self, filename: str, name: Name, settings: Settings) -> None:
        number, slot = self._free_slot()
        started = False
        try:
            stamp = instants.to_stamp(self._clock())
            claim = self._spool.claim(filename, name, stamp, self._lease.name, str(number))
            if claim is not None:
                self._unsynced_claims = True
                started = self._start(claim, name, slot, settings)
        except PermissionError as error:  # this file alone: the others get their turn
            self._intake.put_off(filename, error)
        finally:
            if not started:
                let_go(slot)

    def _start(self, claim: Name, name: Name, slot: int, settings: Settings) -> bool:
        """Start the run of a claim; where that cannot be, put the file where it belongs."""
        try:
            job, changed_at = read_job(self._spool.dir("processing"), str(claim), settings)
            if settings.sync_claims:
                self._spool.dir("processing").sync()
        except FileNotFoundError:
            logger.warning("%s: the claim was taken away", claim.id)
            return False
        except Unreadable as error:
            self._spool.give_back(claim, name)
            self._intake.doubt(str(name.waiting()), error, settings)
            return False
        except InvalidJob as error:
            buried = self._spool.bury("processing", str(claim), str(name.waiting()))
            logger.warning("no job, now dead/%s: %s", buried, error)
            return False
        except OSError:  # no descriptor left, a failing disk: the job is not to blame
            self._spool.give_back(claim, name)
            raise
        try:
            self._executor.start(Run(claim, name, job, changed_at, slot, settings))
        except NotNow as error:
            self._spool.give_back(claim, name)
            self._hold_off_until = self._monotonic() + TICK
            logger.warning("%s; trying again", error)
            return False
        attempts = 1 + settings.policy(job).max_retries
        line = job.command if isinstance(job.command, str) else " ".join(job.command)
        line = shortened(line, 200)
        logger.info("%s attempt %d of %d: %s", claim.id, claim.attempt, attempts, line)
        return True

    def _free_slot(self) -> tuple[int, int]:
        """Return the number and the lock of a slot that nothing holds, not even a left daemon."""
        used = {run.claim.slot for run in self._executor.running()}
        used |= {claim.slot for claim in self._unfinished}
        number = 0
        while True:
            if str(number) not in used:
                slot = self._lease.take_slot(str(number))
                if slot is not None:
                    return number, slot
            number += 1

    def _end_all(self, error: str) -> None:
        for run in self._executor.running():
            self._executor.end(run.claim, error)

    # --- record and move --------------------------------------------------------------------------

    def _note_end(self, ended: Ended) -> None:
        entry = self._entry(ended)
        run = ended.run
        policy = self._live.current.policy(run.job)
        state, at, attempt = next_place(entry, run.claim.attempt, policy, self._chance())
        job = run.job.with_entry(entry, run.created_at)
        record = Record(run.claim, job.to_bytes(), state, instants.to_stamp(at), attempt)
        seconds = (ended.finished_at - run.claim.at).total_seconds()
        how = f"{_how(entry)} after {seconds:.3g} s"
        self._unfinished[run.claim] = _Unfinished(record, run.slot, how)

    def _entry(self, ended: Ended) -> Entry:
        claim = ended.run.claim
        entry: Entry = {
            "attempt": claim.attempt,
            "worker": claim.worker,
            "started_at": instants.stamp_to_rfc3339(claim.stamp),
            "finished_at": instants.to_rfc3339(ended.finished_at),
        }
        facts: Dict[str, Any] = {
            "exit_code": ended.exit_code,
            "signal": ended.signal,
            "error": ended.error,
        }
        entry.update({key: value for key, value in facts.items() if value is not None})
        if ended.error == INTERRUPTED:
            entry["not_before"] = instants.stamp_to_rfc3339(ended.run.waited.stamp)
        elif not succeeded(entry):
            output = logs.tail(self._spool.dir("logs"), logs.log_name(claim), OUTPUT_KEPT)
            if output:
                entry["output"] = output
        return entry

    def _finish(self) -> None:
        if self._trouble and self._monotonic() < self._hold_off_until:
            return
        if not self._unfinished:
            self._set_trouble("")  # all is written; what could not be synced was told
            return
        records = [unfinished.record for unfinished in self._unfinished.values()]
        report = self._spool.finish(self._lease.dir, records, self._live.current.durability)
        for claim, name in report.done.items():
            unfinished = self._unfinished.pop(claim)
            if unfinished.slot is not None:
                let_go(unfinished.slot)
            # RACE: the job may be retried, and claimed here again, as soon as it has moved; the
            # request is not for that run (test_one_cancel_request_cancels_one_run).
            if claim.id in self._cancelling:
                self._cancelling.discard(claim.id)
                self._lease.dir.tidy(f"cancel.{claim.id}")
            if name is None:
                logger.warning("%s: the claim was taken away; its end is not recorded", claim.id)
                continue
            if unfinished.how:
                logger.info("%s %s: %s", claim.id, unfinished.record.state, unfinished.how)
            if unfinished.record.state == "failed":
                self._agenda.add_retry(name.stamp)
            elif unfinished.record.state == "pending":
                self._agenda.rang()
        self._set_trouble("" if report.error is None else str(report.error))

    def _set_trouble(self, trouble: str) -> None:
        """Claim nothing while outcomes cannot be written; say so, and try again each second."""
        if trouble:
            self._hold_off_until = self._monotonic() + TICK
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if trouble:
            logger.error("outcomes cannot be written: %s; claiming nothing, trying again", trouble)
        else:
            logger.info("outcomes can be written again")
        self._lease.note(trouble=trouble)

    def _is_done(self) -> bool:
        if self._executor.running() or self._unfinished:
            return bool(self._interrupting and self._trouble and not self._executor.running())
        if self._stopping:
            return True
        if not self._drain or any(map(names.is_job, self._spool.dir("processing").list())):
            return False  # looked at first: what others run may fail, and wait for its retry
        return self._agenda.is_empty(self._live.current)


def _how(entry: Entry) -> str:
    code, number = entry.get("exit_code"), entry.get("signal")
    return entry.get("error") or (f"exit {code}" if number is None else f"signal {number}")

"""How runs ended, until the disk has it: record, sync, move, sync, as often as it takes.

What has ended is written down at once. A scribe syncs it beside the loop; then the loop moves the
job on, and the scribe makes the move durable with the next batch. So all names are changed by the
loop alone, and no start of a command waits for a sync.

A disk that refuses is trouble, which is said once, shown to who looks at the workers, and tried
against each second.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Optional, Set, Tuple

from spoolq import instants, lease, logs, wishes
from spoolq.config import Settings
from spoolq.errors import WorkerLost
from spoolq.executors import Ended
from spoolq.job import INTERRUPTED, Entry, judge, next_place, succeeded, wish
from spoolq.layout import words
from spoolq.locks import let_go
from spoolq.logs import logger
from spoolq.names import Name
from spoolq.recovery import Taken, record_of
from spoolq.scribe import Work, at_once
from spoolq.spool import Record, SpoolDir

OUTPUT_KEPT = 2048  # bytes of a failed run's output that its record keeps
PACE = 0.01  # seconds between the batches of a busy worker: fewer syncs, each for more runs
MOST_UNWRITTEN = 256  # ends that may wait for the disk; each holds two descriptors


class _Unfinished:
    """The end of a run that is not on disk yet, and the descriptor that holds its slot.

    `how` is what the log says of it, once it is on disk: before, a crash would make it a lie.
    `file` is its outcome, written down and open; None where it has to be written anew.
    """

    __slots__ = ("file", "how", "record", "slot")

    def __init__(self, record: Record, slot: Optional[int], how: str = "") -> None:
        self.record = record
        self.slot = slot
        self.how = how
        self.file: Optional[int] = None

    def close(self) -> None:
        """Let the file go; it is on disk, or will be written anew."""
        if self.file is not None:
            let_go(self.file)
            self.file = None


class _Batch:
    """What the scribe syncs at a time: outcomes that are to be moved, and moves that were made."""

    def __init__(self, recorded: List[_Unfinished], moved: List[_Unfinished]) -> None:
        self.recorded = recorded
        self.moved = moved
        self.is_over = False
        self.confirmed = False  # no power cut undoes the moves
        self.error: Optional[OSError] = None  # what the disk refused of them
        self.unsynced: Optional[OSError] = None  # why no outcome may be moved
        self.failure: Optional[BaseException] = None


class Outcomes:
    """The ends of one worker's runs that are not on disk yet.

    `write` does a piece of work, now or in a thread of its own that wakes the loop when it is done.
    While runs are under way a batch begins `pace` seconds after the last one, at the earliest.
    """

    def __init__(
        self,
        spool: SpoolDir,
        own: lease.Lease,
        chance: Callable[[], float],
        write: Callable[[Work], None],
        monotonic: Callable[[], float],
        pace: float,
    ) -> None:
        self._spool = spool
        self._lease = own
        self._chance = chance
        self._write = write
        self._monotonic = monotonic
        self._pace = pace
        self._next_batch = 0.0
        self._batch: Optional[_Batch] = None
        self._unfinished: Dict[Name, _Unfinished] = {}
        self._moved: List[_Unfinished] = []  # and whose move is not durable yet
        self._cancelling: Set[str] = set()
        self.trouble = ""  # what keeps the outcomes from the disk

    def claims(self) -> Set[Name]:
        """Return the claims that have ended and are not moved on yet."""
        return set(self._unfinished)

    def are_done(self) -> bool:
        """Say whether all that has ended is on disk."""
        return not (self._unfinished or self._moved or self._batch)

    def add(self, ended: Ended, settings: Settings) -> None:
        """Take the end of a run, to be recorded."""
        entry = self._entry(ended)
        run = ended.run
        policy = settings.policy(run.job)
        state, at, attempt = next_place(entry, run.claim.attempt, policy, self._chance())
        job = run.job.with_entry(entry, run.created_at)
        request = f"cancel.{run.claim.id}" if self.is_cancelling(run.claim.id) else None
        stamp = instants.to_stamp(at)
        record = Record(run.claim, job.to_bytes(), state, stamp, attempt, request)
        seconds = (ended.finished_at - run.claim.at).total_seconds()
        how = f"{_how(entry)} after {seconds:.3g} s"
        self._write_down(_Unfinished(record, run.slot, how))

    def _write_down(self, unfinished: _Unfinished) -> None:
        self._unfinished[unfinished.record.claim] = unfinished
        # CRASH: written at once, for a worker that is killed while it waits for the disk
        # (test_a_run_that_ended_before_its_worker_was_killed_does_not_run_again).
        try:
            unfinished.file = self._spool.write_outcome(self._lease.dir, unfinished.record)
        except (OSError, WorkerLost):
            pass  # the batch tries again, and tells why it cannot be

    def add_taken(self, taken: Taken, settings: Settings) -> None:
        """Take a claim that was taken over from a dead worker, to be recorded."""
        self._write_down(_Unfinished(record_of(taken, settings), None))

    def cancelling(self, job_id: str) -> None:
        """Note that a run is ended because a request asked for it; the request goes with it."""
        self._cancelling.add(job_id)

    def is_cancelling(self, job_id: str) -> bool:
        """Say whether a request to cancel this job is being met, up to the end on disk."""
        return job_id in self._cancelling

    def is_behind(self) -> bool:
        """Say whether so much waits for the disk that nothing new should be begun."""
        return len(self._unfinished) >= MOST_UNWRITTEN

    def is_writing(self) -> bool:
        """Say whether a batch is under way whose end is not known."""
        return self._batch is not None

    def patience(self, *, busy: bool) -> Optional[float]:
        """Return the seconds until the next batch may begin; None if there is none to begin."""
        if self._batch is not None or not (self._unfinished or self._moved):
            return None
        return max(self._next_batch - self._monotonic(), 0.0) if busy else 0.0

    def finish(self, durability: str, *, busy: bool = False) -> List[Tuple[Record, Name]]:
        """Bring on all there is; return what has been moved, and under which names.

        What could not be is tried again at a later call; `trouble` says why.

        Args:
            busy: whether there is more to come, so that syncs are worth sharing.

        Raises:
            WorkerLost: the worker's directory is gone, and all its claims with it.
        """
        moved: List[Tuple[Record, Name]] = []
        if self.are_done():
            self._set_trouble("")  # all is written; what could not be synced was told
        failed = self._take(moved)
        while not failed and self.patience(busy=busy) == 0:
            failed = self._hand_over(durability) or self._take(moved)
        return moved

    def _hand_over(self, durability: str) -> bool:
        """Begin a batch; True if a disk that refuses lets none begin."""
        self._next_batch = self._monotonic() + (0.0 if durability == "none" else self._pace)
        recorded, refused = [*self._unfinished.values()], None
        try:
            for unfinished in recorded:
                if unfinished.file is None:
                    unfinished.file = self._spool.write_outcome(self._lease.dir, unfinished.record)
        except OSError as error:
            self._set_trouble(words(error))
            if not self._moved:
                return True
            recorded, refused = [], error  # a full disk keeps no move from being synced
        batch = self._batch = _Batch(recorded, self._moved)
        batch.unsynced = refused
        self._moved = []
        files = [unfinished.file for unfinished in batch.recorded if unfinished.file is not None]
        states = {unfinished.record.state for unfinished in batch.moved}

        def work() -> None:
            try:
                try:
                    self._spool.sync_moves(states, durability)
                    batch.confirmed = True
                except OSError as error:
                    batch.error = error
                try:
                    self._spool.sync_outcomes(self._lease.dir, files, durability)
                except OSError as error:
                    batch.unsynced = error
            except BaseException as failure:  # the loop's to deal with, which takes it
                batch.failure = failure
            batch.is_over = True

        # Without syncs there is nothing to wait for, and a thread costs more than it saves.
        (at_once if durability == "none" else self._write)(work)
        return False

    def _take(self, moved: List[Tuple[Record, Name]]) -> bool:
        """Take what came of the batch, if it is over; True if it failed."""
        batch = self._batch
        if batch is None or not batch.is_over:
            return False
        self._batch = None
        for unfinished in batch.recorded:
            unfinished.close()
        for unfinished in batch.moved:
            self._tell(unfinished, confirmed=batch.confirmed)
        if batch.failure is not None:
            raise batch.failure
        error = batch.unsynced
        for unfinished in batch.recorded if error is None else ():
            try:
                self._move(unfinished, moved)
            except OSError as refused:
                error = error or refused
        error = error or batch.error
        self._set_trouble("" if error is None else words(error))
        return error is not None

    def _move(self, unfinished: _Unfinished, moved: List[Tuple[Record, Name]]) -> None:
        claim = unfinished.record.claim
        name = self._spool.record_and_move(self._lease.dir, unfinished.record)
        del self._unfinished[claim]
        if unfinished.slot is not None:
            let_go(unfinished.slot)
        self._cancelling.discard(claim.id)
        if name is None:
            logger.warning(
                "%s: the claim was taken away; its end is not recorded",
                claim.id,
                extra=logs.about(claim, "taken away"),
            )
            return
        moved.append((unfinished.record, name))
        self._moved.append(unfinished)

    def _tell(self, unfinished: _Unfinished, *, confirmed: bool) -> None:
        record = unfinished.record
        if unfinished.how and confirmed:
            logs.tell(
                record.claim, record.state, f"{record.claim.id} {record.state}: {unfinished.how}"
            )
        elif unfinished.how:
            logger.warning(
                "%s %s: %s; the disk does not confirm it, so a crash may let it run again",
                record.claim.id,
                record.state,
                unfinished.how,
                extra=logs.about(record.claim, record.state),
            )

    def give_up(self) -> None:
        """Say whose outcomes will not be on disk, now that the worker leaves."""
        for unfinished in [*self._moved, *(self._batch.moved if self._batch else ())]:
            self._tell(unfinished, confirmed=False)
        for claim, unfinished in self._unfinished.items():
            logger.warning(
                "%s: its end (%s) is not recorded; the next worker records it if it finds it, "
                "or takes the run for lost",
                claim.id,
                unfinished.how or "the end of a lost run",
                extra=logs.about(claim, "given up"),
            )

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
        judge(entry, ended.run.job)
        if ended.error == INTERRUPTED:
            entry["not_before"] = instants.stamp_to_rfc3339(ended.run.waited.stamp)
        elif succeeded(entry):
            if ended.run.job.call is not None:
                entry.update(wishes.take_result(self._lease.dir, claim))
        else:
            if ended.error is None:
                wished = wishes.retry_at(self._lease.dir, claim, ended.finished_at)
                if wished is not None:
                    wish(entry, ended.run.job, wished)
            output = logs.tail(self._spool.dir("logs"), logs.log_name(claim), OUTPUT_KEPT)
            if output:
                entry["output"] = output
        return entry

    def _set_trouble(self, trouble: str) -> None:
        if trouble == self.trouble:
            return
        self.trouble = trouble
        if trouble:
            logger.error("outcomes cannot be written: %s; claiming nothing, trying again", trouble)
        else:
            logger.info("outcomes can be written again")
        self._lease.show_trouble("outcomes", trouble)


def _how(entry: Entry) -> str:
    code, number = entry.get("exit_code"), entry.get("signal")
    return entry.get("error") or (f"exit {code}" if number is None else f"signal {number}")

"""How runs ended, until the disk has it: record, then move, as often as it takes.

What has ended is told here and kept until it is recorded and moved; a disk that refuses is trouble,
which is said once, shown to who looks at the workers, and tried against each second.

One batch is being written at a time; what ends meanwhile is the next one.
"""

from __future__ import annotations

from typing import Any, Callable, Dict, List, NamedTuple, Optional, Set, Tuple

from spoolq import instants, lease, logs
from spoolq.config import Settings
from spoolq.executors import Ended
from spoolq.job import INTERRUPTED, Entry, next_place, succeeded
from spoolq.layout import words
from spoolq.locks import let_go
from spoolq.logs import logger
from spoolq.names import Name
from spoolq.recovery import Taken, record_of
from spoolq.scribe import Work, at_once
from spoolq.spool import Record, Report, SpoolDir

OUTPUT_KEPT = 2048  # bytes of a failed run's output that its record keeps
MOST_UNWRITTEN = 256  # ends that may wait for the disk; each holds its slot's descriptor


class _Unfinished(NamedTuple):
    """The end of a run that is not on disk yet, and the descriptor that holds its slot.

    `how` is what the log says of it, once it is on disk: before, a crash would make it a lie.
    """

    record: Record
    slot: Optional[int]
    how: str = ""


class _Batch:
    """Ends that are being written, and what came of it: one of the two when it is over."""

    def __init__(self) -> None:
        self.report: Optional[Report] = None
        self.failure: Optional[BaseException] = None


class Outcomes:
    """The ends of one worker's runs that are not on disk yet.

    `write` does a piece of work, now or in a thread of its own that wakes the loop when it is done.
    """

    def __init__(
        self,
        spool: SpoolDir,
        own: lease.Lease,
        chance: Callable[[], float],
        write: Callable[[Work], None],
    ) -> None:
        self._spool = spool
        self._lease = own
        self._chance = chance
        self._write = write
        self._batch: Optional[_Batch] = None
        self._unfinished: Dict[Name, _Unfinished] = {}
        self._written: Set[Name] = set()  # of these, whose outcome a kill does not take any more
        self._cancelling: Set[str] = set()
        self.trouble = ""  # what keeps the outcomes from the disk

    def claims(self) -> Set[Name]:
        """Return the claims whose outcome is not on disk yet."""
        return set(self._unfinished)

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
        record = unfinished.record
        self._unfinished[record.claim] = unfinished
        # CRASH: written at once, for a worker that is killed while it waits for the disk
        # (test_a_run_that_ended_before_its_worker_was_killed_does_not_run_again).
        try:
            self._spool.write_outcome(self._lease.dir, record)
            self._written.add(record.claim)
        except OSError:
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

    def finish(self, durability: str) -> List[Tuple[Record, Name]]:
        """Have all there is recorded and moved; return what has moved, and under which names.

        What could not be is tried again at a later call; `trouble` says why.

        Raises:
            WorkerLost: the worker's directory is gone, and all its claims with it.
        """
        if self._batch is None and not self._unfinished:
            self._set_trouble("")  # all is written; what could not be synced was told
        elif self._batch is None:
            self._hand_over(durability)
        moved = self._take()
        if self._batch is None and self._unfinished and not self.trouble:
            self._hand_over(durability)  # what has ended while the last batch was written
        return moved

    def _hand_over(self, durability: str) -> None:
        records = [unfinished.record for unfinished in self._unfinished.values()]
        written = frozenset(self._written)
        batch = self._batch = _Batch()

        def work() -> None:
            try:
                batch.report = self._spool.finish(self._lease.dir, records, durability, written)
            except BaseException as failure:  # the loop's to deal with, which takes it
                batch.failure = failure

        # Without syncs there is nothing to wait for, and a thread costs more than it saves.
        (at_once if durability == "none" else self._write)(work)

    def _take(self) -> List[Tuple[Record, Name]]:
        """Take what came of the batch, if it is over."""
        batch = self._batch
        if batch is None or (batch.report is None and batch.failure is None):
            return []
        self._batch = None
        if batch.failure is not None:
            self._written.clear()
            raise batch.failure
        report = batch.report
        assert report is not None
        moved = []
        for claim, name in report.done.items():
            unfinished = self._unfinished.pop(claim)
            self._written.discard(claim)
            if unfinished.slot is not None:
                let_go(unfinished.slot)
            self._cancelling.discard(claim.id)
            if name is None:
                logger.warning("%s: the claim was taken away; its end is not recorded", claim.id)
                continue
            if unfinished.how and report.confirmed:
                logger.info("%s %s: %s", claim.id, unfinished.record.state, unfinished.how)
            elif unfinished.how:
                logger.warning(
                    "%s %s: %s; the disk does not confirm it, so a crash may let it run again",
                    claim.id,
                    unfinished.record.state,
                    unfinished.how,
                )
            moved.append((unfinished.record, name))
        if report.error is not None:
            self._written.clear()  # what failed to be synced once is written anew, not synced again
        self._set_trouble("" if report.error is None else words(report.error))
        return moved

    def give_up(self) -> None:
        """Say whose outcomes will not be on disk, now that the worker leaves."""
        for claim, unfinished in self._unfinished.items():
            logger.warning(
                "%s: its end (%s) is not recorded; the next worker records it if it finds it, "
                "or takes the run for lost",
                claim.id,
                unfinished.how or "the end of a lost run",
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
        if ended.error == INTERRUPTED:
            entry["not_before"] = instants.stamp_to_rfc3339(ended.run.waited.stamp)
        elif not succeeded(entry):
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
        self._lease.note(trouble=trouble)


def _how(entry: Entry) -> str:
    code, number = entry.get("exit_code"), entry.get("signal")
    return entry.get("error") or (f"exit {code}" if number is None else f"signal {number}")

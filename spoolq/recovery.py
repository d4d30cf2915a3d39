"""Claims of dead workers, and what is left of them, back to where they belong.

Every worker does this at its start and once a second, for each claim whose worker's lock is free,
or who has no directory, and whose lease has run out if it is of another kernel (`neighbours`):

1. If the outcome is recorded, the move is finished; the job does not run again.
2. What is left of the run is ended (or, with `orphans: wait`, waited for).
3. A worker's directory that has no lock, or is of another kernel, is removed: that fences it off.
4. The claim is taken over: renamed to this worker. Losing that rename is losing the race.
5. The winner looks again, and finishes the claim as its own: a run is recorded as its worker had
   begun to write it, else as lost, or as cancelled where that was asked for; a claim to change a
   job is put back as it was, and so is a file that does not parse.

No lock is needed between recoverers: each step has one winner, and a recoverer that dies leaves a
claim in its own name, which the next one finds in turn. The order of the steps, and that nothing
but a recorded outcome is moved without a takeover, come from the model in tests/model.
"""

from __future__ import annotations

import stat
from contextlib import contextmanager
from datetime import datetime
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Set, Tuple

from spoolq import instants, lease, names, platform
from spoolq.adoption import read_job
from spoolq.config import Settings
from spoolq.elsewhere import Alive, Elsewhere
from spoolq.errors import InvalidJob
from spoolq.executors import Executor
from spoolq.glance import Remembered
from spoolq.job import CANCELLED, LOST, Entry, Job, next_place
from spoolq.lease import Lease
from spoolq.logs import logger
from spoolq.names import Name
from spoolq.neighbours import DEAD, FREE, HELD, LAPSED, MISSING, OUT_OF_REACH, Neighbours
from spoolq.processes import Ending, Marks, Process, find_all, push_on
from spoolq.spool import CHANGE, Record, SpoolDir, outcome_of

_LOST, _CANCELLED = "lost", "cancel"  # how the slots of takeovers begin: what is to be recorded
_STAYS = frozenset({".ids", ".last", ".config", ".gitignore", ".gitkeep"})
_LITTER_EVERY = 3600.0
LITTER_AGE = 86_400.0  # seconds after which a file in tmp/ has been left by somebody who died


class Taken(NamedTuple):
    """A claim taken over: to be recorded by its new owner with this entry."""

    claim: Name
    job: Job
    created_at: datetime
    entry: Entry


class _Found(NamedTuple):
    """What a dead worker's directory tells of a claim: the slot to take it over into says it."""

    slot: str
    written: Optional[Entry]  # how the run ended


class Recovery:
    """One worker's view of the others: who is dead, and what they left."""

    def __init__(
        self,
        spool: SpoolDir,
        own: Lease,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
        executor: Optional[Executor] = None,
        neighbours: Optional[Neighbours] = None,
    ) -> None:
        self._spool = spool
        self._own = own
        self._elsewhere = Elsewhere(spool, own, executor)
        self._clock = clock
        self._monotonic = monotonic
        self._endings: Dict[Name, Ending] = {}
        self._told: Set[Tuple[str, str]] = set()
        self._next_litter = 0.0
        self._neighbours = neighbours or Neighbours(spool, monotonic)
        self._states: Dict[str, str] = {}  # of the workers that claims name, at the last look
        self._unsettled: Set[str] = set()  # workers of which not all runs are known to be over
        claims, workers = spool.dir("processing"), spool.dir("workers")
        self._claims = Remembered(claims.list, claims.stat, monotonic)
        self._workers = Remembered(workers.list, workers.stat, monotonic)

    def patience(self) -> Optional[float]:
        """Return the seconds until the end of an orphan's run wants another look, or None."""
        return min((ending.patience() for ending in self._endings.values()), default=None)

    def look(self, settings: Settings, known: Set[Name]) -> List[Taken]:
        """Look at all claims and take over those of the dead.

        Args:
            known: this worker's own claims; one in its name that is not among them is the fruit
                of a rename whose reply was lost, and is recovered too.
        """
        orphans = self._orphans(settings, known)
        self._endings = {k: v for k, v in self._endings.items() if k in orphans}
        # What is left of all the runs is looked for at once: that costs as much as for one.
        push_on(self._endings.values())
        fresh = [claim for claim in orphans if claim not in self._endings]
        marks = [self._marks(claim) for claim in fresh]
        left = dict(zip(fresh, find_all(marks) if marks else ()))
        over: Dict[Name, _Found] = {}
        for claim in orphans:
            with self._each(str(claim)):
                if self._run_is_over(claim, left.get(claim, []), settings):
                    over[claim] = self._found(claim, settings)
        self._unsettled |= {claim.worker or "" for claim in orphans if claim not in over}
        taken: List[Taken] = []
        for claim, found in over.items():
            with self._each(str(claim)):
                taken += self._take_over(claim, found, settings)
        return taken

    def alive(self) -> List[Tuple[Alive, bool]]:
        """Return the claims whose runs the last look has found alive elsewhere.

        Each with whether it was to be cancelled.
        """
        found = self._elsewhere.alive()
        return [(alive, self._was_to_be_cancelled(alive.claim)) for alive in found]

    def _orphans(self, settings: Settings, known: Set[Name]) -> List[Name]:
        """Return the claims of dead workers that have no outcome yet; finish those that have."""
        orphans = []
        self._states, self._unsettled = {}, set()
        self._neighbours.lease = settings.lease
        claims = self._claims()
        self._told = {told for told in self._told if told[0] in claims}
        for filename in claims:
            claim = names.parse(filename)
            if claim in known or not names.is_job(filename):
                continue
            with self._each(filename):
                if claim is None or claim.worker is None:
                    if self._spool.put_back_stray(filename):
                        logger.warning("processing/%s names no worker: back to pending/", filename)
                elif self._is_dead(claim) and not self._finish_recorded(claim, settings):
                    reason = self._elsewhere.look(claim)
                    if reason:
                        self._tell(filename, reason)
                        self._unsettled.add(claim.worker)
                    else:
                        orphans.append(claim)
        return orphans

    @contextmanager
    def _each(self, filename: str) -> Iterator[None]:
        """Let one file that cannot be dealt with hold up no other."""
        try:
            yield
        except OSError as error:
            self._tell(filename, f"it cannot be recovered yet: {error}")

    def _is_dead(self, claim: Name) -> bool:
        worker = claim.worker or ""
        if worker not in self._states:
            self._states[worker] = self._state_of(worker)
        if self._states[worker] == OUT_OF_REACH:
            after = self._neighbours.still(worker)
            what = f"its worker is out of reach; it is taken over when that has lasted {after:g} s"
            self._tell(str(claim), what)
        return self._states[worker] in DEAD

    def sweep(self) -> None:
        """Remove the directories of dead workers that no claim names any more, and old litter.

        RACE: a worker may claim, die and be looked for in any order, so the claims are listed
        after its lock was found free (test_a_dead_workers_directory_outlives_its_claims).
        """
        workers = self._workers()
        self._neighbours.forget_all_but({*workers, *self._states})
        for worker in workers:
            if worker == self._own.name or not names.is_worker(worker):
                continue
            if self._state_of(worker) not in DEAD:
                continue
            if not self._spool.has_claims_of(worker):
                self._remove(worker)
        if self._monotonic() >= self._next_litter:
            self._next_litter = self._monotonic() + _LITTER_EVERY
            self.sweep_litter()

    def sweep_litter(self) -> None:
        """Remove what died in the making: what is in tmp/ and older than a day."""
        tmp = self._spool.dir("tmp")
        oldest = self._clock().timestamp() - LITTER_AGE
        for entry in tmp.list():
            try:
                if entry in _STAYS or tmp.stat(entry).st_mtime > oldest:
                    continue
                try:
                    tmp.unlink(entry)
                except (IsADirectoryError, PermissionError):
                    lease.clear(tmp, entry, tmp)
            except OSError as error:
                logger.debug("tmp/%s stays: %s", entry, error.strerror)

    # --- inside -----------------------------------------------------------------------------------

    def _state_of(self, worker: str) -> str:
        if worker == self._own.name:
            return MISSING  # a claim in our own name that we do not know of
        try:
            return self._neighbours.state_of(worker)
        except OSError:  # whatever lies there cannot be told dead, and holds up no other
            return HELD

    def _found(self, claim: Name, settings: Settings) -> _Found:
        # RACE: the request, and how the run ended, must be looked for before the takeover, after
        # which the directory that holds them may be swept
        # (test_a_cancel_request_of_a_dead_worker_is_honoured).
        slot = claim.slot or ""
        if slot != CHANGE and not slot.startswith(_CANCELLED):
            kind = _CANCELLED if self._was_to_be_cancelled(claim) else _LOST
            slot = kind + names.random_text(6)
        return _Found(slot, self._written(claim, settings))

    def _take_over(self, claim: Name, found: _Found, settings: Settings) -> List[Taken]:
        slot, written = found
        if not self._is_fenced(claim):
            return []
        mine = self._spool.take_over(claim, self._own.name, slot)
        # RACE: between the look and the takeover another recoverer may have recorded it
        # (test_a_takeover_looks_again_before_it_records).
        if mine is None or self._finish_recorded(mine, settings):
            return []
        try:
            job, created_at = read_job(self._spool.dir("processing"), str(mine), settings)
        except FileNotFoundError:
            return []
        except InvalidJob as error:
            self._give_back(mine, str(error))
            return []
        if slot == CHANGE:
            self._give_back(mine, "who changed it is gone")
            return []
        entry = written or self._lost(claim, slot.startswith(_CANCELLED))
        return [Taken(mine, job, created_at, entry)]

    def _written(self, claim: Name, settings: Settings) -> Optional[Entry]:
        """Return how a dead worker has written that the run ended, if it came to that."""
        assert claim.worker is not None and claim.slot is not None
        try:
            directory = lease.room(self._spool, claim.worker)
        except OSError:
            return None
        try:
            job, _ = read_job(directory, outcome_of(claim.slot), settings)
            return job.recorded(claim.attempt, claim.stamp)
        except (OSError, InvalidJob):  # none, or half of one, or what a power cut left of it
            return None
        finally:
            directory.close()

    def _finish_recorded(self, claim: Name, settings: Settings) -> bool:
        """Finish the move of a claim whose outcome is recorded; True if nothing is left to do."""
        try:
            job, _ = read_job(self._spool.dir("processing"), str(claim), settings)
        except FileNotFoundError:
            return True  # somebody else recovered it
        except InvalidJob:
            return False
        entry = job.recorded(claim.attempt, claim.stamp)
        if entry is None:
            return False
        state, at, attempt = next_place(entry, claim.attempt, settings.policy(job))
        moved = self._spool.finish_move(claim, state, instants.to_stamp(at), attempt)
        if moved is not None:
            logger.info("%s: %s, as its lost worker recorded", claim.id, state)
        return True

    def _is_fenced(self, claim: Name) -> bool:
        """Say whether the claim's worker can write no more.

        A free lock says so. Where there is none, somebody removed it, perhaps from a living
        worker; then the directory goes too, in which the worker would make its outcome. So it does
        where the worker is of another kernel, whose locks can be out of sight. With the directory
        go the locks and outcomes of all its slots: not before all its runs are over.
        """
        assert claim.worker is not None
        is_lapsed = self._states.get(claim.worker) == LAPSED
        if claim.worker == self._own.name:
            return True
        if not is_lapsed and lease.probe(self._spool, claim.worker) == FREE:
            return True
        if is_lapsed and claim.worker in self._unsettled:
            return False
        left = self._remove(claim.worker)
        if left:
            self._tell(str(claim), f"its worker's directory cannot be removed: {left}")
        return not left

    def _lost(self, claim: Name, cancelled: bool) -> Entry:
        return {
            "attempt": claim.attempt,
            "worker": claim.worker,
            "started_at": instants.stamp_to_rfc3339(claim.stamp),
            "finished_at": instants.to_rfc3339(self._clock()),
            "error": CANCELLED if cancelled else LOST,
        }

    def _run_is_over(self, claim: Name, left: List[Process], settings: Settings) -> bool:
        """Push the end of an orphan's run on; True when nothing of it is left."""
        ending = self._endings.get(claim)
        if ending is not None:
            return ending.is_over and self._lock_is_free(claim)
        if not left:
            return self._lock_is_free(claim)
        if settings.orphans == "wait" and not self._was_to_be_cancelled(claim):
            self._tell(str(claim), "its worker is gone, its command still runs: waiting for it")
            return False
        self._tell(str(claim), "its worker is gone, its command still runs: ending it")
        ending = self._endings[claim] = Ending(self._marks(claim), settings.grace, self._monotonic)
        ending.push(left)
        return False

    def _lock_is_free(self, claim: Name) -> bool:
        """Say whether nothing holds the slot's lock, not even what cannot be seen otherwise."""
        assert claim.worker is not None and claim.slot is not None
        if lease.probe(self._spool, claim.worker, lease.slot_lock(claim.slot)) != "held":
            return True
        self._tell(
            str(claim), "its worker is gone; waiting for a process out of sight that holds its lock"
        )
        return False

    def _marks(self, claim: Name) -> Marks:
        assert claim.worker is not None and claim.slot is not None
        lock = None
        try:
            directory = lease.room(self._spool, claim.worker)
            try:
                info = directory.stat(lease.slot_lock(claim.slot))
                lock = (info.st_dev, info.st_ino)
            finally:
                directory.close()
        except OSError:
            lock = None  # no lock file: then the other two marks must do
        note: Dict[str, Any] = lease.read_slot(self._spool, claim.worker, claim.slot, str(claim))
        if note.get("boot") == platform.boot_id() and isinstance(note.get("pid"), int):
            return Marks(str(claim), lock, note["pid"], note.get("started"))
        return Marks(str(claim), lock)

    def _was_to_be_cancelled(self, claim: Name) -> bool:
        assert claim.worker is not None
        try:
            directory = lease.room(self._spool, claim.worker)
        except OSError:
            return False
        try:
            return directory.has(f"cancel.{claim.id}")
        except OSError:
            return False
        finally:
            directory.close()

    def _give_back(self, claim: Name, reason: str) -> None:
        """Return a claim to pending/ as it was: its file is judged there, or waits on."""
        before = claim.attempt - (claim.slot != CHANGE)
        back = self._spool.give_back(claim, claim.waiting(attempt=max(before, 0)))
        if back is not None:
            logger.warning("%s: %s; back to pending/", claim.id, reason)

    def _remove(self, worker: str) -> str:
        """Remove a worker's directory; return why it stays, or nothing."""
        try:
            lease.clear(self._spool.dir("workers"), worker, self._spool.dir("tmp"))
        except OSError as error:
            if not self._is_directory(worker):
                return ""  # nothing in which a worker could make an outcome
            logger.debug("workers/%s stays: %s", worker, error.strerror)
            return error.strerror or str(error)
        return ""

    def _is_directory(self, worker: str) -> bool:
        try:
            return stat.S_ISDIR(self._spool.dir("workers").stat(worker).st_mode)
        except (FileNotFoundError, NotADirectoryError):
            return False
        except OSError:  # it cannot be seen: nobody is fenced by that
            return True

    def _tell(self, filename: str, what: str) -> None:
        if (filename, what) not in self._told:
            self._told.add((filename, what))
            logger.warning("processing/%s: %s", filename, what)


def record_of(taken: Taken, settings: Settings) -> Record:
    """Return how a claim that was taken over is recorded and where it goes."""
    state, at, attempt = next_place(taken.entry, taken.claim.attempt, settings.policy(taken.job))
    job = taken.job.with_entry(taken.entry, taken.created_at)
    return Record(taken.claim, job.to_bytes(), state, instants.to_stamp(at), attempt)

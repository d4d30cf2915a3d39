"""The directories of a spool and every legal move of a job; nobody else moves one.

    tmp/ ──publish──▶ pending/ ──claim──▶ processing/ ──finish──▶ completed/
                      │ ▲ ▲ ▲ ◀─give_back─ │  ↻ take_over  │
    a drop ──adopt────┘ │ │ └──promote────── failed/ ◀──────┤
                        │ └────requeue────── failed/, dead/ │
                        bury ──────────────▶ dead/ ◀────────┘

Every arrow is one rename, so a job is in exactly one state at every instant. What a crash, a kill
or a power cut leaves, arrow by arrow:

publish     The file is written and synced in tmp/, renamed, the directory synced; only then is
            the id told. Before the rename there is litter in tmp/, never acknowledged; after it
            there is the job, acknowledged or not.
adopt       Before it the drop, after it the job: both will be looked at again.
claim       Counts the attempt in the same rename. After it the job is in processing/ under its
            worker's name; if that worker is dead, recovery takes it over.
finish      Record, then move. The outcome is written in the worker's own directory, where it
            outlives a kill; its data is synced, and it is renamed over the claim. After that it
            outlives all, and the move is finished by anyone: the job does not run again.
take_over   A claim in a dead worker's name becomes one in the recoverer's. The rename has one
            winner; if the winner dies too, the next recovery takes it over in turn.
others      Before the rename the old state, after it the new one; nothing is in between.

A rename that finds its file gone has lost a race, which is an answer: such methods return None
or False. Other OSErrors are the caller's to translate (`layout.translated`), since a worker tries
again where a person wants to be told.
"""

from __future__ import annotations

import os
import re
from datetime import timedelta
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set

from spoolq import instants, names
from spoolq.errors import OutcomeUnknown, StorageFailed
from spoolq.fsio import Dir, sync_files, write_all, write_together
from spoolq.layout import (
    LOOK_ORDER,
    Layout,
    put_away,
    storage_error,
    translated,
    unless_removed,
)
from spoolq.names import Name

#: The slot of a claim that is not made to run the job; runs are in slots 0, 1, 2 ...
CHANGE = "change"
#: How a file in a worker's directory ends that says how a slot's run ended.
OUTCOME = ".outcome"
_FEW = 4  # ids that are sought in a file name as it stands, before it is taken apart


class Record(NamedTuple):
    """The end of a run: the job's file as it will be, and where it goes.

    `request` is the file in the worker's directory that asked for this end.
    """

    claim: Name
    data: bytes
    state: str
    stamp: str
    attempt: int
    request: Optional[str] = None


class Report(NamedTuple):
    """What `finish` did: the new name of each claim, None where it was lost; and what went wrong.

    A claim that is not in `done` is not finished; finishing it again is harmless. Where the moves
    could not be synced they are not `confirmed`: a power cut may undo them.
    """

    done: Dict[Name, Optional[Name]]
    error: Optional[OSError]
    confirmed: bool = True


def outcome_of(slot: str) -> str:
    """Return the name of the file, in a worker's directory, that says how a slot's run ended."""
    return slot + OUTCOME


class SpoolDir(Layout):
    """A spool's directories, held open, and the moves between them."""

    # --- looking ----------------------------------------------------------------------------------

    def locate(self, wanted: Iterable[str]) -> Dict[str, tuple[str, str]]:
        """Return state and file name of each of these ids that exists.

        RACE: a listing may miss a file that moves meanwhile, so what is missing is looked for
        twice (test_locate_looks_twice_before_it_says_none).
        """
        found: Dict[str, tuple[str, str]] = {}
        missing: Set[str] = set(wanted)
        for state in LOOK_ORDER * 2:
            if not missing:
                break
            entries = self.dir(state).scan()
            if len(missing) < _FEW:  # a look that is cheap: `show` in a spool of a million jobs
                entries = filter(re.compile("|".join(map(re.escape, missing))).search, entries)
            for filename in entries:
                job_id = names.id_in(filename)
                if job_id in missing:
                    found[job_id] = (state, filename)
            missing -= set(found)
        return found

    def has_claims_of(self, worker: str) -> bool:
        """Say whether a claim in processing/ names this worker."""
        claims = map(names.parse, self.dir("processing").scan())
        return any(claim is not None and claim.worker == worker for claim in claims)

    # --- producing --------------------------------------------------------------------------------

    def publish(self, files: Mapping[Name, bytes], durability: str = "full") -> None:
        """Put new jobs into pending/; when it returns, they survive a power cut.

        Raises:
            StorageFull, StorageFailed: none of them was enqueued.
            OutcomeUnknown: some or all were, but the last sync failed.
        """
        sync = durability != "none"
        published: List[str] = []
        tmp, pending = self.dir("tmp"), self.dir("pending")
        named = {str(name): data for name, data in files.items()}
        with translated(tmp.path):
            write_together(tmp, named, sync=sync)
        try:
            for filename, name in zip(named, files):
                tmp.publish(filename, pending, filename)
                published.append(name.id)
            if sync:
                pending.sync()
        except OSError as error:
            for filename in [*named][len(published) :]:
                tmp.tidy(filename)
            if not published:
                raise storage_error(error, pending.path) from error
            raise OutcomeUnknown(
                f"{len(published)} of {len(files)} jobs are in {pending.path}, but the disk did "
                f"not confirm it: {error.strerror}",
                published,
                hint="look them up with spoolq show ID before you enqueue them again",
            ) from error

    def adopt(self, filename: str, name: Name) -> bool:
        """Give a dropped file the name of the form; False if somebody else was faster."""
        pending = self.dir("pending")
        try:
            pending.move(filename, pending, str(name))
        except (FileNotFoundError, FileExistsError):
            return False
        return True

    def bury(self, state: str, filename: str, own_name: str) -> Optional[str]:
        """Put what is no job into dead/, byte for byte, under its own name or one beside it.

        Returns:
            The name in dead/, or None if it is gone.
        """
        stem = own_name[: -len(names.SUFFIX)] if own_name.endswith(names.SUFFIX) else own_name
        while len(os.fsencode(stem)) > 200:  # a name has room for 255 bytes
            stem = stem[:-1]
        for number in range(10_000):
            target = f"{stem}.{number}{names.SUFFIX}" if number else own_name
            try:
                self.dir(state).move(filename, self.dir("dead"), target)
            except FileNotFoundError:
                return None
            except FileExistsError:
                continue
            return target
        raise StorageFailed(f"dead/ is full of files named {own_name}")

    # --- running ----------------------------------------------------------------------------------

    def claim(
        self, filename: str, name: Name, stamp: str, worker: str, slot: str
    ) -> Optional[Name]:
        """Claim a pending job to run it in a slot of a worker, whose locks are held.

        The attempt is counted by the same rename: a job that kills its worker still uses it up.

        Returns:
            The claim, or None if the job is gone.
        """
        attempt = min(name.attempt + 1, names.MAX_ATTEMPT)
        claim = Name(stamp, name.priority, attempt, name.id, worker, slot)
        return self._claim_as(claim, "pending", filename)

    def claim_to_change(
        self, state: str, filename: str, name: Name, worker: str, slot: str = CHANGE
    ) -> Optional[Name]:
        """Claim a waiting job to change it, not to run it: time and attempt stay in its name.

        So recovery can put it back as it was, when who changes it dies in the middle.
        """
        return self._claim_as(name._replace(worker=worker, slot=slot), state, filename)

    def _claim_as(self, claim: Name, state: str, filename: str) -> Optional[Name]:
        try:
            self.dir(state).rename(filename, self.dir("processing"), str(claim))
        except FileNotFoundError:
            return None
        return claim

    def give_back(self, claim: Name, name: Name) -> Optional[Name]:
        """Put a claim back into pending/ under its old time and attempt; None if it was lost."""
        return self._move_on("processing", str(claim), "pending", name.waiting())

    def write_outcome(self, worker_dir: Dir, record: Record) -> int:
        """Write the end of a run down in its worker's directory; return the file, open.

        From here on the run is not lost with its worker: who takes the claim over finds how it
        ended. A power cut may take the file, until it is synced, and then the job runs again.
        """
        filename = outcome_of(record.claim.slot or "")
        with unless_removed(worker_dir):
            try:
                descriptor = worker_dir.create(filename)
            except FileExistsError:  # of an attempt that failed later on, or put there by a command
                put_away(worker_dir, filename, self.dir("tmp"))
                descriptor = worker_dir.create(filename)
            try:
                write_all(descriptor, record.data)
            except BaseException:
                os.close(descriptor)
                worker_dir.tidy(filename)
                raise
        return descriptor

    def sync_outcomes(self, worker_dir: Dir, files: Sequence[int], durability: str) -> None:
        """Make outcomes durable that were written; after that they may be moved.

        Raises:
            OSError: none may; they are not to be synced again, but written anew.
            WorkerLost: the worker's directory is gone, and all its claims with it.
        """
        if durability == "none" or not files:
            return
        with unless_removed(worker_dir):
            # CRASH: on btrfs any sync on that disk, of whatever program, writes out what was synced
            # by itself before, under its newest name, and what that has replaced comes back; so
            # no outcome is synced by itself there (the neighbour in tests/faults/power,
            # test_on_btrfs_no_outcome_is_synced_by_itself).
            if not worker_dir.sync_all_of_btrfs():
                sync_files(files)

    def record_and_move(self, worker_dir: Dir, record: Record) -> Optional[Name]:
        """Put an outcome that was written and synced in its claim's place, and move the job on.

        Returns:
            The new name, or None if the claim was lost.

        Raises:
            WorkerLost: the worker's directory is gone, and all its claims with it.
        """
        processing = self.dir("processing")
        filename, claim = outcome_of(record.claim.slot or ""), str(record.claim)
        with unless_removed(worker_dir):
            if not processing.has(claim):
                worker_dir.discard(filename)
                return None
            # RACE: the claim can be moved by hand just now, which the format forbids; the
            # record would bring it back (test_a_claim_taken_away_by_hand_is_lost).
            try:
                worker_dir.replace(filename, processing, claim, record.data)
            except IsADirectoryError:  # put there by somebody who may write here, and no claim
                worker_dir.discard(filename)
                return None
            # RACE: the job may be retried, and claimed here again, as soon as it has moved; the
            # request is not for that run (test_one_cancel_request_cancels_one_run).
            if record.request is not None:
                worker_dir.tidy(record.request)
            # CRASH: recorded and not moved; anyone finishes the move
            # (test_a_recorded_outcome_is_finished_and_does_not_run_again).
            return self.finish_move(record.claim, record.state, record.stamp, record.attempt)

    def sync_moves(self, states: Iterable[str], durability: str) -> None:
        """Make moves into these states durable.

        Raises:
            OSError: a power cut may undo them.
        """
        if durability != "none":
            for state in states:
                self.dir(state).sync_moves(names=durability == "full")

    def finish(
        self, worker_dir: Dir, records: Sequence[Record], durability: str = "full"
    ) -> Report:
        """Record the ends of runs and move the jobs on: all the steps, with shared syncs.

        Raises:
            WorkerLost: the worker's directory is gone, and all its claims with it.
        """
        done: Dict[Name, Optional[Name]] = {}
        files: List[int] = []
        error: Optional[OSError] = None
        try:
            try:
                for record in records:
                    files.append(self.write_outcome(worker_dir, record))
                self.sync_outcomes(worker_dir, files, durability)
            finally:
                for descriptor in files:
                    os.close(descriptor)
            for record in records:
                done[record.claim] = self.record_and_move(worker_dir, record)
        except OSError as failure:
            error = failure
        try:
            moved = {record.state for record in records if done.get(record.claim)}
            self.sync_moves(moved, durability)
        except OSError as failure:
            return Report(done, error or failure, confirmed=False)
        return Report(done, error)

    def finish_move(self, claim: Name, state: str, stamp: str, attempt: int) -> Optional[Name]:
        """Move a claim whose outcome is recorded to its next state; None if it was lost."""
        return self._move_on(
            "processing", str(claim), state, claim.waiting(stamp=stamp, attempt=attempt)
        )

    def take_over(self, claim: Name, worker: str, slot: str) -> Optional[Name]:
        """Make a dead worker's claim one of `worker`; None if another recoverer was faster."""
        mine = claim._replace(worker=worker, slot=slot)
        processing = self.dir("processing")
        try:
            processing.rename(str(claim), processing, str(mine))
        except FileNotFoundError:
            return None
        return mine

    def put_back_stray(self, filename: str) -> bool:
        """Return a file in processing/ that names no worker to pending/; False if it is gone."""
        try:
            self.dir("processing").move(filename, self.dir("pending"), filename)
        except (FileNotFoundError, FileExistsError):
            return False
        return True

    # --- waiting again, and the end ---------------------------------------------------------------

    def promote(self, filename: str, name: Name) -> Optional[Name]:
        """Let a failed job whose time has come wait in pending/ again; None if it is gone."""
        return self._move_on("failed", filename, "pending", name.waiting())

    def requeue(
        self, state: str, filename: str, name: Name, stamp: str, attempt: int, into: str = "pending"
    ) -> Optional[Name]:
        """Let a job run again, or in another turn, not before `stamp`; None if it is gone."""
        return self._move_on(state, filename, into, name.waiting(stamp=stamp, attempt=attempt))

    def remove(self, state: str, filename: str) -> bool:
        """Remove an ended job for good; False if it is gone already."""
        try:
            self.dir(state).unlink(filename)
        except FileNotFoundError:
            return False
        return True

    def _move_on(self, state: str, filename: str, target: str, name: Name) -> Optional[Name]:
        while True:
            try:
                self.dir(state).move(filename, self.dir(target), str(name))
            except FileNotFoundError:
                return None
            except FileExistsError:
                # A restored backup, or an id used twice: nothing is written over.
                moment = instants.from_stamp(name.stamp) + timedelta(microseconds=1)
                name = name._replace(stamp=instants.to_stamp(moment))
                continue
            return name

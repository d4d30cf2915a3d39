"""One loop that moves the jobs of a spool into another one: claim, send, settle.

    pending/, failed/ ──claim──▶ processing/X@worker.to1f…_0 ──▶ completed/  it is there now
           ▲                           │ ▲ │
           └── surely not there ───────┘ └─┘ not known: held, and asked for again

A claim says by its slot which target the job is on its way to, and is synced before the first byte
goes out. From then on it may be there, so it does not wait here again before the target has said
that it is not: it is held, through lost connections, and when the forwarder is killed, by its name
alone. Recovery leaves such claims where they are. The next forwarder to that target takes them over
and sends them again, which the target answers by "taken" or "there already", once for each id.

claim       Before it the job waits, after it it is on its way; nothing was sent.
send        Killed in it or after it: the job is there or not, and the claim stays until that is
            known.
settle      Record, then move, as every end of a run: what is recorded is moved on by anyone.

It claims only while somebody answers, so that a laptop without a network holds no job. What goes
is what waits, also for a time that has not come; its time, priority, attempts and history go along.
"""

from __future__ import annotations

import threading
from datetime import datetime
from typing import Callable, List, Optional, Protocol, Sequence, Tuple

from spoolq import instants, wire
from spoolq.errors import SpoolqError, Unreachable, WorkerLost
from spoolq.job import Entry, next_place
from spoolq.layout import storage_error
from spoolq.lease import Lease
from spoolq.logs import logger
from spoolq.names import Name
from spoolq.packing import Packing, Parcel
from spoolq.spool import Record, SpoolDir
from spoolq.targets import Share, Target
from spoolq.wire import LATER, REFUSED, THERE, UNKNOWN, Answer

TICK = 1.0
_FIRST_PAUSE, _LONGEST_PAUSE = 0.5, 60.0
_TRIES = 3  # of one who does not stay, to hear of what it has sent
_IDLE = 5.0  # seconds after which it is asked whether anybody is there, before a job is claimed
_AT_ONCE = 100  # records that are written together; each holds a descriptor


class Connection(Protocol):
    """What sends batches to a target."""

    def exchange(self, lines: Sequence[bytes]) -> List[Answer]:
        """Send a batch of jobs and return the answers, in order."""

    def close(self) -> None:
        """End the conversation."""

    def kill(self) -> None:
        """End it at once, from any thread."""


class Tally:
    """What has become of the jobs so far."""

    def __init__(self) -> None:
        self.forwarded = 0  # taken there
        self.there = 0  # there already, as after an answer that was lost
        self.refused = 0  # and are in dead/ here
        self.left = 0  # may have arrived, and are held for the next forwarder
        self.is_cut_short = False  # it was stopped before all had gone

    @property
    def settled(self) -> int:
        """How many jobs the target has answered for."""
        return self.forwarded + self.there + self.refused


class Forwarder:
    """A worker that runs nothing: it moves what it may to one target, until it is stopped."""

    def __init__(
        self,
        spool: SpoolDir,
        own: Lease,
        target: Target,
        share: Share,
        connect: Callable[[], Connection],
        *,
        follow: bool = False,
        clock: Callable[[], datetime] = instants.now,
        monotonic: Callable[[], float],
    ) -> None:
        """Become ready to forward.

        Args:
            connect: opens the way to the target; raises as `Link` does.
            follow: stay, and forward what comes.
        """
        self._spool = spool
        self._lease = own
        self._target = target
        self._connect = connect
        self._follow = follow
        self._clock = clock
        self._monotonic = monotonic
        self.tally = Tally()
        self._packing = Packing(spool, own, target, share, clock, monotonic)
        self._connection: Optional[Connection] = None
        self._spoken = 0.0  # when the target was last heard
        self._records: List[Record] = []  # known, and not on disk yet
        self._wake = threading.Event()
        self._stopping = False
        self._next_tick = 0.0
        self._complaint = ""

    # --- from outside -----------------------------------------------------------------------------

    def ring(self) -> None:
        """Look again now; from any thread."""
        self._wake.set()

    def stop(self, *, at_once: bool = False) -> None:
        """Settle what is on its way and leave; `at_once` leaves it to the next forwarder."""
        self._stopping = True
        connection = self._connection
        if at_once and connection is not None:
            connection.kill()
        self._wake.set()

    def run(self) -> None:
        """Forward what there is; with `follow` go on until stopped.

        Raises:
            Unreachable: the target does not answer, or takes nothing now; what may have arrived
                there stays claimed.
            BadInput: the target will never take anything.
            SpoolqError: this spool refuses.
            WorkerLost: the worker's directory was removed.
        """
        pause, tries = _FIRST_PAUSE, 0
        try:
            while True:
                try:
                    if self._turn():
                        return
                    pause, tries = _FIRST_PAUSE, 0
                    continue
                except WorkerLost:
                    raise
                except OSError as error:
                    failure: SpoolqError = storage_error(error, self._spool.path)
                except SpoolqError as error:
                    failure = error
                tries += 1
                if self._gives_up(failure, tries):
                    raise failure
                self._complain(str(failure))
                self._rest(pause)
                pause = min(pause * 2, _LONGEST_PAUSE)
        finally:
            self._leave()

    def _gives_up(self, failure: SpoolqError, tries: int) -> bool:
        if self._stopping:
            return True
        if not isinstance(failure, Unreachable) and not self._spoken:
            return True  # nothing has ever gone well, and waiting mends no command line
        if self._follow:
            return False
        return tries >= _TRIES or not (self._packing.held or self._records)

    def _leave(self) -> None:
        """Give back what was surely not sent; the rest is left to the next forwarder."""
        if not self._packing.is_sent:
            self._packing.release()
        self.tally.left = len(self._packing.held) + len(self._records)
        if self._connection is not None:
            self._connection.close()

    # --- one turn ---------------------------------------------------------------------------------

    def _turn(self) -> bool:
        """Move one batch on; True when it is time to leave.

        Raises:
            OSError, SpoolqError: something refuses; another turn may go better.
        """
        self._tick()
        self._record()
        if not self._packing.held:
            if self._stopping:
                self.tally.is_cut_short = self._packing.has_work()
                return True
            if not self._packing.has_work():
                if not self._follow:
                    return True
                self._rest(TICK)
                return False
            self._open()
            self._packing.claim()
        if self._packing.held:
            self._send()
            self._complain("")
        return False

    def _tick(self) -> None:
        """Once a second: heed what others have written."""
        if self._monotonic() < self._next_tick:
            return
        self._next_tick = self._monotonic() + TICK
        try:
            if not self._lease.is_ours():
                raise WorkerLost(f"workers/{self._lease.name} was removed: its claims are lost")
            self._packing.refresh()
            for request in self._lease.requests():
                if request.startswith("cancel."):
                    self._lease.dir.discard(request)  # it goes, or waits again: they look again
                else:
                    self._stopping = True
        except OSError as error:  # a disk that fails is told of by who needs it
            logger.debug("nothing can be heard just now: %s", error.strerror)

    def _rest(self, seconds: float) -> None:
        """Sleep, but for what rings and what is asked each second."""
        until = self._monotonic() + seconds
        while not self._stopping and self._monotonic() < until:
            if self._wake.wait(max(min(TICK, until - self._monotonic()), 0.0)):
                self._wake.clear()
                if seconds <= TICK:
                    break
            self._tick()

    def _complain(self, what: str) -> None:
        if what == self._complaint:
            return
        self._complaint = what
        self._lease.show_trouble("forward", what)
        if what:
            logger.warning("%s; trying again", what)
        else:
            logger.info("%s takes jobs again", self._target.text)

    def _open(self) -> None:
        """See that somebody is there before a job is claimed."""
        if self._connection is None:
            self._connection = self._connect()
        elif self._monotonic() - self._spoken > _IDLE:
            self._exchange([])
        self._spoken = self._monotonic()

    def _exchange(self, lines: Sequence[bytes]) -> List[Answer]:
        if self._connection is None:
            self._connection = self._connect()
        try:
            answers = self._connection.exchange(lines)
        except BaseException:
            self._connection = None  # it is closed, and a new one may do better
            raise
        self._spoken = self._monotonic()
        return answers

    # --- send and settle --------------------------------------------------------------------------

    def _send(self) -> None:
        """Send what is held, as much as makes a batch, and settle what is answered."""
        self._packing.sync()
        sent, lines, rest = self._batch()
        was_sent, self._packing.is_sent = self._packing.is_sent, True
        answers = self._exchange(lines)
        self._packing.held = rest
        waits: List[str] = []
        for parcel, answer in zip(sent, answers):
            # RACE: of what was sent before, a receiver that nobody hears any more may still take
            # it in, so "not now" is no answer to that
            # (test_what_was_sent_before_does_not_wait_again_when_it_is_not_taken_now).
            if answer.kind == UNKNOWN or (answer.kind == LATER and was_sent):
                self._packing.held.append(parcel)
                waits.append(answer.reason)
            elif answer.kind == LATER:
                waits.append(answer.reason)
                self._packing.put_back(parcel.claim)
            else:
                self._settle(parcel, answer)
        self._record()
        if waits:
            raise Unreachable(f"{self._target.text} takes nothing now: {waits[0]}")

    def _batch(self) -> Tuple[List[Parcel], List[bytes], List[Parcel]]:
        """Return what is to be sent, its lines, and what does not fit into the batch any more.

        A line may be longer than the file was. What nobody could take is refused here.
        """
        sent: List[Parcel] = []
        lines: List[bytes] = []
        rest: List[Parcel] = []
        size = 0
        for parcel in self._packing.held:
            line = self._line(parcel)
            if len(line) > wire.LONGEST_JOB:
                self._settle(parcel, Answer(REFUSED, f"it is longer than {len(line)} bytes"))
            elif sent and size + len(line) > wire.MOST_BYTES:
                rest.append(parcel)
            else:
                sent.append(parcel)
                lines.append(line)
                size += len(line)
        self._packing.held = sent + rest
        return sent, lines, rest

    def _settle(self, parcel: Parcel, answer: Answer) -> None:
        """Take it that a job has arrived, or never will; it is recorded with the others."""
        self._records.append(self._record_of(parcel, answer))
        self._count(answer)

    def _count(self, answer: Answer) -> None:
        self.tally.forwarded += answer.kind not in (REFUSED, THERE)
        self.tally.there += answer.kind == THERE
        self.tally.refused += answer.kind == REFUSED

    def _line(self, parcel: Parcel) -> bytes:
        """Return what is sent of a job: its history says where it comes from.

        The entry must not be taken for the record of a claim over there, which has the job's own
        time where it is to be changed; so it tells of another microsecond.
        """
        now = instants.to_stamp(self._clock())
        if now == parcel.claim.stamp:
            now = instants.to_stamp(instants.later(instants.from_stamp(now), 1e-6))
        entry = self._entry(parcel.claim, instants.stamp_to_rfc3339(now))
        entry["started_at"] = entry["finished_at"]
        data = parcel.job.with_entry(entry, parcel.created_at).to_bytes()
        return wire.job_line(parcel.claim.waiting(), data)

    def _entry(self, claim: Name, finished_at: str) -> Entry:
        waited_for = instants.stamp_to_rfc3339(claim.stamp)
        return {
            "attempt": claim.attempt,
            "worker": self._lease.name,
            "started_at": waited_for,
            "finished_at": finished_at,
            "forwarded_to": self._target.text,
            "not_before": waited_for,
        }

    def _record_of(self, parcel: Parcel, answer: Answer) -> Record:
        entry = self._entry(parcel.claim, instants.to_rfc3339(self._clock()))
        if answer.kind == REFUSED:
            entry["error"] = f"not forwarded to {self._target.text}: {answer.reason}"
            logger.warning("%s is dead: %s", parcel.claim.id, entry["error"])
        policy = self._packing.settings.policy(parcel.job)
        state, at, attempt = next_place(entry, parcel.claim.attempt, policy)
        data = parcel.job.with_entry(entry, parcel.created_at).to_bytes()
        return Record(parcel.claim, data, state, instants.to_stamp(at), attempt)

    def _record(self) -> None:
        """Record and move what was answered; what the disk refuses is tried again."""
        while self._records:
            some = self._records[:_AT_ONCE]
            report = self._spool.finish(self._lease.dir, some, self._packing.settings.durability)
            done = [record for record in some if record.claim in report.done]
            self._records = [rest for rest in self._records if rest.claim not in report.done]
            for record in done:
                if report.done[record.claim] is None:
                    logger.warning("%s: the claim was taken away", record.claim.id)
            if report.error is not None:
                raise storage_error(report.error, self._spool.path)

"""Which jobs are forwarded, and how they are claimed for that, held and let go.

What waits in pending/ and failed/ and belongs to the target is claimed in slots that bear the
target's mark, in the order in which it would run. Before anything of a batch is sent its claims are
made durable; what was sent is never let go here, unless the target has said that it is not there.
The claims of dead forwarders to the same target are taken over first, and count as sent.
"""

from __future__ import annotations

from datetime import datetime
from typing import Callable, Dict, List, NamedTuple, Set, Tuple

from spoolq import instants, lease, names, platform, views, wire
from spoolq.adoption import Intake, Unreadable, read_job
from spoolq.errors import InvalidJob
from spoolq.glance import Glance
from spoolq.job import Entry, Job, next_place
from spoolq.layout import PAUSED
from spoolq.lease import Lease
from spoolq.logs import logger
from spoolq.names import Name
from spoolq.spool import SpoolDir
from spoolq.targets import Share, Target

WINDOW = 50_000  # names that are held at most; the next look finds the others


class Parcel(NamedTuple):
    """A job on its way: its claim here, and what is in its file."""

    claim: Name
    job: Job
    created_at: datetime


class Packing:
    """The batch that one forwarder holds, and what may come into it."""

    def __init__(
        self,
        spool: SpoolDir,
        own: Lease,
        target: Target,
        share: Share,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._spool = spool
        self._lease = own
        self._target = target
        self._share = share
        self.settings = views.settings_of(spool)[0]
        self.held: List[Parcel] = []  # claimed, and not known to be there or not
        self.is_sent = False  # a byte of those may have gone out
        self._is_synced = False  # and no power cut undoes their claims
        self._intake = Intake(spool, clock, monotonic)
        self._queue: List[Tuple[str, str]] = []  # state and file name, the last one first
        self._not_ours: Set[str] = set()
        self._glances = [Glance(spool.dir(s).stat, monotonic) for s in ("pending", "failed")]

    def refresh(self) -> None:
        """Read the spool's settings anew."""
        self.settings = views.settings_of(self._spool)[0]

    def has_work(self) -> bool:
        """Look for what may be sent; True if there is some."""
        if self._left_by_the_dead():
            return True
        if self._spool.root.has(PAUSED):
            self._queue.clear()
            self._glances[0].forget()
            return False
        if not self._queue:
            odd = self._look()
            ripe = self._intake.ripe(self.settings)
            if self._intake.admit([*odd, *ripe], self.settings):
                self._glances[0].forget()  # they are jobs now, perhaps of another target
                self._look()
        return bool(self._queue)

    def _look(self) -> List[str]:
        """Look at what waits, if anything may have changed; return what has no name of the form."""
        if not any(glance.may_differ() for glance in self._glances):
            return []
        for glance in self._glances:
            glance.look()
        try:
            odd, is_all = self._look_through()
        except BaseException:
            self._glances[0].forget()  # it was not seen whole
            raise
        if not is_all:
            self._glances[0].forget()
        return odd

    def _look_through(self) -> Tuple[List[str], bool]:
        """Look at all names; return those that have not the form, and whether the rest is held."""
        found: List[Tuple[int, str, str]] = []
        odd: List[str] = []
        others: Set[str] = set()
        is_all = True
        for state in ("pending", "failed"):
            for filename in self._spool.dir(state).scan():
                name = names.parse(filename)
                if name is None:
                    odd += [filename] if state == "pending" and names.is_job(filename) else []
                elif names.is_held(name.stamp):
                    pass  # whoever holds it wants it here
                elif filename not in self._not_ours and self._is_ours(state, filename, name):
                    found.append((9 - name.priority, filename, state))
                    if len(found) >= 2 * WINDOW:
                        found, is_all = sorted(found)[:WINDOW], False
                elif self._share.reads:
                    others.add(filename)  # which need not be read again
        self._not_ours = others
        self._queue = [(state, filename) for _, filename, state in sorted(found, reverse=True)]
        return odd, is_all

    def _is_ours(self, state: str, filename: str, name: Name) -> bool:
        if not self._share.reads:
            return self._share.is_for(self._target, name, None)
        try:
            job, _ = read_job(self._spool.dir(state), filename, self.settings)
        except (OSError, InvalidJob):
            return False  # whoever may run it judges it
        return self._share.is_for(self._target, name, job)

    def _left_by_the_dead(self) -> List[Name]:
        """Return the claims on their way to this target that no living forwarder holds."""
        held = {parcel.claim for parcel in self.held}
        claims = map(names.parse, self._spool.dir("processing").scan())
        alive: Dict[str, bool] = {}
        found = []
        for claim in claims:
            if claim is None or claim.worker is None or claim.mark != self._target.mark:
                continue
            if claim.worker not in alive:
                alive[claim.worker] = claim.worker != self._lease.name and is_alive(
                    self._spool, claim.worker
                )
            if not alive[claim.worker] and claim not in held:
                found.append(claim)
        return found

    def claim(self) -> None:
        """Claim a batch: first what a dead forwarder may have sent, then what waits."""
        self.is_sent = self._is_synced = False
        size = 0
        for claim in self._left_by_the_dead()[: wire.MOST]:
            # Its own forwarder may have sent it, so it is held from here on, come what may.
            self.is_sent = True
            mine = self._spool.take_over(claim, self._lease.name, self._free_slot())
            if mine is not None:
                size += self._pack(mine, is_fresh=False)
        while self._queue and len(self.held) < wire.MOST and size < wire.MOST_BYTES:
            state, filename = self._queue.pop()
            name = names.parse(filename)
            if name is not None:
                taken = self._spool.claim_to_change(
                    state, filename, name, self._lease.name, self._free_slot()
                )
                size += 0 if taken is None else self._pack(taken, is_fresh=True)

    def _free_slot(self) -> str:
        return f"{self._target.mark}_{len(self.held)}"

    def _pack(self, claim: Name, *, is_fresh: bool) -> int:
        """Read a claimed job and hold it; return about how long it is.

        A fresh claim was not sent by anybody, and may go back.
        """
        processing = self._spool.dir("processing")
        try:
            job, created_at = read_job(processing, str(claim), self.settings)
        except FileNotFoundError:
            return 0
        except Unreadable as error:  # it is judged where it waits
            self._spool.give_back(claim, claim)
            self._intake.doubt(str(claim.waiting()), error, self.settings)
            return 0
        except InvalidJob as error:
            buried = self._spool.bury("processing", str(claim), str(claim.waiting()))
            logger.warning("no job, now dead/%s: %s", buried, error)
            return 0
        except OSError:
            if is_fresh:
                self._spool.give_back(claim, claim)
            raise
        entry = job.recorded(claim.attempt, claim.stamp)
        if entry is not None:  # it was settled, and killed before its move
            self._move_on(claim, job, entry)
            return 0
        self.held.append(Parcel(claim, job, created_at))
        return processing.stat(str(claim)).st_size

    def _move_on(self, claim: Name, job: Job, entry: Entry) -> None:
        state, at, attempt = next_place(entry, claim.attempt, self.settings.policy(job))
        self._spool.finish_move(claim, state, instants.to_stamp(at), attempt)

    def put_back(self, claim: Name) -> None:
        """Let a job that is surely not at the target wait again, as it was."""
        self._spool.give_back(claim, claim)
        self._glances[0].forget()

    def release(self) -> None:
        """Put all back that is held, where nothing of it was sent."""
        kept = []
        for parcel in self.held:
            try:
                self.put_back(parcel.claim)
            except OSError as error:
                logger.warning("%s cannot be put back: %s", parcel.claim.id, error.strerror)
                kept.append(parcel)
        self.held = kept

    def sync(self) -> None:
        """See that a power cut brings nothing back to pending/ that may be at the target.

        CRASH: so the claims are durable before the first byte goes out
        (test_claims_are_synced_before_anything_is_sent).
        """
        if self._is_synced or self.settings.durability == "none":
            return
        try:
            self._spool.dir("processing").sync_moves()
        except OSError:
            if not self.is_sent:
                self.release()
            raise
        self._is_synced = True


# --- those who are gone ---------------------------------------------------------------------------


def is_alive(spool: SpoolDir, worker: str) -> bool:
    """Say whether a forwarder lives, or may live where its lock cannot be seen."""
    try:
        state = lease.probe(spool, worker)
    except OSError:
        return True
    if state == "free" and platform.network_filesystem(spool.path) is not None:
        return lease.read_card(spool, worker).get("boot") != platform.boot_id()
    return state == "held"


def give_up(spool: SpoolDir, target: Target) -> List[str]:
    """Let what dead forwarders may have sent to a target wait here again; return the ids.

    What had arrived runs there and here: only a person can know that this is as well.
    """
    ids = []
    for filename in spool.dir("processing").list():
        claim = names.parse(filename)
        if claim is None or claim.worker is None or claim.mark != target.mark:
            continue
        view = views.look(spool, "processing", filename, views.settings_of(spool)[0])
        if view is None or (view.job and view.job.recorded(claim.attempt, claim.stamp)):
            continue  # what is recorded is known, and recovery moves it on
        if not is_alive(spool, claim.worker) and spool.give_back(claim, claim) is not None:
            ids.append(claim.id)
    return ids

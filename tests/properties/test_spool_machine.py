"""A machine that does at random what people, workers and crashes do, beside a plain dict.

The dict says of each job that was acknowledged in which state it may be and how often it may have
run; the spool is read afresh after every step, by the fault loop's checker, which shares no code
with spoolq. Workers are leases of this process: a killed one has its lock's descriptor closed and
nothing cleaned, which is what the kernel does to it.
"""

import shutil
import tempfile
from typing import Dict, List, NamedTuple, Optional

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    precondition,
    rule,
)

from spoolq import control, instants, names, recovery
from spoolq.adoption import Intake
from spoolq.agenda import Agenda
from spoolq.api import Spool
from spoolq.config import Settings
from spoolq.errors import IdTaken, WrongState
from spoolq.job import CANCELLED, INTERRUPTED
from spoolq.recovery import Recovery, record_of
from spoolq.spool import SpoolDir
from tests import given
from tests.conftest import FakeClock
from tests.faults import checker
from tests.faults.loop import scratch

SETTINGS = Settings()
OUTCOMES = {
    "completed": {"exit_code": 0},
    "failed": {"exit_code": 1},
    "killed": {"signal": 9},
    "cancelled": {"error": CANCELLED},
    "interrupted": {"error": INTERRUPTED},
}
ENDS = st.lists(st.sampled_from(sorted(OUTCOMES)), min_size=2, max_size=2)
WHICH = st.integers(0, 50)  # of those that there are, counted around


class Running(NamedTuple):
    """A run of a worker: the claim, and the name under which its job waited."""

    claim: names.Name
    waited: names.Name


class Hand:
    """A worker: its lease, its looks at the spool, and what it runs."""

    def __init__(self, spool: SpoolDir, clock: FakeClock) -> None:
        self.own = given.worker(spool)
        self.alive = True
        self.running: Dict[str, Running] = {}  # by slot
        self.recovery = Recovery(spool, self.own, clock, clock.monotonic)
        intake = Intake(spool, clock, clock.monotonic)
        self.agenda = Agenda(spool, intake, clock, clock.monotonic)


class SpoolMachine(RuleBasedStateMachine):
    """Drives a spool and a model of it."""

    workers = Bundle("workers")

    def __init__(self) -> None:
        super().__init__()
        # No command is started, so nobody needs to look for what is left of one in /proc.
        self._find, recovery.find = recovery.find, lambda marks: []
        self.top = tempfile.mkdtemp(prefix="spoolq-machine-", dir=scratch())
        self.clock = FakeClock()
        self.queue = Spool(self.top + "/spool", create=True)
        self.spool = self.queue.dir
        self.hands: List[Hand] = []
        self.model: Dict[str, int] = {}  # id: how many runs may count, the retries given included
        self.ended: Dict[str, str] = {}  # id: the state in which it ended, until it is retried
        self.last: Optional[checker.Snapshot] = None
        self.drops = self.made = 0

    def teardown(self) -> None:
        recovery.find = self._find
        for hand in self.hands:
            if hand.alive:
                given.die(hand.own)
        self.queue.close()
        shutil.rmtree(self.top)

    # --- producers --------------------------------------------------------------------------------

    @rule(count=st.integers(1, 3), retries=st.integers(0, 2), priority=st.integers(0, 9))
    def enqueue(self, count, retries, priority):
        at = instants.to_rfc3339(self.clock())
        fields = {"command": "echo", "max_retries": retries, "priority": priority, "run_at": at}
        # The ids are given, for nothing that Hypothesis replays may hang on random ones.
        jobs = [{**fields, "id": f"made-{self.made + number}"} for number in range(count)]
        self.made += count
        for job_id in self.queue.enqueue_many(jobs):
            self.model[job_id] = 1 + retries

    @rule(number=st.integers(0, 3))
    def enqueue_with_an_id(self, number):
        job_id = f"given-{number}"
        at = instants.to_rfc3339(self.clock())
        try:
            self.queue.enqueue("echo", id=job_id, max_retries=1, run_at=at)
        except IdTaken:
            assert job_id in self.model
        else:
            assert job_id not in self.model
            self.model[job_id] = 2

    @rule(number=st.integers(0, 3))
    def drop(self, number):
        """A file with an id: the first of them is adopted, the others go to dead/."""
        self.drops += 1
        at = "2026-11-24T00:00:00Z"
        text = f'{{"command": "echo", "id": "given-{number}", "max_retries": 1, "run_at": "{at}"}}'
        given.write(self.spool, "pending", f"drop {self.drops}.json", text)

    # --- workers ----------------------------------------------------------------------------------

    @initialize(target=workers)
    def first_worker(self):
        return self._start()

    @rule(target=workers)
    @precondition(lambda self: sum(hand.alive for hand in self.hands) < 4)
    def start_worker(self):
        return self._start()

    def _start(self):
        hand = Hand(self.spool, self.clock)
        self.hands.append(hand)
        return hand

    @rule(hand=workers, slot=st.sampled_from("01"))
    def claim(self, hand, slot):
        if not hand.alive or slot in hand.running:
            return
        self._look(hand)
        found = hand.agenda.take()
        if found is not None:
            self._claim(hand, slot, *found)

    def _look(self, hand):
        """Let a worker look at pending/; what was dropped is acknowledged when it is adopted."""
        self._step()
        hand.agenda.rang()
        hand.agenda.refresh(SETTINGS)
        for state, filename in given.everything(self.spool):
            name = names.parse(filename)
            if state == "pending" and name is not None:
                self.model.setdefault(name.id, 2)

    def _claim(self, hand, slot, filename, name):
        stamp = instants.to_stamp(self.clock())
        claim = self.spool.claim(filename, name, stamp, hand.own.name, slot)
        if claim is not None:
            assert name.id not in self.ended
            hand.running[slot] = Running(claim, name)

    @rule(one=workers, two=workers)
    def two_claim_at_once(self, one, two):
        """Both have seen the same name; one of them gets it."""
        if not (one.alive and two.alive) or one is two or one.running or two.running:
            return
        self._look(one)
        found = one.agenda.take()
        if found is not None:
            self._claim(two, "0", *found)
            self._claim(one, "0", *found)
            assert len(one.running) + len(two.running) <= 1

    @rule(
        hand=workers, outcomes=st.lists(st.sampled_from(sorted(OUTCOMES)), min_size=2, max_size=2)
    )
    def finish(self, hand, outcomes):
        if not hand.alive or not hand.running:
            return
        self._step()
        records = self._records(hand, outcomes)
        report = self.spool.finish(hand.own.dir, records, "none")
        assert report.error is None
        for record in records:
            assert report.done[record.claim] is not None
            self._note_end(record.claim.id, record.state)
        hand.running.clear()

    def _records(self, hand, outcomes):
        records = []
        for run, outcome in zip(hand.running.values(), outcomes):
            facts = dict(OUTCOMES[outcome])
            if outcome == "interrupted":
                facts["not_before"] = instants.stamp_to_rfc3339(run.waited.stamp)
            records.append(given.record(self.spool, run.claim, self.clock, **facts))
        return records

    @rule(hand=workers)
    def give_back(self, hand):
        if not hand.alive or not hand.running:
            return
        slot, run = hand.running.popitem()
        assert self.spool.give_back(run.claim, run.waited) is not None

    @rule(hand=workers)
    def recover(self, hand):
        if not hand.alive:
            return
        self._step()
        known = {run.claim for run in hand.running.values()}
        records = [record_of(found, SETTINGS) for found in hand.recovery.look(SETTINGS, known)]
        self.spool.finish(hand.own.dir, records, "none")
        for record in records:
            self._note_end(record.claim.id, record.state)
        hand.recovery.sweep()
        hand.agenda.look_at_failed()

    @rule(hand=workers)
    def take_over_and_die(self, hand):
        """A recoverer that is killed when it has taken claims over and recorded nothing."""
        if not hand.alive or hand.running:
            return
        self._step()
        hand.recovery.look(SETTINGS, set())
        self._kill(hand)

    @rule(hand=consumes(workers))
    def kill(self, hand):
        self._kill(hand)

    @rule(hand=consumes(workers), outcomes=ENDS)
    def record_and_die(self, hand, outcomes):
        """A worker that is killed between the record and the move."""
        if not hand.alive or not hand.running:
            return
        self._step()
        for record in self._records(hand, outcomes):
            filename = f"{record.claim.slot}.outcome"
            hand.own.dir.write(filename, record.data, sync=False)
            hand.own.dir.rename(filename, self.spool.dir("processing"), str(record.claim))
            if record.state in ("completed", "dead"):
                self.ended[record.claim.id] = record.state
        self._kill(hand)

    def _kill(self, hand):
        if hand.alive:
            hand.alive = False
            hand.running.clear()
            given.die(hand.own)

    @rule(hand=consumes(workers))
    def leave(self, hand):
        if hand.alive and not hand.running:
            hand.alive = False
            hand.own.leave()
        else:
            self._kill(hand)

    # --- people -----------------------------------------------------------------------------------

    @rule(which=WHICH)
    def cancel(self, which):
        job_id = self._some_job(which, ("pending", "failed", "completed", "dead"))
        if job_id is None:
            return
        self._step()
        try:
            view = control.cancel(self.spool, job_id, self.clock)
        except WrongState:
            assert job_id in self.ended
        else:
            assert job_id not in self.ended
            assert view.state == "dead"
            self.ended[job_id] = "dead"

    @rule(which=WHICH)
    def retry(self, which):
        job_id = self._some_job(which, ("failed", "dead"))
        if job_id is None:
            return
        self._step()
        was_dead = self.ended.pop(job_id, None)
        name = control.retry(self.spool, job_id, self.clock)
        if was_dead:
            assert name.attempt == 0
            self.model[job_id] += self._budget(job_id)

    @rule(which=WHICH)
    def move_by_hand(self, which):
        """`mv -n dead/X pending/`: one more attempt."""
        job_id = self._some_job(which, ("dead",))
        if job_id is None:
            return
        job = checker.read(self.spool.path, self._dropped()).jobs[job_id]
        dead, pending = self.spool.dir("dead"), self.spool.dir("pending")
        dead.move(job.filename, pending, job.filename)
        del self.ended[job_id]
        self.model[job_id] += 1

    @rule(which=WHICH)
    def purge(self, which):
        job_id = self._some_job(which, ("completed",))
        if job_id is None:
            return
        job = checker.read(self.spool.path, self._dropped()).jobs[job_id]
        assert self.spool.remove("completed", job.filename)
        del self.model[job_id], self.ended[job_id]
        del self.last.jobs[job_id]

    @rule(seconds=st.sampled_from([0.5, 2, 5, 30]))
    def time_passes(self, seconds):
        self.clock.advance(seconds)

    # --- inside -----------------------------------------------------------------------------------

    def _step(self):
        self.clock.advance(0.000001)

    def _budget(self, job_id):
        jobs = checker.read(self.spool.path, self._dropped()).jobs
        return 1 + jobs[job_id].fields.get("max_retries", SETTINGS.max_retries)

    def _some_job(self, which, states):
        jobs = checker.read(self.spool.path, self._dropped()).jobs.values()
        ids = sorted(job.id for job in jobs if job.state in states and job.id in self.model)
        return ids[which % len(ids)] if ids else None

    def _note_end(self, job_id, state):
        if state in ("completed", "dead"):
            self.ended[job_id] = state

    def _dropped(self):
        return [
            given.content(self.spool, state, filename)
            for state, filename in given.everything(self.spool)
            if names.parse(filename) is None
        ]

    # --- what holds after each step ---------------------------------------------------------------

    @invariant()
    def nothing_is_wrong(self):
        """Every job is in one state and whole; none is lost, runs too often or runs twice."""
        now = checker.read(self.spool.path, self._dropped())
        assert now.wrong == []
        assert set(self.model) - set(now.jobs) == set()
        if self.last is not None:
            before = self.last._replace(strangers={})
            assert checker.lost(before, now, set(self.model), set()) == []
        self.last = now
        assert checker.ill_lived(now, forgiven=now.jobs) == []
        self._check_runs(now)
        self._check_ends(now)
        self._check_claims(now)

    def _check_runs(self, now):
        for job_id, allowed in self.model.items():
            errors = [run.get("error") for run in now.jobs[job_id].history]
            counted = [error for error in errors if error not in (CANCELLED, INTERRUPTED)]
            assert len(counted) <= allowed, f"{job_id} ran {len(counted)} times, may {allowed}"

    def _check_ends(self, now):
        for job_id, state in self.ended.items():
            job = now.jobs[job_id]
            assert job.state == state or (job.state == "processing" and job.is_recorded)

    def _check_claims(self, now):
        claims = [run.claim for hand in self.hands for run in hand.running.values()]
        assert len({claim.id for claim in claims}) == len(claims)
        for claim in claims:
            assert now.jobs[claim.id].filename == str(claim)


SpoolMachine.TestCase.settings = settings(
    max_examples=60,
    stateful_step_count=40,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestSpoolMachine = SpoolMachine.TestCase

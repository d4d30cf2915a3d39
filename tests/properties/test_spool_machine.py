"""A machine that does at random what people, workers and crashes do, beside a plain dict.

The dict says of each job that was acknowledged in which state it may be and how often it may have
run; the spool is read afresh after every step, by the fault loop's checker, which shares no code
with spoolq. Workers are leases of this process: a killed one has its lock's descriptor closed and
nothing cleaned, which is what the kernel does to it.
"""

import json
import shutil
import tempfile
from typing import Dict, List, NamedTuple, Optional
from unittest import mock

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from spoolq import control, instants, names, recovery
from spoolq.adoption import Intake
from spoolq.agenda import Agenda
from spoolq.api import Spool
from spoolq.config import Settings
from spoolq.errors import IdTaken, WrongState
from spoolq.job import CANCELLED, INTERRUPTED, Job
from spoolq.recovery import Recovery, record_of
from spoolq.spool import SpoolDir
from tests import given
from tests.conftest import FakeClock
from tests.faults import checker
from tests.faults.apart import scratch

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

    def __init__(self) -> None:
        super().__init__()
        # No command is started, so nobody needs to look for what is left of one in /proc.
        self._find, recovery.find_all = recovery.find_all, lambda runs: [[] for _ in runs]
        self.top = tempfile.mkdtemp(prefix="spoolq-machine-", dir=scratch())
        self.clock = FakeClock()
        self.queue = Spool(self.top + "/spool", create=True)
        self.spool = self.queue.dir
        self.hands: List[Hand] = []
        self.by_hand: Dict[str, int] = {}  # id: attempts given by hand, on top of the budget
        self.model: Dict[str, int] = {}  # id: how many runs may count, the retries given included
        self.ended: Dict[str, str] = {}  # id: the state in which it ended, until it is retried
        self.last: Optional[checker.Snapshot] = None
        self.drops = self.made = 0

    def teardown(self) -> None:
        recovery.find_all = self._find
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

    @rule(number=st.integers(0, 3), dropped=st.booleans())
    def submit_with_an_id(self, number, dropped):
        """Of those who bring one id, the first is adopted; the others are refused, or buried."""
        fields = {"command": "echo", "id": f"given-{number}", "max_retries": 1}
        fields["run_at"] = "2026-11-24T00:00:00Z"
        if dropped:
            self.drops += 1
            given.write(self.spool, "pending", f"drop {self.drops}.json", json.dumps(fields))
            return
        try:
            (job_id,) = self.queue.enqueue_many([fields])
        except IdTaken:
            assert fields["id"] in self.model
        else:
            assert job_id not in self.model
            self.model[job_id] = 2

    # --- workers ----------------------------------------------------------------------------------

    @rule()
    @precondition(lambda self: len(self._alive()) < 3)
    def start_worker(self):
        self.hands.append(Hand(self.spool, self.clock))

    @rule(which=WHICH, slots=st.sampled_from(["0", "1", "01"]))
    @precondition(lambda self: self._alive())
    def claim(self, which, slots):
        hand = self._hand(which)
        self._look(hand)
        for slot in slots:
            found = None if slot in hand.running else hand.agenda.take()
            if found is not None:
                self._claim(hand, slot, *found)

    @rule()
    @precondition(lambda self: len(self._idle()) > 1)
    def two_claim_at_once(self):
        """Both have seen the same name; one of them gets it."""
        one, two = self._idle()[:2]
        self._look(one)
        found = one.agenda.take()
        if found is not None:
            self._claim(two, "0", *found)
            self._claim(one, "0", *found)
            assert len(one.running) + len(two.running) == 1

    @rule(which=WHICH, outcomes=ENDS)
    @precondition(lambda self: self._busy())
    def finish(self, which, outcomes):
        hand = self._busy()[which % len(self._busy())]
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

    @rule(which=WHICH)
    @precondition(lambda self: self._busy())
    def give_back(self, which):
        hand = self._busy()[which % len(self._busy())]
        _, run = hand.running.popitem()
        assert self.spool.give_back(run.claim, run.waited) is not None

    @rule(which=WHICH)
    @precondition(lambda self: self._alive())
    def recover(self, which):
        hand = self._hand(which)
        self._step()
        known = {run.claim for run in hand.running.values()}
        records = [record_of(found, SETTINGS) for found in hand.recovery.look(SETTINGS, known)]
        self.spool.finish(hand.own.dir, records, "none")
        for record in records:
            self._note_end(record.claim.id, record.state)
        hand.recovery.sweep()
        hand.agenda.look_at_failed()

    # --- deaths -----------------------------------------------------------------------------------

    @rule(which=WHICH, takes_over=st.booleans())
    @precondition(lambda self: self._alive())
    def kill(self, which, takes_over):
        """Kill a worker, or a recoverer that has taken claims over and recorded nothing."""
        hand = self._hand(which)
        if takes_over:
            self._step()
            known = {run.claim for run in hand.running.values()}
            hand.recovery.look(SETTINGS, known)
        self._kill(hand)

    @rule(which=WHICH, outcomes=ENDS)
    @precondition(lambda self: self._busy())
    def record_and_die(self, which, outcomes):
        """Kill a worker between the record and the move."""
        hand = self._busy()[which % len(self._busy())]
        self._step()
        for record in self._records(hand, outcomes):
            filename = f"{record.claim.slot}.outcome"
            hand.own.dir.write(filename, record.data, sync=False)
            hand.own.dir.rename(filename, self.spool.dir("processing"), str(record.claim))
            self._note_end(record.claim.id, record.state)
        self._kill(hand)

    def _kill(self, hand):
        hand.alive = False
        hand.running.clear()
        given.die(hand.own)

    @rule()
    @precondition(lambda self: self._idle())
    def leave(self):
        hand = self._idle()[0]
        hand.alive = False
        hand.own.leave()

    # --- people -----------------------------------------------------------------------------------

    @rule(what=st.sampled_from(["cancel", "retry", "move by hand", "purge"]), which=WHICH)
    def ask(self, what, which):
        self._step()
        {
            "cancel": self._cancel,
            "retry": self._retry,
            "move by hand": self._move_by_hand,
            "purge": self._purge,
        }[what](which)

    def _cancel(self, which):
        job_id = self._some_job(which, ("pending", "failed", "completed", "dead"))
        if job_id is None:
            return
        try:
            view = control.cancel(self.spool, job_id, self.clock)
        except WrongState:
            assert job_id in self.ended
        else:
            assert job_id not in self.ended
            assert view.state == "dead"
            self.ended[job_id] = "dead"

    def _retry(self, which):
        job_id = self._some_job(which, ("failed", "dead"))
        if job_id is None:
            return
        was_dead = self.ended.pop(job_id, None)
        name = control.retry(self.spool, job_id, self.clock)
        if was_dead:
            assert name.attempt == 0
            self.by_hand.pop(job_id, None)
            self.model[job_id] += 1 + self._read().jobs[job_id].fields["max_retries"]

    def _move_by_hand(self, which):
        """`mv -n dead/X pending/`: one more attempt."""
        job_id = self._some_job(which, ("dead",))
        if job_id is None:
            return
        filename = self._read().jobs[job_id].filename
        self.spool.dir("dead").move(filename, self.spool.dir("pending"), filename)
        del self.ended[job_id]
        self.model[job_id] += 1
        self.by_hand[job_id] = self.by_hand.get(job_id, 0) + 1

    def _purge(self, which):
        job_id = self._some_job(which, ("completed",))
        if job_id is None:
            return
        assert self.spool.remove("completed", self._read().jobs[job_id].filename)
        del self.model[job_id], self.ended[job_id]
        del self.last.jobs[job_id]

    @rule(seconds=st.sampled_from([0.5, 2, 5, 30]))
    def time_passes(self, seconds):
        self.clock.advance(seconds)

    # --- inside -----------------------------------------------------------------------------------

    def _alive(self):
        return [hand for hand in self.hands if hand.alive]

    def _busy(self):
        return [hand for hand in self._alive() if hand.running]

    def _idle(self):
        return [hand for hand in self._alive() if not hand.running]

    def _hand(self, which):
        return self._alive()[which % len(self._alive())]

    def _step(self):
        self.clock.advance(0.000001)

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

    def _some_job(self, which, states):
        jobs = self._read().jobs.values()
        ids = sorted(job.id for job in jobs if job.state in states and job.id in self.model)
        return ids[which % len(ids)] if ids else None

    def _read(self):
        return checker.read(self.spool.path, self._dropped())

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
        now = self._read()
        assert now.wrong == []
        assert set(self.model) - set(now.jobs) == set()
        if self.last is not None:
            before = self.last._replace(strangers={})
            assert checker.lost(before, now, set(self.model), set()) == []
        self.last = now
        assert checker.ill_lived(now, forgiven=now.jobs, by_hand=self.by_hand) == []
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


SETTINGS_OF_A_RUN = settings(
    max_examples=80,
    stateful_step_count=40,
    deadline=None,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
SpoolMachine.TestCase.settings = SETTINGS_OF_A_RUN
TestSpoolMachine = SpoolMachine.TestCase


def test_the_machine_notices_a_recovery_that_runs_recorded_jobs_again():
    """A negative control: with the look for a recorded outcome left out, the machine fails."""
    once = settings(
        SETTINGS_OF_A_RUN,
        max_examples=500,
        phases=[Phase.generate],
        derandomize=True,
        database=None,
    )
    blind = mock.patch.object(Job, "recorded", lambda self, attempt, stamp: None)
    with blind, pytest.raises(AssertionError):
        run_state_machine_as_test(SpoolMachine, settings=once)

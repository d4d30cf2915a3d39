"""Nothing is started that was claimed before the server was out of reach."""

import pytest

from spoolq.bell import Bell
from spoolq.executors import Context
from spoolq.executors.local import LocalExecutor
from spoolq.worker import Worker
from tests import given
from tests.histories import PretendingExecutor


class Pledge:
    """A guard that a test lets act."""

    def __init__(self):
        self.trips = 0
        self.is_late = False

    def trusts(self):
        return not self.is_late

    def is_through(self, claim):
        return True

    def judged(self, ended):
        return ended

    def acts_and_is_over(self):
        self.trips += 1


class Silent:
    """A bell that nobody rings."""

    def rang(self):
        return False

    def told(self):
        return []


@pytest.fixture
def guard():
    return Pledge()


@pytest.fixture
def working(spool, clock, guard):
    """A worker whose loop a test turns, and which looks at all there is."""
    own = given.worker(spool)
    executor = PretendingExecutor(clock, 1)
    worker = Worker(
        spool, own, executor, Silent(), clock=clock, monotonic=clock.monotonic, guard=guard
    )
    worker.executor = executor
    yield worker
    given.die(own)


def turn(worker, clock):
    clock.advance(2)
    worker.turn()


def test_a_claim_from_before_the_guard_acted_is_not_started(
    spool, clock, guard, working, monkeypatch
):
    """Its rename hung; by the time that it came back the guard had acted, and is at rest again."""
    name = given.job(spool, "pending", given.named(clock))
    claim = spool.claim

    def hangs(*args):
        made = claim(*args)
        guard.acts_and_is_over()
        return made

    monkeypatch.setattr(spool, "claim", hangs)
    turn(working, clock)
    assert working.executor.started == []
    assert given.everything(spool) == [("pending", str(name))]
    monkeypatch.undo()
    turn(working, clock)
    assert working.executor.started == ["j1"]


def test_a_claim_that_another_host_has_taken_over_meanwhile_is_not_brought_back(
    spool, clock, guard, working, monkeypatch
):
    given.job(spool, "pending", given.named(clock))
    claim = spool.claim
    theirs = []

    def hangs(*args):
        made = claim(*args)
        theirs.append(spool.take_over(made, "web2-1-abcdef", "lostabcdef"))
        guard.acts_and_is_over()
        return made

    monkeypatch.setattr(spool, "claim", hangs)
    turn(working, clock)
    assert working.executor.started == []
    assert given.everything(spool) == [("processing", str(theirs[0]))]


def test_nothing_is_claimed_while_the_lease_does_not_hold(spool, clock, guard, working):
    name = given.job(spool, "pending", given.named(clock))
    guard.is_late = True
    for _ in range(3):
        turn(working, clock)
    assert given.everything(spool) == [("pending", str(name))]
    guard.is_late = False
    turn(working, clock)
    assert working.executor.started == ["j1"]


def test_a_command_is_not_started_when_its_log_came_too_late(spool, clock, guard, monkeypatch):
    """The last call on the spool before the command starts may hang as well as the first."""
    own = given.worker(spool)
    bell = Bell()
    context = Context(spool, own.name, 1, bell, {}, clock, clock.monotonic)
    started = []
    executor = LocalExecutor(context, spawn=lambda *args, **how: started.append(args))
    worker = Worker(spool, own, executor, bell, clock=clock, monotonic=clock.monotonic, guard=guard)
    name = given.job(spool, "pending", given.named(clock))
    made = spool.dir("logs").create

    def hangs(filename):
        descriptor = made(filename)
        guard.acts_and_is_over()
        return descriptor

    monkeypatch.setattr(spool.dir("logs"), "create", hangs)
    turn(worker, clock)
    assert started == []
    assert given.everything(spool) == [("pending", str(name))]
    assert spool.dir("logs").list() == []
    executor.close()
    bell.close()
    given.die(own)

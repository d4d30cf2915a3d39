"""What is done beside the view, and what is told of it."""

import threading

import pytest

from spoolq import instants, steering
from spoolq.cli.watch import errands
from spoolq.cli.watch.errands import Errands
from tests import given
from tests.conftest import DEADLINE


@pytest.fixture
def rang():
    return threading.Event()


@pytest.fixture
def errand(spool, rang):
    found = Errands(spool.path, rang.set)
    yield found
    found.finish()


def told(errand, rang, act):
    assert errand.run(act)
    assert rang.wait(DEADLINE)
    rang.clear()
    errand.finish()
    return errand.result()


def test_one_thing_is_done_at_a_time_and_told_once(errand, rang):
    go = threading.Event()
    assert errand.run(lambda spool: str(go.wait(DEADLINE)))
    assert errand.busy
    assert not errand.run(lambda spool: "too early")
    assert errand.result() is None
    go.set()
    assert rang.wait(DEADLINE)
    assert errand.result() == "True"
    assert errand.result() is None


def test_a_refusal_is_told_with_what_to_do(errand, rang, spool, clock):
    given.job(spool, "completed", given.named(clock, "x"))
    found = told(errand, rang, errands.retry("x"))
    assert "only failed or dead jobs can be retried" in found
    assert "spoolq enqueue --like x" in found
    assert "there is no job 'nope'" in told(errand, rang, errands.cancel("nope"))


def test_a_bug_is_told_and_the_next_thing_is_done(errand, rang):
    assert "did not work: division" in told(errand, rang, lambda spool: str(1 / 0))
    assert told(errand, rang, lambda spool: "done") == "done"


def test_a_running_job_whose_worker_takes_its_time_is_told_as_asked(
    errand, rang, spool, clock, monkeypatch
):
    monkeypatch.setattr(errands, "_PATIENCE", 0.2)
    own = given.worker(spool)
    name = given.job(spool, "pending", given.named(clock, "x"))
    given.claim(spool, own, name, clock)
    assert told(errand, rang, errands.cancel("x")) == "x: its worker has been asked to end it"
    assert own.requests() == ["cancel.x"]
    given.die(own)


def test_what_was_done_is_told(errand, rang, spool):
    given.job(spool, "dead", given.named(instants.now, "x"))
    assert told(errand, rang, errands.retry("x")) == "x: runs again"
    assert told(errand, rang, errands.cancel("x")) == "x: cancelled"
    assert told(errand, rang, errands.pause_or_resume).startswith("paused")
    assert told(errand, rang, errands.pause_or_resume) == "workers go on"
    assert not steering.resume(spool)

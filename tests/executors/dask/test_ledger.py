"""What a scheduler answers, with tasks and workers made up."""

import time
from types import SimpleNamespace

import pytest

from spoolq.executors.dask import ledger

LEASE = 20.0


class Task:
    """A task as the scheduler has it."""

    def __init__(self, key, address=None, client="client", state="processing"):
        self.key = key
        self.state = state
        self.processing_on = SimpleNamespace(address=address) if address else None
        self.who_wants = [SimpleNamespace(client_key=client)] if client else None


class Scheduler:
    """A scheduler, taught."""

    def __init__(self, *tasks):
        self.tasks = {task.key: task for task in tasks}
        self.workers = {}
        self.handlers = {}
        ledger.install(self)

    def ask(self, question, **words):
        return self.handlers[question](**words)

    def first(self, key, address="a", process="host/1"):
        return self.ask(ledger.FIRST, address=address, process=process, key=key, lease=LEASE)

    def wanted(self, *keys, address="a", process="host/1"):
        return self.ask(ledger.WANTED, address=address, process=process, keys=keys, lease=LEASE)

    def survey(self, *keys, bar=()):
        return self.ask(ledger.SURVEY, keys=keys, bar=bar)


@pytest.fixture
def scheduler():
    scheduler = Scheduler(Task("x", "a"), Task("y", "a"), Task("z", "b"))
    scheduler.ask(ledger.ALIVE, client="client")
    return scheduler


@pytest.fixture
def seconds(monkeypatch):
    """Set the scheduler's monotonic clock forward."""
    passed = [0.0]
    really = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: really() + passed[0])
    return lambda more: passed.__setitem__(0, passed[0] + more)


def test_a_task_may_start_once(scheduler):
    assert scheduler.first("x")
    assert not scheduler.first("x")
    assert not scheduler.first("x", process="host/2")


def test_a_task_that_dask_gives_to_another_worker_may_not_start_there(scheduler):
    assert scheduler.first("x")
    scheduler.tasks["x"].processing_on.address = "b"
    assert not scheduler.first("x", address="b", process="host/2")
    assert scheduler.wanted("x", address="b", process="host/2") == []
    assert scheduler.wanted("x") == []


def test_nothing_starts_that_is_another_workers_or_nobodys(scheduler):
    assert not scheduler.first("z")
    assert not scheduler.first("unknown")
    scheduler.tasks["x"].processing_on = None
    assert not scheduler.first("x")


def test_what_was_started_is_wanted_and_what_was_not_is_not(scheduler):
    assert scheduler.first("x")
    assert scheduler.wanted("x", "y", "unknown") == ["x"]


def test_what_is_barred_never_starts_and_is_not_wanted(scheduler):
    assert scheduler.first("x")
    scheduler.survey(bar=["x", "y", "late"])
    assert scheduler.wanted("x") == []
    assert not scheduler.first("y")
    scheduler.tasks["late"] = Task("late", "a")  # what was on its way when it was barred
    assert not scheduler.first("late")


def test_without_a_client_that_says_that_it_lives_nothing_is_wanted(scheduler, seconds):
    assert scheduler.first("x")
    seconds(LEASE - 1)
    assert scheduler.wanted("x") == ["x"]
    seconds(2)
    assert scheduler.wanted("x") == [] and not scheduler.first("y")
    scheduler.ask(ledger.ALIVE, client="client")
    assert scheduler.wanted("x") == ["x"] and scheduler.first("y")


def test_a_clock_that_is_set_back_lets_no_client_live_longer(scheduler, seconds, monkeypatch):
    monkeypatch.setattr(time, "time", lambda: 0.0)
    seconds(LEASE + 1)
    assert not scheduler.first("x")


def test_what_nobody_wants_does_not_start(scheduler):
    scheduler.tasks["x"].who_wants = None
    assert not scheduler.first("x")


def test_a_survey_tells_who_was_heard_and_how_long_ago(scheduler, seconds):
    assert scheduler.survey()["heard"] == {}
    scheduler.first("x", process="host/1")
    seconds(5)
    scheduler.wanted(process="host/2")
    heard = scheduler.survey()["heard"]
    assert 5 <= heard["host/1"] < 6 and heard["host/2"] < 1
    seconds(100_000)
    assert scheduler.survey()["heard"] == {}


def test_a_survey_tells_what_is_stranded(scheduler):
    scheduler.first("x")
    scheduler.first("y")
    keys = ("x", "y", "z", "nowhere", "done", "unknown")
    scheduler.tasks["nowhere"] = Task("nowhere", state="no-worker")
    scheduler.tasks["done"] = Task("done", state="memory")
    assert scheduler.survey(*keys)["stranded"] == {"nowhere": False}
    scheduler.tasks["x"].processing_on.address = "b"
    scheduler.tasks["y"].processing_on = None
    assert scheduler.survey(*keys)["stranded"] == {"x": True, "y": True, "nowhere": False}


def test_it_is_taught_once_and_remembers(scheduler):
    before = scheduler.survey()["scheduler"]
    scheduler.first("x")
    ledger.install(scheduler)
    assert scheduler.survey()["scheduler"] == before
    assert not scheduler.first("x")

"""When an attempt in doubt is known to be over, with answers made up."""

import asyncio

import pytest

from spoolq.executors.dask.doubts import Doubts

LEASE = 20.0
OLD = {"up": 1000.0, "scheduler": "old"}


class Workers:
    """Answers as Dask's client gives them: by address; who is not there does not answer."""

    def __init__(self, **answers):
        self.answers = answers

    async def run(self, function, claims, processes, workers):
        (address,) = workers
        process, left, alive = self.answers[address]
        return {
            address: {
                "process": process,
                "left": [claim for claim in claims if claim in left],
                "alive": [one for one in processes if one in alive],
            }
        }


@pytest.fixture
def doubts(clock):
    return Doubts(LEASE, clock.monotonic)


def look(doubts, workers, heard, survey=OLD):
    said = {**survey, "heard": heard, "workers": dict.fromkeys(workers.answers)}
    return asyncio.run(doubts.look(workers, said, doubts.claims()))


def test_it_is_over_when_all_who_may_have_it_have_nothing_of_it(doubts):
    doubts.add("x")
    workers = Workers(a=("host/1", [], []), b=("host/2", [], []))
    assert look(doubts, workers, {"host/1": 0.0, "host/2": 3.0}) == ["x"]
    assert not doubts


def test_it_is_not_over_while_something_of_it_is_left_however_long(doubts, clock):
    doubts.add("x")
    doubts.add("y")
    workers = Workers(a=("host/1", ["x"], []))
    assert look(doubts, workers, {"host/1": 0.0}) == ["y"]
    clock.advance(1000)
    assert look(doubts, workers, {}) == [] and doubts.settled() == []
    assert look(doubts, Workers(a=("host/1", [], [])), {}) == ["x"]


def test_a_dead_process_is_vouched_for_by_another_of_its_place(doubts):
    doubts.add("x")
    workers = Workers(a=("host/2", [], []))
    assert look(doubts, workers, {"host/1": 1.0}) == ["x"]


def test_a_process_that_lives_and_does_not_answer_may_have_it(doubts):
    doubts.add("x")
    workers = Workers(a=("host/2", [], ["host/1"]))
    assert look(doubts, workers, {"host/1": 1.0}) == []


def test_nobody_vouches_for_another_place(doubts):
    doubts.add("x")
    workers = Workers(a=("host/2", [], []))
    assert look(doubts, workers, {"elsewhere/1": 1.0}) == []


def test_who_was_not_heard_for_a_lease_and_an_ending_has_nothing_any_more(doubts, clock):
    doubts.add("x")
    workers = Workers(a=("host/2", [], []))
    assert look(doubts, workers, {"elsewhere/1": 24.9}) == []
    clock.advance(0.2)
    assert look(doubts, workers, {"elsewhere/1": 25.1}) == ["x"]


def test_who_was_heard_by_an_earlier_scheduler_is_remembered(doubts, clock):
    doubts.learn({"heard": {"elsewhere/1": 0.0}})
    doubts.add("x")
    workers = Workers(a=("host/2", [], []))
    assert look(doubts, workers, {}) == []
    clock.advance(25.1)
    assert look(doubts, workers, {}) == ["x"]


def test_a_scheduler_that_is_new_does_not_know_who_had_it(doubts):
    doubts.add("asked about")
    doubts.add("sent to the last one", "last")
    doubts.add("sent to this one", "new")
    workers = Workers(a=("host/1", [], []))
    new = {"up": 24.9, "scheduler": "new"}
    assert look(doubts, workers, {}, new) == ["sent to this one"]
    assert sorted(look(doubts, workers, {}, {**new, "up": 25.1})) == [
        "asked about",
        "sent to the last one",
    ]


def test_time_alone_tells_when_both_leases_have_passed(doubts, clock):
    doubts.add("x")
    clock.advance(2 * LEASE + 4.9)
    assert doubts.settled() == []
    clock.advance(0.2)
    assert doubts.settled() == ["x"]


def test_of_a_scheduler_that_is_not_asked_time_alone_tells(doubts, clock):
    doubts.add("x", None)
    workers = Workers(a=("host/1", [], []))
    assert look(doubts, workers, {}) == []
    clock.advance(2 * LEASE + 5.1)
    assert look(doubts, workers, {}) == ["x"]


def test_it_is_told_over_once(doubts, clock):
    doubts.add("x")
    clock.advance(1000)
    assert look(doubts, Workers(a=("host/1", [], [])), {}) == ["x"]
    assert doubts.settled() == []

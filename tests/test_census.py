"""The names of a spool, kept from look to look, and what is told of jobs that have ended."""

import os

import pytest

from spoolq import census, instants, views
from spoolq.census import Census
from tests import given

RUN = {
    "attempt": 1,
    "worker": "w-1-x",
    "started_at": "2026-11-24T02:06:48.000000Z",
    "finished_at": "2026-11-24T02:06:50.500000Z",
    "exit_code": 0,
}


@pytest.fixture
def counted(spool, clock):
    return Census(spool, clock.monotonic)


def later_look(counted, clock):
    clock.advance(60)
    return counted.look()


def test_a_look_counts_what_views_counts(spool, clock, counted):
    given.job(spool, "pending", given.named(clock, "a"))
    given.job(spool, "completed", given.named(clock, "b"))
    given.write(spool, "dead", "bad.json", "{")
    given.write(spool, "pending", "notes.txt", "?")
    counted.look()
    assert counted.counts() == views.counts(spool)
    assert counted.drops("dead") == ["bad.json"]


def test_a_directory_that_has_not_changed_is_not_read_again(spool, clock, counted, monkeypatch):
    assert counted.look() == set(views.STATES)
    later_look(counted, clock)  # the times have stood for a while now
    monkeypatch.setattr(type(counted), "_list", lambda self, state: pytest.fail(state))
    assert later_look(counted, clock) == set()


def test_a_move_is_seen_in_both_directories(spool, clock, counted):
    name = given.job(spool, "pending", given.named(clock, "a"))
    later_look(counted, clock)
    spool.dir("pending").rename(str(name), spool.dir("completed"), str(name))
    assert {"pending", "completed"} <= later_look(counted, clock)
    assert (counted.names("pending"), counted.names("completed")) == ([], [str(name)])


def test_a_directory_that_was_slow_to_read_rests_fifty_times_as_long(spool, clock, counted):
    slow = spool.dir("pending").scan
    spool.dir("pending").scan = lambda: (clock.advance(2), slow())[1]
    counted.look()
    given.job(spool, "pending", given.named(clock, "a"))
    clock.advance(99)
    assert "pending" not in counted.look()
    assert 0 < counted.wait() <= 1
    clock.advance(1.5)
    assert "pending" in counted.look()
    assert counted.counts()["pending"] == 1


def test_it_can_be_asked_how_long_a_directory_rests_and_whether_that_hides_something(spool, clock):
    counted = Census(spool, clock.monotonic, rest=10)
    slow = spool.dir("pending").scan
    spool.dir("pending").scan = lambda: (clock.advance(2), slow())[1]
    counted.look()
    clock.advance(30)
    counted.look()  # its times have stood for a while now
    assert not counted.is_behind("pending")
    given.job(spool, "pending", given.named(clock, "a"))
    counted.look()
    given.job(spool, "pending", given.named(clock, "b"))
    clock.advance(19.5)
    assert (counted.look(), counted.is_behind("pending")) == (set(), True)
    assert not counted.is_behind("dead")
    clock.advance(1)
    assert not counted.is_behind("pending")
    assert counted.look() == {"pending"}


def test_what_came_and_went_between_two_looks_is_told_as_by_a_fresh_census(spool, clock, counted):
    given.job(spool, "pending", first := given.named(clock, "first"))
    given.job(spool, "pending", given.named(clock, "stays", wait=5))
    gone = [given.write(spool, "pending", name, "?") for name in ("bad.json", "notes.txt")]
    later_look(counted, clock)
    for path in (*gone, os.path.join(spool.path, "pending", str(first))):
        os.unlink(path)
    given.job(spool, "pending", given.named(clock, "before", wait=-100))
    given.job(spool, "pending", given.named(clock, "after", wait=900))
    given.write(spool, "pending", "new.json", "{")
    given.write(spool, "pending", ".gitignore", "*")
    later_look(counted, clock)
    fresh = Census(spool, clock.monotonic)
    fresh.look()
    assert counted.names("pending") == fresh.names("pending")
    assert [name.split(".")[3] for name in counted.names("pending")] == ["before", "stays", "after"]
    assert counted.drops("pending") == ["new.json"]
    assert counted.counts() == fresh.counts() == views.counts(spool)


def test_who_is_in_a_hurry_sees_a_slow_directory_at_once(spool, clock, counted):
    slow = spool.dir("pending").scan
    spool.dir("pending").scan = lambda: (clock.advance(2), slow())[1]
    counted.look()
    given.job(spool, "pending", given.named(clock, "a"))
    assert "pending" not in counted.look()
    counted.hurry()
    assert "pending" in counted.look()


def test_what_ended_is_told_by_its_time_in_order(spool, clock, counted):
    for number, state in enumerate(("completed", "dead", "completed")):
        given.job(spool, state, given.named(clock, f"j{number}", wait=10 * number))
    counted.look()
    since = instants.to_stamp(instants.later(clock(), 5))
    assert sorted(state for _, state in counted.ended(since)) == ["completed", "dead"]
    assert [state for state, _ in counted.newest_ended(2)] == ["completed", "dead"]


def test_of_a_job_that_has_ended_its_wait_and_its_runs_are_told(spool, clock, counted):
    given.job(
        spool,
        "completed",
        name := given.named(clock, "a", attempt=1),
        created_at="2026-11-24T02:06:46Z",
        tags=["x"],
        history=[RUN],
    )
    told = counted.ended_job("completed", str(name))
    assert (told.id, told.tags, told.waited) == ("a", ("x",), 2.0)
    assert told.runs[0].finished_at - told.runs[0].started_at == 2.5
    assert told.runs[0].succeeded


def test_a_job_that_has_ended_is_read_once(spool, clock, counted, monkeypatch):
    name = given.job(spool, "completed", given.named(clock, "a"), history=[RUN])
    told = counted.ended_job("completed", str(name))
    monkeypatch.setattr(views, "look", lambda *_: pytest.fail("read again"))
    assert counted.ended_job("completed", str(name)) is told


def test_of_many_that_ended_the_least_lately_asked_for_are_forgotten(
    spool, clock, counted, monkeypatch
):
    monkeypatch.setattr(census, "_KEPT", 2)
    held = [given.job(spool, "dead", given.named(clock, f"j{n}", wait=n)) for n in range(3)]
    for name in held:
        counted.ended_job("dead", str(name))
    assert [filename for _, filename in counted._ended] == [str(name) for name in held[1:]]


def test_what_is_no_job_or_gone_is_told_as_nothing(spool, counted, clock):
    name = str(given.named(clock, "bad"))
    given.write(spool, "dead", name, "{")
    assert counted.ended_job("dead", name) is None
    assert counted.ended_job("dead", str(given.named(clock, "gone"))) is None

"""Which jobs come into which state: told in order, from names alone, with events and without."""

import os

import pytest

from spoolq import names, transitions
from spoolq.transitions import Transitions, present
from tests.conftest import wait_until
from tests.given import claim, job, named, record, worker


@pytest.fixture(params=["events", "looks"])
def following(request, spool, clock):
    following = Transitions(spool, clock, poll=request.param == "looks")
    assert (following.descriptor is None) is (request.param == "looks")
    yield following
    following.close()


def told(following):
    found, is_all = following.take()
    assert is_all
    return [(one.state, one.name.id) for one in found]


def test_what_was_there_before_is_present_and_not_told(spool, clock):
    job(spool, "pending", named(clock, "a"))
    for poll in (False, True):
        following = Transitions(spool, clock, poll=poll)
        assert told(following) == []
        following.close()
    assert [(one.state, one.name.id) for one in present(spool, clock)] == [("pending", "a")]


def test_every_change_is_told_in_its_order(spool, clock):
    following = Transitions(spool, clock)
    name = job(spool, "pending", named(clock, "a"))
    made = spool.claim(str(name), name, name.stamp, "host-1-abc", "0")
    spool.finish_move(made, "failed", name.stamp, 1)
    failed = made.waiting()
    spool.promote(str(failed), failed)
    assert told(following) == [
        ("pending", "a"), ("processing", "a"), ("failed", "a"), ("pending", "a")
    ]  # fmt: skip
    following.close()


def test_changes_between_two_takes_are_told(following, spool, clock):
    name = job(spool, "pending", named(clock, "a"))
    assert told(following) == [("pending", "a")]
    spool.claim(str(name), name, name.stamp, "host-1-abc", "0")
    job(spool, "dead", named(clock, "b"))
    assert told(following) == [("processing", "a"), ("dead", "b")]
    assert told(following) == []


def test_drops_and_claims_to_change_a_job_are_not_told(following, spool, clock):
    with open(os.path.join(spool.path, "pending", "x.json"), "w") as file:
        file.write("{}")
    name = job(spool, "pending", named(clock, "a"))
    assert told(following) == [("pending", "a")]
    spool.claim_to_change("pending", str(name), name, "host-1-abc")
    assert told(following) == []


def test_the_record_of_an_end_is_no_second_start(spool, clock):
    own = worker(spool)
    old = claim(spool, own, job(spool, "pending", named(clock, "old")), clock)
    following = Transitions(spool, clock)
    new = claim(spool, own, job(spool, "pending", named(clock, "new")), clock, slot="1")
    for each in (old, new):
        spool.finish(own.dir, [record(spool, each, clock, exit_code=0)])
    assert told(following) == [
        ("pending", "new"), ("processing", "new"), ("completed", "old"), ("completed", "new")
    ]  # fmt: skip
    following.close()
    own.leave()


def test_a_directory_that_is_another_now_is_watched_anew(spool, clock):
    following = Transitions(spool, clock)
    os.rename(os.path.join(spool.path, "dead"), os.path.join(spool.path, "old"))
    os.mkdir(os.path.join(spool.path, "dead"))
    os.rmdir(os.path.join(spool.path, "old"))
    spool.reopen_replaced()
    wait_until(lambda: not following.take()[1], "word that something was missed")
    job(spool, "dead", named(clock, "a"))
    assert told(following) == [("dead", "a")]
    following.close()


def test_a_queue_that_has_run_over_is_told(spool, clock, monkeypatch):
    following = Transitions(spool, clock)
    overflow = transitions._HEAD.pack(-1, transitions._OVERFLOW, 0, 0)
    monkeypatch.setattr(transitions.os, "read", lambda *_: overflow)
    assert following.take() == ([], False)
    following.close()


def test_json_says_what_the_name_says(spool, clock):
    made = names.Name("20261124T020646123456Z", 7, 2, "a", "web1-12-abc", "0")
    job(spool, "processing", made)
    (one,) = present(spool, clock)
    assert one.as_dict() == {
        "seen_at": "2026-11-24T02:06:46.123456Z",
        "id": "a",
        "state": "processing",
        "attempt": 2,
        "priority": 7,
        "time": "2026-11-24T02:06:46.123456Z",
        "worker": "web1-12-abc",
        "file": str(made),
    }

"""One look at the spool for all threads."""

import threading

import pytest

from spoolq import api, instants
from spoolq.dashboard.charts import SPANS
from spoolq.dashboard.look import Look
from spoolq.dashboard.overview import failed_at, overview
from tests import given
from tests.conftest import wait_until


@pytest.fixture
def look(spool):
    with api.Spool(spool.path) as opened:
        yield Look(opened)


def test_due_is_told_by_the_names(spool, clock, look):
    for job_id, wait in (("past", -10), ("now", 0), ("soon", 60), ("later", 3600)):
        given.job(spool, "pending", given.named(clock, job_id, wait=wait))
    given.job(spool, "failed", given.named(clock, "again", attempt=1, wait=30))
    given.write(spool, "pending", "drop.json", "{}")
    look.refresh()
    due = look.due(clock())
    assert (due.now, due.later) == (3, 2)
    assert due.next_run == instants.later(clock(), 60)
    assert due.next_retry == instants.later(clock(), 30)


def test_nothing_is_due_in_an_empty_spool(look, clock):
    look.refresh()
    assert look.due(clock()) == (0, 0, None, None)


def test_a_job_is_found_wherever_it_is_and_after_it_has_moved(spool, clock, look):
    name = given.job(spool, "pending", given.named(clock, "a"))
    given.job(spool, "pending", given.named(clock, "aa"))
    look.refresh()
    before = look.place("a")
    assert before[:2] == ("pending", str(name))
    assert look.read(before).id == "a"
    spool.dir("pending").rename(str(name), spool.dir("dead"), str(name))
    assert look.place("a")[:2] == ("dead", str(name))
    assert look.read(before) is None
    assert look.place("b") is None


def test_the_number_of_a_look_stays_while_nothing_changes(spool, clock, look):
    given.job(spool, "pending", given.named(clock, "a"))
    wait_until(lambda: look.refresh() == look.refresh(), "rest")
    before = look.refresh()
    given.job(spool, "pending", given.named(clock, "b"))
    wait_until(lambda: look.refresh() != before, "the new job")


def test_threads_may_look_at_once_while_jobs_move(spool, clock, look):
    """The census is not made for threads; without the lock this fails."""
    wrong, over = [], threading.Event()

    def visit():
        while not over.is_set():
            try:
                look.refresh()
                counts = look.counts()
                assert counts["pending"] >= 0
                look.recent()
                look.due(clock())
            except Exception as error:
                wrong.append(error)
                return

    threads = [threading.Thread(target=visit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(150):
        name = given.job(spool, "pending", given.named(clock, f"j{number}", wait=number))
        spool.dir("pending").rename(str(name), spool.dir("completed"), str(name))
    over.set()
    for thread in threads:
        thread.join()
    assert wrong == []
    look.hurry()
    look.refresh()
    assert len(look.recent()) == 150


def test_the_overview_has_all_parts(spool, clock, look):
    own = given.worker(spool)
    name = given.job(spool, "pending", given.named(clock, "run"))
    given.claim(spool, own, name, clock)
    given.job(
        spool,
        "dead",
        given.named(clock, "dead", attempt=1),
        history=[
            {
                "attempt": 1,
                "worker": "w-1-x",
                "started_at": instants.to_rfc3339(instants.later(clock(), -9)),
                "finished_at": instants.to_rfc3339(clock()),
                "exit_code": 1,
            }
        ],
    )
    look.refresh()
    found = overview(look, SPANS["hour"], clock().timestamp() + 1)
    assert sum(bar.dead for bar in found["bars"]) == 1
    assert [running.claim.id for running in found["running"]] == ["run"]
    assert {lane.worker for lane in found["timeline"].lanes} == {own.name, "w-1-x"}
    assert [view.id for view in found["failures"]] == ["dead"]
    assert dict(found["spreads"])["ran"].p50 == 9
    own.leave()


def test_a_failed_job_failed_when_its_run_ended(spool, clock, look):
    given.job(
        spool,
        "failed",
        given.named(clock, "a", attempt=1, wait=60),
        history=[{"attempt": 1, "finished_at": instants.to_rfc3339(clock()), "exit_code": 1}],
    )
    look.refresh()
    (view,) = look.newest("failed", 5)
    assert failed_at(view) == clock()


def test_times_out_of_this_world_do_not_break_the_overview(spool, clock, look):
    for number, (start, end) in enumerate(
        (
            ("0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z"),
            ("9999-12-31T00:00:00Z", "0001-01-01T00:00:00Z"),
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
            ("1969-12-31T23:59:59Z", "1970-01-01T00:00:00Z"),
        )
    ):
        given.job(
            spool,
            "dead",
            given.named(clock, f"j{number}", attempt=1),
            created_at=start,
            history=[
                {
                    "attempt": 1,
                    "worker": "",
                    "started_at": start,
                    "finished_at": end,
                    "exit_code": 1,
                }
            ],
        )
    look.refresh()
    for span in SPANS.values():
        assert overview(look, span, clock().timestamp())["timeline"] is None

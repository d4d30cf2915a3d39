"""The setting is applied beside the worker, by one at a time, and never holds it up."""

import logging
import os
import time

import pytest

from spoolq import lease, locks, names, retention
from spoolq.chores import Beside
from spoolq.config import Settings
from spoolq.errors import Busy
from tests import given
from tests.conftest import wait_until

SETTINGS = Settings(retention={"completed": {"age": "1d"}})
OLD = "20200101T000000000000Z.p5.a1.old.json"


class RunningClock:
    """Real time, that can be moved ahead."""

    def __init__(self):
        self.ahead = 0.0

    def __call__(self):
        from spoolq import instants

        return instants.later(instants.now(), self.ahead)

    def monotonic(self):
        return time.monotonic() + self.ahead


@pytest.fixture
def ticking():
    return RunningClock()


@pytest.fixture
def chore(spool, ticking, caplog):
    caplog.set_level(logging.INFO, "spoolq")
    spool.write_config(b'{"format": 1, "retention": {"completed": {"age": "1d"}}}')
    own = lease.Lease.start(spool, {"count": 1})
    made = retention.Retention(Beside(spool, own, None, ticking, ticking.monotonic))
    yield made
    made.close()
    own.leave()


def fill(spool):
    given.job(spool, "completed", names.parse(OLD))
    given.write(spool, "logs", "old.a1.20200101T000000000000Z.log", "x")


def test_it_waits_a_minute_and_then_a_process_removes_what_is_old(spool, chore, ticking, caplog):
    fill(spool)
    assert chore.look(SETTINGS) is False
    assert chore._thread is None
    ticking.ahead = retention.FIRST
    chore.look(SETTINGS)
    wait_until(lambda: not spool.dir("completed").list() and not spool.dir("logs").list())
    chore._thread.join()
    assert f"retention: removed 1 job and 1 log of {spool.path}" in caplog.text


def test_it_comes_again_after_some_minutes_and_says_nothing_where_nothing_goes(
    spool, chore, ticking, caplog
):
    begun = []
    for ahead in (60, 61, 300, 359, 365, 400):
        ticking.ahead = ahead
        before = chore._thread
        chore.look(SETTINGS)
        if chore._thread is not before:
            begun.append(ahead)
            chore._thread.join()
    assert begun == [60, 365]
    assert "retention" not in caplog.text


def test_what_another_worker_has_just_done_is_not_done_again(spool, chore, ticking):
    with retention.alone(spool, ticking()):
        pass
    ticking.ahead = retention.FIRST
    chore.look(SETTINGS)
    assert chore._thread is None


def test_a_note_from_another_time_is_no_reason_to_wait(spool, ticking):
    with retention.alone(spool, ticking()):
        pass
    for moment, fresh in ((0, True), (10 * 86_400, False), (-10 * 86_400, False)):
        ticking.ahead = moment
        assert retention.is_fresh(spool, ticking()) is fresh


def test_one_alone_applies_it(spool, ticking):
    with retention.alone(spool, ticking()):
        with pytest.raises(Busy):
            with retention.alone(spool, ticking()):
                pass


def test_a_worker_that_leaves_ends_it_at_once(spool, chore, ticking, caplog):
    fill(spool)
    descriptor = spool.dir("tmp").create(retention.NOTE)
    past = time.time() - 86_400
    os.utime(descriptor, (past, past))
    assert locks.try_lock(descriptor)  # somebody else is at it
    ticking.ahead = retention.FIRST
    chore.look(SETTINGS)
    chore.close()
    assert not chore._thread.is_alive()
    assert "not applied" not in caplog.text
    os.close(descriptor)


def test_what_fails_is_said(spool, chore, ticking, caplog):
    fill(spool)
    spool.write_config(b'{"format": 1, "retention": {"completed": {"age": "soon"}}}')
    ticking.ahead = retention.FIRST
    chore.look(SETTINGS)
    chore._thread.join()
    assert "the retention is not applied: exit 1" in caplog.text
    assert "must be a duration" in caplog.text
    assert len(spool.dir("completed").list()) == 1


def test_a_spool_without_the_setting_imports_nothing_of_it(spool):
    from spoolq.cli.beside import CHORES

    kind = next(kind for kind in CHORES if kind.name == "retention")
    assert not kind.wanted((), Settings())
    assert kind.wanted((), SETTINGS)

"""What is too old or too much goes, the oldest first, and nothing else."""

import os

import pytest

from spoolq import instants, names
from spoolq.keeping import Keep
from spoolq.logs import LogName
from spoolq.purging import Purge
from tests import given
from tests.conftest import entries

DAY = 86_400.0


@pytest.fixture
def purge(spool, clock):
    return Purge(spool, clock(), lambda path, why: pytest.fail(f"{path}: {why}"))


def ended(spool, clock, job_id, days, state="completed", size=0):
    """Put a job into a spool that ended so many days ago, and the log of its run."""
    stamp = instants.to_stamp(instants.later(clock(), -days * DAY))
    given.job(spool, state, names.Name(stamp, 5, 1, job_id), note="x" * size)
    log(spool, clock, job_id, days)


def log(spool, clock, job_id, days, size=10):
    stamp = instants.to_stamp(instants.later(clock(), -days * DAY))
    given.write(spool, "logs", str(LogName(job_id, 1, stamp)), "x" * size)


def left(spool, where="completed"):
    if where == "logs":
        return sorted(entry.split(".")[0] for entry in spool.dir("logs").list())
    return sorted(map(names.id_in, spool.dir(where).list()))


def test_what_ended_too_long_ago_goes_with_its_logs(spool, clock, purge):
    for days in (1, 5, 9):
        ended(spool, clock, f"j{days}", days)
    purge.all_but("completed", Keep(5 * DAY, None))
    purge.logs_of_removed()
    assert left(spool) == left(spool, "logs") == ["j1"]
    assert (purge.jobs, purge.logs, purge.stuck) == (2, 2, 0)


def test_what_is_too_much_goes_the_oldest_first(spool, clock, purge):
    for days in range(1, 6):
        ended(spool, clock, f"j{days}", days, size=1000)
    purge.all_but("completed", Keep(None, 2500))
    assert left(spool) == ["j1", "j2"]


def test_age_and_size_both_count(spool, clock, purge):
    for days in range(1, 6):
        ended(spool, clock, f"j{days}", days, size=1000)
    purge.all_but("completed", Keep(1.5 * DAY, 3500))
    assert left(spool) == ["j1"]


def test_what_is_within_its_size_stays_and_other_states_are_not_touched(spool, clock, purge):
    ended(spool, clock, "c", 9, size=1000)
    ended(spool, clock, "d", 9, state="dead", size=1000)
    purge.all_but("completed", Keep(None, 2000))
    assert left(spool) == ["c"]
    purge.all_but("completed", Keep(None, 0))
    assert (left(spool), left(spool, "dead")) == ([], ["d"])


def test_ages_alone_need_no_look_at_a_file(spool, clock, purge, monkeypatch):
    for days in range(1, 6):
        ended(spool, clock, f"j{days}", days)
    looked = []
    kind, real = type(spool.root), type(spool.root).stat
    monkeypatch.setattr(kind, "stat", lambda *args: looked.append(args[1:]) or real(*args))
    purge.all_but("completed", Keep(3.5 * DAY, None))
    assert {one for one in looked if one} == {("after",)}  # whether there is anything that waits
    assert left(spool) == ["j1", "j2", "j3"]


def test_a_file_without_a_name_of_the_form_goes_by_its_own_time(spool, clock):
    given.write(spool, "dead", "x.json", "no job")
    now = instants.now()
    for moment, gone in ((now, False), (instants.later(now, 2 * DAY), True)):
        purge = Purge(spool, moment, lambda path, why: pytest.fail(why))
        purge.all_but("dead", Keep(DAY, None))
        assert (spool.dir("dead").list() == []) is gone


def test_what_is_not_meant_as_a_job_stays(spool, clock, purge):
    given.write(spool, "completed", ".gitkeep", "")
    given.write(spool, "completed", "notes.txt", "")
    purge.all_but("completed", Keep(None, 0))
    assert sorted(spool.dir("completed").list()) == [".gitkeep", "notes.txt"]


def test_what_cannot_be_removed_is_told_and_stops_no_other(spool, clock):
    os.mkdir(os.path.join(spool.path, "completed", "20261101T000000000000Z.p5.a1.d.json"))
    ended(spool, clock, "j", 9)
    told = []
    purge = Purge(spool, clock(), lambda path, why: told.append(path))
    purge.older_than("completed", 0)
    assert [os.path.basename(path) for path in told] == ["20261101T000000000000Z.p5.a1.d.json"]
    assert (purge.stuck, left(spool)) == (1, ["d"])


# --- logs -----------------------------------------------------------------------------------------


def test_logs_go_by_age_and_by_size_the_oldest_first(spool, clock, purge):
    for days in range(1, 6):
        log(spool, clock, f"j{days}", days, size=1000)
    purge.logs_but(Keep(4.5 * DAY, None))
    assert left(spool, "logs") == ["j1", "j2", "j3", "j4"]
    purge.logs_but(Keep(None, 2000))
    assert left(spool, "logs") == ["j1", "j2"]
    assert purge.logs == 3


@pytest.mark.parametrize("state", ["pending", "processing", "failed"])
def test_the_log_of_a_job_that_runs_or_waits_stays(spool, clock, purge, state):
    stamp = instants.to_stamp(clock())
    owner = {"worker": "h-1-a", "slot": "0"} if state == "processing" else {}
    given.job(spool, state, names.Name(stamp, 5, 1, "live", **owner))
    for job_id in ("live", "gone"):
        log(spool, clock, job_id, 100)
    purge.logs_but(Keep(0.0, 0))
    assert left(spool, "logs") == ["live"]


def test_the_log_of_a_job_that_starts_meanwhile_stays(spool, clock, purge, monkeypatch):
    real = spool.dir("pending").scan
    log(spool, clock, "old", 9)

    def scan():
        log(spool, clock, "new", 9)
        return real()

    monkeypatch.setattr(spool.dir("pending"), "scan", scan)
    purge.logs_but(Keep(0.0, None))
    assert left(spool, "logs") == ["new"]


def test_the_log_of_a_job_that_goes_back_to_pending_meanwhile_stays(
    spool, clock, purge, monkeypatch
):
    name = given.job(spool, "failed", given.named(clock, "j"))
    log(spool, clock, "j", 9)
    real = spool.dir("failed").scan

    def scan():
        os.rename(f"{spool.path}/failed/{name}", f"{spool.path}/pending/{name}")
        return real()

    monkeypatch.setattr(spool.dir("failed"), "scan", scan)
    purge.logs_but(Keep(0.0, None))
    assert left(spool, "logs") == ["j"]


def test_what_is_no_log_stays(spool, clock, purge):
    given.write(spool, "logs", "mine.txt", "x")
    purge.logs_but(Keep(0.0, 0))
    assert spool.dir("logs").list() == ["mine.txt"]


def test_what_others_wait_for_stays_until_they_are_let_go(spool, clock):
    from spoolq.api import Spool

    given.job(spool, "pending", given.named(clock, "a"))
    given.job(spool, "completed", given.named(clock, "b"))
    with Spool(spool.path) as api:
        api.enqueue("true", id="c", after=["a"])
    filename = str(given.named(clock, "a"))
    spool.dir("pending").rename(filename, spool.dir("completed"), filename)
    clock.advance(60)
    purge = Purge(spool, clock(), lambda path, why: None)
    purge.older_than("completed", 1)
    assert entries(spool, "completed") == [filename]

"""What is done beside the jobs is done where a spool has something of it, and only there."""

import pytest

from spoolq import chores, lease, names
from spoolq.chores import Beside, Chore, Chores, Kind
from spoolq.config import Settings
from spoolq.errors import StorageFailed, WorkerLost
from spoolq.spool import Record

SETTINGS = Settings()


class Told(Chore):
    """Remembers what it was told."""

    def __init__(self, beside, told, error=None):
        self.told, self.error = told, error

    def look(self, settings):
        self.told.append("look")
        if self.error is not None:
            raise self.error
        return True

    def moved(self, record, name, settings):
        self.told.append(record.state)
        return False

    def close(self):
        self.told.append("close")


@pytest.fixture
def beside(spool, clock):
    own = lease.Lease.start(spool, {"count": 1})
    yield Beside(spool, own, None, clock, clock.monotonic)
    own.leave()


def kind(told, place="things", error=None):
    return Kind(place, lambda entries, _: place in entries, lambda b: Told(b, told, error))


def test_a_chore_begins_with_what_it_is_about(beside, spool):
    told = []
    all_chores = Chores([kind(told)], beside)
    assert all_chores.look(SETTINGS) is False
    assert told == []
    spool.root.make_dir("things")
    assert all_chores.look(SETTINGS) is True
    assert told == ["look"]


def test_a_chore_hears_of_each_job_that_has_moved(beside, spool):
    told = []
    spool.root.make_dir("things")
    all_chores = Chores([kind(told)], beside)
    all_chores.look(SETTINGS)
    name = names.parse("20261124T020646123456Z.p5.a1.a.json")
    record = Record(name, b"", "completed", name.stamp, 1)
    assert all_chores.moved(record, name, SETTINGS) is False
    all_chores.close()
    assert told == ["look", "completed", "close"]


def test_a_chore_that_fails_holds_up_no_other_and_is_tried_again(beside, spool, caplog):
    bad, good = [], []
    spool.root.make_dir("things")
    spool.root.make_dir("others")
    error = StorageFailed("the things cannot be read")
    all_chores = Chores([kind(bad, error=error), kind(good, "others")], beside)
    assert all_chores.look(SETTINGS) is True
    assert all_chores.look(SETTINGS) is True
    assert bad == good == ["look", "look"]
    assert caplog.text.count("the things cannot be read") == 1


def test_a_lost_worker_is_no_failure_of_a_chore(beside, spool):
    spool.root.make_dir("things")
    with pytest.raises(WorkerLost):
        Chores([kind([], error=WorkerLost("removed"))], beside).look(SETTINGS)


def test_a_spool_that_is_looked_at_and_has_not_changed_is_not_listed_again(
    beside, spool, clock, monkeypatch
):
    lists = []
    real = spool.root.list
    monkeypatch.setattr(spool.root, "list", lambda: lists.append(1) or real())
    all_chores = Chores([kind([])], beside)
    for _ in range(20):
        all_chores.look(SETTINGS)
        clock.advance(1)
    assert len(lists) <= 3
    assert chores.Chore().look(SETTINGS) is False

"""What is read anew, and what need not be."""

import os

import pytest

from spoolq import glance
from spoolq.glance import Glance, Remembered

SECOND = 1_000_000_000


class Thing:
    """A file that says when it changed, and counts how often it was read."""

    def __init__(self):
        self.now = 100.0
        self.mtime = 5 * SECOND + 123
        self.inode = 7
        self.missing = self.hidden = False
        self.reads = 0
        self.error = None

    def stat(self):
        if self.missing:
            raise FileNotFoundError(2, "gone")
        if self.hidden:
            raise OSError(5, "Input/output error")
        seconds = self.mtime / SECOND
        fields = [0o600, self.inode, 1, 1, 0, 0, 10, 0, int(seconds), 0]
        return os.stat_result(
            fields, {"st_atime_ns": 0, "st_mtime_ns": self.mtime, "st_ctime_ns": 0}
        )

    def read(self):
        self.reads += 1
        if self.error is not None:
            raise self.error
        return [self.reads]


@pytest.fixture
def thing():
    return Thing()


@pytest.fixture
def remembered(thing):
    return Remembered(thing.read, thing.stat, lambda: thing.now)


def settle(thing, remembered, seconds=1.0):
    remembered()
    thing.now += seconds
    remembered()


def test_what_stands_still_is_read_twice_and_no_more(thing, remembered):
    settle(thing, remembered)
    for _ in range(5):
        thing.now += 1
        assert remembered() == [2]
    assert thing.reads == 2


@pytest.mark.parametrize(("name", "value"), [("mtime", 6 * SECOND + 1), ("inode", 8)])
def test_what_has_changed_is_read_anew(thing, remembered, name, value):
    settle(thing, remembered)
    setattr(thing, name, value)
    assert remembered() == [3]


def test_what_changed_a_moment_ago_is_read_again_since_it_can_change_under_the_same_time(
    thing, remembered
):
    remembered()
    thing.now += glance._FINE / 2
    assert remembered() == [2]
    thing.now += glance._FINE
    assert remembered() == [3]
    thing.now += 1
    assert remembered() == [3]


def test_whole_seconds_are_believed_only_after_two(thing, remembered):
    thing.mtime = 6 * SECOND
    settle(thing, remembered, seconds=1.9)
    thing.now += 0.3
    assert remembered() == [3]
    thing.now += 1
    assert remembered() == [3]


def test_what_comes_and_goes_is_read_anew(thing, remembered):
    thing.missing = True
    settle(thing, remembered)
    before = thing.reads
    thing.missing = False
    assert remembered() == [before + 1]
    thing.now += 1
    remembered()
    thing.missing = True
    assert remembered() == [before + 3]


def test_a_reading_that_failed_is_none(thing, remembered):
    settle(thing, remembered)
    thing.mtime += 1
    thing.error = OSError(5, "Input/output error")
    with pytest.raises(OSError, match="Input/output"):
        remembered()
    thing.error = None
    assert remembered() == [4]


def test_what_cannot_be_seen_is_read_so_that_the_reading_tells_why(thing, remembered):
    settle(thing, remembered)
    thing.hidden = True
    thing.error = OSError(5, "Input/output error")
    with pytest.raises(OSError, match="Input/output"):
        remembered()
    thing.error = None
    assert remembered() == [4]
    assert remembered() == [5]
    thing.hidden = False
    settle(thing, remembered)
    thing.now += 1
    assert remembered() == [7]


def test_what_is_old_is_read_anew_whatever_its_times_say(thing, remembered):
    settle(thing, remembered)
    thing.now += 59
    assert remembered() == [2]
    thing.now += 1
    assert remembered() == [3]
    thing.now += 59
    assert remembered() == [3]


def test_what_was_forgotten_may_differ(thing):
    seen = Glance(thing.stat, lambda: thing.now)
    assert seen.may_differ()
    seen.look()
    thing.now += 1
    seen.look()
    assert not seen.may_differ()
    seen.forget()
    assert seen.may_differ()


def test_a_directory_tells_of_what_comes_into_it(tmp_path):
    now = [0.0]
    names = Remembered(lambda: os.listdir(tmp_path), lambda: os.stat(tmp_path), lambda: now[0])
    for number in range(20):
        (tmp_path / str(number)).touch()
        assert len(names()) == number + 1
        now[0] += 10
        assert len(names()) == number + 1

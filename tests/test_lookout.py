"""A lookout rings once for what changes in a spool, until it is asked again."""

import os
import select
import shutil

import pytest

from spoolq import lookout as module
from spoolq import platform
from tests.conftest import DEADLINE
from tests.test_watcher import Rings, arrive

pytestmark = pytest.mark.skipif(not platform.LINUX, reason="inotify")


@pytest.fixture
def rings():
    return Rings()


@pytest.fixture
def pending(tmp_path):
    for name in ("tmp", "processing", "pending"):
        (tmp_path / name).mkdir()
    return tmp_path / "pending"


@pytest.fixture
def lookout(pending, rings):
    watching = module.Lookout(str(pending.parent), rings)
    watching.start()
    yield watching
    watching.stop()


def hears(lookout, seconds=DEADLINE):
    """Say whether the lookout hears something, as its sleeper does."""
    heard = bool(select.select([lookout.descriptor], [], [], seconds)[0])
    if heard:
        lookout.hear()
    return heard


def leave(pending, name):
    os.rename(pending / name, pending.parent / "processing" / name)


@pytest.mark.parametrize(
    "change",
    [
        lambda pending: arrive(pending, "y"),
        lambda pending: leave(pending, "x"),
        lambda pending: os.unlink(pending / "x"),
        lambda pending: (pending / "y").write_text("z"),
        lambda pending: shutil.rmtree(pending),
        lambda pending: os.rename(pending, pending.parent / "elsewhere"),
    ],
    ids=["arrives", "leaves", "removed", "written", "all removed", "moved away"],
)
def test_a_lookout_hears_what_changes_in_a_directory(pending, lookout, rings, change):
    (pending / "x").write_text("x")
    lookout.ask([str(pending)], [])
    change(pending)
    assert hears(lookout)
    assert rings.count == 1


def test_a_lookout_hears_of_many_changes_once_until_it_is_asked_again(pending, lookout):
    lookout.ask([str(pending)], [])
    for number in range(100):
        arrive(pending, f"x{number}")
    assert hears(lookout)
    arrive(pending, "later")
    assert not hears(lookout, 0.05)
    lookout.ask([str(pending)], [])
    arrive(pending, "asked again")
    assert hears(lookout)


def test_a_lookout_hears_that_a_file_grows_and_not_that_it_is_read(pending, lookout):
    log = pending.parent / "log"
    log.write_text("one")
    lookout.ask([], [str(log), str(pending.parent / "not there yet")])
    with open(log, "r+") as file:  # as a lock is probed
        file.read()
    assert not hears(lookout, 0.05)
    with open(log, "a") as file:
        file.write("two")
    assert hears(lookout)
    assert lookout.trouble is None


def test_a_lookout_forgets_what_is_not_asked_for_any_more(pending, lookout):
    other = pending.parent / "processing"
    lookout.ask([str(pending), str(other)], [])
    lookout.ask([str(other)], [])
    hears(lookout, 0.05)  # the kernel tells that a watch has ended
    arrive(pending, "x")
    assert not hears(lookout, 0.05)
    assert list(lookout._watches) == [str(other)]


def test_a_lookout_watches_what_has_been_made_anew_when_it_is_asked_again(pending, lookout):
    lookout.ask([str(pending)], [])
    shutil.rmtree(pending)
    assert hears(lookout)
    pending.mkdir()
    lookout.ask([str(pending)], [])
    hears(lookout, 0.05)
    arrive(pending, "x")
    assert hears(lookout)


def test_without_inotify_a_lookout_is_rung_by_the_plain_observer(pending, rings, monkeypatch):
    monkeypatch.setattr(module, "inotify_calls", lambda: None)
    lookout = module.Lookout(str(pending.parent), rings)
    lookout.start()
    assert (lookout.descriptor, lookout.trouble) == (None, None)
    lookout.ask([str(pending)], [])
    try:
        rings.after(lambda: arrive(pending, "x"))
        rings.quiet()
        before = rings.count
        os.close(os.open(pending / "x", os.O_RDWR))  # a lock that is probed
        rings.quiet()
        assert rings.count == before
    finally:
        lookout.stop()


@pytest.mark.parametrize("broken", ["network", "limit"])
def test_a_lookout_says_why_no_events_can_come(pending, rings, monkeypatch, broken):
    if broken == "network":
        monkeypatch.setattr(platform, "network_filesystem", lambda path: "nfs4")
    else:
        from watchdog.observers import inotify_c

        monkeypatch.setattr(inotify_c, "inotify_init", lambda: -1)
    lookout = module.Lookout(str(pending), rings)
    lookout.start()
    assert lookout.trouble
    lookout.ask([str(pending)], [])
    lookout.stop()

"""On what hosts share, a call is judged by what is there, and not by what was said of it."""

import errno
import os

import pytest

from spoolq import fsio, instants, layout, platform
from spoolq.fsio import Dir
from spoolq.job import Job
from spoolq.shared import SharedDir
from spoolq.spool import SpoolDir
from tests import given

_CALLS = ("rename", "link")


class Unheard:
    """Stands in for `fsio.os`: what is asked for is done, and another answer is heard."""

    def __init__(self, real, code, *, does=True):
        self._real = real
        self._code = code
        self._does = does
        self.heard = 0

    def __getattr__(self, name):
        value = getattr(self._real, name)
        if name not in _CALLS:
            return value

        def call(*args, **kwargs):
            self.heard += 1
            if self._does:
                value(*args, **kwargs)
            raise OSError(self._code, os.strerror(self._code))

        return call


@pytest.fixture
def unheard(monkeypatch):
    """Let the replies of renames and links be lost; without renameat2, as on NFS."""

    def lose(code=errno.ENOENT, **how):
        stand_in = Unheard(os, code, **how)
        monkeypatch.setattr(fsio, "os", stand_in)
        return stand_in

    monkeypatch.setattr(platform, "rename_noreplace", lambda *_: False)
    return lose


LOST = pytest.mark.parametrize("code", [errno.ENOENT, errno.EIO, errno.ETIMEDOUT], ids=str)


def test_a_spool_on_a_network_filesystem_has_directories_that_are_shared(shared_spool, spool):
    assert isinstance(shared_spool.dir("pending"), SharedDir)
    assert isinstance(SpoolDir.open(shared_spool.path).root, SharedDir)
    assert shared_spool.is_shared


def test_a_spool_on_a_disk_has_none(spool):
    assert type(spool.dir("pending")) is Dir
    assert not spool.is_shared


@LOST
def test_a_claim_whose_reply_was_lost_is_made(shared_spool, clock, unheard, code):
    name = given.job(shared_spool, "pending", given.named(clock))
    told = unheard(code)
    claim = shared_spool.claim(str(name), name, instants.to_stamp(clock()), "w-1-abcdef", "0")
    assert told.heard == 1
    assert given.everything(shared_spool) == [("processing", str(claim))]


@LOST
def test_a_claim_that_was_not_made_is_not_taken_for_made(shared_spool, clock, unheard, code):
    name = given.job(shared_spool, "pending", given.named(clock))
    unheard(code, does=False)
    stamp = instants.to_stamp(clock())
    if code == errno.ENOENT:
        assert shared_spool.claim(str(name), name, stamp, "w-1-abcdef", "0") is None
    else:
        with pytest.raises(OSError, match=os.strerror(code)):
            shared_spool.claim(str(name), name, stamp, "w-1-abcdef", "0")
    assert given.everything(shared_spool) == [("pending", str(name))]


def test_on_a_disk_a_lost_reply_is_believed(spool, clock, unheard):
    """The control: it is the looking that finds the claim, and a disk needs none."""
    name = given.job(spool, "pending", given.named(clock))
    unheard()
    assert spool.claim(str(name), name, instants.to_stamp(clock()), "w-1-abcdef", "0") is None


@LOST
def test_a_takeover_and_a_move_whose_replies_were_lost_are_made(shared_spool, clock, unheard, code):
    own = given.worker(shared_spool)
    name = given.job(shared_spool, "pending", given.named(clock))
    claim = given.claim(shared_spool, own, name, clock)
    unheard(code)
    mine = shared_spool.take_over(claim, "w-1-abcdef", "lostabcdef")
    assert given.everything(shared_spool) == [("processing", str(mine))]
    back = shared_spool.give_back(mine, name)
    assert given.everything(shared_spool) == [("pending", str(back))]
    own.leave()


@LOST
def test_an_outcome_whose_reply_was_lost_is_recorded_and_moved(shared_spool, clock, unheard, code):
    own = given.worker(shared_spool)
    name = given.job(shared_spool, "pending", given.named(clock))
    claim = given.claim(shared_spool, own, name, clock)
    record = given.record(shared_spool, claim, clock, exit_code=0)
    unheard(code)
    report = shared_spool.finish(own.dir, [record])
    assert report.error is None
    ((state, filename),) = given.everything(shared_spool)
    assert state == "completed"
    assert [run["exit_code"] for run in given.history(shared_spool, state, filename)] == [0]
    own.leave()


def test_an_outcome_that_was_not_recorded_is_not_moved(shared_spool, clock, unheard):
    """Its file has gone from the worker's directory, as when another host is fencing it off."""
    own = given.worker(shared_spool)
    name = given.job(shared_spool, "pending", given.named(clock))
    claim = given.claim(shared_spool, own, name, clock)
    record = given.record(shared_spool, claim, clock, exit_code=0)
    os.close(shared_spool.write_outcome(own.dir, record))
    own.dir.unlink("0.outcome")
    with pytest.raises(FileNotFoundError):
        shared_spool.record_and_move(own.dir, record)
    assert given.everything(shared_spool) == [("processing", str(claim))]
    own.leave()


@pytest.mark.parametrize("code", [errno.EEXIST, errno.EIO], ids=str)
def test_a_job_whose_publishing_was_not_heard_is_published_once(shared_spool, clock, unheard, code):
    name = given.named(clock)
    unheard(code)
    shared_spool.publish({name: Job({"command": "x"}).to_bytes()})
    assert given.everything(shared_spool) == [("pending", str(name))]
    assert shared_spool.dir("tmp").list() == []


def test_a_name_that_another_has_taken_is_not_taken_for_ones_own(shared_spool, clock, unheard):
    name = given.job(shared_spool, "pending", given.named(clock))
    given.write(shared_spool, "tmp", str(name), "{}")
    unheard(errno.EEXIST, does=False)
    with pytest.raises(FileExistsError):
        shared_spool.dir("tmp").publish(str(name), shared_spool.dir("pending"), str(name))
    assert shared_spool.dir("tmp").list() == [str(name)]


def test_a_look_opens_the_directory_anew(shared_spool, monkeypatch):
    """So a client of NFS asks its server: what it remembers may be half a minute old."""
    opened = []

    class Watched:
        def __getattr__(self, name):
            return getattr(os, name)

        def open(self, path, *args, **kwargs):
            opened.append(path)
            return os.open(path, *args, **kwargs)

    monkeypatch.setattr(fsio, "os", Watched())
    pending = shared_spool.dir("pending")
    for look in (pending.stat, pending.list, lambda: pending.has("x")):
        opened.clear()
        look()
        assert opened == ["."]


def test_a_worker_whose_directory_is_stale_is_lost(shared_spool, monkeypatch):
    own = given.worker(shared_spool)

    def stale(name="."):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    monkeypatch.setattr(own.dir, "stat", stale)
    with pytest.raises(layout.WorkerLost), layout.unless_removed(own.dir):
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
    monkeypatch.undo()
    given.die(own)

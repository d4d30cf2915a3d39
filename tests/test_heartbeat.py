"""A lease is renewed by calls that reach the server, and by nothing else."""

import errno
import os
import threading

import pytest

from spoolq import heartbeat as module
from spoolq import lease
from spoolq.heartbeat import Heartbeat
from tests import given
from tests.conftest import wait_until


@pytest.fixture
def own(shared_spool):
    own = lease.Lease.start(shared_spool, {"count": 1}, renews=60)
    yield own
    own.leave()


@pytest.fixture
def heart(own, clock):
    heart = Heartbeat(own, elapsed=clock.monotonic)
    yield heart
    heart.stop()


def test_a_beat_changes_the_looks_and_not_the_words_of_a_card(shared_spool, own, heart, clock):
    card, looks = lease.look_at_card(shared_spool, own.name)
    assert card["lease"] == 60

    def differs():
        heart.beat()
        return lease.look_at_card(shared_spool, own.name)[1] != looks

    wait_until(differs)  # at once, or at the next tick of the filesystem's clock
    assert lease.look_at_card(shared_spool, own.name)[0] == card


def test_a_beat_counts_from_its_beginning(own, heart, clock, monkeypatch):
    sync = module.sync_data

    def slow(descriptor):
        clock.advance(7)
        sync(descriptor)

    monkeypatch.setattr(module, "sync_data", slow)
    began = clock.monotonic()
    heart.beat()
    assert (heart.began, clock.monotonic()) == (began, began + 7)


@pytest.mark.parametrize("code", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT], ids=str)
def test_a_beat_that_fails_renews_nothing_and_the_next_one_does(heart, clock, monkeypatch, code):
    def fail(descriptor):
        raise OSError(code, os.strerror(code))

    began = heart.began
    clock.advance(1)
    with monkeypatch.context() as patches:
        patches.setattr(module, "sync_data", fail)
        heart.beat()
    assert heart.began == began
    assert not heart.is_gone
    clock.advance(1)
    heart.beat()
    assert heart.began == clock.monotonic()


def test_a_full_disk_ends_no_lease(shared_spool, own, heart, clock, monkeypatch):
    def full(descriptor):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(module, "sync_data", full)
    looks = lease.look_at_card(shared_spool, own.name)[1]
    clock.advance(1)

    def differs():
        heart.beat()
        return lease.look_at_card(shared_spool, own.name)[1] != looks

    wait_until(differs)
    assert heart.began == clock.monotonic()


def test_a_directory_that_is_gone_is_told_at_once(shared_spool, own, clock):
    rang = []
    heart = Heartbeat(own, lambda: rang.append(1), clock.monotonic)
    lease.clear(shared_spool.dir("workers"), own.name, shared_spool.dir("tmp"))
    heart.beat()
    assert heart.is_gone
    assert rang
    heart.stop()


def test_a_directory_that_is_another_now_is_gone(shared_spool, own, heart):
    lease.clear(shared_spool.dir("workers"), own.name, shared_spool.dir("tmp"))
    shared_spool.dir("workers").make_dir("in-between")  # so that the inode is not used again
    shared_spool.dir("workers").make_dir(own.name)
    heart.beat()
    assert heart.is_gone


def test_it_beats_by_itself_while_another_call_of_this_process_hangs(own, monkeypatch):
    monkeypatch.setattr(module, "PERIOD", 0.01)
    heart = Heartbeat(own)
    began = heart.began
    heart.start()
    wait_until(lambda: heart.began > began)
    heart.stop()


def test_a_beat_that_hangs_keeps_nobody_from_leaving(own, monkeypatch):
    monkeypatch.setattr(module, "PERIOD", 0.01)
    goes_on = threading.Event()
    hangs = threading.Event()
    heart = Heartbeat(own)

    def hang(descriptor):
        hangs.set()
        goes_on.wait()

    monkeypatch.setattr(module, "sync_data", hang)
    heart.start()
    wait_until(hangs.is_set)
    heart.stop()
    goes_on.set()
    heart._thread.join()


def test_a_worker_that_leaves_lets_go_of_all_before_its_directory_goes(shared_spool, monkeypatch):
    """On NFS an open file that is unlinked stays under another name, and its directory with it."""
    own = given.worker(shared_spool)
    lock = own._lock
    workers = shared_spool.dir("workers")
    rmdir = workers.rmdir

    def is_open():
        try:
            os.fstat(lock)
        except OSError:
            return False
        return True

    def refuse_while_open(name):
        if is_open():
            raise OSError(errno.ENOTEMPTY, os.strerror(errno.ENOTEMPTY), ".nfs0001")
        rmdir(name)

    monkeypatch.setattr(workers, "rmdir", refuse_while_open)
    own.leave()
    assert workers.list() == []

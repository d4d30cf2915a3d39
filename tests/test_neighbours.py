"""Who of the workers of other kernels is dead: by changes, and by no clock but one's own."""

import json
import os
import threading

import pytest

from spoolq import lease, neighbours, platform, roster
from spoolq.errors import StorageFailed
from spoolq.heartbeat import Heartbeat
from spoolq.neighbours import FREE, HELD, LAPSED, MISSING, OUT_OF_REACH, Neighbours
from tests import given
from tests.conftest import wait_until
from tests.hosts import beat, elsewhere


@pytest.fixture
def others(shared_spool, clock):
    return Neighbours(shared_spool, clock.monotonic)


def test_a_worker_of_another_kernel_is_dead_when_its_file_has_stood_still_for_its_lease(
    shared_spool, clock, others
):
    own = elsewhere(shared_spool, renews=60)
    assert others.state_of(own.name) == OUT_OF_REACH
    clock.advance(59.9)
    assert others.state_of(own.name) == OUT_OF_REACH
    clock.advance(0.2)
    assert others.state_of(own.name) == LAPSED


def test_each_beat_begins_a_new_lease(shared_spool, clock, others):
    own = elsewhere(shared_spool, renews=60)
    for _ in range(5):
        assert others.state_of(own.name) == OUT_OF_REACH
        clock.advance(59)
        beat(own)
    assert others.state_of(own.name) == OUT_OF_REACH


def test_a_worker_of_another_kernel_whose_lock_is_held_is_alive_however_still(shared_spool, clock):
    card = {"boot": "the kernel of web2"}
    own = lease.Lease.start(shared_spool, card, renews=5)
    others = Neighbours(shared_spool, clock.monotonic)
    for _ in range(3):
        assert others.state_of(own.name) == HELD
        clock.advance(3600)
    own.leave()


def test_a_lock_that_was_held_meanwhile_begins_a_new_lease(
    shared_spool, clock, others, monkeypatch
):
    own = elsewhere(shared_spool, renews=60)
    assert others.state_of(own.name) == OUT_OF_REACH
    clock.advance(30)
    with monkeypatch.context() as patches:
        patches.setattr(lease, "probe", lambda *_: HELD)
        assert others.state_of(own.name) == HELD
    clock.advance(31)
    assert others.state_of(own.name) == OUT_OF_REACH


def test_a_worker_of_this_kernel_is_judged_by_its_lock_alone(shared_spool, others):
    own = given.worker(shared_spool)
    assert others.state_of(own.name) == HELD
    given.die(own)
    assert others.state_of(own.name) == FREE


def test_on_a_disk_every_worker_is_judged_by_its_lock_alone(spool, clock):
    own = elsewhere(spool)
    assert Neighbours(spool, clock.monotonic).state_of(own.name) == FREE


def test_a_directory_that_is_missing_is_waited_for_as_long(shared_spool, clock, others):
    assert others.state_of("web2-1-abcdef") == OUT_OF_REACH
    clock.advance(59)
    assert others.state_of("web2-1-abcdef") == OUT_OF_REACH
    clock.advance(2)
    assert others.state_of("web2-1-abcdef") == LAPSED


def test_a_directory_that_was_removed_begins_a_new_lease_of_the_length_that_it_named(
    shared_spool, clock, others
):
    own = elsewhere(shared_spool, renews=300)
    assert others.state_of(own.name) == OUT_OF_REACH
    clock.advance(299)
    lease.clear(shared_spool.dir("workers"), own.name, shared_spool.dir("tmp"))
    assert others.state_of(own.name) == OUT_OF_REACH
    clock.advance(299)
    assert others.state_of(own.name) == OUT_OF_REACH
    clock.advance(2)
    assert others.state_of(own.name) == LAPSED


def test_a_card_that_is_removed_does_not_pass_for_a_directory_that_is(shared_spool, clock, others):
    own = elsewhere(shared_spool)
    own.dir.unlink(lease.CARD)
    assert others.state_of(own.name) == OUT_OF_REACH
    clock.advance(59)
    lease.clear(shared_spool.dir("workers"), own.name, shared_spool.dir("tmp"))
    assert others.state_of(own.name) == OUT_OF_REACH
    clock.advance(59)
    assert others.state_of(own.name) == OUT_OF_REACH


@pytest.mark.parametrize("hours", [-1, 1, 24 * 365 * 20])
def test_clocks_that_differ_change_nothing(shared_spool, clock, others, hours):
    """Times in the file are of another clock: only that they change counts."""
    own = elsewhere(shared_spool, renews=60)
    path = os.path.join(own.dir.path, lease.CARD)
    then = os.stat(path).st_mtime + hours * 3600
    os.utime(path, (then, then))
    assert others.state_of(own.name) == OUT_OF_REACH
    clock.advance(59)
    os.utime(path, (then + 1, then + 1))
    assert others.state_of(own.name) == OUT_OF_REACH
    clock.advance(59)
    assert others.state_of(own.name) == OUT_OF_REACH
    clock.advance(2)
    assert others.state_of(own.name) == LAPSED


@pytest.mark.parametrize("given_lease", [None, "60", True, -5, 0, float("nan")])
def test_a_card_that_names_no_lease_has_that_of_the_settings(shared_spool, clock, given_lease):
    own = elsewhere(shared_spool, renews=0)
    path = os.path.join(own.dir.path, lease.CARD)
    with open(path, encoding="utf-8") as file:
        card = json.load(file)
    with open(path, "w", encoding="utf-8") as file:
        json.dump({**card, "lease": given_lease}, file)
    others = Neighbours(shared_spool, clock.monotonic, 40)
    assert others.state_of(own.name) == OUT_OF_REACH
    assert others.still(own.name) == 40


def test_a_worker_that_beats_is_seen_alive_by_who_looks_once(shared_spool):
    own = elsewhere(shared_spool)
    heartbeat = Heartbeat(own)
    heartbeat.start()
    try:
        (view,) = roster.workers(shared_spool)
        assert view.alive
    finally:
        heartbeat.stop()


def test_a_worker_that_does_not_is_shown_as_out_of_reach(shared_spool, monkeypatch):
    monkeypatch.setattr(neighbours, "_BEATS", 0.2)
    elsewhere(shared_spool)
    (view,) = roster.workers(shared_spool)
    assert not view.alive
    assert view.card["trouble"] == "its host is out of reach"


def test_what_has_gone_is_forgotten(shared_spool, clock, others):
    others.state_of("web2-1-abcdef")
    others.forget_all_but(["web3-1-abcdef"])
    clock.advance(61)
    assert others.state_of("web2-1-abcdef") == OUT_OF_REACH


# --- where locks stay with their host -------------------------------------------------------------


MOUNTS = {
    "nfs4": ("nfs4", "vers=4.2,local_lock=none", True),
    "nfs3": ("nfs", "vers=3,local_lock=none", True),
    "nolock": ("nfs", "vers=3,nolock,local_lock=all", False),
    "local flock": ("nfs", "vers=3,local_lock=flock", False),
    "local posix": ("nfs", "vers=3,local_lock=posix", True),
    "stale looks": ("nfs4", "vers=4.2,nocto", False),
    "cifs": ("cifs", "vers=3.1.1", True),
    "cifs without": ("cifs", "vers=3.1.1,nobrl", False),
    "sshfs": ("fuse.sshfs", "", False),
    "9p": ("9p", "trans=virtio", False),
    "lustre": ("lustre", "flock", True),
    "lustre, local": ("lustre", "localflock", False),
    "ceph": ("ceph", "", True),
    "ext4": ("ext4", "", True),
}


@pytest.mark.parametrize("name", MOUNTS)
def test_whether_locks_exclude_between_hosts_is_told_by_the_mount(monkeypatch, name):
    kind, options, exclude = MOUNTS[name]
    monkeypatch.setattr(platform, "mount", lambda path: (kind, frozenset(options.split(","))))
    assert (neighbours.why_locks_are_local("/x") == "") is exclude


@pytest.fixture
def sshfs(monkeypatch):
    monkeypatch.setattr(platform, "mount", lambda path: ("fuse.sshfs", frozenset()))
    monkeypatch.setattr(platform, "network_filesystem", lambda path: "fuse.sshfs")


def beating(own):
    heartbeat = Heartbeat(own)
    heartbeat.start()
    return heartbeat


def test_a_second_host_is_refused_where_locks_are_local(shared_spool, sshfs):
    other, own = elsewhere(shared_spool, "web2"), given.worker(shared_spool)
    heartbeat = beating(other)
    try:
        with pytest.raises(StorageFailed, match=rf"fuse.sshfs .*{other.name} of host web2 is at"):
            neighbours.refuse_second_host(shared_spool, own.name)
    finally:
        heartbeat.stop()
    own.leave()


def test_a_second_host_is_welcome_where_locks_exclude(shared_spool, monkeypatch):
    monkeypatch.setattr(platform, "mount", lambda path: ("nfs4", frozenset()))
    other, own = elsewhere(shared_spool, "web2"), given.worker(shared_spool)
    heartbeat = beating(other)
    try:
        neighbours.refuse_second_host(shared_spool, own.name)
    finally:
        heartbeat.stop()
    own.leave()


def test_what_a_dead_host_left_refuses_nobody(shared_spool, sshfs, monkeypatch):
    monkeypatch.setattr(neighbours, "_BEATS", 0.3)
    elsewhere(shared_spool, "web2")
    own = given.worker(shared_spool)
    neighbours.refuse_second_host(shared_spool, own.name)
    own.leave()


def test_a_second_worker_of_the_same_host_is_welcome(shared_spool, sshfs):
    first, own = given.worker(shared_spool), given.worker(shared_spool)
    heartbeat = beating(first)
    try:
        neighbours.refuse_second_host(shared_spool, own.name)
    finally:
        heartbeat.stop()
    for one in (first, own):
        one.leave()


def test_of_two_hosts_that_start_at_once_none_works_unseen(shared_spool, sshfs, monkeypatch):
    """Each has shown its directory before it looks, so at least one of them is refused."""
    kernels = {"web2": elsewhere(shared_spool, "web2"), "web3": elsewhere(shared_spool, "web3")}
    boots = threading.local()
    monkeypatch.setattr(platform, "boot_id", lambda: f"the kernel of {boots.host}")
    refused = []

    def start(host):
        boots.host = host
        heartbeat = beating(kernels[host])
        try:
            neighbours.refuse_second_host(shared_spool, kernels[host].name)
        except StorageFailed:
            refused.append(host)
        wait_until(lambda: refused, "a refusal")
        heartbeat.stop()

    threads = [threading.Thread(target=start, args=(host,)) for host in kernels]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert refused


def test_a_missing_lock_of_this_kernels_worker_is_told_as_that(shared_spool, others):
    own = given.worker(shared_spool)
    own.dir.unlink(lease.LOCK)
    assert others.state_of(own.name) == MISSING
    given.die(own)

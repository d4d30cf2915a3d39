"""Who is alive, told by locks that the kernel frees."""

import errno
import os
import signal
import stat
import subprocess
import sys

import pytest

from spoolq import lease, locks, names, platform, roster
from spoolq.fsio import Dir
from tests import given
from tests.conftest import environment, wait_until

_WORKER = """
import sys, time
from spoolq import lease
from spoolq.spool import SpoolDir
own = lease.Lease.start(SpoolDir.open(sys.argv[1]), {})
print(own.name, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def other(spool):
    """Another process that is a worker; killed at the end."""
    process = subprocess.Popen(
        [sys.executable, "-c", _WORKER, spool.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
        text=True,
    )
    process.worker = process.stdout.readline().strip()
    yield process
    process.kill()
    process.communicate()


@pytest.fixture
def own(spool):
    own = lease.Lease.start(spool, {"count": 2})
    yield own
    own.leave()


# --- alive or dead --------------------------------------------------------------------------------


def test_a_worker_is_alive_while_its_process_is(spool, other):
    assert lease.probe(spool, other.worker) == "held"
    other.kill()
    other.wait()
    assert lease.probe(spool, other.worker) == "free"


def test_a_stopped_worker_is_alive(spool, other):
    other.send_signal(signal.SIGSTOP)
    assert lease.probe(spool, other.worker) == "held"


def test_a_worker_that_nobody_has_heard_of_is_missing(spool):
    assert lease.probe(spool, "host-1-nobody") == "missing"


def test_a_worker_directory_without_its_lock_is_missing(spool):
    spool.dir("workers").make_dir("host-1-nobody")
    assert lease.probe(spool, "host-1-nobody") == "missing"


@pytest.mark.parametrize("make", ["file", "link", "dangling"])
def test_what_is_no_directory_is_no_worker(spool, make, tmp_path):
    path = os.path.join(spool.path, "workers", "host-1-odd")
    if make == "file":
        open(path, "w").close()
    else:
        os.symlink(str(tmp_path if make == "link" else tmp_path / "gone"), path)
    assert lease.probe(spool, "host-1-odd") == "missing"


def test_a_probe_disturbs_neither_the_worker_nor_another_probe(spool, own, other):
    for _ in range(3):
        assert lease.probe(spool, own.name) == "held"
    other.kill()
    other.wait()
    directory = spool.dir("workers").sub(other.worker)
    looking = directory.open_lock(lease.LOCK)
    assert locks.try_lock(looking, shared=True)
    assert lease.probe(spool, other.worker) == "free"
    os.close(looking)
    directory.close()


def test_a_lease_does_not_outlive_its_process_in_a_command(spool, own):
    """The worker's lock is close-on-exec: it tells of the worker, not of what it runs."""
    child = subprocess.Popen(["sleep", "1000"], close_fds=False)
    try:
        os.close(own._lock)
        wait_until(lambda: lease.probe(spool, own.name) == "free", "a free lock")
        own._lock = os.open(os.devnull, os.O_RDONLY)
    finally:
        child.kill()
        child.wait()


# --- starting and leaving -------------------------------------------------------------------------


def test_a_worker_that_starts_is_never_taken_for_dead(spool, monkeypatch):
    """At every step of a start who looks into workers/ sees nothing, or a lock that is held."""
    seen = []

    def look(event, args):
        if looking and event.split(".")[0] in ("os", "open", "fcntl"):
            looking.clear()
            workers = spool.dir("workers").list()
            seen.append([lease.probe(spool, worker) for worker in workers])
            looking.append(True)

    looking = []
    sys.addaudithook(look)
    own = None
    try:
        looking.append(True)
        own = lease.Lease.start(spool, {})
    finally:
        looking.clear()
        if own is not None:
            assert lease.probe(spool, own.name) == "held"
            own.leave()
    assert len(seen) > 5
    assert {state for states in seen for state in states} <= {"held"}


def test_while_others_start_nobody_sees_one_unlocked(spool):
    """As above, with processes: what is seen in workers/ is held until it is killed."""
    loop = """
import sys
from spoolq import lease
from spoolq.spool import SpoolDir
spool = SpoolDir.open(sys.argv[1])
kept = [lease.Lease.start(spool, {}) for _ in range(60)]
print("done", flush=True)
sys.stdin.read()
"""
    with subprocess.Popen(
        [sys.executable, "-c", loop, spool.path],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=environment(),
    ) as process:
        states = set()
        os.set_blocking(process.stdout.fileno(), False)
        while not process.stdout.read():
            states |= {lease.probe(spool, worker) for worker in spool.dir("workers").list()}
        states |= {lease.probe(spool, worker) for worker in spool.dir("workers").list()}
        process.stdin.close()
    assert states == {"held"}
    assert len(spool.dir("workers").list()) == 60


def test_a_worker_has_a_name_that_was_never_used(spool):
    leases = [lease.Lease.start(spool, {}) for _ in range(5)]
    assert len({own.name for own in leases}) == 5
    assert all(names.is_worker(own.name) for own in leases)
    for own in leases:
        own.leave()


def test_who_leaves_takes_its_directory_along(spool):
    own = lease.Lease.start(spool, {})
    os.close(own.take_slot("0"))
    own.dir.write("cancel.x", b"", sync=False)
    own.leave()
    assert spool.dir("workers").list() == []
    assert spool.dir("tmp").list() == []


def test_who_leaves_after_its_directory_was_removed_removes_nobody_elses(spool):
    own = lease.Lease.start(spool, {})
    lease.clear(spool.dir("workers"), own.name, spool.dir("tmp"))
    spool.dir("workers").make_dir(own.name)
    assert not own.is_ours()
    own.leave()
    assert spool.dir("workers").list() == [own.name]


def test_a_worker_knows_its_own_directory(spool, own, tmp_path):
    assert own.is_ours()
    aside = str(tmp_path / "aside")
    place = os.path.join(spool.path, "workers", own.name)
    os.rename(place, aside)
    assert not own.is_ours()
    os.mkdir(place)
    assert not own.is_ours()
    os.rmdir(place)
    os.rename(aside, place)
    assert own.is_ours()


def test_a_spool_that_was_moved_away_is_not_the_workers_any_more(spool, own, tmp_path):
    os.rename(spool.path, str(tmp_path / "moved"))
    os.mkdir(spool.path)
    assert not own.is_ours()
    os.rmdir(spool.path)
    os.rename(str(tmp_path / "moved"), spool.path)
    assert own.is_ours()


def test_who_leaves_with_a_claim_left_leaves_what_recovery_needs(spool, clock):
    """Its slots' locks, by which what is left of its runs is found, and the requests to it."""
    own = given.worker(spool)
    heir = subprocess.Popen(["sleep", "1000"], pass_fds=(own.take_slot("0"),))
    try:
        own.dir.write("cancel.j1", b"", sync=False)
        given.claim(spool, own, given.job(spool, "pending", given.named(clock)), clock)
        own.leave()
        assert lease.probe(spool, own.name) == "free"
        assert spool.dir("workers").list() == [own.name]
        left = os.listdir(os.path.join(spool.path, "workers", own.name))
        assert {"0.lock", "cancel.j1"} <= set(left)
    finally:
        heir.kill()
        heir.wait()


def test_a_directory_that_cannot_be_seen_just_now_has_not_been_removed(spool, own, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    with monkeypatch.context() as patch:
        patch.setattr(spool.dir("workers"), "stat", refuse)
        with pytest.raises(PermissionError):
            own.is_ours()
    assert own.is_ours()


# --- slots ----------------------------------------------------------------------------------------


def test_a_slot_is_held_by_its_descriptor(spool, own):
    slot = own.take_slot("0")
    assert lease.probe(spool, own.name, lease.slot_lock("0")) == "held"
    assert own.take_slot("0") is None
    os.close(slot)
    assert lease.probe(spool, own.name, lease.slot_lock("0")) == "free"
    os.close(own.take_slot("0"))


def test_a_slot_is_inherited_and_held_until_its_last_heir_ends(spool, own):
    slot = own.take_slot("0")
    heirs = [subprocess.Popen(["sleep", "1000"], pass_fds=(slot,)) for _ in range(2)]
    os.close(slot)
    for heir in heirs:
        assert own.take_slot("0") is None
        assert lease.probe(spool, own.name, lease.slot_lock("0")) == "held"
        heir.kill()
        heir.wait()
    os.close(own.take_slot("0"))


def test_slots_do_not_know_of_each_other(spool, own):
    slots = [own.take_slot(str(number)) for number in range(3)]
    os.close(slots[1])
    states = [lease.probe(spool, own.name, lease.slot_lock(str(n))) for n in range(4)]
    assert states == ["held", "free", "held", "missing"]
    os.close(slots[0])
    os.close(slots[2])


def test_a_slots_file_tells_of_one_claim_alone(spool, own):
    slot = own.take_slot("0")
    lease.write_slot(slot, "claim", 4711, 12.5, "boot")
    assert lease.read_slot(spool, own.name, "0", "claim")["pid"] == 4711
    assert lease.read_slot(spool, own.name, "0", "another claim") == {}
    locks.let_go(slot)
    slot = own.take_slot("0")
    lease.write_slot(slot, "c", 1, 1.5, "b")
    assert lease.read_slot(spool, own.name, "0", "c")["pid"] == 1
    os.close(slot)


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b"7", b"\xff", b'{"claim": 1}'])
def test_a_slots_file_that_says_nothing_is_no_error(spool, own, data):
    os.close(own.take_slot("0"))
    with open(os.path.join(own.dir.path, "0.lock"), "wb") as file:
        file.write(data)
    assert lease.read_slot(spool, own.name, "0", "claim") == {}
    assert lease.read_slot(spool, own.name, "1", "claim") == {}


def test_a_slot_that_cannot_be_locked_leaves_nothing_open(own, monkeypatch):
    def refuse(*_, **__):
        raise OSError(errno.ENOLCK, "No locks available")

    before = sorted(os.listdir("/proc/self/fd"))
    with monkeypatch.context() as patch:
        patch.setattr(locks, "try_lock", refuse)
        for _ in range(3):
            with pytest.raises(OSError, match="No locks"):
                own.take_slot("0")
    assert sorted(os.listdir("/proc/self/fd")) == before
    os.close(own.take_slot("0"))


# --- worker.json and requests ---------------------------------------------------------------------


def test_worker_json_tells_who_it_is(spool, own):
    card = lease.read_card(spool, own.name)
    assert (card["pid"], card["count"]) == (os.getpid(), 2)
    assert lease.read_card(spool, "host-1-nobody") == {}


def test_worker_json_is_changed_in_place_without_any_more_space(spool, own):
    before = own.dir.stat(lease.CARD)
    own.show_trouble("outcomes", "x" * 5000)
    after = own.dir.stat(lease.CARD)
    assert (before.st_ino, before.st_size) == (after.st_ino, after.st_size)
    assert lease.read_card(spool, own.name)["trouble"].startswith("xxx")
    own.show_trouble("claims", "no log can be made")
    assert lease.read_card(spool, own.name)["trouble"].startswith("xxx")
    own.show_trouble("outcomes", "")
    assert lease.read_card(spool, own.name)["trouble"] == "no log can be made"
    own.show_trouble("claims", "")
    assert lease.read_card(spool, own.name)["trouble"] == ""


def test_a_worker_opens_its_directory_again_that_a_command_has_shut(spool, own):
    path = os.path.join(spool.path, "workers", own.name)
    os.chmod(path, 0)
    own.reopen()
    assert own.is_ours()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o700


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o500, 0o200, 0o000])
def test_whatever_of_its_rights_a_directory_has_lost_its_owner_gets_them_back(spool, own, mode):
    path = os.path.join(spool.path, "workers", own.name)
    os.chmod(path, mode)
    lease.room(spool, own.name, to_write=True).close()
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o700


def test_trouble_that_could_not_be_shown_is_shown_when_it_can_be(spool, own, monkeypatch):
    def refuses(*_):
        raise OSError(errno.EMFILE, "Too many open files")

    for trouble in ("no room", ""):
        with monkeypatch.context() as patches:
            patches.setattr(lease, "open_own", refuses)
            own.show_trouble("claims", trouble)
        own.show_trouble("claims", trouble)
        assert lease.read_card(spool, own.name)["trouble"] == trouble


def test_trouble_in_any_script_leaves_worker_json_whole(spool, own):
    own.show_trouble("claims", "é" * 5000)
    own.show_trouble("outcomes", "\u202e" * 5000)
    assert lease.read_card(spool, own.name)["pid"] == os.getpid()


def test_a_directory_that_a_command_has_shut_is_opened_by_its_owner(spool, own, monkeypatch):
    path = os.path.join(spool.path, "workers", own.name)
    os.chmod(path, 0)
    real = Dir.sub

    def shut(self, name):  # root is let in whatever the mode
        if name == own.name and not os.stat(path).st_mode & 0o700:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(self, name)

    monkeypatch.setattr(Dir, "sub", shut)
    assert lease.probe(spool, own.name) == "held"
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o700


def test_requests_are_told_from_other_files(own):
    assert own.requests() == []
    for entry in ("stop", "stop.now", "cancel.a", "stopper", "x", "0.outcome"):
        own.dir.write(entry, b"", sync=False)
    assert sorted(own.requests()) == ["cancel.a", "stop", "stop.now"]


@pytest.mark.skipif(platform.WINDOWS, reason="modes and links as Unix has them")
def test_who_only_looks_at_a_worker_changes_nothing_that_can_be_read(spool):
    own = given.worker(spool)
    os.chmod(own.dir.path, 0o500)
    assert lease.probe(spool, own.name) == "held"
    assert lease.read_card(spool, own.name)["count"] == 1
    assert lease.ended_slots(spool, own.name) == set()
    assert os.stat(own.dir.path).st_mode & 0o777 == 0o500


@pytest.mark.skipif(platform.WINDOWS, reason="modes and links as Unix has them")
@pytest.mark.parametrize(
    "put", [os.mkdir, lambda path: os.symlink("/etc/passwd", path)], ids=["a directory", "a link"]
)
def test_what_stands_in_the_place_of_a_lock_is_shown_as_trouble(spool, put):
    path = os.path.join(spool.path, "workers", "bad-2-xyz")
    os.mkdir(path)
    put(os.path.join(path, "lock"))
    (view,) = roster.workers(spool)
    assert view.alive  # as recovery takes it, which leaves such a worker's claims alone
    assert view.card["trouble"].startswith("its lock is none: ")


def test_a_card_holds_no_number_that_differs_from_itself(spool):
    os.mkdir(os.path.join(spool.path, "workers", "evil-1-abc"))
    given.write(spool, "workers/evil-1-abc", "worker.json", '{"count": NaN}')
    assert lease.read_card(spool, "evil-1-abc") == {}

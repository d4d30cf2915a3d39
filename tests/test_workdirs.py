"""Directories of jobs: made before a run, kept until the end, removed whatever is in them."""

import errno
import os
import stat
import subprocess
from pathlib import Path

import pytest

from spoolq import fsio, lease, locks, workdirs
from spoolq.errors import Busy
from spoolq.job import Job
from spoolq.spool import SpoolDir
from tests import given
from tests.recording import Recording
from tests.users import NUMBER, ROOT, home, run_as  # noqa: F401 - a fixture

NEW = Job({"command": "true", "workdir": True})
RUN = {"attempt": 1, "started_at": "2026-11-24T02:06:46Z", "finished_at": "2026-11-24T02:06:47Z"}
TRIED = Job({"command": "true", "workdir": True, "history": [RUN]})
ODDITIES = {
    "a link to a directory": lambda place, outside: os.symlink(outside, place / "link"),
    "a link to a file": lambda place, outside: os.symlink(outside / "kept", place / "link"),
    "a hard link": lambda place, outside: os.link(outside / "kept", place / "hard"),
    "a FIFO": lambda place, outside: os.mkfifo(place / "fifo"),
    "a directory without rights": lambda place, outside: shut(place / "shut"),
    "a tree without rights": lambda place, outside: shut(place / "a" / "b" / "shut"),
    "itself without rights": lambda place, outside: os.chmod(place, 0),
    "names that are none": lambda place, outside: odd_names(place),
    "a tree that is very deep": lambda place, outside: deep(place, 1500),
    "many files": lambda place, outside: [(place / str(n)).touch() for n in range(3000)],
}


def shut(path):
    path.mkdir(parents=True)
    (path / "file").write_text("x")
    path.chmod(0)


def odd_names(place):
    for name in (b"-rf", b" ", b"\xff\xfe", b"new\nline", b".gone", b"*"):
        os.mkdir(os.path.join(os.fsencode(place), name))


def deep(place, levels):
    here = os.open(place, os.O_RDONLY)
    for _ in range(levels):
        os.mkdir("d", dir_fd=here)
        inner = os.open("d", os.O_RDONLY, dir_fd=here)
        os.close(here)
        here = inner
    os.close(here)


@pytest.fixture
def work(spool, tmp_path):
    """The directory work/ of a spool, with one of the job `a`."""
    workdirs.provide(spool, "a", NEW, sync=True)
    work = workdirs.opened(spool)
    yield work
    work.close()


def place_of(spool, job_id="a"):
    return Path(workdirs.path_of(job_id, spool.path))


def contents(spool):
    return sorted(os.listdir(os.path.join(spool.path, "work")))


def swept(spool, work, suspects=()):
    """Sweep and remove; return what is suspected now."""
    found = workdirs.sweep(spool, work, suspects)
    assert workdirs.remove(work, lambda: False) is None
    return found


# --- made and kept --------------------------------------------------------------------------------


def test_a_directory_is_for_its_owner_alone_in_the_spool_of_a_group_too(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root can give a spool to a group")
    spool = SpoolDir.create(str(tmp_path / "shared"), group="daemon")
    try:
        workdirs.provide(spool, "a", NEW, sync=True)
        for path in (place_of(spool), place_of(spool).parent):
            assert stat.S_IMODE(path.stat().st_mode) == 0o700
    finally:
        spool.close()


def test_what_an_attempt_has_left_is_found_by_the_next(spool, work):
    (place_of(spool) / "checkpoint").write_text("7")
    workdirs.provide(spool, "a", TRIED, sync=True)
    assert (place_of(spool) / "checkpoint").read_text() == "7"


def test_a_job_that_has_not_run_finds_nothing_of_another_that_had_its_id(spool, work):
    (place_of(spool) / "checkpoint").write_text("7")
    workdirs.provide(spool, "a", NEW, sync=True)
    assert os.listdir(place_of(spool)) == []


@pytest.mark.parametrize("sync", [True, False])
def test_that_a_directory_is_there_is_synced_where_anything_is(spool, monkeypatch, sync):
    recording = Recording(monkeypatch)
    workdirs.provide(spool, "a", NEW, sync=sync)
    synced = [event[1] for event in recording.journal if event[0] == "fsync"]
    paths = [spool.path, os.path.join(spool.path, "work")]
    assert synced == ([os.stat(path).st_ino for path in paths] if sync else [])


@pytest.mark.parametrize("kind", ["link", "file"])
def test_what_stands_in_the_place_of_work_is_no_directory_and_refused(spool, tmp_path, kind):
    outside = tmp_path / "outside"
    outside.mkdir()
    if kind == "link":
        os.symlink(outside, os.path.join(spool.path, "work"))
    else:
        (tmp_path / "spool" / "work").touch()
    with pytest.raises(OSError):
        workdirs.provide(spool, "a", NEW, sync=True)
    assert os.listdir(outside) == []


def test_a_link_in_the_place_of_a_job_s_directory_is_not_followed(spool, work, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    place_of(spool).rmdir()
    os.symlink(outside, place_of(spool))
    with pytest.raises(NotADirectoryError):
        workdirs.provide(spool, "a", TRIED, sync=True)
    workdirs.provide(spool, "a", NEW, sync=True)
    assert not place_of(spool).is_symlink()


# --- which go -------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["pending", "processing", "failed", "dead"])
def test_the_directory_of_a_job_that_is_not_over_stays(spool, work, clock, state):
    name = given.named(clock, "a")
    if state == "processing":
        name = name._replace(worker="web1-4121-x7f3", slot="0")
    given.job(spool, state, name)
    for _ in range(3):
        assert swept(spool, work, {"a"}) == set()
    assert place_of(spool).is_dir()


def test_the_directory_of_a_completed_job_goes_at_the_first_look(spool, work, clock):
    given.job(spool, "completed", given.named(clock, "a"))
    assert swept(spool, work) == set()
    assert contents(spool) == [".gone"]


def test_a_directory_that_no_job_has_goes_at_the_second_look(spool, work):
    suspects = swept(spool, work)
    assert suspects == {"a"}
    assert place_of(spool).is_dir()
    assert swept(spool, work, suspects) == set()
    assert contents(spool) == [".gone"]


def test_what_has_no_name_of_a_job_is_left_alone(spool, work):
    (place_of(spool).parent / "a b").mkdir()
    (place_of(spool).parent / ".mine").touch()
    assert swept(spool, work, swept(spool, work)) == set()
    assert contents(spool) == [".gone", ".mine", "a b"]


def test_a_directory_is_not_taken_from_a_new_job_of_its_id(spool, work, clock, monkeypatch):
    """It is enqueued between the look and the lock; while the lock is held it could not be."""
    real = locks.held

    def enqueued_before(*args, **kwargs):
        given.job(spool, "pending", given.named(clock, "a"))
        return real(*args, **kwargs)

    monkeypatch.setattr(locks, "held", enqueued_before)
    assert swept(spool, work, {"a"}) == set()
    assert place_of(spool).is_dir()


def test_nothing_goes_that_no_job_has_while_the_ids_are_held(spool, work, monkeypatch):
    monkeypatch.setattr(locks, "held", held_by_another)
    with pytest.raises(Busy):
        workdirs.sweep(spool, work, {"a"})
    assert place_of(spool).is_dir()


def held_by_another(*args, **kwargs):
    raise Busy("held")


# --- how they go ----------------------------------------------------------------------------------


@pytest.mark.parametrize("uid", [None, pytest.param(NUMBER, marks=ROOT)], ids=["tester", "user"])
@pytest.mark.parametrize("oddity", ODDITIES)
def test_whatever_a_job_has_left_goes_and_nothing_outside(home, oddity, uid):  # noqa: F811
    """As root, and as a user whom modes keep out."""
    top = Path(home(os.geteuid() if uid is None else uid, os.getegid() if uid is None else uid))

    def try_it():
        spool = SpoolDir.create(str(top / "spool"))
        outside = top / "outside"
        outside.mkdir()
        (outside / "kept").write_text("kept")
        workdirs.provide(spool, "a", NEW, sync=True)
        ODDITIES[oddity](place_of(spool), outside)
        work = workdirs.opened(spool)
        assert workdirs.dispose(work, "a")
        assert contents(spool) == [".gone"]
        failure = workdirs.remove(work, lambda: False)
        left = os.listdir(os.path.join(spool.path, "work", ".gone"))
        return [str(failure), left, (outside / "kept").read_text(), os.listdir(outside)]

    assert run_as(try_it, uid, uid) == ["None", [], "kept", ["kept"]]


@ROOT
def test_what_belongs_to_another_user_stays_and_holds_up_nothing_else(home):  # noqa: F811
    top = Path(home(NUMBER, NUMBER))

    def make():
        spool = SpoolDir.create(str(top / "spool"))
        for job_id in ("a", "b"):
            workdirs.provide(spool, job_id, NEW, sync=True)
        return True

    run_as(make, NUMBER, NUMBER)
    place = top / "spool" / "work" / "a"
    for name in ("1", "theirs", "zz"):
        (place / name).mkdir()
        os.chown(place / name, NUMBER, NUMBER)
    os.chown(place / "theirs", 0, 0)
    (place / "theirs" / "file").touch()

    def remove():
        work = workdirs.opened(SpoolDir.open(str(top / "spool")))
        for job_id in ("a", "b"):
            workdirs.dispose(work, job_id)
        return [workdirs.remove(work, lambda: False).errno, work.sub(".gone").list()]

    number, left = run_as(remove, NUMBER, NUMBER)
    assert number in (errno.EACCES, errno.EPERM)
    assert len(left) == 1
    assert os.listdir(top / "spool" / "work" / ".gone" / left[0]) == ["theirs"]


@ROOT
def test_nothing_that_is_mounted_is_entered(spool, work, tmp_path):
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    inner = place_of(spool) / "x" / "mounted"
    inner.mkdir(parents=True)
    mounted = subprocess.run(["mount", "--bind", outside, inner], capture_output=True, text=True)
    if mounted.returncode != 0:
        pytest.skip(f"nothing can be mounted here: {mounted.stderr.strip()}")
    try:
        assert workdirs.dispose(work, "a")
        assert workdirs.remove(work, lambda: False).errno in (errno.EBUSY, errno.EXDEV)
        assert (outside / "kept").read_text() == "kept"
    finally:
        subprocess.run(["umount", outside], capture_output=True)
        points = Path("/proc/self/mounts").read_text().split()
        for point in [point for point in points if "/.gone/" in point]:
            subprocess.run(["umount", point], check=True)
    assert workdirs.remove(work, lambda: False) is None


@pytest.mark.parametrize("call", ["unlink", "rename", "rmdir"])
def test_a_kill_at_any_call_leaves_what_a_later_look_removes(spool, work, monkeypatch, call):
    for n in range(1, 100):
        workdirs.provide(spool, "a", NEW, sync=False)
        for name in ("x", "y", "z"):
            (place_of(spool) / name / "deeper").mkdir(parents=True)
            (place_of(spool) / name / "file").touch()
        with monkeypatch.context() as patch:
            calls = killed_at(patch, call, n)
            try:
                workdirs.dispose(work, "a")
                workdirs.remove(work, lambda: False)
            except KeyboardInterrupt:
                pass
        workdirs.dispose(work, "a")
        assert workdirs.remove(work, lambda: False) is None
        assert contents(spool) == [".gone"]
        assert work.sub(".gone").list() == []
        if len(calls) < n:
            break
    assert n > 2


def killed_at(patch, call, n):
    calls = []
    real = getattr(os, call)

    def dying(*args, **kwargs):
        calls.append(args)
        if len(calls) >= n:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    patch.setattr(fsio.os, call, dying)
    return calls


def test_two_may_remove_at_once(spool, work, monkeypatch):
    """The other one is faster with each."""
    place_of(spool).joinpath("x").mkdir()
    workdirs.dispose(work, "a")
    real = lease.clear

    def already(parent, name, tmp):
        real(parent, name, tmp)
        real(parent, name, tmp)

    monkeypatch.setattr(lease, "clear", already)
    assert workdirs.remove(work, lambda: False) is None
    assert work.sub(".gone").list() == []


def test_removing_stops_where_it_is_enough(spool, work):
    workdirs.dispose(work, "a")
    assert workdirs.remove(work, lambda: True) is None
    assert len(work.sub(".gone").list()) == 1

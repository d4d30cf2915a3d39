"""What a member of a spool's group puts in the place of a file does no harm outside the spool."""

import os
import stat

import pytest

from spoolq import fsio, lease, logs, platform
from spoolq.spool import SpoolDir

pytestmark = pytest.mark.skipif(platform.WINDOWS, reason="it is about POSIX links and modes")


@pytest.fixture
def outside(tmp_path):
    """A file of the owner's, which no spool has anything to do with."""
    path = tmp_path / "outside"
    path.write_text("the owner's " * 200)
    path.chmod(0o640)
    return path


@pytest.fixture
def spool(tmp_path):
    with_a_group = SpoolDir.create(str(tmp_path / "spool"))
    for directory in (with_a_group.root, *map(with_a_group.dir, ("tmp", "workers", "logs"))):
        directory.file_mode = 0o660
    yield with_a_group
    with_a_group.close()


def test_no_file_outside_is_written_through_a_hard_link(spool, outside):
    text = outside.read_text()
    own = lease.Lease.start(spool, {})
    own.dir.file_mode = 0o660
    place = os.path.join(spool.path, "workers", own.name)
    os.unlink(os.path.join(place, lease.CARD))
    for name in ("0.lock", lease.CARD):
        os.link(str(outside), os.path.join(place, name))
    assert own.take_slot("0") is None
    own.show_trouble("outcomes", "some")  # in the log alone, then
    assert outside.read_text() == text
    slot = own.take_slot("1")
    assert slot is not None
    os.close(slot)
    own.leave()


@pytest.mark.parametrize("kind", ["link", "directory", "socket"])
def test_a_slot_whose_lock_is_something_else_is_not_used(spool, kind, outside):
    own = lease.Lease.start(spool, {})
    place = os.path.join(spool.path, "workers", own.name, "0.lock")
    if kind == "link":
        os.symlink(str(outside), place)
    elif kind == "directory":
        os.mkdir(place)
    else:
        os.mknod(place, stat.S_IFSOCK | 0o600)
    assert own.take_slot("0") is None
    os.rmdir(place) if kind == "directory" else os.unlink(place)
    own.leave()


def test_no_file_outside_is_shown_through_a_hard_link(spool, outside):
    name = logs.LogName("job", 1, "20200101T000000000000Z")
    os.link(str(outside), os.path.join(spool.path, "logs", str(name)))
    assert logs.tail(spool.dir("logs"), name, 100) == ""
    spool.dir("logs").file_mode = 0o600  # nobody else can link there; a copy by links may have
    assert logs.tail(spool.dir("logs"), name, 100) == outside.read_text()[-100:]


def test_no_link_in_its_place_gets_its_mode(spool, outside, monkeypatch):
    tmp = spool.dir("tmp")
    real = os.open

    def swapped(path, flags, mode=0o777, *, dir_fd=None):
        if path == "new" and os.path.isdir(os.path.join(tmp.path, "new")):
            os.rename(os.path.join(tmp.path, "new"), os.path.join(tmp.path, "old"))
            os.symlink(str(outside), os.path.join(tmp.path, "new"))
            raise PermissionError(13, "as a umask of 0777 has it", path)
        return real(path, flags, mode, dir_fd=dir_fd)

    monkeypatch.setattr(fsio.os, "open", swapped)
    with pytest.raises(OSError):
        tmp.make_dir("new")
    assert stat.S_IMODE(outside.stat().st_mode) == 0o640


def test_a_mode_is_changed_of_what_cannot_be_read_and_not_through_a_link(tmp_path, outside):
    closed = tmp_path / "closed"
    closed.mkdir(mode=0)
    platform.change_mode(str(closed), 0o700)
    assert stat.S_IMODE(closed.stat().st_mode) == 0o700
    (tmp_path / "link").symlink_to(outside)
    if platform.LINUX:
        with pytest.raises(OSError):
            platform.change_mode(str(tmp_path / "link"), 0o700)
    assert stat.S_IMODE(outside.stat().st_mode) == 0o640

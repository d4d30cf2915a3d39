"""Durable file operations, with directory descriptors and without, with renameat2 and without."""

import errno
import os
import signal
import socket
import stat
import sys

import pytest

from spoolq import Spool, fsio, names, platform
from spoolq.errors import InvalidJob
from spoolq.fsio import Dir
from spoolq.names import Name
from tests.recording import Recording, unsafe_steps

STAMP = "20261124T020646123456Z"
POSIX = pytest.mark.skipif(platform.WINDOWS, reason="it is about POSIX modes and file kinds")
ROOT = pytest.mark.skipif(platform.effective_user() != 0, reason="only root may")


class Crash(BaseException):
    """The process is gone: nothing of its code runs any more."""


def new_name(number=0):
    return Name(STAMP, 5, 0, f"job{number}")


@pytest.fixture(params=["renameat2", "no renameat2", "no directory descriptors"])
def system(request, monkeypatch):
    """The system as it is, and as others are."""
    if request.param != "renameat2":
        monkeypatch.setattr(platform, "rename_noreplace", lambda *_: False)
    if request.param == "no directory descriptors":
        monkeypatch.setattr(platform, "HAS_DIR_FD", False)
    return request.param


@pytest.fixture
def directory(system, tmp_path):
    (tmp_path / "here").mkdir()
    opened = Dir.open(str(tmp_path / "here"))
    yield opened
    opened.close()


@pytest.fixture
def other(system, tmp_path):
    (tmp_path / "there").mkdir()
    opened = Dir.open(str(tmp_path / "there"))
    yield opened
    opened.close()


@pytest.fixture
def no_leak():
    """Every descriptor that the test's code opens is closed again."""
    if not platform.LINUX:
        yield
        return
    before = set(os.listdir("/proc/self/fd"))
    yield
    assert len(os.listdir("/proc/self/fd")) == len(before)


def content(directory, name):
    return directory.read(name, 1 << 20)[0]


class TestLooking:
    def test_a_name_is_read_in_its_directory_whole(self, directory):
        directory.write("x", b"hello", sync=False)
        data, info = directory.read("x", 100)
        assert data == b"hello"
        assert info.st_size == 5
        assert directory.list() == ["x"]
        assert list(directory.scan()) == ["x"]

    def test_listing_twice_lists_all_twice(self, directory):
        for number in range(5):
            directory.write(str(number), b"", sync=False)
        assert sorted(directory.list()) == sorted(directory.list()) == list("01234")
        assert sorted(directory.scan()) == list("01234")

    def test_who_looks_no_further_hears_nothing_of_the_close(self, directory, no_leak, monkeypatch):
        """Found by a worker whose close was interrupted: Python wrote a traceback into its log."""
        close = os.close

        def interrupted(descriptor):
            close(descriptor)
            raise InterruptedError(errno.EINTR, "Interrupted system call")

        for number in range(3):
            directory.write(f"x{number}", b"", sync=False)
        unraisable = []
        monkeypatch.setattr(sys, "unraisablehook", unraisable.append)
        with monkeypatch.context() as patch:
            patch.setattr(fsio.os, "close", interrupted)
            assert any(name.startswith("x") for name in directory.scan())
            assert len([*directory.scan()]) == 3
        assert unraisable == []

    def test_of_a_longer_file_one_byte_too_many_is_read_and_no_more(self, directory):
        directory.write("x", b"x" * 100, sync=False)
        assert content(directory, "x") == b"x" * 100
        assert len(directory.read("x", 10)[0]) == 11
        assert len(directory.read("x", 100)[0]) == 100

    def test_a_dangling_link_is_an_entry(self, directory):
        os.symlink("nowhere", os.path.join(directory.path, "x"))
        assert directory.has("x")
        assert not directory.has("y")
        assert stat.S_ISLNK(directory.stat("x").st_mode)

    def test_what_is_missing_is_a_plain_not_found(self, directory):
        for look in (directory.stat, directory.open_file, directory.open_lock, directory.sub):
            with pytest.raises(FileNotFoundError):
                look("x")

    @POSIX
    @pytest.mark.parametrize(
        ("kind", "reason"),
        [
            ("link", "a symbolic link"),
            ("dangling link", "a symbolic link"),
            ("link to itself", "a symbolic link"),
            ("FIFO", "a FIFO"),
            ("directory", "a directory"),
            ("socket", "a socket"),
            pytest.param("device", "a device", marks=ROOT),
        ],
    )
    def test_what_is_no_file_is_refused_unopened(
        self, directory, kind, reason, no_leak, monkeypatch
    ):
        path = os.path.join(directory.path, "x.json")
        directory.write("target", b"secret", sync=False)
        if kind == "socket":
            monkeypatch.chdir(directory.path)  # the path of a socket must be short
            with socket.socket(socket.AF_UNIX) as made:
                made.bind("x.json")
        else:
            {
                "link": lambda: os.symlink("target", path),
                "dangling link": lambda: os.symlink("nowhere", path),
                "link to itself": lambda: os.symlink("x.json", path),
                "FIFO": lambda: os.mkfifo(path),
                "directory": lambda: os.mkdir(path),
                "device": lambda: os.mknod(path, stat.S_IFCHR | 0o600, os.makedev(1, 3)),
            }[kind]()
        opened = []
        monkeypatch.setattr(fsio.os, "open", lambda *args, **kw: opened.append(args))
        with pytest.raises(InvalidJob, match=reason):
            directory.read("x.json", 100)
        assert opened == []

    @POSIX
    def test_a_file_swapped_for_a_fifo_is_not_read(self, directory, no_leak, monkeypatch):
        path = os.path.join(directory.path, "x.json")
        directory.write("x.json", b"{}", sync=False)
        look = directory.stat

        def swapped(name):
            info = look(name)
            os.unlink(path)
            os.mkfifo(path)
            return info

        monkeypatch.setattr(directory, "stat", swapped)
        with pytest.raises(InvalidJob, match="a FIFO"):  # and does not wait for a writer
            directory.read("x.json", 100)

    @POSIX
    def test_a_file_swapped_for_a_link_is_not_followed(self, directory, no_leak, monkeypatch):
        path = os.path.join(directory.path, "x.json")
        directory.write("secret", b"secret", sync=False)
        directory.write("x.json", b"{}", sync=False)
        look = directory.stat

        def swapped(name):
            info = look(name)
            os.unlink(path)
            os.symlink("secret", path)
            return info

        monkeypatch.setattr(directory, "stat", swapped)
        with pytest.raises(OSError) as caught:
            directory.read("x.json", 100)
        assert caught.value.errno == errno.ELOOP

    @POSIX
    def test_a_lock_is_not_opened_through_a_link(self, directory):
        directory.write("target", b"", sync=False)
        os.symlink("target", os.path.join(directory.path, "lock"))
        with pytest.raises(OSError):
            directory.open_lock("lock")


class TestOpening:
    def test_a_spool_may_be_reached_through_a_link(self, system, tmp_path):
        (tmp_path / "real").mkdir()
        (tmp_path / "link").symlink_to("real")
        opened = Dir.open(str(tmp_path / "link"))
        opened.write("x", b"", sync=False)
        opened.close()
        assert (tmp_path / "real" / "x").exists()

    @POSIX
    def test_a_directory_in_it_may_not_be_a_link(self, directory, other, no_leak):
        os.symlink(other.path, os.path.join(directory.path, "pending"))
        with pytest.raises(OSError):
            directory.sub("pending")

    def test_a_file_is_no_directory(self, directory, no_leak):
        directory.write("pending", b"", sync=False)
        with pytest.raises(NotADirectoryError):
            directory.sub("pending")
        with pytest.raises(NotADirectoryError):
            Dir.open(os.path.join(directory.path, "pending"))

    def test_closing_twice_is_harmless(self, directory):
        directory.close()
        directory.close()

    @pytest.mark.skipif(not platform.HAS_DIR_FD, reason="there are no directory descriptors")
    def test_a_directory_that_was_moved_away_is_still_the_same(self, tmp_path):
        (tmp_path / "spool").mkdir()
        opened = Dir.open(str(tmp_path / "spool"))
        (tmp_path / "spool").rename(tmp_path / "elsewhere")
        (tmp_path / "spool").mkdir()
        opened.write("x", b"", sync=True)
        opened.sync()
        opened.close()
        assert (tmp_path / "elsewhere" / "x").exists()
        assert not (tmp_path / "spool" / "x").exists()

    @pytest.mark.skipif(not platform.HAS_DIR_FD, reason="there are no directory descriptors")
    def test_a_closed_directory_touches_nothing_else(self, tmp_path, monkeypatch):
        (tmp_path / "spool").mkdir()
        (tmp_path / "x").write_bytes(b"mine")
        monkeypatch.chdir(tmp_path)
        opened = Dir.open(str(tmp_path / "spool"))
        opened.close()
        with pytest.raises(OSError):
            opened.unlink("x")
        assert (tmp_path / "x").exists()


class TestMaking:
    @POSIX
    @pytest.mark.parametrize("umask", [0, 0o022, 0o077, 0o777])
    @pytest.mark.parametrize(("file_mode", "dir_mode"), [(0o600, 0o700), (0o660, 0o2770)])
    def test_modes_are_the_same_whatever_the_umask(self, tmp_path, umask, file_mode, dir_mode):
        opened = Dir.open(str(tmp_path), file_mode)
        before = os.umask(umask)
        try:
            os.close(opened.create("file"))
            opened.make_dir("directory")
        finally:
            assert os.umask(before) == umask
        assert stat.S_IMODE(opened.stat("file").st_mode) == file_mode
        assert stat.S_IMODE(opened.stat("directory").st_mode) == dir_mode
        opened.close()

    @POSIX
    @ROOT
    def test_what_root_makes_belongs_to_the_owner_that_is_asked_for(self, tmp_path):
        opened = Dir.open(str(tmp_path), 0o600, (12345, 12346))
        opened.write("file", b"x", sync=False)
        opened.make_dir("directory")
        for name in ("file", "directory"):
            info = opened.stat(name)
            assert (info.st_uid, info.st_gid) == (12345, 12346)
        opened.close()

    @POSIX
    def test_a_file_that_cannot_be_given_to_its_owner_is_not_left_behind(
        self, directory, no_leak, monkeypatch
    ):
        def refuse(*_):
            raise PermissionError(errno.EPERM, "not yours")

        directory.owner = (12345, 12345)
        monkeypatch.setattr(fsio.os, "fchown", refuse)
        with pytest.raises(PermissionError):
            directory.write("x", b"x", sync=False)
        assert directory.list() == []

    def test_a_name_that_is_taken_is_refused_if_only_by_a_dangling_link(self, directory, no_leak):
        os.symlink("nowhere", os.path.join(directory.path, "x"))
        with pytest.raises(FileExistsError):
            directory.create("x")
        assert not directory.has("nowhere")
        directory.make_dir("y")
        with pytest.raises(FileExistsError):
            directory.make_dir("y")

    def test_a_write_that_the_system_makes_in_pieces_is_whole(self, directory, monkeypatch):
        real = os.write
        monkeypatch.setattr(fsio.os, "write", lambda fd, data: real(fd, data[:3]))
        directory.write("x", b"0123456789", sync=False)
        assert content(directory, "x") == b"0123456789"

    def test_a_read_that_the_system_makes_in_pieces_is_whole(self, directory, monkeypatch):
        directory.write("x", b"0123456789", sync=False)
        real = os.read
        monkeypatch.setattr(fsio.os, "read", lambda fd, size: real(fd, min(size, 3)))
        assert content(directory, "x") == b"0123456789"

    @pytest.mark.parametrize("call", ["write", "fdatasync"])
    def test_after_an_error_there_is_no_such_file(self, directory, no_leak, call, monkeypatch):
        recording = Recording(monkeypatch)
        recording.fail(call, OSError(errno.ENOSPC, "full"))
        with pytest.raises(OSError):
            directory.write("x", b"x", sync=True)
        assert directory.list() == []

    @pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="there is no such limit")
    def test_a_file_that_a_limit_cuts_short_is_no_file(self, directory, no_leak):
        import resource

        before = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, before[1]))
        try:
            with pytest.raises(OSError) as caught:
                directory.write("x", b"x" * 300, sync=True)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, before)
        assert caught.value.errno == errno.EFBIG
        assert directory.list() == []


class TestChanging:
    def test_rename_replaces(self, directory, other):
        directory.write("a", b"new", sync=False)
        other.write("b", b"old", sync=False)
        directory.rename("a", other, "b")
        assert content(other, "b") == b"new"
        assert directory.list() == []

    def test_move_moves(self, directory, other):
        directory.write("a", b"a", sync=False)
        directory.move("a", other, "b")
        assert (directory.list(), content(other, "b")) == ([], b"a")

    @pytest.mark.parametrize("way", ["move", "publish"])
    def test_nothing_is_written_over(self, directory, other, way):
        directory.write("a", b"new", sync=False)
        other.write("b", b"old", sync=False)
        with pytest.raises(FileExistsError):
            getattr(directory, way)("a", other, "b")
        assert content(other, "b") == b"old"
        assert content(directory, "a") == b"new"

    @pytest.mark.parametrize("way", ["move", "publish", "rename"])
    def test_who_comes_second_is_told_that_it_is_gone(self, directory, other, way):
        with pytest.raises(FileNotFoundError):
            getattr(directory, way)("a", other, "b")
        assert other.list() == []

    def test_move_refuses_a_taken_name_without_renameat2(self, tmp_path, monkeypatch):
        monkeypatch.setattr(platform, "rename_noreplace", lambda *_: False)
        opened = Dir.open(str(tmp_path))
        opened.write("a", b"new", sync=False)
        for number, make in enumerate(
            (
                lambda name: opened.write(name, b"old", sync=False),
                lambda name: os.symlink("nowhere", tmp_path / name),
                lambda name: os.mkdir(tmp_path / name),
            )
        ):
            make(f"b{number}")
            with pytest.raises(FileExistsError):
                opened.move("a", opened, f"b{number}")
        assert sorted(opened.list()) == ["a", "b0", "b1", "b2"]
        opened.move("a", opened, "free")
        assert content(opened, "free") == b"new"
        opened.close()

    def test_move_without_renameat2_never_shows_two_names(self, tmp_path, monkeypatch):
        monkeypatch.setattr(platform, "rename_noreplace", lambda *_: False)
        monkeypatch.setattr(fsio.os, "link", None)  # a link and an unlink would show two
        opened = Dir.open(str(tmp_path))
        opened.write("a", b"a", sync=False)
        opened.move("a", opened, "b")
        assert opened.list() == ["b"]
        opened.close()

    @pytest.mark.parametrize("dir_fd", [True, False])
    def test_publish_without_renameat2_survives_a_crash_between_link_and_unlink(
        self, tmp_path, monkeypatch, dir_fd
    ):
        monkeypatch.setattr(platform, "rename_noreplace", lambda *_: False)
        monkeypatch.setattr(platform, "HAS_DIR_FD", platform.HAS_DIR_FD and dir_fd)
        for name in ("tmp", "pending"):
            (tmp_path / name).mkdir()
        tmp, pending = Dir.open(str(tmp_path / "tmp")), Dir.open(str(tmp_path / "pending"))
        tmp.write("job", b"whole", sync=True)

        def crash(*_, **__):
            raise Crash

        with monkeypatch.context() as dying:
            dying.setattr(fsio.os, "unlink", crash)
            with pytest.raises(Crash):
                tmp.publish("job", pending, "job")
        assert content(pending, "job") == b"whole"
        assert tmp.list() == ["job"]  # litter, of no state
        with pytest.raises(FileExistsError):
            tmp.publish("job", pending, "job")
        tmp.unlink("job")  # the sweep
        assert content(pending, "job") == b"whole"
        tmp.close()
        pending.close()

    def test_publish_without_renameat2_leaves_one_name(self, directory, other):
        directory.write("a", b"a", sync=False)
        directory.publish("a", other, "b")
        assert directory.list() == []
        assert other.stat("b").st_nlink == 1

    def test_removing_what_is_gone_tells_or_keeps_silent(self, directory):
        directory.discard("x")
        with pytest.raises(FileNotFoundError):
            directory.unlink("x")
        directory.write("x", b"", sync=False)
        directory.discard("x")
        assert not directory.has("x")

    def test_only_an_empty_directory_is_removed(self, directory):
        directory.make_dir("d")
        inner = directory.sub("d")
        inner.write("x", b"", sync=False)
        with pytest.raises(OSError):
            directory.rmdir("d")
        inner.unlink("x")
        inner.close()
        directory.rmdir("d")
        assert directory.list() == []


MANY = fsio._SYNC_TOGETHER


class TestWritingTogether:
    @pytest.mark.parametrize("count", [0, 1, MANY - 1, MANY, MANY + 1])
    @pytest.mark.parametrize("sync", [True, False])
    @pytest.mark.parametrize("syncfs", [True, False])
    def test_all_are_written(self, directory, no_leak, count, sync, syncfs, monkeypatch):
        if not syncfs:
            monkeypatch.setattr(platform, "sync_filesystem", lambda _: False)
        files = {str(number): b"%d" % number for number in range(count)}
        fsio.write_together(directory, files, sync=sync)
        assert {name: content(directory, name) for name in directory.list()} == files

    @pytest.mark.parametrize("count", [3, MANY])
    @pytest.mark.parametrize("step", ["write", "sync"])
    @pytest.mark.parametrize("error", [OSError(errno.EIO, "broken"), Crash()])
    def test_after_an_error_there_are_none(
        self, directory, no_leak, count, step, error, monkeypatch
    ):
        recording = Recording(monkeypatch)
        if step == "write":
            recording.fail("write", error, 2)
        elif count >= MANY and directory.fd >= 0:
            recording.fail("sync_filesystem", error)
        else:
            recording.fail("fdatasync", error, 2)
        with pytest.raises(type(error)):
            fsio.write_together(directory, {str(n): b"x" for n in range(count)}, sync=True)
        assert directory.list() == []

    def test_a_name_that_is_taken_takes_the_others_back_and_stays(self, directory, no_leak):
        directory.write("1", b"old", sync=False)
        with pytest.raises(FileExistsError):
            fsio.write_together(directory, {"0": b"x", "1": b"x", "2": b"x"}, sync=True)
        assert directory.list() == ["1"]
        assert content(directory, "1") == b"old"


class TestSyncing:
    """What a power cut could lose, by the order of the system calls; each with its control."""

    def publish(self, spool, count):
        spool.publish({new_name(number): b"{}" for number in range(count)})

    @pytest.mark.parametrize("count", [1, 3, MANY, MANY + 1])
    @pytest.mark.parametrize("way", ["syncfs", "no syncfs"])
    def test_published_jobs_survive_a_power_cut(self, system, spool, count, way, monkeypatch):
        if way == "no syncfs":
            monkeypatch.setattr(platform, "sync_filesystem", lambda _: False)
        recording = Recording(monkeypatch)
        self.publish(spool, count)
        assert unsafe_steps(recording.journal) == []
        assert len(spool.dir("pending").list()) == count

    def test_an_id_is_told_after_the_last_sync(self, spool, monkeypatch):
        with Spool(spool.path) as front:
            monkeypatch.setattr(front, "_note_last", lambda _: None)  # a hint that may be lost
            recording = Recording(monkeypatch)
            told = front.enqueue("true")
            assert unsafe_steps(recording.journal) == []
            assert names.id_in(spool.dir("pending").list()[0]) == told

    @pytest.mark.parametrize(
        ("count", "left_out"), [(1, "fdatasync"), (MANY, "sync_filesystem"), (1, "fsync")]
    )
    def test_the_check_notices_a_sync_that_is_left_out(self, spool, count, left_out, monkeypatch):
        recording = Recording(monkeypatch, without=[left_out])
        self.publish(spool, count)
        assert unsafe_steps(recording.journal) != []

    def test_the_check_notices_a_sync_that_comes_too_late(self):
        early = [("write", 1, "file"), ("fdatasync", 1, "file"), ("rename", 1, 2)]
        late = [early[0], early[2], early[1]]
        synced = ("fsync", 2, "directory")
        assert unsafe_steps([*early, synced]) == []
        assert unsafe_steps([*late, synced]) == ["renamed before its data were synced"]
        assert unsafe_steps([synced, *early]) == ["told before the directory was synced"]
        assert unsafe_steps([*early, ("fsync", 3, "directory")]) != []

    def test_without_durability_the_check_finds_what_can_be_lost(self, spool, monkeypatch):
        recording = Recording(monkeypatch)
        spool.publish({new_name(): b"{}"}, durability="none")
        assert len(unsafe_steps(recording.journal)) == 2

    def test_one_job_costs_one_write_one_rename_and_two_syncs(self, spool, monkeypatch):
        recording = Recording(monkeypatch)
        self.publish(spool, 1)
        assert [event[0] for event in recording.journal] == [
            "write",
            "fdatasync",
            "rename_noreplace",
            "fsync",
        ]
        pending = spool.dir("pending").stat().st_ino
        assert recording.journal[-1] == ("fsync", pending, "directory")

    def test_a_batch_shares_its_syncs(self, spool, monkeypatch):
        recording = Recording(monkeypatch)
        self.publish(spool, MANY)
        calls = [event[0] for event in recording.journal]
        assert calls == ["write"] * MANY + ["sync_filesystem"] + ["rename_noreplace"] * MANY + [
            "fsync"
        ]

    @pytest.mark.parametrize("count", [1, 3, MANY])
    def test_after_a_failed_sync_no_file_is_synced_again(self, spool, count, monkeypatch):
        monkeypatch.setattr(platform, "sync_filesystem", lambda _: False)
        recording = Recording(monkeypatch)
        recording.fail("fdatasync", OSError(errno.EIO, "broken"))
        with pytest.raises(Exception, match="broken"):
            self.publish(spool, count)
        calls = [event[0] for event in recording.journal]
        assert calls.count("fdatasync") == 1
        assert "rename_noreplace" not in calls
        assert spool.dir("tmp").list() == spool.dir("pending").list() == []

    def test_the_data_are_synced_where_there_is_no_fdatasync(self, directory, monkeypatch):
        recording = Recording(monkeypatch)
        monkeypatch.setattr(fsio.os, "_module", _WithoutFdatasync())
        del fsio.os._replaced["fdatasync"]
        directory.write("x", b"x", sync=True)
        assert [event[0] for event in recording.journal] == ["write", "fsync"]

    def test_a_directory_is_synced_by_itself(self, directory, no_leak, monkeypatch):
        recording = Recording(monkeypatch)
        directory.sync()
        inode = os.stat(directory.path).st_ino
        assert recording.journal == [("fsync", inode, "directory")]

    def test_a_system_that_cannot_sync_directories_is_not_asked_to(self, directory, monkeypatch):
        monkeypatch.setattr(platform, "can_sync_directories", lambda: False)
        recording = Recording(monkeypatch)
        directory.sync()
        assert recording.journal == []

    def test_a_failed_sync_of_a_directory_is_told(self, directory, no_leak, monkeypatch):
        recording = Recording(monkeypatch)
        recording.fail("fsync", OSError(errno.EIO, "broken"))
        with pytest.raises(OSError):
            directory.sync()


class _WithoutFdatasync:
    def __getattr__(self, name):
        if name == "fdatasync":
            raise AttributeError(name)
        return getattr(os, name)

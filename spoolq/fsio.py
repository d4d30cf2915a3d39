"""Durable file operations: the only place that renames, links, unlinks or syncs.

Every operation takes an open `Dir` and a plain name, so nothing that happens to a path in between
(a link put in its place, a spool moved away) leads it astray, and a fault test has one seam: it
replaces `fsio.os` and `fsio.platform` and lets the n-th call fail or die.

Assumed of the filesystem: rename is atomic through a power cut, and fsync works. After a failed
fsync the same file is never synced again: the kernel may have dropped its data and call it clean.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from operator import attrgetter
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

from spoolq import platform
from spoolq.errors import InvalidJob

_NEW = os.O_CREAT | os.O_EXCL | os.O_RDWR
_CREATE = _NEW | (platform.SAFE_OPEN & ~getattr(os, "O_NONBLOCK", 0))
_OPEN_DIR = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | platform.SAFE_OPEN
_SYNC_TOGETHER = 24  # from so many files on, one sync of the filesystem is cheaper (measured)


class Dir:
    """A directory held open; names in it are looked up in it, wherever its path leads by now.

    `file_mode` and `owner` are given to what is made in it, whatever the umask and the user: root
    leaves files that the spool's owner can run.
    """

    def __init__(
        self, path: str, descriptor: int, file_mode: int, owner: Optional[Tuple[int, int]]
    ) -> None:
        self.path = path
        self.fd = descriptor
        self.file_mode = file_mode
        self.owner = owner
        self._at: Dict[str, int] = {"dir_fd": descriptor} if platform.HAS_DIR_FD else {}

    @classmethod
    def open(
        cls, path: str, file_mode: int = 0o600, owner: Optional[Tuple[int, int]] = None
    ) -> Dir:
        """Open a directory by its path; a link as its last part is followed."""
        descriptor = -1
        if platform.HAS_DIR_FD:
            descriptor = os.open(path, _OPEN_DIR & ~getattr(os, "O_NOFOLLOW", 0))
        elif not os.path.isdir(path):
            raise NotADirectoryError(20, "not a directory", path)
        return cls(path, descriptor, file_mode, owner)

    def sub(self, name: str) -> Dir:
        """Open a directory in this one; a link is refused.

        Raises:
            OSError: it is not there, or not a directory.
        """
        path = os.path.join(self.path, name)
        descriptor = -1
        if platform.HAS_DIR_FD:
            descriptor = os.open(name, _OPEN_DIR, dir_fd=self.fd)
        elif not stat.S_ISDIR(os.lstat(path).st_mode):
            raise NotADirectoryError(20, "not a directory", path)
        return type(self)(path, descriptor, self.file_mode, self.owner)

    def close(self) -> None:
        """Let the directory go; closing twice is harmless."""
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
            self._at = {"dir_fd": -1}

    def name(self, name: str) -> str:
        """Return how to name an entry in a system call beside `at`."""
        return name if self._at else os.path.join(self.path, name)

    # --- looking ----------------------------------------------------------------------------------

    def list(self) -> List[str]:
        """Return the names of all entries, in no order.

        A fresh descriptor each time: btrfs lists nothing that came after the opening.
        """
        if not self._at:
            return os.listdir(self.path)
        descriptor = self._open_anew()
        try:
            return os.listdir(descriptor)
        finally:
            os.close(descriptor)

    def scan(self) -> Iterator[str]:
        """Yield the names of all entries, in no order, without holding them all."""
        return map(attrgetter("name"), self.entries())

    def entries(self) -> Iterator[os.DirEntry[str]]:
        """Yield all entries with their kinds, in no order."""
        descriptor = self._open_anew() if self._at else -1
        try:
            with os.scandir(descriptor if self._at else self.path) as entries:
                yield from entries
        finally:
            with suppress(OSError):  # it was but read; and who reads no further is told of nothing
                os.close(descriptor)

    def _open_anew(self) -> int:
        try:
            return os.open(".", _OPEN_DIR, dir_fd=self.fd)
        except OSError as error:
            error.filename = self.path  # "." tells nobody where
            raise

    def stat(self, name: str = ".") -> os.stat_result:
        """Return what an entry is, itself and not what it links to."""
        return os.stat(self.name(name), follow_symlinks=False, **self._at)

    def has(self, name: str) -> bool:
        """Say whether there is an entry of this name, of whatever kind."""
        try:
            self.stat(name)
        except FileNotFoundError:
            return False
        return True

    def open_file(self, name: str) -> int:
        """Open a regular file to read, following no link, waiting on no FIFO; errors as `read`."""
        _refuse_irregular(self.stat(name))  # before the open: opening a device has effects
        descriptor = os.open(self.name(name), os.O_RDONLY | platform.SAFE_OPEN, **self._at)
        try:
            # RACE: another file may have taken the name between the two
            # (test_a_file_swapped_for_a_fifo_is_not_read).
            _refuse_irregular(os.fstat(descriptor))
        except BaseException:
            os.close(descriptor)
            raise
        return descriptor

    def open_lock(self, name: str) -> int:
        """Open a file that exists for locking; exclusive locks on NFS need it open for writing."""
        flags = os.O_RDWR | platform.SAFE_OPEN
        return os.open(self.name(name), flags, **self._at)

    def read(self, name: str, limit: int) -> Tuple[bytes, os.stat_result]:
        """Read a regular file; of a longer one `limit` + 1 bytes.

        Raises:
            InvalidJob: it is not a regular file.
            OSError: it is not there, or not for this user.
        """
        descriptor = self.open_file(name)
        try:
            return read_all(descriptor, limit), os.fstat(descriptor)
        finally:
            os.close(descriptor)

    # --- making -----------------------------------------------------------------------------------

    def create(self, name: str) -> int:
        """Create a file, open to read and write; FileExistsError by a dangling link even."""
        descriptor = os.open(self.name(name), _CREATE, self.file_mode, **self._at)
        try:
            self._adopt(descriptor)
        except BaseException:
            os.close(descriptor)
            self.tidy(name)
            raise
        return descriptor

    def make_dir(self, name: str) -> None:
        """Make a directory with this one's owner, its mode by `file_mode`; or FileExistsError."""
        os.mkdir(self.name(name), 0o700, **self._at)
        if platform.HAS_DIR_FD:
            try:
                descriptor = os.open(name, _OPEN_DIR, dir_fd=self.fd)
            except PermissionError:  # the umask took even the owner's bits
                # RACE: a member may put a link there (test_no_link_in_its_place_gets_its_mode).
                platform.change_mode(name, 0o700, self.fd)
                descriptor = os.open(name, _OPEN_DIR, dir_fd=self.fd)
            try:
                platform.own_directory(descriptor, self.file_mode, self.owner)
            finally:
                os.close(descriptor)

    def write(self, name: str, data: bytes, *, sync: bool) -> None:
        """Create a file that holds `data`, or none: after an error there is no such file."""
        write_together(self, {name: data}, sync=sync)

    def _adopt(self, descriptor: int) -> None:
        if platform.WINDOWS:
            return
        if self.owner is not None:
            os.fchown(descriptor, *self.owner)
        if os.fstat(descriptor).st_mode & 0o7777 != self.file_mode:
            os.fchmod(descriptor, self.file_mode)

    # --- changing ---------------------------------------------------------------------------------

    def rename(self, name: str, target: Dir, new_name: str) -> None:
        """Rename; what has the new name already is replaced.

        Raises:
            FileNotFoundError: somebody else was faster.
        """
        if self._at:
            os.rename(name, new_name, src_dir_fd=self.fd, dst_dir_fd=target.fd)
        else:
            os.replace(self.name(name), target.name(new_name))

    def replace(self, name: str, target: Dir, new_name: str, data: bytes) -> None:
        """Rename a file that holds `data` over another."""
        self.rename(name, target, new_name)

    def move(self, name: str, target: Dir, new_name: str) -> None:
        """Rename, and never over what is there already.

        Raises:
            FileExistsError: the new name is taken.
            FileNotFoundError: somebody else was faster.
        """
        at = (self.fd, target.fd) if self._at else (None, None)
        if platform.rename_noreplace(self.name(name), target.name(new_name), *at):
            return
        # RACE: without renameat2 the check and the rename are two steps. Two jobs of one id and
        # one microsecond would have to meet in between; a link and an unlink would instead show
        # one job in two states (test_move_refuses_a_taken_name_without_renameat2).
        if target.has(new_name):
            raise FileExistsError(17, "exists", new_name)
        self.rename(name, target, new_name)

    def publish(self, name: str, target: Dir, new_name: str) -> None:
        """Move a finished file out of tmp/, never over what is there already.

        As `move`, but exact on every filesystem: a second name in tmp/ does no harm.
        """
        at = (self.fd, target.fd) if self._at else (None, None)
        if platform.rename_noreplace(self.name(name), target.name(new_name), *at):
            return
        if self._at:
            os.link(name, new_name, src_dir_fd=self.fd, dst_dir_fd=target.fd)
        else:
            os.link(self.name(name), target.name(new_name))
        # CRASH: the second name stays in tmp/ until it is swept
        # (test_publish_without_renameat2_survives_a_crash_between_link_and_unlink).
        self.tidy(name)

    def unlink(self, name: str) -> None:
        """Remove a file.

        Raises:
            FileNotFoundError: it is gone already.
        """
        os.unlink(self.name(name), **self._at)

    def discard(self, name: str) -> None:
        """Remove a file if it is there."""
        try:
            self.unlink(name)
        except FileNotFoundError:
            pass

    def tidy(self, name: str) -> None:
        """Remove a file that is of no use any more, if it can be: litter in tmp/ is swept later.

        For the way out of a failure, which must not hide what went wrong first.
        """
        try:
            self.unlink(name)
        except OSError:
            pass  # gone already, or the disk is in trouble: whoever asked is told of that

    def rmdir(self, name: str) -> None:
        """Remove an empty directory."""
        os.rmdir(self.name(name), **self._at)

    # --- syncing ----------------------------------------------------------------------------------

    def sync(self) -> None:
        """Make the names in this directory durable.

        Raises:
            OSError: they may or may not survive a power cut; the filesystem is in trouble.
        """
        if not platform.can_sync_directories():
            return
        descriptor = self.fd if self._at else os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            if not self._at:
                os.close(descriptor)

    def sync_moves(self, *, names: bool = True) -> None:
        """As `sync`, where files have replaced others, or are to: here, or before they moved here.

        On btrfs a sync of less than the whole filesystem brings back what they replaced: one job in
        two states, in 745 of 1,107 replayed power cuts. So that is synced, even without `names`.
        """
        if not self.sync_all_of_btrfs() and names:
            self.sync()

    def sync_all_of_btrfs(self) -> bool:
        """Sync the whole filesystem if it is btrfs; True if that tells of all errors."""
        if self.fd >= 0 and platform.is_btrfs(self.fd):
            if platform.sync_filesystem(self.fd):
                return True
            os.sync()  # what is synced by itself after that is clean, and tells of its errors
        return False


def read_all(descriptor: int, limit: int) -> bytes:
    """Read a file that was just opened; of a longer one `limit` + 1 bytes."""
    parts = []
    left = limit + 1
    while left:
        part = os.read(descriptor, min(left, 1 << 20))
        if not part:
            break
        parts.append(part)
        left -= len(part)
    return b"".join(parts)


def write_all(descriptor: int, data: bytes) -> None:
    """Write all of `data`, however many writes the system makes of it."""
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]


def sync_data(descriptor: int) -> None:
    """Make an open file's data, and the size that reading it needs, durable."""
    if not platform.sync_drive(descriptor):
        getattr(os, "fdatasync", os.fsync)(descriptor)


def write_together(directory: Dir, files: Dict[str, bytes], *, sync: bool) -> None:
    """Create many files with shared syncs: all of them, or after an error none."""
    made = []
    try:
        for name, data in files.items():
            descriptor = directory.create(name)
            made.append(name)
            try:
                write_all(descriptor, data)
                if sync and len(files) == 1:
                    sync_data(descriptor)
            finally:
                os.close(descriptor)
        if sync and len(files) > 1:
            sync_together(directory, made)
    except BaseException:
        for name in made:
            directory.tidy(name)
        raise


def sync_together(directory: Dir, names: Sequence[str]) -> None:
    """Make the data of files durable that have been written, with as few syncs as may be.

    Source: on ext4, xfs and btrfs neither fdatasync of each nor one syncfs for all, before the
    renames, lost a file in replayed power cuts; O_TMPFILE with linkat and git's batch trick do.
    """
    is_many = len(names) >= _SYNC_TOGETHER and directory.fd >= 0
    if is_many and platform.sync_filesystem(directory.fd):
        return
    opened = directory.open_lock if platform.WINDOWS else directory.open_file  # to write, there
    for start in range(0, len(names), _SYNC_TOGETHER):
        descriptors: List[int] = []
        try:
            for name in names[start : start + _SYNC_TOGETHER]:
                descriptors.append(opened(name))
            sync_files(descriptors)
        finally:
            for descriptor in descriptors:
                os.close(descriptor)


def sync_files(descriptors: Sequence[int]) -> None:
    """Make the data of open files durable.

    All are on their way before the first is waited for, so that one commit of the filesystem's
    journal does for them all: 4 ms for 10 files on ext4 where it was 11 (tests/benchmarks).
    """
    if len(descriptors) > 1:
        for descriptor in descriptors:
            platform.begin_writing_out(descriptor)
    for descriptor in descriptors:
        sync_data(descriptor)


def _refuse_irregular(info: os.stat_result) -> None:
    if not stat.S_ISREG(info.st_mode):
        kinds = {stat.S_IFDIR: "a directory", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
        kinds[stat.S_IFLNK] = "a symbolic link"
        kind = kinds.get(stat.S_IFMT(info.st_mode), "a device")
        raise InvalidJob(f"not a file but {kind}")

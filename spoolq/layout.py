"""Where everything in a spool is, and how a spool is opened and made.

The directories are held open, so nothing that happens to a path meanwhile leads a move astray.
`storage_error` is the one place where what the filesystem says becomes what the caller can do.
"""

from __future__ import annotations

import errno
import os
import shlex
import stat
from contextlib import contextmanager
from typing import Callable, Dict, Iterator, List, Optional, Tuple, Type, TypeVar

from spoolq import config, names, platform
from spoolq.errors import (
    BadInput,
    InvalidJob,
    InvalidSetting,
    NoSpool,
    SpoolqError,
    StorageFailed,
    StorageFull,
    WorkerLost,
)
from spoolq.fsio import Dir
from spoolq.shared import SharedDir

STATES = ("pending", "processing", "failed", "completed", "dead")
DIRECTORIES = ("tmp", *STATES, "logs", "workers")
PAUSED = "paused"

#: How a file begins that rings for the workers: made in pending/, and removed at once.
BELL = ".bell-"

#: A job on the move is missed by a listing only if it moves against this order.
LOOK_ORDER = ("pending", "processing", "failed", "completed", "dead", "pending")

README = """\
This directory is a job queue of spoolq. Each job is a JSON file; its state is the directory
it is in. Look with ls and cat; add a job with: mv job.json pending/
  pending/     waits to run, not before the time in its name
  processing/  runs now; take nothing out of here, use: spoolq cancel ID
  failed/      its last attempt failed; it is tried again at the time in its name
  completed/   succeeded
  dead/        failed for good, was cancelled, or is not a job (spoolq dlq list says why)
  logs/        what the commands printed
  workers/     one directory for each worker; tmp/ holds files in the making
Who can write here can run commands as its worker: keep the permissions as they are.
"""


def storage_error(error: OSError, path: str) -> SpoolqError:
    """Translate what the filesystem said into what the caller can do."""
    place = error.filename if isinstance(error.filename, str) and error.filename else ""
    where = os.path.join(path, place) if place else path
    text = f"{error.strerror or error}: {where}"
    if error.errno in platform.FULL_ERRNOS:
        return StorageFull(text, hint=advice(error))
    return StorageFailed(text, hint=advice(error))


_ADVICE = {
    errno.ENOENT: "is the path right, and what is above it there?  ls -ld shows it",
    errno.ENOTDIR: "something in that path is a file, and no directory",
    errno.EACCES: "who you are, and what you may:  id; ls -ld of that path and of those above it",
    errno.EPERM: "who you are, and what you may:  id; ls -ld of that path and of those above it",
    errno.EROFS: "that filesystem can only be read; name another place with --spool",
    errno.ELOOP: "a symbolic link in that path leads to itself",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EMFILE: "too many files are open; a higher limit:  ulimit -n",
    errno.ENFILE: "too many files are open on this machine",
}


def advice(error: OSError) -> Optional[str]:
    """Return what a person can do about what the filesystem said."""
    if error.errno in platform.FULL_ERRNOS:
        return "free some space, then try again"
    if error.errno == errno.EIO:
        return "the disk fails, or its filesystem has shut down: dmesg says why"
    place = os.path.basename(error.filename) if isinstance(error.filename, str) else ""
    if error.errno == errno.ENOENT and place in DIRECTORIES:
        return "spoolq doctor --repair makes it anew"
    return _ADVICE.get(error.errno or 0)


def words(error: Exception) -> str:
    """Return what went wrong, for a log: without numbers, and of a failing disk that it fails."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    place = f": {error.filename}" if isinstance(error.filename, str) and error.filename else ""
    meaning = f" ({advice(error)})" if error.errno == errno.EIO else ""
    return f"{error.strerror}{place}{meaning}"


def has_pending(path: str) -> bool:
    """Say whether there is a pending/ in a directory, which makes it a spool.

    Raises:
        OSError: the disk does not tell; that is not the same as none.
    """
    try:
        return stat.S_ISDIR(os.stat(os.path.join(path, "pending")).st_mode)
    except OSError as error:
        if error.errno in platform.FAILING_ERRNOS:
            raise
        return False
    except ValueError:
        return False


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Turn an OSError of the body into an error of ours."""
    try:
        yield
    except OSError as error:
        raise storage_error(error, path) from error


def put_away(directory: Dir, name: str, tmp: Dir) -> None:
    """Remove what has this name, if anything has: a file, or whatever a command has put there.

    A directory goes to `tmp` by one rename, with all that it holds, and is swept there.
    """
    try:
        return directory.discard(name)
    except (IsADirectoryError, PermissionError):  # the latter where unlink(2) says it so
        if platform.WINDOWS or not stat.S_ISDIR(directory.stat(name).st_mode):
            raise
    litter = os.urandom(8).hex()
    try:
        directory.rename(name, tmp, litter)
    except PermissionError:  # to move a directory, its owner must be able to write in it
        platform.change_mode(
            directory.name(name), 0o700, directory.fd if directory.fd >= 0 else None
        )
        directory.rename(name, tmp, litter)
    except FileNotFoundError:
        if directory.has(name):  # it is tmp/ that is not there; else somebody else was faster
            raise


class unless_removed:
    """Turn an OSError of the body into a lost worker if the worker's directory was removed."""

    def __init__(self, directory: Dir) -> None:
        self._directory = directory

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: object, error: Optional[BaseException], trace: object) -> None:
        if isinstance(error, OSError) and self._is_removed():
            what = f"{self._directory.path} was removed: the claims of this worker are lost"
            raise WorkerLost(what) from error

    def _is_removed(self) -> bool:
        """Say whether it was; a disk that does not tell has not removed it."""
        try:
            there = Dir.open(self._directory.path)  # asks a server, where a look may be outdated
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:
            return False
        try:
            return not os.path.samestat(there.stat(), self._directory.stat())
        except OSError as error:
            return error.errno == errno.ESTALE  # held open, and another is there
        finally:
            there.close()


def _make_path(path: str) -> None:
    """Make a directory for this user alone, and what is missing above it, whatever the umask.

    What is made above is as the umask says, but its owner may enter and nobody else may write.
    """
    missing: List[str] = []
    above = os.path.dirname(path)
    while not os.path.isdir(above):
        missing.insert(0, above)
        above = os.path.dirname(above)
    for directory in missing:
        _make_one(directory, lambda mode: (mode | 0o700) & ~0o022)
    _make_one(path, lambda mode: 0o700)


def _make_one(path: str, mend: Callable[[int], int]) -> None:
    try:
        os.mkdir(path)
    except FileExistsError:
        return  # somebody was faster, or it is no directory, as opening it will tell
    if not platform.WINDOWS:
        platform.change_mode(path, mend(stat.S_IMODE(os.lstat(path).st_mode)))


_L = TypeVar("_L", bound="Layout")


class Layout:
    """A spool's directories, held open."""

    def __init__(self, root: Dir) -> None:
        self.root = root
        self.path = root.path
        self.is_shared = isinstance(root, SharedDir)  # with other hosts
        self._dirs: Dict[str, Dir] = {}
        self._held: Dict[str, os.stat_result] = {}  # what they were when they were opened

    # --- opening and making -----------------------------------------------------------------------

    @classmethod
    def open(cls: Type[_L], path: str) -> _L:
        """Open the spool at `path`.

        Raises:
            NoSpool: there is none.
        """
        path = os.path.abspath(path)
        with translated(path):
            if not has_pending(path):
                if os.path.isfile(path):
                    raise NoSpool(
                        f"there is no spool at {path}, which is a file",
                        hint="name a directory with --spool or $SPOOLQ_SPOOL",
                    )
                raise NoSpool(
                    f"there is no spool at {path}",
                    hint=f"make one:  spoolq init {shlex.quote(path)}  (enqueue makes one too)",
                )
            root = open_root(path)
            info = root.stat()
            if info.st_mode & stat.S_ISGID and info.st_mode & stat.S_IWGRP:
                root.file_mode = 0o660
            root.owner = _owner_to_be(info)
        return cls(root)

    @classmethod
    def create(cls: Type[_L], path: str, group: Optional[str] = None) -> _L:
        """Make a spool, or complete one: modes 0700 and 0600 whatever the umask.

        With `group`, its members may submit: modes 2770 and 0660.
        """
        path = os.path.abspath(path)
        with translated(path):
            _make_path(path)
            _refuse_other_use(path)
            root = open_root(path, 0o660 if group else 0o600)
            info = root.stat()
            root.owner = _owner_to_be(info)
            if group:
                root.owner = (info.st_uid, platform.group_id(group))
            if root.fd >= 0:
                platform.own_directory(root.fd, root.file_mode, root.owner)
            for name in sorted(DIRECTORIES, key=lambda name: name == "pending"):
                if name == "pending":  # made last: who sees it sees a whole spool
                    cls._create_files(root, group)
                try:
                    root.make_dir(name)
                except FileExistsError:
                    inner = root.sub(name)
                    if inner.fd >= 0:
                        platform.own_directory(inner.fd, root.file_mode, root.owner)
                    inner.close()
            root.sync()
        return cls(root)

    @staticmethod
    def _create_files(root: Dir, group: Optional[str]) -> None:
        files = {
            "README": README.encode("ascii"),
            config.FILE: config.write({"group": group} if group else {}),
        }
        tmp = root.sub("tmp")
        try:
            for name, data in files.items():
                if not root.has(name):
                    temporary = f"{name}.{names.random_text(8)}"
                    tmp.write(temporary, data, sync=True)
                    try:
                        tmp.publish(temporary, root, name)
                    except FileExistsError:
                        tmp.discard(temporary)  # another init was faster
        finally:
            tmp.close()

    def dir(self, name: str) -> Dir:
        """Return one of the spool's directories, opened on first use.

        Raises:
            StorageFailed: it is missing, not a directory, or on another filesystem.
        """
        found = self._dirs.get(name)
        if found is None:
            with translated(self.path):
                found = self.root.sub(name)
                self._held[name] = found.stat()
                if self._held[name].st_dev != self.root.stat().st_dev:
                    found.close()
                    raise StorageFailed(
                        f"{name}/ is on another filesystem than its spool, so that no job could be "
                        "moved by a rename",
                        where=os.path.join(self.path, name),
                        hint="unmount it, or put the whole spool there",
                    )
            self._dirs[name] = found
        return found

    def reopen_replaced(self) -> List[str]:
        """Open anew what was removed and made again meanwhile; return the names of those.

        Raises:
            OSError: one is missing that every spool has.
        """
        replaced = []
        for name in [name for name in self._dirs if name not in DIRECTORIES]:
            if not self.root.has(name):
                self._dirs.pop(name).close()
        for name, held in self._dirs.items():
            if held.fd >= 0 and not os.path.samestat(self.root.stat(name), self._held[name]):
                fresh = self.root.sub(name)
                self._held[name] = fresh.stat()
                os.dup2(fresh.fd, held.fd, inheritable=False)
                fresh.close()
                replaced.append(name)
        return replaced

    def close(self) -> None:
        """Let all directories go."""
        for directory in (self.root, *self._dirs.values()):
            directory.close()
        self._dirs.clear()

    # --- settings ---------------------------------------------------------------------------------

    def config_bytes(self) -> Optional[bytes]:
        """Return config.json, or None where there is none.

        Raises:
            InvalidSetting: it cannot be read.
        """
        try:
            return self.root.read(config.FILE, config.MAX_FILE)[0]
        except FileNotFoundError:
            return None
        except (InvalidJob, OSError) as error:
            reason = getattr(error, "strerror", None) or str(error)
            raise InvalidSetting(f"{config.FILE} cannot be read: {reason}") from error

    def write_config(self, data: bytes) -> None:
        """Replace config.json in one step, durably."""
        temporary = f"{config.FILE}.{names.random_text(8)}"
        with translated(self.path):
            tmp = self.dir("tmp")
            tmp.write(temporary, data, sync=True)
            tmp.rename(temporary, self.root, config.FILE)
            self.root.sync()

    def ring(self) -> None:
        """Wake the workers, which watch pending/: by a file that is gone at once."""
        bell = BELL + names.random_text(8)
        with translated(self.path):
            os.close(self.dir("pending").create(bell))
            self.dir("pending").discard(bell)

    def tidy_bells(self) -> None:
        """Remove the bells of those who died while they rang; a worker does so when it looks."""
        for entry in self.dir("pending").scan():
            if entry.startswith(BELL):
                self.dir("pending").tidy(entry)


def open_root(path: str, file_mode: int = 0o600) -> Dir:
    """Open the directory of a spool, as the filesystem that it is on wants it."""
    kind = Dir if platform.network_filesystem(path) is None else SharedDir
    return kind.open(path, file_mode)


def _owner_to_be(info: os.stat_result) -> Optional[Tuple[int, int]]:
    """Return who is to own what is made in a spool, or None for whoever makes it.

    Root leaves files behind that the spool's owner can run.
    """
    foreign = platform.effective_user() == 0 and info.st_uid != 0
    return (info.st_uid, info.st_gid) if foreign else None


def _refuse_other_use(path: str) -> None:
    """Refuse to make a spool of a directory that holds other things: its modes would change.

    A spool that another process is making just now, or that a crash left half made, is completed.
    """
    entries = set(os.listdir(path))
    if "pending" not in entries and entries - {*DIRECTORIES, "README", config.FILE}:
        raise BadInput(
            f"{path} is not empty and not a spool", hint="name a directory that is not there yet"
        )

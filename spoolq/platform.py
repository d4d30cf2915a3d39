"""What differs between systems, and nothing else: every other module is the same everywhere.

Linux has all of it; macOS and Windows take the fallback that stands beside each. Tests set the
capability flags and functions of this module to exercise the other systems' paths.
"""

from __future__ import annotations

import errno
import os
import sys
import time
from typing import Any, Callable, Dict, FrozenSet, List, Optional, Sequence, Tuple

LINUX = sys.platform.startswith("linux")
WINDOWS = sys.platform == "win32"

#: Directory descriptors: names are then looked up in the directory itself, whatever its path.
HAS_DIR_FD = os.open in os.supports_dir_fd and os.rename in os.supports_dir_fd

#: Flags for opening a file that somebody else may have put there: no link, no waiting on a FIFO,
#: no terminal that a worker would get as its own.
SAFE_OPEN = (
    getattr(os, "O_NOFOLLOW", 0)
    | getattr(os, "O_NONBLOCK", 0)
    | getattr(os, "O_NOCTTY", 0)
    | getattr(os, "O_CLOEXEC", 0)
    | getattr(os, "O_BINARY", 0)
)

FULL_ERRNOS = frozenset({errno.ENOSPC, getattr(errno, "EDQUOT", errno.ENOSPC)})
#: What a disk or a server says that fails: it does not tell whether something is there. The last
#: two are ext4's and xfs's words for what they find corrupt.
FAILING_ERRNOS = frozenset(
    getattr(errno, name, errno.EIO)
    for name in ("EIO", "ESTALE", "ENOTCONN", "ETIMEDOUT", "EUCLEAN", "EBADMSG")
)

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_F_SETLEASE = 1024
_F_SETSIG = 10


# --- commands -------------------------------------------------------------------------------------


def shell_command(command: str, shell: str) -> List[str]:
    """Return the argument list that runs `command` in the configured shell."""
    if WINDOWS and shell == "/bin/sh":
        return [os.environ.get("COMSPEC", "cmd.exe"), "/d", "/s", "/c", command]
    return [shell, "-c", command]


def spawn_options(inherit: Sequence[int]) -> Dict[str, Any]:
    """Return what subprocess.Popen needs to start a run apart from its worker.

    A session, not a mere process group: a job that opens /dev/tty then fails at once, where in a
    group it would be stopped for ever. `inherit` are the descriptors of locks.
    """
    if WINDOWS:
        new_group = 0x00000200  # CREATE_NEW_PROCESS_GROUP
        return {"creationflags": new_group, "close_fds": True}
    return {"start_new_session": True, "close_fds": True, "pass_fds": inherit}


def keep_from_commands() -> None:
    """Make close-on-exec what this process inherited, or what a C library has opened.

    Python opens everything so; to be called again when something was started that opens files past
    it, as watchdog does (test_a_command_inherits_nothing_that_its_worker_has_inherited).
    """
    try:
        entries = os.listdir("/dev/fd")
    except OSError:
        return  # a system without: nothing is spawned there in a way that needs it
    for entry in entries:
        try:
            if int(entry) > 2 and os.get_inheritable(int(entry)):
                os.set_inheritable(int(entry), False)
        except (OSError, ValueError):
            continue  # the listing's own, closed by now


#: Limits of exec on this system, in bytes: one argument, and all arguments with the environment.
#: Source: execve(2), "Limits on size of arguments and environment".
MAX_ARGUMENT = 131072 - 1 if LINUX else (32767 if WINDOWS else 1048576 - 1)
MAX_ARGUMENTS = 2097152 if LINUX else (32767 if WINDOWS else 1048576)


# --- processes ------------------------------------------------------------------------------------


def boot_id() -> str:
    """Return a text that is the same until this kernel is started anew; "" where unknown."""
    try:
        with open("/proc/sys/kernel/random/boot_id", encoding="ascii") as file:
            return file.read().strip()
    except OSError:
        return ""


def uptime() -> float:
    """Return the seconds since this kernel was started, in its own count; 0 where unknown."""
    clock = getattr(time, "CLOCK_BOOTTIME", None)
    return 0.0 if clock is None else time.clock_gettime(clock)


def elapsed() -> float:
    """Return seconds on a clock that nobody sets, and that counts sleep where the system can."""
    return uptime() or time.monotonic()


def pidfd_open(pid: int) -> Optional[int]:
    """Return a descriptor that becomes readable when the child `pid` ends, or None.

    None where the system or this Python has none: the caller lets a thread wait instead.
    """
    opener = getattr(os, "pidfd_open", None)
    try:
        descriptor: Optional[int] = None if opener is None else opener(pid)
    except OSError:
        return None
    return descriptor


def adopt_orphans() -> None:
    """Become the parent of what the descendants of this process leave behind, where that can be.

    Source: prctl(2), PR_SET_CHILD_SUBREAPER.
    """
    if LINUX:
        getattr(_c_library(), "prctl", lambda *_: None)(36, 1, 0, 0, 0)


# --- files ----------------------------------------------------------------------------------------

_libc: Any = None


def _c_library() -> Any:
    """Load the C library on first use: ctypes costs 10 ms, which small verbs need not pay."""
    global _libc
    if _libc is None:
        import ctypes

        _libc = ctypes.CDLL(None, use_errno=True)
    return _libc


def prepare() -> None:
    """Load the C library now, for who may find no descriptor left for it later."""
    if LINUX:
        _c_library()


def rename_noreplace(
    source: str, target: str, source_dir: Optional[int], target_dir: Optional[int]
) -> bool:
    """Rename in one step unless the target exists; False where the system cannot promise that.

    Raises:
        FileExistsError: the target exists.
        OSError: as os.rename.

    Source: renameat2(2); NFS and some others answer EINVAL.
    """
    if WINDOWS:
        os.rename(source, target)  # never replaces, by its definition there
        return True
    call = getattr(_c_library(), "renameat2", None) if LINUX else None
    if call is None:
        return False
    failed = call(
        _AT_FDCWD if source_dir is None else source_dir,
        os.fsencode(source),
        _AT_FDCWD if target_dir is None else target_dir,
        os.fsencode(target),
        _RENAME_NOREPLACE,
    )
    if not failed:
        return True
    import ctypes

    code = ctypes.get_errno()
    if code in (errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP):
        return False
    raise OSError(code, os.strerror(code), source, None, target)


def nameless_file() -> int:
    """Return a file that is gone when it is closed, open to read and write."""
    import tempfile

    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def sync_filesystem(descriptor: int) -> bool:
    """Sync all of the filesystem that holds `descriptor`; False where that cannot be relied on.

    Before Linux 5.8 syncfs hid write errors, so older kernels count as unable.

    Raises:
        OSError: data could not be written.
    """
    if not LINUX or _kernel_release() < (5, 8):
        return False
    import ctypes

    call = getattr(_c_library(), "syncfs", None)
    if call is None:
        return False
    if call(descriptor):
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return True


def begin_writing_out(descriptor: int) -> None:
    """Let a file's data be on its way to the disk; a hint, which promises nothing.

    Source: mm/fadvise.c of Linux, where that is what "not needed" comes to for unwritten data.
    """
    if sys.platform == "linux":
        try:
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
        except OSError:
            pass  # the sync that follows tells what is wrong


def is_btrfs(descriptor: int) -> bool:
    """Say whether an open file is on btrfs. Source: statfs(2), BTRFS_SUPER_MAGIC."""
    if not LINUX:
        return False
    import ctypes

    call = getattr(_c_library(), "fstatfs", None)
    buffer = ctypes.create_string_buffer(512)  # more than any system's struct statfs
    if call is None or call(descriptor, buffer):
        return False
    magic = int(ctypes.cast(buffer, ctypes.POINTER(ctypes.c_long))[0]) & 0xFFFFFFFF
    return magic == 0x9123683E


def _kernel_release() -> Tuple[int, ...]:
    major, minor = os.uname().release.split(".")[:2]
    return int(major), int("".join(c for c in minor if c.isdigit()) or 0)


def sync_drive(descriptor: int) -> bool:
    """Sync an open file down to the medium where that needs a call of its own; else False.

    Source: fsync(2) of macOS: fsync leaves the data in the drive's cache, F_FULLFSYNC does not.
    """
    if WINDOWS:
        return False
    import fcntl

    full_sync = getattr(fcntl, "F_FULLFSYNC", None)
    if full_sync is None:
        return False
    fcntl.fcntl(descriptor, full_sync)
    return True


def can_sync_directories() -> bool:
    """Say whether a directory can be opened and synced; Windows has no such thing."""
    return not WINDOWS


def has_writer(descriptor: int) -> bool:
    """Say whether anyone has this open file open for writing, as far as the system can tell.

    A read lease is refused while there is a writer. Where leases do not work (other systems,
    network filesystems, a file of another owner) the answer is False, and the caller relies on
    the file standing still.

    RACE: who opens the file for writing just now breaks the lease, and the kernel tells this
    process by a signal; SIGIO would end it, so another is asked for that is ignored by default
    (test_a_writer_that_breaks_the_lease_does_no_harm).

    Source: fcntl(2), F_SETLEASE and F_SETSIG.
    """
    if not LINUX:
        return False
    import fcntl
    import signal

    try:
        fcntl.fcntl(descriptor, _F_SETSIG, signal.SIGURG)
        fcntl.fcntl(descriptor, _F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(descriptor, _F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    return False


_NETWORK_FILESYSTEMS = frozenset(
    "nfs nfs4 cifs smb3 smbfs 9p virtiofs fuse.sshfs ceph fuse.ceph glusterfs fuse.glusterfs "
    "lustre afs gpfs gfs2 ocfs2 beegfs orangefs fuse.juicefs fuse.rclone fuse.s3fs".split()
)


def filesystem(path: str) -> Optional[str]:
    """Return the kind of filesystem that holds `path`, as the mount table calls it, or None."""
    found = mount(path)
    return None if found is None else found[0]


def mount(path: str) -> Optional[Tuple[str, FrozenSet[str]]]:
    """Return kind and options of the filesystem that holds `path`, or None where unknown.

    Source: proc(5), /proc/pid/mountinfo.
    """
    try:
        device = os.stat(path).st_dev
        with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                fields, _, rest = line.partition(" - ")
                major, minor = fields.split()[2].split(":")
                if os.makedev(int(major), int(minor)) == device:
                    kind, *more = rest.split()
                    return kind, frozenset(more[-1].split(",") if more else ())
    except (OSError, ValueError, IndexError):
        return None
    return None


def network_filesystem(path: str) -> Optional[str]:
    """Return the kind of network filesystem that holds `path`, or None for a local one.

    Events of other hosts are not seen on these, and their locks may be local.
    """
    kind = filesystem(path)
    return kind if kind in _NETWORK_FILESYSTEMS else None


def own_directory(descriptor: int, file_mode: int, owner: Optional[Tuple[int, int]]) -> None:
    """Give an open directory the owner, and the mode that goes with its files': 0700 or 2770."""
    if WINDOWS:
        return
    if owner is not None:
        os.fchown(descriptor, *owner)
    os.fchmod(descriptor, 0o2770 if file_mode & 0o060 else 0o700)


def change_mode(name: str, mode: int, directory: Optional[int] = None) -> None:
    """Change the mode of a directory, even of one that cannot be read; a link is refused.

    Raises:
        OSError: it is a link, or no directory, or not there, or not this user's.
    """
    at: Dict[str, Any] = {} if directory is None else {"dir_fd": directory}
    itself = os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    try:
        descriptor = os.open(name, os.O_RDONLY | itself, **at)
    except PermissionError:
        if not LINUX:
            return os.chmod(name, mode, follow_symlinks=False, **at)
        # fchmod takes no descriptor that only names a file, and chmod alone would follow a link.
        descriptor = os.open(name, getattr(os, "O_PATH", 0) | itself, **at)
        try:
            return os.chmod(f"/proc/self/fd/{descriptor}", mode)
        finally:
            os.close(descriptor)
    try:
        os.fchmod(descriptor, mode)
    finally:
        os.close(descriptor)


# --- people ---------------------------------------------------------------------------------------

effective_user: Callable[[], int] = getattr(os, "geteuid", lambda: 0)


def group_id(name: str) -> int:
    """Return the number of the group `name`.

    Raises:
        KeyError: there is no such group, or the system has none.
    """
    if WINDOWS:
        raise KeyError(name)
    import grp

    return grp.getgrnam(name).gr_gid


def user_name(number: int) -> str:
    """Return the name of a user, or the number where it has none, or the system no users."""
    if WINDOWS:
        return str(number)
    import pwd

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)

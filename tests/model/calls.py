"""The system calls that a routine can ask for, one short constructor each.

Usage inside a routine: ``answer = yield calls.rename(source, target)``.
What they answer is said by the methods of the same name in `machine.State`.
"""

from typing import Any, Tuple

from .routine import Op, Routine


def create(path: str, content: Any) -> Op:
    """Make a file, exclusively."""
    return Op("create", (path, content))


def rename(source: str, target: str) -> Op:
    """Rename a file or directory, over whatever file has the target's name."""
    return Op("rename", (source, target))


def rename_unheard(source: str, target: str) -> Op:
    """Rename, and hear that the file was gone: a lost reply on NFS."""
    return Op("rename_unheard", (source, target))


def rename_new(source: str, target: str) -> Op:
    """Rename a file unless the target's name is taken (renameat2 with NOREPLACE)."""
    return Op("rename_new", (source, target))


def link(source: str, target: str) -> Op:
    """Give a file a second name."""
    return Op("link", (source, target))


def unlink(path: str) -> Op:
    """Take a name away."""
    return Op("unlink", (path,))


def mkdir(path: str) -> Op:
    """Make a directory."""
    return Op("mkdir", (path,))


def rmdir(path: str) -> Op:
    """Remove an empty directory."""
    return Op("rmdir", (path,))


def listdir(path: str) -> Op:
    """List a directory, sorted, all in one step."""
    return Op("listdir", (path,))


def listdir_slowly(path: str, since: Tuple[Any, ...]) -> Op:
    """List a directory as btrfs may: without the files that were replaced since a first look."""
    return Op("listdir_slowly", (path, since))


def inodes(path: str) -> Op:
    """Take the first look of `listdir_slowly`: names with their contents."""
    return Op("inodes", (path,))


def read(path: str) -> Op:
    """Read a file."""
    return Op("read", (path,))


def exists(path: str) -> Op:
    """Look whether a name is there."""
    return Op("exists", (path,))


def complete(half_written: Any, job: Any) -> Op:
    """Finish writing a file through a descriptor, wherever the file lies by now."""
    return Op("complete", (half_written, job))


def open_lock(path: str, create: bool = False) -> Op:
    """Open a lock file with a fresh descriptor."""
    return Op("open_lock", (path, create))


def flock(descriptor: str, shared: bool = False) -> Op:
    """Try to lock, without waiting."""
    return Op("flock", (descriptor, shared))


def flock_wait(descriptor: str) -> Op:
    """Lock exclusively, waiting for it."""
    return Op("flock_wait", (descriptor,))


def close(descriptor: str) -> Op:
    """Close a descriptor; the lock goes with the last process that holds it."""
    return Op("close", (descriptor,))


def now() -> Op:
    """Read the clock: a time that no one has read before. Costs no step."""
    return Op("now", ())


def spawn(name: str, run: str, inherit: Tuple[str, ...], cookie: bool, *what: Any) -> Op:
    """Start a process of a run: ``what`` is a routine and its arguments."""
    routine: Routine = what[0]
    return Op("spawn", (name, run, inherit, cookie, routine, what[1:]))


def thread(name: str, *what: Any) -> Op:
    """Start a thread of this process, named ``PROCESS+something``; it dies with it."""
    routine: Routine = what[0]
    return Op("thread", (name, routine, what[1:]))


def join(process: str) -> Op:
    """Wait for all threads of a process."""
    return Op("join", (process,))


def ended(run: str, result: str) -> Op:
    """Note that the command of a run has come to its own end."""
    return Op("ended", (run, result))


def wait(process: str) -> Op:
    """Wait for a process; answer its result, or "killed"."""
    return Op("wait", (process,))


def wait_or_path(process: str, path: str) -> Op:
    """Wait until a process has ended or a file is there; answer the result, or "asked"."""
    return Op("wait_or_path", (process, path))


def wait_until_gone(path: str) -> Op:
    """Wait until a name is no longer there."""
    return Op("wait_until_gone", (path,))


def wait_for_ever() -> Op:
    """Stay alive and do nothing."""
    return Op("wait_for_ever", ())


def processes_of(run: str, slot_file: str, in_session_only: bool = False) -> Op:
    """List what carries a run's cookie, is in its session, or has its slot's lock open."""
    return Op("processes_of", (run, slot_file, in_session_only))


def kill(process: str) -> Op:
    """Send KILL to one process."""
    return Op("kill", (process,))


def on_host(what: str, worker: str, *args: Any) -> Op:
    """Do something with a worker's host; `hosts.Shared` says what there is."""
    return Op(what, (worker, *args))


def beat() -> Op:
    """Show the others that this worker lives; answer how often its guard has acted."""
    return Op("beat", ())


def spawn_unbroken(trips: int, spawning: Op) -> Op:
    """Start a process of a run, unless this worker's guard has acted since a beat."""
    return Op("spawn_unbroken", (trips, *spawning.args))


def break_locks(process: str) -> Op:
    """Lose every lock of a living process, as a network filesystem's lease does."""
    return Op("break_locks", (process,))

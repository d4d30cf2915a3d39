"""Starts the process of a run, by the shorter way where that does all that is asked.

`posix_spawn` holds the worker up for two thirds of the time that subprocess.Popen takes (some 200
against 300 µs, tests/benchmarks). It closes nothing: what the command must not inherit has to be
close-on-exec, which all is that Python opens; `platform.keep_from_commands` sees to the rest. And
it changes no directory, so the worker goes there for that moment: it names files of its own by
their directories' descriptors, or whole.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import threading
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Dict, Iterator, List, Optional, Protocol, Sequence

from spoolq import platform


class Process(Protocol):
    """What is asked of a started process."""

    @property
    def pid(self) -> int:
        """Its number; also of its session and group."""

    def poll(self) -> Optional[int]:
        """Return its exit code, minus the signal that ended it, or None while it runs."""

    def wait(self) -> int:
        """Wait for its end and return as `poll` does."""


class Shared(Process, Protocol):
    """A process that makes one run after another, and has been given one."""

    @property
    def started(self) -> float:
        """When the process began, in seconds since the kernel's start."""

    @property
    def never_began(self) -> bool:
        """Whether the run that has ended was given to a process that had died before."""

    def descriptor(self) -> int:
        """Return a new descriptor that becomes readable at the end of the run."""

    def release(self) -> None:
        """Let the process go on to another run: the end of this one has been told."""


def start(
    words: List[str],
    environment: Dict[Any, Any],
    *,
    stdin: int,
    output: int,
    inherit: Sequence[int],
    cwd: Optional[str],
) -> Process:
    """Start a process in a session of its own; each of `inherit` keeps its number there.

    Raises:
        OSError, ValueError: it cannot be started; `filename` is the directory if that is to blame.
    """
    if _can_spawn() and min(stdin, output, *inherit) > 2 and (cwd is None or _can_come_home()):
        with _in_directory(cwd):
            return _Spawned(_spawn(words, environment, stdin, output, inherit))
    return subprocess.Popen(
        words,
        stdin=stdin,
        stdout=output,
        stderr=output,
        cwd=cwd,
        env=environment,
        **platform.spawn_options(inherit),
    )


class _Spawned:
    """A child of this process; two threads may wait for it."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._code: Optional[int] = None
        self._lock = threading.Lock()

    def poll(self) -> Optional[int]:
        with self._lock:
            if self._code is None:
                try:
                    pid, status = os.waitpid(self.pid, os.WNOHANG)
                except ChildProcessError:  # who has waited for it kept its code: no success is told
                    pid, status = self.pid, _UNKNOWN
                if pid and os.WIFSIGNALED(status):
                    self._code = -os.WTERMSIG(status)
                elif pid:
                    self._code = os.WEXITSTATUS(status)
            return self._code

    def wait(self) -> int:
        if sys.platform == "linux":  # as `_can_spawn` says
            try:
                os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOWAIT)  # its code stays for `poll`
            except ChildProcessError:
                pass  # the other thread has it
        code = self.poll()
        assert code is not None
        return code


_UNKNOWN = 255 << 8  # as waitpid tells an exit code of 255


# --- where it is started --------------------------------------------------------------------------


@contextmanager
def _in_directory(cwd: Optional[str]) -> Iterator[None]:
    """Be in a directory for a moment. To come home may fail, and must not undo what was started."""
    if cwd is None:
        yield
        return
    os.chdir(cwd)
    try:
        yield
    finally:
        if not _can_come_home():
            os.chdir("/")  # Popen, from now on: the directory may have been left for good


def _can_come_home() -> bool:
    """Go to the directory that this process was started in; False where that cannot be."""
    home = _home()
    try:
        if home is not None:
            os.fchdir(home)
        return home is not None
    except OSError:  # its mode has changed, or its server is gone
        return False


@lru_cache(maxsize=None)
def _home() -> Optional[int]:
    try:
        return os.open(".", os.O_RDONLY | os.O_CLOEXEC)
    except OSError:
        return None


# --- how it is started ----------------------------------------------------------------------------


@lru_cache(maxsize=None)
def _can_spawn() -> bool:
    """Say whether posix_spawn can do it: glibc knows sessions since 2.26, and since 2.29 takes
    close-on-exec off a descriptor that is duplicated onto itself.

    A Python that was built for an older glibc knows no sessions whatever it runs on, and says so
    before it starts anything.
    """
    if not (platform.LINUX and hasattr(os, "posix_spawn")):
        return False
    try:
        name, version = (os.confstr("CS_GNU_LIBC_VERSION") or "").split()
        major, minor = version.split(".")[:2]
        if name != "glibc" or (int(major), int(minor)) < (2, 29):
            return False
        os.posix_spawn("/", ["/"], {}, setsid=True)
    except (NotImplementedError, ValueError):
        return False
    except OSError:
        return True  # a directory is no program
    return True


_OF_THE_SYSTEM = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.E2BIG})
# As Popen does it: Python ignores these, a command expects them as they are by default.
_BY_DEFAULT = [getattr(signal, name) for name in ("SIGPIPE", "SIGXFSZ") if hasattr(signal, name)]


def _spawn(
    words: List[str],
    environment: Dict[Any, Any],
    stdin: int,
    output: int,
    inherit: Sequence[int],
) -> int:
    program = words[0]
    paths = [program] if "/" in program else _candidates(program, environment)
    actions = [
        (os.POSIX_SPAWN_DUP2, stdin, 0),
        (os.POSIX_SPAWN_DUP2, output, 1),
        (os.POSIX_SPAWN_DUP2, output, 2),
        *((os.POSIX_SPAWN_DUP2, number, number) for number in inherit),
    ]
    refusal: Optional[OSError] = None
    for path in paths:
        try:
            return os.posix_spawn(
                path, words, environment, file_actions=actions, setsid=True, setsigdef=_BY_DEFAULT
            )
        except OSError as error:
            if error.errno in _OF_THE_SYSTEM:
                raise OSError(error.errno, error.strerror, program) from None
            # As Popen: another directory may have one, and the first odd answer is told.
            if refusal is None and error.errno not in (errno.ENOENT, errno.ENOTDIR):
                refusal = OSError(error.errno, error.strerror, program)
    raise refusal or OSError(errno.ENOENT, os.strerror(errno.ENOENT), program)


def _candidates(program: str, environment: Dict[Any, Any]) -> List[str]:
    """Return where a program may be, by the PATH that the command itself will see."""
    path = os.fsdecode(environment.get(b"PATH", os.defpath))
    return [os.path.join(directory, program) for directory in path.split(os.pathsep)]

"""Processes that shed the marks by which what is left of a run is known."""

import errno
import os
import signal
import sys
from contextlib import contextmanager

import pytest

from spoolq import processes
from tests.conftest import wait_until

SESSION, DESCRIPTORS, ENVIRONMENT = "session", "descriptors", "environment"

#: Everything that a process can shed and still be found.
SHED = {
    "a_session_of_its_own": (SESSION,),
    "closed_descriptors": (DESCRIPTORS,),
    "a_cleared_environment": (ENVIRONMENT,),
    "a_session_of_its_own_and_closed_descriptors": (SESSION, DESCRIPTORS),
    "a_session_of_its_own_and_a_cleared_environment": (SESSION, ENVIRONMENT),
    "closed_descriptors_and_a_cleared_environment": (DESCRIPTORS, ENVIRONMENT),
}

_SCRIPT = """
import os, signal, sys
path, daemon, deaf, *shed = sys.argv[1:]
if os.fork() == 0:
    if deaf == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    if "session" in shed:
        os.setsid()
    if "descriptors" in shed:
        os.closerange(3, 256)
    with open(path + ".new", "w") as file:
        file.write(str(os.getpid()))
    os.rename(path + ".new", path)
    os.execve("/bin/sleep", ["sleep", "1000"], {} if "environment" in shed else os.environ)
if daemon == "stays":
    while True:
        signal.pause()
"""


def command(path, *shed, stays=True, deaf=False):
    """Return a command that leaves a child which sheds marks and writes its pid into `path`.

    Args:
        stays: the command itself stays as well; else it ends at once, and the child is a daemon.
        deaf: the child ignores SIGTERM.
    """
    how = ["stays" if stays else "ends", "deaf" if deaf else "hears"]
    return [sys.executable, "-S", "-c", _SCRIPT, str(path), *how, *shed]


def pid_in(path) -> int:
    """Wait for the child of `command` and return its pid, once it has shed its marks."""
    wait_until(lambda: os.path.exists(path), f"{path}")
    with open(path, encoding="ascii") as file:
        pid = int(file.read())
    # It sleeps: its name is new a moment before its environment can be read.
    wait_until(
        lambda: not is_alive(pid) or (_name(pid) == "sleep" and state_of(pid) == "S"),
        "the child's exec",
    )
    return pid


def state_of(pid: int) -> str:
    """Return the letter by which the kernel tells a process's state; "X" if there is none."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            return file.read().rpartition(b")")[2].split()[0].decode()
    except (FileNotFoundError, ProcessLookupError):
        return "X"


def is_alive(pid: int) -> bool:
    """Say whether a process runs; a zombie does not."""
    return state_of(pid) not in "ZX"


def end_quietly(pid: int) -> None:
    """Kill what a test started, if it still runs."""
    if is_alive(pid):
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


@contextmanager
def no_descriptor_left():
    """Let no file of /proc be opened meanwhile, as where no descriptor is left to look with."""

    def refuse(path, *_, **__):
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE), path)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "open", refuse, raising=False)
        yield


def _name(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/comm", encoding="ascii") as file:
            return file.read().strip()
    except (FileNotFoundError, ProcessLookupError):
        return ""

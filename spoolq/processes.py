"""What is left of a run: the processes that carry one of its three marks.

A run's processes share a session, carry SPOOLQ_CLAIM in their environment, and hold the lock of
their slot open. A process may shed one or two of the marks and is still found by the third; one
that sheds all three (sudo into another session, a container runtime) cannot be seen.

On Linux the marks are read from /proc, elsewhere through psutil.
"""

from __future__ import annotations

import os
import re
import signal
from typing import Callable, Iterator, List, NamedTuple, Optional, Set, Tuple

from spoolq import platform

COOKIE = "SPOOLQ_CLAIM"


class Marks(NamedTuple):
    """How the processes of one run are known; what is not known is None.

    `lock` is device and inode of the slot's file, `leader` the pid that leads the session, and
    `started` when that began, in seconds since the kernel's start.
    """

    claim: str
    lock: Optional[Tuple[int, int]] = None
    leader: Optional[int] = None
    started: Optional[float] = None


def find(marks: Marks) -> List[int]:
    """Return the pids of all processes of a run that are alive, never this process's own.

    RACE: a process may be born while the others are looked at, so none is said after a second
    look alone (test_find_looks_twice_before_it_says_none).
    """
    return _look(marks) or _look(marks)


def _look(marks: Marks) -> List[int]:
    own = os.getpid()
    if platform.LINUX:
        return [pid for pid in _pids() if pid != own and _belongs(pid, marks)]
    return [pid for pid in _find_elsewhere(marks) if pid != own]  # pragma: no cover


def send(pids: List[int], number: int) -> None:
    """Send a signal to processes that may have ended meanwhile, or belong to another user."""
    for pid in pids:
        try:
            os.kill(pid, number)
        except (ProcessLookupError, PermissionError):
            continue  # gone, or out of reach: whoever waits for the lock sees which


_TERM = signal.SIGTERM
_CONT = getattr(signal, "SIGCONT", 0)
_KILL = getattr(signal, "SIGKILL", signal.SIGTERM)

_FIRST_LOOK, _LONGEST_LOOK = 0.02, 0.25


class Ending:
    """The end of a run, step by step: TERM, after `grace` seconds KILL, until nothing is left.

    Each process gets one TERM (a second means something else to many programs) and is continued,
    since a stopped one would not hear it.
    """

    def __init__(self, marks: Marks, grace: float, monotonic: Callable[[], float]) -> None:
        self._marks = marks
        self._monotonic = monotonic
        self._kill_at = monotonic() + grace
        self._asked: Set[int] = set()
        self._begun = False
        self._pause = _FIRST_LOOK
        self._next_look = monotonic()

    def has_begun(self) -> bool:
        """Say whether anything was signalled yet: what ended before that ended by itself."""
        return self._begun

    def is_over(self) -> bool:
        """Push on; True when nothing of the run can be found any more."""
        now = self._monotonic()
        if now < self._next_look:
            return False
        left = find(self._marks)
        if not left:
            # Who asked may have to go on waiting, for a lock that is held out of sight.
            self._next_look = now + self._pause
            self._pause = min(self._pause * 1.5, _LONGEST_LOOK)
            return True
        self._begun = True
        if now >= self._kill_at:
            send(left, _KILL)
        else:
            fresh = [pid for pid in left if pid not in self._asked]
            send(fresh, _TERM)
            if _CONT:
                send(fresh, _CONT)
            self._asked.update(fresh)
            self._pause = min(self._pause * 1.5, _LONGEST_LOOK)
        self._next_look = now + min(self._pause, max(self._kill_at - now, _FIRST_LOOK))
        return False

    def patience(self) -> float:
        """Return the seconds until `is_over` is worth asking again."""
        return max(self._next_look - self._monotonic(), 0.0)


# --- Linux ----------------------------------------------------------------------------------------

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK") if platform.LINUX else 100
_SAME_START = 2.0  # seconds; a pid used again belongs to a process that started later

_FLOCK = re.compile(r"^lock:.*\bFLOCK\b.*\bWRITE\b", re.MULTILINE)


def _pids() -> Iterator[int]:
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            yield int(entry)


def _read_stat(pid: int) -> Optional[Tuple[str, int, float]]:
    """Return a process's state, session and start in seconds since the kernel's.

    Source: proc(5), /proc/pid/stat.
    """
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except OSError:
        return None
    return fields[0].decode(), int(fields[3]), int(fields[19]) / _TICKS_A_SECOND


def _belongs(pid: int, marks: Marks) -> bool:
    status = _read_stat(pid)
    if status is None or status[0] in "ZX":
        return False
    if marks.leader is not None and status[1] == marks.leader and _same_leader(marks):
        return True
    try:
        with open(f"/proc/{pid}/environ", "rb") as file:
            cookie = f"{COOKIE}={marks.claim}".encode()
            if cookie in file.read().split(b"\0"):
                return True
        return marks.lock is not None and _holds(pid, marks.lock)
    except OSError:
        return False  # it ended, or is another user's, which a run's process is not


def _same_leader(marks: Marks) -> bool:
    """Say whether the session is still the run's: its leader is the one that was recorded.

    While anything of a session lives the kernel gives its number to no other process, so a
    session without a leader is the run's own as well.
    """
    assert marks.leader is not None
    leader = _read_stat(marks.leader)
    return leader is None or marks.started is None or abs(leader[2] - marks.started) < _SAME_START


def _holds(pid: int, lock: Tuple[int, int]) -> bool:
    """Say whether a process holds the lock itself: one that merely looks has the file open too."""
    for entry in os.listdir(f"/proc/{pid}/fd"):
        try:
            info = os.stat(f"/proc/{pid}/fd/{entry}")
            if (info.st_dev, info.st_ino) != lock:
                continue
            with open(f"/proc/{pid}/fdinfo/{entry}", encoding="ascii") as file:
                if _FLOCK.search(file.read()):
                    return True
        except OSError:
            continue  # closed while we looked
    return False


# --- elsewhere ------------------------------------------------------------------------------------


def _find_elsewhere(marks: Marks) -> Iterator[int]:  # pragma: no cover
    import psutil

    for process in psutil.process_iter():
        try:
            in_session = hasattr(os, "getsid") and os.getsid(process.pid) == marks.leader
            if in_session or process.environ().get(COOKIE) == marks.claim:
                yield process.pid
        except (psutil.Error, OSError):
            continue  # it ended, or is another user's

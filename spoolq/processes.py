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
from typing import (
    Callable,
    FrozenSet,
    Iterable,
    Iterator,
    List,
    NamedTuple,
    Optional,
    Sequence,
    Set,
    Tuple,
)

from spoolq import platform

COOKIE = "SPOOLQ_CLAIM"
_MOST_LOOKS = 5  # after the first; all of them where processes come and go all the time


class Marks(NamedTuple):
    """How the processes of one run are known; what is not known is None.

    `lock` is device and inode of the slot's file, `leader` the pid that leads the session, and
    `started` when that began, in seconds since the kernel's start.
    """

    claim: str
    lock: Optional[Tuple[int, int]] = None
    leader: Optional[int] = None
    started: Optional[float] = None


class Process(NamedTuple):
    """What can be seen of a process; `locks` are those that it holds among those asked for."""

    pid: int
    group: int
    session: int
    cookie: str = ""
    locks: FrozenSet[Tuple[int, int]] = frozenset()


def find(marks: Marks) -> List[Process]:
    """Return all processes of a run that are alive, never this one."""
    return find_all([marks])[0]


def find_all(runs: Sequence[Marks]) -> List[List[Process]]:
    """Return the processes of each of several runs; one look at the system serves them all.

    RACE: a process may be born while the others are looked at, so none is said after a second
    look alone (test_find_looks_twice_before_it_says_none); and one that forks and exits for ever is
    dead when it is looked at, so while any process dies between the looks there are more of
    them, and at last the run's group is asked for (test_a_command_that_forks_for_ever_is_ended).

    Raises:
        OSError: there is no descriptor left to look with, so nothing is known.
    """
    found, dead = _look(runs)
    for _ in range(_MOST_LOOKS):
        unseen = [index for index, seen in enumerate(found) if not seen]
        if not unseen:
            return found
        again, dead_now = _look([runs[index] for index in unseen])
        for index, seen in zip(unseen, again):
            found[index] = seen
        if dead_now <= dead:
            return found
        dead |= dead_now
    return [seen or _group_of(marks) for seen, marks in zip(found, runs)]


def _look(runs: Sequence[Marks]) -> Tuple[List[List[Process]], Set[int]]:
    """Look once; return what belongs to each run, and which pids were dead when looked at."""
    own = os.getpid()
    found: List[List[Process]] = [[] for _ in runs]
    dead: Set[int] = set()
    locks = {marks.lock for marks in runs if marks.lock is not None}
    for process in _processes(locks, dead) if platform.LINUX else _processes_elsewhere():
        if process.pid == own:
            continue
        for index, marks in enumerate(runs):
            if _belongs(process, marks):
                found[index].append(process)
    return found, dead


def _group_of(marks: Marks) -> List[Process]:
    """Return the run's group as one process, if the kernel knows of it, for want of a member.

    The dead whom nobody waited for are members too, so this proves something only while
    processes die faster than they can be looked at.
    """
    if marks.leader is None or not hasattr(os, "killpg") or not _same_leader(marks):
        return []
    try:
        os.killpg(marks.leader, 0)
    except OSError:
        return []
    return [Process(marks.leader, marks.leader, marks.leader)]


def send(numbers: Iterable[int], signal_number: int) -> None:
    """Send a signal to processes, or groups of them where a number is negative.

    They may have ended meanwhile, or belong to another user.
    """
    for number in numbers:
        try:
            os.kill(number, signal_number)
        except (ProcessLookupError, PermissionError):
            continue  # gone, or out of reach: whoever waits for the lock sees which


def children_and(leaders: Set[int]) -> List[Process]:
    """Return this process's living children, and those of sessions.

    By what no hung filesystem can hold up. A child may not be in its session yet: its exec hangs.
    """
    if not platform.LINUX:
        return [Process(leader, leader, leader) for leader in leaders]
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        status = _read_stat(int(entry))
        if status is None or status.state in "ZX":
            continue
        if status.session in leaders or status.parent == os.getpid():
            found.append(Process(int(entry), status.group, status.session))
    return found


def ask(left: Sequence[Process]) -> None:
    """Ask processes to end; a stopped one would not hear it, so each is continued.

    RACE: who leads is asked first. A shell whose children are all dead has nothing to wait for, and
    may be gone before it is asked; its trap would never run
    (test_who_leads_is_asked_before_what_it_has_started).
    """
    fresh = [one.pid for one in sorted(left, key=lambda one: (one.pid != one.session, one.pid))]
    send(fresh, _TERM)
    if _CONT:
        send(fresh, _CONT)


def kill(left: Sequence[Process]) -> None:
    """Kill processes, and their groups, in which only the run's own can be.

    RACE: a command may fork and exit faster than it is looked at, so that each process found is
    gone and its child there; the kernel signals a group at one moment
    (test_a_command_that_forks_for_ever_is_ended).
    """
    own = os.getpgrp() if hasattr(os, "getpgrp") else 0
    groups = {process.group for process in left} - {0, 1, own}
    send((-group for group in groups), _KILL)
    send((process.pid for process in left), _KILL)


def send_to_groups(leaders: Iterable[int], *, kill: bool) -> None:
    """Signal the groups of sessions' leaders, for want of a look at what is in them."""
    send([-leader for leader in leaders], _KILL if kill else _TERM)


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
        self.marks = marks
        self.is_over = False
        self._monotonic = monotonic
        self._kill_at = monotonic() + grace
        self._asked: Set[int] = set()
        self._begun = False
        self._pause = _FIRST_LOOK
        self._next_look = monotonic()

    def has_begun(self) -> bool:
        """Say whether anything was signalled yet: what ended before that ended by itself."""
        return self._begun

    def wants_a_look(self) -> bool:
        """Say whether it is time to look for what is left of the run."""
        return self._monotonic() >= self._next_look

    def push(self, left: Sequence[Process]) -> None:
        """Push on, with what is left of the run; `is_over` is True when that is nothing."""
        now = self._monotonic()
        self.is_over = not left
        if left:
            self._begun = True
        if left and now >= self._kill_at:
            kill(left)
        else:
            fresh = [one for one in left if one.pid not in self._asked]
            ask(fresh)
            self._asked.update(one.pid for one in fresh)
        # Paced even when all is over: who asked may go on waiting, for a lock held out of sight.
        until_kill = self._kill_at - now
        self._next_look = now + min(self._pause, until_kill if until_kill > 0 else self._pause)
        self._pause = min(self._pause * 1.5, _LONGEST_LOOK)

    def put_off(self) -> None:
        """Look again later: nothing could be found out just now."""
        self._next_look = self._monotonic() + _LONGEST_LOOK

    def patience(self) -> float:
        """Return the seconds until it wants another look."""
        return max(self._next_look - self._monotonic(), 0.0)


def push_on(endings: Iterable[Ending]) -> None:
    """Push those endings on that want a look, with one look for them all."""
    due = [ending for ending in endings if ending.wants_a_look()]
    if not due:
        return
    try:
        found = find_all([ending.marks for ending in due])
    except OSError:  # no descriptor left to look with: nothing is known, so they go on
        for ending in due:
            ending.put_off()
        return
    for ending, left in zip(due, found):
        ending.push(left)


def _belongs(process: Process, marks: Marks) -> bool:
    if process.cookie == marks.claim or marks.lock in process.locks:
        return True
    return process.session == marks.leader and _same_leader(marks)


def _same_leader(marks: Marks) -> bool:
    """Say whether the session is still the run's: its leader is the one that was recorded.

    While anything of a session lives the kernel gives its number to no other process, so a
    session without a leader is the run's own as well.
    """
    assert marks.leader is not None
    leader = _read_stat(marks.leader) if platform.LINUX else None
    return (
        leader is None or marks.started is None or abs(leader.started - marks.started) < _SAME_START
    )


# --- Linux ----------------------------------------------------------------------------------------

_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK") if platform.LINUX else 100
_SAME_START = 2.0  # seconds; a pid used again belongs to a process that started later

_FLOCK = re.compile(r"^lock:.*\bFLOCK\b.*\bWRITE\b", re.MULTILINE)
_PREFIX = COOKIE.encode() + b"="
_GONE = (FileNotFoundError, ProcessLookupError, PermissionError)  # or another user's: not a run's


def _processes(locks: Set[Tuple[int, int]], dead: Set[int]) -> Iterator[Process]:
    """Yield all processes that are alive, and add to `dead` those that were a moment ago."""
    # The newest first: of those that fork and exit, the last one is there when it is looked at.
    for entry in reversed(os.listdir("/proc")):
        if not entry.isdigit():
            continue
        status = _read_stat(int(entry))
        if status is None or status.state in "ZX":
            dead.add(int(entry))
            continue
        try:
            cookie, held = _read_cookie(entry), _read_locks(entry, locks)
        except _GONE:
            cookie, held = "", frozenset()
        yield Process(int(entry), status.group, status.session, cookie, held)


class _Status(NamedTuple):
    """What the kernel says of a process; `started` in seconds since its own start."""

    state: str
    parent: int
    group: int
    session: int
    started: float


def _read_stat(pid: int) -> Optional[_Status]:
    """Return what the kernel says of a process. Source: proc(5), /proc/pid/stat."""
    try:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
    except _GONE:
        return None
    parent, group, session = map(int, fields[1:4])
    return _Status(fields[0].decode(), parent, group, session, int(fields[19]) / _TICKS_A_SECOND)


def _read_cookie(pid: str) -> str:
    with open(f"/proc/{pid}/environ", "rb") as file:
        for variable in file.read().split(b"\0"):
            if variable.startswith(_PREFIX):
                return os.fsdecode(variable[len(_PREFIX) :])
    return ""


def _read_locks(pid: str, locks: Set[Tuple[int, int]]) -> FrozenSet[Tuple[int, int]]:
    """Return the locks that a process holds: one that merely looks has the file open too."""
    held = set()
    for entry in os.listdir(f"/proc/{pid}/fd") if locks else ():
        try:
            info = os.stat(f"/proc/{pid}/fd/{entry}")
        except OSError:
            continue  # closed while we looked, or on somebody's disk that fails
        try:
            if (info.st_dev, info.st_ino) in locks:
                with open(f"/proc/{pid}/fdinfo/{entry}", encoding="ascii") as file:
                    if _FLOCK.search(file.read()):
                        held.add((info.st_dev, info.st_ino))
        except _GONE:
            continue  # closed while we looked
    return frozenset(held)


# --- elsewhere ------------------------------------------------------------------------------------


def _processes_elsewhere() -> Iterator[Process]:  # pragma: no cover
    import psutil

    for process in psutil.process_iter():
        try:
            session = os.getsid(process.pid) if hasattr(os, "getsid") else -1
            group = os.getpgid(process.pid) if hasattr(os, "getpgid") else 0
            cookie = process.environ().get(COOKIE, "")
        except (psutil.Error, OSError):
            continue  # it ended, or is another user's
        yield Process(process.pid, group, session, cookie)

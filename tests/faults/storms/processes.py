"""All processes of a place, however they try not to be found, and what one of them costs."""

import os
import time
from typing import Dict, List, Optional, Set, Tuple

from ..place import Place


class Census:
    """Finds what was started in a place: by its variable, its open files, or its session.

    A session is remembered once a process in it was found, so that one that shed the other two
    marks is found still; sessions of the test itself do not count.
    """

    def __init__(self, place: Place) -> None:
        self._variable = f"R={place.runs}".encode()
        self._top = place.top + "/"
        self._own = {os.getsid(0)}
        self._sessions: Set[int] = set()

    def count(self) -> List[int]:
        """Return the pids of all that are alive."""
        sessions: Dict[int, int] = {}
        found: Set[int] = set()
        for entry in filter(str.isdigit, os.listdir("/proc")):
            pid = int(entry)
            session = _session_of(pid)
            if pid == os.getpid() or session is None:
                continue
            sessions[pid] = session
            if self._is_marked(entry):
                found.add(pid)
                self._sessions.add(session)
        self._sessions -= self._own | {0}
        found.update(pid for pid, session in sessions.items() if session in self._sessions)
        return sorted(found)

    def _is_marked(self, entry: str) -> bool:
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:
                if self._variable in file.read().split(b"\0"):
                    return True
        except OSError:
            pass  # it has just ended
        try:
            descriptors = os.listdir(f"/proc/{entry}/fd")
        except OSError:
            return False
        for descriptor in descriptors:
            try:
                if os.readlink(f"/proc/{entry}/fd/{descriptor}").startswith(self._top):
                    return True
            except OSError:
                continue  # closed meanwhile
        return False


def _fields(pid: int) -> List[str]:
    with open(f"/proc/{pid}/stat", encoding="latin-1") as file:
        return file.read().rpartition(")")[2].split()


def _session_of(pid: int) -> Optional[int]:
    """Return the session of a process that is alive, else None."""
    try:
        fields = _fields(pid)
    except OSError:
        return None
    return None if fields[0] in "ZX" else int(fields[3])


class Cost:
    """What share of its time a process works while something is done.

    Of the time in which it wants a processor and has none, because the machine is busy, nothing is
    counted: who never sleeps has a share of 1 under any load.
    """

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._before = self._look()

    def _look(self) -> Tuple[float, float, float]:
        """Return the time, and for how long it has worked and waited: see proc(5), schedstat."""
        with open(f"/proc/{self._pid}/schedstat", encoding="ascii") as file:
            worked, waited = (int(field) / 1e9 for field in file.read().split()[:2])
        return time.monotonic(), worked, waited

    def share(self) -> float:
        """Return the share since the start, a number up to 1."""
        elapsed, worked, waited = (now - then for now, then in zip(self._look(), self._before))
        return worked / max(elapsed - waited, worked, 0.001)

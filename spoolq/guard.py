"""Ends a worker's runs before its lease is over, when its server is out of reach.

On a hard mount every call hangs, the worker's loop in one of them; so this is a thread that touches
nothing of the spool, nor asks what files a process has open. It goes by the last good beat: half a
lease after that has begun the runs get TERM, and at three quarters KILL, again and again; a lease
after it other hosts may start the jobs. Nothing that was claimed before is started after that.

What has left its session is known by its environment, and gets KILL alone. Not seen: such a
process while its environment cannot be read. One that waits for a disk in a way that no signal ends
is not ended.
"""

from __future__ import annotations

import threading
from typing import Callable, Dict, Iterable, List, Optional, Protocol, Set, Tuple

from spoolq import platform, processes
from spoolq.executors import Ended
from spoolq.heartbeat import Heartbeat
from spoolq.job import LOST
from spoolq.logs import logger
from spoolq.names import Name

_ROUND, _REST = 0.1, 0.25  # seconds between two looks, while it acts and before
#: Of a lease: when the runs are asked to end, and when they are killed.
ASK, KILL = 0.5, 0.75

#: The runs under way on this machine: their claims, and the processes that lead them.
Leaders = Callable[[], Iterable[Tuple[Name, int]]]


class Guarding(Protocol):
    """What the worker asks of its guard."""

    trips: int

    def trusts(self) -> bool:
        """Say whether the lease holds, so that a run may be started."""

    def is_through(self, claim: Name) -> bool:
        """Say whether nothing is left of a run that has ended, as far as the guard ends it."""

    def judged(self, ended: Ended) -> Ended:
        """Return the end of a run as it is to be recorded."""


class Unneeded:
    """The guard where no lease is needed: no other host sees this filesystem."""

    trips = 0

    def trusts(self) -> bool:
        """Say yes."""
        return True

    def is_through(self, claim: Name) -> bool:
        """Say yes."""
        return True

    def judged(self, ended: Ended) -> Ended:
        """Change nothing."""
        return ended


class Guard:
    """The thread that ends the runs; `trips` says how often it had to begin.

    `ring` is called when nothing is left of a run that it has ended.
    """

    def __init__(
        self,
        heartbeat: Heartbeat,
        leaders: Optional[Leaders],
        lease: float,
        grace: float,
        ring: Callable[[], None] = lambda: None,
        elapsed: Callable[[], float] = platform.elapsed,
    ) -> None:
        self._heartbeat = heartbeat
        self._leaders = leaders
        self._ask_after = lease * ASK
        self._kill_after = min(lease * ASK + grace, lease * KILL)
        self._ring = ring
        self._elapsed = elapsed
        self._ends = threading.Event()
        self._asked: Set[int] = set()
        self._searcher: Optional[threading.Thread] = None
        self._is_tripped = False
        self._kill_at = 0.0
        self.trips = 0
        self._doomed: Dict[Name, int] = {}  # runs that it ends, and who led them
        self._through: Set[Name] = set()  # those of which nothing is left
        self._thread = threading.Thread(target=self._run, name="guard", daemon=True)

    def start(self) -> None:
        """Begin to guard."""
        self._thread.start()

    def stop(self) -> None:
        """Guard no more: nothing runs."""
        self._ends.set()
        if self._thread.is_alive():
            self._thread.join()

    def trusts(self) -> bool:
        """Say whether the lease holds, so that a run may be started."""
        return not (self._is_tripped or self._is_late())

    def is_through(self, claim: Name) -> bool:
        """Say whether nothing is left of a run that has ended, as far as the guard ends it.

        Its leader may have heeded TERM and something else of it not; the job must not run again
        beside that (test_a_run_is_not_over_while_anything_of_it_lives).
        """
        return claim not in self._doomed or claim in self._through

    def judged(self, ended: Ended) -> Ended:
        """Return the end of a run as it is to be recorded: as lost, if it is the guard's doing.

        Then it makes no difference whether this worker or another host comes to record it first.
        """
        claim = ended.run.claim
        if self._doomed.pop(claim, None) is None:
            return ended
        self._through.discard(claim)
        return ended if ended.error else ended._replace(error=LOST)

    def look(self) -> None:
        """Look once, and do what is due."""
        if not self._is_late():
            if self._is_tripped and not self._end_all():
                self._is_tripped = False
                self._asked.clear()
            return
        if not self._is_tripped:
            self._is_tripped = True
            self._kill_at = self._heartbeat.began + self._kill_after
            self.trips += 1
            self._tell(self._age())
        self._end_all()

    # --- inside -----------------------------------------------------------------------------------

    def _age(self) -> float:
        return self._elapsed() - self._heartbeat.began

    def _is_late(self) -> bool:
        return self._heartbeat.is_gone or self._age() >= self._ask_after

    def _end_all(self) -> bool:
        """Push the end of all runs on; False if there are none any more."""
        if self._leaders is None:
            return False
        under_way = dict(self._leaders())
        kills = self._heartbeat.is_gone or self._elapsed() >= self._kill_at
        try:
            left = processes.children_and({*under_way.values(), *self._doomed.values()})
        except OSError:  # no descriptor left to look with
            self._doomed.update(under_way)
            processes.send_to_groups(self._doomed.values(), kill=kills)
            return True
        sessions = {one.session for one in left}
        # Who has ended by itself is told as it ended, though nobody has looked yet.
        self._doomed.update((c, leader) for c, leader in under_way.items() if leader in sessions)
        if kills:
            processes.kill(left)
        else:
            fresh = [one for one in left if one.pid not in self._asked]
            processes.ask(fresh)
            self._asked.update(one.pid for one in fresh)
        ending = [claim for claim in list(self._doomed) if claim not in self._through]
        wanted = [c for c in ending if kills or self._doomed.get(c) not in sessions]
        if wanted:
            self._search(wanted, sessions)
        return bool(under_way or left or ending)

    def _search(self, claims: List[Name], sessions: Set[int]) -> None:
        """Kill what has left its session, in one more thread: to read an environment may hang."""
        if self._searcher is None or not self._searcher.is_alive():
            args = (claims, sessions)
            self._searcher = threading.Thread(target=self._kill_all_of, args=args, daemon=True)
            self._searcher.start()

    def _kill_all_of(self, claims: List[Name], sessions: Set[int]) -> None:
        try:
            found = processes.find_all([processes.Marks(str(claim)) for claim in claims])
        except OSError:
            return  # no descriptor left to look with: the next round tries again
        for claim, left in zip(claims, found):
            processes.kill(left)
            if not left and self._doomed.get(claim) not in sessions:
                self._through.add(claim)
                self._ring()

    def _tell(self, age: float) -> None:
        """Say what happens, in one more thread: the log may lie on the same server."""
        what = "the directory of this worker is gone: ending what it runs"
        if not self._heartbeat.is_gone:
            what = (
                f"the spool's server has not answered for {age:.0f} s: ending what runs, before "
                "another host may start it"
            )
        threading.Thread(target=logger.error, args=("%s", what), daemon=True).start()

    def _run(self) -> None:
        while not self._ends.wait(_ROUND if self._is_tripped else _REST):
            try:
                self.look()
            except (OSError, RuntimeError):  # no descriptor, or no thread, is to be had
                continue

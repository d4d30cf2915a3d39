"""What a Dask worker process knows of the attempts in it, and how it learns that they are unwanted.

One keeper a process. It asks the scheduler, several times in each lease, which attempts are to go
on, and tells the warden; an attempt that the scheduler does not confirm for a lease is given up.
So a command never outlives for long the belief that it runs.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from contextlib import contextmanager
from typing import Any, Dict, Iterator, List, Optional

from spoolq import platform
from spoolq.executors.dask import ledger
from spoolq.executors.dask.spec import Spec, key
from spoolq.executors.dask.warden import GRACE, Warden
from spoolq.job import LOST
from spoolq.processes import Ending, Marks, push_on

_ANSWER = 5.0  # seconds for an answer of the scheduler
_ROUNDS = 6  # questions in each lease


class Attempt:
    """An attempt in this process, from before it may start until nothing of it is left.

    `unwanted` is why it is to be ended, once somebody has said so.
    """

    def __init__(self, spec: Spec, worker: Any) -> None:
        self.spec = spec
        self.worker = worker
        self.key = key(spec.claim)
        self.until = time.monotonic() + spec.lease
        self.has_started = False  # as far as the scheduler knows
        self.unwanted: Optional[str] = None

    def give_up(self, reason: str) -> None:
        """Let it be ended; the first reason counts."""
        self.unwanted = self.unwanted or reason

    def look(self) -> None:
        """Give it up where the worker itself knows that it should, without asking anybody.

        Dask takes a task away from a worker by a word to its state alone: nothing ends a function.
        """
        task = self.worker.state.tasks.get(self.key)
        is_ours = task is not None and task.state in ("executing", "long-running")
        is_alive = self.worker.status.name in ("running", "paused")
        if not (is_ours and is_alive and time.monotonic() < self.until):
            self.give_up(LOST)


class Keeper:
    """The attempts of this process, its warden, and the thread that asks the scheduler."""

    def __init__(self) -> None:
        self._attempts: Dict[str, Attempt] = {}
        self._endings: Dict[str, Ending] = {}  # of what other processes have left
        self._warden = Warden()
        self._lock = threading.Lock()  # of the warden, and of what is in `_attempts`
        self._thread: Optional[threading.Thread] = None

    @contextmanager
    def keeping(self, spec: Spec, worker: Any) -> Iterator[Attempt]:
        """Keep an attempt while its function runs: from before anything is asked or started."""
        attempt = Attempt(spec, worker)
        with self._lock:
            self._attempts[spec.claim] = attempt
            self._warden.begins(spec.claim, attempt.until)
            if self._thread is None:
                self._thread = threading.Thread(target=self._ask, daemon=True, name="spoolq")
                self._thread.start()
        try:
            yield attempt
        finally:
            with self._lock:
                del self._attempts[spec.claim]
                self._warden.over(spec.claim)

    def may_start(self, attempt: Attempt) -> bool:
        """Ask the scheduler whether an attempt is the first of its task, and wanted here."""
        try:
            answer = _scheduler(attempt.worker, ledger.FIRST, attempt.spec.lease, key=attempt.key)
        except Exception:  # Dask's errors, and the network's: no answer is no permission
            return False
        attempt.has_started = bool(answer)
        return attempt.has_started and time.monotonic() < attempt.until

    def began(self, attempt: Attempt, pid: int) -> None:
        """Tell the warden which process leads an attempt."""
        with self._lock:
            self._warden.began(attempt.spec.claim, pid, platform.uptime())

    def end(self, reasons: Dict[str, str]) -> List[str]:
        """Give attempts up for a reason each; return which of them are here."""
        with self._lock:
            here = [self._attempts[claim] for claim in reasons if claim in self._attempts]
        for attempt in here:
            attempt.give_up(reasons[attempt.spec.claim])
        return [attempt.spec.claim for attempt in here]

    def clear(self, claims: List[str], processes: List[str]) -> Dict[str, Any]:
        """End what this machine has of attempts that nobody wants any more, a step further.

        Returns:
            This process, the attempts of which something is left, and which of those processes
            live on this machine.
        """
        left = set(self.end(dict.fromkeys(claims, LOST)))
        for claim in claims:
            if claim not in left and claim not in self._endings:
                self._endings[claim] = Ending(Marks(claim), GRACE, time.monotonic)
        self._endings = {k: v for k, v in self._endings.items() if k in claims}
        push_on(self._endings.values())
        left |= {claim for claim, ending in self._endings.items() if not ending.is_over}
        alive = [process for process in processes if _lives(process)]
        return {"process": this_process(), "left": sorted(left), "alive": alive}

    def _ask(self) -> None:
        """Ask the scheduler again and again, as long as there is an attempt here."""
        while True:
            with self._lock:
                attempts = list(self._attempts.values())
                if not attempts:
                    self._thread = None
                    return
            started = [attempt for attempt in attempts if attempt.has_started]
            for worker in {attempt.worker for attempt in started}:
                self._confirm(worker, [one for one in started if one.worker is worker])
            time.sleep(min(attempt.spec.lease for attempt in attempts) / _ROUNDS)

    def _confirm(self, worker: Any, attempts: List[Attempt]) -> None:
        asked_at = time.monotonic()
        lease = min(attempt.spec.lease for attempt in attempts)
        keys = [attempt.key for attempt in attempts]
        try:
            wanted = set(_scheduler(worker, ledger.WANTED, lease, keys=keys))
        except Exception:  # Dask's errors, and the network's: the lease runs on
            return
        for attempt in attempts:
            if attempt.key in wanted:
                attempt.until = asked_at + attempt.spec.lease
            else:
                attempt.give_up(LOST)
        with self._lock:
            self._warden.wanted_until(asked_at + lease)


def _scheduler(worker: Any, question: str, lease: float, **words: Any) -> Any:
    """Ask the scheduler from a thread of the worker's."""
    from distributed.utils import sync

    ask = getattr(worker.scheduler, question)
    me = {"address": worker.address, "process": this_process(), "lease": lease}
    return sync(worker.loop, ask, **me, **words, callback_timeout=min(_ANSWER, lease / 2))


# --- of this process ------------------------------------------------------------------------------

_keeper: Optional[Keeper] = None
_making = threading.Lock()


def keeper() -> Keeper:
    """Return this process's keeper."""
    global _keeper
    with _making:
        if _keeper is None:
            _keeper = Keeper()
        return _keeper


def place() -> str:
    """Return what processes have in common that can see and end each other's commands."""
    try:
        space = os.stat("/proc/self/ns/pid").st_ino
    except OSError:
        space = 0
    return f"{platform.boot_id() or socket.gethostname()}.{space}.{platform.effective_user()}"


def this_process() -> str:
    """Return a name of this process: its place and its number there."""
    return f"{place()}/{os.getpid()}"


def _lives(process: str) -> bool:
    """Say whether a process of this place lives; of another place nothing is known."""
    where, _, number = process.rpartition("/")
    if where != place():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True


# --- what a client sends for ----------------------------------------------------------------------


def hello() -> str:
    """Return the name of the process: that it can be said shows that spoolq is here."""
    return this_process()


def end(reasons: Dict[str, str]) -> List[str]:
    """Begin to end attempts; return which of them are here."""
    return keeper().end(reasons)


def clear(claims: List[str], processes: List[str]) -> Dict[str, Any]:
    """End what is left of attempts on this machine, a step further; see `Keeper.clear`."""
    return keeper().clear(claims, processes)

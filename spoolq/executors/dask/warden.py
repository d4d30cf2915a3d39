"""A small process beside a Dask worker that ends its commands when it can do so no longer.

A command whose worker process is killed, stopped or cut off would run on, and its job would start
anew elsewhere. The worker process tells the warden of each attempt before it starts it, and again
and again until when its attempts are wanted; when the pipe closes, or that time has passed, the
warden ends them. It starts no command and asks nobody.

A line of the pipe is a word and what belongs to it; times are of this kernel's monotonic clock:

    + CLAIM UNTIL           this attempt is about to start, and wanted until then
    = CLAIM PID STARTED     it has: the process that leads it, and when that began
    - CLAIM                 it is over
    ! UNTIL                 all attempts are wanted until then
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import time
from typing import Dict, List, NamedTuple, Optional

from spoolq.executors.dask import beside
from spoolq.fsio import write_all
from spoolq.processes import Ending, Marks, push_on

GRACE = 2.0  # seconds between TERM and KILL where nobody can say any more what the job's grace is
_LOOK = 1.0
_GATHER = 0.02  # seconds in which lines gather, so that each does not cost a turn


_IGNORED = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Warden:
    """The worker process's end of the pipe. A warden that was killed is started anew."""

    def __init__(self) -> None:
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._wanted_until = 0.0
        self._attempts: Dict[str, List[str]] = {}  # claim -> what was told of it

    def begins(self, claim: str, until: float) -> None:
        """Tell that an attempt is about to start; once it returns the warden knows."""
        self._attempts[claim] = [f"+ {claim} {until}"]
        self._tell(self._attempts[claim][-1])

    def began(self, claim: str, pid: int, started: float) -> None:
        """Tell which process leads an attempt."""
        self._attempts[claim].append(f"= {claim} {pid} {started}")
        self._tell(self._attempts[claim][-1])

    def over(self, claim: str) -> None:
        """Tell that an attempt is over."""
        del self._attempts[claim]
        self._tell(f"- {claim}")

    def wanted_until(self, until: float) -> None:
        """Tell until when what runs is wanted."""
        self._wanted_until = until
        self._tell(f"! {until}")

    def close(self) -> None:
        """Let the warden go, and wait for it; what it still knows of, it ends."""
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None
            process.stdin.close()
            process.wait()

    def _tell(self, line: str) -> None:
        try:
            if self._process is not None and self._process.poll() is None:
                self._write(line)
                return
        except OSError:
            pass  # it was killed just now
        self.close()
        self._start()

    def _start(self) -> None:
        """Start a warden, and tell it all that there is to know.

        RACE: a signal that ends its worker may reach it as it starts; so it inherits that these are
        held back until it ignores them
        (test_a_warden_heeds_no_signal_that_is_meant_for_its_worker).
        """
        before = signal.pthread_sigmask(signal.SIG_BLOCK, _IGNORED)
        try:
            self._process = beside.start(__name__, output=subprocess.DEVNULL)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        told = [line for lines in self._attempts.values() for line in lines]
        self._write("\n".join([f"! {self._wanted_until}", *told]))

    def _write(self, line: str) -> None:
        assert self._process is not None and self._process.stdin is not None
        write_all(self._process.stdin.fileno(), line.encode("ascii") + b"\n")


# --- the process itself ---------------------------------------------------------------------------


class _Attempt(NamedTuple):
    marks: Marks
    until: float


def main() -> None:
    """Be a warden, of the process at the other end of the standard input."""
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    attempts: Dict[str, _Attempt] = {}
    endings: Dict[str, Ending] = {}
    until, rest, is_closed = 0.0, b"", False
    poll = select.poll()
    poll.register(0, select.POLLIN)
    while attempts or endings or not is_closed:
        if is_closed:
            time.sleep(_pause(endings, attempts, until))
        elif poll.poll(1000 * _pause(endings, attempts, until) if attempts or endings else None):
            time.sleep(_GATHER)
            data = os.read(0, 65536)
            is_closed = not data
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                until = _heed(line.decode("ascii").split(), attempts, until)
        now = time.monotonic()
        for claim, (marks, own) in attempts.items():
            known = claim in endings and endings[claim].marks == marks
            if not known and (is_closed or now > max(own, until)):
                endings[claim] = Ending(marks, GRACE, time.monotonic)
        push_on(endings.values())
        for claim in [claim for claim, ending in endings.items() if ending.is_over]:
            # A process that was stopped may start it yet, until it tells that it is over.
            if is_closed or claim not in attempts:
                del endings[claim]
                attempts.pop(claim, None)


def _pause(endings: Dict[str, Ending], attempts: Dict[str, _Attempt], until: float) -> float:
    if endings:
        return min(ending.patience() for ending in endings.values())
    wanted = min((max(own, until) for _, own in attempts.values()), default=0.0)
    return min(max(wanted - time.monotonic(), 0.0), _LOOK)


def _heed(words: List[str], attempts: Dict[str, _Attempt], until: float) -> float:
    """Do as a line says; return until when what runs is wanted."""
    word, told = words[0], words[1]
    if word == "!":
        return float(told)
    if word == "+":
        attempts[told] = _Attempt(Marks(told), float(words[2]))
    elif word == "=" and told in attempts:
        marks = Marks(told, None, int(words[2]), float(words[3]))
        attempts[told] = attempts[told]._replace(marks=marks)
    elif word == "-":
        attempts.pop(told, None)
    return until


if __name__ == "__main__":
    main()

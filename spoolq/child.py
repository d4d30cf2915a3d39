"""Runs a program beside a worker's loop, for a thread that has time to wait for it.

The program has a session of its own, files as its input and its output, and nothing of what the
worker holds open; so it keeps no lock, and recovery takes it for no part of a run. It is ended when
it takes too long, or prints too much: by signals to its group, which what has left that does not
hear.
"""

from __future__ import annotations

import math
import os
import subprocess
from typing import Callable, Mapping, NamedTuple, Sequence

from spoolq import platform, processes
from spoolq.fsio import write_all

KEPT = 2048  # bytes of the output
MOST = 64 * 1024 * 1024  # bytes that it may print: they lie in a file without a name till it ends
_LOOK = 0.25  # seconds; the deadline may be drawn nearer while it is waited for


class Done(NamedTuple):
    """How a program ended: its exit code or minus a signal, and the end of what it printed.

    `ended` says why it was ended, if it was.
    """

    code: int
    output: str
    ended: str = ""

    @property
    def went(self) -> str:
        """How it ended, in words."""
        return f"exit {self.code}" if self.code >= 0 else f"signal {-self.code}"


def run(
    words: Sequence[str],
    given: bytes,
    *,
    environment: Mapping[str, str],
    cwd: str,
    deadline: Callable[[], float],
    grace: float,
    monotonic: Callable[[], float],
    nice: int = 0,
) -> Done:
    """Run a program to its end.

    Args:
        given: what it reads from its standard input.
        cwd: where it runs; needed, since a worker goes elsewhere for moments.
        deadline: until when it may take, by `monotonic`; asked again and again.
        grace: seconds between TERM and KILL when it is ended.
        nice: how far it stands back behind others, where the system knows of that.

    Raises:
        OSError: it cannot be started.
    """
    files = []
    try:
        for data in (given, b""):
            file = platform.nameless_file()
            files.append(file)
            write_all(file, data)
            os.lseek(file, 0, os.SEEK_SET)
        process = subprocess.Popen(
            words,
            stdin=files[0],
            stdout=files[1],
            stderr=files[1],
            cwd=cwd,
            env=dict(environment),
            start_new_session=True,
        )
        if nice and hasattr(os, "setpriority"):
            os.setpriority(os.PRIO_PROCESS, process.pid, nice)

        def prints_too_much() -> bool:
            return os.fstat(files[1]).st_size > MOST

        def at_most(limit: Callable[[], float]) -> Callable[[], float]:
            return lambda: -math.inf if prints_too_much() else limit()

        ended = ""
        if not _await(process, at_most(deadline), monotonic):
            ended = "it printed too much" if prints_too_much() else "it took too long"
            _signal(process, kill=False)
            _await(process, at_most(_in(grace, monotonic)), monotonic)
            _signal(process, kill=True)  # and what has not heard, though its leader has ended
            _await(process, _in(grace, monotonic), monotonic)
        code, output = process.poll(), _tail(files[1])
        if ended:  # what has left may have the file open for days, with all that is in it
            with open(files[1], "r+b", closefd=False) as printed:
                printed.truncate(0)
        return Done(-9 if code is None else code, output, ended)
    finally:
        for file in files:
            os.close(file)


def _await(
    process: subprocess.Popen[bytes], deadline: Callable[[], float], monotonic: Callable[[], float]
) -> bool:
    """Wait for the end of a process; False if it has not come by the deadline."""
    while True:
        left = deadline() - monotonic()
        try:
            process.wait(min(max(left, 0.0), _LOOK))
            return True
        except subprocess.TimeoutExpired:
            if left <= 0:
                return False


def _in(seconds: float, monotonic: Callable[[], float]) -> Callable[[], float]:
    at = monotonic() + seconds
    return lambda: at


def _signal(process: subprocess.Popen[bytes], *, kill: bool) -> None:
    if platform.WINDOWS:
        process.kill()
    else:
        processes.send_to_groups([process.pid], kill=kill)


def _tail(file: int) -> str:
    length = os.fstat(file).st_size
    os.lseek(file, max(length - KEPT, 0), os.SEEK_SET)
    return os.read(file, KEPT).decode("utf-8", "replace").strip()

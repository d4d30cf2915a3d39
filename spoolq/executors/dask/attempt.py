"""One attempt on a Dask worker: the function of its task.

It asks whether it may start, starts the command in a session of its own, waits, and ends all of it
when it has to. It runs in a thread of the Dask worker, of which there are others with work of
their own: so it changes nothing of the process, not even its directory for a moment.
"""

from __future__ import annotations

import os
import select
import subprocess
import time
from contextlib import contextmanager
from typing import Callable, Iterator, Optional, Tuple

from spoolq import config, logs, platform
from spoolq.errors import SpoolqError
from spoolq.executors import command
from spoolq.executors.dask.keeper import Attempt, Keeper, keeper
from spoolq.executors.dask.spec import Spec, Told
from spoolq.fsio import Dir
from spoolq.job import INTERRUPTED, LOST
from spoolq.layout import Layout
from spoolq.processes import Ending, Marks, push_on

HEAD, TAIL = 1 << 16, 1 << 20  # bytes of a log that are sent where the spool is out of sight
_LOOK = 0.1  # seconds between two looks at whether it is still wanted
_POLL = 0.01  # where the end of a process cannot be waited for together with a time


def run(text: str) -> Tuple[str, bytes]:
    """Run an attempt; return how it ended, and what it printed where the spool is out of sight."""
    from distributed import get_worker

    spec, own = Spec.read(text), keeper()
    with own.keeping(spec, get_worker()) as attempt:
        if not own.may_start(attempt):
            return Told(error=LOST, is_sure=False).text(), b""
        if attempt.unwanted is not None:
            return Told(error=attempt.unwanted).text(), b""
        try:
            log = _Log(spec)
        except FileExistsError:  # it has been started before: nobody else gives a log this name
            return Told(error=LOST, is_sure=False).text(), b""
        try:
            told = _run(own, attempt, log.descriptor)
            return told.text(), log.unseen()
        finally:
            log.close()


def _run(own: Keeper, attempt: Attempt, output: int) -> Told:
    spec = attempt.spec
    try:
        process = _start(spec, output)
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno in command.NO_ROOM:
            return Told(error=INTERRUPTED)
        code, reason = command.refusal(error, spec.cwd)
        return Told(exit_code=code, error=reason)
    marks = Marks(spec.claim, None, process.pid, platform.uptime())
    try:
        own.began(attempt, process.pid)
        return _watch(attempt, process, marks, output)
    finally:
        # Where this function fails, nothing may run on of which nobody knows.
        if process.poll() is None:
            _end(Ending(marks, 0.0, time.monotonic), process)


def _start(spec: Spec, output: int) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        spec.words,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        cwd=spec.cwd,
        env={**config.environment(), **spec.variables},
        start_new_session=True,
    )


def _watch(attempt: Attempt, process: subprocess.Popen[bytes], marks: Marks, output: int) -> Told:
    """Wait for the end of a command, or bring it about."""
    spec = attempt.spec
    deadline = None if spec.timeout is None else time.monotonic() + spec.timeout
    with _waiting_for(process) as wait:
        while process.poll() is None and attempt.unwanted is None:
            wait(_LOOK if deadline is None else min(_LOOK, max(deadline - time.monotonic(), 0.0)))
            attempt.look()
            if deadline is not None and time.monotonic() >= deadline:
                attempt.give_up(f"timed out after {spec.timeout:g} s")
            if spec.max_log is not None and (logs.size(output) or 0) > spec.max_log:
                attempt.give_up(f"printed more than max_log, {spec.max_log} bytes")
    error = attempt.unwanted if process.poll() is None else None
    # Its warden may have ended it, or some of it, when it was confirmed no more.
    if time.monotonic() > attempt.until:
        error = LOST
    if error is not None:
        _end(Ending(marks, spec.grace, time.monotonic), process)
    status = process.wait()
    return Told(
        exit_code=status if status >= 0 else None,
        signal=-status if status < 0 else None,
        error=error,
    )


def _end(ending: Ending, process: subprocess.Popen[bytes]) -> None:
    """End a command and all of it."""
    while not ending.is_over or process.poll() is None:
        time.sleep(ending.patience())
        push_on([ending])
        process.poll()  # or it would stay, dead, for who looks


@contextmanager
def _waiting_for(process: subprocess.Popen[bytes]) -> Iterator[Callable[[float], None]]:
    """Give a function that waits so many seconds at most for the end of a process."""
    descriptor = platform.pidfd_open(process.pid)
    if descriptor is None:
        yield lambda seconds: time.sleep(min(seconds, _POLL))
        return
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    try:
        yield lambda seconds: (poll.poll(seconds * 1000), None)[1]
    finally:
        os.close(descriptor)


class _Log:
    """Where an attempt prints: into the spool's own log where that is in sight, else a file."""

    def __init__(self, spec: Spec) -> None:
        """Open it.

        Raises:
            FileExistsError: the spool has a log of this attempt already.
        """
        self._logs: Optional[Dir] = None
        self._name = logs.parse(spec.log)
        self._spool = _in_sight(spec)
        if self._spool is not None and self._name is not None:
            self._logs = self._spool.dir("logs")
            self.descriptor = self._logs.create(str(self._name))
        else:
            self.descriptor = platform.nameless_file()

    def unseen(self) -> bytes:
        """Return what was printed where the spool is out of sight; of much, head and tail."""
        if self._logs is not None:
            return b""
        size = logs.size(self.descriptor) or 0
        if size <= HEAD + TAIL:
            return os.pread(self.descriptor, size, 0)
        gap = f"\n[spoolq: {size - HEAD - TAIL} bytes are left out here]\n".encode("ascii")
        tail = os.pread(self.descriptor, TAIL, size - TAIL)
        return os.pread(self.descriptor, HEAD, 0) + gap + tail

    def close(self) -> None:
        """Let it go; a log in which nothing was printed goes altogether."""
        if self._logs is not None and self._name is not None:
            logs.close_log(self._logs, self._name, self.descriptor)
        else:
            os.close(self.descriptor)
        if self._spool is not None:
            self._spool.close()


def _in_sight(spec: Spec) -> Optional[Layout]:
    """Open the spool if it is the one that the claim lies in, and not another of that path."""
    try:
        spool = Layout.open(spec.spool)
    except (OSError, SpoolqError):
        return None
    try:
        if spool.dir("processing").has(spec.claim):
            spool.dir("logs")
            return spool
    except (OSError, SpoolqError):
        pass
    spool.close()
    return None

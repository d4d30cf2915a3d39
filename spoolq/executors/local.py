"""Runs commands as child processes of the worker.

A command gets a session of its own, /dev/null as its input, its log as both outputs, and the lock
of its slot, so that what is left of it can be seen after the worker has died. Output goes straight
into the file: nothing of it passes through Python.
"""

from __future__ import annotations

import os
import sys
import threading
from typing import Any, Callable, Dict, List, Mapping, Optional, Set, Tuple

from spoolq import lease, logs, platform
from spoolq.executors import Context, Ended, Fate, Note, NotNow, Run, command, spawning
from spoolq.executors.niceness import Niceness
from spoolq.job import INTERRUPTED
from spoolq.names import Name
from spoolq.processes import Ending, Marks, push_on

_ROUND = 1.0  # seconds after which every child is looked at, whether its end has rung or not


class _Child:
    """A started run: its process, its log, and its end if that has begun."""

    def __init__(
        self, run: Run, process: spawning.Process, log: int, lock: Tuple[int, int]
    ) -> None:
        self.run = run
        self.process = process
        self.shared: Optional[spawning.Shared] = getattr(process, "shared", None)
        self.log = log
        self.lock = lock  # device and inode of the slot's; asked early: a disk may fail later
        self.pidfd: Optional[int] = None
        self.deadline: Optional[float] = None
        self.ending: Optional[Ending] = None
        self.error: Optional[str] = None


HERE = True
OPTIONS: Dict[str, str] = {}


def identity(options: Mapping[str, str]) -> Dict[str, str]:
    """Return nothing: there is one machine."""
    return {}


class LocalExecutor:
    """Child processes on this machine. The spawner is passed in, for tests."""

    def __init__(
        self, context: Context, spawn: Callable[..., spawning.Process] = spawning.start
    ) -> None:
        self._logs = context.spool.dir("logs")
        self._spool_path = context.spool.path
        self._capacity = context.most or 1
        self._niceness = None if context.nice is None else Niceness(context.nice)
        self._bell = context.bell
        self._environment = _encoded(context.environment)
        self._clock = context.clock
        self._monotonic = context.monotonic
        self._spawn = spawn if self._niceness is None else self._niceness.around(spawn)
        self._boot = platform.boot_id()
        self._null = os.open(os.devnull, os.O_RDONLY)
        platform.keep_from_commands()
        platform.prepare()
        self._children: Dict[Name, _Child] = {}
        self._stillborn: List[Ended] = []
        self._rang: Set[Name] = set()  # children whose end has rung
        self._next_round = 0.0

    def capacity(self) -> int:
        """Return what was asked for, 1 if nothing was."""
        return self._capacity

    def resize(self, most: int) -> None:
        """Take so many runs at a time from now on; those under way go on."""
        self._capacity = most

    def submit(self, run: Run) -> None:
        """Start a run; a command that cannot be started has ended at once, with a reason."""
        log_name = logs.log_name(run.claim)
        try:
            info = os.fstat(run.slot)
            log = self._logs.create(str(log_name))
        except OSError as error:
            raise NotNow(f"no log can be made: {error.strerror}") from error
        if not run.may_start():
            logs.close_log(self._logs, log_name, log)
            raise NotNow("the server of the spool was out of reach")
        try:
            process = self._spawn(
                command.words(run),
                {**self._environment, **_encoded(command.variables(run, self._spool_path))},
                stdin=self._null,
                output=log,
                inherit=(run.slot, *(token.descriptor for token in run.tokens)),
                cwd=run.job.fields.get("cwd"),
            )
        except (OSError, ValueError) as error:
            logs.close_log(self._logs, log_name, log)
            if isinstance(error, OSError) and error.errno in command.NO_ROOM:
                raise NotNow(f"no process can be started: {error.strerror}") from error
            code, reason = command.refusal(error, run.job.fields.get("cwd"))
            self._stillborn.append(Ended(run, self._clock(), exit_code=code, error=reason))
            return
        if self._niceness is not None:
            self._niceness.give(process.pid)
        child = self._children[run.claim] = _Child(run, process, log, (info.st_dev, info.st_ino))
        started = platform.uptime() if child.shared is None else child.shared.started
        try:
            lease.write_slot(run.slot, str(run.claim), process.pid, started, self._boot)
        except OSError as error:  # the run is known by its other two marks still
            logs.logger.warning("%s: its process is not noted: %s", run.claim.id, error.strerror)
        timeout = run.settings.timeout_of(run.job)
        if timeout is not None:
            child.deadline = self._monotonic() + timeout
        try:
            self._watch(child)
        except (OSError, RuntimeError) as error:  # its end is seen at the next tick then
            logs.logger.warning("%s: its end will not ring: %s", run.claim.id, error)

    def outcomes(self) -> List[Ended]:
        """Return what has ended since the last call; pushes timeouts and endings on."""
        ended, self._stillborn = self._stillborn, []
        if self._niceness is not None:
            self._niceness.push_on()
        push_on(child.ending for child in self._children.values() if child.ending is not None)
        for child in self._worth_a_look():
            status = child.process.poll()
            if status is not None:
                self._silence(child)  # readable from now on: it would ring until all is over
            if status is None and child.ending is None:
                self._heed_limits(child)
            if child.ending is not None:
                # Whatever it left behind has to go before the job may run again.
                if not child.ending.is_over or child.process.poll() is None:
                    continue
                status = child.process.poll()
            if status is not None:
                ended.append(self._bring_in(child, status))
        return ended

    def cancel(self, claim: Name, error: str) -> None:
        """Begin to end a run and everything of it; a second call changes nothing."""
        child = self._children.get(claim)
        if child is None or child.ending is not None or child.process.poll() is not None:
            return  # what has ended by itself is told as it ended, and does not run again
        marks = Marks(str(claim), child.lock, child.process.pid)
        child.ending = Ending(marks, child.run.settings.grace, self._monotonic)
        child.error = error

    def patience(self) -> Optional[float]:
        """Return the seconds until a timeout, or the next step of an ending."""
        if self._stillborn:
            return 0.0
        waits = []
        late = None if self._niceness is None else self._niceness.patience()
        if late is not None:
            waits.append(late)
        for child in self._children.values():
            if child.ending is not None:
                waits.append(child.ending.patience())
                continue
            if child.deadline is not None:
                waits.append(max(child.deadline - self._monotonic(), 0.0))
            if child.run.settings.max_log is not None:
                waits.append(max(self._next_round - self._monotonic(), 0.0))
        return min(waits, default=None)

    def leaders(self) -> List[Tuple[Name, int]]:
        """Return what is under way, and which process leads it; any thread may ask."""
        return [(claim, child.process.pid) for claim, child in list(self._children.items())]

    def fate(self, claim: Name, note: Note) -> Fate:
        """Say OVER: recovery itself ends what is left of a run on this machine, and asks nobody."""
        return Fate.OVER

    def reattach(self, run: Run, note: Note) -> None:
        """Do nothing: no run is ever found alive."""

    def close(self) -> None:
        """Let the one descriptor go."""
        os.close(self._null)
        if self._niceness is not None:
            self._niceness.close()

    # --- inside -----------------------------------------------------------------------------------

    def _worth_a_look(self) -> List[_Child]:
        """Return the children that may have ended or want a push; each second all of them."""
        now = self._monotonic()
        if now >= self._next_round:
            self._next_round = now + _ROUND
            self._rang.intersection_update(self._children)  # a thread may tell of one brought in
            return list(self._children.values())
        return [
            child
            for claim, child in self._children.items()
            if claim in self._rang
            or child.ending is not None
            or (child.deadline is not None and child.deadline <= now)
        ]

    def _watch(self, child: _Child) -> None:
        claim = child.run.claim
        shared = child.shared
        pidfd = platform.pidfd_open(child.process.pid) if shared is None else shared.descriptor()
        if pidfd is None:
            threading.Thread(target=self._wait_for, args=(child,), daemon=True).start()
            return
        try:
            self._bell.watch(pidfd, lambda: self._rang.add(claim))
        except OSError:
            os.close(pidfd)
            raise
        child.pidfd = pidfd

    def _heed_limits(self, child: _Child) -> None:
        """End a run that takes longer, or has printed more, than it may."""
        settings = child.run.settings
        if child.deadline is not None and self._monotonic() >= child.deadline:
            timeout = settings.timeout_of(child.run.job)
            self.cancel(child.run.claim, f"timed out after {timeout:g} s")
        elif settings.max_log is not None and (logs.size(child.log) or 0) > settings.max_log:
            self.cancel(child.run.claim, f"printed more than max_log, {settings.max_log} bytes")

    def _wait_for(self, child: _Child) -> None:
        child.process.wait()
        self._rang.add(child.run.claim)
        self._bell.ring()

    def _silence(self, child: _Child) -> None:
        if child.pidfd is not None:
            self._bell.forget(child.pidfd)
            os.close(child.pidfd)
            child.pidfd = None

    def _bring_in(self, child: _Child, status: int) -> Ended:
        del self._children[child.run.claim]
        self._rang.discard(child.run.claim)
        self._silence(child)
        if self._niceness is not None:
            self._niceness.forget(child.process.pid)
        if child.shared is not None:
            child.shared.release()
        logs.close_log(self._logs, logs.log_name(child.run.claim), child.log)
        error = None
        if child.ending is not None and child.ending.has_begun():
            error = child.error
        elif child.shared is not None and child.shared.never_began:
            error = INTERRUPTED  # the job waits again, and has used no attempt
        return Ended(
            child.run,
            self._clock(),
            exit_code=status if status >= 0 else None,
            signal=-status if status < 0 else None,
            error=error,
        )


def _encoded(variables: Mapping[str, str]) -> Dict[Any, Any]:
    """Return an environment as the system takes it, so that each spawn need not encode it anew."""
    if platform.WINDOWS:
        return dict(variables)
    how = sys.getfilesystemencoding(), sys.getfilesystemencodeerrors()
    return {name.encode(*how): value.encode(*how) for name, value in variables.items()}


def make(context: Context, options: Mapping[str, str]) -> LocalExecutor:
    """Make the executor; it has no options."""
    return LocalExecutor(context)

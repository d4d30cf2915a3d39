"""Makes calls of Python in warm processes, which have imported the code; else it is `local`.

It starts processes in another way, and everything else about a run (its log, its limits, its end,
what is found of it after a crash) is as `local` has it. A call that a warm process could not make
as its command would (another Python, another directory, PYTHONPATH …) is run as the command is,
and so is everything when no warm process is there.
"""

from __future__ import annotations

import os
import re
import select
import signal
import socket
import subprocess
import sys
import time
from functools import lru_cache
from typing import Any, Dict, List, Mapping, Optional, Sequence, Set

from spoolq import callables, platform, processes
from spoolq.errors import BadInput, SpoolqError
from spoolq.executors import Context, spawning, zygote
from spoolq.executors.local import LocalExecutor
from spoolq.logs import logger

HERE = True  #: its runs are processes of this machine, which recovery finds by itself
OPTIONS: Dict[str, str] = {
    "preload": "modules to import before the first call, with commas",
    "runs": "calls that one process makes before it is replaced (1000)",
}
_PATIENCE = 60.0  # seconds for the imports
_MOMENT = 1.0  # seconds to wait for a process that is being forked
_START_AGAIN = 5.0  # seconds between zygotes
_MOST_TOLD = 16  # other Pythons of which it is said that their calls are not warm
_LOST = 255  # how a run ended that nobody can tell of any more
_OF_PYTHON = (b"PYTHON", b"LD_")  # variables that are heeded when a process begins


def identity(options: Mapping[str, str]) -> Dict[str, str]:
    """Return nothing: there is one machine."""
    return {}


def make(context: Context, options: Mapping[str, str]) -> PythonExecutor:
    """Make the executor; it returns when the modules have been imported.

    Raises:
        BadInput: an option is wrong, or a module cannot be imported.
        SpoolqError: the imports take too long.
    """
    if not platform.LINUX:
        raise BadInput("the executor python needs Linux", hint="without it calls run one by one")
    modules = [name for name in options.get("preload", "").split(",") if name]
    for module in modules:
        if not re.fullmatch(r"[^\W\d]\w*(\.[^\W\d]\w*)*", module):
            raise BadInput(f"{module!r} is no module's name", hint="--preload package.module")
    runs = options.get("runs", "1000")
    if not re.fullmatch(r"[1-9]\d{0,8}", runs, re.ASCII):
        raise BadInput(f"-o runs={runs}: a whole number from 1 on is wanted", hint="-o runs=1000")
    executor = PythonExecutor(context, modules, int(runs))
    imported = f", with {', '.join(modules)} imported" if modules else ""
    logger.info("calls of Python go to warm processes%s", imported)
    return executor


class PythonExecutor(LocalExecutor):
    """The local executor, with a nursery that starts what it can."""

    def __init__(self, context: Context, modules: List[str], runs: int) -> None:
        self._nursery = Nursery(context, modules, runs)
        super().__init__(context, self._nursery.start)

    def resize(self, most: int) -> None:
        """Take so many runs at a time from now on, and have as many processes."""
        super().resize(most)
        self._nursery.resize(most)

    def close(self) -> None:
        """Let all processes go."""
        super().close()
        self._nursery.close()


class _Warm:
    """A warm process, as its worker sees it: what it has said, and what is to be said to it."""

    def __init__(self, ours: socket.socket) -> None:
        self.socket = ours
        self.pid = 0  # until it is born
        self.started = 0.0
        self.is_gone = False
        self.code: Optional[int] = None  # of the run that has ended
        self.never_began = False  # that run: the process had died before it was given
        self._heard = b""

    def hear(self) -> None:
        """Take in what has been said since the last time."""
        while not self.is_gone:
            try:
                data = self.socket.recv(4096)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:  # nobody is left who could tell
                self.is_gone = True
                self.code = _LOST if self.code is None else self.code
                processes.send({self.pid} - {0}, signal.SIGKILL)
                return
            *lines, self._heard = (self._heard + data).split(b"\n")
            for line in lines:
                self._take(line.split())

    def _take(self, words: List[bytes]) -> None:
        if words[0] == b"born":
            self.pid, self.started = int(words[1]), float(words[2])
        elif words[0] == b"end":
            self.code = int(words[1])
        else:
            self.is_gone = True
            self.never_began = words[2] == b"1"
            self.code = int(words[1]) if self.code is None else self.code


class _WarmRun:
    """One run in a warm process, which is `Shared`: it goes on when the run has ended."""

    def __init__(self, warm: _Warm, nursery: Nursery) -> None:
        self.pid = warm.pid
        self.started = warm.started
        self._warm = warm
        self._nursery = nursery

    @property
    def shared(self) -> spawning.Shared:
        return self

    def poll(self) -> Optional[int]:
        self._warm.hear()
        return self._warm.code

    def wait(self) -> int:
        while self.poll() is None:
            _wait_for(self._warm.socket, None)
        code = self.poll()
        assert code is not None
        return code

    @property
    def never_began(self) -> bool:
        return self._warm.never_began

    def descriptor(self) -> int:
        return os.dup(self._warm.socket.fileno())

    def release(self) -> None:
        self._nursery.take_back(self._warm)


class Nursery:
    """The zygote and its children, as many as there are runs at a time."""

    def __init__(self, context: Context, modules: List[str], runs: int) -> None:
        self._most = context.most or 1
        self._environment = dict(context.environment)
        self._words = [sys.executable, "-m", "spoolq.executors.zygote"]
        self._arguments = [str(runs), *modules]
        self._told: Set[str] = set()  # of which other Pythons it was said that they are not warm
        self._home = os.getcwd()
        self._inherited = {os.fsencode(k): os.fsencode(v) for k, v in self._environment.items()}
        self._idle: List[_Warm] = []  # born or not
        self._busy = 0
        self._next_zygote = 0.0
        self._control: Optional[socket.socket] = None
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._start_zygote()
        try:
            self._await_ready(modules)
        except BaseException:
            self.close()
            raise
        self._fill()

    def start(
        self,
        words: List[str],
        environment: Dict[Any, Any],
        *,
        stdin: int,
        output: int,
        inherit: Sequence[int],
        cwd: Optional[str],
    ) -> spawning.Process:
        """Start a run, as `spawning.start` does; a call in a warm process where that can be.

        Raises:
            OSError, ValueError: it cannot be started.
        """
        if self._is_ours(words) and cwd in (None, self._home):
            changed = {
                name: value
                for name, value in environment.items()
                if self._inherited.get(name) != value
            }
            data = zygote.packed(changed)
            fits = len(data) <= zygote.MOST and len(inherit) <= zygote.MOST_LOCKS
            if fits and not any(map(_is_of_python, changed)):
                run = self._begin(data, output, inherit)
                if run is not None:
                    return run
        return spawning.start(
            words, environment, stdin=stdin, output=output, inherit=inherit, cwd=cwd
        )

    def take_back(self, warm: _Warm) -> None:
        """Have a process wait for its next run, or another one in its place."""
        self._busy -= 1
        warm.code = None
        if warm.is_gone or len(self._idle) + self._busy >= self._most:
            warm.socket.close()
        else:
            self._idle.append(warm)
        self._fill()

    def resize(self, most: int) -> None:
        """Have so many processes; those that make calls leave when these have ended."""
        self._most = most
        while self._idle and len(self._idle) + self._busy > most:
            self._idle.pop(0).socket.close()
        self._fill()

    def close(self) -> None:
        """Let the processes go: they leave when nobody holds the other end of their sockets."""
        for warm in self._idle:
            warm.socket.close()
        self._idle = []
        if self._control is not None:
            self._control.close()
            self._control = None
        if self._process is not None:
            try:
                self._process.wait(_MOMENT)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    # --- inside -----------------------------------------------------------------------------------

    def _is_ours(self, words: List[str]) -> bool:
        """Say whether a command is to make a call with this Python."""
        if not callables.makes_call(words):
            return False
        if _is_this_python(words[0]):
            return True
        if words[0] not in self._told and len(self._told) < _MOST_TOLD:
            self._told.add(words[0])
            logger.warning(
                "calls with %s run one by one: the warm processes are of %s",
                words[0],
                sys.executable,
            )
        return False

    def _begin(self, data: bytes, log: int, locks: Sequence[int]) -> Optional[_WarmRun]:
        """Give a run to a process that waits for one; None where there is none."""
        self._fill()
        while self._idle:
            warm = self._idle.pop()
            warm.hear()
            if not warm.pid and not warm.is_gone:
                _wait_for(warm.socket, _MOMENT)
                warm.hear()
            if not warm.pid and not warm.is_gone:  # its zygote is busy, or imports anew
                self._idle.insert(0, warm)
                return None
            try:
                if not warm.is_gone:
                    zygote.send(warm.socket, data, (log, *locks))
                    warm.code = None
                    self._busy += 1
                    return _WarmRun(warm, self)
            except OSError:
                pass  # it died just now, before it had a run
            warm.socket.close()
            self._fill()
        return None

    def _fill(self) -> None:
        """Have as many processes as there may be runs."""
        while len(self._idle) + self._busy < self._most:
            if self._control is None and not self._start_zygote():
                return
            ours, theirs = socket.socketpair()
            with theirs:
                try:
                    assert self._control is not None
                    zygote.send(self._control, b"f", (theirs.fileno(),))
                except OSError:
                    ours.close()
                    self._lose_zygote()
                    continue
            ours.setblocking(False)
            self._idle.insert(0, _Warm(ours))

    def _start_zygote(self) -> bool:
        """Start the zygote; False where the last one was started a moment ago."""
        if time.monotonic() < self._next_zygote:
            return False
        self._next_zygote = time.monotonic() + _START_AGAIN
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = subprocess.Popen(
                [*self._words, str(theirs.fileno()), *self._arguments],
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )
        self._control = ours
        return True

    def _lose_zygote(self) -> None:
        """Note that the zygote is gone; its children make their calls, and fork no more."""
        logger.warning("what forks the warm processes is gone; starting it again")
        assert self._control is not None and self._process is not None
        self._control.close()
        self._control = None
        self._process.kill()
        self._process.wait()

    def _await_ready(self, modules: List[str]) -> None:
        assert self._control is not None
        heard = b""
        deadline = time.monotonic() + _PATIENCE
        while not heard.endswith(b"\n"):
            if not _wait_for(self._control, deadline - time.monotonic()):
                raise SpoolqError(
                    f"to import {', '.join(modules)} takes longer than {_PATIENCE:g} s",
                    hint="preload less",
                )
            data = self._control.recv(4096)
            if not data:
                raise SpoolqError("the process that imports the modules has died")
            heard += data
        if heard.startswith(b"failed "):
            said = heard[len(b"failed ") :].decode("utf-8", "replace").strip()
            raise BadInput(
                said, hint="it is imported from the directory that the worker is started in"
            )


@lru_cache(maxsize=64)
def _is_this_python(path: str) -> bool:
    """Say whether a program is this Python, of this environment: `python` beside `python3`."""
    both = (path, sys.executable)
    directories = {os.path.realpath(os.path.dirname(one)) for one in both}
    return len(directories) == 1 and len({os.path.realpath(one) for one in both}) == 1


def _wait_for(source: socket.socket, seconds: Optional[float]) -> bool:
    """Wait until there is something to hear; False if there was nothing within these seconds."""
    poll = select.poll()  # where select stops at a thousand descriptors
    poll.register(source, select.POLLIN)
    return bool(poll.poll(None if seconds is None else max(seconds, 0.0) * 1000))


def _is_of_python(name: bytes) -> bool:
    return name.startswith(_OF_PYTHON)

"""Permission to start a job, asked of a command: for load, memory, or anything else.

The command runs beside the loop, which sleeps until it has ended: exit code 0 lets one job start, 1
lets it wait a second before it is asked again, and whatever else it does counts as that. It is
asked only while a job is due and there is a slot for it, and what it says is good for a moment.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import threading
from typing import Callable, List, Mapping, Optional, Set

from spoolq import platform
from spoolq.logs import logger

PATIENCE = 10.0  # seconds that it may take
_PAUSE = 1.0  # seconds after it has said "wait", or could not be asked
_GOOD_FOR = 1.0  # seconds that a permit is good for
_GO, _WAIT = 0, 1


class Permit:
    """What lets one job after another start; where there is no command, always.

    Args:
        command: for the shell; None: nothing is asked.
        wake: wakes the loop, from another thread.
        environment: of the command.
    """

    def __init__(
        self,
        command: Optional[str] = None,
        wake: Callable[[], None] = lambda: None,
        monotonic: Callable[[], float] = lambda: 0.0,
        environment: Mapping[str, str] = {},  # noqa: B006 - never changed
        shell: str = "/bin/sh",
    ) -> None:
        self._words: List[str] = platform.shell_command(command, shell) if command else []
        self._wake = wake
        self._monotonic = monotonic
        self._environment = environment
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._deadline = 0.0
        self._is_late = False
        self._good_until = -math.inf
        self._next = -math.inf
        self._said: Set[str] = set()

    def is_given(self) -> bool:
        """Say whether a job may start now; where nobody knows, the command is asked."""
        if not self._words:
            return True
        self._hear()
        now = self._monotonic()
        if now <= self._good_until:
            return True
        if self._process is None and now >= self._next:
            self._ask(now)
        return False

    def used(self) -> None:
        """Note that a job has started: the next one has to be asked for."""
        self._good_until = -math.inf

    def patience(self) -> Optional[float]:
        """Return the seconds after which `is_given` is worth a call whatever rings, or None."""
        now = self._monotonic()
        if self._process is not None:
            return None if self._is_late else max(self._deadline - now, 0.0)
        return self._next - now if now < self._next else None

    def close(self) -> None:
        """End the command if it runs."""
        if self._process is not None and self._process.poll() is None:
            _kill(self._process)

    # --- inside -----------------------------------------------------------------------------------

    def _ask(self, now: float) -> None:
        self._next = now + _PAUSE
        try:
            process = subprocess.Popen(
                self._words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                env=dict(self._environment),
                start_new_session=True,
            )
        except OSError as error:
            self._say(f"it cannot be started: {error.strerror}")
            return

        def wait() -> None:
            process.wait()
            self._wake()

        try:
            threading.Thread(target=wait, daemon=True).start()
        except RuntimeError as error:  # as many as this user may have
            _kill(process)
            process.wait()
            self._say(str(error))
            return
        self._process, self._deadline, self._is_late = process, now + PATIENCE, False

    def _hear(self) -> None:
        process, now = self._process, self._monotonic()
        if process is None:
            return
        code = process.poll()
        if code is None:
            if now >= self._deadline and not self._is_late:
                self._is_late = True
                _kill(process)
            return
        self._process = None
        if self._is_late:
            self._say(f"it took longer than {PATIENCE:g} s")
        elif code == _GO:
            self._good_until = now + _GOOD_FOR
            return
        elif code != _WAIT:
            self._say(f"exit code {code}" if code > 0 else f"killed by signal {-code}")
        self._next = now + _PAUSE

    def _say(self, what: str) -> None:
        """Say what is neither go nor wait, once."""
        if what not in self._said:
            self._said.add(what)
            logger.warning("limit command: %s; that counts as: wait", what)


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the command and what it has started."""
    try:
        if platform.WINDOWS:
            process.kill()
        else:
            os.killpg(process.pid, signal.SIGKILL)
    except OSError:
        pass  # it has just ended

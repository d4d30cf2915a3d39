"""How nice commands are to everybody else's: `worker start --nice N`, for them and not for spoolq.

Linux keeps the value by thread, and a process begins with that of the thread which started it; so a
thread starts them that has it. Elsewhere, and for a warm process, it is given right after the
start, to the whole group. On Linux that alone may do nothing: where the kernel has autogroups, each
session is scheduled as one, by a value of its own (sched(7)), and each command has a session of its
own. So its autogroup gets the value as well. The kernel takes that from who is not root but ten
times a second, whoever asks; what it puts off is tried again.
"""

from __future__ import annotations

import os
import sys
from typing import Any, Callable, List, Optional, TypeVar

from spoolq import platform
from spoolq.errors import BadInput
from spoolq.logs import logger

_PAUSE = 0.1  # seconds in which the kernel takes one value for an autogroup
_CAP_SYS_NICE = 1 << 23
_P = TypeVar("_P")


class Niceness:
    """One value for many processes, each of which leads a session."""

    def __init__(self, value: int) -> None:
        """Raises BadInput where this user may not give it."""
        _require(value)
        self.value = value
        self._has_groups = _has_autogroups()
        self._waiting: List[int] = []  # whose autogroup has not got it yet
        self._told = False
        self._thread: Any = None

    def around(self, start: Callable[..., _P]) -> Callable[..., _P]:
        """Return what starts a process as `start` does, with the value from its first moment on."""
        if not platform.LINUX:
            return start
        from concurrent.futures import ThreadPoolExecutor  # here alone: few want it

        self._thread = ThreadPoolExecutor(1, "nice", self._be_nice)
        submit = self._thread.submit
        return lambda *args, **kwargs: submit(start, *args, **kwargs).result()

    def close(self) -> None:
        """Let the thread go."""
        if self._thread is not None:
            self._thread.shutdown()

    def _be_nice(self) -> None:
        try:
            os.setpriority(os.PRIO_PROCESS, 0, self.value)  # of this thread
        except OSError:
            pass  # `give` says so

    def give(self, pid: int) -> None:
        """Give it to a process that was just started."""
        if sys.platform != "win32":
            try:
                os.setpriority(os.PRIO_PGRP, pid, self.value)
            except ProcessLookupError:
                return  # it has ended
            except OSError as error:
                if not self._told:
                    logger.warning("a command is not as nice as asked for: %s", error.strerror)
                self._told = True
        if self._has_groups:
            self._waiting.append(pid)
            self.push_on()

    def forget(self, pid: int) -> None:
        """Let a process be that has ended: its number may become another's."""
        if pid in self._waiting:
            self._waiting.remove(pid)

    def push_on(self) -> None:
        """Give it to the autogroups that the kernel has put off."""
        while self._waiting:
            try:
                with open(f"/proc/{self._waiting[0]}/autogroup", "w", encoding="ascii") as file:
                    file.write(str(self.value))
            except BlockingIOError:
                return
            except OSError:
                pass  # it has ended, or its rights are others by now
            del self._waiting[0]

    def patience(self) -> Optional[float]:
        """Return the seconds until `push_on` is worth a call, or None."""
        return _PAUSE if self._waiting else None


def _require(value: int) -> None:
    """Refuse a value that this user may not give to a process of its own."""
    if sys.platform == "win32":
        raise BadInput("--nice is for systems that know nice values, and Windows does not")
    own = os.getpriority(os.PRIO_PROCESS, 0)
    if value >= own or _may_lower_to(value):
        return
    raise BadInput(
        f"--nice {value}: this worker runs with {own}, and less takes rights that it has not",
        hint=f"--nice {max(own, 0)} or more; or start it as root, or raise its limit:  ulimit -e",
    )


def _may_lower_to(value: int) -> bool:
    if not platform.LINUX:
        return platform.effective_user() == 0
    import resource

    soft = resource.getrlimit(getattr(resource, "RLIMIT_NICE"))[0]  # noqa: B009 - Linux alone
    if soft == resource.RLIM_INFINITY or 20 - value <= soft:
        return True
    with open("/proc/self/status", encoding="ascii", errors="replace") as file:
        has = [line.split()[1] for line in file if line.startswith("CapEff:")]
    return bool(has) and bool(int(has[0], 16) & _CAP_SYS_NICE)


def _has_autogroups() -> bool:
    try:
        with open("/proc/sys/kernel/sched_autogroup_enabled", encoding="ascii") as file:
            return file.read().strip() == "1"
    except OSError:
        return False

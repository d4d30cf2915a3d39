"""Tells the service manager how it goes: that it is ready, lives, and leaves; sd_notify(3).

Where none asked for that, nothing is told. Nothing that goes wrong here is worth a job.
"""

from __future__ import annotations

import socket
from typing import Callable, Dict, Mapping

READY, ALIVE, STOPPING = "READY=1", "WATCHDOG=1", "STOPPING=1"

_OURS = frozenset({"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"})


def teller(environment: Mapping[str, str]) -> Callable[[str], None]:
    """Return what tells the manager that this environment names, if it names one."""
    address = environment.get("NOTIFY_SOCKET", "")
    if address[:1] not in ("/", "@") or not hasattr(socket, "AF_UNIX"):
        return lambda state: None
    where = "\0" + address[1:] if address[0] == "@" else address

    def tell(state: str) -> None:
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
                manager.setblocking(False)
                manager.sendto(state.encode("ascii"), where)
        except (OSError, ValueError):
            pass  # the manager has gone, or does not listen just now: the next one comes

    return tell


def without(environment: Mapping[str, str]) -> Dict[str, str]:
    """Return the environment for commands: none of them is to speak in the worker's name."""
    return {name: value for name, value in environment.items() if name not in _OURS}

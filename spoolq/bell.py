"""Sleep until something happens: a descriptor becomes readable, a bell is rung, time passes.

The one place where a worker waits. `ring` may be called from any thread; signals ring by
themselves.
"""

from __future__ import annotations

import selectors
import signal
import socket
from typing import Callable, Optional

_WAKE = b"\0"  # no signal has this number; the bytes of signals come here as well


class Bell:
    """A selector with a doorbell."""

    def __init__(self) -> None:
        self._selector = selectors.DefaultSelector()
        self._outside, self._inside = socket.socketpair()
        for end in (self._outside, self._inside):
            end.setblocking(False)
        self._selector.register(self._inside, selectors.EVENT_READ, self._hear)
        self._rang = False

    def ring(self) -> None:
        """Wake the sleeper: somebody is there. To ring while it rings changes nothing."""
        self._send(b"!")

    def wake(self) -> None:
        """Wake the sleeper for what it has asked for itself: nobody is there."""
        self._send(_WAKE)

    def _send(self, what: bytes) -> None:
        try:
            self._outside.send(what)
        except (BlockingIOError, OSError):
            pass  # it rings already, or nobody sleeps here any more

    def rang(self) -> bool:
        """Say whether it was rung since the last call."""
        rang, self._rang = self._rang, False
        return rang

    def rings_on_signals(self) -> None:
        """Let every signal that has a handler wake the sleeper too."""
        signal.set_wakeup_fd(self._outside.fileno(), warn_on_full_buffer=False)

    def watch(self, descriptor: int, readable: Callable[[], None]) -> None:
        """Wake the sleeper, and call `readable`, when this descriptor becomes readable."""
        self._selector.register(descriptor, selectors.EVENT_READ, readable)

    def forget(self, descriptor: int) -> None:
        """Watch a descriptor no more; before it is closed."""
        self._selector.unregister(descriptor)

    def wait(self, seconds: Optional[float]) -> None:
        """Sleep at most so long, or until something happens."""
        for key, _ in self._selector.select(seconds):
            key.data()

    def _hear(self) -> None:
        try:
            while True:
                heard = self._inside.recv(4096)
                if not heard:
                    return
                self._rang = self._rang or heard.strip(_WAKE) != b""  # signals ring too
        except BlockingIOError:
            pass  # silent again

    def close(self) -> None:
        """Let all descriptors go."""
        self._selector.close()
        self._outside.close()
        self._inside.close()

"""Sleep until something happens: a descriptor becomes readable, a bell is rung, time passes.

The one place where a worker waits. `ring` may be called from any thread; signals ring by
themselves.
"""

from __future__ import annotations

import select
import signal
import socket
from collections import deque
from typing import Any, Callable, Deque, Dict, List, Optional

_READABLE = getattr(select, "POLLIN", 1)
_WAKE = b"\0"  # no signal has this number; the bytes of signals come here as well


class Bell:
    """A poll with a doorbell.

    A child is watched for a few milliseconds: epoll would be told of each, by two system calls.
    """

    def __init__(self) -> None:
        self._outside, self._inside = socket.socketpair()
        for end in (self._outside, self._inside):
            end.setblocking(False)
        self._poll: Any = select.poll() if hasattr(select, "poll") else _WindowsPoll()
        self._heed: Dict[int, Callable[[], None]] = {}
        self.watch(self._inside.fileno(), self._hear)
        self._rang = False
        self._told: Deque[str] = deque()
        self._is_woken = False  # and has not asked yet what for

    def ring(self) -> None:
        """Wake the sleeper: somebody is there. To ring while it rings changes nothing."""
        self._send(b"!")

    def tell(self, filename: str) -> None:
        """Wake the sleeper: this has arrived. Of many in a row the first wakes for them all."""
        self._told.append(filename)
        if not self._is_woken:
            self._is_woken = True
            self._send(_WAKE)

    def told(self) -> List[str]:
        """Return what has arrived since the last call."""
        # RACE: first this, or what is told just now would wake nobody
        # (test_what_is_told_while_the_sleeper_asks_is_heard).
        self._is_woken = False
        return [self._told.popleft() for _ in range(len(self._told))]

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
        self._poll.register(descriptor, _READABLE)
        self._heed[descriptor] = readable

    def forget(self, descriptor: int) -> None:
        """Watch a descriptor no more; before it is closed."""
        self._poll.unregister(descriptor)
        del self._heed[descriptor]

    def wait(self, seconds: Optional[float]) -> None:
        """Sleep at most so long, or until something happens."""
        for descriptor, _ in self._poll.poll(None if seconds is None else seconds * 1000):
            self._heed[descriptor]()

    def _hear(self) -> None:
        try:
            heard = self._inside.recv(4096)  # what is more rings again
        except BlockingIOError:
            return  # silent again
        self._rang = self._rang or heard.strip(_WAKE) != b""  # signals ring too

    def close(self) -> None:
        """Let all descriptors go."""
        self._outside.close()
        self._inside.close()


class _WindowsPoll:
    """The part of poll that is needed where there is none: nothing but the doorbell is watched."""

    def __init__(self) -> None:
        self._descriptors: Dict[int, int] = {}

    def register(self, descriptor: int, events: int) -> None:
        self._descriptors[descriptor] = events

    def unregister(self, descriptor: int) -> None:
        del self._descriptors[descriptor]

    def poll(self, milliseconds: Optional[float]) -> Any:
        seconds = None if milliseconds is None else milliseconds / 1000
        return [
            (ready, _READABLE) for ready in select.select([*self._descriptors], [], [], seconds)[0]
        ]

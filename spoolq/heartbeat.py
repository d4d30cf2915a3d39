"""A worker's lease on a filesystem that hosts share: renewed each second, by a thread of its own.

Each beat looks whether the worker's directory is still its own, and writes to worker.json, with
calls that come back when the server has answered. So other hosts see a file that changes, and need
compare no clocks; and this worker knows since when it may have been out of reach.

The file is held open to write: so no server lends it to a reader, whose host may then be cut off
and hold up the next beat until the loan runs out. What is written is what stands there.

Assumed: the clock counts the time that the machine sleeps, where the system has such a one.
"""

from __future__ import annotations

import errno
import os
import threading
from typing import Callable

from spoolq import platform
from spoolq.fsio import sync_data
from spoolq.lease import CARD, CARD_SIZE, Lease
from spoolq.locks import let_go

PERIOD = 1.0  # seconds between the beginnings of two beats


class Heartbeat:
    """The thread that beats; `began` is when the last beat began that came to its end."""

    def __init__(
        self,
        own: Lease,
        ring: Callable[[], None] = lambda: None,
        elapsed: Callable[[], float] = platform.elapsed,
    ) -> None:
        self._own = own
        self._workers = own.spool.dir("workers")
        self._ring = ring
        self._elapsed = elapsed
        self._ends = threading.Event()
        self._card = -1  # worker.json
        self.is_gone = False  # the directory is not the worker's any more
        self.began = elapsed()
        self.beat()
        # A daemon: its call may hang as long as the server is out of reach.
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def start(self) -> None:
        """Begin to beat by itself."""
        self._thread.start()

    def stop(self) -> None:
        """Beat no more; a beat that hangs is left behind."""
        self._ends.set()
        if self._thread.is_alive():
            self._thread.join(PERIOD)
        self._let_card_go()

    def beat(self) -> None:
        """Beat once; what the server refuses is tried again with the next one."""
        began = self._elapsed()
        try:
            self._show()
            self.began = began
        except (FileNotFoundError, NotADirectoryError):
            self.is_gone = True
            self._ring()
        except OSError:
            pass  # who guards the runs goes by `began`; the worker's own calls tell what is wrong

    def _show(self) -> None:
        """Let worker.json change where other hosts see it."""
        directory = self._workers.sub(self._own.name)
        try:
            if os.fstat(directory.fd).st_ino != self._own.inode:
                raise FileNotFoundError(errno.ENOENT, "it is another directory now", directory.path)
            if self._card < 0:
                self._card = directory.open_lock(CARD)
        finally:
            directory.close()
        try:
            os.pwrite(self._card, b"\n", CARD_SIZE - 1)
            sync_data(self._card)
        except OSError as error:
            if error.errno in platform.FULL_ERRNOS:
                os.utime(self._card)  # the server is there, and has no room to write
                return
            self._let_card_go()
            raise

    def _let_card_go(self) -> None:
        card, self._card = self._card, -1
        if card >= 0:
            let_go(card)

    def _run(self) -> None:
        while not self._ends.wait(PERIOD) and not self.is_gone:
            self.beat()

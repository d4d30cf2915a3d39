"""Writes beside the worker's loop: the ends of runs are synced while the next commands run.

One thread does one piece of work after another, so what comes while it waits for the disk is
written together afterwards, with shared syncs: the slower the disk, the larger the batch.
"""

from __future__ import annotations

import queue
import threading
from typing import Callable, Optional

Work = Callable[[], None]


def at_once(work: Work) -> None:
    """Do a piece of work in the caller's own time: the plain form, for who has no loop to hold up.

    A test that replays a history gives this to the worker, and no thread is in its way.
    """
    work()


class Scribe:
    """A thread that does pieces of work in their order, and wakes who waits for each."""

    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake
        self._error: Optional[BaseException] = None
        self._works: queue.SimpleQueue[Optional[Work]] = queue.SimpleQueue()
        # A daemon: a process that ends for another reason does not wait for the disk.
        self._thread = threading.Thread(target=self._run, name="scribe", daemon=True)
        self._thread.start()

    def __call__(self, work: Work) -> None:
        """Have a piece of work done; it tells of its errors by itself.

        Raises:
            BaseException: a former one did not, which is a bug.
        """
        if self._error is not None:
            raise self._error
        self._works.put(work)

    def close(self) -> None:
        """Wait until all is written, and let the thread go."""
        self._works.put(None)
        self._thread.join()

    def _run(self) -> None:
        while True:
            work = self._works.get()
            if work is None:
                return
            try:
                work()
            except BaseException as error:  # whatever it is, the loop tells it: silence would wait
                self._error = error
            self._wake()

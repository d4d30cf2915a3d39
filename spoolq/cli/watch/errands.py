"""What is done for a person beside the view: one thing at a time, in a thread of its own.

A cancellation waits for a worker, and a disk may take its time; the keys go on meanwhile.
"""

from __future__ import annotations

import threading
from typing import Callable, Optional

from spoolq import api, control, steering, views
from spoolq.errors import Busy, SpoolqError

Act = Callable[[api.Spool], str]

_PATIENCE = 2.0  # seconds that a running job has to end before it is told that it was asked to
_FAREWELL = 3.0  # seconds that what is under way has at the end


class Errands:
    """Does one thing after another, and tells what came of it."""

    def __init__(self, path: str, ring: Callable[[], None]) -> None:
        self._path = path
        self._ring = ring
        self._thread: Optional[threading.Thread] = None
        self._result: Optional[str] = None

    @property
    def busy(self) -> bool:
        """Whether something is under way."""
        return self._thread is not None and self._thread.is_alive()

    def run(self, act: Act) -> bool:
        """Begin with something; False where something else is under way."""
        if self.busy:
            return False
        self._thread = threading.Thread(target=self._do, args=(act,), daemon=True)
        self._thread.start()
        return True

    def result(self) -> Optional[str]:
        """Return what came of the last thing, once."""
        found, self._result = self._result, None
        return found

    def finish(self) -> None:
        """Wait for what is under way, but not for ever."""
        if self._thread is not None:
            self._thread.join(_FAREWELL)

    def _do(self, act: Act) -> None:
        try:
            # A spool of its own: the view may open another one meanwhile.
            with api.Spool(self._path) as spool:
                self._result = act(spool)
        except SpoolqError as error:
            self._result = f"{error}; {error.hint}" if error.hint else str(error)
        except Exception as error:  # whatever it is: a thread that dies tells nobody
            self._result = f"it did not work: {error}"
        self._ring()


def retry(job_id: str) -> Act:
    """Return what lets a failed or dead job run again."""

    def act(spool: api.Spool) -> str:
        name = control.retry(spool.dir, job_id)
        return f"{job_id}: runs again" + ("" if name.id == job_id else f" as {name.id}")

    return act


def cancel(job_id: str) -> Act:
    """Return what cancels a job that waits or runs."""

    def act(spool: api.Spool) -> str:
        try:
            view = control.cancel(spool.dir, job_id, timeout=_PATIENCE)
        except Busy:
            return f"{job_id}: its worker has been asked to end it"
        if view.state == "completed":
            return f"{job_id}: completed before it could be cancelled"
        return f"{job_id}: {view.error or view.state}"

    return act


def pause_or_resume(spool: api.Spool) -> str:
    """Let workers take nothing new, or go on."""
    if views.is_paused(spool.dir):
        steering.resume(spool.dir)
        return "workers go on"
    steering.pause(spool.dir)
    return "paused: workers take nothing new; p lets them go on"

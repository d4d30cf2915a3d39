"""What may be done from a browser: cancel and retry jobs, pause and resume the workers.

Each is the same call as on the command line. One is done at a time, whatever the threads. What came
of it is kept for a while under a random name, which the address of the next page brings along: the
words themselves are never in an address, where anybody could have put them.
"""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from typing import Any, Callable, List, NamedTuple, Optional

import flask

from spoolq import api, control, names, steering
from spoolq.errors import Busy, SpoolqError

#: How long a page waits for workers that were asked to end jobs, all of them together, and for each
#: of them at least; they go on doing that.
_PATIENCE = 0.5
_LEAST = 0.1

_MOST_NOTICES = 64
_MOST_SHOWN = 5

#: Addresses of our own pages, where a browser is sent after a form.
_BACK = re.compile(r"/(?:[\w-]+(?:/[\w-]+)*/?)?(?:\?[\w.~=&%+-]*)?", re.ASCII)


class Notice(NamedTuple):
    """What came of something that was asked for."""

    good: bool
    lines: List[str]


class Actions:
    """The four verbs, for forms."""

    def __init__(self, spool: Callable[[], api.Spool], hurry: Callable[[], None]) -> None:
        """Act on what `spool` returns; `hurry` is called when something has been done."""
        self._spool = spool
        self._hurry = hurry
        self._one_at_a_time = threading.Lock()
        self._patient_until = 0.0  # of what is done just now
        self._notices: OrderedDict[str, Notice] = OrderedDict()

    def notice(self, name: str) -> Optional[Notice]:
        """Return what came of something, by the random name that it was given."""
        return self._notices.get(name)

    def retry(self) -> Any:
        """Let failed or dead jobs run again."""
        return self._each("runs again", lambda job_id: control.retry(self._spool().dir, job_id))

    def cancel(self) -> Any:
        """Cancel jobs that wait or run."""
        return self._each(
            "is cancelled",
            lambda job_id: control.cancel(self._spool().dir, job_id, timeout=self._patience()),
        )

    def pause(self) -> Any:
        """Let workers take nothing new."""
        return self._once("Paused: workers take nothing new.", steering.pause)

    def resume(self) -> Any:
        """Let workers go on."""
        return self._once("Workers go on.", steering.resume)

    def _patience(self) -> float:
        return max(self._patient_until - time.monotonic(), _LEAST)

    def _each(self, done: str, act: Callable[[str], object]) -> Any:
        form = flask.request.form
        ids = form.getlist("only") or form.getlist("id")
        if not ids or not all(map(names.is_id, ids)):
            flask.abort(400)
        good, bad = [], []
        with self._one_at_a_time:
            self._patient_until = time.monotonic() + _PATIENCE
            for job_id in ids:
                try:
                    act(job_id)
                    good.append(f"{job_id} {done}.")
                except Busy:
                    good.append(f"{job_id}: its worker has been asked to end it.")
                except SpoolqError as error:
                    bad.append(f"{error}" if str(error).endswith(".") else f"{error}.")
        return self._told(Notice(not bad, _some(bad) + _some(good)))

    def _once(self, done: str, act: Callable[..., object]) -> Any:
        with self._one_at_a_time:
            act(self._spool().dir)
        return self._told(Notice(True, [done]))

    def _told(self, notice: Notice) -> Any:
        self._hurry()
        name = names.random_text(12)
        self._notices[name] = notice
        while len(self._notices) > _MOST_NOTICES:
            self._notices.popitem(last=False)
        back = flask.request.form.get("back", "/")
        if len(back) > 2000 or not _BACK.fullmatch(back):
            back = "/"
        return flask.redirect(f"{back}{'&' if '?' in back else '?'}note={name}", 303)


def _some(lines: List[str]) -> List[str]:
    more = len(lines) - _MOST_SHOWN
    return lines if more <= 0 else [*lines[:_MOST_SHOWN], f"{more} more, likewise."]

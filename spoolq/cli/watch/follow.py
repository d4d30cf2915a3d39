"""The output of one job, as much of its end as the screen holds, for as long as it is looked at.

The run that is shown is the one that goes on, else the latest that printed anything.
"""

from __future__ import annotations

import os
from typing import List, Optional, Tuple

from spoolq import instants, logs, names, spans, views
from spoolq.cli.render import STATE_STYLE
from spoolq.cli.watch.board import Board
from spoolq.cli.watch.lines import Line, Span, fold, line, padded, safe
from spoolq.harmless import Harmless
from spoolq.logs import LogName
from spoolq.views import JobView

_MOST = 256 * 1024  # bytes of a log that are read for one screen
_TAB = 8


class Follow:
    """What is shown of one job's output."""

    def __init__(self, board: Board, job_id: str) -> None:
        self._board = board
        self.id = job_id
        self._place: Optional[Tuple[str, str]] = None
        self._view: Optional[JobView] = None
        self._log: Optional[LogName] = None
        self._bytes = b""

    @property
    def path(self) -> Optional[str]:
        """Where the output is, None where there is none."""
        directory = self._board.spool.dir.dir("logs").path
        return os.path.join(directory, str(self._log)) if self._log else None

    def look(self, room: int) -> None:
        """Look where the job is, and at the end of its output: `room` characters, if there are."""
        spool = self._board.spool
        place = self._place
        if place is None or not spool.dir.dir(place[0]).has(place[1]):
            place = self._board.find(self.id)
        if place is not None and place != self._place:
            view = views.look(spool.dir, *place, spool.settings)
            if view is not None:
                self._place, self._view = place, view
        self._log = self._choose()
        self._bytes = b""
        if self._log is not None:
            text = logs.tail(spool.dir.dir("logs"), self._log, min(4 * room, _MOST))
            self._bytes = text.encode("utf-8", "replace")

    def _choose(self) -> Optional[LogName]:
        if self._view is None or self._view.name is None:
            return None
        name = self._view.name
        if self._view.state == "processing":
            return logs.log_name(name)
        directory = self._board.spool.dir.dir("logs")
        history = self._view.job.history if self._view.job else []
        for run in reversed(history):
            found = _log_of(self.id, run.get("attempt"), run.get("started_at"))
            if found is not None and directory.has(str(found)):
                return found
        return None

    def draw(self, columns: int, height: int, now: float) -> List[Line]:
        """Return the picture: what the job is, the end of its output, and how to leave."""
        text = Harmless(colors=False).feed(self._bytes, final=True).expandtabs(_TAB)
        folded = [part for whole in text.splitlines() for part in fold(safe(whole), columns)]
        room = max(height - 2, 0)
        lines = [line(columns, [Span(part)]) for part in folded[-room:]] if room else []
        if not lines:
            lines = [Line(), line(columns, [Span(f" {self._silence()}", "dim")])][:room]
        lines += [Line()] * (room - len(lines))
        bottom = line(columns, [Span("q", "bold"), Span(" back", "dim")])
        return [self._heading(columns, now), *lines, bottom][:height]

    def _heading(self, columns: int, now: float) -> Line:
        view = self._view
        parts = [Span(f"{safe(self.id)} ", "bold")]
        if view is not None:
            row = "running" if view.state == "processing" else view.state
            parts.append(Span(row, STATE_STYLE[view.state]))
            if view.state == "processing" and view.name is not None:
                parts.append(Span(f" for {spans.whole(now - view.name.at.timestamp())}"))
            if view.job is not None:
                parts.append(Span(f", attempt {view.attempts} of {1 + view.max_retries}"))
            if view.error and (view.problem is not None or view.state in ("failed", "dead")):
                parts.append(Span(f" [{safe(view.error)}]", "red"))
            if view.job is not None:
                parts.append(Span(f"  {safe(view.job.line)}", "dim"))
        return padded(line(columns, parts), columns)

    def moves(self) -> bool:
        """Say whether a second that passes changes the picture."""
        return self._view is not None and self._view.state == "processing"

    def _silence(self) -> str:
        if self._view is None:
            return "the job is not to be seen any more"
        if self._view.state == "processing":
            return "nothing printed so far"
        if self._view.problem is not None:
            return "as it is, it is no job"
        ran = self._view.job is not None and self._view.job.history
        return "it printed nothing" if ran else "it has not run yet"


def _log_of(job_id: str, attempt: object, started_at: object) -> Optional[LogName]:
    """Return the name of the log of a run in a history."""
    if not isinstance(attempt, int) or not isinstance(started_at, str) or not names.is_id(job_id):
        return None
    try:
        return LogName(job_id, attempt, instants.to_stamp(instants.from_rfc3339(started_at)))
    except ValueError:
        return None

"""What the first page shows: what waits, runs and has ended, how long it took, and who works."""

from __future__ import annotations

from datetime import datetime
from typing import Dict, List

from spoolq import instants, pauses, schedules, views
from spoolq.census import Ended
from spoolq.dashboard import charts
from spoolq.dashboard.look import Look, Running, runs_of
from spoolq.views import JobView

_RUNNING = 10
_FAILURES = 8
_STRETCHES = 150
_AHEAD = 60.0  # seconds that the clock of a run may be ahead of ours, and still be believed


def overview(look: Look, span: charts.Span, now: float) -> Dict[str, object]:
    """Return what the template of the first page needs."""
    recent = look.recent()
    settings, warnings = views.settings_of(look.spool.dir)
    waits = charts.spread(ended.waited for ended in recent if ended.waited is not None)
    took = charts.spread(
        max(run.finished_at - run.started_at, 0.0) for ended in recent for run in ended.runs[-1:]
    )
    bars = charts.ended({state: look.names(state) for state in ("completed", "dead")}, span, now)
    running = look.running(_STRETCHES)
    settings, warnings = views.settings_of(look.spool.dir)
    coming = schedules.summary(look.spool.dir, settings, instants.from_epoch(now))
    return {
        "bars": bars,
        "most": max(bar.total for bar in bars),
        "chart": span,
        "spans": charts.SPANS,
        "spreads": [("waited", waits), ("ran", took)],
        "scale": charts.scale([waits, took]),
        "timeline": charts.timeline(_stretches(recent, running, now), now),
        "width": charts.WIDTH,
        "due": look.due(instants.from_epoch(now)),
        "running": running[:_RUNNING],
        "workers": look.workers(),
        "failures": _failures(look),
        "since": failed_at,
        "schedules": coming,
        "warnings": [*warnings, *coming.warnings],
        "standing": pauses.standing(look.spool.dir, settings),
    }


def _stretches(recent: List[Ended], running: List[Running], now: float) -> List[charts.Stretch]:
    found = []
    for ended, run in runs_of(recent)[:_STRETCHES]:
        if 0 <= run.started_at <= run.finished_at <= now + _AHEAD:  # nothing ran before 1970
            outcome = "ok" if run.succeeded else "bad"
            found.append(
                charts.Stretch(
                    ended.id, run.worker, run.attempt, run.started_at, run.finished_at, outcome
                )
            )
    for claim, _ in running:
        started = claim.at.timestamp()
        if started <= now + _AHEAD:
            found.append(
                charts.Stretch(
                    claim.id, claim.worker or "", claim.attempt, started, None, "running"
                )
            )
    return found


def failed_at(view: JobView) -> datetime:
    """Return when a job that failed did: the time in the name of what waits is its next one."""
    if view.state == "dead" and view.name is not None:
        return view.name.at
    finished_at = view.last_run.get("finished_at")
    return instants.from_rfc3339(finished_at) if finished_at else view.changed_at


def _failures(look: Look) -> List[JobView]:
    """Return the newest jobs that are dead, and what waits for a retry, by when they ended."""
    found = look.newest("dead", _FAILURES) + look.newest("failed", _FAILURES)
    found.sort(key=failed_at, reverse=True)
    return found[:_FAILURES]

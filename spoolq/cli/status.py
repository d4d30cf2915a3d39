"""`status`: what waits, runs and has ended, and who works."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any, Dict, List, NamedTuple, Optional

import click

from spoolq import api, instants, names, views
from spoolq.cli import render, tables, times
from spoolq.cli.verbs import Verb, is_spool, open_spool, spool_path
from spoolq.layout import STATES


@click.command(cls=Verb)
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def status(as_json: bool) -> None:
    """Say what waits, runs and has ended, and who works.

    \b
    spoolq status
    spoolq status --json | jq .pending
    """
    spool = open_spool()
    if as_json:
        render.document(as_document(spool))
    else:
        show(spool)


def greet() -> None:
    """Answer a bare `spoolq`: the status, or what to do where there is no spool yet."""
    path = spool_path()
    if is_spool(path):
        show(open_spool())
        return
    render.say(f"There is no spool at {render.escape(path)} yet. To begin:")
    render.say("  spoolq init                       make one here, in ./spool")
    render.say("  spoolq enqueue 'echo hello'       put a job into it")
    render.say("  spoolq worker start --count 2     run jobs, two at a time")
    render.say("  spoolq demo                       see in a minute how it works")
    render.say("  spoolq --help                     all verbs")


class Due(NamedTuple):
    """What waits, by time: how much of it is due, and when the next of each state is."""

    now: int
    later: int
    next_run: Optional[datetime]
    next_retry: Optional[datetime]


def due(spool: api.Spool, now: datetime) -> Due:
    """Look at the times in the names of what waits."""
    stamp = instants.to_stamp(now)
    is_due, later = 0, 0
    first: Dict[str, str] = {}
    for state in ("pending", "failed"):
        for filename in spool.dir.dir(state).scan():
            name = names.parse(filename)
            if name is None:
                is_due += state == "pending" and names.is_job(filename)  # a drop
            elif state == "pending" and name.stamp <= stamp:
                is_due += 1
            else:
                later += state == "pending"
                first[state] = min(name.stamp, first.get(state, name.stamp))
    found = {state: instants.from_stamp(earliest) for state, earliest in first.items()}
    return Due(is_due, later, found.get("pending"), found.get("failed"))


def as_document(spool: api.Spool) -> Dict[str, Any]:
    """Return the status as JSON has it."""
    now = instants.now()
    waiting = due(spool, now)
    workers = tables.shown_workers(spool)
    coming = [at for at in (waiting.next_run, waiting.next_retry) if at is not None]
    return {
        **spool.counts(),
        "due": waiting.now,
        "next_due": instants.to_rfc3339(min(coming)) if coming else None,
        "paused": views.is_paused(spool.dir),
        "workers": [view.as_dict() for view in workers],
        "warnings": warnings(spool, workers),
        "spool": spool.path,
    }


def warnings(spool: api.Spool, workers: List[views.WorkerView]) -> List[str]:
    """Return what is wrong: settings that cannot be read, workers that cannot write."""
    found = list(views.settings_of(spool.dir)[1])
    for view in workers:
        if view.card.get("trouble"):
            found.append(f"worker {view.name} is in trouble: {view.card['trouble']}")
        if not view.alive:
            found.append(f"worker {view.name} is gone; the next worker takes its jobs over")
    return found


def show(spool: api.Spool) -> None:
    """Print the status for a person."""
    now = instants.now()
    counts = spool.counts()
    waiting = due(spool, now)
    workers = tables.shown_workers(spool)
    paused = views.is_paused(spool.dir)
    render.out(f"spool {render.escape(spool.path)}{', paused' if paused else ''}")
    width = max(len(str(number)) for number in counts.values())
    notes = _notes(waiting, counts, now)
    for state in STATES:
        number = str(counts[state]).rjust(width)
        style = render.STATE_STYLE[state] if counts[state] else "dim"
        label = render.painted(state.ljust(10), style, sys.stdout)
        render.out(f"  {label}  {number}  {notes.get(state, '')}".rstrip())
    if counts["ignored"]:
        render.out(f"  {'ignored'.ljust(10)}  {str(counts['ignored']).rjust(width)}  not jobs")
    alive = [view for view in workers if view.alive]
    for view in alive:
        render.out(
            f"worker {view.name}: {tables.slots(view)} busy, since {tables.since(view.card)}"
        )
        for claim in view.running:
            render.out(f"  {tables.run_line(spool, claim)}")
    if not alive:
        render.out("no worker")
    for warning in warnings(spool, workers):
        render.warn(warning)
    if paused:
        render.say("paused: workers take nothing new; go on with:  spoolq resume")
    elif not alive and (waiting.now or counts["failed"] or counts["processing"]):
        render.say("start a worker with:  spoolq worker start --count 1")


def _notes(waiting: Due, counts: Dict[str, int], now: datetime) -> Dict[str, str]:
    notes = {}
    if waiting.later and waiting.next_run is not None:
        notes["pending"] = f"{waiting.now} due, the next at {times.short(waiting.next_run, now)}"
    if waiting.next_retry is not None:
        seconds = (waiting.next_retry - now).total_seconds()
        in_time = f"in {times.length(seconds)}" if seconds > 0 else "now"
        notes["failed"] = f"the next retry {in_time}"
    if counts["dead"]:
        notes["dead"] = "why: spoolq dlq list"
    return notes

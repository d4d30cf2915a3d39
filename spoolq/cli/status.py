"""`status`: what waits, runs and has ended, and who works."""

from __future__ import annotations

import shlex
from datetime import datetime
from typing import TYPE_CHECKING, Any, Dict, List, NamedTuple, Optional, Sequence

import click

from spoolq import api, config, instants, names, pauses, roster, spans, views
from spoolq.cli import render, tables, times
from spoolq.cli.columns import Cell
from spoolq.cli.verbs import Verb, given_spool, is_spool, open_spool, spool_path
from spoolq.layout import STATES
from spoolq.names import Name

if TYPE_CHECKING:
    from spoolq.schedules import Summary

_CLOCK_FROM = 600  # seconds from which the time of day is of more use than the distance alone


class _Status(Verb):
    def instead(self, ctx: click.Context, word: str) -> str:
        """Take what follows for a job."""
        return f"one job alone:  spoolq show {word}"


@click.command(cls=_Status)
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
    if given_spool(click.get_current_context()) or config.environment().get("SPOOLQ_SPOOL"):
        render.say(f"  spoolq init {render.escape(shlex.quote(path))}")
    else:
        render.say("  spoolq init                       make one here, in ./spool")
    render.say("  spoolq enqueue 'echo hello'       put a job into it")
    render.say("  spoolq worker start --count 2     run jobs, two at a time")
    render.say("  spoolq demo                       see in a minute how it works")
    render.say("  spoolq --help                     all verbs")


class Due(NamedTuple):
    """What waits, by time: how much of it is due, and which is the next of each state."""

    now: int
    later: int
    first: Dict[str, Name]


def due(spool: api.Spool, now: datetime) -> Due:
    """Look at the times in the names of what waits."""
    stamp = instants.to_stamp(now)
    is_due, later = 0, 0
    first: Dict[str, Name] = {}
    for state in ("pending", "failed"):
        for filename in spool.dir.dir(state).scan():
            name = names.parse(filename)
            if name is None:
                is_due += state == "pending" and names.is_job(filename)  # a drop
            elif state == "pending" and name.stamp <= stamp:
                is_due += 1
            else:
                later += state == "pending"
                if state not in first or name.stamp < first[state].stamp:
                    first[state] = name
    return Due(is_due, later, first)


def as_document(spool: api.Spool) -> Dict[str, Any]:
    """Return the status as JSON has it."""
    now = instants.now()
    waiting = due(spool, now)
    workers = tables.shown_workers(spool)
    schedules = _schedules(spool, now)
    coming = [name.at for name in waiting.first.values()]
    return {
        **spool.counts(),
        "due": waiting.now,
        "next_due": instants.to_rfc3339(min(coming)) if coming else None,
        "paused": views.is_paused(spool.dir),
        "schedules": schedules.number if schedules else 0,
        "next_tick": instants.to_rfc3339(schedules.next) if schedules and schedules.next else None,
        "paused_tags": sorted(pauses.paused_tags(spool.dir)),
        "limits": pauses.limits_in_use(spool.dir, spool.settings),
        "workers": [view.as_dict() for view in workers],
        "warnings": [*warnings(spool, workers), *(schedules.warnings if schedules else ())],
        "spool": spool.path,
    }


def warnings(spool: api.Spool, workers: List[roster.WorkerView]) -> List[str]:
    """Return what is wrong: settings that cannot be read, workers that cannot write."""
    found = list(views.settings_of(spool.dir)[1])
    for view in workers:
        if view.card.get("trouble"):
            found.append(f"worker {view.name} is in trouble: {view.card['trouble']}")
        if not view.alive:
            found.append(f"worker {view.name} is gone; {view.heirs}")
    return found


def show(spool: api.Spool) -> None:
    """Print the status for a person."""
    now = instants.now()
    counts = spool.counts()
    waiting = due(spool, now)
    workers = tables.shown_workers(spool)
    paused = views.is_paused(spool.dir)
    title = Cell.joined("spool ", Cell.styled(render.escape(spool.path), "bold"))
    render.line(Cell.joined(*title.parts, Cell.styled(", paused", "yellow")) if paused else title)
    wide = max(len(str(number)) for number in counts.values())
    notes = _notes(spool, waiting, counts, now)
    for state in STATES:
        style = render.STATE_STYLE[state] if counts[state] else "dim"
        label = Cell.styled(state.ljust(10), style)
        number = Cell.styled(str(counts[state]).rjust(wide), "bold" if counts[state] else "dim")
        render.line(Cell.joined("  ", label, "  ", number, *notes.get(state, ())))
    if counts["ignored"]:
        ignored = str(counts["ignored"]).rjust(wide)
        render.line(f"  {'ignored'.ljust(10)}  {ignored}  not jobs; spoolq doctor names them")
    schedules = _schedules(spool, now)
    if schedules:
        many = str(schedules.number).rjust(wide)
        render.line(f"  {'schedules'.ljust(10)}  {many}{_tick(schedules, now)}")
    for what in pauses.standing(spool.dir, spool.settings):
        render.line(render.escape(what))
    alive = [view for view in workers if view.alive]
    for view in alive:
        began = tables.started(view.card)
        up = spans.length((now - began).total_seconds()) if began else "?"
        name = Cell.styled(view.name, "bold")
        does = f"{tables.slots(view)} busy" if view.forwards_to is None else tables.errand(view)
        render.line(Cell.joined("worker ", name, f": {does}{tables.tagged(view)}, up {up}"))
        for claim in view.running:
            render.line(f"  {tables.run_line(spool, claim)}")
    if not alive:
        render.line("no worker")
    for warning in [*warnings(spool, workers), *(schedules.warnings if schedules else ())]:
        render.warn(warning)
    if paused:
        render.advise("paused: workers take nothing new; go on with:  spoolq resume")
    elif not alive and (
        waiting.now or counts["failed"] or schedules or any(view.running for view in workers)
    ):
        render.advise("start a worker with:  spoolq worker start --count 1")
    elif not sum(counts[state] for state in STATES):
        render.tip("nothing is here yet; put a job in with:  spoolq enqueue 'echo hello'")


def _schedules(spool: api.Spool, now: datetime) -> Optional[Summary]:
    """Return what there is to say of schedules; who has none does not wait for what reads them."""
    if not spool.dir.root.has("schedules"):
        return None
    from spoolq.schedules import summary

    found = summary(spool.dir, spool.settings, now)
    return found if found.number or found.problems else None


def _tick(schedules: Summary, now: datetime) -> str:
    """Return which schedule comes next, and when."""
    if schedules.next is None:
        return ""
    return f"  the next {_when(schedules.next, now)}: {render.escape(schedules.name)}"


def _notes(
    spool: api.Spool, waiting: Due, counts: Dict[str, int], now: datetime
) -> Dict[str, Sequence[str]]:
    """Return what is worth saying of a state beside its number."""
    notes: Dict[str, Sequence[str]] = {}
    if "pending" in waiting.first:
        due = f"  {waiting.now} due, the next " if waiting.now else "  the next "
        notes["pending"] = (due, *_coming(spool, waiting.first["pending"], "pending", now))
    if "failed" in waiting.first:
        first = waiting.first["failed"]
        notes["failed"] = ("  the next retry ", *_coming(spool, first, "failed", now))
    if counts["dead"]:
        notes["dead"] = ("  why: ", Cell.styled("spoolq dlq list", "bold"))
    return notes


def _coming(spool: api.Spool, name: Name, state: str, now: datetime) -> Sequence[str]:
    """Return when a job is due, and what it runs."""
    at = _when(name.at, now)
    view = views.look(spool.dir, state, str(name), spool.settings)
    if view is None or view.job is None:
        return (at,)
    line = tables.named(view)
    return (f"{at}: ", *(line.parts or (line,)))


def _when(moment: datetime, now: datetime) -> str:
    """Return how far away a moment is, and from some distance on what the clock says then."""
    clock = (moment - now).total_seconds() >= _CLOCK_FROM
    return times.until(moment, now) + (f" ({times.short(moment, now)})" if clock else "")

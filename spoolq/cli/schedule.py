"""`schedule`: jobs that come again and again."""

from __future__ import annotations

import heapq
import sys
from datetime import datetime
from itertools import islice
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import click

from spoolq import api, instants, names, schedules, scheduling, ticks
from spoolq.cli import completing, enqueue, given, joboptions, render, times
from spoolq.cli.columns import Cell
from spoolq.cli.many import each
from spoolq.cli.render import STATE_STYLE
from spoolq.cli.verbs import OneOf, Refused, VerbGroup, Whole, open_spool
from spoolq.errors import InvalidJob, NotFound
from spoolq.job import Job
from spoolq.schedules import View
from spoolq.spool import SpoolDir

_NOTHING = "-"

#: Options of `enqueue` that are about one job; here they are refused, with a reason.
_OF_ONE = {
    "id": "the id is made of the schedule's name and the tick's time",
    "at": "when is what CRON says",
    "in_": "when is what CRON says",
    "hold": "let the schedule rest:  spoolq schedule pause NAME",
    "after": "it is about one job, and a schedule makes many",
    "after_any": "it is about one job, and a schedule makes many",
    "if_queued": "where a job with its --key waits or runs, a tick is skipped",
}


@click.group(name="schedule", cls=VerbGroup)
def schedule() -> None:
    """Jobs that come again and again, as cron's do.

    Any worker of the spool puts them into the queue, each once, however many workers there are.

    \b
    spoolq schedule add nightly '30 2 * * *' -- make report
    spoolq schedule list
    """


# --- add ------------------------------------------------------------------------------------------


class _Adding(enqueue.Enqueuing):
    """Options may stand on both sides of NAME and CRON, and end where the command begins."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for option in self.params:
            if option.name in _OF_ONE and isinstance(option, click.Option):
                option.hidden = True

    def parse_args(self, ctx: click.Context, args: List[str]) -> List[str]:
        """Put the options before NAME and CRON, where the parser looks for them."""
        options: List[str] = []
        heads: List[str] = []
        left = [*args]
        for head in (1, 1, 0):
            rest = self._words(ctx, left)
            options += left[: len(left) - len(rest)]
            heads, left = heads + rest[:head], rest[head:]
        literal = bool(options) and options[-1] == "--"
        options = [word for word in options if word != "--"]
        parsed = super().parse_args(ctx, [*options, *heads, *left] if heads else args)
        ctx.meta[given.LITERAL] = literal
        return parsed

    def _words(self, ctx: click.Context, args: List[str]) -> List[str]:
        """Return what follows the options that some arguments begin with."""
        try:
            found = self.make_parser(ctx).parse_args([*args])[0]
        except click.UsageError:
            return []  # the parser proper says what is wrong
        words = found.get("words")
        heads = [found.get("called"), found.get("cron")]
        rest = [head for head in heads if isinstance(head, str)]
        return rest + (list(words) if isinstance(words, tuple) else [])


@schedule.command(cls=_Adding)
@click.argument("called", metavar="NAME")
@click.argument("cron")
@joboptions.job_options("[--] COMMAND [ARG]... | JSON")
@click.option("--timezone", metavar="ZONE", help="As Europe/Berlin; else that of this machine.")
@click.option(
    "--missed",
    type=OneOf(schedules.MISSED),
    default=schedules.MISSED[0],
    metavar="|".join(schedules.MISSED),
    help="What of ticks for which no worker was there: the newest, none, or each (once).",
)
@click.option("--replace", is_flag=True, help="In the place of one that has this name.")
def add(
    called: str, cron: str, timezone: Optional[str], missed: str, replace: bool, **options: Any
) -> None:
    """Add a schedule: its job is enqueued at each tick of CRON, from now on.

    CRON has the five fields of a crontab, minute hour day month weekday, or is one of @hourly,
    @daily, @weekly, @monthly and @yearly. The command is given as to enqueue, with the same
    options; a -- before it lets nothing of it be read as one.

    \b
    spoolq schedule add nightly '30 2 * * *' -- make report
    spoolq schedule add sync '*/10 * * * *' --key sync --timeout 5m './sync.sh && ./check.sh'
    spoolq schedule add books '0 18 L * *' --timezone Europe/Berlin --missed all -- ./close-books
    """
    ctx = click.get_current_context()
    source = _source(ctx, options["words"], options["like"])
    for option, why in _OF_ONE.items():
        if options[option] not in (None, False, (), "skip"):
            raise Refused(f"--{option.strip('_').replace('_', '-')} is not for schedules", why)
    spool = open_spool()
    layers = enqueue.layers_of(spool, joboptions.overriding(options), options["like"])
    fields: Dict[str, Any] = {
        "cron": cron,
        "timezone": timezone or ticks.local_zone(),
        "missed": missed,
        "job": layers.around(source.fields),
    }
    try:
        added = scheduling.add(spool.dir, called, fields, replace=replace)
    except InvalidJob as error:
        if error.path[:1] == ("job",):
            inner = InvalidJob(error.reason, path=error.path[1:], hint=error.hint)
            raise given.refusal(inner, layers, source) from error
        raise Refused(error.reason, error.hint) from error
    now = instants.now()
    due = added.cron.after(now)
    when = "" if due is None else f"; the next is {_told(added.cron, due)}, {times.until(due, now)}"
    render.say(f"{called}: {added.cron.words}, {render.escape(added.cron.zone)} time{when}")
    what = enqueue.standstill(spool)
    if what and render.is_terminal(sys.stderr):
        render.say(what)


def _source(ctx: click.Context, words: Sequence[str], like: Optional[str]) -> given.Source:
    """Return the one job that the words mean."""
    right = "spoolq schedule add NAME 'CRON' -- COMMAND"
    if not words and like is None:
        raise Refused("what is to be run?", right)
    if not words:
        return given.Source("", None, None, {})
    if words[0] == "-" and not ctx.meta[given.LITERAL]:
        raise Refused("a schedule has one job, and - reads many", right)
    command = ctx.command
    assert isinstance(command, _Adding)
    sources = given.from_words(
        words,
        command.spellings(ctx),
        literal=ctx.meta[given.LITERAL],
        verb="schedule add NAME CRON",
    )
    if len(sources) > 1:
        raise Refused("a schedule has one job", "give each a schedule of its own")
    return sources[0]


def _told(cron: ticks.Cron, tick: datetime) -> str:
    """Return a tick as the clocks of its zone show it."""
    return cron.local(tick).strftime("%a %Y-%m-%d %H:%M %z")


# --- look -----------------------------------------------------------------------------------------


@schedule.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="One JSON document: an array.")
def list_schedules(as_json: bool) -> None:
    """List schedules: when each comes next, and what became of its last job.

    \b
    spoolq schedule list
    spoolq schedule list --json | jq -r '.[] | .name + " " + .next'
    """
    spool = open_spool()
    now = instants.now()
    found = schedules.views(spool.dir, spool.settings, now)
    states = _states(spool, found)
    if as_json:
        render.document([{**view.as_dict(), "last_state": states.get(view.name)} for view in found])
        return
    if not found:
        render.advise(
            f"no schedules in {render.escape(spool.path)}; add one:  "
            "spoolq schedule add nightly '30 2 * * *' -- make report"
        )
    rows = [
        [render.escape(view.name), _next(view, now), _last(states, view), _zone(view), _what(view)]
        for view in found
    ]
    render.table(
        ("NAME", "NEXT", "LAST", "ZONE", "CRON, AND THE COMMAND"), rows, {"ZONE": 40, "LAST": 20}
    )


def _states(spool: api.Spool, found: Sequence[View]) -> Dict[str, str]:
    """Return what state the last job of each schedule is in, where it is there."""
    wanted = {view.last_job: view.name for view in found if view.last_job is not None}
    places = spool.dir.locate(wanted) if wanted else {}
    return {wanted[job_id]: state for job_id, (state, _) in places.items()}


def _next(view: View, now: datetime) -> str:
    if view.paused:
        return Cell.styled("paused", "yellow")
    if view.next is None:
        return _NOTHING
    if render.room() is None:
        return instants.to_rfc3339(view.next)[:19] + "Z"
    return times.until(view.next, now)


def _last(states: Dict[str, str], view: View) -> str:
    state = states.get(view.name)
    return _NOTHING if state is None else Cell.styled(state, STATE_STYLE[state])


def _zone(view: View) -> str:
    return _NOTHING if view.schedule is None else render.escape(view.schedule.cron.zone)


def _what(view: View) -> str:
    problem = Cell.styled(f"[{render.escape(view.problem)}]  ", "red") if view.problem else ""
    if view.schedule is None:
        return problem
    cron = Cell.styled(render.escape(view.cron), "bold")
    return Cell.joined(problem, cron, "  ", render.escape(Job(view.schedule.job).typed))


@schedule.command(name="next")
@click.argument("name", required=False, shell_complete=completing.schedules)
@click.option("--count", "-n", type=Whole(1, 100_000), default=10, help="How many (10).")
@click.option("--json", "as_json", is_flag=True, help="One JSON document: an array.")
def next_ticks(name: Optional[str], count: int, as_json: bool) -> None:
    """Say when jobs come next, of all schedules that do not rest or of one.

    \b
    spoolq schedule next
    spoolq schedule next nightly --count 31 --json
    """
    spool = open_spool()
    now = instants.now()
    found = schedules.views(spool.dir, spool.settings, now)
    if name is not None:
        found = [view for view in found if view.name == name]
        if not found:
            raise NotFound(f"there is no schedule {name!r}", hint="spoolq schedule list")
        if found[0].schedule is None:
            raise NotFound(f"{name}: {found[0].problem}", hint="spoolq doctor")
    coming = islice(heapq.merge(*(_ticks(view, now) for view in found)), count)
    crons = {view.name: view.schedule.cron for view in found if view.schedule is not None}
    if as_json:
        render.document(
            [
                {
                    "name": whose,
                    "at": instants.to_rfc3339(tick),
                    "local": crons[whose].local(tick).isoformat(),
                }
                for tick, whose in coming
            ]
        )
        return
    if render.room() is None:
        rows = [[f"{instants.to_rfc3339(tick)[:19]}Z", whose] for tick, whose in coming]
        render.table(("WHEN", "NAME"), rows)
        return
    render.table(
        ("WHEN", "", "NAME"),
        [
            [_told(crons[whose], tick), Cell.styled(times.until(tick, now), "dim"), whose]
            for tick, whose in coming
        ],
    )


def _ticks(view: View, now: datetime) -> Iterator[Tuple[datetime, str]]:
    if view.schedule is None or view.paused:
        return iter(())
    begins = max(view.schedule.begins(view.last), now)
    return ((tick, view.name) for tick in view.schedule.cron.from_(begins))


# --- act ------------------------------------------------------------------------------------------


@schedule.command()
@click.argument("name", shell_complete=completing.schedules)
def run(name: str) -> None:
    """Put the job of a schedule into the queue now, once more, and print its id.

    \b
    spoolq schedule run nightly
    spoolq wait "$(spoolq schedule run nightly)"
    """
    spool = open_spool()
    found = scheduling.find(spool.dir, name, spool.settings)
    job = {**found.job, "id": f"{name}-{names.new_id()}"}
    enqueue.print_ids(spool.enqueue_many([job], on_skip=enqueue.skipped))


@schedule.command()
@click.argument(
    "chosen", metavar="NAME...", nargs=-1, required=True, shell_complete=completing.schedules
)
def remove(chosen: Sequence[str]) -> None:
    """Remove schedules; jobs that are in the queue stay there.

    \b
    spoolq schedule remove nightly
    spoolq schedule remove nightly sync
    """
    _each(chosen, scheduling.remove, lambda name: "removed")


@schedule.command()
@click.argument(
    "chosen", metavar="NAME...", nargs=-1, required=True, shell_complete=completing.schedules
)
def pause(chosen: Sequence[str]) -> None:
    """Let schedules rest; what they miss meanwhile is not made up for.

    \b
    spoolq schedule pause nightly
    spoolq schedule pause nightly sync
    """
    _each(chosen, scheduling.pause, lambda name: f"rests until  spoolq schedule resume {name}")


@schedule.command()
@click.argument(
    "chosen", metavar="NAME...", nargs=-1, required=True, shell_complete=completing.schedules
)
def resume(chosen: Sequence[str]) -> None:
    """Let schedules go on that rest, from their next tick.

    \b
    spoolq schedule resume nightly
    spoolq schedule resume nightly sync
    """
    _each(chosen, scheduling.resume, lambda name: "goes on")


def _each(
    chosen: Sequence[str], act: Callable[[SpoolDir, str], None], done: Callable[[str], str]
) -> None:
    spool = open_spool()

    def one(name: str) -> None:
        act(spool.dir, name)
        render.say(f"{name}: {done(name)}{render.place(spool.path)}")

    each(chosen, one)

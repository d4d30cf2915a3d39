"""`events`: what becomes of the jobs, a line for each change."""

from __future__ import annotations

import json
import select
from contextlib import closing
from typing import Optional, Sequence

import click

from spoolq import instants, spans
from spoolq.cli import render
from spoolq.cli.verbs import Verb, Whole, open_spool
from spoolq.layout import STATES
from spoolq.spool import SpoolDir
from spoolq.transitions import Transition, Transitions, present

_TICK = 1.0
_LINES = 20


@click.command(cls=Verb)
@click.option("--follow", "-f", is_flag=True, help="Go on, with what happens from now on.")
@click.option("--lines", "-n", type=Whole(0), metavar="N", help="The last N of what is there (20).")
@click.option("--state", "states", multiple=True, type=click.Choice(STATES), help="Only into it.")
@click.option("--json", "as_json", is_flag=True, help="A JSON object each.")
def events(follow: bool, lines: Optional[int], states: Sequence[str], as_json: bool) -> None:
    """Tell which jobs have come into which state, the latest last.

    Of the past, the last change of each job that is there; with -f, every change as it happens.
    All is read from the names of files, which say when, which attempt, and which worker.

    \b
    spoolq events -n 5
    spoolq events -f --json --state dead | while read -r event; do echo "$event"; done
    """
    spool = open_spool().dir
    wanted = states or STATES
    most = _LINES if lines is None else lines
    if not follow:
        _print_past(spool, wanted, most, as_json)
        return
    with closing(Transitions(spool)) as following:
        _print_past(spool, wanted, most, as_json)
        while True:
            render.flush()
            _wait(following)
            found, is_all = following.take()
            for one in found:
                if one.state in wanted:
                    _print(one, as_json)
            if not is_all:
                render.warn("some events were missed; spoolq list shows what there is")


def _print_past(spool: SpoolDir, wanted: Sequence[str], most: int, as_json: bool) -> None:
    past = [one for one in present(spool) if one.state in wanted]
    for one in past[max(len(past) - most, 0) :]:
        _print(one, as_json)


def _wait(following: Transitions) -> None:
    """Wait until something has happened, or for a second where nothing tells of it."""
    watched = [] if following.descriptor is None else [following.descriptor]
    select.select(watched, [], [], None if watched else _TICK)


def _print(one: Transition, as_json: bool) -> None:
    if as_json:
        render.out(json.dumps(one.as_dict()))
        return
    name = one.name
    at = one.seen_at if one.state in ("pending", "failed") else name.at
    state = render.on_stdout(one.state.ljust(10), render.STATE_STYLE[one.state])
    more = f"attempt {name.attempt}" if name.attempt else ""
    if name.worker:
        more += f" by {name.worker}"
    if one.state in ("pending", "failed"):
        wait = (name.at - one.seen_at).total_seconds()
        if wait > 0:
            more += ("; " if more else "") + f"not before {spans.length(wait)} from then"
    render.out(f"{instants.to_rfc3339(at)[:23]}Z  {name.id:<13}  {state}  {more}".rstrip())

"""`watch`: a live view of the spool, redrawn when something happens.

Who looks at what: `viewer` is the loop and asks `lookout` for changes, `board` for what there is to
be seen (a `scene`), `desk` for what the person has chosen, `frame` for the picture of `lines`, and
`screen` to show it. `keys` reads the terminal, `errands` does what is asked for.
"""

from __future__ import annotations

import os
import sys
import time

import click

from spoolq import config, platform
from spoolq.cli import render
from spoolq.cli.verbs import Refused, Verb, open_spool

_WIDTH, _WIDEST = 80, 10_000


@click.command(cls=Verb)
@click.option("--once", is_flag=True, help="Print one picture and leave; needs no terminal.")
@click.option(
    "--filter", "sought", metavar="TEXT", default="", help="Only jobs with this, as / does."
)
@click.pass_context
def watch(ctx: click.Context, once: bool, sought: str) -> None:
    """Watch the spool live, in a terminal.

    Counts, how many jobs end, what runs and what it printed last, what comes next, what failed and
    why; keys follow a log, retry, cancel, pause and filter: ? shows them all. It is redrawn when
    something happens, and costs next to nothing while nothing does.

    \b
    spoolq watch
    spoolq watch --filter nightly
    spoolq watch --once
    """
    if not once:
        _refuse_without_terminal()
    spool = open_spool()
    if once:
        from spoolq.cli.watch import board, frame

        looked = board.Board(spool)
        looked.look()
        color = render.has_color(sys.stdout)
        for line in frame.draw(looked.scene(sought), _columns(), None, time.time()).lines:
            fit = line.carried(_encoding())
            render.out((fit.painted() if color else fit.plain).rstrip())
        return
    from spoolq.cli.watch.screen import Screen
    from spoolq.cli.watch.viewer import Viewer

    screen = Screen(color=render.has_color(sys.stdout), encoding=_encoding())
    ctx.exit(Viewer(spool, screen, sought).run())


def _encoding() -> str:
    """Return in which characters stdout is written."""
    return getattr(sys.stdout, "encoding", None) or "ascii"


def _columns() -> int:
    """Return how wide one picture is: as $COLUMNS says, else as the terminal is, else 80."""
    given = config.environment().get("COLUMNS", "")
    if given.isdecimal() and int(given) > 0:
        return min(int(given), _WIDEST)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or _WIDTH
    except (OSError, ValueError, AttributeError):
        return _WIDTH


def _refuse_without_terminal() -> None:
    instead = "one picture without a terminal:  spoolq watch --once"
    if platform.WINDOWS:
        raise Refused("the live view needs a terminal as Unix has it", instead)
    if not (render.is_terminal(sys.stdin) and render.is_terminal(sys.stdout)):
        raise Refused("the live view needs a terminal, to show it and for its keys", instead)
    if config.environment().get("TERM", "dumb") == "dumb":
        raise Refused("TERM says that this terminal can only print", instead)

"""`metrics`: the spool as Prometheus reads it, to stdout or into a file of node_exporter."""

from __future__ import annotations

import os
import sys
from typing import Optional, Sequence

import click

from spoolq.census import Census
from spoolq.cli import render
from spoolq.cli.verbs import Refused, Verb, Whole, open_spool
from spoolq.metrics import MOST_TAGS, exposition
from spoolq.outside import replace_file
from spoolq.text import shell_word

#: A file that node_exporter reads, which runs as another user.
_MODE = 0o644


@click.command(cls=Verb)
@click.option(
    "--textfile",
    type=click.Path(),
    metavar="FILE",
    help="Write a file in one step, for node_exporter's textfile collector: a name in .prom.",
)
@click.option("--tags", metavar="A,B", help="Tell of these tags; else of the most frequent ones.")
@click.option(
    "--max-tags",
    type=Whole(0, 10_000),
    default=MOST_TAGS,
    metavar="N",
    help=f"Of how many tags, where none are named ({MOST_TAGS}).",
)
def metrics(textfile: Optional[str], tags: Optional[str], max_tags: int) -> None:
    """Print how the spool is, for Prometheus.

    Gauges in its text format: of what is there, and of what ended in the last hour.

    \b
    spoolq metrics
    spoolq metrics --textfile /var/lib/prometheus/node-exporter/spoolq.prom
    """
    named: Sequence[str] = [tag for tag in (tags or "").split(",") if tag]
    if textfile is not None and os.path.isdir(textfile):
        inside = os.path.join(textfile, "spoolq.prom")
        raise Refused(
            f"{textfile} is a directory", f"spoolq metrics --textfile {shell_word(inside)}"
        )
    if textfile is not None and not textfile.endswith(".prom"):
        raise Refused(
            f"{textfile} would not be read: node_exporter reads files in .prom alone",
            f"spoolq metrics --textfile {shell_word(os.path.splitext(textfile)[0])}.prom",
        )
    text = exposition(Census(open_spool().dir), tags=named, max_tags=max_tags)
    if textfile is None:
        render.data(text.decode("utf-8"))
        return
    replace_file(textfile, text, _MODE)
    if render.is_terminal(sys.stderr):  # cron mails what is said
        render.say(f"wrote {render.escape(os.path.abspath(textfile))}")

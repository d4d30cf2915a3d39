"""`purge`: jobs that have ended, removed for good with their logs, or put into the archive."""

from __future__ import annotations

import sys
from typing import Any, Optional, Sequence

import click

from spoolq import api, config, instants
from spoolq.cli import render, times
from spoolq.cli.jobs import State
from spoolq.cli.verbs import FAILED, Refused, Verb, open_spool, typed
from spoolq.layout import translated
from spoolq.purging import Purge

_ENDED = ("completed", "dead")


class Age(click.ParamType):
    """A duration, in seconds."""

    name = "duration"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Return the seconds."""
        if isinstance(value, float):
            return value
        with typed("--older-than"):
            return times.duration(str(value))


def confirmed(question: str, *, yes: bool) -> None:
    """Ask on a terminal; where nobody can be asked, --yes has to have said so.

    Raises:
        Refused: nobody said yes.
    """
    if yes:
        return
    if not render.is_terminal(sys.stdin):
        raise Refused(
            "this removes for good, and stdin is no terminal to ask at", "say it with --yes"
        )
    if not click.confirm(question, err=True):
        render.say("nothing was removed")
        click.get_current_context().exit(FAILED)


@click.command(cls=Verb)
@click.option(
    "--state",
    "states",
    type=State(),
    multiple=True,
    help="completed (where none is named) or dead; repeatable.",
)
@click.option("--older-than", type=Age(), metavar="DURATION", help="Only what ended so long ago.")
@click.option("--archive", "archived", is_flag=True, help="Keep the jobs, packed, in archive/.")
@click.option("--retention", is_flag=True, help="What the setting of that name keeps no longer.")
@click.option("--yes", is_flag=True, help="Do not ask; without --older-than this is asked.")
@click.option("--json", "as_json", is_flag=True, help="What was removed, as one JSON document.")
def purge(
    states: Sequence[str],
    older_than: Optional[float],
    archived: bool,
    retention: bool,
    yes: bool,
    as_json: bool,
) -> None:
    """Remove jobs that have ended, with their logs. There is no way back.

    Dead jobs only where --state dead says so. With --archive the jobs are kept in files that
    `spoolq list --archived` reads; their logs are not.

    \b
    spoolq purge --state completed --older-than 7d
    spoolq purge --state completed --state dead --yes    # all that has ended
    spoolq purge --older-than 30d --archive
    """
    if retention:
        if states or older_than is not None or archived:
            raise Refused("--retention says itself what is removed", "spoolq config get retention")
        _apply_retention(open_spool(), as_json)
        return
    chosen = list(dict.fromkeys(states)) or ["completed"]
    for state in chosen:
        if state not in _ENDED:
            raise Refused(
                f"{state} jobs have not ended; only {' and '.join(_ENDED)} ones are removed",
                "spoolq cancel ID ends a job",
            )
    spool = open_spool()
    if older_than is None:
        what = f"all {' and '.join(chosen)} jobs of {render.escape(spool.path)}"
        asked = (
            f"Archive {what}, and remove their logs?" if archived else f"Remove {what}, logs too?"
        )
        confirmed(asked, yes=yes)
    purge_jobs(spool, chosen, older_than, archived=archived, as_json=as_json)


def purge_jobs(
    spool: api.Spool,
    states: Sequence[str],
    older_than: Optional[float],
    *,
    archived: bool = False,
    as_json: bool = False,
) -> None:
    """Remove ended jobs and then their logs; say how many of each."""
    work = Purge(spool.dir, instants.now(), _refused)
    with translated(spool.path):
        try:
            for state in states:
                work.older_than(state, older_than or 0.0, archived=archived)
        finally:
            work.logs_of_removed()
    _tell(spool, work, as_json)


def _apply_retention(spool: api.Spool, as_json: bool) -> None:
    """Remove what the setting keeps no longer; silent where that is nothing, for a timer."""
    from spoolq.retention import PAUSE, alone, apply

    settings = config.read(spool.dir.config_bytes())[0]  # a wrong one is told of
    if settings.retention is None:
        example = """spoolq config set retention '{"completed": {"age": "30d"}}'"""
        raise Refused("no retention is set, so everything is kept", example)
    now = instants.now()
    work = Purge(spool.dir, now, _refused, PAUSE)
    with translated(spool.path), alone(spool.dir, now):
        apply(work, settings)
    if as_json or work.jobs or work.logs or work.stuck:
        _tell(spool, work, as_json)
    else:
        render.tip(f"nothing is to go from {render.escape(spool.path)}")


def _refused(path: str, why: str) -> None:
    render.error(f"not removed: {why}", where=path, hint="remove it by hand: rm -r")


def _tell(spool: api.Spool, work: Purge, as_json: bool) -> None:
    removed = f"removed {_number(work.jobs, 'job')} and {_number(work.logs, 'log')}"
    kept = f", {work.archived} of them archived" if work.archived else ""
    if as_json:
        render.document(
            {"jobs": work.jobs, "archived": work.archived, "logs": work.logs, "stuck": work.stuck}
        )
    else:
        render.say(f"{removed} of {render.escape(spool.path)}{kept}")
    if work.stuck:
        click.get_current_context().exit(FAILED)


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"

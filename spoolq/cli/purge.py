"""`purge`: jobs that have ended, removed for good with their logs."""

from __future__ import annotations

import sys
from datetime import datetime
from typing import Any, Dict, Optional, Sequence

import click

from spoolq import api, instants, logs, names
from spoolq.cli import render, times
from spoolq.cli.jobs import State
from spoolq.cli.verbs import FAILED, Refused, Verb, open_spool, typed

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
@click.option("--yes", is_flag=True, help="Do not ask; without --older-than this is asked.")
def purge(states: Sequence[str], older_than: Optional[float], yes: bool) -> None:
    """Remove jobs that have ended, with their logs. There is no way back.

    Dead jobs only where --state dead says so.

    \b
    spoolq purge --state completed --older-than 7d
    spoolq purge --state completed --state dead --yes    # all that has ended
    """
    chosen = list(dict.fromkeys(states)) or ["completed"]
    for state in chosen:
        if state not in _ENDED:
            raise Refused(
                f"{state} jobs have not ended; only {' and '.join(_ENDED)} ones are removed",
                "spoolq cancel ID ends a job",
            )
    spool = open_spool()
    if older_than is None:
        everything = " and ".join(chosen)
        confirmed(
            f"Remove all {everything} jobs of {render.escape(spool.path)}, logs too?", yes=yes
        )
    purge_jobs(spool, chosen, older_than)


def purge_jobs(spool: api.Spool, states: Sequence[str], older_than: Optional[float]) -> None:
    """Remove ended jobs and then their logs; say how many of each.

    A job goes before its logs: whoever retries it meanwhile has it, and the logs stay.
    """
    limit = instants.later(instants.now(), -(older_than or 0))
    removed: Dict[str, str] = {}
    stuck = 0
    for state in states:
        for filename in list(spool.dir.dir(state).scan()):
            if not names.is_job(filename) or not _ended_before(spool, state, filename, limit):
                continue
            try:
                if spool.dir.remove(state, filename):
                    name = names.parse(filename)
                    removed[name.id if name else filename] = name.stamp if name else ""
            except OSError as error:
                stuck += 1
                path = f"{spool.dir.dir(state).path}/{filename}"
                render.error(
                    f"not removed: {error.strerror}", where=path, hint="remove it by hand: rm -r"
                )
    of_logs = _remove_logs(spool, removed) if removed else 0
    what = f"removed {_number(len(removed), 'job')} and {_number(of_logs, 'log')}"
    render.say(f"{what} of {render.escape(spool.path)}")
    if stuck:
        click.get_current_context().exit(FAILED)


def _number(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _ended_before(spool: api.Spool, state: str, filename: str, limit: datetime) -> bool:
    name = names.parse(filename)
    if name is not None:
        return name.at <= limit
    try:
        changed = spool.dir.dir(state).stat(filename).st_ctime
    except FileNotFoundError:
        return False
    return instants.from_epoch(changed) <= limit


def _remove_logs(spool: api.Spool, removed: Dict[str, str]) -> int:
    """Remove the logs of runs that began before their job ended: a later job may have its id."""
    directory = spool.dir.dir("logs")
    count = 0
    for entry in list(directory.scan()):
        log = logs.parse(entry)
        if log is not None and log.stamp <= removed.get(log.id, ""):
            directory.discard(entry)
            count += 1
    return count

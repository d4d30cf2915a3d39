"""Verbs that do one thing to many jobs: those that are named, or those that have a tag."""

from __future__ import annotations

from typing import Any, Callable, List, Optional, Sequence, TypeVar

import click

from spoolq import api
from spoolq.cli import completing, render
from spoolq.cli.verbs import FAILED, TRY_AGAIN, Refused, Tag, open_spool, resolve
from spoolq.errors import Busy, NotFound, SpoolqError

_F = TypeVar("_F", bound=Callable[..., Any])


def many(*states: str) -> Callable[[_F], _F]:
    """Return what lets a verb take ids, or a tag, of jobs in these states."""
    argument = click.argument(
        "ids", nargs=-1, metavar="[ID]...", shell_complete=completing.ids(*states)
    )
    option = click.option(
        "--tag", type=Tag(), metavar="TEXT", help="All jobs with this tag to which it can be done."
    )
    return lambda function: argument(option(function))


def each_of(
    ids: Sequence[str],
    tag: Optional[str],
    states: Sequence[str],
    act: Callable[[api.Spool, str], None],
) -> None:
    """Do something to each of these jobs; report each that it cannot be done to.

    Exits with 1 if there was one, or with 75 if they may all succeed later.

    Args:
        ids: as typed.
        tag: else: all that have it, and are in one of `states`.

    Raises:
        Refused: neither is given, or both.
        NotFound: no job has the tag.
    """
    verb = click.get_current_context().info_name
    if bool(ids) == (tag is not None):
        raise Refused("give ids, or a tag", f"spoolq {verb} --tag TEXT")
    spool = open_spool()
    if tag is None:
        each(ids, lambda text: act(spool, resolve(spool, text)))
        return
    chosen = with_tag(spool, tag, states)
    if not chosen:
        render.say(f"nothing to {verb} has the tag {render.escape(tag)!r}")
    each(chosen, lambda job_id: act(spool, job_id))


def with_tag(spool: api.Spool, tag: str, states: Sequence[str]) -> List[str]:
    """Return the ids of the jobs with a tag that are in one of these states, the oldest first.

    Raises:
        NotFound: no job has it, whatever its state.
    """
    found = [view for view in spool.list(tag=tag) if view.name is not None]
    if not found:
        raise NotFound(f"no job has the tag {tag!r}", hint="spoolq list shows the jobs")
    return [view.id for view in reversed(found) if view.state in states]


def each(ids: Sequence[str], act: Callable[[str], None]) -> None:
    """Do something to each of these jobs; report each that it cannot be done to.

    Exits with 1 if there was one, or with 75 if they may all succeed later.
    """
    failures: List[SpoolqError] = []
    for text in ids:
        try:
            act(text)
        except SpoolqError as error:
            failures.append(error)
            render.error(str(error), where=error.where, hint=error.hint)
    if failures:
        later = all(isinstance(error, Busy) for error in failures)
        click.get_current_context().exit(TRY_AGAIN if later else FAILED)

"""`list`, `show`, `cancel`, `retry`: jobs one by one."""

from __future__ import annotations

import sys
from typing import Any, List, Optional, Sequence, Tuple

import click

from spoolq import api, views
from spoolq.cli import completing, render, story, tables
from spoolq.cli.many import each_of, many
from spoolq.cli.verbs import (
    FAILED,
    Refused,
    Tag,
    Verb,
    Whole,
    did_you_mean,
    open_spool,
    resolve,
)
from spoolq.errors import InvalidJob, NotFound
from spoolq.layout import STATES, translated
from spoolq.text import closest
from spoolq.views import JobView

ON_A_TERMINAL = 50


class State(click.ParamType):
    """One of the five states, or the closest one in the refusal."""

    name = "state"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """Return the state."""
        state = str(value).lower()
        if state not in STATES:
            raise Refused(
                f"{value!r} is not a state{did_you_mean(state, STATES)}",
                "the states are " + ", ".join(STATES),
            )
        return state

    def shell_complete(self, ctx: Any, param: Any, incomplete: str) -> List[Any]:
        """Return the states that begin so."""
        from click.shell_completion import CompletionItem

        return [CompletionItem(state) for state in STATES if state.startswith(incomplete)]


class _Listing(Verb):
    def instead(self, ctx: click.Context, word: str) -> Optional[str]:
        """Take a state for what `--state` is for, and all else for an id."""
        state = closest(word.lower(), STATES)
        return f"spoolq list --state {state}" if state else f"one job alone:  spoolq show {word}"


@click.command(name="list", cls=_Listing)
@click.option("--state", type=State(), help="Only these: " + ", ".join(STATES) + ".")
@click.option("--tag", type=Tag(), metavar="TEXT", help="Only those with this tag.")
@click.option("--limit", type=Whole(1), metavar="N", help="At most N, the newest.")
@click.option("--archived", is_flag=True, help="Those that `purge --archive` has put away.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document: an array of all.")
def list_jobs(
    state: Optional[str], tag: Optional[str], limit: Optional[int], archived: bool, as_json: bool
) -> None:
    """List jobs, the newest first.

    The newest 50 on a terminal, all of them in a pipe.

    \b
    spoolq list --state failed
    spoolq list --archived --state dead
    spoolq list --json --tag nightly | jq -r '.[].id'
    """
    spool = open_spool()
    on_terminal = render.is_terminal(sys.stdout)
    most = limit
    if limit is None and on_terminal and not as_json:
        limit, most = ON_A_TERMINAL, ON_A_TERMINAL + 1
    if archived:
        found, damaged = _archived(spool, state, tag, most)
    else:
        found, damaged = spool.list(state, tag, most), False
    if as_json:
        render.document([view.as_dict() for view in found])
    else:
        tables.print_jobs(found[:limit])
        if limit is not None and len(found) > limit:
            render.tip(f"the newest {limit}; --limit N shows more")
        elif not found and archived:
            render.tip("nothing of that is archived; spoolq purge --archive does so")
        elif not found:
            _tell_of_none(spool, state, tag)
    if damaged:
        click.get_current_context().exit(FAILED)


def _archived(
    spool: api.Spool, state: Optional[str], tag: Optional[str], limit: Optional[int]
) -> Tuple[List[JobView], bool]:
    """Return archived jobs, and whether some could not be read, which is told."""
    from spoolq import archive

    if state not in (None, *archive.STATES):
        raise Refused(f"{state} jobs are in no archive", "spoolq list --archived --state dead")
    damaged = False

    def complain(path: str, what: str) -> None:
        nonlocal damaged
        damaged = True
        render.error(what, where=path, hint="the rest is told all the same")

    with translated(spool.path):
        found = list(archive.jobs(spool.dir, complain, state=state, tag=tag, limit=limit))
    return found, damaged


def _tell_of_none(spool: api.Spool, state: Optional[str], tag: Optional[str]) -> None:
    """Say that there is nothing, and what to do next."""
    what = f"{state} jobs" if state else "jobs"
    tagged = f" with the tag {render.escape(tag)!r}" if tag else ""
    if any(spool.counts()[known] for known in STATES):
        render.tip(f"no {what}{tagged}; what there is:  spoolq status")
    else:
        render.tip(f"no jobs in {render.escape(spool.path)} yet; put one in with:")
        render.tip("spoolq enqueue 'echo hello'")


# --- show -----------------------------------------------------------------------------------------


@click.command(cls=Verb)
@click.argument("job", metavar="[ID]", default="last", shell_complete=completing.ids(*STATES))
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def show(job: str, as_json: bool) -> None:
    """Show everything about one job: file, history, log.

    \b
    spoolq show
    spoolq show k3v9 --json
    """
    spool = open_spool()
    try:
        view = views.find(spool.dir, resolve(spool, job))
    except NotFound as error:
        if spool.dir.root.has("archive"):
            error.hint = f"{error.hint}; what was put away:  spoolq list --archived"
        raise
    if as_json:
        render.document(view.as_dict())
    else:
        story.tell(spool, view)


# --- cancel and retry -----------------------------------------------------------------------------


_RUNS_OR_WAITS = ("pending", "processing", "failed")
_TRIED = ("failed", "dead")


@click.command(cls=Verb)
@many(*_RUNS_OR_WAITS)
def cancel(ids: Sequence[str], tag: Optional[str]) -> None:
    """Cancel jobs that wait or run.

    A running job is ended by its worker: TERM, after a while KILL. Cancelled jobs are dead, and
    `spoolq retry` runs them anew.

    \b
    spoolq cancel k3v9
    spoolq cancel --tag nightly
    """
    from spoolq import control, logs

    logs.configure()  # what is recovered on the way is told as a worker tells it

    def tell(view: JobView) -> None:
        render.say(f"{view.id}: its worker has been asked to end it; Ctrl+C stops waiting for that")

    def act(spool: api.Spool, job_id: str) -> None:
        view = control.cancel(spool.dir, job_id, on_wait=tell)
        if view.state == "completed":
            what = "completed before it could be cancelled"
        else:
            what = render.escape(view.error or view.state)
        render.say(f"{view.id}: {what}{render.place(spool.path)}")

    each_of(ids, tag, _RUNS_OR_WAITS, act)


@click.command(cls=Verb)
@many(*_TRIED)
def retry(ids: Sequence[str], tag: Optional[str]) -> None:
    """Run failed jobs now, or dead ones anew.

    A dead job gets all its attempts back and keeps its history.

    \b
    spoolq retry last
    spoolq retry --tag nightly
    """
    each_of(ids, tag, _TRIED, again)


def again(spool: api.Spool, job_id: str) -> None:
    """Let a failed or dead job run again, and say so."""
    from spoolq import control

    try:
        name = control.retry(spool.dir, job_id)
    except InvalidJob as error:
        error.where = spool.get(job_id).path
        error.hint = error.hint or "mend the file, then retry it"
        raise
    new = "" if name.id == job_id else f" as {name.id}"
    render.say(f"{render.escape(job_id)}: runs again{new}{render.place(spool.path)}")

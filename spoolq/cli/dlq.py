"""`dlq`: the dead letter queue, and why everything in it is there."""

from __future__ import annotations

from typing import Any, Dict, List, Optional, Sequence

import click

from spoolq import api, control, names, spans
from spoolq.cli import completing, render, tables
from spoolq.cli.jobs import ON_A_TERMINAL, again
from spoolq.cli.many import each
from spoolq.cli.purge import Age, confirmed, purge_jobs
from spoolq.cli.verbs import Refused, VerbGroup, Whole, open_spool, resolve
from spoolq.errors import IdTaken, InvalidJob, KeyTaken
from spoolq.views import JobView


@click.group(cls=VerbGroup)
def dlq() -> None:
    """The dead letter queue: what failed for good, was cancelled, or is no job.

    \b
    spoolq dlq list           # what is dead, and why
    spoolq dlq retry --all    # once the cause is mended
    """


@dlq.command(name="list")
@click.option("--limit", type=Whole(1), metavar="N", help="At most N, the newest.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document: an array.")
def list_dead(limit: Optional[int], as_json: bool) -> None:
    """List what is dead, and why, the newest first.

    The newest 50 on a terminal, all of them in a pipe.

    \b
    spoolq dlq list
    spoolq dlq list --json | jq -r '.[] | .id + " " + .why'
    """
    spool = open_spool()
    more = limit
    if limit is None and render.room() is not None and not as_json:
        limit, more = ON_A_TERMINAL, ON_A_TERMINAL + 1
    found = list(spool.list("dead", limit=more))
    if as_json:
        reasons = why_dead(spool, found)
        render.document([{**view.as_dict(), "why": why} for view, why in zip(found, reasons)])
        return
    if not found:
        render.advise(f"nothing is dead in {render.escape(spool.path)}")
        return
    shown = found[:limit]
    tables.print_dead(shown, why_dead(spool, shown))
    if len(found) > len(shown):
        render.tip(f"the newest {limit}; --limit N shows more")
    render.tip("all about one: spoolq show ID    once more: spoolq dlq retry ID, or --all")


def why_dead(spool: api.Spool, found: Sequence[JobView]) -> List[str]:
    """Return why each is dead; what has no name of the form is validated again for that."""
    refused = _refused(spool, found)
    reasons = []
    for view in found:
        if view.problem is not None:
            reasons.append(f"no job: {view.problem}")
        elif view.name is not None:
            reasons.append(view.error or "put here by hand")
        else:
            why = refused.get(view.filename)
            reasons.append(why or "it is a job now; dlq retry takes it in")
    return reasons


def _refused(spool: api.Spool, found: Sequence[JobView]) -> Dict[str, str]:
    """Return why files that hold a job would not be taken in just now, by their names."""
    from spoolq import admission

    asked = {
        view.filename: admission.Asked(
            names.Name(names.HELD, 5, 0, view.job.fields.get("id", view.filename)), view.job
        )
        for view in found
        if view.name is None and view.job is not None and admission.concerns(view.job)
    }
    gate = admission.Gate(spool.dir, [*asked.values()]) if asked else None
    reasons: Dict[str, str] = {}
    for filename, one in asked.items():
        assert gate is not None
        try:
            gate.judge(one)
            gate.judge_waits(one)
        except IdTaken:
            state = gate.state_of(one.name.id) or "here too"
            reasons[filename] = f"its id {one.name.id} is taken by a job that is {state}"
        except (InvalidJob, KeyTaken) as error:
            reasons[filename] = str(error)
    return reasons


@dlq.command(name="retry")
@click.argument("ids", nargs=-1, metavar="[ID]...", shell_complete=completing.ids("dead"))
@click.option(
    "--all", "all_", is_flag=True, help="All that failed; not the cancelled, nor no jobs."
)
def retry_dead(ids: Sequence[str], all_: bool) -> None:
    """Run dead jobs anew, with all their attempts; the history stays.

    A file that was no job is taken in if it has been mended.

    \b
    spoolq dlq retry k3v9
    spoolq dlq retry --all
    """
    if bool(ids) == all_:
        raise Refused("give ids, or --all", "spoolq dlq list shows the ids")
    spool = open_spool()
    if not all_:
        each(ids, lambda text: again(spool, resolve(spool, text)))
        return
    chosen = [view.id for view in spool.list("dead") if control.may_be_retried_with_all(view)]
    if not chosen:
        render.say(f"nothing to retry in {render.escape(spool.path)}")
    each(list(reversed(chosen)), lambda job_id: again(spool, job_id))


@dlq.command(name="purge")
@click.option(
    "--older-than", type=Age(), metavar="DURATION", help="Only what has been dead so long."
)
@click.option("--yes", is_flag=True, help="Do not ask.")
def purge_dead(older_than: Optional[float], yes: bool) -> None:
    """Remove what is dead, with its logs. There is no way back.

    \b
    spoolq dlq purge                         # asks first
    spoolq dlq purge --older-than 30d --yes  # as a timer does
    """
    spool = open_spool()
    what = "everything in dead/" if older_than is None else _older(older_than)
    confirmed(f"Remove {what} of {render.escape(spool.path)}, logs too?", yes=yes)
    purge_jobs(spool, ["dead"], older_than)


def _older(seconds: Any) -> str:
    return f"what has been dead for more than {spans.length(seconds)}"

"""Jobs and workers as people see them: the rows of tables, and the words in them.

On a terminal times are told by their distance, and a table is cut to the width that there is. In a
pipe nothing is cut, a job has one line, and each column but the last has one word, with the time as
RFC 3339: the same job gives the same line until it moves.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Dict, List, Optional, Sequence

from spoolq import api, instants, spans, views
from spoolq.cli import columns, render, times
from spoolq.cli.columns import Cell
from spoolq.cli.render import STATE_STYLE
from spoolq.job import Entry, ran
from spoolq.names import Name
from spoolq.roster import WorkerView
from spoolq.text import shortened
from spoolq.views import JobView

_LINE = 100  # characters of a command where it is not what was asked for
_WIDE = 120  # cells of a terminal on which why and what stand apart
_NOTHING = "-"  # a cell of a pipe with nothing in it

#: What a table leaves out where its last column would have less room than this.
_OPTIONAL = {"TAGS": 40, "TOOK": 40, "TRY": 20, "WHEN": 20}


def command_line(view: JobView) -> str:
    """Return a job's command on one line, as it could be typed; "" where the file is no job."""
    return render.escape(view.job.typed) if view.job is not None else ""


def attempts(view: JobView) -> str:
    """Return how many of its runs a job has used up: 2 of 4."""
    if view.job is None:
        return ""
    return f"{view.attempts} of {1 + view.max_retries}"


def tries(view: JobView) -> str:
    """Return the same in one word: 2/4."""
    return attempts(view).replace(" of ", "/")


def moment(view: JobView) -> datetime:
    """Return the time that a job's state is about: when it falls due, began or ended."""
    return view.name.at if view.name else view.changed_at


def when(view: JobView, now: datetime) -> Cell:
    """Return that time by its distance, in the words of the state."""
    at = moment(view)
    if view.name is not None and view.name.mark is not None:
        return Cell.styled("on its way", "cyan")
    if view.state == "processing" and view.name is not None:
        far = f", {view.progress.percent:.3g} %" if view.progress else ""
        return Cell.styled(f"for {spans.length((now - at).total_seconds())}{far}", "cyan")
    if view.state == "pending":
        if view.settings.limits and _needs_too_much(view):
            return Cell.styled("needs too much", "yellow")
        return Cell("due" if at <= now or view.name is None else times.until(at, now))
    if view.state == "failed" and view.name is not None:
        return Cell(f"retry {times.until(at, now)}")
    return Cell.styled(times.ago(at, now), "dim")


def _needs_too_much(view: JobView) -> bool:
    """Say whether a job needs more than there is, so that it waits until a limit is raised."""
    from spoolq import tokens

    limits = view.settings.limits
    return view.job is not None and bool(tokens.too_much(tokens.needs_of(view.job, limits), limits))


def took(entry: Entry) -> str:
    """Return how long a run took, "" where its record does not say or tells of none."""
    if not ran(entry):
        return ""
    try:
        began = instants.from_rfc3339(entry["started_at"])
        ended = instants.from_rfc3339(entry["finished_at"])
    except (KeyError, ValueError):
        return ""
    return spans.length((ended - began).total_seconds())


def cell(state: str) -> Cell:
    """Return a state in its colour."""
    return Cell.styled(state, STATE_STYLE[state])


def named(view: JobView) -> Cell:
    """Return what a job runs, its name first where it has one."""
    name = view.job.fields.get("name") if view.job else None
    line = command_line(view)
    if not name:
        return Cell(line)
    return Cell.joined(Cell.styled(f"{render.escape(name)}:", "bold"), f" {line}")


def what(view: JobView) -> Cell:
    """Return what a job runs and what went wrong, the name first where it has one."""
    line = named(view)
    if view.error and (view.problem is not None or view.state in ("failed", "dead")):
        reason = Cell.styled(f"[{render.escape(view.error)}]", "red")
        return Cell.joined(reason, " ", *_parts(view))
    return line


def tags(view: JobView) -> str:
    """Return a job's tags."""
    return render.escape(", ".join(view.job.fields.get("tags", ()))) if view.job else ""


def print_jobs(found: Sequence[JobView]) -> None:
    """Print jobs as a table."""
    if render.room() is None:
        rows = [
            [render.escape(view.id), cell(view.state), *_words(view), what(view)] for view in found
        ]
        render.table(("ID", "STATE", "TRY", "WHEN", "COMMAND"), rows)
        return
    now = instants.now()
    rows = [
        [
            render.escape(view.id),
            cell(view.state),
            tries(view),
            when(view, now),
            took(view.last_run) if view.state != "processing" else "",
            tags(view),
            what(view),
        ]
        for view in found
    ]
    _print_filled(("ID", "STATE", "TRY", "WHEN", "TOOK", "TAGS", "COMMAND"), rows)


def print_dead(found: Sequence[JobView], reasons: Sequence[str]) -> None:
    """Print what is dead as a table, and why, with the last line that it printed."""
    room = render.room()
    whys = [_why(view, reason) for view, reason in zip(found, reasons)]
    if room is None or room < _WIDE:
        whys = [Cell.joined(*why.parts, "  ", *_parts(view)) for why, view in zip(whys, found)]
    if room is None:
        rows = [[render.escape(view.id), *_words(view), why] for view, why in zip(found, whys)]
        render.table(("ID", "TRY", "WHEN", "WHY, AND THE COMMAND"), rows)
        return
    now = instants.now()
    rows = [
        [render.escape(view.id), tries(view), when(view, now), why]
        for view, why in zip(found, whys)
    ]
    if room < _WIDE:
        _print_filled(("ID", "TRY", "WHEN", "WHY, AND THE COMMAND"), rows)
        return
    for row, view in zip(rows, found):
        row[3] = columns.clipped(row[3], room // 2 - 15)
        row.append(named(view))
    _print_filled(("ID", "TRY", "WHEN", "WHY", "COMMAND"), rows)


def _why(view: JobView, reason: str) -> Cell:
    """Return why a job is dead, and the last line that it printed."""
    from spoolq.harmless import Harmless

    output = str(view.last_run.get("output", "")).encode("utf-8", "replace")
    printed = Harmless(colors=False).feed(output, final=True).split("\n")
    last = next((line.strip() for line in reversed(printed) if line.strip()), "")
    why = Cell.styled(render.escape(reason), "red")
    return Cell.joined(why, ": ", render.escape(last)) if last else Cell.joined(why)


def _parts(view: JobView) -> Sequence[str]:
    line = named(view)
    return line.parts or (line,)


def _words(view: JobView) -> List[str]:
    """Return attempts and time of a job, each in one word that stays the same while it rests."""
    return [tries(view) or _NOTHING, instants.to_rfc3339(moment(view))[:19] + "Z"]


def _print_filled(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table without the columns in which nothing is."""
    kept = [at for at, column in enumerate(zip(*rows)) if any(column)]
    shown = [heads[at] for at in kept]
    optional = {head: least for head, least in _OPTIONAL.items() if head in shown}
    render.table(shown, [[row[at] for at in kept] for row in rows], optional)


def print_workers(spool: api.Spool, workers: Sequence[WorkerView]) -> None:
    """Print workers as a table, with a further row for each further run."""
    rows: List[List[str]] = []
    for view in workers:
        runs = [] if view.alive else [f"gone; {render.escape(view.heirs)}"]
        if view.alive and view.forwards_to is not None:
            runs.append(errand(view))
        runs += [run_line(spool, claim) for claim in view.running]
        if view.card.get("trouble"):
            runs.append(f"trouble: {render.escape(str(view.card['trouble']))}")
        first, *others = runs or [f"nothing{tagged(view)}"]
        pid = render.escape(str(view.card.get("pid", "?")))
        busy, at = slots(view), started(view.card)
        if render.room() is None:
            busy, began = busy.replace(" of ", "/"), at and instants.to_rfc3339(at)[:19] + "Z"
        else:
            began = at and times.ago(at, instants.now())
        rows.append([view.name, pid, busy, began or "?", first])
        rows += [["", "", "", "", line] for line in others]
    render.table(("WORKER", "PID", "SLOTS", "SINCE", "RUNS"), rows, {"PID": 40, "SINCE": 30})


def shown_workers(spool: api.Spool) -> List[WorkerView]:
    """Return the workers, without those who are one for a moment to change a job."""
    return [view for view in spool.workers() if view.stays]


def slots(view: WorkerView) -> str:
    """Return how many of a worker's slots are in use: 1 of 2; a forwarder has none."""
    if view.forwards_to is not None:
        return _NOTHING
    return render.escape(f"{len(view.running)} of {view.card.get('count', '?')}")


def tagged(view: WorkerView) -> str:
    """Return which jobs alone a worker runs, if that is so."""
    tags = render.escape(" or ".join(view.tags))
    return f", only with tag {tags}" if tags else ""


def errand(view: WorkerView) -> str:
    """Return what a forwarder does: sends 3 jobs to host:spool."""
    target = render.escape(str(view.forwards_to))
    number = len(view.sending)
    what = "1 job" if number == 1 else f"{number} jobs"
    return f"sends {what} to {target}" if number else f"forwards to {target}"


def started(card: Dict[str, Any]) -> Optional[datetime]:
    """Return when a worker started, from what its worker.json says."""
    try:
        return instants.from_rfc3339(card["started_at"])
    except (KeyError, ValueError, TypeError):
        return None


def run_line(spool: api.Spool, claim: Name) -> str:
    """Return what a slot runs: k3v9 attempt 2 of 4, for 3 s: sleep 5."""
    view = views.look(spool.dir, "processing", str(claim), spool.settings)
    seconds = (instants.now() - claim.at).total_seconds()
    if view is None or view.job is None:
        return f"{claim.id} attempt {claim.attempt}, for {spans.length(seconds)}"
    line = shortened(what(view), _LINE)
    return f"{claim.id} attempt {attempts(view)}, for {spans.length(seconds)}: {line}"

"""Jobs and workers as people see them: the rows of tables, and the words in them."""

from __future__ import annotations

import json
import os
import shlex
from datetime import datetime
from typing import Any, Dict, List, Sequence, Tuple

from spoolq import api, instants, views
from spoolq.cli import render, times
from spoolq.cli.render import STATE_STYLE, Cell
from spoolq.fields import FIELDS
from spoolq.job import Entry
from spoolq.names import Name
from spoolq.text import shortened
from spoolq.views import JobView, WorkerView

_LINE = 100  # characters of a command where it is not what was asked for


def command_line(view: JobView) -> str:
    """Return a job's command on one line, as it could be typed; "" where the file is no job."""
    if view.job is None:
        return ""
    command = view.job.command
    text = command if isinstance(command, str) else " ".join(map(shlex.quote, command))
    return render.escape(text)


def attempts(view: JobView) -> str:
    """Return how many of its runs a job has used up: 2 of 4."""
    if view.job is None:
        return ""
    return f"{view.attempts} of {1 + view.max_retries}"


def when(view: JobView, now: datetime) -> str:
    """Return the time that the state is about."""
    if view.name is None:
        return times.short(view.changed_at, now)
    if view.state == "pending" and view.name.at <= now:
        return "due"
    return times.short(view.name.at, now)


def cell(state: str) -> Cell:
    """Return a state in its colour."""
    return Cell.styled(state, STATE_STYLE[state])


def what(view: JobView) -> str:
    """Return what a job runs and what went wrong, the name first where it has one."""
    name = view.job.fields.get("name") if view.job else None
    line = command_line(view)
    if name:
        line = f"{render.escape(name)}: {line}"
    if view.error and view.state in ("failed", "dead"):
        return f"[{render.escape(view.error)}] {line}"
    return line


def print_jobs(found: Sequence[JobView]) -> None:
    """Print jobs as a table."""
    now = instants.now()
    rows = [
        [
            render.escape(view.id),
            cell(view.state),
            attempts(view),
            when(view, now),
            what(view),
        ]
        for view in found
    ]
    render.table(("ID", "STATE", "ATTEMPT", "WHEN", "COMMAND"), rows)


def print_workers(spool: api.Spool, workers: Sequence[WorkerView]) -> None:
    """Print workers as a table, with a further row for each further run."""
    rows: List[List[str]] = []
    for view in workers:
        runs = [] if view.alive else ["gone; the next worker takes its jobs over"]
        runs += [run_line(spool, claim) for claim in view.running]
        if view.card.get("trouble"):
            runs.append(f"trouble: {render.escape(str(view.card['trouble']))}")
        first, *others = runs or ["nothing"]
        pid = render.escape(str(view.card.get("pid", "?")))
        rows.append([view.name, pid, slots(view), since(view.card), first])
        rows += [["", "", "", "", line] for line in others]
    render.table(("WORKER", "PID", "SLOTS", "SINCE", "RUNS"), rows)


def shown_workers(spool: api.Spool) -> List[WorkerView]:
    """Return the workers, without those who are one for a moment to change a job."""
    return [view for view in spool.workers() if view.card.get("count") != 0 or view.running]


def slots(view: WorkerView) -> str:
    """Return how many of a worker's slots are in use: 1 of 2."""
    return render.escape(f"{len(view.running)} of {view.card.get('count', '?')}")


def since(card: Dict[str, Any]) -> str:
    """Return when a worker started, from what its worker.json says."""
    try:
        return times.short(instants.from_rfc3339(card["started_at"]), instants.now())
    except (KeyError, ValueError, TypeError):
        return "?"


def run_line(spool: api.Spool, claim: Name) -> str:
    """Return what a slot runs: k3v9 attempt 2 of 4, for 3 s: sleep 5."""
    view = views.look(spool.dir, "processing", str(claim), spool.settings)
    seconds = max((instants.now() - claim.at).total_seconds(), 0)
    if view is None or view.job is None:
        return f"{claim.id} attempt {claim.attempt}, for {times.length(seconds)}"
    line = shortened(what(view), _LINE)
    return f"{claim.id} attempt {attempts(view)}, for {times.length(seconds)}: {line}"


# --- one job --------------------------------------------------------------------------------------


def described(spool: api.Spool, view: JobView) -> List[str]:
    """Return all about one job, line by line."""
    now = instants.now()
    state = render.painted(view.state, STATE_STYLE[view.state], render.stdout())
    rows = [("job", render.escape(view.id)), ("state", _state(view, state, now))]
    if view.problem is not None:
        rows.append(("problem", render.escape(str(view.problem))))
    if view.job is not None:
        rows += _fields(view, now)
    rows.append(("file", render.escape(view.path)))
    lines = [f"{head.ljust(11)} {text}" for head, text in rows]
    if view.job is not None and view.job.history:
        lines += ["", "history", *_history(view)]
    return lines + _log(spool, view)


def _state(view: JobView, state: str, now: datetime) -> str:
    parts = [state]
    if view.job is not None:
        parts.append(f"attempt {attempts(view)}")
    if view.name is not None and view.state == "processing":
        seconds = max((now - view.name.at).total_seconds(), 0)
        parts.append(f"for {times.length(seconds)} on {view.name.worker}")
    elif view.name is not None and view.name.at > now:
        parts.append(f"not before {times.echoed(view.name.at, now)}")
    elif view.name is not None and view.state in ("completed", "dead"):
        parts.append(f"since {times.spelled(view.name.at)}")
    if view.error and view.problem is None and view.state != "completed":
        last = "" if view.state in ("failed", "dead") else "the last run: "
        parts.append(last + render.escape(view.error))
    return ", ".join(parts)


def _fields(view: JobView, now: datetime) -> List[Tuple[str, str]]:
    assert view.job is not None
    fields = view.job.fields
    rows = [("command", command_line(view))]
    for key in ("name", "cwd", "timeout", "backoff_base"):
        if key in fields:
            unit = " s" if key == "timeout" else ""
            rows.append((key.replace("_", " "), render.escape(str(fields[key])) + unit))
    if fields.get("tags"):
        rows.append(("tags", render.escape(", ".join(fields["tags"]))))
    priority = view.name.priority if view.name else view.job.priority
    rows.append(("priority", str(priority)))
    rows.append(("created", times.spelled(view.created_at)))
    for name, value in fields.get("env", {}).items():
        rows.append(("env", render.escape(f"{name}={value}")))
    for key in fields:
        if key not in FIELDS:
            rows.append((render.escape(key), render.escape(json.dumps(fields[key]))))
    return rows


def _history(view: JobView) -> List[str]:
    assert view.job is not None
    rows = [("", "ATTEMPT", "STARTED", "TOOK", "END", "WORKER")]
    for entry in view.job.history:
        try:
            started = instants.from_rfc3339(entry["started_at"])
            ended = instants.from_rfc3339(entry["finished_at"])
            took = times.length(max((ended - started).total_seconds(), 0))
            began = times.spelled(started)
        except (KeyError, ValueError):
            began, took = "?", "?"
        number, worker = str(entry.get("attempt", "?")), str(entry.get("worker", "?"))
        rows.append(("", render.escape(number), began, took, _end(entry), render.escape(worker)))
    return render.aligned(rows)


def _end(entry: Entry) -> str:
    if "error" in entry:
        return render.escape(str(entry["error"]))
    if "signal" in entry:
        return render.escape(f"signal {entry['signal']}")
    return render.escape(f"exit code {entry.get('exit_code', '?')}")


def _log(spool: api.Spool, view: JobView) -> List[str]:
    from spoolq import logs
    from spoolq.cli.output import tail_of

    found = logs.of_job(spool.dir.dir("logs"), view.id)
    if not found:
        return []
    newest = found[-1]
    path = os.path.join(spool.dir.dir("logs").path, str(newest))
    text = tail_of(spool, newest, 10)
    shown = [f"  {line}" for line in text.splitlines()]
    return ["", f"log of attempt {newest.attempt}: {render.escape(path)}", *shown]

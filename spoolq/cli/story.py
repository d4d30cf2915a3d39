"""One job's story: what it is, what became of each attempt, what it printed, what happens next.

A person reads this, so times are told by their distance too; a program takes `show --json`. On a
terminal long texts are wrapped and the environment is cut; in a pipe everything is whole.
"""

from __future__ import annotations

import json
import os
from datetime import datetime
from typing import Any, List, Optional, Sequence, Tuple

from spoolq import api, callables, errands, instants, job, logs, names, spans, workdirs
from spoolq.cli import chain, columns, render, tables, times
from spoolq.cli.columns import Cell
from spoolq.cli.render import escape
from spoolq.fields import FIELDS
from spoolq.job import Entry
from spoolq.text import shell_word
from spoolq.views import JobView

Row = Tuple[str, str]

_RUNS = 12  # attempts that are told on a terminal, the latest ones
_LINES = 10  # of the output


def tell(spool: api.Spool, view: JobView) -> None:
    """Print all about one job."""
    now = instants.now()
    render.story([("job", _headline(view, now))])
    rows: List[Row] = []
    if view.problem is not None:
        rows.append(("problem", Cell.styled(escape(str(view.problem)), "red")))
    if view.job is not None:
        rows += _what(spool, view)
    rows.append(("file", escape(view.path)))
    newest = _log(spool, view)
    if newest is not None:
        rows.append(("log", escape(os.path.join(spool.dir.dir("logs").path, str(newest)))))
    rows.append(("enqueued", _spelled(view.created_at, now)))
    rows += chain.rows(spool, view)
    rows += _attempts(view, now)
    render.story(rows, "  ")
    _print_output(spool, view, newest)
    render.out("")
    render.story([("next", what_next(spool, view, now))])


def _headline(view: JobView, now: datetime) -> Cell:
    """Return id and state, with the last reason and how long ago that was."""
    parts: List[str] = [Cell.styled(escape(view.id), "bold"), " is ", tables.cell(view.state)]
    if view.error and view.problem is None and view.state in ("failed", "dead"):
        parts += [": ", Cell.styled(escape(view.error), "red")]
    if view.job is not None and view.attempts:
        parts.append(f", {'in' if view.state == 'processing' else 'after'} attempt ")
        parts.append(tables.attempts(view))
    if view.state == "processing":
        parts.append(f", {tables.when(view, now)}")
    elif view.state in ("completed", "dead"):
        parts.append(f", {times.ago(tables.moment(view), now)}")
    return Cell.joined(*parts)


def _spelled(when: datetime, now: datetime) -> str:
    return f"{times.spelled(when)}, {times.ago(when, now)}"


_CODES = (("success_on", "good codes"), ("retry_on", "retried"), ("dead_on", "final"))


def _what(spool: api.Spool, view: JobView) -> List[Row]:
    """Return what runs, and how."""
    assert view.job is not None
    fields = view.job.fields
    label = "command" if view.job.call is None else "call"
    rows: List[Row] = [(label, Cell.styled(tables.command_line(view), "bold"))]
    if "name" in fields:
        rows.append(("name", escape(str(fields["name"]))))
    if "cwd" in fields:
        rows.append(("in", escape(str(fields["cwd"]))))
    if "key" in fields:
        rows.append(("key", escape(fields["key"])))
    if fields.get("tags"):
        rows.append(("tags", tables.tags(view)))
    rows.append(("priority", str(view.name.priority if view.name else view.job.priority)))
    if "needs" in fields:
        needs = (f"{name}={amount:g}" for name, amount in fields["needs"].items())
        rows.append(("needs", escape(", ".join(needs))))
    if fields.get("workdir") and os.path.isdir(workdirs.path_of(view.id, spool.path)):
        rows.append(("work in", escape(workdirs.path_of(view.id, spool.path))))
    for key, label in _CODES:
        is_usual = view.job.call is not None and fields.get(key) == [callables.NOT_PLAIN]
        if key in fields and not is_usual:
            rows.append((label, ", ".join(map(str, fields[key]))))
    if "timeout" in fields:
        rows.append(("timeout", f"{spans.length(fields['timeout'])} for an attempt"))
    if "backoff_base" in fields:
        rows.append(
            ("backoff", f"{fields['backoff_base']} to the power of the attempt, in seconds")
        )
    env = [escape(f"{name}={value}") for name, value in fields.get("env", {}).items()]
    rows += [("env" if not at else "", _on_one_line(text)) for at, text in enumerate(env)]
    for key in fields:
        if key not in FIELDS:
            rows.append((_on_one_line(escape(key), 30), escape(json.dumps(fields[key]))))
    return rows


def _log(spool: api.Spool, view: JobView) -> Optional[logs.LogName]:
    """Return the newest log of a job."""
    found = logs.of_job(spool.dir.dir("logs"), view.id) if view.job else []
    return found[-1] if found else None


def _on_one_line(text: str, room: Optional[int] = None) -> str:
    """Return text cut to what a line of the story has on a terminal."""
    left = render.room()
    if left is None:
        return text
    return columns.cut(text, max(room or left - 14, 8), render.glyph("…", "~"))


# --- the attempts ---------------------------------------------------------------------------------


def _attempts(view: JobView, now: datetime) -> List[Row]:
    """Return a row for each attempt that is told: when, how long, how it ended, by whom."""
    history: Sequence[Entry] = view.job.history if view.job else ()
    told = history if render.room() is None else history[-_RUNS:]
    rows: List[Row] = []
    if len(told) < len(history):
        rows.append(("...", f"{len(history) - len(told)} earlier ones; --json has them all"))
    rows += [(_which(run), _run(run, now)) for run in told]
    if "result" in view.last_run:
        rows.append(("returned", _on_one_line(escape(json.dumps(view.last_run["result"])))))
    if view.state == "processing" and view.name is not None and view.name.mark is None:
        worker = Cell.styled(f"by {view.name.worker}", "dim")
        since = f"{times.short(view.name.at, now)}  {tables.when(view, now)}  "
        rows.append((f"attempt {view.name.attempt}", Cell.joined(since, worker)))
        if view.progress is not None:
            rows.append(("progress", escape(str(view.progress))))
    return rows


def _time(run: Entry, key: str, now: datetime) -> str:
    try:
        return times.short(instants.from_rfc3339(run[key]), now)
    except (KeyError, ValueError):
        return "?"


def _which(run: Entry) -> str:
    return f"attempt {escape(str(run.get('attempt', '?')))}" if job.ran(run) else "then"


def _run(run: Entry, now: datetime) -> Cell:
    began = _time(run, "started_at", now)
    if not job.ran(run):
        how = escape(job.ended(run))
        told = Cell.styled(how if "waited_for" in run else f"{how} while it waited", "red")
        if job.was_forwarded(run):
            told = Cell.joined(
                Cell.styled(escape(job.ended(run)), "green"),
                Cell.styled(f"  by {escape(str(run.get('worker', '?')))}", "dim"),
            )
        return Cell.joined(f"{_time(run, 'finished_at', now)}  ", told)
    end = Cell.styled(escape(job.ended(run)), "green" if job.succeeded(run) else "red")
    worker = Cell.styled(f"  by {escape(str(run.get('worker', '?')))}", "dim")
    return Cell.joined(f"{began}  ran {(tables.took(run) or '?').ljust(9)}  ", end, worker)


# --- what happens next ----------------------------------------------------------------------------


def what_next(spool: api.Spool, view: JobView, now: datetime) -> str:
    """Return what becomes of a job, or what a person can do about it."""
    if view.job is None and view.state == "pending":
        return "the next worker moves it to dead/, unless it is mended before"
    if view.job is None:
        return "nothing by itself; mend the file, then:  spoolq dlq retry " + _shell(view.id)
    if view.state == "completed" and job.was_forwarded(view.last_run):
        return f"nothing here: it was {escape(job.ended(view.last_run))}, where it runs"
    if view.state == "completed":
        return f"nothing; a copy of it runs with:  spoolq enqueue --like {view.id}"
    if view.state == "dead":
        cancelled = view.error == job.CANCELLED
        when = "if it is wanted after all" if cancelled else "when the cause is mended"
        return f"nothing by itself; {when}:  spoolq retry {_shell(view.id)}"
    if view.state == "processing":
        return _after_this_run(spool, view)
    if view.name is None:
        return "the next worker that looks takes it in"
    which = f"attempt {view.attempts + 1} of {1 + view.max_retries}"
    if view.name.stamp == names.AFTER:
        return f"{which}, when what it waits for has come about; or at once:  " + (
            f"spoolq release {_shell(view.id)}"
        )
    if names.is_held(view.name.stamp):
        return f"{which}, when it is released:  spoolq release {_shell(view.id)}"
    wait = (view.name.at - now).total_seconds()
    if wait > 0:
        which += f" {times.until(view.name.at, now)}, at {times.spelled(view.name.at)}"
    from spoolq.cli.enqueue import standstill

    why = standstill(spool)
    if why:
        return f"{which}; {why}"
    if view.job is not None:
        from spoolq import pauses

        for tag in pauses.paused_tags(spool.dir).intersection(view.job.fields.get("tags", ())):
            return f"{which}, when its tag goes on:  spoolq resume --tag {_shell(tag)}"
    short = _short_of(spool, view)
    if short and wait <= 0:
        return f"{which}, when there is what it needs: {escape(short)}"
    return f"{which}, as soon as a slot is free" if wait <= 0 else which


def _short_of(spool: api.Spool, view: JobView) -> str:
    """Return what a job needs that is not free just now."""
    if not view.settings.limits or view.job is None:
        return ""
    from spoolq import tokens

    limits = view.settings.limits
    needs = tokens.needs_of(view.job, limits)
    used = tokens.in_use(spool.dir, limits) if needs else {}
    never = tokens.too_much(needs, limits)
    lacks = (
        f"{used[name]} of {limits[name]} {name} in use"
        for name, amount in needs
        if used[name] + amount > limits[name]
    )
    return "; ".join(never or lacks)


def _after_this_run(spool: api.Spool, view: JobView) -> str:
    """Return what follows if the run that goes on fails."""
    if view.name is None or view.name.worker is None:
        return "it waits for recovery by a worker"
    if view.name.mark is not None:
        return _on_its_way(spool, view.name.worker)
    if all(worker.name != view.name.worker or not worker.alive for worker in spool.workers()):
        return "its worker is gone; the next worker ends what is left of it and runs it again"
    if view.attempts > view.max_retries:
        return "if this attempt fails, it is dead: it was the last"
    assert view.job is not None
    policy = view.settings.policy(view.job)
    wait = spans.length(job.backoff(view.attempts, policy, 0.0))
    return f"if this attempt fails, attempt {view.attempts + 1} follows after {wait}"


def _on_its_way(spool: api.Spool, forwarder: str) -> str:
    for worker in spool.workers():
        if worker.name == forwarder and worker.alive:
            return f"it is on its way to {escape(str(worker.forwards_to))}"
        if worker.name == forwarder:
            return "its forwarder is gone, and it may have arrived; settle that:  " + escape(
                errands.settling(worker.card)
            )
    return "it has just moved on"


def _shell(text: str) -> str:
    return escape(shell_word(text))


# --- what it printed ------------------------------------------------------------------------------


def _print_output(spool: api.Spool, view: JobView, newest: Optional[logs.LogName]) -> None:
    """Print the end of what it printed last."""
    text, attempt = _output(spool, newest, view.last_run)
    if not text:
        return
    lines = text.splitlines()
    render.out("")
    if len(lines) <= _LINES:
        render.line(f"what attempt {attempt} printed")
    elif newest is not None:
        render.line(f"the end of what attempt {attempt} printed; all of it:  spoolq logs {view.id}")
    else:
        render.line(f"the end of what attempt {attempt} printed")
    bar = Cell.styled(f"  {render.glyph('│', '|')} ", "dim")
    for line in lines[-_LINES:]:
        render.line(Cell.joined(bar, line))


def _output(spool: api.Spool, newest: Optional[logs.LogName], run: Entry) -> Tuple[str, Any]:
    """Return the end of the newest log, or what the record of a failed run has kept of it."""
    from spoolq.cli.output import tail_of
    from spoolq.harmless import Harmless

    if newest is not None:
        return tail_of(spool, newest, _LINES + 1), newest.attempt
    kept = str(run.get("output", "")).encode("utf-8", "replace")
    return Harmless(colors=False).feed(kept, final=True), escape(str(run.get("attempt", "?")))

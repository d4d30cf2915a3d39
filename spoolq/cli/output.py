"""What jobs printed: raw into a pipe, harmless on a terminal.

Into a file or a pipe a job's output goes byte for byte. On a terminal everything that would do more
than write text is shown as an escape: cursor movements, titles, clipboard and link sequences, and
the characters that turn the reading direction. What stays is what people want of output: newline,
tab, carriage return (progress bars) and colours (`ESC [ ... m`), these unless colour is switched
off, and reset at the end.
"""

from __future__ import annotations

import os
import sys
from typing import Optional

import click

from spoolq import api, logs, names, views
from spoolq.cli import completing, render
from spoolq.cli.verbs import Refused, Verb, Whole, open_spool, resolve
from spoolq.errors import NotFound
from spoolq.harmless import Harmless
from spoolq.job import ended, was_forwarded
from spoolq.layout import STATES

_CHUNK = 64 * 1024


class Output:
    """Where a job's output goes: stdout, raw or harmless as stdout is."""

    def __init__(self) -> None:
        on_terminal = render.is_terminal(sys.stdout)
        self._filter: Optional[Harmless] = None
        self.at_line_start = True
        if on_terminal:
            # A job's colours are its own, so only who says "no colour" loses them.
            self._filter = Harmless(colors=render.has_color(sys.stdout))

    def write(self, data: bytes, *, final: bool = False) -> None:
        """Write a piece of output now."""
        if data:
            self.at_line_start = data.endswith(b"\n")
        if self._filter is not None:
            render.data(self._filter.feed(data, final=final))
        elif data and sys.stdout is not None:
            render.raw(data)

    def copy(self, descriptor: int) -> bool:
        """Write what is left of an open log; False if there was nothing new."""
        wrote = False
        while True:
            data = os.read(descriptor, _CHUNK)
            if not data:
                return wrote
            self.write(data)
            wrote = True


def tail_of(spool: api.Spool, name: logs.LogName, lines: int) -> str:
    """Return the last lines of a log, harmless and without colours."""
    text = Harmless(colors=False).feed(
        logs.tail(spool.dir.dir("logs"), name, 200 * lines).encode("utf-8"), final=True
    )
    return "\n".join(text.splitlines()[-lines:])


# --- the verb -------------------------------------------------------------------------------------


@click.command(name="logs", cls=Verb)
@click.argument("job", metavar="[ID]", default="last", shell_complete=completing.ids(*STATES))
@click.option("-f", "--follow", "following", is_flag=True, help="Go on until the job has ended.")
@click.option("--attempt", type=Whole(1), metavar="N", help="Of this attempt; else the latest.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_context
def print_logs(
    ctx: click.Context, job: str, following: bool, attempt: Optional[int], as_json: bool
) -> None:
    """Print what a job printed, both streams in order.

    With -f as it comes, through all retries, until the job has ended; the exit code is then the
    job's own. Into a pipe the output goes as it is; on a terminal control sequences other than
    colours are shown as escapes.

    \b
    spoolq logs
    spoolq logs -f k3v9
    spoolq logs --attempt 1 k3v9 | less -R
    """
    spool = open_spool()
    job_id = resolve(spool, job)
    if following:
        if as_json:
            raise Refused("--json is one document, and -f has no end yet")
        from spoolq.cli import follow

        ctx.exit(follow.to_the_end(spool, job_id, attempt=attempt))
    found = [
        name
        for name in logs.of_job(spool.dir.dir("logs"), job_id)
        if attempt in (None, name.attempt)
    ]
    chosen = found[-1] if found else None
    if attempt is None and chosen is not None:
        chosen = _latest(spool, job_id, chosen)
    if as_json:
        render.document(_document(spool, job_id, chosen))
    elif chosen is None:
        _explain_silence(spool, job_id, attempt)
    else:
        _print(spool, chosen)


def _latest(spool: api.Spool, job_id: str, newest: logs.LogName) -> Optional[logs.LogName]:
    """Return the log of the latest run, None where that printed nothing."""
    view = views.find(spool.dir, job_id)
    if view.state == "processing" and view.name is not None:
        return newest if newest == logs.log_name(view.name) else None
    started = view.last_run.get("started_at")
    if started is None or view.last_run.get("exit_code", view.last_run.get("signal")) is None:
        return newest  # cancelled or lost: the last that printed is worth more than nothing
    from spoolq import instants

    return newest if instants.stamp_to_rfc3339(newest.stamp) == started else None


def _print(spool: api.Spool, name: logs.LogName) -> None:
    descriptor = logs.open_log(spool.dir.dir("logs"), name)
    if descriptor is None:
        return
    output = Output()
    try:
        output.copy(descriptor)
        output.write(b"", final=True)
    finally:
        os.close(descriptor)


def _document(spool: api.Spool, job_id: str, name: Optional[logs.LogName]) -> object:
    text, path = "", None
    if name is not None:
        directory = spool.dir.dir("logs")
        path = os.path.join(directory.path, str(name))
        descriptor = logs.open_log(directory, name)
        if descriptor is not None:
            with os.fdopen(descriptor, "rb") as file:
                text = file.read().decode("utf-8", "replace")
    return {
        "id": job_id,
        "attempt": name.attempt if name else None,
        "file": path,
        "output": text,
    }


def _explain_silence(spool: api.Spool, job_id: str, attempt: Optional[int]) -> None:
    view = views.find(spool.dir, job_id)
    runs = view.job.history if view.job else []
    if attempt is not None and not any(run.get("attempt") == attempt for run in runs):
        current = view.name.attempt if view.name and view.state == "processing" else None
        if current != attempt:
            raise NotFound(
                f"job {view.id} has had no attempt {attempt}", hint=f"spoolq show {view.id}"
            )
    if view.state == "processing":
        render.say(f"job {view.id} has printed nothing so far; spoolq logs -f {view.id} waits")
    elif runs and was_forwarded(runs[-1]):
        where = render.escape(ended(runs[-1]))
        render.say(f"job {view.id} was {where}, and has printed nothing here")
    elif runs:
        render.say(f"job {view.id} printed nothing")
    elif names.is_id(view.id):
        render.say(f"job {view.id} is {view.state} and has not run yet")
    else:
        render.say(f"{render.escape(view.id)} is no job")

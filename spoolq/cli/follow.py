"""Follow a job live: its output as it comes, until it has ended; `run` enqueues it first.

A look costs one listing when the job moves and one stat otherwise, 20 to 200 ms apart.
"""

from __future__ import annotations

import os
import time
from typing import Any, Dict, List, Optional, Sequence

import click

from spoolq import api, instants, logs, spans, views
from spoolq.cli import enqueue, joboptions, render, times
from spoolq.cli.enqueue import standstill
from spoolq.cli.given import Source
from spoolq.cli.output import Output
from spoolq.cli.verbs import FAILED, INTERRUPTED, Refused, Whole, open_spool, typed
from spoolq.errors import InvalidJob, NotFound
from spoolq.job import Entry, succeeded, went_wrong
from spoolq.names import Name
from spoolq.views import JobView

_SHORTEST, _LONGEST = 0.02, 0.2
_QUIET = 0.5  # seconds that a job may wait before a person is told what it waits for


def exit_code(view: JobView) -> int:
    """Return a job's end as an exit code: its own, 128 + signal, or 1 where it has neither."""
    if view.state == "completed":
        return 0
    return code_of(view.last_run)


def code_of(run: Entry) -> int:
    """Return the end of a run as an exit code."""
    number = run.get("signal")
    if isinstance(number, int):
        return 128 + number
    code = run.get("exit_code")
    return code if isinstance(code, int) and 0 < code < 256 else FAILED


@click.command(cls=enqueue.Enqueuing)
@joboptions.job_options("JSON... | COMMAND [ARG]... | -")
@click.option(
    "-j",
    "--jobs",
    type=Whole(1, 10_000),
    metavar="N",
    help="Run N at a time, by a worker of their own.",
)
@click.option(
    "--halt",
    metavar="WHEN",
    help="Cancel the rest after deaths: now,fail=1, soon,fail=10% (soon lets go on what runs).",
)
def run(jobs: Optional[int], halt: Optional[str], **options: Any) -> None:
    """Enqueue a job, follow its output, and exit with its code.

    As enqueue. Of many jobs (from stdin, several JSON objects, or with -j) the output of each is
    printed when it has ended, and the exit code is how many died, at most 101. Ctrl+C lets go of
    them and leaves them running. They are run by a worker, which has to be there unless -j is
    given.

    \b
    spoolq run make test
    spoolq run --timeout 10m './nightly.sh | tee report'
    ls *.wav | sed 's/.*/flac "&"/' | spoolq run -j 4 --halt now,fail=1 -
    """
    ctx = click.get_current_context()
    fields = joboptions.overriding(options)
    is_batch = jobs is not None or halt is not None or enqueue.reads_stdin(ctx, options["words"])
    sources = None
    if not enqueue.reads_stdin(ctx, options["words"]):
        sources = enqueue.sources_of(ctx, options["words"], options["like"])
        is_batch = is_batch or len(sources) > 1
    if is_batch:
        ctx.exit(_run_many(jobs, halt, fields, options, sources))
    assert sources is not None
    spool = open_spool(create=True)
    fields.update(joboptions.awaited(spool, options))
    layers = enqueue.layers_of(spool, fields, options["like"])
    (job_id,) = enqueue.publish(spool, layers, sources, options["if_queued"])
    render.say(f"job {job_id} in {render.escape(spool.path)}")
    ctx.exit(to_the_end(spool, job_id))


def _run_many(
    count: Optional[int],
    halt: Optional[str],
    fields: Dict[str, Any],
    options: Dict[str, Any],
    sources: Optional[Sequence[Source]],
) -> int:
    from spoolq.cli import together
    from spoolq.cli.halting import Halt

    if sources is None or len(sources) > 1:
        enqueue.refuse_one_id(fields)
    if "run_at" in fields:
        raise Refused("many jobs are run now", "spoolq enqueue takes a time; then:  spoolq wait")
    with typed("--halt"):
        halts = None if halt is None else Halt.read(halt)
    spool = open_spool(create=True)
    fields.update(joboptions.awaited(spool, options))
    layers = enqueue.layers_of(spool, fields, options["like"])
    if "tags" not in fields:
        layers.batch = together.new_tag()
    tag = layers.batch or fields["tags"][0]
    if sources is None:
        ids = enqueue.publish_stdin(spool, layers, options["if_queued"])
    else:
        ids = enqueue.publish(spool, layers, sources, options["if_queued"])
    if not ids:
        return 0
    number = "1 job" if len(ids) == 1 else f"{len(ids)} jobs"
    render.say(f"{number} with the tag {render.escape(tag)} in {render.escape(spool.path)}")
    return together.to_the_end(spool, together.Batch(ids, tag), count=count, halts=halts)


def to_the_end(spool: api.Spool, job_id: str, *, attempt: Optional[int] = None) -> int:
    """Print a job's output until it has ended, or one attempt of it; return its exit code.

    Ctrl+C lets go of it: says so, and leaves it running.
    """
    following = _Following(spool, job_id, attempt)
    try:
        return following.run()
    except KeyboardInterrupt:
        following.finish_line()
        view = following.view
        if view is None or view.state not in ("completed", "dead"):
            render.say(f"let go of job {job_id}, which goes on")
            render.say(f"  spoolq logs -f {job_id}    follow it again")
            render.say(f"  spoolq cancel {job_id}     end it")
        return INTERRUPTED


class _Following:
    """Prints the logs of a job's runs in their order, each as it grows, and how each ended.

    A run that has ended is known from the history, so a run that came and went between two looks
    is not missed; what still runs is known from the claim. Runs are told apart by their start.
    """

    def __init__(self, spool: api.Spool, job_id: str, attempt: Optional[int]) -> None:
        self._spool = spool
        self._id = job_id
        self._attempt = attempt
        self._output = Output()
        self._log: Optional[int] = None
        self._log_stamp = ""
        self._done = ""  # the start of the newest run that has been told to its end
        self._told = False
        self.view: Optional[JobView] = None

    def finish_line(self) -> None:
        """Let what is said next begin on a line of its own."""
        self._output.write(b"", final=True)
        if not self._output.at_line_start and render.is_terminal(render.stdout()):
            render.data("\n")
            self._output.at_line_start = True

    def run(self) -> int:
        """Follow; return the exit code."""
        began = time.monotonic()
        self._skip_old_runs(self._look())
        pause = _SHORTEST
        while True:
            view = self._look()
            ended = self._tell_runs(view)
            if ended is not None:
                return ended
            # RACE: recorded and not moved yet, a run has been told from its history already
            # (test_a_run_that_is_recorded_and_not_moved_is_told_once).
            claim = view.name if view.state == "processing" else None
            if claim is not None and claim.stamp > self._done:
                self._follow(view, claim)
                pause = _SHORTEST
                continue
            if not self._told and time.monotonic() - began > _QUIET:
                self._told = True
                self._tell_why(view)
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST)

    def _look(self) -> JobView:
        """Return the job as it is now; where it has not moved, only its place is looked at."""
        view = self.view
        if view is None or not self._spool.dir.dir(view.state).has(view.filename):
            view = views.find(self._spool.dir, self._id)
            if view.problem is not None:
                raise InvalidJob(str(view.problem), hint=view.problem.hint)
            self.view = view
        return view

    def _skip_old_runs(self, view: JobView) -> None:
        """Begin with the run that goes on, else with the latest, or the latest of the attempt."""
        runs = self._runs(view)
        if view.state != "processing" or (self._attempt is not None and runs):
            runs = runs[:-1]
        elif view.name is not None:  # its end may be recorded already
            runs = [entry for entry in runs if _stamp(entry) < view.name.stamp]
        if runs:
            self._done = _stamp(runs[-1])

    def _runs(self, view: JobView) -> List[Entry]:
        """Return the runs of the history that are to be told."""
        return [
            entry
            for entry in (view.job.history if view.job else [])
            if self._attempt in (None, entry.get("attempt")) and _stamp(entry) > self._done
        ]

    def _tell_runs(self, view: JobView) -> Optional[int]:
        """Print what has ended since the last look; return the exit code if that is all."""
        ended = view.state in ("completed", "dead")
        for entry in self._runs(view):
            self._done = _stamp(entry)
            self._open(logs.LogName(self._id, int(entry.get("attempt", 0)), self._done))
            self._close()
            if self._attempt is not None:
                self.finish_line()
                return 0 if succeeded(entry) else code_of(entry)
            if not (ended and entry is view.last_run):
                self._tell_end(view, entry)
        if not ended:
            return None
        self.finish_line()
        if self._attempt is not None:
            raise NotFound(
                f"job {view.id} has had no attempt {self._attempt}", hint=f"spoolq show {view.id}"
            )
        if view.state == "dead":
            render.say(f"job {view.id} is dead: {render.escape(view.error or 'put there by hand')}")
        return exit_code(view)

    def _follow(self, view: JobView, claim: Name) -> None:
        """Print the output of a run until its claim has gone."""
        wanted = self._attempt in (None, claim.attempt)
        pause = _SHORTEST
        while True:
            goes_on = self._spool.dir.dir("processing").has(view.filename)
            wrote = False
            if wanted:
                self._open(logs.log_name(claim))
                wrote = self._log is not None and self._output.copy(self._log)
            if not goes_on:
                return
            pause = _SHORTEST if wrote else min(pause * 1.25, _LONGEST)
            time.sleep(pause)

    def _open(self, name: logs.LogName) -> None:
        if self._log is not None and self._log_stamp == name.stamp:
            return
        self._close()
        self._log = logs.open_log(self._spool.dir.dir("logs"), name)
        self._log_stamp = name.stamp

    def _close(self) -> None:
        if self._log is not None:
            self._output.copy(self._log)
            os.close(self._log)
            self._log = None

    # --- words ------------------------------------------------------------------------------------

    def _tell_end(self, view: JobView, entry: Entry) -> None:
        """Say how a run ended that was not the last."""
        self.finish_line()
        what = f"attempt {entry.get('attempt')} of {1 + view.max_retries}"
        parts = [f"{what}: {render.escape(went_wrong(entry) or 'it succeeded')}"]
        if entry is view.last_run and view.state == "failed" and view.not_before is not None:
            wait = (view.not_before - instants.now()).total_seconds()
            parts.append(f"the next in {spans.length(wait)}" if wait > 0 else "the next now")
        elif entry is view.last_run and view.state == "pending":
            parts.append("it waits again")
        render.say("; ".join(parts))

    def _tell_why(self, view: JobView) -> None:
        """Say what a job waits for that has not begun."""
        now = instants.now()
        if view.not_before is not None and view.not_before > now:
            if view.state == "pending":
                render.say(f"it waits until {times.echoed(view.not_before, now)}")
            return
        render.say(standstill(self._spool) or "it waits for a free slot")


def _stamp(entry: Entry) -> str:
    """Return the start of a run as its log's name has it; "" where it is not known."""
    try:
        return instants.to_stamp(instants.from_rfc3339(entry["started_at"]))
    except (KeyError, ValueError):
        return ""

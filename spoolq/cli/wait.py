"""`wait`: until jobs have ended."""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext
from typing import Any, Dict, List, Optional, Protocol, Sequence, Set

import click

from spoolq import api, dependencies, instants, names, spans, views
from spoolq.cli import completing, render, times
from spoolq.cli.enqueue import standstill
from spoolq.cli.halting import Halt, end
from spoolq.cli.many import with_tag
from spoolq.cli.verbs import FAILED, Refused, Tag, Verb, open_spool, resolve, typed
from spoolq.errors import Busy
from spoolq.layout import STATES

_SHORTEST, _LONGEST = 0.01, 0.25
_SHARE = 5  # a look at a large spool may cost this part of the time
_QUIET = 0.5  # seconds after which a person is told what keeps the jobs from running


@click.command(cls=Verb)
@click.argument(
    "ids",
    nargs=-1,
    metavar="[ID]...",
    shell_complete=completing.ids("pending", "processing", "failed"),
)
@click.option(
    "--tag", type=Tag(), metavar="TEXT", help="All jobs that have this tag now, ended ones too."
)
@click.option("--timeout", metavar="DURATION", help="Give up after 90, 10m ...: exit code 75.")
@click.option(
    "--halt",
    metavar="WHEN",
    help="Cancel the rest after deaths: now,fail=1, soon,fail=10% (soon lets go on what runs).",
)
@click.pass_context
def wait(
    ctx: click.Context,
    ids: Sequence[str],
    tag: Optional[str],
    timeout: Optional[str],
    halt: Optional[str],
) -> None:
    """Wait until jobs have ended; exit 1 if any of them died.

    Without ids or a tag: until nothing runs, is due, or waits for a retry, as worker --drain
    counts; a job scheduled for later does not hold it.

    \b
    spoolq wait
    spoolq wait k3v9 x2a7 && spoolq enqueue ./publish.sh
    spoolq wait --tag nightly --timeout 2h --halt soon,fail=10%
    """
    if ids and tag is not None:
        raise Refused("ids and --tag both say what to wait for", "give one of them")
    with typed("--timeout"):
        patience = None if timeout is None else times.duration(timeout)
    with typed("--halt"):
        halts = None if halt is None else Halt.read(halt)
    if halts is not None and not ids and tag is None:
        raise Refused("--halt is about a batch: give ids or a tag", "spoolq wait --tag TEXT --halt")
    spool = open_spool()
    if ids:
        waiting: _Waiting = _ForJobs(spool, [resolve(spool, text) for text in ids])
    elif tag is not None:
        waiting = _ForJobs(spool, with_tag(spool, tag, STATES))
    else:
        waiting = _ForAll(spool)
    _until(spool, waiting, patience, halts, tag)
    dead = waiting.dead()
    for job_id in dead[:20]:
        view = views.find(spool.dir, job_id)
        render.say(f"{render.escape(job_id)} died: {render.escape(view.error or 'by hand')}")
    if len(dead) > 20:
        render.say(f"and {len(dead) - 20} more: spoolq dlq list")
    if dead:
        ctx.exit(FAILED)


class _Waiting(Protocol):
    """What is waited for."""

    def look(self) -> tuple[int, int]:
        """Return how many have ended, and of how many."""

    def dead(self) -> List[str]:
        """Return the ids of those that died."""

    def left(self) -> List[str]:
        """Return the ids of those that have not ended, where they are known."""


class _ForJobs:
    """Until each of these is completed or dead."""

    def __init__(self, spool: api.Spool, ids: Sequence[str]) -> None:
        self._spool = spool
        self._ids = list(dict.fromkeys(ids))
        self._ended: Dict[str, str] = {}

    def look(self) -> tuple[int, int]:
        """Look at those that had not ended."""
        left = [job_id for job_id in self._ids if job_id not in self._ended]
        for job_id, state in views.states_of(self._spool.dir, left).items():
            if state in ("completed", "dead"):
                self._ended[job_id] = state
        return len(self._ended), len(self._ids)

    def dead(self) -> List[str]:
        """Return the ids of those that died, in the order given."""
        return [job_id for job_id in self._ids if self._ended.get(job_id) == "dead"]

    def left(self) -> List[str]:
        """Return the ids of those that had not ended."""
        return [job_id for job_id in self._ids if job_id not in self._ended]


class _ForAll:
    """Until nothing is due, runs, or waits for a retry."""

    def __init__(self, spool: api.Spool) -> None:
        self._spool = spool
        self._dead_before = self._dead_now()
        self._most = 0

    def _dead_now(self) -> Set[str]:
        return {entry for entry in self._spool.dir.dir("dead").scan() if names.is_job(entry)}

    def look(self) -> tuple[int, int]:
        """Count what is left; what has gone has ended.

        Looked at in the order of a job's life and then pending/ again, so that no job on the move
        is missed.
        """
        left = self._left()
        if left == 0:
            left = self._left()
        self._most = max(self._most, left)
        return self._most - left, self._most

    def _left(self) -> int:
        stamp = instants.to_stamp(instants.now())
        seen: Set[str] = set()
        waiting: Set[str] = set()  # for others
        for state in ("pending", "processing", "failed", "pending"):
            for entry in self._spool.dir.dir(state).scan():
                if not names.is_job(entry) or names.is_on_its_way(entry):
                    continue
                later = state == "pending" and entry[: len(stamp)] > stamp
                later = later or names.is_held(entry)
                if not (later and names.parse(entry)):
                    seen.add(names.id_in(entry) or entry)
                elif entry.startswith(names.AFTER):
                    waiting.add(names.id_in(entry))
        if not seen and waiting and dependencies.in_motion(self._spool.dir, waiting):
            return len(waiting)  # some of them are about to be due
        return len(seen)

    def dead(self) -> List[str]:
        """Return what has come into dead/ meanwhile."""
        return [
            names.id_in(entry) or entry for entry in sorted(self._dead_now() - self._dead_before)
        ]

    def left(self) -> List[str]:
        """Return nothing: it is no batch."""
        return []


def _until(
    spool: api.Spool,
    waiting: _Waiting,
    patience: Optional[float],
    halts: Optional[Halt],
    tag: Optional[str] = None,
) -> None:
    began = time.monotonic()
    told = False
    pause = _SHORTEST
    ended, number = waiting.look()
    if ended == number:
        return
    bar: Any = nullcontext(lambda ended, number: None)
    if render.is_terminal(sys.stderr):
        from spoolq.cli.progress import counting

        bar = counting("waiting")
    with bar as shown:
        while ended < number:
            shown(ended, number)
            if halts is not None and halts.is_due(len(waiting.dead()), number):
                end(spool, waiting.left(), running=halts.now)
                halts = None
            now = time.monotonic()
            if patience is not None and now - began >= patience:
                raise Busy(
                    f"{number - ended} of {number} jobs have not ended within "
                    f"{spans.length(patience)}"
                )
            if not told and now - began >= _QUIET:
                told = True
                why = standstill(spool, tag)
                if why:
                    render.say(why)
            left = pause if patience is None else min(pause, max(began + patience - now, 0))
            time.sleep(left)
            before, looked_at = ended, time.monotonic()
            ended, number = waiting.look()
            cost = time.monotonic() - looked_at
            pause = _SHORTEST if ended > before else min(pause * 1.5, _LONGEST)
            pause = max(pause, cost * _SHARE)
        shown(ended, number)

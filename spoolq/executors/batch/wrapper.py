"""Runs one ticket on the machine that the batch system has chosen: `python -m ... SPOOL TICKET`.

What runs here is the same as on the worker's own machine (`local`): the command in a session of its
own, its log in the spool, its timeout, its end down to the last process. Nothing of the batch
system is needed but that it starts this once, or more often: a ticket runs one time.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import time
from typing import Any, List, Mapping

from spoolq import config, instants
from spoolq.bell import Bell
from spoolq.config import Settings
from spoolq.errors import SpoolqError
from spoolq.executors import Context, Ended, Run
from spoolq.executors.batch.tickets import State, Tickets
from spoolq.executors.local import LocalExecutor
from spoolq.job import Job
from spoolq.layout import words
from spoolq.names import parse
from spoolq.spool import SpoolDir

_LOOK = 1.0  # seconds between two looks for a request to end
_NATIVE = ("SLURM_JOB_ID", "PBS_JOBID", "LSB_JOBID", "COBALT_JOBID")
STOPPED = "ended from outside: its batch job was cancelled, or its time there was up"
GONE = "ended: its ticket is gone, so its claim is somebody else's"


def main(arguments: List[str]) -> int:
    """Run a ticket to its end; 0 if that is written down, or if it was not this one's to run."""
    path, ticket = arguments
    try:
        os.setsid()
    except OSError:
        pass  # it leads its session already
    try:
        spool = SpoolDir.open(path)
        tickets = Tickets(spool)
        started = tickets.start(ticket, _me(config.environment()))
    except (SpoolqError, OSError) as error:
        sys.stderr.write(f"{socket.gethostname()}: {error}\n")
        return 1
    if started is None:
        sys.stderr.write(f"{socket.gethostname()}: this ticket may not run, or runs elsewhere\n")
        return 0
    bell = Bell()
    bell.rings_on_signals()
    stops: List[int] = []
    for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGUSR1", "SIGUSR2", "SIGXCPU"):
        signal.signal(getattr(signal, name), lambda number, frame: stops.append(number))
    context = Context(spool, "", 1, bell, config.environment(), instants.now, time.monotonic)
    try:
        run = run_of(started.facts, started.lock)
        os.chdir(started.facts["cwd"])
        ended = _run(context, run, tickets, ticket, stops)
        end = end_facts(ended)
    except (SpoolqError, OSError) as error:
        said = f"cannot start on {socket.gethostname()}: {words(error)}"
        end = {"finished_at": instants.to_rfc3339(instants.now()), "error": said}
    _write_down(tickets, ticket, end)
    return 0


def _run(context: Context, run: Run, tickets: Tickets, ticket: str, stops: List[int]) -> Ended:
    executor = LocalExecutor(context)
    executor.submit(run)
    next_look = 0.0
    while True:
        for ended in executor.outcomes():
            # The signal may have reached the command too, which was faster to end.
            by_it = bool(stops) and ended.error is None and ended.signal is not None
            return ended._replace(error=STOPPED) if by_it else ended
        if stops:
            executor.cancel(run.claim, STOPPED)
        now = time.monotonic()
        if now >= next_look:
            next_look = now + _LOOK
            reason = _reason_to_end(tickets, ticket)
            if reason is not None:
                executor.cancel(run.claim, reason)
        patience = executor.patience()
        context.bell.wait(min(_LOOK if patience is None else patience, _LOOK))


def _reason_to_end(tickets: Tickets, ticket: str) -> Any:
    try:
        reason = tickets.asked_to_end(ticket)
        if reason is None and tickets.look(ticket) is not State.STARTED:
            return GONE
        return reason
    except OSError:  # a server that does not answer has not asked for anything
        return None


def _write_down(tickets: Tickets, ticket: str, end: Mapping[str, Any]) -> None:
    """Write how it ended, and try for as long as the batch system lets it."""
    while True:
        try:
            if tickets.look(ticket) is State.STARTED:
                tickets.finish(ticket, end)
            return
        except OSError as error:
            sys.stderr.write(f"{socket.gethostname()}: its end cannot be written: {error}\n")
            time.sleep(_LOOK)


def _me(environment: Mapping[str, str]) -> Mapping[str, Any]:
    native = next((environment[name] for name in _NATIVE if name in environment), None)
    return {"host": socket.gethostname(), "pid": os.getpid(), "native": native}


# --- a run as a ticket says it --------------------------------------------------------------------


def facts_of(run: Run, cwd: str) -> Mapping[str, Any]:
    """Return what a ticket says of a run."""
    fields = {key: value for key, value in run.job.fields.items() if key != "history"}
    return {
        "claim": str(run.claim),
        "waited": str(run.waited),
        "job": fields,
        "created_at": instants.to_rfc3339(run.created_at),
        "settings": run.settings._asdict(),
        "cwd": cwd,
    }


def run_of(facts: Mapping[str, Any], slot: int) -> Run:
    """Return the run that a ticket speaks of; its lock is the run's slot."""
    claim, waited = parse(facts["claim"]), parse(facts["waited"])
    assert claim is not None and waited is not None
    created_at = instants.from_rfc3339(facts["created_at"])
    settings = Settings(**facts["settings"])
    return Run(claim, waited, Job(facts["job"]), created_at, slot, settings)


def end_facts(ended: Ended) -> Mapping[str, Any]:
    """Return what a ticket says of a run's end."""
    facts = {
        "finished_at": instants.to_rfc3339(ended.finished_at),
        "exit_code": ended.exit_code,
        "signal": ended.signal,
        "error": ended.error,
    }
    return {key: value for key, value in facts.items() if value is not None}


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Hands runs to a batch system: what the worker's loop sees of it."""

from __future__ import annotations

import os
import re
import sys
import time
from datetime import datetime
from typing import Any, Dict, List, Mapping, Optional

from spoolq import config, instants, lease, trust
from spoolq.errors import BadInput
from spoolq.executors import Context, Ended, Fate, Note, NotNow, Run
from spoolq.executors.batch import needs
from spoolq.executors.batch.courier import Courier, Errand, Found, Native, Over, job_name
from spoolq.executors.batch.engine import Engine, Order
from spoolq.executors.batch.tickets import PLACE, Tickets, stem
from spoolq.executors.batch.wrapper import facts_of
from spoolq.logs import logger
from spoolq.names import Name

MOST = 64  # jobs at the batch system at once, where nothing else is asked for
POLL = 10.0  # seconds between two questions to it
_WRAPPER = "spoolq.executors.batch.wrapper"
_SAFE_PATH = re.compile(r"[A-Za-z0-9_./+:,@%-]+", re.ASCII)


class BatchExecutor:
    """Runs of one worker on a batch system."""

    def __init__(self, kind: str, context: Context, options: Mapping[str, str]) -> None:
        self._kind = kind
        self._context = context
        self._python = options.get("python", sys.executable)
        self._walltime = needs.duration(options, "walltime", None)
        poll = needs.duration(options, "poll", POLL) or POLL
        if kind == "lsf" and self._walltime is None:
            raise BadInput("LSF wants a time limit for every job", hint="-o walltime=1h")
        path = context.spool.path
        if not _SAFE_PATH.fullmatch(path):
            raise BadInput(
                f"PSI/J's scripts cannot name this spool: {path}",
                hint="letters, digits and _./+:,@%- alone, in the whole path",
            )
        self._tickets = Tickets(context.spool)
        group = config.read(context.spool.config_bytes())[0].group
        trust.require_safe(path, [PLACE], group)
        self._cwd = os.getcwd()
        self._runs: Dict[str, Run] = {}  # by ticket
        self._stillborn: List[Ended] = []
        self._found: Dict[str, Found] = {}  # what became of the runs of dead workers
        self._courier = Courier(
            kind,
            Engine(kind, os.path.join(self._tickets.path, "psij"), options),
            self._tickets,
            poll,
            context.monotonic,
            context.bell.wake,
            time.time,
        )
        self._courier.start()

    def capacity(self) -> int:
        """Return what was asked for, and nothing while the batch system takes no jobs."""
        return 0 if self._courier.trouble else self._context.most or MOST

    def resize(self, most: int) -> None:
        """Hand on no more than so many runs at once; those under way go on."""
        self._context = self._context._replace(most=most)

    def submit(self, run: Run) -> None:
        """Write the ticket of a run and have it submitted.

        What the batch system can never give has ended at once, with a reason.
        """
        asked, fault = needs.amounts(run.job)
        if fault:
            self._stillborn.append(Ended(run, self._context.clock(), error=fault))
            self._context.bell.wake()
            return
        ticket = stem(run.claim)
        try:
            self._tickets.write(ticket, facts_of(run, self._cwd))
        except OSError as error:
            raise NotNow(f"no ticket can be written: {error.strerror}") from error
        self._runs[ticket] = run
        self._courier.submit(Errand(ticket, self._order(run, asked), run.settings.grace))

    def outcomes(self) -> List[Ended]:
        """Return what has ended since the last call, and note the names that jobs have got."""
        ended, self._stillborn = self._stillborn, []
        for news in self._courier.news():
            if isinstance(news, Found):
                self._found[news.ticket] = news
            elif isinstance(news, Native):
                self._note(news)
            else:
                ended += self._bring_in(news)
        return ended

    def cancel(self, claim: Name, error: str) -> None:
        """Begin to end a run: one that waits there never starts, another is asked to end."""
        if stem(claim) in self._runs:
            self._courier.cancel(stem(claim), error)

    def patience(self) -> Optional[float]:
        """Return None: the courier wakes the loop."""
        return 0.0 if self._stillborn else None

    def fate(self, claim: Name, note: Note) -> Fate:
        """Say what became of a run, once the courier has found it out."""
        ticket = stem(claim)
        found = self._found.get(ticket)
        if found is not None and found.fate is not Fate.UNKNOWN:
            if found.fate is Fate.OVER:
                del self._found[ticket]
            return found.fate
        self._courier.ask(ticket, str(note.get("native", "")))
        return Fate.UNKNOWN

    def reattach(self, run: Run, note: Note) -> None:
        """Take a run on under its new claim."""
        ticket = stem(run.claim)
        found = self._found.pop(ticket, None)
        native = (found.native if found else "") or str(note.get("native", ""))
        self._runs[ticket] = run
        if native != note.get("native"):
            self._note(Native(ticket, native))
        order = self._order(run, needs.amounts(run.job)[0])
        self._courier.attach(Errand(ticket, order, run.settings.grace, native))

    def close(self) -> None:
        """Stop looking; what the batch system has goes on."""
        self._courier.close()

    # --- inside -----------------------------------------------------------------------------------

    def _order(self, run: Run, asked: Mapping[str, int]) -> Order:
        ticket = stem(run.claim)
        walltime = needs.walltime(run.job, run.settings, self._walltime)
        return Order(
            job_name(ticket),
            [self._python, "-m", _WRAPPER, self._context.spool.path, ticket],
            os.path.join(self._tickets.path, f"{ticket}.stderr"),
            walltime=walltime,
            is_special=bool(asked) or walltime != self._walltime,
            **asked,
        )

    def _note(self, news: Native) -> None:
        """Note in the run's slot what its job is called."""
        run = self._runs.get(news.ticket)
        if run is None or not news.native:
            return
        try:
            name = str(run.claim)
            lease.write_note(run.slot, {"claim": name, "run": name, "native": news.native})
        except OSError as error:  # its ticket, or its job's name, tells as well
            logger.warning("%s: its job is not noted: %s", run.claim.id, error.strerror)

    def _bring_in(self, news: Over) -> List[Ended]:
        run = self._runs.pop(news.ticket, None)
        if run is None:
            return []
        return [_ended(run, news.facts, self._context.clock())]


def _ended(run: Run, facts: Mapping[str, Any], now: datetime) -> Ended:
    """Return the end that a ticket tells of: text that anybody may have written who may run it."""
    code, number, error = (facts.get(key) for key in ("exit_code", "signal", "error"))
    try:
        finished_at = min(instants.from_rfc3339(str(facts["finished_at"])), now)
    except (KeyError, ValueError):
        finished_at = now
    said = str(error) if error is not None else None
    code = code if type(code) is int else None
    number = number if type(number) is int else None
    if code is None and number is None and said is None:
        said = "its ticket does not say how it ended"
    return Ended(run, finished_at, exit_code=code, signal=number, error=said)

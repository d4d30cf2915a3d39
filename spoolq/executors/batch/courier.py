"""The thread that deals with the batch system, so that the worker's loop never waits for it.

It submits jobs, looks for their ends in the spool, asks the batch system for those that have none,
cancels, and finds out what became of the runs of dead workers. What it finds out it leaves as news.
Nothing but the thread touches an errand; `put` and `news` are the only ways in and out.

A run is over for three reasons alone: its ticket says how it ended; it was forbidden before it
started; or the batch system has no such job any more, and nothing holds the ticket's lock.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import Any, Callable, Deque, Dict, List, NamedTuple, Optional, Tuple, Union

from spoolq.executors import Fate
from spoolq.executors.batch.engine import Answer, Engine, Order, Refused, Silent
from spoolq.executors.batch.tickets import State, Tickets
from spoolq.logs import logger

LOOK = 0.5  # seconds between two looks at the tickets
_ASKED = 1.0  # seconds between two questions to the batch system for the runs of dead workers
_AGAIN = 5.0  # seconds after which a batch system that refused is tried again
_SWEEP = 10.0
_BACKSTOP = 15.0  # seconds beyond the grace, after which a job that was asked to end is cancelled
_AGAIN_AT_MOST = 2  # times that a run is submitted anew which was forgotten
_FORGOTTEN = 2  # polls in a row that do not know a job, which then is over


class Errand:
    """One run on its way: its ticket, and its job once it has been submitted."""

    def __init__(self, ticket: str, order: Order, grace: float, native: str = "") -> None:
        self.ticket = ticket
        self.order = order
        self.grace = grace
        self.native = native
        self.cancelled: Optional[str] = None
        self.kill_at = 0.0
        self.stuck = ""  # why its job waits, as it was last told
        self.unknown = 0  # polls in a row that did not know its job
        self.again = 0  # times that it was submitted anew


class Native(NamedTuple):
    """News: the batch system's name for a run's job."""

    ticket: str
    native: str


class Over(NamedTuple):
    """News: how a run ended; facts as its ticket has them, or an error alone."""

    ticket: str
    facts: Dict[str, Any]


class Found(NamedTuple):
    """News: what became of a dead worker's run, and its job where that is known."""

    ticket: str
    fate: Fate
    native: str = ""


News = Union[Native, Over, Found]


class Courier:
    """All errands of one worker."""

    def __init__(
        self,
        kind: str,
        engine: Engine,
        tickets: Tickets,
        poll: float,
        monotonic: Callable[[], float],
        wake: Callable[[], None],
        wall: Callable[[], float],
    ) -> None:
        self.trouble = ""  # what the batch system says while it takes nothing
        self._kind = kind
        self._engine = engine
        self._tickets = tickets
        self._poll_every = poll
        self._monotonic = monotonic
        self._wake = wake
        self._wall = wall
        self._inbox: Deque[Callable[[], None]] = deque()
        self._news: Deque[News] = deque()
        self._errands: Dict[str, Errand] = {}
        self._waiting: Deque[Errand] = deque()  # to be submitted
        self._questions: Dict[str, str] = {}  # tickets of dead workers, and their native ids
        self._litter: Deque[Tuple[float, str]] = deque()
        self._next_submit = self._next_look = self._next_sweep = 0.0
        self._polled_at = -poll
        self._told: Dict[str, str] = {}
        self._stirred = threading.Event()
        self._closing = False
        self._thread: Optional[threading.Thread] = None

    # --- for the worker's loop --------------------------------------------------------------------

    def start(self) -> None:
        """Begin to work, in a thread."""
        self._thread = threading.Thread(target=self._work, name=self._kind, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop; jobs that are submitted go on. What waits for an answer is not waited for."""
        self._closing = True
        self._stirred.set()
        if self._thread is not None:
            self._thread.join(1.0)
            if self._thread.is_alive():
                return  # it waits for the batch system
        try:
            for _ in range(2):  # looks, as it wants
                self._tickets.sweep()
        except OSError:
            pass  # the next worker does it
        for _, native in self._litter:
            self._engine.forget(native)

    def submit(self, errand: Errand) -> None:
        """Submit a job for a ticket that has been written."""
        self._put(lambda: self._take(errand))

    def attach(self, errand: Errand) -> None:
        """Take on a run that was submitted by another worker."""
        self._put(lambda: self._errands.update({errand.ticket: errand}))

    def cancel(self, ticket: str, reason: str) -> None:
        """Begin to end a run."""
        self._put(lambda: self._cancel(ticket, reason))

    def ask(self, ticket: str, native: str) -> None:
        """Find out what became of a dead worker's run."""
        self._put(lambda: self._questions.update({ticket: native}))

    def news(self) -> List[News]:
        """Return what has been found out since the last call."""
        return [self._news.popleft() for _ in range(len(self._news))]

    # --- the thread -------------------------------------------------------------------------------

    def _put(self, task: Callable[[], None]) -> None:
        self._inbox.append(task)
        self._stirred.set()

    def _work(self) -> None:
        while not self._closing:
            try:
                patience = self.step()
            except Exception as error:  # nothing may end this thread, or every run would hang
                self._tell("step", f"{self._kind}: {type(error).__name__}: {error}")
                patience = 1.0
            self._stirred.wait(patience)
            self._stirred.clear()

    def step(self) -> float:
        """Do what has become due; return the seconds until there is more to do."""
        while self._inbox:
            self._inbox.popleft()()
        now = self._monotonic()
        if self._waiting and now >= self._next_submit:
            self._submit(self._waiting[0])
        if now >= self._next_look:
            self._next_look = now + LOOK
            self._look()
        if now >= self._polled_at + (_ASKED if self._questions else self._poll_every):
            self._polled_at = now
            if self._errands or self._questions or self.trouble:
                self._poll()
        if now >= self._next_sweep:
            self._next_sweep = now + _SWEEP
            self._sweep(now)
        if self._inbox or (self._waiting and self._next_submit <= self._monotonic()):
            return 0.0
        return LOOK if self._errands or self._questions or self._waiting else _SWEEP

    def _tell(self, about: str, what: str) -> None:
        """Say what is wrong, once in each of its words; "" where nothing is any more."""
        if self._told.get(about, "") != what:
            self._told[about] = what
            if what:
                logger.error("%s; trying again", what)

    def _over(self, errand: Errand, facts: Dict[str, Any]) -> None:
        del self._errands[errand.ticket]
        if errand in self._waiting:
            self._waiting.remove(errand)
        if errand.native:
            self._litter.append((self._monotonic() + _SWEEP, errand.native))
        self._news.append(Over(errand.ticket, facts))
        self._wake()

    # --- submitting -------------------------------------------------------------------------------

    def _take(self, errand: Errand) -> None:
        self._errands[errand.ticket] = errand
        self._waiting.append(errand)

    def _submit(self, errand: Errand) -> None:
        """Submit one job, or say why not.

        RACE: who says no, or nothing, may have taken it all the same, and so the job of one ticket
        is there twice; one of them runs (test_a_ticket_runs_once_though_it_is_submitted_twice).
        """
        try:
            errand.native = self._engine.submit(errand.order)
        except Refused as refusal:
            said = f"{self._kind} takes no jobs: {refusal}"
            if refusal.lasting and errand.order.is_special:
                self._waiting.popleft()
                if self._tickets.forbid(errand.ticket) is State.VOID:
                    self._over(errand, {"error": f"{self._kind} refuses it: {refusal}"})
                return
            self.trouble = said
            self._tell("submit", said)
            self._next_submit = self._monotonic() + _AGAIN
            return
        self._waiting.popleft()
        if self.trouble:
            logger.info("%s takes jobs again", self._kind)
        self.trouble = ""
        self._tell("submit", "")
        self._news.append(Native(errand.ticket, errand.native))
        self._wake()

    # --- looking ----------------------------------------------------------------------------------

    def _look(self) -> None:
        """Find the ends that tickets tell of."""
        if not self._errands:
            return
        states = self._tickets.all()
        for errand in list(self._errands.values()):
            if states.get(errand.ticket) is State.ENDED:
                facts = self._tickets.end(errand.ticket)
                if facts:
                    self._over(errand, facts)
                continue
            if errand.cancelled is not None and errand.native:
                self._see_to_the_end_of(errand)

    def _poll(self) -> None:
        """Ask the batch system for the jobs that have not ended by their tickets."""
        asked = {errand.native: errand.ticket for errand in self._errands.values() if errand.native}
        asked.update({native: ticket for ticket, native in self._questions.items() if native})
        submitted = [errand for errand in self._errands.values() if errand.native]
        try:
            answer = self._engine.look(asked)
        except Silent as error:
            said = f"{self._kind} does not answer: {error}"
            self._tell("poll", said)
            self.trouble = self.trouble or said
            return
        self._tell("poll", "")
        if self.trouble and not self._waiting:
            self.trouble = ""
        for errand in submitted:
            self._heed(errand, answer)
        for ticket, native in list(self._questions.items()):
            del self._questions[ticket]
            self._news.append(self._found(ticket, native, answer))
            self._wake()

    def _heed(self, errand: Errand, answer: Answer) -> None:
        """Heed what the batch system says of a job that has not ended by its ticket."""
        seen = answer.of(errand.native, job_name(errand.ticket))
        said = "" if seen is None else seen.over
        if seen is not None and not seen.over:
            errand.unknown = 0
            self._warn_of(errand, seen.stuck)
            return
        errand.unknown += 1
        if not said and errand.unknown < _FORGOTTEN:
            return
        job = f"{self._kind} job {errand.native}"
        if not said and self._may_be_submitted_anew(errand):
            what = "is not known there any more, and submitted anew"
            logger.warning("%s: its %s %s", errand.ticket.split(".")[0], job, what)
            return
        state = self._tickets.forbid(errand.ticket)
        if state is State.VOID:
            why = self._tickets.complaint(errand.ticket) or (
                "is the spool there at the same path, and spoolq in its Python (-o python=)?"
            )
            reason = f"{job} ended ({said or 'gone'}) before it began: {why}"
            self._over(errand, {"error": errand.cancelled or reason})
        elif state is State.STARTED:
            other = str(self._tickets.starter(errand.ticket).get("native") or errand.native)
            if other != errand.native:  # it was submitted twice, and the other one runs it
                errand.native, errand.unknown = other, 0
                self._news.append(Native(errand.ticket, other))
            elif self._is_gone(errand.ticket):
                reason = f"{job} ended ({said or 'gone'}) without a word of its command"
                self._over(errand, {"error": errand.cancelled or reason})

    def _may_be_submitted_anew(self, errand: Errand) -> bool:
        """Submit a run anew that the batch system has forgotten before it began, some times.

        A controller that is killed loses the jobs of the last seconds.
        """
        if errand.again >= _AGAIN_AT_MOST or errand.cancelled is not None:
            return False
        if self._tickets.look(errand.ticket) is not State.READY:
            return False
        errand.again += 1
        errand.native, errand.unknown = "", 0
        self._waiting.append(errand)
        return True

    def _warn_of(self, errand: Errand, reason: str) -> None:
        """Say why a job waits that may wait for ever: nobody else does."""
        if reason and reason != errand.stuck:
            job = f"{self._kind} job {errand.native}"
            logger.warning("%s: its %s waits: %s", errand.ticket.split(".")[0], job, reason)
        errand.stuck = reason or errand.stuck

    def _is_gone(self, ticket: str) -> bool:
        """Say whether a run that the batch system knows no more is over, with nothing said.

        RACE: it may have said so just before it was gone, so that is looked at last
        (test_an_end_that_comes_with_the_last_breath_is_heard).
        """
        return not self._tickets.is_held(ticket) and self._tickets.look(ticket) is State.STARTED

    # --- ending -----------------------------------------------------------------------------------

    def _cancel(self, ticket: str, reason: str) -> None:
        errand = self._errands.get(ticket)
        if errand is None or errand.cancelled is not None:
            return
        state = self._tickets.forbid(ticket)
        if state is State.VOID:
            self._over(errand, {"error": reason})
            if errand.native:
                self._tell_engine_to_cancel(errand)
        elif state is not State.ENDED:
            self._tickets.ask_to_end(ticket, reason)
            errand.cancelled = reason
            errand.kill_at = self._monotonic() + errand.grace + _BACKSTOP

    def _see_to_the_end_of(self, errand: Errand) -> None:
        """Have the batch system end what does not end when it is asked."""
        if self._monotonic() >= errand.kill_at:
            errand.kill_at = self._monotonic() + _BACKSTOP
            self._tell_engine_to_cancel(errand)

    def _tell_engine_to_cancel(self, errand: Errand) -> None:
        try:
            self._engine.cancel(errand.native, job_name(errand.ticket))
        except Refused as error:
            logger.warning("%s job %s is not cancelled: %s", self._kind, errand.native, error)

    # --- the runs of dead workers -----------------------------------------------------------------

    def _found(self, ticket: str, native: str, answer: Answer) -> Found:
        """Say what became of a dead worker's run.

        CRASH: its worker may have died between a submit and the note of it, or sbatch may do its
        work after its parent is dead; the job is found by its name, or forbidden
        (test_a_job_that_is_submitted_after_its_workers_death_never_runs).
        """
        state = self._tickets.look(ticket)
        if state is State.ENDED:
            return Found(ticket, Fate.ALIVE, native)
        starter = self._tickets.starter(ticket).get("native") if state is State.STARTED else None
        alive = answer.alive(job_name(ticket), starter, native)
        if alive and state is not State.VOID:
            return Found(ticket, Fate.ALIVE, alive)
        state = self._tickets.forbid(ticket)
        if state is State.VOID:
            return Found(ticket, Fate.OVER)
        if state is State.STARTED and self._is_gone(ticket):
            return Found(ticket, Fate.OVER)
        held = state is State.STARTED and self._tickets.is_held(ticket)
        return Found(ticket, Fate.ALIVE if held else Fate.UNKNOWN, str(starter or native))

    # --- housekeeping -----------------------------------------------------------------------------

    def _sweep(self, now: float) -> None:
        self._tickets.sweep()
        while self._litter and self._litter[0][0] <= now:
            self._engine.forget(self._litter.popleft()[1])
        self._engine.sweep(self._wall())


def job_name(ticket: str) -> str:
    """Return what a ticket's job is called at the batch system."""
    return f"spoolq.{ticket}"

"""Tickets: who may start a run on a batch system, and how it ended; files that both sides see.

A batch system may start a job late, twice, or after its spoolq worker has died, and may forget it.
So a run goes by a ticket in the spool, named as its log is, whatever worker its claim has by then:

    tickets/
        ID.aN.TIME.ready    what is to be run; one rename starts it, or forbids it for ever
        ID.aN.TIME.started  renamed by the one who runs it, who holds its lock while anything lives
        ID.aN.TIME.void     renamed by who made sure that it never starts
        ID.aN.TIME.cancel   asks the run to end, and says why
        ID.aN.TIME.ended    how it ended, synced
        ID.aN.TIME.stderr   what went wrong before the command began

It is there from before the job is submitted until its claim is gone, and then it is swept. Assumed
is a filesystem that the machines share at one path; where its locks do not reach from one machine
to another, the word of the batch system is all there is.
"""

from __future__ import annotations

import enum
import json
import os
import re
import time
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Set

from spoolq import locks, names
from spoolq.errors import InvalidJob
from spoolq.fsio import read_all, write_all
from spoolq.job import MAX_FILE
from spoolq.names import Name
from spoolq.spool import SpoolDir

PLACE = "tickets"
_FILE = re.compile(
    r"([A-Za-z0-9_][A-Za-z0-9_-]{0,63}\.a\d{1,6}\.\d{8}T\d{12}Z)"
    r"\.(ready|started|void|cancel|ended|stderr|making)",
    re.ASCII,
)
_LOCK_PATIENCE = 5.0  # seconds; who merely looks holds a lock for microseconds
_READ = 64 * 1024


class State(enum.Enum):
    """How far a run has come, by its ticket."""

    NONE = "none"
    READY = "ready"
    VOID = "void"
    STARTED = "started"
    ENDED = "ended"


_LATEST_FIRST = (State.ENDED, State.STARTED, State.VOID, State.READY)


class Started(NamedTuple):
    """A ticket that is this process's to run: what it says, and the descriptor with its lock."""

    facts: Dict[str, Any]
    lock: int


def stem(claim: Name) -> str:
    """Return the name of a claim's ticket; a takeover does not change it."""
    return f"{claim.id}.a{claim.attempt}.{claim.stamp}"


class Tickets:
    """The tickets of a spool."""

    def __init__(self, spool: SpoolDir) -> None:
        """Open the directory, and make it where there is none."""
        try:
            spool.root.make_dir(PLACE)
        except FileExistsError:
            pass
        self._spool = spool
        self._dir = spool.dir(PLACE)
        self.path = self._dir.path
        self._unclaimed: Set[str] = set()  # at the last sweep

    # --- by who submits ---------------------------------------------------------------------------

    def write(self, ticket: str, facts: Mapping[str, Any]) -> None:
        """Make a ticket, before its job is submitted.

        Not synced: what a power cut takes is not started, and recovered as lost.
        """
        data = json.dumps(dict(facts)).encode("utf-8") + b"\n"
        self._dir.write(f"{ticket}.ready", data, sync=False)

    def forbid(self, ticket: str) -> State:
        """See to it that a run which has not started never will, and return how far it is.

        VOID: it never starts. READY: that could not be found out; ask again.
        """
        try:
            self._dir.rename(f"{ticket}.ready", self._dir, f"{ticket}.void")
            return State.VOID
        except FileNotFoundError:
            pass
        state = self.look(ticket)
        if state is State.NONE:
            # CRASH: its worker died before it had written the ticket, or it was lost with the
            # power (test_a_claim_without_a_ticket_is_over).
            try:
                os.close(self._dir.create(f"{ticket}.void"))
            except FileExistsError:
                return self.look(ticket)
            return self.look(ticket)  # who makes a file here sees, on NFS too, what others made
        return state

    def ask_to_end(self, ticket: str, reason: str) -> None:
        """Ask a run to end, and say why."""
        try:
            self._dir.write(f"{ticket}.cancel", reason.encode("utf-8", "replace"), sync=False)
        except FileExistsError:
            pass

    # --- by who runs ------------------------------------------------------------------------------

    def start(self, ticket: str, me: Mapping[str, Any]) -> Optional[Started]:
        """Take a ticket to run it; None if it is somebody else's, or may not run any more.

        `me` says in the ticket who runs it.

        RACE: locked before it is renamed, so that a ticket which has been started and is not locked
        has nothing left that runs (test_a_ticket_is_locked_before_it_is_started).
        """
        try:
            descriptor = self._dir.open_lock(f"{ticket}.ready")
        except FileNotFoundError:
            return None
        try:
            if not _locked(descriptor):
                os.close(descriptor)
                return None
            self._dir.rename(f"{ticket}.ready", self._dir, f"{ticket}.started")
        except FileNotFoundError:
            os.close(descriptor)
            return None
        facts = json.loads(read_all(descriptor, MAX_FILE))
        write_all(descriptor, json.dumps(dict(me)).encode("utf-8") + b"\n")
        return Started(facts, descriptor)

    def asked_to_end(self, ticket: str) -> Optional[str]:
        """Return why a run is to end, if it is."""
        return self._text(f"{ticket}.cancel")

    def finish(self, ticket: str, end: Mapping[str, Any]) -> None:
        """Say how a run ended, durably: from now on it is known whatever dies."""
        making = f"{ticket}.making"
        self._dir.discard(making)
        self._dir.write(making, json.dumps(dict(end)).encode("utf-8") + b"\n", sync=True)
        self._dir.rename(making, self._dir, f"{ticket}.ended")
        self._dir.sync_moves()

    # --- by who looks -----------------------------------------------------------------------------

    def look(self, ticket: str) -> State:
        """Say how far a run is.

        RACE: it may go on meanwhile, so it is asked from the first state to the last
        (test_a_look_sees_a_ticket_that_moves_on).
        """
        there = [state for state in reversed(_LATEST_FIRST) if self._has(ticket, state)]
        return there[-1] if there else State.NONE

    def all(self) -> Dict[str, State]:
        """Return how far all runs are, by one listing."""
        found: Dict[str, Set[str]] = {}
        for entry in self._dir.list():
            match = _FILE.fullmatch(entry)
            if match is not None:
                found.setdefault(match.group(1), set()).add(match.group(2))
        return {
            ticket: next((state for state in _LATEST_FIRST if state.value in kinds), State.NONE)
            for ticket, kinds in found.items()
        }

    def end(self, ticket: str) -> Dict[str, Any]:
        """Return how a run ended; {} if that is not known."""
        return _object(self._text(f"{ticket}.ended") or "")

    def starter(self, ticket: str) -> Dict[str, Any]:
        """Return what who runs a ticket says of itself."""
        try:
            data, _ = self._dir.read(f"{ticket}.started", MAX_FILE)
        except (OSError, InvalidJob):
            return {}
        return _object(b"".join(data.split(b"\n")[1:2]).decode("utf-8", "replace"))

    def is_held(self, ticket: str) -> bool:
        """Say whether anything of a run that has started is seen to live, by its lock."""
        try:
            descriptor = self._dir.open_lock(f"{ticket}.started")
        except FileNotFoundError:
            return False
        try:
            return not locks.try_lock(descriptor, shared=True)
        except OSError:  # no locks here
            return False
        finally:
            os.close(descriptor)

    def complaint(self, ticket: str) -> str:
        """Return the last line of what went wrong before the command began."""
        lines = (self._text(f"{ticket}.stderr") or "").split("\n")
        return next((line.strip() for line in reversed(lines) if line.strip()), "")

    # --- housekeeping -----------------------------------------------------------------------------

    def sweep(self) -> None:
        """Remove the tickets that no claim has, at this look and at the one before.

        RACE: a claim that is taken over may be missed by a listing, so one look is not enough
        (test_a_ticket_is_swept_at_the_second_look).
        """
        entries = [(entry, _FILE.fullmatch(entry)) for entry in self._dir.list()]
        claimed = set(self._claimed())
        unclaimed: Dict[str, List[str]] = {}
        for entry, match in entries:
            if match is not None and match.group(1) not in claimed:
                unclaimed.setdefault(match.group(1), []).append(entry)
        for ticket in self._unclaimed & unclaimed.keys():
            for entry in unclaimed.pop(ticket):
                self._dir.tidy(entry)
        self._unclaimed = set(unclaimed)

    def _claimed(self) -> Iterable[str]:
        for claim in map(names.parse, self._spool.dir("processing").list()):
            if claim is not None:
                yield stem(claim)

    # --- inside -----------------------------------------------------------------------------------

    def _has(self, ticket: str, state: State) -> bool:
        return self._dir.has(f"{ticket}.{state.value}")

    def _text(self, name: str) -> Optional[str]:
        try:
            return self._dir.read(name, _READ)[0].decode("utf-8", "replace")
        except (OSError, InvalidJob):
            return None


def _locked(descriptor: int) -> bool:
    """Take a ticket's lock, with a little patience; True too where there are no locks."""
    deadline = time.monotonic() + _LOCK_PATIENCE
    while True:
        try:
            if locks.try_lock(descriptor):
                return True
        except OSError:
            return True
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)


def _object(text: str) -> Dict[str, Any]:
    try:
        value = json.loads(text)
    except ValueError:
        return {}
    return value if isinstance(value, dict) else {}

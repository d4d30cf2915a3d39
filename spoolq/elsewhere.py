"""Claims of dead workers whose runs are not processes of this machine.

Only a worker with the same executor can find out what became of such a run; what it finds alive it
takes on. Every other one leaves the claim where it is, and says who can settle it. Who removes the
dead worker's directory by hand declares its runs lost.

A job that a dead forwarder was sending to another spool is elsewhere too, whatever became of the
forwarder's directory: the name of the claim alone says so, and `forwarding` settles it.
"""

from __future__ import annotations

from typing import Any, Dict, List, Mapping, NamedTuple, Optional

from spoolq import errands, lease
from spoolq.executors import Executor, Fate, Note, kind_of
from spoolq.lease import Lease
from spoolq.names import Name
from spoolq.spool import SpoolDir


class Alive(NamedTuple):
    """A claim of a dead worker whose run is alive: to be taken on by its executor."""

    claim: Name
    note: Note


class Elsewhere:
    """What one worker can find out about runs elsewhere; without an executor nothing."""

    def __init__(self, spool: SpoolDir, own: Lease, executor: Optional[Executor]) -> None:
        self._spool = spool
        self._own = own
        self._executor = executor
        self._alive: List[Alive] = []

    def look(self, claim: Name) -> str:
        """Look for the run of a dead worker's claim.

        Returns:
            Nothing if it is over, or was never elsewhere; else why the claim stays as it is.
        """
        assert claim.worker is not None
        if claim.mark is not None:
            return on_its_way(self._spool, claim.worker)
        kind = kind_of(claim.slot)
        if kind is None or not self._spool.dir("workers").has(claim.worker):
            return ""
        theirs = lease.read_card(self._spool, claim.worker).get("executor")
        own = self._own.card.get("executor")
        if self._executor is None or not theirs or theirs != own:
            return f"its worker is gone; what became of its run can tell:  {_start(kind, theirs)}"
        note = lease.read_slot(self._spool, claim.worker, claim.slot or "", str(claim))
        fate = self._executor.fate(claim, note)
        if fate is Fate.ALIVE:
            self._alive.append(Alive(claim, {"run": str(claim), **note}))
            return f"its worker is gone; its run is alive on {kind}"
        return "" if fate is Fate.OVER else f"its worker is gone; {kind} cannot tell of its run yet"

    def alive(self) -> List[Alive]:
        """Return what has been found alive since the last call."""
        alive, self._alive = self._alive, []
        return alive


def on_its_way(spool: SpoolDir, forwarder: str) -> str:
    """Return why the claims of a dead forwarder stay, and who can settle them."""
    how = errands.settling(lease.read_card(spool, forwarder))
    return f"its forwarder is gone, and the job may have arrived; settle that:  {how}"


def _start(kind: str, theirs: Any) -> str:
    """Return how the worker is started that can settle a claim."""
    identity: Mapping[str, Any] = theirs if isinstance(theirs, dict) else {}
    known: Dict[str, Any] = {key: value for key, value in identity.items() if key != "name"}
    options = "".join(f" -o {key}={value}" for key, value in known.items())
    return f"spoolq worker start --executor {kind}{options}"

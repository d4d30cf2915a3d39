"""Who works on a spool, at the moment of a look: workers, and what each of them runs."""

from __future__ import annotations

import json
import os
import time
from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from spoolq import errands, instants, lease, names
from spoolq.layout import translated
from spoolq.names import Name
from spoolq.neighbours import HELD, OUT_OF_REACH, Neighbours
from spoolq.spool import SpoolDir

_MOST_OF_TAGS = 300  # bytes in worker.json, which has a thousand for all


class WorkerView(NamedTuple):
    """One worker at one moment; `card` is what its worker.json says.

    `running` are its claims; if it lives, without those whose run has ended and waits for the disk.
    `sending` are those on their way to another spool.
    """

    name: str
    alive: bool
    card: Dict[str, Any]
    running: Tuple[Name, ...]
    sending: Tuple[Name, ...] = ()

    @property
    def stays(self) -> bool:
        """Whether it is one for longer: a verb that changes a job is a worker for a moment."""
        return self.card.get("count") != 0 or bool(self.running or self.sending or self.forwards_to)

    @property
    def forwards_to(self) -> Optional[str]:
        """The target of one that runs nothing, but sends jobs there."""
        return errands.forwards_to(self.card)

    @property
    def tags(self) -> List[str]:
        """The tags of which it runs jobs alone, as far as its card has room; none: it runs all."""
        found = self.card.get("tags")
        return [tag for tag in found if isinstance(tag, str)] if isinstance(found, list) else []

    @property
    def heirs(self) -> str:
        """What becomes of its jobs if it is gone, in words."""
        return errands.heirs(self.card, len(self.sending))

    def as_dict(self) -> Dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "name": self.name,
            "alive": self.alive,
            **self.card,
            "running": [
                {
                    "id": claim.id,
                    "attempt": claim.attempt,
                    "slot": claim.slot,
                    "since": instants.to_rfc3339(claim.at),
                }
                for claim in self.running
            ],
            "sending": [claim.id for claim in self.sending],
        }


def told_tags(tags: Sequence[str]) -> List[str]:
    """Return as many of a worker's tags as its worker.json has room for."""
    told = list(tags)
    while len(json.dumps(told)) > _MOST_OF_TAGS:
        told.pop()
    return told


def workers(spool: SpoolDir) -> List[WorkerView]:
    """Return the workers, dead ones that still have claims included.

    RACE: a run may end during the look, so ends are looked for before the claims and after them
    (test_a_run_that_has_ended_and_waits_for_the_disk_does_not_run).
    """
    known = {entry for entry in spool.dir("workers").list() if names.is_worker(entry)}
    ended = {worker: lease.ended_slots(spool, worker) for worker in known}
    claims: Dict[str, List[Name]] = {}
    for filename in spool.dir("processing").scan():
        claim = names.parse(filename)
        if claim is not None and claim.worker is not None:
            claims.setdefault(claim.worker, []).append(claim)
    neighbours = Neighbours(spool, time.monotonic)
    states, troubles = {}, {}
    for worker in sorted(known | set(claims)):
        with translated(os.path.join(spool.path, "workers", worker)):
            try:
                states[worker] = neighbours.state_of(worker)
            except OSError as error:
                if error.errno not in lease.NO_LOCK:
                    raise
                states[worker] = HELD  # as recovery takes it: what stands there cannot be told dead
                troubles[worker] = f"its lock is none: {error.strerror}"
    found = []
    for worker, state in neighbours.settled(states).items():
        card, alive = lease.read_card(spool, worker), state == HELD
        if state == OUT_OF_REACH:
            troubles[worker] = "its host is out of reach"
        if worker in troubles:
            card = {**card, "trouble": troubles[worker]}
        running = sorted(claims.get(worker, ()))
        if alive and running:
            over = ended.get(worker, set()) | lease.ended_slots(spool, worker)
            running = [claim for claim in running if claim.slot not in over]
        sending = tuple(claim for claim in running if claim.mark is not None)
        running = [claim for claim in running if claim.mark is None]
        found.append(WorkerView(worker, alive, card, tuple(running), sending))
    return found

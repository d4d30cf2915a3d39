"""Attempts of which something may still run, until it is known that nothing does.

An attempt is in doubt when its task was lost: with a Dask worker, the scheduler, or the spoolq
worker that had sent it. Its job may start anew only when the old attempt is over, and that is known

- when the scheduler has been told that it must not start, and every process that has started
  attempts lately says that it has nothing of it, or is dead, and its machine says that nothing of
  it is left there; those that say so end what they find;
- or when so much time has passed that it must be over: nobody has confirmed it for a lease, and
  then whoever runs it ends it, or the warden beside that does.
"""

from __future__ import annotations

import asyncio
from typing import Any, Callable, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set

from spoolq.executors.dask import keeper

_ANSWER = 5.0  # seconds for an answer
_ENDING = 5.0  # seconds that an end may take from when the lease is over: looks, TERM and KILL


class _Doubt(NamedTuple):
    since: float
    scheduler: Optional[str]  # to which it was sent; "": to this one or the last; None: another


class Doubts:
    """The attempts in doubt, and what is known of those who may have them."""

    def __init__(self, lease: float, monotonic: Callable[[], float]) -> None:
        self._lease = lease
        self._monotonic = monotonic
        self._doubts: Dict[str, _Doubt] = {}
        self._left: Set[str] = set()  # those of which something was seen at the last look
        self._heard: Dict[str, float] = {}  # process -> when the scheduler last heard it, at most

    def __len__(self) -> int:
        return len(self._doubts)

    def add(self, claim: str, scheduler: Optional[str] = "") -> None:
        """Begin to find out about an attempt.

        Args:
            scheduler: the one that it was sent to; "" for one at the same address; None for one
                that is not asked here, so that time alone tells.
        """
        self._doubts.setdefault(claim, _Doubt(self._monotonic(), scheduler))

    def claims(self) -> List[str]:
        """Return the attempts in doubt."""
        return list(self._doubts)

    def learn(self, survey: Mapping[str, Any]) -> None:
        """Learn from a survey who may have attempts, also for the time after the scheduler."""
        now = self._monotonic()
        for process, age in survey["heard"].items():
            self._heard[process] = max(now - age, self._heard.get(process, 0.0))
        oldest = now - self._lease - _ENDING
        self._heard = {process: at for process, at in self._heard.items() if at > oldest}

    def settled(self) -> List[str]:
        """Return, and forget, the attempts that are over by the time that has passed.

        A client that was cut off may be believed for one lease by the scheduler, and that for
        another by a Dask worker that was cut off then.
        """
        over_at = self._monotonic() - 2 * self._lease - _ENDING
        return self._forget(
            claim
            for claim, doubt in self._doubts.items()
            if doubt.since < over_at and claim not in self._left
        )

    async def look(
        self, client: Any, survey: Mapping[str, Any], claims: Sequence[str]
    ) -> List[str]:
        """Ask all; return, and forget, the attempts that are over.

        Args:
            survey: what the scheduler has said when these attempts were barred.
        """
        self.learn(survey)
        asked = list(self._heard)
        answers = await self._ask_all(client, list(survey["workers"]), list(claims), asked)
        self._left = {claim for answer in answers for claim in answer["left"]}
        there = {answer["process"] for answer in answers}
        alive = {process for answer in answers for process in answer["alive"]}
        places = {_place(process) for process in there}
        silent = [p for p in asked if p not in there and (p in alive or _place(p) not in places)]
        may_run = self._left | {one for one in claims if self._doubts[one].scheduler is None}
        # A scheduler that has just been started does not know who was heard by the last one.
        if survey["up"] < self._lease + _ENDING:
            itself = survey["scheduler"]
            may_run |= {one for one in claims if self._doubts[one].scheduler != itself}
        over = [] if silent else self._forget(one for one in claims if one not in may_run)
        return over + self.settled()

    async def _ask_all(
        self, client: Any, addresses: List[str], claims: List[str], processes: List[str]
    ) -> List[Dict[str, Any]]:
        """Have all Dask workers end what they find of attempts; return the answers that come."""

        async def ask(address: str) -> Optional[Dict[str, Any]]:
            question = client.run(keeper.clear, claims, processes, workers=[address])
            try:
                answer = await asyncio.wait_for(question, _ANSWER)
            except Exception:  # Dask's errors, and the network's: it does not answer
                return None
            found: Dict[str, Any] = answer[address]
            return found

        answers = await asyncio.gather(*map(ask, addresses))
        return [answer for answer in answers if answer is not None]

    def _forget(self, claims: Iterable[str]) -> List[str]:
        over = list(claims)
        for claim in over:
            self._doubts.pop(claim, None)
        self._left.difference_update(over)
        return over


def _place(process: str) -> str:
    return process.rpartition("/")[0]

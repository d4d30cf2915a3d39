"""The thread in which Dask's client lives: it connects, sends, hears, and finds out what was lost.

The worker's loop hands over what it wants and takes what has come; neither waits for the other.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextlib import suppress
from typing import Any, Callable, Deque, Dict, List, Mapping, NamedTuple, Optional, Set, Tuple

from spoolq.bell import Bell
from spoolq.executors.dask import attempt, keeper, ledger
from spoolq.executors.dask.doubts import Doubts
from spoolq.executors.dask.placing import Host, Placing
from spoolq.executors.dask.spec import Told, key
from spoolq.job import INTERRUPTED, LOST
from spoolq.logs import logger

_ROUND = 1.0  # seconds between two surveys
_DOUBTFUL_ROUND = 0.25  # while an attempt is in doubt
_ANSWER = 5.0
_BEATS = 6  # signs of life in a lease, which confirm all attempts


class Sent(NamedTuple):
    """What is sent for an attempt."""

    claim: str
    text: str
    priority: int
    needs: Mapping[str, float]


class Heard(NamedTuple):
    """What is heard of an attempt's end; `log` is what it printed out of the spool's sight."""

    claim: str
    told: Told
    log: bytes


class Engine:
    """Dask, as the executor sees it. All but the public methods runs in the thread."""

    def __init__(
        self,
        where: Callable[[], Mapping[str, Any]],
        shown: str,
        lease: float,
        is_own: bool,
        placing: Placing,
        bell: Bell,
        monotonic: Callable[[], float],
    ) -> None:
        self._where = where
        self._shown = shown
        self._lease = lease
        self._is_own = is_own  # a cluster that came with this worker, and no dead one has sent to
        self._placing = placing
        self._bell = bell
        self._doubts = Doubts(lease, monotonic)
        self._inbox: Deque[Callable[[], None]] = deque()
        self._outbox: Deque[Sent] = deque()
        self._heard: Deque[Heard] = deque()
        self._over: Set[str] = set()  # claims of dead workers that were asked about
        self._lost: Dict[str, Told] = {}  # own attempts in doubt, and what will be told of them
        self._futures: Dict[str, Any] = {}
        self._unwanted: Dict[str, str] = {}
        self._without: Set[str] = set()  # addresses of Dask workers that have no spoolq
        self._client: Any = None
        self._scheduler = ""
        self._trouble = ""
        self._is_closing = False
        self._loop = asyncio.new_event_loop()
        self._nudged: Optional[asyncio.Event] = None
        self._thread = threading.Thread(target=self._run, name="dask", daemon=True)
        self._thread.start()

    # --- from the worker's loop -------------------------------------------------------------------

    def submit(self, sent: Sent) -> None:
        """Send an attempt; of many in a row all go together."""
        self._outbox.append(sent)
        self._hand_over(self._send)

    def cancel(self, claim: str, error: str) -> None:
        """Begin to end an attempt."""
        self._hand_over(lambda: self._cancel(claim, error))

    def is_over(self, claim: str) -> bool:
        """Say whether an attempt of a dead worker is over; begins to find out."""
        if claim in self._over:
            return True
        self._hand_over(lambda: self._doubts.add(claim, None if self._is_own else ""))
        return False

    def heard(self) -> List[Heard]:
        """Return what has ended since the last call."""
        return [self._heard.popleft() for _ in range(len(self._heard))]

    def close(self) -> None:
        """Let the connection go; what still runs is ended, for want of who wants it."""
        self._is_closing = True
        self._hand_over(lambda: None)
        self._thread.join(2 * _ANSWER)

    def _hand_over(self, what: Callable[[], None]) -> None:
        self._inbox.append(what)
        if len(self._inbox) == 1:
            self._loop.call_soon_threadsafe(self._take)

    # --- the thread -------------------------------------------------------------------------------

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.set_exception_handler(lambda _, context: logger.debug("dask: %s", context))
        self._loop.run_until_complete(self._live())

    def _take(self) -> None:
        """Do what was handed over."""
        while self._inbox:
            self._inbox[0]()
            self._inbox.popleft()
        if self._nudged is not None and (self._doubts or self._is_closing):
            self._nudged.set()

    async def _live(self) -> None:
        """Connect, and again, until closed."""
        self._nudged = asyncio.Event()
        while not self._is_closing:
            client = None
            try:
                client = await self._connected()
                await self._attend(client)
            except Exception as error:  # Dask's errors, and the network's
                self._show_trouble(str(error) or type(error).__name__)
            finally:
                await self._part_with(client)
            self._settle(self._doubts.settled())
            await self._rest(_ROUND)

    async def _rest(self, seconds: float) -> None:
        assert self._nudged is not None
        if not self._is_closing:
            with suppress(asyncio.TimeoutError):
                await asyncio.wait_for(self._nudged.wait(), seconds)
            self._nudged.clear()

    async def _connected(self) -> Any:
        from distributed import Client

        where = await self._loop.run_in_executor(None, self._where)
        client = Client(
            **where,
            asynchronous=True,
            set_as_default=False,
            timeout=_ANSWER,
        )
        try:
            await client
            try:
                await client.run_on_scheduler(ledger.install)
            except Exception as error:  # Dask tells an ImportError there as one without a name
                raise ConnectionError(f"it has no spoolq: {error}") from error
            await self._say_alive(client)
        except BaseException:
            await client.close(timeout=0)
            raise
        return client

    async def _say_alive(self, client: Any) -> None:
        ask = getattr(client.scheduler, ledger.ALIVE)
        await asyncio.wait_for(ask(client=client.id), _ANSWER)

    async def _beat(self, client: Any) -> None:
        """Say again and again that this client lives, whatever else takes its time."""
        while True:
            await asyncio.sleep(self._lease / _BEATS)
            try:
                await self._say_alive(client)
            except Exception as error:  # Dask's errors, and the network's: who asks next tells
                logger.debug("dask: %s", error)

    async def _attend(self, client: Any) -> None:
        """Keep to a connection as long as it is one."""
        beat = asyncio.ensure_future(self._beat(client))
        try:
            await self._look_after(client)
        finally:
            beat.cancel()

    async def _look_after(self, client: Any) -> None:
        self._client = client
        while client.status == "running" and not self._is_closing:
            doubtful = self._doubts.claims()
            ask = getattr(client.scheduler, ledger.SURVEY)
            asked = ask(keys=list(map(key, self._futures)), bar=list(map(key, doubtful)))
            survey = await asyncio.wait_for(asked, _ANSWER)
            if not isinstance(survey, dict):
                raise ConnectionError("the scheduler was started anew")
            self._scheduler = survey["scheduler"]
            await self._welcome(client, survey["workers"])
            self._doubts.learn(survey)
            for stranded, has_started in survey["stranded"].items():
                self._lose(stranded[len(key("")) :], LOST if has_started else INTERRUPTED)
            if doubtful:
                self._settle(await self._doubts.look(client, survey, doubtful))
            await self._rest(_DOUBTFUL_ROUND if self._doubts else _ROUND)
        if not self._is_closing:
            raise ConnectionError("the connection is closed")

    async def _welcome(self, client: Any, workers: Mapping[str, Any]) -> None:
        """Take note of the Dask workers that are there, and have spoolq."""

        async def knows_us(address: str) -> bool:
            try:
                asked = client.run(keeper.hello, workers=[address])
                return bool((await asyncio.wait_for(asked, _ANSWER))[address])
            except (asyncio.TimeoutError, OSError) as error:  # it is asked again
                logger.debug("the Dask worker at %s does not answer: %s", address, error)
            except Exception as error:  # Dask tells an ImportError there as one without a name
                logger.warning("the Dask worker at %s has no spoolq: %s", address, error)
                self._without.add(address)
            return False

        self._without &= set(workers)
        known = self._placing.hosts
        new = [one for one in workers if one not in known and one not in self._without]
        welcome = {a for a, good in zip(new, await asyncio.gather(*map(knows_us, new))) if good}
        hosts = {
            address: Host(threads, resources)
            for address, (threads, resources) in workers.items()
            if address in known or address in welcome
        }
        if hosts != self._placing.hosts:
            self._placing.hosts = hosts
            self._bell.wake()
        self._show_trouble("" if hosts else "no Dask worker with spoolq is there")

    async def _part_with(self, client: Any) -> None:
        """Give a connection up: what was sent over it is in doubt from now on."""
        self._client = None
        self._placing.hosts = {}
        for claim in list(self._futures):
            self._lose(claim, LOST)
        if client is not None:
            try:
                await asyncio.wait_for(client.close(timeout=1), _ANSWER)
            except Exception as error:  # it is gone, whatever it says
                logger.debug("dask: %s", error)

    def _show_trouble(self, trouble: str) -> None:
        if trouble == self._trouble:
            return
        self._trouble = trouble
        if trouble:
            logger.warning("the Dask scheduler at %s: %s; trying again", self._shown, trouble)
        else:
            threads = self._placing.threads()
            logger.info("the Dask scheduler at %s: %d at a time", self._shown, threads)

    # --- attempts ---------------------------------------------------------------------------------

    def _send(self) -> None:
        """Send all attempts that wait to be sent, those that are alike together."""
        groups: Dict[Tuple[Any, ...], List[Sent]] = {}
        for sent in [self._outbox.popleft() for _ in range(len(self._outbox))]:
            groups.setdefault((sent.priority, *sorted(sent.needs.items())), []).append(sent)
        for group in groups.values():
            if self._client is None or self._client.status != "running":
                for sent in group:  # nobody has heard of it, so nothing of it runs
                    self._tell(Heard(sent.claim, Told(error=INTERRUPTED), b""))
                continue
            futures = self._client.map(
                attempt.run,
                [sent.text for sent in group],
                key=[key(sent.claim) for sent in group],
                pure=False,
                retries=0,
                priority=group[0].priority,
                resources=dict(group[0].needs) or None,
                workers=list(self._placing.hosts) if self._without else None,
            )
            for sent, future in zip(group, futures):
                self._futures[sent.claim] = future
                asyncio.ensure_future(self._follow(sent.claim, future))

    async def _follow(self, claim: str, future: Any) -> None:
        """Wait for the end of a task."""
        try:
            text, log = await future
            told = Told.read(text)
        except (Exception, asyncio.CancelledError) as error:
            # Of a worker that was killed, of a task that was cancelled: or the function has failed.
            from distributed import KilledWorker

            lost = isinstance(error, (KilledWorker, asyncio.CancelledError)) or not future.done()
            lost = lost or future.cancelled()
            self._lose(claim, LOST if lost else f"the Dask worker failed: {error!r}"[:300])
            return
        if self._futures.get(claim) is not future:
            return  # it is in doubt already
        if not told.is_sure:
            self._lose(claim, LOST)
            return
        self._let_go(claim)
        self._tell(Heard(claim, told, log))

    def _let_go(self, claim: str) -> None:
        """Let the scheduler forget a task, and its result, which it would make anew."""
        future = self._futures.pop(claim, None)
        if future is not None:
            future.release()

    def _lose(self, claim: str, error: str) -> None:
        """Begin to doubt an own attempt, unless it has been told of."""
        if claim in self._futures:
            self._let_go(claim)
            self._lost[claim] = Told(error=self._unwanted.get(claim, error))
            self._doubts.add(claim, self._scheduler)

    def _settle(self, claims: List[str]) -> None:
        """Tell of attempts that are known to be over."""
        for claim in claims:
            told = self._lost.pop(claim, None)
            if told is None:
                self._over.add(claim)
                self._bell.wake()
            else:
                self._tell(Heard(claim, told, b""))

    def _tell(self, heard: Heard) -> None:
        self._unwanted.pop(heard.claim, None)
        self._heard.append(heard)
        self._bell.wake()

    def _cancel(self, claim: str, error: str) -> None:
        if claim in self._lost:
            self._lost[claim] = Told(error=error)
        elif claim in self._futures and claim not in self._unwanted:
            self._unwanted[claim] = error
            asyncio.ensure_future(self._end(self._client, {claim: error}))

    async def _end(self, client: Any, reasons: Dict[str, str]) -> None:
        """Have attempts ended where they run; those that run nowhere yet never will."""
        found: Set[str] = set()
        try:
            asked = client.run(keeper.end, reasons, on_error="ignore")
            answers = await asyncio.wait_for(asked, _ANSWER)
            found = {claim for here in answers.values() for claim in here}
        except Exception as error:  # Dask's errors, and the network's
            logger.debug("dask: %s", error)
        for claim in set(reasons) - found:
            self._lose(claim, reasons[claim])

"""Runs commands on the workers of a Dask cluster: the protocol's side of it."""

from __future__ import annotations

from typing import Any, Callable, Dict, List, Mapping, Optional

from spoolq import logs
from spoolq.executors import Context, Ended, Fate, Note, NotNow, Run, command
from spoolq.executors.dask.cluster import Local
from spoolq.executors.dask.engine import Engine, Heard, Sent
from spoolq.executors.dask.placing import Placing
from spoolq.executors.dask.spec import Spec
from spoolq.fsio import write_all
from spoolq.job import INTERRUPTED
from spoolq.names import Name

_HOLD_OFF = 1.0  # seconds without claims after a Dask worker had no room for a process


class DaskExecutor:
    """Attempts as tasks of Dask, each with a key of its own."""

    def __init__(
        self,
        context: Context,
        where: Callable[[], Mapping[str, Any]],
        shown: str,
        lease: float,
        own: Optional[Local] = None,
    ) -> None:
        """Make it.

        Args:
            where: returns where the scheduler is, as a client wants to be told.
            shown: the same, for people.
            own: a cluster that comes and goes with the executor, if that is where.
        """
        self._context = context
        self._lease = lease
        self._own = own
        self._logs = context.spool.dir("logs")
        self._placing = Placing()
        self._runs: Dict[str, Run] = {}
        self._hold_off_until = 0.0
        self._engine = Engine(
            where, shown, lease, own is not None, self._placing, context.bell, context.monotonic
        )

    def capacity(self) -> int:
        """Return how many threads the Dask workers have, and no more than was asked for."""
        if self._context.monotonic() < self._hold_off_until:
            return 0
        threads = self._placing.threads()
        return threads if self._context.most is None else min(threads, self._context.most)

    def resize(self, most: int) -> None:
        """Hand on no more than so many runs at once; those under way go on."""
        self._context = self._context._replace(most=most)

    def submit(self, run: Run) -> None:
        """Send a run to the scheduler.

        Raises:
            NotNow: the scheduler is out of reach, or has no Dask worker.
            NoRoom: what it needs is not free.
        """
        if not self._placing.threads():
            raise NotNow("no Dask worker is in reach")
        self._placing.place(run.claim, run.job.needs)
        claim = str(run.claim)
        self._runs[claim] = run
        self._engine.submit(Sent(claim, self._spec(run).text(), run.claim.priority, run.job.needs))

    def outcomes(self) -> List[Ended]:
        """Return what has ended since the last call."""
        return [self._ended(heard) for heard in self._engine.heard()]

    def cancel(self, claim: Name, error: str) -> None:
        """Begin to end a run and everything of it; a second call changes nothing."""
        if str(claim) in self._runs:
            self._engine.cancel(str(claim), error)

    def patience(self) -> Optional[float]:
        """Return None: every end rings."""
        return None

    def fate(self, claim: Name, note: Note) -> Fate:
        """Say OVER when it is sure that nothing of a dead worker's run is left, or will be.

        The scheduler drops the tasks of a client that is gone, so none is ever found alive.
        """
        return Fate.OVER if self._engine.is_over(str(claim)) else Fate.UNKNOWN

    def reattach(self, run: Run, note: Note) -> None:
        """Do nothing: no run is ever found alive."""

    def close(self) -> None:
        """Let the connection go."""
        self._engine.close()
        if self._own is not None:
            self._own.close()

    # --- inside -----------------------------------------------------------------------------------

    def _spec(self, run: Run) -> Spec:
        settings = run.settings
        return Spec(
            claim=str(run.claim),
            log=str(logs.log_name(run.claim)),
            spool=self._context.spool.path,
            words=command.words(run),
            variables=command.variables(run, self._context.spool.path),
            cwd=run.job.fields.get("cwd"),
            timeout=settings.timeout_of(run.job),
            max_log=settings.max_log,
            grace=settings.grace,
            lease=self._lease,
        )

    def _ended(self, heard: Heard) -> Ended:
        run = self._runs.pop(heard.claim)
        self._placing.remove(run.claim)
        if heard.log:
            self._write_log(run, heard.log)
        told = heard.told
        if told.error == INTERRUPTED:
            self._hold_off_until = self._context.monotonic() + _HOLD_OFF
        return Ended(run, self._context.clock(), told.exit_code, told.signal, told.error)

    def _write_log(self, run: Run, log: bytes) -> None:
        name = logs.log_name(run.claim)
        try:
            descriptor = self._logs.create(str(name))
        except OSError as error:
            logs.logger.warning("%s: its log cannot be written: %s", run.claim.id, error.strerror)
            return
        try:
            write_all(descriptor, log)
        except OSError as error:  # as far as it goes
            logs.logger.warning("%s: its log is cut short: %s", run.claim.id, error.strerror)
        finally:
            logs.close_log(self._logs, name, descriptor)

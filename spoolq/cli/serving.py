"""Being a worker: everything that one is made of is put together here."""

from __future__ import annotations

import gc
import math
import signal
import time
from typing import Any, Dict, List, Mapping, Optional, Sequence

from spoolq import api, config, instants
from spoolq.errors import BadInput, StorageFailed
from spoolq.spool import SpoolDir


def serve(
    spool: api.Spool,
    *,
    count: Optional[int],
    drain: bool = False,
    stop_within: float = math.inf,
    nice: Optional[int] = None,
    verbose: bool = False,
    as_json: bool = False,
    kind: str = "local",
    options: Optional[Mapping[str, str]] = None,
    tags: Sequence[str] = (),
    limit_command: Optional[str] = None,
) -> None:
    """Be a worker until stopped.

    Args:
        count: how many runs at a time, at most; None: as many as the executor takes.
        nice: the nice value of the commands; None: the worker's.
        kind: which executor.
        options: what it is told.
        tags: only jobs with one of these; none: all.
        limit_command: asked before each job whether it may start.

    Raises:
        StorageFailed: another host works here, and locks do not exclude between the two.
        BadInput: there is no such executor, or it has no such option.
        UnsafeSpool: others could put commands here.
        InvalidSetting: config.json is wrong.
        StorageFailed: tmp/ or a state is on another filesystem.
        WorkerLost: the worker's directory was removed; its runs have been ended.
    """
    from spoolq import executors, lease, logs, neighbours, notify, roster, trust
    from spoolq.bell import Bell
    from spoolq.cli.beside import CHORES
    from spoolq.executors import choosing
    from spoolq.guard import Guard, Unneeded
    from spoolq.heartbeat import Heartbeat
    from spoolq.layout import DIRECTORIES
    from spoolq.outcomes import PACE
    from spoolq.permit import Permit
    from spoolq.scribe import Scribe
    from spoolq.watcher import Watcher
    from spoolq.worker import Worker

    factory, options = choosing.find(kind), dict(options or {})
    choosing.known_options(kind, factory, options)
    settings = config.read(spool.dir.config_bytes())[0]
    trust.require_safe(spool.path, DIRECTORIES, settings.group, spool.dir.root.stat())
    require_one_filesystem(spool.dir)
    journal = config.environment().get("JOURNAL_STREAM")
    logs.configure(verbose=verbose, as_json=as_json, journal=journal)
    tell = notify.teller(config.environment())
    bell = Bell()
    stops = Signals()
    bell.rings_on_signals()
    watcher = Watcher(spool.dir.dir("pending").path, bell.ring, bell.tell)
    card: Dict[str, Any] = {"started_at": instants.to_rfc3339(instants.now())}
    here = getattr(factory, "HERE", False)
    if here or count is not None:
        card["count"] = count or 1
    if nice is not None:
        if not here:
            raise BadInput(
                f"--nice is for commands of this machine, and {kind} runs them elsewhere",
                hint="its engine has priorities of its own",
            )
        card["nice"] = nice
    if tags:
        card["tags"] = roster.told_tags(tags)
    if not here:
        card["executor"] = {"name": kind, **factory.identity(options)}
    shared = spool.dir.is_shared
    own = lease.Lease.start(spool.dir, card, renews=settings.lease if shared else 0)
    scribe = executor = heartbeat = guard = working = permit = None
    try:
        if shared:
            heartbeat = Heartbeat(own, bell.ring)
            heartbeat.start()
            neighbours.refuse_second_host(spool.dir, own.name)
        scribe = Scribe(bell.wake)
        environment = notify.without(config.environment())
        executor = factory.make(
            executors.Context(
                spool.dir, own.name, count, bell, environment, instants.now, time.monotonic, nice
            ),
            options,
        )

        variables = {**environment, "SPOOLQ_SPOOL": spool.path}
        permit = Permit(limit_command, bell.wake, time.monotonic, variables, settings.shell)
        if heartbeat is not None:
            leaders = getattr(executor, "leaders", None)  # of runs on this machine
            guard = Guard(heartbeat, leaders, settings.lease, settings.grace, bell.wake)
            guard.start()

        def each_second() -> None:
            watcher.check()
            tell(notify.ALIVE)

        working = Worker(
            spool.dir,
            own,
            executor,
            bell,
            drain=drain,
            stop_within=stop_within,
            monotonic=time.monotonic,
            each_second=each_second,
            watch=watcher.start,
            write=scribe,
            pace=PACE,
            guard=guard or Unneeded(),
            chores=CHORES,
            tags=tags,
            permit=permit,
        )
        told = f"{executor.capacity()} at a time" if here else f"by {kind}"
        if tags:
            told += f", of those tagged {', '.join(tags)}"
        logs.logger.info("worker %s on %s: %s", own.name, spool.path, told)
        stops.go_to(working)
        tell(notify.READY)
        gc.freeze()  # what stays for ever need not be looked through again and again
        working.run()
        logs.logger.info("worker %s leaves", own.name)
    finally:
        tell(notify.STOPPING)
        if working is not None:
            working.close()  # what it starts must not begin with signals that are ignored
        stops.ignore()
        if permit is not None:
            permit.close()
        if scribe is not None:
            scribe.close()
        if executor is not None:
            executor.close()
        if guard is not None:
            guard.stop()
        if heartbeat is not None:
            heartbeat.stop()
        own.leave()
        watcher.stop()


class Signals:
    """Signals to stop, from before the worker can be seen: none is lost, none kills it."""

    def __init__(self) -> None:
        self._worker: Any = None
        self._early = False
        self._heeded: List[int] = []
        for name in ("SIGTERM", "SIGINT", "SIGHUP", "SIGBREAK"):
            number = getattr(signal, name, None)
            if number is None:
                continue
            if name == "SIGHUP" and signal.getsignal(number) is signal.SIG_IGN:
                continue  # nohup asks for that
            signal.signal(number, self._handle)
            self._heeded.append(number)
        if hasattr(signal, "SIGCHLD"):
            # Ignored, as some parents leave it, the kernel keeps no exit code: every run would
            # seem to have succeeded (test_a_worker_whose_parent_ignored_sigchld_sees_exit_codes).
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def go_to(self, worker: Any) -> None:
        """Let signals reach the worker, and the one that came before it was there."""
        self._worker = worker
        if self._early:
            worker.signalled()

    def ignore(self) -> None:
        """Heed no more: the worker leaves, and the interpreter's end must not become a kill."""
        for number in self._heeded:
            signal.signal(number, signal.SIG_IGN)

    def _handle(self, *_: object) -> None:
        if self._worker is None:
            self._early = True
        else:
            self._worker.signalled()


def require_one_filesystem(spool: SpoolDir) -> None:
    """Refuse a spool whose directories are on several filesystems: nothing can be renamed then.

    Raises:
        StorageFailed: one is elsewhere.
    """
    from spoolq.layout import DIRECTORIES

    device = spool.dir("pending").stat().st_dev
    for name in DIRECTORIES:
        directory = spool.dir(name)
        if directory.stat().st_dev != device:
            raise StorageFailed(
                f"{directory.path} is on another filesystem than pending/, so no job could move",
                hint="the whole spool has to be on one filesystem",
            )

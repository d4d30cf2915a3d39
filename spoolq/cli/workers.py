"""`worker`: run jobs here, see who does, ask them to leave."""

from __future__ import annotations

import gc
import math
import signal
import time
from typing import Any, List, Optional, Sequence

import click

from spoolq import api, config, instants
from spoolq.cli import completing, render, tables, times
from spoolq.cli.verbs import OneOf, VerbGroup, Whole, open_spool, typed
from spoolq.errors import StorageFailed
from spoolq.spool import SpoolDir

_POLL = 0.05


@click.group(name="worker", cls=VerbGroup)
def worker() -> None:
    """Run jobs, and see or stop who does.

    \b
    spoolq worker start --count 2    # in this terminal, until Ctrl+C
    spoolq worker list               # from any other
    """


# --- start ----------------------------------------------------------------------------------------


@worker.command()
@click.option(
    "--count",
    "-n",
    type=Whole(1, 10_000),
    default=1,
    metavar="N",
    help="How many jobs run at a time (1).",
)
@click.option("--drain", is_flag=True, help="Leave when nothing runs, is due or will be retried.")
@click.option(
    "--stop-within",
    metavar="DURATION",
    help="When asked to stop: end what still runs after so long; it waits again (no limit).",
)
@click.option("--verbose", "-v", is_flag=True, help="Tell more.")
@click.option(
    "--log-format",
    type=OneOf(["text", "json"]),
    default="text",
    help="What it says of its work: lines to read, or a JSON object each (text).",
)
def start(
    count: int, drain: bool, stop_within: Optional[str], verbose: bool, log_format: str
) -> None:
    """Run jobs in the foreground until stopped.

    Ctrl+C, TERM and HUP (unless ignored, as under nohup) let it finish what runs and leave; a
    second one, more than a second later, ends what runs, and the jobs wait again.

    \b
    spoolq worker start --count 4
    spoolq worker start --drain      # do what there is, then leave
    """
    with typed("--stop-within"):
        seconds = math.inf if stop_within is None else times.duration(stop_within)
    serve(
        open_spool(create=True),
        count=count,
        drain=drain,
        stop_within=seconds,
        verbose=verbose,
        as_json=log_format == "json",
    )


def serve(
    spool: api.Spool,
    *,
    count: int,
    drain: bool = False,
    stop_within: float = math.inf,
    verbose: bool = False,
    as_json: bool = False,
) -> None:
    """Be a worker until stopped.

    Raises:
        UnsafeSpool: others could put commands here.
        InvalidSetting: config.json is wrong.
        StorageFailed: tmp/ or a state is on another filesystem.
        WorkerLost: the worker's directory was removed; its runs have been ended.
    """
    from spoolq import lease, logs, notify, trust
    from spoolq.bell import Bell
    from spoolq.executors.local import LocalExecutor
    from spoolq.layout import DIRECTORIES
    from spoolq.outcomes import PACE
    from spoolq.scribe import Scribe
    from spoolq.watcher import Watcher
    from spoolq.worker import Worker

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
    own = lease.Lease.start(
        spool.dir, {"count": count, "started_at": instants.to_rfc3339(instants.now())}
    )
    scribe = None
    try:
        scribe = Scribe(bell.wake)
        executor = LocalExecutor(
            spool.dir,
            bell,
            notify.without(config.environment()),
            instants.now,
            time.monotonic,
        )

        def each_second() -> None:
            watcher.check()
            tell(notify.ALIVE)

        working = Worker(
            spool.dir,
            own,
            executor,
            bell,
            count=count,
            drain=drain,
            stop_within=stop_within,
            monotonic=time.monotonic,
            each_second=each_second,
            watch=watcher.start,
            write=scribe,
            pace=PACE,
        )
        logs.logger.info("worker %s on %s: %d at a time", own.name, spool.path, count)
        stops.go_to(working)
        tell(notify.READY)
        gc.freeze()  # what stays for ever need not be looked through again and again
        working.run()
        logs.logger.info("worker %s leaves", own.name)
    finally:
        stops.ignore()
        tell(notify.STOPPING)
        if scribe is not None:
            scribe.close()
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


# --- stop -----------------------------------------------------------------------------------------


@worker.command()
@click.argument("workers", nargs=-1, metavar="[WORKER]...", shell_complete=completing.workers)
@click.option("--now", is_flag=True, help="End what they run; it waits in pending/ again.")
def stop(workers: Sequence[str], now: bool) -> None:
    """Ask workers to finish what they run and leave, and wait until they have.

    All of them, or those named (a beginning will do).

    \b
    spoolq worker stop
    spoolq worker stop --now web1-4121
    """
    from spoolq import control, lease

    spool = open_spool()
    asked = control.stop(spool.dir, workers, interrupt=now)
    if not asked:
        render.say(f"no worker runs on {render.escape(spool.path)}")
        return
    what = "end what it runs" if now else "finish what it runs"
    for name in asked:
        render.say(f"{name}: asked to {what} and leave{render.place(spool.path)}")
    waiting = list(asked)
    while waiting:
        for name in list(waiting):
            if lease.probe(spool.dir, name) != "held":
                waiting.remove(name)
                render.say(f"{name}: has left")
        if waiting:
            time.sleep(_POLL)


# --- list -----------------------------------------------------------------------------------------


@worker.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def list_workers(as_json: bool) -> None:
    """List workers, their slots, and what each runs since when.

    \b
    spoolq worker list
    spoolq worker list --json | jq -r '.[].name'
    """
    spool = open_spool()
    found = tables.shown_workers(spool)
    if as_json:
        render.document([view.as_dict() for view in found])
        return
    if not found:
        render.advise(
            f"no worker runs on {render.escape(spool.path)}; start one with:  "
            "spoolq worker start --count 1"
        )
    tables.print_workers(spool, found)

"""`forward` and `receive`: jobs from one spool into another, and the half that takes them in.

Each target has a thread and a worker's name of its own, so one that is out of reach holds up no
other; the main thread waits for signals, and tells how it goes.
"""

from __future__ import annotations

import shlex
import sys
import threading
import time
from contextlib import ExitStack
from typing import Any, Callable, Dict, List, Optional, Sequence

import click

from spoolq import api, config, instants
from spoolq.cli import completing, render, times
from spoolq.cli.verbs import (
    FAILED,
    INTERRUPTED,
    TRY_AGAIN,
    Refused,
    Tag,
    Verb,
    open_spool,
    typed,
    working_directory,
)
from spoolq.errors import BadInput, Busy, NoSpool, SpoolqError
from spoolq.spool import SpoolDir

_POLL = 0.2
_PATIENCE = 60.0
_SECOND_SIGNAL = 1.0


@click.command(cls=Verb)
@click.argument("targets", nargs=-1, metavar="TARGET...", shell_complete=completing.files)
@click.option("--follow", "-f", is_flag=True, help="Stay, and forward what comes, until stopped.")
@click.option(
    "--by",
    default="id",
    metavar="KEY",
    help="What decides among several targets: id, name or tag:PREFIX (id).",
)
@click.option("--tag", type=Tag(), metavar="TEXT", help="Only jobs that have this tag.")
@click.option("--create", is_flag=True, help="Make the spool there where there is none.")
@click.option("--ssh", metavar="COMMAND", help="The ssh to use; else $SPOOLQ_SSH, or ssh.")
@click.option("--program", default="spoolq", metavar="COMMAND", help="spoolq over there (spoolq).")
@click.option(
    "--timeout", metavar="DURATION", help="How long a target may take to answer a batch (1m)."
)
@click.option(
    "--give-up",
    is_flag=True,
    help="Let what may have arrived there wait here again; it may then run in both.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON document at the end.")
@click.pass_context
def forward(ctx: click.Context, /, targets: Sequence[str], **options: Any) -> None:
    """Move waiting jobs into another spool, each once.

    A TARGET is a directory, or over ssh host:path, user@host:path or ssh://user@host:port/path;
    host: alone is the default spool there. Of several, each job goes to one, by its key.

    What may have arrived when something breaks is held in processing/ until the next forward to
    that target has settled it. Exit code 75: a target was out of reach; 1: jobs were refused.

    \b
    spoolq forward backup@big.example:/srv/spool
    spoolq forward --follow --by tag:site= ssh://a.example/srv/spool ssh://b.example/srv/spool
    spoolq forward --give-up old.example:
    """
    if not targets:
        raise Refused("where to?", "spoolq forward user@host:/srv/spool")
    chosen = _targets(targets)
    spool = open_spool()
    if options["give_up"]:
        _give_up(spool.dir, chosen)
        return
    ends = _forward(spool.dir, chosen, options)
    if options["as_json"]:
        render.document({"targets": [end.as_dict() for end in ends]})
    code = max(end.tell(quiet=options["as_json"]) for end in ends)
    if not options["follow"] and any(end.forwarder.tally.is_cut_short for end in ends):
        code = code or INTERRUPTED
    if code:
        ctx.exit(code)


def _targets(texts: Sequence[str]) -> List[Any]:
    from spoolq import targets

    here = working_directory()
    with typed():
        chosen = [targets.parse(text, here) for text in texts]
    if len({target.text for target in chosen}) < len(chosen):
        raise Refused("a target is named twice")
    return chosen


def _give_up(spool: SpoolDir, chosen: Sequence[Any]) -> None:
    from spoolq import control
    from spoolq.packing import give_up

    control.recover_now(spool)  # what is known to have arrived is moved on
    for target in chosen:
        ids = give_up(spool, target)
        name = render.escape(target.text)
        render.say(
            f"{_jobs(len(ids))} that may have arrived at {name} wait{'s' * (len(ids) == 1)} here "
            "again"
            if ids
            else f"no job is held for {name}"
        )


def _jobs(number: int) -> str:
    return "1 job" if number == 1 else f"{number} jobs"


# --- one thread for each target -------------------------------------------------------------------


class _Thread(threading.Thread):
    """One target's forwarder, and how it ended."""

    def __init__(self, target: Any, own: Any, forwarder: Any) -> None:
        super().__init__(name=f"forward {target.text}", daemon=True)
        self.target = target
        self.own = own
        self.forwarder = forwarder
        self.error: Optional[BaseException] = None

    def run(self) -> None:
        """Forward until there is no more, or something refuses."""
        try:
            self.forwarder.run()
        except BaseException as error:  # the main thread tells of it
            self.error = error
        finally:
            self.own.leave()

    def as_dict(self) -> Dict[str, Any]:
        """Return how it ended, as JSON has it."""
        tally = self.forwarder.tally
        return {
            "target": self.target.text,
            "forwarded": tally.forwarded,
            "there_already": tally.there,
            "refused": tally.refused,
            "held": tally.left,
            "error": None if self.error is None else str(self.error),
        }

    def tell(self, *, quiet: bool) -> int:
        """Say how it ended; return the exit code that it deserves."""
        tally, error, name = self.forwarder.tally, self.error, render.escape(self.target.text)
        if error is not None and not isinstance(error, (SpoolqError, OSError)):
            raise error
        arrived = tally.forwarded + tally.there
        if arrived and not quiet:
            already = f", {tally.there} of them there already" if tally.there else ""
            render.say(f"{_jobs(arrived)} forwarded to {name}{already}")
        if tally.refused:
            render.say(f"{_jobs(tally.refused)} refused there; why:  spoolq dlq list")
        if tally.left:
            again = f"spoolq forward {shlex.quote(self.target.text)}"
            what = f"{_jobs(tally.left)} may have arrived at {name}, held here until that is known"
            render.say(f"{what}:  {render.escape(again)}")
        if error is not None:
            hint = getattr(error, "hint", None)
            render.error(str(error), where=getattr(error, "where", None), hint=hint)
            return TRY_AGAIN if isinstance(error, Busy) else FAILED
        if not arrived and not tally.refused and not quiet:
            render.say(f"nothing to forward to {name}")
        return FAILED if tally.refused else 0


class _Signals:
    """What a signal asks of all forwarders: to settle what is on its way, or to leave at once."""

    def __init__(self) -> None:
        self.times: List[float] = []

    def signalled(self) -> None:
        """Note a signal; no more in a handler."""
        self.times.append(time.monotonic())

    @property
    def at_once(self) -> bool:
        """Whether a second one came, more than a second after the first."""
        return self.times[-1] - self.times[0] > _SECOND_SIGNAL


def _forward(spool: SpoolDir, chosen: Sequence[Any], options: Dict[str, Any]) -> List[_Thread]:
    """Forward to all targets at once, until each has ended."""
    from spoolq import control, logs
    from spoolq.cli.serving import Signals, require_one_filesystem
    from spoolq.layout import DIRECTORIES
    from spoolq.targets import Share
    from spoolq.watcher import Watcher

    with typed("--timeout"):
        text = options["timeout"]
        patience = _PATIENCE if text is None else times.duration(text)
    with typed("--by"):
        share = Share(chosen, options["by"], options["tag"])
    require_one_filesystem(spool)
    for name in DIRECTORIES:
        spool.dir(name)  # opened now: threads share them
    logs.configure(journal=config.environment().get("JOURNAL_STREAM"))
    control.recover_now(spool, sweep=True)
    asked = _Signals()
    stops = Signals()
    stops.go_to(asked)
    threads: List[_Thread] = []

    def ring(_: str = "") -> None:
        for thread in threads:
            thread.forwarder.ring()

    watcher = Watcher(spool.dir("pending").path, ring, ring)
    with ExitStack() as stack:
        for target in chosen:
            link = _link(target, patience, options)
            threads.append(_begin(spool, target, share, link, follow=options["follow"]))
        look = [watcher.check]
        if not options["follow"] and render.is_terminal(sys.stderr):
            look.append(_Progress(spool, threads, stack).show)
        for thread in threads:
            thread.start()
        if options["follow"]:
            watcher.start()
            stack.callback(watcher.stop)
            ring()
        _wait(threads, asked, look)
    stops.ignore()
    return threads


def _link(target: Any, patience: float, options: Dict[str, Any]) -> Callable[[str], Any]:
    """Return what opens a pipe to a target, for the forwarder of a name."""
    from spoolq import targets
    from spoolq.link import Link

    environment = config.environment()
    with typed("--ssh"):
        ssh = _words(options["ssh"] or environment.get("SPOOLQ_SSH") or targets.SSH)
    with typed("--program"):
        program = _words(options["program"])
    words = targets.command(target, ssh=ssh, program=program, create=options["create"])
    return lambda forwarder: Link(target, words, forwarder, patience=patience)


def _words(text: str) -> List[str]:
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise BadInput(f"{text!r} is no command: {error}") from None
    if not words:
        raise BadInput("it names no command")
    return words


def _begin(
    spool: SpoolDir,
    target: Any,
    share: Any,
    link: Callable[[str], Any],
    *,
    follow: bool,
) -> _Thread:
    """Become a worker that forwards to one target."""
    from spoolq import lease
    from spoolq.forwarding import Forwarder

    card = {
        "count": 0,
        "started_at": instants.to_rfc3339(instants.now()),
        "executor": {"name": "forward", "target": target.text},
    }
    own = lease.Lease.start(spool, card)
    forwarder = Forwarder(
        spool,
        own,
        target,
        share,
        lambda: link(own.name),
        follow=follow,
        monotonic=time.monotonic,
    )
    return _Thread(target, own, forwarder)


def _wait(threads: Sequence[_Thread], asked: _Signals, look: Sequence[Callable[[], None]]) -> None:
    """Wait for all to end, pass on what signals ask, and look around once a second."""
    heard = 0
    next_check = time.monotonic() + 1.0
    while any(thread.is_alive() for thread in threads):
        for thread in threads:
            thread.join(_POLL / len(threads))
        if len(asked.times) > heard:
            if not heard:
                render.say("settling what is on its way; once more, to leave that to the next time")
            heard = len(asked.times)
            for thread in threads:
                thread.forwarder.stop(at_once=asked.at_once)
        if time.monotonic() > next_check:
            next_check = time.monotonic() + 1.0
            for each in look:
                each()


class _Progress:
    """A bar for who sits at a terminal, once it takes longer than a second."""

    def __init__(self, spool: SpoolDir, threads: Sequence[_Thread], stack: ExitStack) -> None:
        states = ("pending", "failed")
        self._total = sum(1 for state in states for _ in spool.dir(state).scan())
        self._threads = threads
        self._stack = stack
        self._bar: Optional[Callable[[int, int], None]] = None

    def show(self) -> None:
        """Show how many jobs have been answered for."""
        if self._bar is None:
            from spoolq.cli.progress import counting

            self._bar = self._stack.enter_context(counting("forwarding"))
        done = sum(thread.forwarder.tally.settled for thread in self._threads)
        self._bar(done, max(self._total, done))


# --- receive --------------------------------------------------------------------------------------


@click.command(cls=Verb)
@click.option("--create", is_flag=True, help="Make the spool where there is none.")
def receive(create: bool) -> None:
    """Take in what forward sends, from stdin.

    It is what forward starts at its target, by ssh or here; nobody needs to type it. As the forced
    command of a key in ~/.ssh/authorized_keys it lets that key enqueue here, and no more.

    \b
    spoolq receive --spool /srv/spool    # command="..." of a key
    spoolq receive --create < from-forward > to-forward
    """
    from spoolq.receiving import converse

    source = render.stdin()
    if source is None or render.is_terminal(sys.stdin):
        raise Refused(
            "receive talks to forward, by a pipe", "on the other machine:  spoolq forward host:"
        )
    converse(source, render.stdout_bytes(), lambda: _opened(create).dir)


def _opened(create: bool) -> api.Spool:
    """Open the spool; the hint is for who sends."""
    try:
        return open_spool(create=create)
    except NoSpool as error:
        made = None if create else "make it there, or let forward make it:  --create"
        raise NoSpool(str(error), hint=made or error.hint) from None

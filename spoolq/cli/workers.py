"""`worker`: run jobs here, see who does, ask them to leave."""

from __future__ import annotations

import math
import time
from typing import Dict, Optional, Sequence

import click

from spoolq.cli import completing, render, serving, tables, times
from spoolq.cli.verbs import OneOf, Refused, Tag, VerbGroup, Whole, open_spool, typed

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
    metavar="N",
    help="How many jobs run at a time (1; elsewhere what there is room for).",
)
@click.option(
    "--tag",
    "tags",
    type=Tag(),
    multiple=True,
    metavar="TEXT",
    help="Only jobs with this tag; repeatable.",
)
@click.option(
    "--limit-command",
    metavar="COMMAND",
    help="Asked before each job: exit code 0 lets it start, 1 lets it wait.",
)
@click.option("--drain", is_flag=True, help="Leave when nothing runs, is due or will be retried.")
@click.option(
    "--stop-within",
    metavar="DURATION",
    help="When asked to stop: end what still runs after so long; it waits again (no limit).",
)
@click.option(
    "--nice",
    type=Whole(-20, 19),
    metavar="N",
    help="The nice value of the commands, not of spoolq: 19 gives way to all others.",
)
@click.option("--verbose", "-v", is_flag=True, help="Tell more.")
@click.option(
    "--log-format",
    type=OneOf(["text", "json"]),
    default="text",
    help="What it says of its work: lines to read, or a JSON object each (text).",
)
@click.option(
    "--executor", "kind", default="local", metavar="NAME", help="Who runs the commands (local)."
)
@click.option(
    "--option", "-o", "given", multiple=True, metavar="KEY=VALUE", help="For it; repeatable."
)
@click.option("--address", metavar="URL", help="dask: where its scheduler is; as -o address=URL.")
@click.option("--scheduler-file", metavar="FILE", help="dask: the file that says so.")
@click.option("--local", metavar="N", help="dask: a cluster of N processes of this machine.")
@click.option(
    "--preload",
    multiple=True,
    metavar="MODULE",
    help="With --executor python: import it before the first call; repeatable.",
)
def start(
    count: Optional[int],
    tags: Sequence[str],
    limit_command: Optional[str],
    drain: bool,
    stop_within: Optional[str],
    nice: Optional[int],
    verbose: bool,
    log_format: str,
    kind: str,
    given: Sequence[str],
    preload: Sequence[str],
    **places: Optional[str],
) -> None:
    """Run jobs in the foreground until stopped.

    Ctrl+C, TERM and HUP (unless ignored, as under nohup) let it finish what runs and leave; a
    second one, more than a second later, ends what runs, and the jobs wait again.

    \b
    spoolq worker start --count 4 --nice 10
    spoolq worker start --drain      # do what there is, then leave
    spoolq worker start --tag video --tag audio
    spoolq worker start --limit-command 'test "$(df --output=pcent /tmp | tr -dc 0-9)" -lt 90'
    spoolq worker start --executor python --preload shop    # calls of Python, in warm processes
    """
    if preload:
        given = [*given, f"preload={','.join(preload)}"]
    with typed("--stop-within"):
        seconds = math.inf if stop_within is None else times.duration(stop_within)
    if limit_command == "":
        raise Refused("--limit-command names no command", "is a variable of the shell empty?")
    serving.serve(
        open_spool(create=True),
        count=count,
        tags=tags,
        limit_command=limit_command,
        drain=drain,
        stop_within=seconds,
        nice=nice,
        verbose=verbose,
        as_json=log_format == "json",
        kind=kind,
        options={**_options(given), **{key: text for key, text in places.items() if text}},
    )


def _options(given: Sequence[str]) -> Dict[str, str]:
    options = {}
    for text in given:
        key, equals, value = text.partition("=")
        if not key or not equals:
            raise Refused(f"-o {text!r} is no KEY=VALUE", "-o address=tcp://10.0.0.1:8786")
        options[key] = value
    return options


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
    from spoolq import lease, steering

    spool = open_spool()
    asked = steering.stop(spool.dir, workers, interrupt=now)
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


# --- set ----------------------------------------------------------------------------------------


@worker.command(name="set")
@click.argument("workers", nargs=-1, metavar="[WORKER]...", shell_complete=completing.workers)
@click.option(
    "--count",
    "-n",
    type=Whole(1, 10_000),
    metavar="N",
    required=True,
    help="How many jobs run at a time from now on.",
)
def set_count(workers: Sequence[str], count: int) -> None:
    """Let workers that live run more jobs at a time, or fewer.

    All of them, or those named (a beginning will do). More start at once; with fewer, what runs
    goes on to its end. It holds until the worker leaves.

    \b
    spoolq worker set --count 8
    spoolq worker set web1-4121 --count 1
    """
    from spoolq import steering

    spool = open_spool()
    asked = steering.resize(spool.dir, workers, count)
    if not asked:
        render.say(f"no worker runs on {render.escape(spool.path)}")
    for name, before in asked.items():
        was = "" if before is None else f" (before: {before})"
        render.say(f"{name}: runs {count} at a time{was}{render.place(spool.path)}")


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

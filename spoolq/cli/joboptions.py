"""The options that say how a job runs: for `enqueue`, `run` and `schedule add`."""

from __future__ import annotations

from typing import Any, Callable, Dict, TypeVar

import click

from spoolq import api, instants, names
from spoolq.cli import completing, given, render, times
from spoolq.cli.verbs import Number, Refused, Whole, resolve, typed
from spoolq.layout import STATES

_F = TypeVar("_F", bound=Callable[..., Any])


def job_options(words: str) -> Callable[[_F], _F]:
    """Return what adds the options that say how a job runs, and the words of its command."""
    options = (
        click.argument("words", nargs=-1, metavar=words, shell_complete=completing.files),
        click.option("--id", metavar="ID", help="Its id; made where not given."),
        click.option("--name", metavar="TEXT", help="A name, for people."),
        click.option("--tag", "tags", multiple=True, metavar="TEXT", help="A tag; repeatable."),
        click.option("--priority", type=Whole(0, 9), metavar="0-9", help="9 goes first; else 5."),
        click.option("--at", metavar="TIME", help="Not before: 18:00, 'tomorrow 06:00' ..."),
        click.option("--in", "in_", metavar="DURATION", help="Not before: 90, 10m, 1h30m ..."),
        click.option("--hold", is_flag=True, help="Wait until it is released."),
        click.option(
            "--after",
            multiple=True,
            metavar="ID",
            shell_complete=completing.ids(*STATES),
            help="Once this job has completed; if it dies, this one dies too; repeatable.",
        ),
        click.option(
            "--after-any",
            multiple=True,
            metavar="ID",
            shell_complete=completing.ids(*STATES),
            help="Once this job has ended, in whatever way; repeatable.",
        ),
        click.option("--key", metavar="TEXT", help="Of one key one job waits or runs at a time."),
        click.option(
            "--if-queued",
            type=click.Choice(("skip", "replace", "error")),
            default="skip",
            help="Where one with this key is there: skip this one (default), replace that one, "
            "or an error.",
        ),
        click.option(
            "--max-retries",
            type=Whole(0, 100_000),
            metavar="N",
            help="Retries after the first attempt; else the setting (3).",
        ),
        click.option("--success-on", metavar="CODES", help="Good exit codes besides 0: 3,4."),
        click.option("--retry-on", metavar="CODES", help="Any other failure is the last."),
        click.option("--dead-on", metavar="CODES", help="A failure that is the last: 100."),
        click.option(
            "--backoff-base",
            type=Number(),
            metavar="SECONDS",
            help="The wait after attempt n is this to the n; else the setting (2).",
        ),
        click.option("--timeout", metavar="DURATION", help="For one attempt: 90, 10m ..."),
        click.option(
            "--needs",
            multiple=True,
            metavar="NAME=AMOUNT",
            help="What it needs, of limits or of its executor: gpu=1; repeatable.",
        ),
        click.option("--workdir", is_flag=True, help="A directory kept from attempt to attempt."),
        click.option("--cwd", metavar="DIR", help="Where it runs; else where you are."),
        click.option(
            "--env",
            multiple=True,
            metavar="NAME[=VALUE]",
            help="A variable, or one with the value that it has here; repeatable.",
        ),
        click.option(
            "--like",
            metavar="ID",
            shell_complete=completing.ids(*STATES),
            help="A copy of another job; what is given besides changes it.",
        ),
    )

    def add(function: _F) -> _F:
        for option in reversed(options):
            function = option(function)
        return function

    return add


def overriding(options: Dict[str, Any]) -> Dict[str, Any]:
    """Return the fields that the options set; tells the time that was understood.

    Raises:
        Refused: an option cannot be read.
    """
    plain = ("id", "name", "key", "priority", "max_retries", "cwd")
    fields = {key: options[key] for key in plain if options[key] is not None}
    if options["tags"]:
        fields["tags"] = list(options["tags"])
    if options["env"]:
        fields["env"] = given.variables(options["env"])
    for key in ("success_on", "retry_on", "dead_on"):
        if options[key] is not None:
            fields[key] = given.codes(f"--{key.replace('_', '-')}", options[key])
    if options["needs"]:
        fields["needs"] = given.needs(options["needs"])
    if options["workdir"]:
        fields["workdir"] = True
    if options["backoff_base"] is not None:
        fields["backoff_base"] = _whole(options["backoff_base"])
    if options["timeout"] is not None:
        with typed("--timeout"):
            fields["timeout"] = _whole(times.duration(options["timeout"]))
    if options["hold"] and (options["after"] or options["after_any"]):
        raise Refused("a job that is held waits for a release, and not for others", "hold it later")
    said = [f"--{key.strip('_')}" for key in ("at", "in_", "hold") if options[key]]
    if len(said) > 1:
        raise Refused(f"{' and '.join(said)} both say when", "give one of them")
    now = instants.now()
    when = None
    if options["at"] is not None:
        with typed("--at"):
            when = times.instant(options["at"], now)
    elif options["in_"] is not None:
        with typed("--in"):
            when = instants.later(now, times.duration(options["in_"]))
    if options["hold"]:
        fields["run_at"] = instants.stamp_to_rfc3339(names.HELD)
    if when is not None:
        fields["run_at"] = instants.to_rfc3339(when)
        render.say(f"not before {times.echoed(when, now)}")
    return fields


def awaited(spool: api.Spool, options: Dict[str, Any]) -> Dict[str, Any]:
    """Return the fields that say which jobs are waited for: whole ids, where less was typed."""
    return {
        key: [*dict.fromkeys(resolve(spool, text) for text in options[key])]
        for key in ("after", "after_any")
        if options[key]
    }


def _whole(number: float) -> float:
    return int(number) if number == number // 1 else number

"""`python -m spoolq.conformance`: what a producer does right and wrong, for people and as JSON."""

from __future__ import annotations

from typing import NoReturn, Tuple

import click

from spoolq import conformance as core
from spoolq import platform
from spoolq.cli import main, render
from spoolq.cli.verbs import PROBLEMS, Refused, color_option, typed
from spoolq.conformance import Report, Verdict
from spoolq.conformance.rules import RULES

NAME = "python -m spoolq.conformance"
_STYLE = {"kept": "green", "broken": "red", "not seen": "yellow"}
_SHOWN = 3  # of what was seen of one rule; --json has all


@click.command(
    context_settings={
        "help_option_names": ["-h", "--help"],
        "max_content_width": 100,
        "allow_interspersed_args": False,
    },
)
@click.argument("command", nargs=-1, type=click.UNPROCESSED)
@click.option("--long", is_flag=True, help="Kill it after every step, and a hundred times besides.")
@click.option("--no-strace", is_flag=True, help="Look at files alone, as where there is no strace.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
@click.pass_context
def check(
    ctx: click.Context, command: Tuple[str, ...], long: bool, no_strace: bool, as_json: bool
) -> None:
    """Check a producer, a program that submits jobs, against the spool format.

    COMMAND is run many times, in fresh spools, and no worker runs what it submits. In its words
    {spool} and {command} are replaced by a spool's path and by the text of a command; where neither
    is there, both are appended; where there is only {spool}, the text comes on stdin. It has to
    print the job's id and nothing else.

    Exits with 0 where no rule is seen broken, and with 4 where one is. docs/producers.md has the
    rules.

    \b
    python -m spoolq.conformance sh submit.sh
    python -m spoolq.conformance ./submit --to '{spool}' '{command}'
    python -m spoolq.conformance --json php submit.php | jq '.rules[].state'
    """
    if platform.WINDOWS:
        raise Refused("a producer can be checked on Linux and macOS alone")
    if not command:
        raise Refused("name the program that submits jobs", f"{NAME} sh submit.sh")
    with typed():
        report = core.examine(command, long=long, trace=not no_strace)
    if as_json:
        render.document(report.as_dict())
    else:
        show(report)
    if report.broken:
        ctx.exit(PROBLEMS)


check.params.append(color_option(hidden=True))


def show(report: Report) -> None:
    """Print the verdicts for a person: what is broken last, with how it was seen."""
    order = {"kept": 0, "not seen": 1, "broken": 2}
    for verdict in sorted(report.verdicts, key=lambda verdict: order[verdict.state]):
        _show_verdict(verdict)
    for what, reason in report.not_tried.items():
        render.say(f"not tried: {what}, since {render.escape(reason)}")
    if report.broken:
        count = len(report.broken)
        rules = "1 rule is" if count == 1 else f"{count} rules are"
        render.out(render.on_stdout(f"{rules} broken: {', '.join(report.broken)}", "red"))
    else:
        render.out(render.on_stdout("no rule was seen broken", "green"))


def _show_verdict(verdict: Verdict) -> None:
    rule = RULES[verdict.rule]
    state = render.on_stdout(verdict.state.ljust(8), _STYLE[verdict.state])
    render.out(f"{state}  {verdict.rule}")
    if verdict.state != "broken":
        return
    for seen in verdict.seen[:_SHOWN]:
        render.out(f"{'':10}{render.escape(seen)}")
    if len(verdict.seen) > _SHOWN:
        render.out(f"{'':10}and {len(verdict.seen) - _SHOWN} more; --json has them all")
    rows = (("rule", rule.asks), ("else", rule.prevents), ("see", see(verdict.rule)))
    render.story([(label, text.replace("`", "")) for label, text in rows], margin=" " * 10)


def see(rule: str) -> str:
    """Return where a rule stands."""
    anchor = RULES[rule].stands.lower().replace(" ", "-")
    return f"docs/spool-format.md#{anchor}"


def run() -> NoReturn:
    """Run it as a program of its own."""
    main.main(command=check, name=NAME)

"""What is wrong with a command line, in words: what it was, what was meant, what to do.

click finds most of it; here it is told in the voice of the rest. Imported when something is wrong,
so that what is right does not pay for it.
"""

from __future__ import annotations

from typing import List, NamedTuple, Optional

import click

from spoolq.cli.verbs import Refused, did_you_mean

#: What other programs call our verbs.
SYNONYMS = {
    "add": "enqueue",
    "submit": "enqueue",
    "push": "enqueue",
    "queue": "enqueue",
    "exec": "run",
    "ls": "list",
    "jobs": "list",
    "ps": "status",
    "info": "show",
    "describe": "show",
    "inspect": "show",
    "log": "logs",
    "tail": "logs -f",
    "follow": "logs -f",
    "output": "logs",
    "kill": "cancel",
    "rm": "cancel",
    "remove": "cancel",
    "delete": "cancel",
    "clean": "purge",
    "requeue": "retry",
    "restart": "retry",
    "rerun": "retry",
    "dead": "dlq list",
    "start": "worker start",
    "work": "worker start",
    "workers": "worker list",
    "stop": "worker stop",
    "stash": "hold",
    "modify": "edit",
    "change": "edit",
    "alter": "edit",
    "get": "config get",
    "settings": "config list",
    "create": "init",
    "check": "doctor",
    "repair": "doctor --repair",
    "help": "--help",
    "version": "--version",
}


class Words(NamedTuple):
    """How a wrong command line is answered."""

    message: str
    usage: Optional[str]
    hint: Optional[str]


def reworded(error: click.ClickException) -> Words:
    """Return what to say of a command line that is wrong."""
    ctx: Optional[click.Context] = getattr(error, "ctx", None)
    hint: Optional[str] = getattr(error, "hint", None)
    message = error.format_message()
    usage = None
    if isinstance(error, click.NoSuchOption):
        message = f"there is no option {error.option_name!r}"
        if ctx is not None:
            message += did_you_mean(error.option_name, _spellings(ctx))
    elif isinstance(error, click.BadOptionUsage):
        message = _without_value(error, ctx)
    elif isinstance(error, click.MissingParameter) and error.param is not None:
        message = f"{error.param.human_readable_name} is missing"
    elif isinstance(error, click.BadParameter) and error.param is not None:
        message = f"{_label(error.param)}: {error.message.rstrip('.')}"
    if ctx is not None and not hint:
        hint = f"{ctx.command_path} --help"
        if type(error) is not click.BadParameter:  # a wrong value is not mended by the usage
            usage = " ".join(ctx.get_usage().split()[1:])
    return Words(message, usage, hint)


def _spellings(ctx: click.Context) -> List[str]:
    """Return how the options are spelled that the help shows."""
    return [
        spelling
        for param in ctx.command.get_params(ctx)
        if isinstance(param, click.Option) and not param.hidden
        for spelling in param.opts
    ]


def _label(param: click.Parameter) -> str:
    if isinstance(param, click.Option):
        return max(param.opts, key=len)
    return param.human_readable_name


def _without_value(error: click.BadOptionUsage, ctx: Optional[click.Context]) -> str:
    """Return what to say of an option that has no value, or has one and takes none."""
    name = error.option_name
    for param in ctx.command.get_params(ctx) if ctx is not None else ():
        if isinstance(param, click.Option) and name in param.opts:
            if param.is_flag or param.count:
                return f"{name} takes no value"
            return f"{name} needs a value{_meaning(param)}"
    return error.message.rstrip(".")


def _meaning(option: click.Option) -> str:
    """Return what an option says of itself, as the end of a sentence."""
    text = (option.help or "").rstrip(".")
    return f": {text[0].lower()}{text[1:]}" if text else ""


def unknown_verb(ctx: click.Context, word: str, verbs: List[str]) -> Refused:
    """Return the refusal of a verb that is not there."""
    program = ctx.command_path
    if not word:
        return Refused("an empty text names no verb", "is a variable of the shell empty?")
    if ctx.parent is None and word.lower() in SYNONYMS:
        meant = f"{program} {SYNONYMS[word.lower()]}"
        return Refused(f"there is no verb {word!r} here", f"it is called:  {meant}")
    return Refused(f"there is no verb {word!r}{did_you_mean(word, verbs)}")

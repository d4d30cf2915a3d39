"""What all verbs share: --spool before and after them, lazy loading, ids, and refusals.

A verb's module is imported when the verb is called, so that `enqueue` does not pay for what
`list` needs. Source: click's documentation, "Lazily Loading Subcommands".
"""

from __future__ import annotations

import os
import shlex
from contextlib import contextmanager
from importlib import import_module
from typing import Any, Dict, Iterable, Iterator, List, Optional, Sequence, Tuple

import click

from spoolq import api, config
from spoolq.cli import render
from spoolq.errors import BadInput, InvalidSetting, NoSpool, NotFound, WrongFormat
from spoolq.layout import has_pending
from spoolq.text import closest

_META = "spoolq.spool"
MOST = 10**9  # where a whole number has no bound of its own

#: Exit codes besides 0, as cli.md names them.
FAILED, USAGE, BUG, PROBLEMS, TRY_AGAIN, INTERRUPTED = 1, 2, 3, 4, 75, 130


class Refused(click.UsageError):
    """What was typed is wrong; unlike click's own errors it brings its hint."""

    def __init__(self, message: str, hint: Optional[str] = None) -> None:
        super().__init__(message, click.get_current_context(silent=True))
        self.hint = hint


@contextmanager
def typed(what: str = "") -> Iterator[None]:
    """Turn an error about what was given into one about what was typed: exit code 2.

    `what` is the option that it was typed for.
    """
    try:
        yield
    except BadInput as error:
        place = f"{what}: " if what else ""
        raise Refused(f"{place}{error}", error.hint) from error


def did_you_mean(word: str, words: Iterable[str]) -> str:
    """Return a question that names the closest of `words`, or ""."""
    meant = closest(word.lower(), words)
    return f"; did you mean {meant!r}?" if meant else ""


class OneOf(click.Choice):
    """One of a few words, or the closest one in the refusal."""

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """Return the word."""
        word = str(value).lower()
        if word not in self.choices:
            *most, last = self.choices
            some = f"{', '.join(most)} or {last}"
            self.fail(f"{value!r} is not {some}{did_you_mean(word, self.choices)}", param, ctx)
        return word


class Whole(click.ParamType):
    """A whole number from `least` to `most`; click's own writes [0<=x<=9] into the help."""

    name = "number"

    def __init__(self, least: int, most: int = MOST) -> None:
        self.least, self.most = least, most

    def convert(self, value: Any, param: Any, ctx: Any) -> int:
        """Return the number."""
        try:
            number = int(value)
        except ValueError:
            self.fail(f"{value!r} is not a whole number", param, ctx)
        if number < self.least and self.most == MOST:
            self.fail(f"{number} is less than {self.least}", param, ctx)
        if not self.least <= number <= self.most:
            self.fail(f"{number} is not from {self.least} to {self.most}", param, ctx)
        return number


class Tag(click.ParamType):
    """A tag that chooses jobs; an empty one, of a variable that is not set, would mean all."""

    name = "text"

    def convert(self, value: Any, param: Any, ctx: Any) -> str:
        """Return the tag."""
        if not value:
            raise Refused("--tag names no tag", "is a variable of the shell empty?")
        return str(value)


class Number(click.ParamType):
    """A number; its bounds are the field's own."""

    name = "number"

    def convert(self, value: Any, param: Any, ctx: Any) -> float:
        """Return the number."""
        try:
            return float(value)
        except ValueError:
            self.fail(f"{value!r} is not a number", param, ctx)


# --- the spool ------------------------------------------------------------------------------------


def _note_spool(ctx: click.Context, _: click.Parameter, value: Optional[str]) -> None:
    if value == "":
        raise Refused("--spool names no directory", "is a variable of the shell empty?")
    if value is not None:
        if os.path.isfile(value):
            raise Refused(
                f"--spool {value}: a spool is a directory, and this is a file",
                "is it the directory above that was meant?",
            )
        ctx.meta[_META] = value


def spool_option() -> click.Option:
    """Return --spool, which stands before the verb or right after it."""
    return click.Option(
        ["--spool"],
        metavar="DIR",
        type=click.Path(),
        expose_value=False,
        callback=_note_spool,
        help="The spool; else $SPOOLQ_SPOOL, ./spool if you made it, or your own.",
    )


def _use_color(_: click.Context, __: click.Parameter, value: Optional[str]) -> None:
    if value is not None:
        render.use_color(value)


def color_option(*, hidden: bool) -> click.Option:
    """Return --color; the help of the program alone shows it, and every verb takes it."""
    return click.Option(
        ["--color"],
        type=OneOf(["auto", "always", "never"]),
        expose_value=False,
        callback=_use_color,
        hidden=hidden,
        help="Colour: on a terminal (auto), always or never.",
    )


def working_directory() -> str:
    """Return where we are.

    Raises:
        NotFound: it has been removed.
    """
    try:
        return os.getcwd()
    except FileNotFoundError:
        raise NotFound("the directory that you are in is gone", hint="cd somewhere else") from None


def spool_path() -> str:
    """Return the path of the spool that was asked for, or of the default one."""
    here = working_directory()
    given = given_spool(click.get_current_context())
    return os.path.abspath(os.path.join(here, given or config.default_spool(here)))


def given_spool(ctx: click.Context) -> Optional[str]:
    """Return what --spool said, on either side of the verb."""
    given: Optional[str] = ctx.meta.get(_META)
    return given


def is_spool(path: str) -> bool:
    """Say whether there is a spool at a path."""
    return has_pending(path)


def open_spool(*, create: bool = False) -> api.Spool:
    """Open the spool; with `create` make it where it is not there, and say so.

    Raises:
        NoSpool: there is none, and `create` is False.
        WrongFormat: it is of a format that this spoolq does not know.
    """
    path = spool_path()
    missing = create and not is_spool(path)
    if missing and os.path.isdir(path) and not os.listdir(path):
        raise NoSpool(
            f"no spool at {path}, which is an empty directory",
            hint=f"is a disk not mounted there?  Else make one:  spoolq init {shlex.quote(path)}",
        )
    spool = api.Spool(path, create=missing)
    click.get_current_context().call_on_close(spool.close)
    require_format(spool)
    if missing:
        render.say(f"made a spool at {render.escape(path)}")
    return spool


def require_format(spool: api.Spool) -> None:
    """Refuse a spool whose format this spoolq does not know: it must not touch anything there.

    Raises:
        WrongFormat: with the format.
    """
    _ = spool.settings  # which are kept, so that who needs them reads no more


# --- verbs ----------------------------------------------------------------------------------------


class Verb(click.Command):
    """A command that takes --spool too."""

    allow_extra_args = True  # what is too much is refused here, in our words

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += [spool_option(), color_option(hidden=True)]

    def parse_args(self, ctx: click.Context, args: List[str]) -> List[str]:
        """Read the arguments; what is wrong with them knows which verb it was."""
        with _told_of(ctx):
            left = super().parse_args(ctx, args)
        if left and not ctx.resilient_parsing:
            raise Refused(f"{left[0]!r} is one argument too many", self.instead(ctx, left[0]))
        return left

    def instead(self, ctx: click.Context, word: str) -> Optional[str]:
        """Return what was meant by an argument too many, if that can be told."""
        return None

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; an error about the spool's settings says in which file they are."""
        try:
            return super().invoke(ctx)
        except (InvalidSetting, WrongFormat) as error:
            error.where = error.where or os.path.join(spool_path(), config.FILE)
            raise


@contextmanager
def _told_of(ctx: click.Context) -> Iterator[None]:
    """Let an error of click's parser know where it was found."""
    try:
        yield
    except click.UsageError as error:
        error.ctx = error.ctx or ctx
        raise


#: Where a verb is, "module:attribute" under spoolq.cli, and what it does in one line.
Lazy = Dict[str, Tuple[str, str]]


class VerbGroup(click.Group):
    """A group that imports a verb when it is called, and guesses what a wrong one meant.

    `sections` orders the verbs of the help; each names its own.
    """

    command_class = Verb

    def __init__(
        self,
        *args: Any,
        lazy: Optional[Lazy] = None,
        sections: Sequence[Tuple[str, Sequence[str]]] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, **kwargs)
        self.lazy: Lazy = lazy or {}
        self.sections = sections
        self.params += [spool_option(), color_option(hidden=not sections)]

    def parse_args(self, ctx: click.Context, args: List[str]) -> List[str]:
        """Show the help where no verb is named; releases of click differ in how."""
        if not args and not self.invoke_without_command and not ctx.resilient_parsing:
            render.say(ctx.get_help())
            ctx.exit(USAGE)
        with _told_of(ctx):
            return super().parse_args(ctx, args)

    def list_commands(self, ctx: click.Context) -> List[str]:
        """Return the verbs in the order of the help."""
        return [*self.lazy, *super().list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> Optional[click.Command]:
        """Return a verb, imported now."""
        if cmd_name not in self.lazy:
            return super().get_command(ctx, cmd_name)
        module, _, attribute = self.lazy[cmd_name][0].partition(":")
        command = getattr(import_module(f"spoolq.cli.{module}"), attribute)
        assert isinstance(command, click.Command)
        return command

    def resolve_command(
        self, ctx: click.Context, args: List[str]
    ) -> Tuple[Optional[str], Optional[click.Command], List[str]]:
        """Return the verb that was typed, or refuse with the one that was meant."""
        word = args[0]
        known = ctx.resilient_parsing or word.startswith("-")
        if not known and self.get_command(ctx, word) is None:
            from spoolq.cli.refusals import unknown_verb

            raise unknown_verb(ctx, word, self.list_commands(ctx))
        return super().resolve_command(ctx, args)

    def shell_complete(self, ctx: click.Context, incomplete: str) -> List[Any]:
        """Offer the verbs, without importing them."""
        if not self.lazy:
            return super().shell_complete(ctx, incomplete)
        from click.shell_completion import CompletionItem

        verbs = [
            CompletionItem(verb, help=line)
            for verb, (_, line) in self.lazy.items()
            if verb.startswith(incomplete)
        ]
        return verbs + click.Command.shell_complete(self, ctx, incomplete)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs by section, without importing them."""
        if not self.lazy:
            super().format_commands(ctx, formatter)
        for title, verbs in self.sections:
            with formatter.section(title):
                formatter.write_dl([(verb, self.lazy[verb][1]) for verb in verbs])


# --- ids ------------------------------------------------------------------------------------------


def resolve(spool: api.Spool, text: str) -> str:
    """Return the whole id that a person means; one that is not there may be misspelt.

    Raises:
        NotFound: there is no such job; names the closest.
        Ambiguous: several ids begin so.
    """
    from spoolq import names, views
    from spoolq.layout import STATES

    try:
        return views.resolve(spool.dir, text)
    except NotFound as error:
        if text == "last":
            raise
        entries = [name for state in STATES for name in spool.dir.dir(state).scan()]
        ids = {names.id_in(name) or (name if names.is_job(name) else "") for name in entries}
        starts = {job_id[: len(text)]: job_id for job_id in ids if job_id}
        meant = closest(text, starts)
        if meant is None:
            raise
        raise NotFound(f"{error}; did you mean {starts[meant]!r}?", hint=error.hint) from None

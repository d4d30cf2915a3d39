"""`config`, `init`, `pause`, `resume`, `completion`: the spool itself."""

from __future__ import annotations

import json
import os
from typing import Any, Callable, Dict, List, Optional, Sequence

import click

from spoolq import api, config
from spoolq.cli import columns, completing, render
from spoolq.cli.verbs import (
    Refused,
    Tag,
    Verb,
    VerbGroup,
    did_you_mean,
    is_spool,
    open_spool,
    require_format,
    spool_path,
    typed,
    working_directory,
)
from spoolq.text import shell_word

# --- config ---------------------------------------------------------------------------------------


class _ConfigGroup(VerbGroup):
    def resolve_command(self, ctx: click.Context, args: List[str]) -> Any:
        """Return the verb; a setting in its place is answered with what was meant."""
        key, given, value = args[0].replace("-", "_").lower().partition("=")
        if key in config.KEYS and not ctx.resilient_parsing:
            words = [value] if given else args[1:2]
            verb = "set" if words else "get"
            raise Refused(
                f"{args[0]!r} is a setting, and a verb comes first",
                f"spoolq config {' '.join([verb, key, *words])}",
            )
        return super().resolve_command(ctx, args)


@click.group(name="config", cls=_ConfigGroup)
def config_group() -> None:
    """Show and change the settings of the spool.

    \b
    spoolq config list                 # all, and what they mean
    spoolq config set max_retries 5
    """


def spelled(value: Any) -> str:
    """Return a setting as a person types it."""
    if isinstance(value, tuple):
        return " ".join(value)
    if isinstance(value, str):
        return value
    return "none" if value is None else json.dumps(value)


@config_group.command(name="list")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def list_settings(as_json: bool) -> None:
    """List all settings, their values, and what they mean.

    \b
    spoolq config list
    spoolq config list --json | jq .max_retries
    """
    spool = open_spool()
    settings, warnings = config.read(spool.dir.config_bytes())
    for warning in warnings:
        render.warn(warning)
    values = settings._asdict()
    if as_json:
        render.document(values)
        return
    ours = config.raw(spool.dir.config_bytes())
    rows = [
        [key, render.escape(spelled(values[key])), "set" if key in ours else "", found.meaning]
        for key, found in config.KEYS.items()
    ]
    for line in columns.bare([["SETTING", "VALUE", "", "MEANING"], *rows]):
        render.out(line)  # nothing of it is worth cutting


@config_group.command()
@click.argument("key", shell_complete=completing.keys)
@click.option("--json", "as_json", is_flag=True, help="The value as JSON.")
def get(key: str, as_json: bool) -> None:
    """Print the value of a setting.

    \b
    spoolq config get max_retries
    spoolq config get capture-env --json
    """
    with typed():
        name = config.known(key)
    spool = open_spool()
    value = getattr(config.read(spool.dir.config_bytes())[0], name)
    if as_json:
        render.document(value)
    else:
        render.out(render.escape(spelled(value)))


@config_group.command(name="set", context_settings={"ignore_unknown_options": True})
@click.argument("key", shell_complete=completing.keys)
@click.argument("value", required=False, metavar="VALUE")
def set_(key: str, value: Optional[str]) -> None:
    """Change a setting; it acts on waiting jobs and running workers too.

    \b
    spoolq config set max_retries 5
    spoolq config set capture-env 'PATH LANG HOME'
    """
    if key.startswith("-"):
        raise click.NoSuchOption(key, ctx=click.get_current_context())
    if value is None:
        name, _, text = key.partition("=")
        raise Refused("VALUE is missing", f"spoolq config set {name} {text or 'VALUE'}")
    with typed():
        name = config.known(key)
        new = config.from_text(name, value)
    spool = open_spool()

    def change(values: Dict[str, Any]) -> None:
        values[name] = new

    _change(spool, change)
    shown = tuple(new) if isinstance(new, list) else new
    render.say(f"{name} = {render.escape(spelled(shown))} in {render.escape(spool.path)}")


@config_group.command()
@click.argument("key", shell_complete=completing.keys)
def unset(key: str) -> None:
    """Let a setting have its default again.

    \b
    spoolq config unset max_retries
    spoolq config unset capture-env
    """
    with typed():
        name = config.known(key)
    spool = open_spool()

    def change(values: Dict[str, Any]) -> None:
        values.pop(name, None)

    _change(spool, change)
    value = spelled(config.default(name))
    render.say(f"{name} = {value} (the default) in {render.escape(spool.path)}")


def _change(spool: api.Spool, change: Callable[[Dict[str, Any]], None]) -> None:
    """Change config.json under a lock, so that of two changes at once none is lost."""
    from spoolq import locks

    with locks.held(spool.dir.dir("tmp"), ".config"):
        values = config.raw(spool.dir.config_bytes())
        change(values)
        spool.dir.write_config(config.write(values))


# --- pause and resume -----------------------------------------------------------------------------


_tag = click.option(
    "--tag",
    "tags",
    type=Tag(),
    multiple=True,
    metavar="TEXT",
    help="Only jobs with this tag; repeatable.",
)


@click.command(cls=Verb)
@_tag
def pause(tags: Sequence[str]) -> None:
    """Let workers take nothing new; what runs goes on.

    With --tag: nothing new that has this tag; all other jobs go on.

    \b
    spoolq pause
    spoolq pause --tag night
    spoolq pause && spoolq worker list    # what still runs
    """
    from spoolq import pauses, steering

    spool = open_spool()
    for tag in tags:
        new = pauses.pause(spool.dir, tag)
        what = f"the tag {render.escape(tag)!r} in {render.escape(spool.path)}"
        render.say(f"{'paused' if new else 'paused already'}: {what}")
    if not tags:
        new = steering.pause(spool.dir)
        render.say(f"{'paused' if new else 'paused already'}: {render.escape(spool.path)}")


@click.command(cls=Verb)
@_tag
def resume(tags: Sequence[str]) -> None:
    """Let workers go on.

    With --tag: with jobs that have this tag.

    \b
    spoolq resume
    spoolq resume --tag night
    spoolq resume --spool /srv/jobs
    """
    from spoolq import pauses, steering

    spool = open_spool()
    for tag in tags:
        was = pauses.resume(spool.dir, tag)
        what = f"the tag {render.escape(tag)!r} in {render.escape(spool.path)}"
        render.say(f"{'goes on' if was else 'was not paused'}: {what}")
    if tags:
        return
    was = steering.resume(spool.dir)
    render.say(f"{'goes on' if was else 'was not paused'}: {render.escape(spool.path)}")
    left = pauses.paused_tags(spool.dir)
    if left:
        again = " ".join(f"--tag {render.escape(shell_word(tag))}" for tag in sorted(left))
        render.say(f"tags are still paused; let them go on with:  spoolq resume {again}")


# --- init -----------------------------------------------------------------------------------------


@click.command(cls=Verb)
@click.argument("directory", required=False, type=click.Path(), metavar="[DIR]")
@click.option("--group", metavar="G", help="Members of this group may submit jobs.")
@click.pass_context
def init(ctx: click.Context, directory: Optional[str], group: Optional[str]) -> None:
    """Make a spool, ./spool where no DIR is named.

    Nobody else can read or write in it, whatever the umask; or, with --group, the members of a
    group too. A spool that is there is completed, and loses nothing.

    \b
    spoolq init
    spoolq init /srv/jobs --group builders
    """
    from spoolq.cli.verbs import given_spool
    from spoolq.spool import SpoolDir

    if group is not None:
        with typed():
            config.check("group", group)
    here = working_directory()
    path = os.path.join(here, directory or given_spool(ctx) or "spool")
    if os.path.isfile(path):
        raise Refused(f"{path} is a file, and a spool is a directory", "spoolq init OTHER-NAME")
    there = is_spool(path) and os.path.exists(os.path.join(path, config.FILE))
    if there:
        with api.Spool(path) as known:
            require_format(known)
    spool = SpoolDir.create(path, group)
    try:
        render.say(
            f"{'there is a spool already at' if there else 'made a spool at'} "
            f"{render.escape(spool.path)}"
        )
        if os.path.realpath(spool.path) != os.path.realpath(spool_path()):
            render.say(f"use it with:  spoolq --spool {render.escape(spool.path)} VERB")
    finally:
        spool.close()


# --- completion -----------------------------------------------------------------------------------


@click.command(cls=Verb)
@click.argument("shell", metavar="bash|zsh|fish", shell_complete=completing.shells)
def completion(shell: str) -> None:
    """Print the completion script of a shell: bash, zsh or fish.

    \b
    spoolq completion bash > ~/.local/share/bash-completion/completions/spoolq
    eval "$(spoolq completion zsh)"
    spoolq completion fish > ~/.config/fish/completions/spoolq.fish
    """
    from click.shell_completion import get_completion_class

    from spoolq.cli.main import cli

    found = get_completion_class(shell) if shell in completing.SHELLS else None
    if found is None:
        raise Refused(
            f"there is no completion for {shell!r}{did_you_mean(shell, completing.SHELLS)}",
            "the shells are " + ", ".join(completing.SHELLS),
        )
    script = found(cli, {}, "spoolq", "_SPOOLQ_COMPLETE").source()
    if shell == "fish":
        # click's own cuts a description at its first comma, and sorts what is newest first.
        script = script.replace('string split ","', 'string split --max 1 ","')
        script = script.replace("complete --no-files", "complete --keep-order --no-files")
    render.out(script)

"""`systemd`: the units that let it run workers, written and removed; it is never called here.

A file that was changed by hand, or is not ours, is neither overwritten nor removed unasked.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from typing import Dict, Iterable, List, Optional

import click

from spoolq import api, config, platform
from spoolq.cli import render
from spoolq.cli.purge import Age
from spoolq.cli.verbs import OneOf, Refused, VerbGroup, Whole, open_spool, spool_path
from spoolq.errors import InvalidJob, SpoolqError
from spoolq.fsio import Dir
from spoolq.outside import replace_file
from spoolq.units import Wanted, is_as_written, spool_in, units, word

_SYSTEM = "/etc/systemd/system"
_MODE = 0o644
_LARGEST = 64 * 1024

user_option = click.option("--user", is_flag=True, help="Units of your own, without root.")
name_option = click.option(
    "--name",
    default="",
    metavar="NAME",
    help="For a second spool: units called spoolq-NAME.",
)
to_option = click.option(
    "--to", type=click.Path(file_okay=False), metavar="DIR", help="The directory of the units."
)
force_option = click.option(
    "--force", is_flag=True, help="Units changed by hand, or of another spool, too."
)


@click.group(name="systemd", cls=VerbGroup)
def systemd() -> None:
    """Let systemd run the workers.

    \b
    spoolq systemd install --print    # look first
    spoolq systemd install --user     # then, for your own spool
    """


@systemd.command()
@user_option
@click.option("--print", "only_print", is_flag=True, help="Print the units, and write nothing.")
@click.option(
    "--count", "-n", type=Whole(1, 10_000), default=1, metavar="N", help="As for a worker."
)
@click.option(
    "--stop-within",
    type=Age(),
    default="60s",
    metavar="DURATION",
    help="At a stop: end what still runs after so long; it waits again (60s).",
)
@click.option("--log-format", type=OneOf(["text", "json"]), default="text", help="As for a worker.")
@click.option(
    "--keep",
    default="30d",
    metavar="DURATION",
    help="How long the purge keeps completed jobs (30d).",
)
@name_option
@to_option
@force_option
def install(
    user: bool,
    only_print: bool,
    count: int,
    stop_within: float,
    log_format: str,
    keep: str,
    name: str,
    to: Optional[str],
    force: bool,
) -> None:
    """Write units for workers and a nightly purge.

    One worker stays, another comes when there is work. Nothing is started: what to type next is
    said.

    \b
    spoolq systemd install --user --count 4
    spoolq systemd install --print --spool /srv/spool
    """
    spool = open_spool()
    Age().convert(keep, None, None)
    wanted = Wanted(
        _base(name),
        _program(),
        spool.path,
        None if user else _owner(spool),
        count,
        stop_within,
        _grace(spool),
        log_format,
        keep,
    )
    where = to or _directory(user)
    texts = units(wanted)
    if only_print:
        for file, text in texts.items():
            render.data(f"# {render.escape(os.path.join(where, file))}\n{text}\n")
        return
    _write(where, texts, force, spool.path)
    if wanted.run_as == "root":
        render.warn("the spool is root's, so its jobs run as root")
    _say_next(wanted.name, user)


@systemd.command()
@user_option
@name_option
@to_option
@force_option
def remove(user: bool, name: str, to: Optional[str], force: bool) -> None:
    """Remove the units that were written.

    \b
    spoolq systemd remove --user
    spoolq systemd remove --name mail
    """
    where = to or _directory(user)
    base = _base(name)
    found = {file: text for file in _files(base) if (text := _read(where, file)) is not None}
    _refuse_changed([file for file, text in found.items() if not is_as_written(text)], where, force)
    _refuse_others(found, where, os.path.abspath(spool_path()), force)
    if not found:
        render.say(f"there are no units {base}… in {render.escape(where)}")
        return
    enabled = _enabled(where, found)
    if enabled:
        raise SpoolqError(
            f"systemd would start them at the next boot: {', '.join(enabled)}",
            hint=f"first:  {_systemctl(user)} disable --now {' '.join(enabled)}",
        )
    directory = Dir.open(where)
    try:
        for file in found:
            directory.discard(file)
            render.say(f"removed {render.escape(os.path.join(where, file))}")
    finally:
        directory.close()
    render.say(f"next:  {_systemctl(user)} daemon-reload")


# --- what is wanted -------------------------------------------------------------------------------


def _grace(spool: api.Spool) -> float:
    """Return the seconds that the end of a run takes, and of the hooks that tell of it."""
    there = spool.dir.root.has("hooks")
    return spool.settings.grace * (1 + there) + (spool.settings.hook_timeout if there else 0)


def _base(name: str) -> str:
    if not name:
        return "spoolq"
    if name in ("drain", "purge") or not all(
        c.isascii() and (c.isalnum() or c in "_-") for c in name
    ):
        raise Refused(
            f"no units can be called {name!r}", "letters, digits, - and _; not drain or purge"
        )
    return f"spoolq-{name}"


def _program() -> List[str]:
    """Return how to run this spoolq: by its script where it has one, as installed ones do.

    `python -m` would look for it in the directory that it is started in first.
    """
    script = os.path.join(os.path.dirname(os.path.abspath(sys.executable)), "spoolq")
    return [script] if os.access(script, os.X_OK) else [sys.executable, "-m", "spoolq"]


def _owner(spool: api.Spool) -> str:
    """Return the user that a worker of this spool has to be."""
    number = os.stat(spool.path).st_uid
    name = platform.user_name(number)
    return name if re.fullmatch(r"[A-Za-z0-9_.-]+", name) else str(number)


def _directory(user: bool) -> str:
    if not user:
        return _SYSTEM
    home = config.environment().get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return os.path.join(home, "systemd", "user")


def _systemctl(user: bool) -> str:
    return "systemctl --user" if user else "systemctl"


def _files(base: str) -> List[str]:
    kinds = (".service", "-drain.service", "-drain.path", "-drain.timer", "-purge.service")
    return [base + kind for kind in (*kinds, "-purge.timer")]


def _enabled(where: str, files: Iterable[str]) -> List[str]:
    """Return the units that are wanted by others, as `systemctl enable` has it."""
    wants = [entry for entry in os.listdir(where) if entry.endswith(".wants")]
    return [
        file
        for file in files
        if any(os.path.lexists(os.path.join(where, entry, file)) for entry in wants)
    ]


# --- files ----------------------------------------------------------------------------------------


def _read(where: str, file: str) -> Optional[str]:
    """Return the text of a unit; None where there is none, "" where it is no file."""
    try:
        directory = Dir.open(where)
    except FileNotFoundError:
        return None
    try:
        return directory.read(file, _LARGEST)[0].decode("utf-8", "replace")
    except FileNotFoundError:
        return None
    except InvalidJob:  # a FIFO, say, which would never have been read to its end
        return ""
    finally:
        directory.close()


def _write(where: str, texts: Dict[str, str], force: bool, spool: str) -> None:
    """Write the units that are not there as they are to be: all of them, or none."""
    there = {file: _read(where, file) for file in texts}
    changed = [
        file
        for file, text in there.items()
        if text is not None and text != texts[file] and not is_as_written(text)
    ]
    _refuse_changed(changed, where, force)
    _refuse_others({f: text for f, text in there.items() if text}, where, spool, force)
    render.say(f"units for the spool {render.escape(spool)}:")
    try:
        os.makedirs(where, exist_ok=True)
        for file, text in texts.items():
            same = there[file] == text
            if not same:
                replace_file(os.path.join(where, file), text.encode("utf-8"), _MODE)
            path = render.escape(os.path.join(where, file))
            render.say(f"  {path}{', as it was' if same else ''}")
    except PermissionError as error:
        raise SpoolqError(
            f"{error.strerror}: {where}",
            hint="with sudo, or for units of your own:  spoolq systemd install --user",
        ) from None


def _refuse_changed(changed: List[str], where: str, force: bool) -> None:
    if changed and not force:
        raise SpoolqError(
            f"changed by hand, or not from here: {', '.join(changed)}; nothing was done",
            where=os.path.join(where, changed[0]),
            hint="see what differs with --print; with --force it is done all the same",
        )


def _refuse_others(found: Dict[str, str], where: str, spool: str, force: bool) -> None:
    """Refuse units of another spool: nobody would serve that one any more."""
    theirs = {file: named for file, text in found.items() if (named := spool_in(text))}
    for file, named in theirs.items():
        if named != word(spool) and not force:
            raise SpoolqError(
                f"the units here are for the spool {named}; nothing was done",
                where=os.path.join(where, file),
                hint="say whose you mean with --spool, and for a second spool --name NAME",
            )


def _say_next(base: str, user: bool) -> None:
    systemctl = _systemctl(user)
    journal = f"journalctl {'--user ' if user else ''}-f -u {shlex.quote(base)}"
    drain = f"{base}-drain.path {base}-drain.timer"
    render.say("next:")
    render.say(f"  {systemctl} daemon-reload")
    render.say("and a worker that stays, or one that comes when there is work:")
    render.say(f"  {systemctl} enable --now {base}.service")
    render.say(f"  {systemctl} enable --now {drain}")
    render.say("and, each night, the purge of what was completed:")
    render.say(f"  {systemctl} enable --now {base}-purge.timer")
    if user:
        render.say("and, so that they run while you are not logged in:")
        render.say("  loginctl enable-linger")
    render.say(f"what a worker says:  {journal}")

"""What a shell offers for the word that is being typed: ids, workers, shells, files.

Completion has no place to complain, so whatever is wrong means that nothing is offered. What is
described comes from anybody: ids are of the format's letters alone, and descriptions are on one
line, escaped. Only names are read, and the files of the few jobs that are offered.
"""

from __future__ import annotations

import heapq
import os
from typing import Any, Callable, List, Sequence

import click

from spoolq import api, config
from spoolq.cli import render
from spoolq.cli.verbs import given_spool
from spoolq.errors import SpoolqError
from spoolq.text import shortened

Complete = Callable[[click.Context, click.Parameter, str], List[Any]]

SHELLS = ("bash", "zsh", "fish")

_MOST = 100  # ids that are offered, the newest
_DESCRIBED = 60  # characters of a command


def _opened(ctx: click.Context) -> api.Spool:
    return api.Spool(given_spool(ctx) or config.default_spool(os.getcwd()))


def ids(*states: str) -> Complete:
    """Return what offers the ids of jobs in these states, the newest first."""

    def complete(ctx: click.Context, _: click.Parameter, incomplete: str) -> List[Any]:
        try:
            with _opened(ctx) as spool:
                return _ids(spool, states, incomplete)
        except (SpoolqError, OSError):
            return []

    return complete


def _ids(spool: api.Spool, states: Sequence[str], incomplete: str) -> List[Any]:
    from click.shell_completion import CompletionItem

    from spoolq import names, views

    def found() -> Any:
        begins = f".{incomplete}"
        for state in states:
            for filename in spool.dir.dir(state).scan():
                if begins in filename and names.id_in(filename).startswith(incomplete):
                    yield filename, state

    offered = []
    settings = spool.settings
    for filename, state in heapq.nlargest(_MOST, found()):
        name = names.parse(filename)
        view = views.look(spool.dir, state, filename, settings)
        if name is not None and view is not None:
            offered.append(CompletionItem(name.id, help=_described(view)))
    return offered


def _described(view: Any) -> str:
    from spoolq.cli import tables

    return shortened(f"{view.state}: {tables.named(view)}", _DESCRIBED)


def workers(ctx: click.Context, _: click.Parameter, incomplete: str) -> List[Any]:
    """Offer the names of workers, with what they run."""
    from click.shell_completion import CompletionItem

    from spoolq.cli import tables

    try:
        with _opened(ctx) as spool:
            return [
                CompletionItem(view.name, help=f"{tables.slots(view)} busy")
                for view in tables.shown_workers(spool)
                if view.alive and view.name.startswith(incomplete)
            ]
    except (SpoolqError, OSError):
        return []


def schedules(ctx: click.Context, _: click.Parameter, incomplete: str) -> List[Any]:
    """Offer the names of schedules, with when they come."""
    from click.shell_completion import CompletionItem

    from spoolq import instants
    from spoolq.schedules import views

    try:
        with _opened(ctx) as spool:
            return [
                CompletionItem(view.name, help=render.escape(view.cron))
                for view in views(spool.dir, spool.settings, instants.now())
                if view.name.startswith(incomplete)
            ]
    except (SpoolqError, OSError):
        return []


def keys(_: click.Context, __: click.Parameter, incomplete: str) -> List[Any]:
    """Offer the keys of the settings, with what they mean."""
    from click.shell_completion import CompletionItem

    plain = incomplete.replace("-", "_")
    return [
        CompletionItem(key, help=render.escape(found.meaning))
        for key, found in config.KEYS.items()
        if key.startswith(plain)
    ]


def shells(_: click.Context, __: click.Parameter, incomplete: str) -> List[Any]:
    """Offer the shells that there is a completion for."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(shell) for shell in SHELLS if shell.startswith(incomplete)]


def files(_: click.Context, __: click.Parameter, incomplete: str) -> List[Any]:
    """Let the shell offer files: of a command nothing better is known."""
    from click.shell_completion import CompletionItem

    return [CompletionItem(incomplete, type="file")]

"""Progress on a terminal; imported by those alone who have a terminal."""

from __future__ import annotations

import sys
from contextlib import contextmanager
from typing import Any, Callable, Iterator, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from spoolq.cli import render

_T = TypeVar("_T")


def _progress(*columns: Any) -> Progress:
    colored = render.has_color(sys.stderr)
    console = Console(
        file=sys.stderr, no_color=not colored, highlight=False, markup=False, emoji=False
    )
    return Progress(*columns, console=console, transient=True)


@contextmanager
def reading(items: Iterator[_T]) -> Iterator[Iterator[_T]]:
    """Count items as they are read, and show that they are written when all have been."""
    progress = _progress(
        TextColumn("{task.description}"), BarColumn(24), TextColumn("{task.completed:.0f} jobs")
    )
    with progress:
        task = progress.add_task("reading", total=None)

        def counted() -> Iterator[_T]:
            number = 0
            for number, item in enumerate(items, 1):  # noqa: B007
                if number % 100 == 0:
                    progress.update(task, completed=number)
                yield item
            progress.update(task, completed=number, description="writing")

        yield counted()


@contextmanager
def counting(what: str) -> Iterator[Callable[[int, int], None]]:
    """Show a bar; the function that is given sets it to so many of so many."""
    progress = _progress(TextColumn(what), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with progress:
        task = progress.add_task(what, total=None)
        yield lambda done, total: progress.update(task, completed=done, total=total)

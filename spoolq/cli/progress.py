"""Progress on a terminal; imported by those alone who have a terminal."""

from __future__ import annotations

import sys
import time
from contextlib import contextmanager
from typing import Any, Iterator, TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from spoolq import spans
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


class Bar:
    """A bar, with the rate and the time left."""

    def __init__(self, progress: Progress, what: str) -> None:
        self._progress = progress
        self._task = progress.add_task(what, total=None, rate="", left="")
        self._began = time.monotonic()
        self._first = -1

    def __call__(self, done: int, total: int) -> None:
        """Show that so many of all are done."""
        # What had ended before says nothing of the rate.
        self._first = done if self._first < 0 else self._first
        seconds = time.monotonic() - self._began
        rate = (done - self._first) / seconds if seconds > 1 else 0.0
        told = f"{rate:.3g}/s" if rate else ""
        left = f"{spans.length((total - done) / rate)} left" if rate and done < total else ""
        self._progress.update(self._task, completed=done, total=total, rate=told, left=left)

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Let the body write where the bar is."""
        self._progress.stop()
        try:
            yield
        finally:
            self._progress.start()


@contextmanager
def counting(what: str) -> Iterator[Bar]:
    """Show a bar, which is to be told how many are done."""
    columns = (
        TextColumn(what),
        BarColumn(24),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
        TextColumn("{task.fields[left]}"),
    )
    with _progress(*columns) as progress:
        yield Bar(progress, what)

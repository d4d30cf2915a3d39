"""What a job waits for, and what waits for it, drawn as two trees."""

from __future__ import annotations

from typing import Dict, Iterator, List, Set, Tuple

from spoolq import api, dependencies, views
from spoolq.cli import render, tables
from spoolq.cli.columns import Cell
from spoolq.cli.render import escape
from spoolq.dependencies import Wait
from spoolq.views import JobView

_DEEP = 5
_MOST = 20  # jobs that are drawn of each tree


def rows(spool: api.Spool, view: JobView) -> List[Tuple[str, str]]:
    """Return the lines that tell what a job waits for, and what waits for it; none of most jobs."""
    waits = dependencies.still_open(spool.dir)
    found: List[Tuple[str, str]] = []
    if view.job is not None and dependencies.of(view.job, view.id):
        found += _tree("after", [*_lines(spool, view.id, _Before(spool), {view.id})])
    if any(wait.other == view.id for wait in waits):
        found += _tree("then", [*_lines(spool, view.id, _Behind(waits), {view.id})])
    return found


class _Before:
    """What a job was to run after, as its file says."""

    def __init__(self, spool: api.Spool) -> None:
        self._spool = spool

    def of(self, job_id: str) -> List[Tuple[str, bool]]:
        place = self._spool.dir.locate([job_id]).get(job_id)
        view = place and views.look(self._spool.dir, *place, self._spool.settings)
        if not view or view.job is None:
            return []
        return [(wait.other, wait.success) for wait in dependencies.of(view.job, job_id)]


class _Behind:
    """What still waits for a job."""

    def __init__(self, waits: List[Wait]) -> None:
        self._jobs: Dict[str, List[Tuple[str, bool]]] = {}
        for wait in sorted(waits):
            self._jobs.setdefault(wait.other, []).append((wait.job, wait.success))

    def of(self, job_id: str) -> List[Tuple[str, bool]]:
        return self._jobs.get(job_id, [])


def _lines(
    spool: api.Spool, job_id: str, others: _Before | _Behind, seen: Set[str], indent: str = ""
) -> Iterator[Cell]:
    """Yield a line for each job of a tree, a job that is in it twice only once."""
    for other, success in others.of(job_id):
        if len(seen) > _MOST or len(indent) > 3 * _DEEP:
            yield Cell.joined(indent, render.glyph("…", "..."))
            return
        state = spool.dir.locate([other]).get(other, ("", ""))[0]
        how = "" if success else ", however it ends"
        yield Cell.joined(
            indent,
            Cell.styled(escape(other), "bold"),
            "  ",
            tables.cell(state) if state else Cell.styled("gone", "dim"),
            how,
        )
        if other not in seen:
            seen.add(other)
            yield from _lines(spool, other, others, seen, indent + "   ")


def _tree(label: str, lines: List[Cell]) -> List[Tuple[str, str]]:
    return [(label if not index else "", line) for index, line in enumerate(lines)]

"""Jobs by state, in pages: searched and sorted by their names, read only where they are shown.

An id is sought in all names, which is quick. A command, a name or a tag stands in the files, and a
hundred thousand of them are not read for one page: the search reads for a second at most, says how
far it came, and goes on from there when asked. Large files are found by their names alone.

What has no name of the form (a drop that is not adopted yet, what is no job at all) comes first.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, List, NamedTuple, Optional, Tuple

from spoolq import names
from spoolq.dashboard.look import Look
from spoolq.dashboard.reading import PATIENCE, Reader
from spoolq.layout import STATES
from spoolq.views import JobView

PER_PAGE = 50

#: Of what is waiting the first comes first; of what has ended the last.
_SOONEST_FIRST = ("pending", "processing", "failed")

Entry = Tuple[str, str]  # file name and state; names of the form sort by their time

#: What a list can be sorted by; all of it stands in the file name.
SORTS: Dict[str, Callable[[Entry], Any]] = {
    "time": lambda entry: entry,
    "id": lambda entry: names.id_in(entry[0]),
    "priority": lambda entry: entry[0].split(".", 2)[1],
    "attempts": lambda entry: entry[0].split(".", 3)[2].rjust(7),  # a12 after a2
}


class Query(NamedTuple):
    """What is asked for. `start` counts entries from 0; `text` searches the files too."""

    state: str  # one of the five, or "" for all
    search: str = ""
    text: bool = False
    sort: str = "time"
    descending: bool = True
    start: int = 0

    @classmethod
    def of(cls, state: str, given: Callable[[str], Optional[str]]) -> Query:
        """Read a query from the arguments of an address; what is wrong counts as not given."""
        order = given("order")
        start = given("start") or ""
        return cls(
            state,
            (given("q") or "").strip()[:200],
            given("in") == "text",
            given("sort") if given("sort") in SORTS else "time",  # type: ignore[arg-type]
            order == "down" if order in ("up", "down") else state not in _SOONEST_FIRST,
            int(start) if start.isascii() and start.isdigit() and len(start) < 10 else 0,
        )

    def arguments(self, **changes: object) -> Dict[str, str]:
        """Return the arguments of an address that asks for this, or for this with changes."""
        asked = self._replace(**changes)  # type: ignore[arg-type]
        found = {"q": asked.search, "in": "text" if asked.text else ""}
        if asked.sort != "time":
            found["sort"] = asked.sort
        if asked.descending != (asked.state not in _SOONEST_FIRST):
            found["order"] = "down" if asked.descending else "up"
        if asked.start:
            found["start"] = str(asked.start)
        return {key: text for key, text in found.items() if text}


class Page(NamedTuple):
    """Some jobs of a list.

    `total` is how many entries there are to show or, in a search of files, to read; `end` is the
    entry after the last one that was looked at. `in_files` says that the files were searched.
    """

    query: Query
    jobs: List[JobView]
    total: int
    end: int
    in_files: bool

    @property
    def has_drops(self) -> bool:
        """Whether something of this page has no name of the form."""
        return any(view.name is None for view in self.jobs)

    @property
    def before(self) -> Optional[int]:
        """Where the page before this one starts; None where there is none, or none is known."""
        start = self.query.start
        return max(start - PER_PAGE, 0) if start and not self.in_files else None

    @property
    def after(self) -> Optional[int]:
        """Where the next page starts; None where this is the last."""
        return self.end if self.end < self.total else None


def page(look: Look, query: Query, monotonic: Callable[[], float] = time.monotonic) -> Page:
    """Return the jobs that a query asks for."""
    states = (query.state,) if query.state else STATES
    entries = [(filename, state) for state in states for filename in look.names(state)]
    drops = [(filename, state) for state in states for filename in look.drops(state)]
    needle = query.search.lower()
    in_files = bool(needle) and query.text
    if needle and not in_files:
        by_id = [entry for entry in entries if needle in names.id_in(entry[0]).lower()]
        dropped = [entry for entry in drops if needle in entry[0].lower()]
        in_files = not by_id and not dropped
        if not in_files:
            entries, drops = by_id, dropped
    ordered = drops + sorted(entries, key=SORTS[query.sort], reverse=query.descending)
    jobs: List[JobView] = []
    read = Reader(look.spool, PATIENCE, monotonic)
    end = min(query.start, len(ordered))
    for filename, state in ordered[end:]:
        if len(jobs) == PER_PAGE or (in_files and read.is_late()):
            break
        end += 1
        view = read(state, filename)
        if view is not None and (not in_files or needle in _text(view)):
            jobs.append(view)
    return Page(query, jobs, len(ordered), end, in_files)


def _text(view: JobView) -> str:
    """Return in what of a job a search looks, in lower case."""
    if view.job is None:
        return view.id.lower()
    fields = view.job.fields
    command = view.job.command
    words = [command] if isinstance(command, str) else [*command]
    if view.job.call is not None:
        words.append(view.job.line)
    return "\n".join([view.id, *words, fields.get("name", ""), *fields.get("tags", [])]).lower()

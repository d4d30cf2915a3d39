"""The rows and columns of the table, read from their files and checked.

Not here: how a cell is tried (`trial`), and how the table looks (`page`).
"""

import re
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Tuple

import yaml

HERE = Path(__file__).parent
#: The columns, in their order.
TOOLS = ("spoolq", "pueue", "task-spooler", "nq", "parallel", "huey", "rq")
VERDICTS = ("yes", "partly", "no")


class Feature(NamedTuple):
    """A row: what it is called, its title, the group that it is in, and what it asks."""

    name: str
    title: str
    group: str
    asks: str


class Tool(NamedTuple):
    """A column: what it is, how its version is asked, what it needs, what is typed before."""

    name: str
    url: str
    version: str
    needs: List[str]
    before: str


class Cell(NamedTuple):
    """What is said of one tool and one feature, and how it is shown.

    `source` stands for `run` where a tool cannot be had: then nothing was tried. `takes` are the
    seconds that it may take, where that is more than usual.
    """

    tool: str
    feature: str
    verdict: str
    words: str
    run: str
    shows: List[str]
    source: str
    takes: float


def _read(path: Path) -> Any:
    # Everything is text: in YAML's own view `yes` and `no` are truth values.
    return yaml.load(path.read_text(encoding="utf-8"), Loader=yaml.BaseLoader)


def features() -> List[Feature]:
    """Return the rows, in their order."""
    return [
        Feature(name, entry["title"], group, entry["asks"])
        for group, rows in _read(HERE / "features.yaml").items()
        for name, entry in rows.items()
    ]


def column(name: str) -> Tuple[Tool, Dict[str, Cell]]:
    """Return a tool, and its cells by their features.

    Raises:
        ValueError: a cell is not said in one of the ways that there are.
    """
    document = _read(HERE / "cells" / f"{name}.yaml")
    about = document.pop("tool")
    needs = about.get("needs", "").split()
    tool = Tool(name, about["url"], about["version"], needs, about.get("before", ""))
    return tool, {feature: cell(name, feature, entry) for feature, entry in document.items()}


def cell(tool: str, feature: str, entry: Dict[str, Any]) -> Cell:
    """Return a cell from what its file says.

    Raises:
        ValueError: it has not one verdict, or not one way of showing it.
    """
    entry = dict(entry)
    said = [verdict for verdict in VERDICTS if verdict in entry]
    if len(said) != 1:
        raise ValueError(f"{tool}, {feature}: one of {', '.join(VERDICTS)}, not {said}")
    words = entry.pop(said[0])
    if "without" in entry:  # no word of it in all that the tool says of itself
        entry["run"] = f"told | grep -ciE '{entry.pop('without')}'"
        entry["shows"] = "^0$"
    run, source = entry.pop("run", "").strip(), entry.pop("source", "")
    takes = float(entry.pop("takes", 0))
    shows = entry.pop("shows", [])
    shows = [shows] if isinstance(shows, str) else shows
    if entry or not words or bool(run) == bool(source) or bool(run) != bool(shows):
        raise ValueError(f"{tool}, {feature}: not well said, with {sorted(entry) or 'run, shows'}")
    for pattern in shows:
        re.compile(pattern)
    return Cell(tool, feature, said[0], words, run, shows, source, takes)

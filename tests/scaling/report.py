"""Writes the tables and plots of docs/scaling.md; the words between them are written by hand.

A table stands between `<!-- made: NAME -->` and `<!-- end -->`.
"""

import re
from pathlib import Path
from typing import Any, Callable, Dict, List

from tests.benchmarks.tables import table
from tests.conftest import REPOSITORY
from tests.scaling import plots, scenarios
from tests.scaling.rows import middle

DOCS = REPOSITORY / "docs"
PAGE = DOCS / "scaling.md"


def write(page: Path = PAGE) -> None:
    """Simulate, draw, and write every table anew."""
    plots.draw(page.parent / "scaling")
    page.write_text(filled(page.read_text(encoding="utf-8"), TABLES), encoding="utf-8")


def filled(text: str, tables: Dict[str, Callable[[], List[str]]]) -> str:
    """Return the page with these tables made anew."""
    for name, made in tables.items():
        pattern = rf"(<!-- made: {name} -->\n).*?(\n<!-- end -->)"
        rows = "\n".join(made())
        text, times = re.subn(pattern, lambda m, r=rows: m[1] + r + m[2], text, flags=re.DOTALL)
        if times != 1:
            raise LookupError(f"{times} places for the table {name}")
    return text


def costs_table() -> List[str]:
    """Return the one table of what everything costs, and how that is known."""
    rows = []
    for name, entry in scenarios.TABLE.items():
        rows.append([f"`{name}`", entry["what"], _value(entry), entry["kind"], entry["where"]])
    return table(["", "what", "", "how it is known", "where"], rows)


def _value(entry: Dict[str, Any]) -> str:
    value = entry["value"]
    if value is None:
        return "–"
    if entry["unit"] == "s":
        return f"{value * 1e6:g} µs" if value < 1e-3 else f"{value * 1e3:g} ms"
    return f"{value:g} {entry['unit']}".strip()


def lost_table() -> List[str]:
    """Return how often claims are lost, and what that takes."""
    rows = []
    for key, taken in scenarios.MEASURED["counts"].items():
        now = middle([row for row in taken if not row.get("locks_each")])
        each = f"{now['each'] * 1e6:.0f} µs" if now["lost"] else "–"
        rows.append([key.replace("x", " of "), f"{now['lost_for_each']:.2f}", each])
    return table(["workers, slots", "lost for each that is won", "a core, for each lost"], rows)


def checked_table() -> List[str]:
    """Return every measured case beside the same, simulated."""
    rows = []
    for row, measured, simulated in scenarios.checked():
        crew = f"{row['workers']} of {row['slots']}"
        job = f"sleep {row['nap']:g}" if row["nap"] else "printf"
        when = "before" if row.get("locks_each") else "now"
        ratio = f"{simulated / measured:.2f}"
        rows.append(
            [crew, str(row["spools"]), row["durability"], job, when, f"{measured:,.0f}"]
            + [f"{simulated:,.0f}", ratio]
        )
    return table(
        [
            "workers, slots",
            "spools",
            "durability",
            "job",
            "slots",
            "measured",
            "simulated",
            "ratio",
        ],
        rows,
    )


def cores_table() -> List[str]:
    """Return what a host of more cores would carry."""
    rows = []
    for cores in (2, 4, 8, 16, 32):
        many = scenarios.capacity(cores, 2, cores=cores)
        few = scenarios.capacity(max(cores // 4, 1), 8, cores=cores)
        rows.append([str(cores), f"{many:,.0f}", f"{few:,.0f}"])
    return table(["cores", "a worker of 2 slots for each", "one of 8 slots for 4"], rows)


def directory_table() -> List[str]:
    """Return what single operations take in a large directory."""
    rows = []
    for size in scenarios.PENDING:
        row = middle(scenarios.MEASURED["steps"][f"directory of {size}"])
        micro = [f"{row[key] * 1e6:.1f}" for key in ("create", "rename_into", "rename_out")]
        rows.append([f"{size:,}", *micro, f"{row['look_whole']:.3f}", f"{row['bytes']:.0f}"])
    head = ["files", "make one, µs", "rename into, µs", "out of, µs", "a look, s", "bytes a name"]
    return table(head, rows)


TABLES: Dict[str, Callable[[], List[str]]] = {
    "costs": costs_table,
    "lost": lost_table,
    "checked": checked_table,
    "cores": cores_table,
    "directory": directory_table,
}

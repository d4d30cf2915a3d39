"""What was measured, row by row: so many of each, taken in calm moments, kept as they come.

On a machine that others use as well a figure is worth something only where they did little just
then: so a calm moment is waited for, what they did meanwhile is noted, and a row is kept only where
that was little too.
"""

import json
import os
import time
from pathlib import Path
from typing import Any, Callable, Dict

from tests.benchmarks import machine
from tests.benchmarks.__main__ import keep
from tests.benchmarks.bench import Bench, median, rounded, say
from tests.scaling.others import Others

CALM = 0.3  # cores that others may keep busy
WAIT = 30.0  # seconds that are waited for a calm moment, before the case is left for another round
ENOUGH = 3  # rows of each case

Row = Dict[str, Any]


class Rows:
    """The file of all rows."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.document: Dict[str, Any] = {"machine": machine.look()}
        if os.path.exists(path):
            self.document = json.loads(Path(path).read_text(encoding="utf-8"))

    def measure(
        self, bench: Bench, part: str, key: str, once: Callable[[], Row], *, calm: bool = True
    ) -> None:
        """Add a row of a case, if there are not enough, and others leave the machine alone.

        Where processor time is measured and nothing else, it need not be `calm`.
        """
        rows = self.document.setdefault(part, {}).setdefault(key, [])
        if sum(not row.get("locks_each") for row in rows) >= ENOUGH:
            return
        if calm and not bench.quick and not _is_calm():
            return
        row = rounded(once())
        others = row.get("others_cores", 0.0)
        told = f"{row['a_second']:.0f} a second" if "a_second" in row else str(row)
        say(f"  {key}: {told}; others {others:.2f} cores")
        if bench.quick or not calm or others <= CALM:
            rows.append({**row, "commit": machine.commit()})
            keep(self.document, self._path)


def _is_calm() -> bool:
    end = time.monotonic() + WAIT
    while time.monotonic() < end:
        others = Others()
        time.sleep(0.4)
        if others.cores() <= CALM:
            return True
    return False


def middle(rows: "list[Row]") -> Row:
    """Return a row of medians."""
    return {
        key: median(row[key] for row in rows) if isinstance(value, float) else value
        for key, value in rows[0].items()
    }

"""Writes the table of rules in docs/producers.md from the code: python docs/make_rules.py

A test fails while the page differs from the code.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from spoolq.conformance.rules import RULES  # noqa: E402

FILE = Path(__file__).resolve().parent / "producers.md"
HEAD = (
    "| rule | what it asks | what it prevents | stands under | seen by |\n|---|---|---|---|---|\n"
)


def table():
    """Return the table."""
    rows = []
    for name, rule in RULES.items():
        anchor = rule.stands.lower().replace(" ", "-")
        stands = f"[{rule.stands}](spool-format.md#{anchor})"
        rows.append(f"| `{name}` | {rule.asks} | {rule.prevents} | {stands} | {rule.seen} |\n")
    return HEAD + "".join(rows)


def text(page):
    """Return the page with the table as it is to be."""
    before, rest = page.split(HEAD)
    after = rest.split("\n\n", 1)[1]
    return f"{before}{table()}\n{after}"


if __name__ == "__main__":
    FILE.write_text(text(FILE.read_text(encoding="utf-8")), encoding="utf-8")

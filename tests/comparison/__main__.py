"""Tries the table, says what does not hold, and makes the page anew where that is asked for."""

import argparse
import json
import sys
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, List, Optional

from tests.comparison import cells, page, trial


def options_of(arguments: List[str]) -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.comparison")
    tools, features = cells.TOOLS, [feature.name for feature in cells.features()]
    parser.add_argument("--tool", "--rival", action="append", choices=tools, metavar="NAME")
    parser.add_argument("--feature", action="append", choices=features, metavar="NAME")
    parser.add_argument("--at-once", type=int, default=2, metavar="N", help="trials (2)")
    parser.add_argument("--json", action="store_true", help="print what was typed and what came")
    parser.add_argument("--write", action="store_true", help="keep it, and make the page anew")
    return parser.parse_args(arguments)


def try_cell(tool: cells.Tool, cell: cells.Cell) -> Dict[str, Any]:
    """Try one cell and return what is kept of it."""
    outcome = trial.attempt(tool, cell)
    said = f"{cell.verdict}: {cell.words}"
    say(f"{'ok    ' if outcome.holds else 'FAILED'} {cell.tool}, {cell.feature}: {said}")
    if not outcome.holds:
        for pattern in outcome.missing:
            say(f"    not there: {pattern!r}")
        say("".join(f"    | {line}\n" for line in outcome.printed.splitlines()))
    return {"typed": cell.run, "printed": outcome.printed, "missing": outcome.missing}


def try_tool(name: str, features: Optional[List[str]], at_once: int) -> Optional[Dict[str, Any]]:
    """Try a column, or some of it; return its results, or None if the tool is not here."""
    tool, column = cells.column(name)
    chosen = [cell for cell in column.values() if cell.run and cell.feature in (features or column)]
    if not chosen:
        return None
    lacking = trial.lacking(tool)
    if lacking:
        say(f"{name}: not tried, since {', '.join(lacking)} is not here")
        return None
    with ThreadPoolExecutor(at_once) as pool:
        results = list(pool.map(lambda cell: try_cell(tool, cell), chosen))
    named = {cell.feature: result for cell, result in zip(chosen, results)}
    return {"version": trial.version(tool), "cells": named}


def say(text: str) -> None:
    """Say something to who waits."""
    print(text, file=sys.stderr, flush=True)


def main(arguments: List[str]) -> int:
    """Try what was asked for; return 1 if a cell does not hold."""
    options = options_of(arguments)
    tried = {}
    for name in options.tool or cells.TOOLS:
        found = try_tool(name, options.feature, options.at_once)
        if found:
            tried[name] = found
    if options.json:
        print(json.dumps(tried, indent=1, ensure_ascii=False))
    entries = [entry for found in tried.values() for entry in found["cells"].values()]
    failed = sum(bool(entry["missing"]) for entry in entries)
    say(f"{len(entries)} cells tried, {failed} do not hold")
    if options.write and not failed:
        page.keep(tried)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

"""Explore scenarios: ``python -m tests.model [--large [--but NAME]] [NAME…]``."""

import argparse
import sys

from . import catalog, routine
from .explore import explore
from .rules import PRESENT


def main() -> int:
    """Explore the scenarios named, or all; return 1 if one does not hold."""
    parser = argparse.ArgumentParser(prog="python -m tests.model", description=__doc__)
    parser.add_argument("name", nargs="*", help="scenarios to explore (all small ones if none)")
    parser.add_argument("--large", action="store_true", help="explore the large ones")
    parser.add_argument("--but", action="append", default=[], help="leave this one out")
    parser.add_argument("--limit", type=int, default=0, help="give up after so many states")
    options = parser.parse_args()
    known = {**catalog.SCENARIOS, **catalog.LARGE, **catalog.BREAKING}
    failed = 0
    for name in options.name or (catalog.LARGE if options.large else catalog.SCENARIOS):
        if name in options.but:
            continue
        result = explore(known[name](PRESENT), options.limit)
        print(f"{name}: {result}", flush=True)
        failed |= bool(result.violation)
        routine.forget()
    return failed


if __name__ == "__main__":
    sys.exit(main())

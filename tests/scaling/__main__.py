"""How far spools carry: `python -m tests.scaling measure` measures, `page` writes the page.

`measure` adds rows to tests/scaling/measured.json (about four minutes a round, on a filesystem
that it makes for itself); `page` simulates (about a minute), draws the plots, and writes the tables
of docs/scaling.md. Both say on standard error what they do.
"""

import argparse
import sys
from pathlib import Path
from typing import List

from tests.benchmarks import disk
from tests.benchmarks.__main__ import compile_as_pip_does
from tests.benchmarks.bench import Bench
from tests.scaling import counts, small, steps
from tests.scaling.rows import Rows

MEASURED = Path(__file__).with_name("measured.json")
PARTS = {"small": small.measure, "steps": steps.measure, "counts": counts.measure}


def measure(options: argparse.Namespace) -> None:
    """Add rows to the file, each as soon as it is there."""
    compile_as_pip_does()
    rows = Rows(options.json)
    for part in options.parts or PARTS:
        with disk.fresh("here" if options.quick else "ext4") as (place, kind):
            rounds = 1 if options.quick else options.rounds
            PARTS[part](Bench(place, kind, options.quick, rounds, kind == "ext4"), rows)


def main(arguments: List[str]) -> int:
    """Do what was asked for."""
    parser = argparse.ArgumentParser(prog="python -m tests.scaling", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    verb = verbs.add_parser("measure", help="add rows to the file of what was measured")
    verb.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; else all")
    verb.add_argument("--rounds", type=int, default=1)
    verb.add_argument("--quick", action="store_true", help="only try that all of it runs")
    verb.add_argument("--json", default=str(MEASURED), metavar="FILE")
    verbs.add_parser("page", help="simulate, draw, and write docs/scaling.md")
    options = parser.parse_args(arguments)
    if options.verb == "measure":
        measure(options)
    else:
        from tests.scaling import report

        report.write()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

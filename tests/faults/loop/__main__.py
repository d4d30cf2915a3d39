"""``python -m tests.faults.loop [--short|--long] [--controls] [OPERATION...]``: one JSON line.

Exits with 1 where something is violated, or a negative control is not noticed.
"""

import argparse
import json
import sys

from . import controls
from .campaign import summary, timed, try_all
from .operations import OPERATIONS


def main() -> int:
    """Try the operations named, or all, and print what was tried and found."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.loop", description=__doc__)
    parser.add_argument("operation", nargs="*", help="operations to try (all if none is named)")
    parser.add_argument("--short", action="store_true", help="all operations (the default)")
    parser.add_argument("--long", action="store_true", help="the controls as well")
    parser.add_argument("--controls", action="store_true", help="run the negative controls too")
    options = parser.parse_args()
    chosen = [op for op in OPERATIONS if not options.operation or op.name in options.operation]
    tries, seconds = timed(lambda: try_all(chosen))
    for done in tries:
        for text in done.wrong:
            print(f"{done.operation}, {done.way} at {done.at}: {text}", file=sys.stderr)
    form = "long" if options.long else "short"
    line = {"campaign": "loop", "form": form, **summary(tries, seconds)}
    if options.controls or options.long:
        line["controls"] = {control.name: controls.caught(control) for control in controls.CONTROLS}
    print(json.dumps(line))
    return int(bool(line["violations"]) or not all(line.get("controls", {"": 1}).values()))


if __name__ == "__main__":
    sys.exit(main())

"""``python -m tests.faults.syscalls [--short|--long|--part K/N] [--only OP] [--controls]``.

Prints one JSON line; exits with 1 where something is violated, or a control is not noticed.
"""

import argparse
import json
import sys
import tempfile
import time
from typing import List, Tuple

from . import campaign, plan, tracing
from .operations import OPERATIONS

SHORT = 155  # tries: about 100 s on two cores


def main() -> int:
    """Try what was asked for and print what was tried and found."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.syscalls", description=__doc__)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--short", action="store_true", help=f"{SHORT} tries (the default)")
    length.add_argument("--long", action="store_true", help="all")
    length.add_argument("--tries", type=int, help="so many")
    length.add_argument("--part", type=_part, metavar="K/N", help="each N-th of all, from the K-th")
    parser.add_argument("--seconds", type=float, help="begin no try after so long")
    parser.add_argument("--only", action="append", metavar="OP", help="an operation; repeatable")
    parser.add_argument("--kind", action="append", metavar="KIND", help="a kind; repeatable")
    parser.add_argument("--controls", action="store_true", help="run the negative controls too")
    parser.add_argument("--plan", action="store_true", help="list the tries, and try nothing")
    options = parser.parse_args()
    reason = tracing.unable()
    if reason is not None:
        print(reason, file=sys.stderr)
        return 2
    known = [operation.name for operation in OPERATIONS]
    unknown = set(options.only or ()) - set(known)
    if unknown:
        parser.error(f"no such operation: {', '.join(unknown)}; there are {', '.join(known)}")
    form = "long" if options.long else "short"
    if options.part:
        form = "part {} of {}".format(*options.part)
    line = {"campaign": "syscalls", "form": form, **run(options)}
    print(json.dumps(line))
    return int(bool(line["violations"]) or not all(line.get("controls", {"": 1}).values()))


def _part(text: str) -> Tuple[int, int]:
    number, of = map(int, text.split("/"))
    if not 1 <= number <= of:
        raise ValueError(text)
    return number, of


def run(options: argparse.Namespace) -> dict:
    """Prepare, choose, try; tell of each violation as it is found."""
    chosen = [op for op in OPERATIONS if not options.only or op.name in options.only]
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="spoolq-calls-", dir=campaign.scratch()) as top:
        prepared = campaign.prepare_all(chosen, top)
        for one in prepared:
            for text in one.wrong:
                print(f"{one.operation.name}: {text}", file=sys.stderr)
        all_cases = campaign.plan(prepared)
        if options.kind:
            all_cases = [case for case in all_cases if case.kind in options.kind]
        if options.part:
            number, of = options.part
            all_cases = all_cases[number - 1 :: of]
        elif not options.long:
            all_cases = plan.short(all_cases, options.tries or SHORT)
        if options.plan:
            for case in all_cases:
                print(case, file=sys.stderr)
            all_cases = []
        tries: List[campaign.Try] = campaign.try_all(prepared, all_cases, tell, options.seconds)
        line = campaign.summary(prepared, tries, time.monotonic() - began)
    if options.controls:
        from . import controls

        line["controls"] = {control.name: controls.caught(control) for control in controls.CONTROLS}
    return line


def tell(done: campaign.Try) -> None:
    """Print a violation."""
    for text in done.wrong:
        print(f"{done.case}: {done.end}: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())

"""Measures spoolq beside what else could be used, and writes the page with the figures.

    python -m tests.benchmarks                        all parts, five rounds: hours on a slow disk
    python -m tests.benchmarks drain idle             some of them
    python -m tests.benchmarks --quick                only that all of it runs, and counts right
    python -m tests.benchmarks --json FILE ...        add the figures to FILE
    python -m tests.benchmarks --write FILE           write docs/benchmarks.md from FILE

With root each part gets a fresh filesystem of its own, on a loop device; else a temporary
directory. The first filesystem named is for all parts; the others are for those parts that depend
on it most.
"""

import argparse
import compileall
import json
import os
import signal
import sys
import tempfile
import time
import traceback
from datetime import datetime, timezone
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Dict, List, Optional

from tests.benchmarks import disk, machine
from tests.benchmarks.bench import Bench, rounded, say

PARTS = (
    "drain",
    "calls",
    "limit",
    "enqueue",
    "latency",
    "backlog",
    "idle",
    "cold",
    "recovery",
    "growth",
    "micro",
)
_LAST = "?"  # --write without a file


def options_of(arguments: List[str]) -> argparse.Namespace:
    """Return what was asked for."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(PARTS)}; else all")
    parser.add_argument("--quick", action="store_true", help="one small round; no figure counts")
    parser.add_argument("--rounds", type=int, help="how often each is measured (5)")
    parser.add_argument(
        "--filesystem", default="ext4", help=f"of {', '.join(disk.FILESYSTEMS)}; ext4 unless given"
    )
    parser.add_argument(
        "--rivals", default="all", help="parts of their names, with commas, or none (all)"
    )
    parser.add_argument("--json", metavar="FILE", help="add the figures to this file")
    parser.add_argument(
        "--write", metavar="FILE", nargs="?", const=_LAST, help="write the page; measures nothing"
    )
    options = parser.parse_args(arguments)
    unknown = [part for part in options.parts if part not in PARTS]
    unknown += [one for one in options.filesystem.split(",") if one not in disk.FILESYSTEMS]
    if unknown:
        parser.error(f"not known: {', '.join(unknown)}")
    return options


def measure(part: str, filesystem: str, options: argparse.Namespace) -> Dict[str, Any]:
    """Measure one part on one filesystem and return its entry."""
    say(f"{part} on {'whatever is there' if options.quick else filesystem}")
    began, load = time.monotonic(), os.getloadavg()[0]
    rounds = 1 if options.quick else options.rounds or 5
    rivals = tuple(options.rivals.split(","))
    module = import_module(f"tests.benchmarks.{part}")
    if options.quick:
        with tempfile.TemporaryDirectory(prefix="spoolq-bench-") as place:
            kind = disk.type_of(place)
            figures = module.measure(Bench(place, kind, True, rounds, False, rivals))
    else:
        with disk.fresh(filesystem) as (place, kind):
            is_fresh = kind == filesystem
            figures = module.measure(Bench(place, kind, False, rounds, is_fresh, rivals))
    return {
        "filesystem": kind,
        "measured_at": datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "commit": machine.commit(),
        "quick": options.quick,
        "rounds": rounds,
        "load_before": load,
        "took_s": time.monotonic() - began,
        "figures": figures,
    }


def run(options: argparse.Namespace) -> "tuple[Dict[str, Any], int]":
    """Measure what was asked for; return the document, and how many parts failed."""
    document = merged(options.json)
    document["machine"] = machine.look()
    compile_as_pip_does()
    failures = 0
    for part in options.parts or PARTS:
        everywhere = import_module(f"tests.benchmarks.{part}").EVERYWHERE
        filesystems = ["here"] if options.quick else options.filesystem.split(",")
        for filesystem in filesystems if everywhere else filesystems[:1]:
            try:
                entry = measure(part, filesystem, options)
            except Exception:
                traceback.print_exc()
                say(f"{part} on {filesystem} failed")
                failures += 1
                continue
            document["parts"].setdefault(part, {})[filesystem] = rounded(entry)
            if options.json:  # after each part, so that an hour is not lost
                keep(document, options.json)
    return document, failures


def compile_as_pip_does() -> None:
    """Leave bytecode beside the source: else each process would translate all of it anew.

    Python keeps none by itself where PYTHONDONTWRITEBYTECODE is set: 0.1 s more for each worker.
    """
    for package in find_spec("spoolq").submodule_search_locations or ():
        compileall.compile_dir(package, quiet=2)


def merged(path: Optional[str]) -> Dict[str, Any]:
    """Return the document in a file, or a new one."""
    if path and os.path.exists(path):
        document: Dict[str, Any] = json.loads(Path(path).read_text(encoding="utf-8"))
        return document
    return {"version": 1, "parts": {}}


def keep(document: Dict[str, Any], path: str) -> None:
    """Write the document whole."""
    temporary = f"{path}.new"
    Path(temporary).write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def main(arguments: List[str]) -> int:
    """Measure, print one JSON object, and write the page where that was asked for."""
    options = options_of(arguments)
    # So that a kill unwinds what is mounted and started, as Ctrl+C does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if options.write and options.write != _LAST:
        from tests.benchmarks import report

        report.write(merged(options.write))
        return 0
    document, failures = run(options)
    print(json.dumps(document, indent=2 if sys.stdout.isatty() else None))
    if options.write and not failures:
        from tests.benchmarks import report

        report.write(document)
    return 1 if failures else 0


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        say("interrupted")
        sys.exit(130)

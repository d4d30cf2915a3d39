"""All campaigns: ``python -m tests.faults [--short|--long] [CAMPAIGN...]``; a JSON line of each.

A campaign that cannot be run on this machine says why on standard error, and counts as skipped.
Exits with 1 where any of them found a violation, or did not notice a negative control.
"""

import argparse
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Dict, Sequence, Tuple

#: The longest first, so that two at once end at about the same time.
CAMPAIGNS: Dict[str, Sequence[str]] = {
    "power": (),
    "syscalls": ("--controls",),
    "storms": (),
    "storage": (),
    "hosts": (),
    "hostile": (),
    "clocks": (),
    "events": (),
    "permissions": (),
    "loop": ("--controls",),
}
UNABLE = 2  # the exit code of a campaign that cannot be run here


def run(campaign: str, length: str) -> Tuple[int, str]:
    """Run a campaign as a process of its own; pass on what it says; return its exit code too."""
    began = time.monotonic()
    words = [sys.executable, "-m", f"tests.faults.{campaign}", length, *CAMPAIGNS[campaign]]
    done = subprocess.run(words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
    how = {0: "ok", UNABLE: "SKIPPED"}.get(done.returncode, f"FAILED (exit {done.returncode})")
    print(done.stdout, end="", flush=True)
    print(f"{campaign}: {how}, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return done.returncode, done.stdout


def main() -> int:
    """Run the campaigns that are named, or all."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--short", action="store_true", help="about five minutes (as if not given)")
    how.add_argument("--long", action="store_true", help="several hours")
    parser.add_argument("--at-once", type=int, default=1, metavar="N", help="N at the same time")
    parser.add_argument("campaign", nargs="*", help=f"of {', '.join(CAMPAIGNS)}; all if none is")
    options = parser.parse_args()
    unknown = sorted(set(options.campaign) - set(CAMPAIGNS))
    if unknown:
        parser.error(f"no such campaign: {', '.join(unknown)}; there are {', '.join(CAMPAIGNS)}")
    length = "--long" if options.long else "--short"
    with ThreadPoolExecutor(options.at_once) as pool:
        chosen = options.campaign or [*CAMPAIGNS]
        ends = dict(zip(chosen, pool.map(lambda name: run(name, length), chosen)))
    failed = {name: said for name, (code, said) in ends.items() if code not in (0, UNABLE)}
    for name, said in failed.items():  # once more: with two at once it stands far above
        print(f"{name} FAILED, and said: {said}", file=sys.stderr, flush=True)
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())

"""All campaigns: ``python -m tests.faults [--short|--long] [CAMPAIGN...]``; a JSON line of each.

A campaign that cannot be run on this machine says why on standard error, and counts as skipped.
Exits with 1 where any of them found a violation, or did not notice a negative control.
"""

import argparse
import os
import subprocess
import sys
import time

#: In the order of how long their short forms take. `loop` is part of pytest as well.
CAMPAIGNS = (
    "events",
    "clocks",
    "permissions",
    "hostile",
    "storage",
    "storms",
    "syscalls",
    "power",
    "loop",
)
UNABLE = 2  # the exit code of a campaign that cannot be run here


def main() -> int:
    """Run the campaigns that are named, or all, one after the other."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--short", action="store_true", help="about five minutes (the default)")
    length.add_argument("--long", action="store_true", help="several hours")
    parser.add_argument("campaign", nargs="*", help=f"of {', '.join(CAMPAIGNS)}; all if none is")
    options = parser.parse_args()
    unknown = sorted(set(options.campaign) - set(CAMPAIGNS))
    if unknown:
        parser.error(f"no such campaign: {', '.join(unknown)}; there are {', '.join(CAMPAIGNS)}")
    ends = {}
    for campaign in options.campaign or CAMPAIGNS:
        began = time.monotonic()
        words = [sys.executable, "-m", f"tests.faults.{campaign}"]
        done = subprocess.run([*words, "--long" if options.long else "--short"], env=os.environ)
        ends[campaign] = done.returncode
        how = {0: "ok", UNABLE: "SKIPPED"}.get(done.returncode, f"FAILED (exit {done.returncode})")
        print(f"{campaign}: {how}, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return int(any(code not in (0, UNABLE) for code in ends.values()))


if __name__ == "__main__":
    sys.exit(main())

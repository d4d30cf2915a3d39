"""Cut the power: ``python -m tests.faults.power [--short|--long] [--fs ext4,xfs,btrfs]``.

Prints one line of JSON; exits with 1 where a promise was broken, a recording failed or a negative
control was not noticed, and with 2 where no power can be cut on this machine.
"""

import argparse
import json
import os
import sys
import time

from . import cuts, machine, plan


def main() -> int:
    """Run what is asked for and print what was tried and found."""
    parser = argparse.ArgumentParser(prog="python -m tests.faults.power", description=__doc__)
    how = parser.add_mutually_exclusive_group()
    how.add_argument("--short", action="store_true", help="about two minutes (as if not given)")
    how.add_argument("--long", action="store_true", help="10,000 states and more")
    how.add_argument("--cuts", type=int, metavar="N", help="kill N guests on one image instead")
    parser.add_argument("--fs", default=",".join(machine.FILESYSTEMS), help="which, with commas")
    options = parser.parse_args()
    filesystems = [fs for fs in machine.FILESYSTEMS if fs in options.fs.split(",")]
    if machine.missing() and os.environ.get("SPOOLQ_TEST_INSTALL") == "1":
        machine.install()
    if machine.missing():
        print(machine.missing(), file=sys.stderr)
        return 2
    started = time.monotonic()
    if options.cuts:
        line = cuts.perform(filesystems, options.cuts)
    else:
        line = plan.perform((plan.long if options.long else plan.short)(filesystems))
    form = "cuts" if options.cuts else "long" if options.long else "short"
    line = {"campaign": "power", "form": form, **line}
    line["seconds"] = round(time.monotonic() - started, 1)
    print(json.dumps(line))
    return int(not plan.is_good(line))


if __name__ == "__main__":
    sys.exit(main())

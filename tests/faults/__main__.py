"""All campaigns: ``python -m tests.faults [--short|--long] [CAMPAIGN...]``; a JSON line of each.

A campaign that cannot be run on this machine says why on standard error, and counts as skipped.
Exits with 1 where any of them found a violation, or did not notice a negative control.
"""

import argparse
import subprocess
import sys
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from typing import Deque, Dict, Sequence, Tuple

#: The longest first, so that two at once end at about the same time.
CAMPAIGNS: Dict[str, Sequence[str]] = {
    "power": (),
    "syscalls": ("--controls",),
    "storms": (),
    "forwarding": (),
    "storage": (),
    "batch": (),
    "hosts": (),
    "hostile": (),
    "clocks": (),
    "events": (),
    "permissions": (),
    "loop": ("--controls",),
}
_LAST = 8  # lines of standard error that are told once more
UNABLE = 2  # the exit code of a campaign that cannot be run here


def run(campaign: str, length: str) -> Tuple[int, str]:
    """Run a campaign as a process of its own; pass on what it says.

    Returns:
        its exit code, and in one line what it said last: of its violations, then of all it did.
    """
    began = time.monotonic()
    words = [sys.executable, "-m", f"tests.faults.{campaign}", length, *CAMPAIGNS[campaign]]
    pipe = subprocess.PIPE
    last: Deque[str] = deque(maxlen=_LAST)
    with subprocess.Popen(
        words, stdin=subprocess.DEVNULL, stdout=pipe, stderr=pipe, text=True, errors="replace"
    ) as process, ThreadPoolExecutor(1) as reader:
        output = reader.submit(process.stdout.read)
        for line in process.stderr:
            print(line, end="", file=sys.stderr, flush=True)
            last.append(line.strip())
    code = process.returncode
    how = {0: "ok", UNABLE: "SKIPPED"}.get(code, f"FAILED (exit {code})")
    print(output.result(), end="", flush=True)
    print(f"{campaign}: {how}, {time.monotonic() - began:.0f} s", file=sys.stderr, flush=True)
    return code, f"{' | '.join(last)} {output.result()}"


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

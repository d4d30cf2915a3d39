"""Cases for a kernel that can do more than this machine's: each runs in a guest of its own.

The guest is user-mode Linux, as in the power campaign; its root is this machine's, read-only, so
that the case itself (`inside`) runs there with the same bench and the same judge.
"""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Callable, Dict, List, Optional

from .. import uml
from ..cases import Bench, Case
from ..place import REPOSITORY
from ..power import machine

HERE = Path(__file__).resolve().parent
_SIZE = "400M"  # of holes: xfs wants 300
_LAST = "OUTCOME "  # how the line begins that tells what came of a case


def unable(*programs: str) -> Optional[str]:
    """Say why no guest can be started, or None."""
    absent = [name for name in programs if not uml.find(name)]
    if machine.missing() or absent:
        return machine.missing() or f"these programs are not here: {' '.join(absent)}"
    return None


def case(inner: Case, *programs: str, is_long: bool = True) -> Case:
    """Return a case that runs one of those of `inside` in a guest."""
    return inner._replace(
        perform=_perform(inner), unable=lambda: unable(*programs), is_long=is_long
    )


def _perform(inner: Case) -> Callable[[Bench], None]:
    def perform(bench: Bench) -> None:
        disk = os.path.join(bench.place.top, "guest.img")
        uml.run("truncate", "-s", _SIZE, disk)
        process = _boot(inner.name, bench.long, bench.place.top, disk)
        said: List[str] = []
        try:
            for line in uml.lines(process, 1200):
                said.append(line)
                if line == "GUEST-DONE":
                    break
        finally:
            uml.cut(process)
        outcomes = [json.loads(line[len(_LAST) :]) for line in said if line.startswith(_LAST)]
        if not outcomes:
            raise OSError("the guest failed: " + " | ".join(said[-15:]))
        for outcome in outcomes:
            bench.wrong += outcome["wrong"]
            for what, number in outcome["tried"].items():
                bench.count(what, number)
        bench.count("guests")

    return perform


def _boot(name: str, long: bool, directory: str, disk: str) -> "subprocess.Popen[bytes]":
    facts: Dict[str, str] = {
        "case": name.replace(" ", "_"),
        "form": "long" if long else "short",
        "python": sys.executable,
        "path": REPOSITORY,
    }
    init = str(HERE / "guest_init.sh")
    return uml.boot(init, directory, facts, memory="384M", disks=[disk])


def tell(outcome: object) -> None:
    """Say, in the guest, what came of a case."""
    print(_LAST + json.dumps(outcome), flush=True)

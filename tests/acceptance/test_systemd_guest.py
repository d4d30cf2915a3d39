"""The units under a real systemd: the init of a user-mode Linux, whose root is this machine's.

What each step has to tell is beside it in guest/check.sh.
"""

import os
import sys
from pathlib import Path

import pytest

from tests.conftest import CAMPAIGNS, NOT_ASKED_FOR, REPOSITORY
from tests.faults import uml

HERE = Path(__file__).resolve().parent / "guest"
MISSING = [
    name
    for name, there in {
        "user-mode-linux": uml.find("linux.uml"),
        "systemd": os.path.exists("/lib/systemd/systemd"),
        "a path without blanks": " " not in str(REPOSITORY) + sys.executable,
    }.items()
    if not there
]


def boot(directory):
    """Start the guest in a session of its own, so that it can be killed whole."""
    facts = {"python": sys.executable, "path": REPOSITORY, "here": HERE}
    return uml.boot(str(HERE / "init.sh"), str(directory), facts, memory="384M")


@pytest.mark.skipif(not CAMPAIGNS, reason=NOT_ASKED_FOR)
@pytest.mark.skipif(bool(MISSING), reason=f"not here: {', '.join(MISSING)}")
def test_units_do_what_they_say_under_a_real_systemd(tmp_path):
    guest = boot(tmp_path)
    said = []
    try:
        for line in uml.lines(guest, 400):
            said.append(line)
            if line == "GUEST-DONE":
                break
    finally:
        uml.cut(guest)
        guest.stdout.close()
    told = [line[len("TOLD ") :] for line in said if line.startswith("TOLD ")]
    assert told == [
        "ready active",
        "long processing",
        "stopped success in time",
        "interrupted pending",
        "watchdog watchdog",
        "anew active",
        "waiting waiting",
        "arrived completed",
        "left inactive",
        "dropped completed",
        "left inactive",
        "later yes pending",
        "quiet yes",
        "unseen completed",
        "purged success 0",
    ], "\n".join(said[-40:])

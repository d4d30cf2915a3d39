"""``python -m tests.faults.storage [--short|--long] [--only CASE]``: one JSON line.

All mounts are made in a mount namespace of this process, and go with it.
"""

import os
import sys

from ..cases import main
from . import CASES, disks

if not disks.unable() and os.environ.get(disks.APART) != "1":
    os.environ[disks.APART] = "1"
    words = ["unshare", "--mount", "--propagation", "private", sys.executable, "-m"]
    os.execvp("unshare", [*words, "tests.faults.storage", *sys.argv[1:]])
sys.exit(main("storage", CASES, at_once=3))

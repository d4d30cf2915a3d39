"""``python -m tests.faults.hosts [--short|--long] [--only CASE]``: one JSON line.

The hosts are on a network of this process, in a namespace of its own, as all mounts are.
"""

import sys

from ..cases import main
from . import CASES, cluster

if __name__ == "__main__":
    cluster.go_apart("tests.faults.hosts")
    sys.exit(main("hosts", CASES, at_once=3))

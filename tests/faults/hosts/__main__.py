"""``python -m tests.faults.hosts [--short|--long] [--only CASE]``: one JSON line.

The hosts are on a network of this process, in a namespace of its own, as all mounts are.
"""

import os
import sys

from ..apart import install
from ..cases import main
from . import CASES, cluster

if os.geteuid() == 0 and os.environ.get(cluster.APART) != "1" and cluster.uml.find("unshare"):
    install(*cluster.PACKAGES, "sshfs", "openssh-sftp-server")
    os.environ[cluster.APART] = "1"
    words = ["unshare", "--net", "--mount", "--propagation", "private", sys.executable, "-m"]
    os.execvp("unshare", [*words, "tests.faults.hosts", *sys.argv[1:]])
sys.exit(main("hosts", CASES, at_once=3))

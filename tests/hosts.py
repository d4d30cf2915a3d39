"""Workers of other hosts, as far as one machine can have them."""

import os

from spoolq import lease


def elsewhere(spool, host="web2", renews=60.0):
    """Return the lease of a worker of another kernel, whose lock is out of sight."""
    card = {"count": 1, "host": host, "boot": f"the kernel of {host}"}
    own = lease.Lease.start(spool, card, renews=renews)
    os.close(own._lock)  # as a server does with the locks of a host that is cut off
    own._lock = os.open(os.devnull, os.O_RDONLY)
    return own


def beat(own):
    """Let a worker's file change, as each of its beats does."""
    path = os.path.join(own.dir.path, lease.CARD)
    before = os.stat(path).st_mtime_ns
    while os.stat(path).st_mtime_ns == before:  # within a tick of the filesystem's clock
        with open(path, "r+b") as file:
            file.seek(-1, os.SEEK_END)
            file.write(b"\n")

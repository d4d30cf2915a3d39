"""How many jobs a worker runs at a time, changed while it lives: a file `count.N` in its directory.

Of several the newest counts. A request is removed when worker.json says what has come of it: so
who asks sees by that whether the number is in force.
"""

from __future__ import annotations

import re
from typing import Dict, Sequence, Tuple

from spoolq.executors import Executor, Resizable
from spoolq.layout import put_away
from spoolq.lease import Lease
from spoolq.logs import logger

MOST = 10_000
_COUNT = re.compile(r"count\.([1-9]\d{0,4})", re.ASCII)


def of_count(count: int) -> str:
    """Return the name of the request to run so many jobs at a time."""
    return f"count.{count}"


def resize(own: Lease, executor: Executor, asked: Sequence[str]) -> None:
    """Heed requests that lie in a worker's directory.

    Raises:
        OSError: they cannot be seen, or removed, just now.
    """
    there: Dict[str, Tuple[int, int]] = {}
    for request in asked:
        match = _COUNT.fullmatch(request)
        count = int(match.group(1)) if match else 0
        try:
            made_at = own.dir.stat(request).st_mtime_ns
        except FileNotFoundError:
            continue  # heeded, and still in what is remembered of the directory
        there[request] = (made_at, count if count <= MOST else 0)
    if not there:
        return
    _, count = max(there.values())
    if count and not isinstance(executor, Resizable):
        logger.warning("asked to run %d at a time, and this executor has no such number", count)
    elif count and isinstance(executor, Resizable):
        executor.resize(count)
        if not own.show(count=count):
            return  # tried again a second later
        logger.info("%d at a time from now on", count)
    for request in there:
        put_away(own.dir, request, own.spool.dir("tmp"))

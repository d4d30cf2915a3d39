"""Directories that a spool has only once something in it needs them."""

from __future__ import annotations

from typing import Optional

from spoolq.fsio import Dir
from spoolq.layout import Layout


def opened(spool: Layout, name: str) -> Optional[Dir]:
    """Return a directory of the spool, or None where there is none yet.

    Raises:
        StorageFailed: what has this name is no directory, or on another filesystem.
    """
    return spool.dir(name) if spool.root.has(name) else None


def made(spool: Layout, name: str) -> Dir:
    """Return a directory of the spool, made where there is none yet, durably.

    Raises:
        StorageFailed: as `opened`.
    """
    try:
        spool.root.make_dir(name)
    except FileExistsError:
        return spool.dir(name)
    spool.root.sync()
    return spool.dir(name)

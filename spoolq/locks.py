"""Locks that the kernel frees when their holder dies; portalocker takes them.

A lock belongs to the open file and is inherited with it, which is the point: a run holds its
slot's lock as long as anything of it lives. So a lock is let go by closing, never by unlocking,
which would unlock it for the heirs too. flock-style locks alone: POSIX record locks vanish when
any descriptor of the file closes.

portalocker is imported on first use: it costs more than starting Python.
"""

from __future__ import annotations

import os
import sys
import time
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Iterator, Optional

from spoolq.errors import Busy
from spoolq.fsio import Dir

_POLL = 0.01


def try_lock(descriptor: int, *, shared: bool = False) -> bool:
    """Take a lock without waiting; False if somebody else holds it.

    Raises:
        OSError: locks do not work here.
    """
    portalocker = _portalocker()
    try:
        portalocker.lock(descriptor, _flags(shared))
    except portalocker.AlreadyLocked:
        return False
    except portalocker.LockException as error:
        cause = error.__cause__ or error.__context__
        raise cause if isinstance(cause, OSError) else OSError(37, str(error)) from error
    return True


def unlock(descriptor: int) -> None:
    """Free a lock for all who have inherited it, too."""
    portalocker = _portalocker()
    try:
        portalocker.unlock(descriptor)
    except (OSError, portalocker.LockException):
        pass  # closing it is all that is left


@lru_cache(maxsize=None)
def _portalocker() -> Any:
    """Import portalocker, even where no temporary file could be made, as on a full system disk.

    As it is imported it asks where temporary files go, for its defaults; here none is made.
    """
    try:
        import portalocker
    except FileNotFoundError:
        defaults: Any = sys.modules["tempfile"]
        defaults.tempdir = os.curdir
        try:
            import portalocker
        finally:
            defaults.tempdir = None
    return portalocker


@lru_cache(maxsize=None)
def _flags(shared: bool) -> Any:
    """Return portalocker's flags; putting its enum together costs ten times the lock itself."""
    from portalocker import LockFlags

    return (LockFlags.SHARED if shared else LockFlags.EXCLUSIVE) | LockFlags.NON_BLOCKING


def taken(descriptor: int) -> Optional[int]:
    """Return an open file's descriptor with its lock taken; None, and it is closed, if it is not.

    Raises:
        OSError: locks do not work here.
    """
    is_taken = False
    try:
        is_taken = try_lock(descriptor)
    finally:
        if not is_taken:
            os.close(descriptor)
    return descriptor if is_taken else None


@contextmanager
def held(directory: Dir, name: str, *, patience: float = 10.0) -> Iterator[None]:
    """Hold the lock of a file that stays: made where absent, never removed.

    Args:
        patience: seconds to wait for it.

    Raises:
        Busy: somebody else held it all that time.
    """
    try:
        descriptor = directory.create(name)
    except FileExistsError:
        descriptor = directory.open_lock(name)
    try:
        deadline = time.monotonic() + patience
        while not try_lock(descriptor):
            if time.monotonic() > deadline:
                raise Busy(f"somebody holds {os.path.join(directory.path, name)}")
            time.sleep(_POLL)
        yield
    finally:
        let_go(descriptor)


def let_go(descriptor: int) -> None:
    """Let a lock go by closing its descriptor; what close reports of it tells nothing."""
    try:
        os.close(descriptor)
    except OSError:
        pass  # on network filesystems close may report what others wrote; the lock is gone anyway

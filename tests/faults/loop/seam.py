"""A stand-in for what `fsio` calls: it counts, and at the n-th call it fails or dies.

`FaultyOs` wraps `fsio.os` and `fsio.platform`; whatever it does not count passes through. Each call
that has its effect is also written into a trace, by inode, so that the order of writes, syncs and
renames can be judged afterwards.
"""

import errno
import os
from contextlib import contextmanager
from typing import Any, Callable, Dict, List, NamedTuple, Optional

from spoolq import fsio

#: The calls that change what is on the disk. An `open` counts where it creates.
COUNTED = frozenset(
    "rename replace link unlink rmdir mkdir open write fsync fdatasync fchmod "
    "rename_noreplace sync_filesystem".split()
)
_MOVES = frozenset("rename replace link rename_noreplace".split())
_NEVER_FULL = frozenset("unlink rmdir fchmod".split())  # what a full disk still allows


class Died(BaseException):
    """The process ends here: raised where a test has no process to spare."""


def raise_died() -> None:
    """Die within a process; what cleans up on the way out does so, which a real death does not."""
    raise Died


class Plan(NamedTuple):
    """What happens at the `at`-th counted call; 0 means nothing ever."""

    at: int = 0
    how: str = "error"  # "error", "errors" from then on, "die before" or "die after" the effect
    code: int = errno.EIO


class Seam:
    """The count, the plan and the trace that the wrapped modules share."""

    def __init__(
        self,
        plan: Plan = Plan(),  # noqa: B008 - a plan cannot change
        die: Callable[[], Any] = raise_died,
        *,
        has_noreplace: bool = True,
    ) -> None:
        self.plan = plan
        self.armed = False
        self.count = 0
        self.trace: List[Dict[str, Any]] = []
        self._die = die
        self._has_noreplace = has_noreplace

    @property
    def reached(self) -> bool:
        """Say whether the plan's call has come."""
        return 0 < self.plan.at <= self.count

    @contextmanager
    def installed(self):
        """Put the stand-ins in the place of `fsio.os` and `fsio.platform`."""
        real = fsio.os, fsio.platform
        fsio.os, fsio.platform = FaultyOs(self, real[0]), FaultyOs(self, real[1])
        try:
            yield self
        finally:
            fsio.os, fsio.platform = real

    @contextmanager
    def aside(self):
        """Let operations pass uncounted: they only prepare what is to be tried."""
        armed, self.armed = self.armed, False
        try:
            yield
        finally:
            self.armed = armed

    def told(self, what: str) -> None:
        """Note in the trace that something was promised to the caller here."""
        self.trace.append({"call": what})

    def call(self, name: str, real: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Make a call as the plan has it."""
        if name == "rename_noreplace" and not self._has_noreplace:
            return False
        if not self.armed or not _changes(name, args):
            return real(*args, **kwargs)
        self.count += 1
        here = self.count == self.plan.at
        self._fail_or_die(name, args, here)
        event = _describe(name, args, kwargs)
        result = real(*args, **kwargs)
        if name == "open":
            event["ino"] = os.fstat(result).st_ino
        self.trace.append(event)
        if here and self.plan.how == "die after":
            self._die()
        return result

    def _fail_or_die(self, name: str, args: Any, here: bool) -> None:
        if here and self.plan.how == "die before":
            self._die()
        failing = here and self.plan.how == "error"
        failing |= self.reached and self.plan.how == "errors"
        if failing and not (self.plan.code == errno.ENOSPC and name in _NEVER_FULL):
            where = args[0] if isinstance(args[0], str) else None
            raise OSError(self.plan.code, os.strerror(self.plan.code), where)


class FaultyOs:
    """Stands in for a module; calls that count go by way of the seam."""

    def __init__(self, seam: Seam, real: Any) -> None:
        self._seam = seam
        self._real = real

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._real, name)
        if name not in COUNTED:
            return value
        return lambda *args, **kwargs: self._seam.call(name, value, args, kwargs)


def _changes(name: str, args: Any) -> bool:
    return name != "open" or bool(args[1] & os.O_CREAT)


def _describe(name: str, args: Any, kwargs: Dict[str, Any]) -> Dict[str, Any]:
    """Say by inode what a call is about to do."""
    event: Dict[str, Any] = {"call": name, "args": [arg for arg in args if isinstance(arg, str)]}
    if name in _MOVES:
        from_dir, to_dir = kwargs.get("src_dir_fd"), kwargs.get("dst_dir_fd")
        if name == "rename_noreplace":
            from_dir, to_dir = args[2], args[3]
        event["ino"] = _inode_of(args[0], from_dir)
        event["from"], event["into"] = (_inode(from_dir), _inode(to_dir))
    elif args and isinstance(args[0], int):
        event["ino"] = os.fstat(args[0]).st_ino
    return event


def _inode(descriptor: Optional[int]) -> Optional[int]:
    return None if descriptor is None else os.fstat(descriptor).st_ino


def _inode_of(name: str, directory: Optional[int]) -> Optional[int]:
    try:
        return os.stat(name, dir_fd=directory, follow_symlinks=False).st_ino
    except OSError:
        return None

"""What has not changed since it was looked at need not be read again.

The times that `stat` tells say so, once they have stood for a while: within one tick of the
filesystem's clock a second change leaves the same times behind.
"""

from __future__ import annotations

import os
from typing import Callable, Generic, Optional, Tuple, TypeVar

#: Seconds in which something can change under the same times: measured 4 ms; and where they are
#: whole seconds, up to the two of FAT.
_FINE, _COARSE = 0.05, 2.1

_ANEW = 60.0  # seconds: on some network filesystems times and listings come from two memories
_MTIME = 3

T = TypeVar("T")


class Glance:
    """When a file or directory was looked at, and what it looked like."""

    def __init__(self, stat: Callable[[], os.stat_result], monotonic: Callable[[], float]) -> None:
        self._stat = stat
        self._monotonic = monotonic
        self._seen: Optional[Tuple[int, ...]] = None  # None: nothing, so nothing is known of it
        self._since = 0.0  # when it first looked so
        self._looked = 0.0

    def look(self) -> None:
        """Remember what it looks like: to be called before it is read."""
        now, seen = self._monotonic(), self._looks()
        if self._seen != seen:
            self._seen, self._since = seen, now
        self._looked = now

    def may_differ(self) -> bool:
        """Say whether there may be something that the last look did not see."""
        seen = self._seen
        if not seen:
            return seen is None or self._looks() != seen
        tick = _FINE if seen[_MTIME] % 1_000_000_000 else _COARSE
        return self._looked - self._since < tick or self._looks() != seen

    def forget(self) -> None:
        """Take it for changed: what was read at the last look was not all."""
        self._seen = None

    def age(self) -> float:
        """Return the seconds since the last look."""
        return self._monotonic() - self._looked

    def _looks(self) -> Optional[Tuple[int, ...]]:
        try:
            info = self._stat()
        except FileNotFoundError:
            return ()
        except OSError:  # it cannot be seen: whoever reads it is told why
            return None
        return (info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)


class Remembered(Generic[T]):
    """What was read of a file or directory; read anew only when that may differ, or is old."""

    def __init__(
        self,
        read: Callable[[], T],
        stat: Callable[[], os.stat_result],
        monotonic: Callable[[], float],
    ) -> None:
        self._read = read
        self._glance = Glance(stat, monotonic)
        self._value: Optional[T] = None

    def __call__(self) -> T:
        """Return it as it is now; raises what reading it raises."""
        if self._value is None or self._glance.may_differ() or self._glance.age() >= _ANEW:
            self._value = None
            self._glance.look()
            self._value = self._read()
        return self._value

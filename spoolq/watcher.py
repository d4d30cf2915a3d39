"""File events become names that have arrived in pending/, and rings where there is no name.

Events are a doorbell and a scan is the truth. A name saves a scan, and is believed no further: it
is claimed by a rename, which fails where there is no such job. So a lost, doubled or wrong event
costs time, never a job. Where there are no events (network filesystems, inotify limits) the worker
looks once a second, which it does anyway.
"""

from __future__ import annotations

import os
from typing import Any, Callable, Optional

from spoolq import platform
from spoolq.logs import logger

_TRY_AGAIN = 60  # checks, one a second, after which events are tried again


class Watcher:
    """Tells of arrivals in one directory, and is mended when it has broken."""

    def __init__(self, path: str, ring: Callable[[], None], tell: Callable[[str], None]) -> None:
        self._path = path
        self._ring = ring
        self._tell = tell
        self._observer: Any = None
        self._inode = -1
        self._complained = False
        self._checks = 0
        self._wanted = False

    def start(self) -> None:
        """Begin to watch; the caller scans after this, so that nothing falls in between."""
        self._wanted = True
        kind = platform.network_filesystem(self._path)
        if kind is not None:
            self._complain(f"no events of other hosts on {kind}")
            return
        try:
            self._inode = os.stat(self._path).st_ino
            self._observer = _observe(self._path, self._ring, self._tell)
            platform.keep_from_commands()
        except Exception as error:  # whatever watchdog meets, looking once a second still works
            self._observer = None
            self._complain(str(error))

    @property
    def watches(self) -> bool:
        """Whether events can come; else the worker looks once a second."""
        return self._observer is not None

    def check(self) -> None:
        """Rebuild what has died: a thread, or a watch on a directory that is another now."""
        if not self._wanted:
            return
        if self._observer is None:
            self._checks += 1
            if self._checks % _TRY_AGAIN == 0:
                self.start()
            return
        try:
            same = os.stat(self._path).st_ino == self._inode
        except OSError:
            same = False
        emitters = list(self._observer.emitters)
        alive = self._observer.is_alive() and emitters and all(e.is_alive() for e in emitters)
        if not (same and alive):
            self.stop()
            self.start()
            self._ring()

    def stop(self) -> None:
        """Watch no more."""
        observer, self._observer = self._observer, None
        if observer is not None and observer.is_alive():
            observer.stop()
            observer.join(2)

    def _complain(self, reason: str) -> None:
        if not self._complained:
            logger.warning("no file events (%s); looking once a second instead", reason)
            self._complained = True


def _observe(path: str, ring: Callable[[], None], tell: Callable[[str], None]) -> Any:
    """Start a watchdog observer that tells what arrives in `path`, or rings."""
    from watchdog.events import FileSystemEventHandler
    from watchdog.observers import Observer

    class Doorbell(FileSystemEventHandler):
        def dispatch(self, event: Any) -> None:
            ring()  # never raises: an error here would end watchdog's thread for good

    def arrived(event: Any) -> None:
        what = os.fsdecode(event.src_path or event.dest_path)
        directory, name = os.path.split(what)
        if directory == path:
            tell(name)
        elif what != path or event.event_type != "modified":
            ring()  # that the directory itself has changed goes with each arrival, and adds nothing

    observer = _arrivals_observer(arrived) or Observer()
    observer.schedule(Doorbell(), path, recursive=False)
    observer.daemon = True
    observer.start()
    return observer


def _arrivals_observer(arrived: Callable[[Any], None]) -> Optional[Any]:
    """Return an observer that asks inotify for arrivals alone, or None where that cannot be made.

    A rename *out* of a watched directory, and so every claim, would hold up later events by half
    a second: watchdog waits for the other half of the move (measured with 4.0 to 7.1). And an
    event is told as it is read: what would pass it on to its handler is one more thread on the way.
    """
    if not platform.LINUX:
        return None
    try:
        from watchdog.observers.api import DEFAULT_OBSERVER_TIMEOUT, BaseObserver
        from watchdog.observers.inotify import InotifyEmitter
        from watchdog.observers.inotify_c import InotifyConstants

        mask = (
            InotifyConstants.IN_MOVED_TO
            | InotifyConstants.IN_CREATE
            | InotifyConstants.IN_CLOSE_WRITE
            | InotifyConstants.IN_DELETE_SELF
        )
    except (ImportError, AttributeError):
        return None

    class ArrivalsEmitter(InotifyEmitter):
        def get_event_mask_from_filter(self) -> Any:
            return mask

        def queue_event(self, event: Any) -> None:
            arrived(event)

    return BaseObserver(ArrivalsEmitter, timeout=DEFAULT_OBSERVER_TIMEOUT)

"""Tells who looks at a spool that something has changed, once until it is asked again.

Where inotify can be asked, the kernel drops each watch with its first event: a spool in which a
thousand jobs a second move costs its lookout no more than one that moves once between two looks.
(`watcher` cannot serve here: it reads every event, since each names a job to claim.) As there,
events are a doorbell and a look is the truth; where there are none, `trouble` says why, and the
looker looks once a second.
"""

from __future__ import annotations

import os
from typing import Any, Callable, Dict, Iterable, Optional

from spoolq import platform


class Lookout:
    """Rings once when one of several places has changed, until it is asked again.

    With inotify there is no thread: `descriptor` becomes readable, and is to be heard then.
    Elsewhere watchdog's observer watches the whole spool and rings from its own thread.
    """

    def __init__(self, root: str, ring: Callable[[], None]) -> None:
        self._root = root
        self._ring = ring
        self._inotify: Any = None
        self._observer: Any = None
        self._watches: Dict[str, int] = {}  # by path; each may have been dropped by the kernel
        #: Becomes readable when something has changed, where there is such a thing.
        self.descriptor: Optional[int] = None
        #: Why no events can come, so that the looker looks once a second; None where they can.
        self.trouble: Optional[str] = "not started"

    def start(self) -> None:
        """Begin; what is to be watched is said by `ask`."""
        kind = platform.network_filesystem(self._root)
        if kind is not None:
            self.trouble = f"no events of other hosts on {kind}"
            return
        try:
            self._inotify = inotify_calls()
            if self._inotify is None:
                self._observer = _observe_all(self._root, self._ring)
            else:
                self.descriptor = self._inotify.open()
            self.trouble = None
        except Exception as error:  # whatever watchdog meets, looking once a second still works
            self.trouble = str(error)

    def ask(self, directories: Iterable[str], files: Iterable[str]) -> None:
        """Ask to be told once of the next change; the caller looks after this.

        Args:
            directories: whose entries are meant, as they come, go or are written.
            files: whose content is meant, or that of the files in a directory.
        """
        if self.descriptor is None:
            return
        calls = self._inotify
        wanted = {**dict.fromkeys(files, calls.CONTENT), **dict.fromkeys(directories, calls.MOVES)}
        for path in self._watches.keys() - wanted.keys():
            calls.remove(self.descriptor, self._watches.pop(path))
        self.trouble = None
        for path, mask in wanted.items():
            try:
                self._watches[path] = calls.add(self.descriptor, path, mask)
            except (FileNotFoundError, NotADirectoryError):
                pass  # whoever looks sees that it is not there
            except OSError as error:
                self.trouble = str(error)

    def hear(self) -> None:
        """Ring, and forget what made `descriptor` readable."""
        assert self.descriptor is not None
        try:
            os.read(self.descriptor, 65536)  # nobody asks what it was: a look tells
        except BlockingIOError:
            pass
        self._ring()

    def stop(self) -> None:
        """Watch no more."""
        descriptor, self.descriptor = self.descriptor, None
        observer, self._observer = self._observer, None
        if descriptor is not None:
            os.close(descriptor)
        if observer is not None:
            observer.stop()
            observer.join(2)


def inotify_calls() -> Optional[Any]:
    """Return what can be asked of inotify, through watchdog's own binding of it; None elsewhere."""
    if not platform.LINUX:
        return None
    try:
        import ctypes

        from watchdog.observers import inotify_c
        from watchdog.observers.inotify_c import InotifyConstants as Bit

        once = Bit.IN_ONESHOT
        gone = Bit.IN_DELETE_SELF | Bit.IN_MOVE_SELF
        moves = Bit.IN_MOVE | Bit.IN_CREATE | Bit.IN_DELETE | Bit.IN_CLOSE_WRITE
        content = Bit.IN_MODIFY | Bit.IN_MOVED_TO
        _ = inotify_c.inotify_init, inotify_c.inotify_add_watch, inotify_c.inotify_rm_watch
    except (ImportError, AttributeError):
        return None

    def checked(result: int, path: Optional[str] = None) -> int:
        if result < 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
        return result

    class Calls:
        MOVES = moves | gone | once
        ARRIVALS = Bit.IN_MOVED_TO | Bit.IN_CREATE | Bit.IN_DELETE_SELF | Bit.IN_MOVE_SELF
        CONTENT = content | gone | once

        @staticmethod
        def open() -> int:
            descriptor = checked(inotify_c.inotify_init())
            os.set_inheritable(descriptor, False)
            os.set_blocking(descriptor, False)
            return descriptor

        @staticmethod
        def add(descriptor: int, path: str, mask: int) -> int:
            return checked(inotify_c.inotify_add_watch(descriptor, os.fsencode(path), mask), path)

        @staticmethod
        def remove(descriptor: int, watch: Any) -> None:
            inotify_c.inotify_rm_watch(descriptor, watch)  # it may be gone, which is as well

    return Calls


def _observe_all(root: str, ring: Callable[[], None]) -> Any:
    """Start a watchdog observer that rings for whatever changes in a spool."""
    from watchdog.events import FileSystemEventHandler
    from watchdog.observers import Observer

    class Doorbell(FileSystemEventHandler):
        def dispatch(self, event: Any) -> None:
            # Who looks opens and closes locks, and must not wake himself by that.
            kind = event.event_type
            if kind in ("created", "deleted", "moved") or (
                kind == "modified" and not event.is_directory
            ):
                ring()

    observer = Observer()
    observer.schedule(Doorbell(), root, recursive=True)
    observer.daemon = True
    observer.start()
    return observer

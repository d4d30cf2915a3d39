"""Directories that several hosts share: looks that ask the server, and calls that are verified.

Two things differ there from a disk of one's own. What the kernel remembers of names and times may
be half a minute old; opening a directory anew makes it ask (measured on NFSv4.2, with the options a
mount has by default). And a call whose reply was lost, or whose server was started anew meanwhile,
may say that it failed though it was done: so after a failure it is looked whether it was.
"""

from __future__ import annotations

import os

from spoolq.errors import InvalidJob
from spoolq.fsio import Dir


class SharedDir(Dir):
    """As `Dir`, for what other hosts change too."""

    def stat(self, name: str = ".") -> os.stat_result:
        """Return what an entry is by now, or the directory itself."""
        descriptor = self._open_anew()
        try:
            if name == ".":
                return os.fstat(descriptor)
            return os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        finally:
            os.close(descriptor)

    def rename(self, name: str, target: Dir, new_name: str) -> None:
        """Rename; a name that is there under the new one alone has been renamed, whatever was said.

        For new names that nobody else gives, or under which everybody puts the same file.
        """
        try:
            super().rename(name, target, new_name)
        except OSError:
            if not self._has_moved(name, target, new_name):
                raise

    def publish(self, name: str, target: Dir, new_name: str) -> None:
        """As `Dir.publish`; a link that is there already may be this one's own."""
        try:
            super().publish(name, target, new_name)
        except OSError:
            if not (self._is_same(name, target, new_name)):
                raise
            self.tidy(name)

    def replace(self, name: str, target: Dir, new_name: str, data: bytes) -> None:
        """As `Dir.replace`; what holds this data has been replaced, whatever was said."""
        try:
            super().rename(name, target, new_name)
        except OSError:
            if not _holds(target, new_name, data):
                raise

    def _has_moved(self, name: str, target: Dir, new_name: str) -> bool:
        try:
            return target.has(new_name) and not self.has(name)
        except OSError:
            return False  # that cannot be seen just now: what was said stands

    def _is_same(self, name: str, target: Dir, new_name: str) -> bool:
        try:
            there = target.stat(new_name)
            return not self.has(name) or os.path.samestat(self.stat(name), there)
        except OSError:
            return False


def _holds(directory: Dir, name: str, data: bytes) -> bool:
    try:
        return directory.read(name, len(data))[0] == data
    except (OSError, InvalidJob):
        return False

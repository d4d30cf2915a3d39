"""Stand-ins for `fsio.os` and `fsio.platform` that record, leave out or spoil calls.

`unsafe_steps` reads a recording as a power cut would: what was renamed before its data were synced
or told of before its directory was. Leaving a sync out (`without`) is the negative control.
"""

import os
import stat

from spoolq import fsio, platform


class _Watched:
    """A module with some calls replaced; everything else is the module's own."""

    def __init__(self, module, replaced):
        self._module = module
        self._replaced = replaced

    def __getattr__(self, name):
        if name in self._replaced:
            return self._replaced[name]
        return getattr(self._module, name)


class Recording:
    """A journal of what reaches the disk, written while the stand-ins are in place.

    Args:
        without: calls that do nothing, as if they had been left out of the code.
    """

    def __init__(self, monkeypatch, without=()):
        self.journal = []
        self.failing = {}
        self._without = set(without)
        calls = {
            name: self._wrap(name, getattr(os, name))
            for name in ("write", "fsync", "fdatasync", "rename", "replace", "link", "unlink")
        }
        monkeypatch.setattr(fsio, "os", _Watched(os, calls))
        seam = {
            name: self._wrap(name, getattr(platform, name))
            for name in ("rename_noreplace", "sync_filesystem")
        }
        monkeypatch.setattr(fsio, "platform", _Watched(platform, seam))

    def fail(self, name, error, at=1):
        """Let the `at`-th call of this name fail."""
        self.failing[name] = [at, error]

    def _wrap(self, name, call):
        def watched(*args, **kwargs):
            if name in self._without:
                return True
            before = self._look(name, args, kwargs)
            self._fail_if_due(name)
            result = call(*args, **kwargs)
            if name != "rename_noreplace" or result:
                self.journal.append((name, *before))
            return result

        return watched

    def _fail_if_due(self, name):
        if name in self.failing:
            self.failing[name][0] -= 1
            if self.failing[name][0] == 0:
                self.journal.append((name, "failed"))
                raise self.failing[name][1]

    def _look(self, name, args, kwargs):
        if name in ("write", "fsync", "fdatasync", "sync_filesystem"):
            info = os.fstat(args[0])
            return (info.st_ino, "directory" if stat.S_ISDIR(info.st_mode) else "file")
        if name == "unlink":
            return (args[0],)
        if name == "rename_noreplace":
            source_dir, target_dir = args[2], args[3]
        else:
            source_dir, target_dir = kwargs.get("src_dir_fd"), kwargs.get("dst_dir_fd")
        try:
            source = os.lstat(args[0], dir_fd=source_dir).st_ino
        except FileNotFoundError:
            source = None
        if target_dir is None:
            return (source, os.stat(os.path.dirname(args[1])).st_ino)
        return (source, os.fstat(target_dir).st_ino)


def unsafe_steps(journal):
    """Return what a power cut just after the end of this journal could tear or lose."""
    dirty, unsynced, found = set(), set(), []
    for name, *what in journal:
        if name == "write":
            dirty.add(what[0])
        elif name in ("fsync", "fdatasync"):
            dirty.discard(what[0])
            unsynced.discard(what[0])
        elif name == "sync_filesystem":
            dirty.clear()
        elif name in ("rename", "replace", "link", "rename_noreplace"):
            if what[0] in dirty:
                found.append("renamed before its data were synced")
            unsynced.add(what[1])
    return found + ["told before the directory was synced"] * bool(unsynced)

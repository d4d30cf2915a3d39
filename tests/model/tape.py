"""What the code does to files and locks, in the words of the model: a recording of its seam."""

import os

from spoolq import fsio, lease, locks, names
from tests.recording import Recording, _Watched

from .words import in_order, moved, word

_MOVES = {"rename": "rename", "replace": "rename", "link": "link", "rename_noreplace": "rename_new"}
_CLOSES_THAT_UNLOCK_NOTHING = ("tmp me lock", "workers me lock", "workers me outcome")
_SINGLE = ("unlink", "mkdir", "rmdir")


class Tape(Recording):
    """A recording by names: the calls of `fsio`, and the locks that are taken and let go.

    Args:
        dead: the name of the worker that is gone, if there is one.
    """

    def __init__(self, monkeypatch, spool):
        super().__init__(monkeypatch)
        self.dead = ""
        self._spool = spool
        self._opened = {}
        more = {name: self._wrap(name, getattr(os, name)) for name in ("mkdir", "rmdir")}
        more["open"] = self._open
        monkeypatch.setattr(fsio, "os", _Watched(fsio.os, more))
        for module in (locks, lease):
            monkeypatch.setattr(module, "os", _Watched(os, {"close": self._close}))
        self._try_lock = locks.try_lock
        monkeypatch.setattr(locks, "try_lock", self._watched_lock)

    def steps(self):
        """Return what was recorded, in words, and begin anew."""
        steps, self.journal = self.journal, []
        return in_order(filter(None, map(self._said, steps)))

    def _look(self, name, args, kwargs):
        if name in _MOVES:
            source, target = kwargs.get("src_dir_fd"), kwargs.get("dst_dir_fd")
            if name == "rename_noreplace":
                source, target = args[2], args[3]
            return (self._path(args[0], source), self._path(args[1], target))
        if name in _SINGLE:
            return (self._path(args[0], kwargs.get("dir_fd")),)
        return ()

    def _open(self, path, flags, *mode, **at):
        where = self._path(path, at.get("dir_fd"))
        descriptor = os.open(path, flags, *mode, **at)
        self._opened.pop(descriptor, None)
        if flags & os.O_RDWR:
            self._opened[descriptor] = where
            self.journal.append(("create" if flags & os.O_CREAT else "open", where))
        return descriptor

    def _close(self, descriptor):
        os.close(descriptor)
        if descriptor in self._opened:
            self.journal.append(("close", self._opened.pop(descriptor)))

    def _watched_lock(self, descriptor, *, shared=False):
        got = self._try_lock(descriptor, shared=shared)
        what = "probe" if shared else "lock"
        self.journal.append((what, self._opened[descriptor], "got" if got else "held"))
        return got

    def _path(self, name, directory):
        """Return a path in the spool, wherever the directory that holds it lies by now."""
        if directory is None:
            return os.path.relpath(name, self._spool.path)
        wanted = os.fstat(directory)
        for root, _, _ in os.walk(self._spool.path):
            if os.path.samestat(os.stat(root), wanted):
                return os.path.normpath(os.path.join(os.path.relpath(root, self._spool.path), name))
        return name

    def _said(self, step):
        what, *paths = step
        extra = ()
        if what in ("lock", "probe"):
            extra = (paths.pop(),)
        elif what in _MOVES:
            extra, what = moved(*paths, names.parse), _MOVES[what]
        said = [word(path, names.parse, self.dead) for path in paths]
        unlocks = what != "close" or said[0] not in _CLOSES_THAT_UNLOCK_NOTHING
        if not said or not all(said) or not unlocks:
            return None
        return (what, *said, *extra)

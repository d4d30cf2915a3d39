"""The spool under examination, opened even where a worker would refuse it."""

from __future__ import annotations

import os
import shlex
from typing import Iterator, List, Optional

from spoolq import config, control, platform
from spoolq.config import Settings
from spoolq.errors import InvalidSetting, NoSpool, SpoolqError, WrongFormat
from spoolq.fsio import Dir
from spoolq.layout import DIRECTORIES, has_pending, open_root, translated
from spoolq.spool import SpoolDir


class Patient:
    """A spool, whole or broken, and who is looking at it."""

    def __init__(self, path: str) -> None:
        """Open what is there of a spool.

        Raises:
            NoSpool: it does not look like one.
            StorageFailed: this user cannot enter it, or the disk fails.
        """
        self.path = os.path.abspath(path)
        require_spool(self.path)
        with translated(self.path):
            root = open_root(self.path)
        self.owner = root.stat().st_uid
        self.user = platform.effective_user()
        self.spool = SpoolDir(root)
        self.settings = Settings()
        self.config_error: Optional[SpoolqError] = None
        self.warnings: List[str] = []
        try:
            self.settings, self.warnings = config.read(self.spool.config_bytes())
        except (InvalidSetting, WrongFormat) as error:
            self.config_error = error
        if self.settings.group:
            root.file_mode = 0o660
            root.owner = (self.owner, platform.group_id(self.settings.group))

    @property
    def is_ours(self) -> bool:
        """Whether this user owns it, and so may repair it.

        Root could too, but must not touch files in a directory that somebody else can write to:
        a hard link there may lead anywhere.
        """
        return platform.WINDOWS or self.user == self.owner

    @property
    def knows_format(self) -> bool:
        """Whether the format is one that this spoolq may touch."""
        return not isinstance(self.config_error, WrongFormat)

    def files(self, name: str) -> Iterator[str]:
        """Yield what is in a directory of the spool; nothing where it cannot be opened.

        That it cannot is found elsewhere, once.
        """
        directory = self.dir(name)
        if directory is not None:
            yield from directory.scan()

    def dir(self, name: str) -> Optional[Dir]:
        """Return a directory of the spool, None where it cannot be opened."""
        try:
            return self.spool.dir(name)
        except SpoolqError:
            return None

    def recover(self) -> None:
        """Do what a worker does at its start, but let commands that still run go on."""
        control.recover_now(self.spool, orphans="wait", sweep=True)

    def make_dir(self, name: str) -> None:
        """Make a directory that is missing, as `init` would."""
        try:
            self.spool.root.make_dir(name)
        except FileExistsError:
            pass  # somebody was faster
        self.spool.root.sync()

    def close(self) -> None:
        """Let the spool go."""
        self.spool.close()


def require_spool(path: str) -> None:
    """Refuse a directory that is no spool, or so little of one that nobody can tell.

    Raises:
        NoSpool: with the path.
        StorageFailed: the disk does not tell, which is not the same as none.
    """
    with translated(path):
        has_pending(path)
    found = [name for name in DIRECTORIES if os.path.lexists(os.path.join(path, name))]
    settled = os.path.lexists(os.path.join(path, config.FILE)) or "pending" in found
    if not os.path.isdir(path) or not (settled or len(found) > 1 or _is_locked(path)):
        raise NoSpool(
            f"there is no spool at {path}",
            hint=f"make one:  spoolq init {shlex.quote(path)}  (enqueue makes one too)",
        )


def _is_locked(path: str) -> bool:
    return not os.access(path, os.X_OK)

"""Quotas of ext4 and xfs: for users, by files and by bytes, and for a project. In a guest."""

import os
import sys
from contextlib import contextmanager
from typing import Callable, ContextManager, Iterator

from ..cases import Bench, Case
from ..place import REPOSITORY
from ..uml import run
from . import full, guest
from .disks import mounted

_DISK = "/dev/ubda"
_USER = 12345  # root may go over a user's quota
_BYTES, _FILES = ("0", "2048", "0", "0"), ("0", "0", "0", "60")  # KiB and inodes: soft, hard


def _open_the_way(path: str) -> None:
    """Let every user reach a path: what is closed above it is hidden, but for the way to it.

    Python may be in root's home; this is the guest, where nothing of it outlives the case.
    """
    way = "/"
    for part in path.split("/")[1:]:
        above, way = way, os.path.join(way, part)
        if os.stat(above).st_mode & 0o001:
            continue
        aside = f"/run/aside{above.replace('/', '-')}"
        os.makedirs(aside)
        run("mount", "--bind", above, aside)
        run("mount", "-t", "tmpfs", "-o", "mode=755", "tmp", above)
        os.mkdir(way)
        run("mount", "--bind", os.path.join(aside, part), way)


@contextmanager
def _as_user(bench: Bench) -> Iterator[None]:
    """Be a user for a while, and let the user have the spool: what is started is his."""
    for path in (sys.executable, os.path.realpath(sys.executable), REPOSITORY):
        _open_the_way(path)
    for path in (bench.place.top, bench.place.spool):
        os.chown(path, _USER, _USER)
    os.setresgid(_USER, _USER, 0)
    os.setresuid(_USER, _USER, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)


def _user_quota(make: str, option: str, *limits: str) -> Callable[[Bench], ContextManager[str]]:
    @contextmanager
    def disk(bench: Bench) -> Iterator[str]:
        run(*make.split(), _DISK)
        os.mkdir(bench.place.spool)
        with mounted(bench, _DISK, "-o", option):
            run("setquota", "-u", str(_USER), *limits, bench.place.spool)
            with _as_user(bench):
                yield _DISK

    return disk


def _project_quota(*limits: str) -> Callable[[Bench], ContextManager[str]]:
    """Return a directory tree of xfs that may hold so much, whoever writes, root too."""

    @contextmanager
    def disk(bench: Bench) -> Iterator[str]:
        spool = bench.place.spool
        run("mkfs.xfs", "-q", "-f", _DISK)
        os.mkdir(spool)
        with mounted(bench, _DISK, "-o", "prjquota"):
            nowhere = ["-D", "/dev/null", "-P", "/dev/null"]
            for order in (f"project -s -p {spool} 7", f"limit -p {' '.join(limits)} 7"):
                run("xfs_quota", "-x", *nowhere, "-c", order, spool)
            yield _DISK

    return disk


_EXT4, _XFS = "mkfs.ext4 -q -F -m 0 -O quota", "mkfs.xfs -q -f"
_SPACE, _INODES = full.fill_space, full.fill_inodes

INSIDE = [
    Case(name, full.case_of(disk, fill, is_told=False))
    for name, disk, fill in (
        ("ext4 over its quota of bytes", _user_quota(_EXT4, "usrquota", *_BYTES), _SPACE),
        ("ext4 over its quota of files", _user_quota(_EXT4, "usrquota", *_FILES), _INODES),
        ("xfs over its quota of bytes", _user_quota(_XFS, "uquota", *_BYTES), _SPACE),
        ("xfs over its quota of files", _user_quota(_XFS, "uquota", *_FILES), _INODES),
        ("xfs over a project's quota of bytes", _project_quota("bhard=2m"), _SPACE),
        ("xfs over a project's quota of files", _project_quota("ihard=60"), _INODES),
    )
]

CASES = [guest.case(one, "setquota", "xfs_quota") for one in INSIDE]

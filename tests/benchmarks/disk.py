"""A fresh filesystem to measure on, in a mount namespace of this process and its children alone.

The namespace ends with the last of them, whatever ends it, and takes the mount along; the image
has no name any more once it is mounted. So nothing is left behind, not even after a kill -9.
Who may not mount gets a temporary directory, and is told so.
"""

import contextlib
import ctypes
import os
import shutil
import subprocess
import tempfile
from typing import Iterator, Tuple

from tests.benchmarks.bench import say

FILESYSTEMS = ("ext4", "xfs", "btrfs", "tmpfs")
_NEWNS = 0x00020000
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
# A million jobs need a million inodes, more than ext4 makes for so small a disk.
_MAKE = {
    "ext4": ["mkfs.ext4", "-q", "-F", "-N", "4000000"],
    "xfs": ["mkfs.xfs", "-q", "-f"],
    "btrfs": ["mkfs.btrfs", "-q", "-f"],
}
# Else the kernel writes ext4's empty inode tables in the background, while it is measured.
_OPTIONS = {"ext4": "loop,noinit_itable", "xfs": "loop", "btrfs": "loop"}
_SIZE = 14 << 30  # sparse: what is not written is not there
_entered = False


def unable(filesystem: str) -> str:
    """Say why this filesystem cannot be made here, or nothing if it can."""
    if filesystem not in FILESYSTEMS:
        return f"{filesystem} is not one of {', '.join(FILESYSTEMS)}"
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "mounting needs root"
    if filesystem != "tmpfs":
        if shutil.which(_MAKE[filesystem][0], path=_PATH) is None:
            return f"{_MAKE[filesystem][0]} is not installed"
        if not os.path.exists("/dev/loop-control"):
            return "there are no loop devices"
    return _enter()


def _enter() -> str:
    """Go into a mount namespace of our own; say why not, or nothing."""
    global _entered
    if not _entered:
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.unshare(_NEWNS) != 0:
            return f"no mount namespace: {os.strerror(ctypes.get_errno())}"
        done = _run("mount", "--make-rprivate", "/")
        if done:
            return done
        _entered = True
    return ""


def _run(*words: str) -> str:
    """Run a tool; say what it complained of, or nothing."""
    done = subprocess.run(
        words,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env={"PATH": _PATH, "LC_ALL": "C"},
    )
    return "" if done.returncode == 0 else f"{words[0]}: {done.stdout.strip()}"


@contextlib.contextmanager
def fresh(filesystem: str) -> Iterator[Tuple[str, str]]:
    """Give a directory on a fresh filesystem, and what that is called; it is gone afterwards.

    Where it cannot be made, a temporary directory stands in for it.
    """
    with tempfile.TemporaryDirectory(prefix="spoolq-bench-") as place:
        problem = unable(filesystem) or _mount(filesystem, place)
        if problem:
            say(f"no fresh {filesystem} ({problem}): a temporary directory instead")
            yield place, f"{type_of(place)}, not fresh"
            return
        try:
            os.chmod(place, 0o700)
            yield place, filesystem
        finally:
            left = _run("umount", place)
            if left:  # what still uses it is ours, and ends with us
                say(f"{left}; detached")
                _run("umount", "--lazy", place)


def _mount(filesystem: str, place: str) -> str:
    if filesystem == "tmpfs":
        return _run("mount", "-t", "tmpfs", "-o", "size=75%,nr_inodes=4000000", "spoolq", place)
    handle, image = tempfile.mkstemp(prefix="spoolq-bench-", suffix=".img")
    try:
        os.truncate(handle, _SIZE)
        return _run(*_MAKE[filesystem], image) or _run(
            "mount", "-t", filesystem, "-o", _OPTIONS[filesystem], image, place
        )
    finally:
        os.close(handle)
        os.unlink(image)


def type_of(path: str) -> str:
    """Return the type of the filesystem that a path is on, as the kernel calls it."""
    best, kind = "", "unknown"
    path = os.path.realpath(path)
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="replace") as mounts:
            for line in mounts:
                target, name = line.split()[1:3]
                inside = path == target or path.startswith(target.rstrip("/") + "/")
                if inside and len(target) >= len(best):
                    best, kind = target, name
    except OSError:
        pass
    return kind

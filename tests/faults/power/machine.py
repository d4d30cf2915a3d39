"""Machines to cut the power of: images, guests in user-mode Linux, and what they need here."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any, Dict, List, NamedTuple

import spoolq

from .. import apart, uml
from ..uml import cut, find, lines, run

HERE = Path(__file__).resolve().parent
FILESYSTEMS = ("ext4", "xfs", "btrfs")
#: Debian's packages, and a program by which each is known.
PACKAGES = {
    "user-mode-linux": "linux.uml",
    "dmsetup": "dmsetup",
    "xfsprogs": "mkfs.xfs",
    "btrfs-progs": "mkfs.btrfs",
    "e2fsprogs": "mkfs.ext4",
    "kmod": "modprobe",
}
_SIZES = {"ext4": "32M", "xfs": "320M", "btrfs": "128M"}
_MAKE = {
    "ext4": ["mkfs.ext4", "-q", "-F"],
    "xfs": ["mkfs.xfs", "-q", "-f"],
    "btrfs": ["mkfs.btrfs", "-q", "-f"],
}


def missing() -> str:
    """Say why no power can be cut on this machine, or nothing if it can."""
    if not sys.platform.startswith("linux"):
        return "user-mode Linux runs on Linux alone"
    if os.geteuid() != 0:
        return "loop mounts need root"
    absent = [name for name, program in PACKAGES.items() if not find(program)]
    if absent:
        return f"these packages are not installed: {' '.join(absent)}"
    if not os.path.exists("/dev/loop-control"):
        return "there are no loop devices"
    if not os.path.isdir(uml.MODULES):
        return "there are no modules for user-mode Linux"
    return ""


def install() -> None:
    """Install the packages, for a machine that is there to be tested on."""
    apart.install(*PACKAGES)


def workshop() -> "tempfile.TemporaryDirectory[str]":
    """Return a directory for images: in memory where there is room, since all is thrown away."""
    memory = "/dev/shm"
    roomy = os.path.isdir(memory) and shutil.disk_usage(memory).free > 2 << 30
    return tempfile.TemporaryDirectory(prefix="spoolq-power-", dir=memory if roomy else None)


def copy(source: str, target: str) -> None:
    """Copy an image and leave its holes."""
    run("cp", "--sparse=always", source, target)


def make_image(path: str, filesystem: str) -> None:
    """Make an empty filesystem in a file."""
    run("truncate", "-s", _SIZES[filesystem], path)
    run(*_MAKE[filesystem], path)


class Guest(NamedTuple):
    """What a guest is to do."""

    filesystem: str
    discipline: str
    disk: str = "log"
    rounds: int = 1
    turn: int = 0
    batch: int = 40
    neighbour: bool = False


def boot(guest: Guest, directory: str, *images: str) -> "subprocess.Popen[bytes]":
    """Start a guest in a session of its own, so that it can be killed whole."""
    library = Path(spoolq.__file__).resolve().parent.parent
    facts: Dict[str, Any] = {
        "fs": guest.filesystem,
        "disk": guest.disk,
        "discipline": guest.discipline,
        "rounds": guest.rounds,
        "turn": guest.turn,
        "batch": guest.batch,
        "neighbour": int(guest.neighbour),
        "python": sys.executable,
        "path": library,
        "script": HERE / "workload.py",
    }
    init = str(HERE / "guest_init.sh")
    return uml.boot(init, directory, facts, memory="256M", disks=images)


class Promise(NamedTuple):
    """Something that the guest told anyone: ids or names, and what was said of each."""

    kind: str
    items: Dict[str, str]


def record(guest: Guest, directory: str) -> Dict[str, Promise]:
    """Let a guest work on a logged disk; leaves base.img and log.img, returns what marks mean.

    Raises:
        OSError: the guest did not come to its end.
    """
    base, disk, log = (os.path.join(directory, f"{name}.img") for name in ("base", "disk", "log"))
    make_image(base, guest.filesystem)
    copy(base, disk)
    run("truncate", "-s", "2G", log)
    process = boot(guest, directory, disk, log)
    promises: Dict[str, Promise] = {}
    said: List[str] = []
    try:
        for line in lines(process, 240):
            said.append(line)
            promise = read_promise(line)
            if promise:
                promises[promise[0]] = promise[1]
            if line == "GUEST-DONE":
                break
    finally:
        cut(process)
    os.unlink(disk)
    if "GUEST-DONE" not in said or any("GUEST-FAILED" in line for line in said):
        raise OSError(f"the {guest.filesystem} guest failed: " + " | ".join(said[-15:]))
    return promises


def read_promise(line: str) -> Any:
    """Return number and promise of a guest's line, or None if it is no mark."""
    if not line.startswith("MARK "):
        return None
    said = json.loads(line[5:])
    return str(said["mark"]), Promise(said["kind"], said["items"])

"""A producer on a full disk: a small filesystem in memory, in a mount namespace of its own.

The namespace ends with the producer, and so does the mount; only root, or who may make user
namespaces, can have one. What the spool held then is copied out before that.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from functools import lru_cache
from typing import Iterator, List, Optional, Sequence

from spoolq.conformance import contents
from spoolq.conformance.looks import COMMANDS
from spoolq.conformance.order import Broken
from spoolq.conformance.producer import Ground, Producer

_ROOM = 4096  # bytes that are left: a part of the job fits
# SPOOL is covered by a full copy of itself, the words after COPY are run, and COPY is what it held.
_SCRIPT = """
set -e
spool=$1 copy=$2
shift 2
cp -pR "$spool/." "$copy"
mount -t tmpfs -o size=64k,mode=700 none "$spool"
cp -pR "$copy/." "$spool"
rm -r "$copy"
head -c $ROOM /dev/zero >"$spool/room"
cat /dev/zero >"$spool/full" 2>/dev/null || :
rm "$spool/room"
code=0
"$@" || code=$?
rm "$spool/full"
cp -pR "$spool/." "$copy"
exit $code
"""


def unable() -> Optional[str]:
    """Say why no full disk can be made here, or None."""
    if _namespace() is None:
        return "no filesystem may be mounted here, in a namespace neither"
    return None


def on_a_full_disk(producer: Producer, ground: Ground) -> Iterator[Broken]:
    """Run it where a long job does not fit."""
    namespace = _namespace()
    if namespace is None:
        return
    spool = ground.spool()
    copy = spool + ".held"
    script = _SCRIPT.replace("$ROOM", str(_ROOM))
    before = [*namespace, "sh", "-c", script, "full", spool, copy]
    os.mkdir(copy)
    ran = producer.run(spool, COMMANDS["length"], before)
    half = contents.torn(copy, {COMMANDS["length"]})
    if half is not None:
        yield Broken("errors", f"the disk was full, it ended with {ran.code}, and left {half}")
    elif not contents.jobs(copy) and (ran.code == 0 or ran.out):
        rule = "told-last" if ran.code else "errors"
        told = f"ended with {ran.code} and printed {ran.told[:40]!r}"
        yield Broken(rule, f"the disk was full, and it {told}")
    yield from contents.left_in_tmp(copy)


@lru_cache(maxsize=None)
def _namespace() -> Optional[Sequence[str]]:
    """Return the words before a command that let it mount, or None where nothing does."""
    if shutil.which("unshare") is None:
        return None
    ways: List[List[str]] = [
        ["unshare", "--mount"],
        ["unshare", "--user", "--map-root-user", "--mount"],
    ]
    for way in ways:
        done = subprocess.run(
            [*way, "mount", "-t", "tmpfs", "none", "/tmp"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        if done.returncode == 0:
            return way
    return None

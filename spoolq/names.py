"""The file name of a job: all that a worker needs to know before it opens the file.

    20261124T020646123456Z.p5.a0.k3v9x2a7m4q1c.json
    20261124T020646123456Z.p5.a1.k3v9x2a7m4q1c@web1-4121-x7f3.0.json      in processing/
    time                  priority attempts id  worker        slot

Names are plain: no name that this module reads or makes can leave its directory.
"""

from __future__ import annotations

import os
import re
from datetime import datetime
from typing import NamedTuple, Optional

from spoolq import instants

SUFFIX = ".json"
MAX_ATTEMPT = 999_999
MAX_ID = 64
#: The time of a job that is held: the last day of time.
HELD = "99991231T000000000000Z"
#: The time of a job that waits for others: on that day too.
AFTER = "99991231T120000000000Z"
LONGEST_KEY = 200  # bytes of the name of a key's file

_STAMP = (
    r"(?!0000)\d{4}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])T(?:[01]\d|2[0-3])[0-5]\d[0-5]\d\d{6}Z"
)
_ID = rf"[A-Za-z0-9_][A-Za-z0-9_-]{{0,{MAX_ID - 1}}}"
_WORKER = r"[A-Za-z0-9_][A-Za-z0-9_-]{0,79}"
_SLOT = r"[A-Za-z0-9_]{1,16}"
_NAME = re.compile(
    rf"({_STAMP})\.p(\d)\.a(0|[1-9]\d{{0,5}})\.({_ID})(?:@({_WORKER})\.({_SLOT}))?\.json", re.ASCII
)
_ID_ALONE = re.compile(_ID, re.ASCII)
_WORKER_ALONE = re.compile(rf"(?=.{{1,80}}\Z){_WORKER}-\d+-[0-9a-z]+", re.ASCII)
_SENT = re.compile(r"(to[0-9a-f]{8})_\d{1,5}", re.ASCII)
_BASE32 = b"0123456789abcdefghjkmnpqrstvwxyz"  # no i, l, o, u: nothing that is misread
_TO_BASE32 = _BASE32 * 8  # by the five lower bits of a byte


class Name(NamedTuple):
    """What a file name says; worker and slot are None outside processing/."""

    stamp: str
    priority: int
    attempt: int
    id: str
    worker: Optional[str] = None
    slot: Optional[str] = None

    def __str__(self) -> str:
        owner = f"@{self.worker}.{self.slot}" if self.worker else ""
        return f"{self.stamp}.p{self.priority}.a{self.attempt}.{self.id}{owner}{SUFFIX}"

    @property
    def at(self) -> datetime:
        """The instant that the state is about."""
        return instants.from_stamp(self.stamp)

    @property
    def mark(self) -> Optional[str]:
        """The mark of the target that a claim is on its way to; None for every other claim."""
        match = _SENT.fullmatch(self.slot or "")
        return match.group(1) if match else None

    def waiting(self, *, stamp: Optional[str] = None, attempt: Optional[int] = None) -> Name:
        """Return the name outside processing/, with another time or attempt if given."""
        return Name(
            self.stamp if stamp is None else stamp,
            self.priority,
            self.attempt if attempt is None else attempt,
            self.id,
        )


def parse(filename: str) -> Optional[Name]:
    """Return what a file name of the form says, or None if it is not of the form."""
    match = _NAME.fullmatch(filename)
    if match is None or match.group(4) == "last":
        return None
    stamp, priority, attempt, job_id, worker, slot = match.groups()
    if stamp[6:8] > "28":
        try:
            instants.from_stamp(stamp)
        except ValueError:
            return None
    return Name(stamp, int(priority), int(attempt), job_id, worker, slot)


def id_in(filename: str) -> str:
    """Return the id in a file name of the form; a quick look, for long listings."""
    parts = filename.split(".", 5)
    if len(parts) < 5 or len(parts[0]) != instants.STAMP_WIDTH or parts[-1] != "json":
        return ""
    return parts[3].partition("@")[0]


def is_held(stamp: str) -> bool:
    """Say whether a waiting job's time is the last day of time: it waits until it is released."""
    return stamp.startswith(HELD[:8])


def is_job(filename: str) -> bool:
    """Say whether a directory entry is meant as a job: other names are left alone."""
    return filename.endswith(SUFFIX) and not filename.startswith(".")


def is_on_its_way(filename: str) -> bool:
    """Say whether a file in processing/ is on its way to another spool: nothing of it runs here."""
    name = parse(filename)
    return name is not None and name.mark is not None


def is_id(text: str) -> bool:
    """Say whether `text` may serve as a job's id."""
    return _ID_ALONE.fullmatch(text) is not None and text != "last"


def of_key(key: str) -> str:
    """Return how the file of a key is called: the key itself, odd characters as in a URL."""
    from urllib.parse import quote  # here alone: few jobs have keys

    name = quote(key, safe=":@+=, ")
    return "%2E" + name[1:] if name.startswith(".") else name


def is_worker(text: str) -> bool:
    """Say whether `text` may be the name of a worker: host-pid-random."""
    return _WORKER_ALONE.fullmatch(text) is not None


def mark_of(target: str) -> str:
    """Return the mark of a target, by which the slots of the claims on their way there begin.

    It is in the claim's own name, so that nobody needs another file to know that the job may be
    in another spool already.
    """
    import hashlib  # here alone: no other verb needs it

    return "to" + hashlib.sha256(target.encode("utf-8", "surrogateescape")).hexdigest()[:8]


def random_text(length: int) -> str:
    """Return random characters of base32, five bits each."""
    return os.urandom(length).translate(_TO_BASE32).decode("ascii")


def new_id() -> str:
    """Make an id: 13 characters, 65 random bits, so a short beginning is unique too."""
    return random_text(13)


def id_from_stem(filename: str) -> str:
    """Make the id of a dropped file: its stem, where that is legal, with a random end."""
    stem = filename[: -len(SUFFIX)]
    made = new_id()
    return f"{stem[: 63 - len(made)]}-{made}" if is_id(stem) else made


def new_worker(host: str, pid: int) -> str:
    """Make a worker's name, never used again: host, pid and 30 random bits."""
    plain = re.sub(r"[^A-Za-z0-9_-]", "-", host)[:48].lstrip("-") or "host"
    return f"{plain}-{pid}-{random_text(6)}"

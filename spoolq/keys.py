"""One job for a key: a file in keys/ called by it, that holds the id of the job that has it.

It is made, and put in the place of another, under the lock on tmp/.ids, before its job is
published. A key whose job has ended, or never came, is nobody's, so a crash leaves none behind that
means anything; `ls keys/` is kept short by a chore of the workers (`keyring`).
"""

from __future__ import annotations

from typing import Dict, Mapping, Optional, Tuple

from spoolq import annexes, names
from spoolq.errors import InvalidJob
from spoolq.fsio import Dir, write_together
from spoolq.layout import put_away
from spoolq.spool import SpoolDir

PLACE = "keys"
WAITING_OR_RUNNING = ("pending", "processing", "failed")


def holders(spool: SpoolDir) -> Dict[str, str]:
    """Return which job has which key, by the names of their files; it may have ended since."""
    place = annexes.opened(spool, PLACE)
    if place is None:
        return {}
    found = {name: _read(place, name) for name in place.list()}
    return {name: job_id for name, job_id in found.items() if job_id is not None}


def holder(spool: SpoolDir, key: str) -> Optional[str]:
    """Return the id of the job that has a key; it may have ended since."""
    place = annexes.opened(spool, PLACE)
    return None if place is None else _read(place, names.of_key(key))


def _read(place: Dir, name: str) -> Optional[str]:
    """Return the id that a key's file holds; None where there is none, or what is there is none."""
    try:
        text = place.read(name, names.MAX_ID + 1)[0].decode("ascii", "replace").strip()
    except (FileNotFoundError, InvalidJob):
        return None
    return text if names.is_id(text) else None


def take(spool: SpoolDir, wanted: Mapping[str, str], durability: str) -> None:
    """Give keys to jobs that are not in pending/ yet; under the lock on tmp/.ids.

    Args:
        wanted: ids by keys, none of which any job has that waits or runs.
    """
    place, tmp = annexes.made(spool, PLACE), spool.dir("tmp")
    sync = durability != "none"
    files: Dict[str, Tuple[str, bytes]] = {
        f"key.{names.random_text(13)}": (names.of_key(key), f"{job_id}\n".encode("ascii"))
        for key, job_id in wanted.items()
    }
    write_together(tmp, {made: data for made, (_, data) in files.items()}, sync=sync)
    for made, (name, _) in files.items():
        try:
            tmp.publish(made, place, name)
        except FileExistsError:  # of a job that has ended, or a directory that somebody has made
            put_away(place, name, tmp)
            tmp.publish(made, place, name)
    if sync:
        place.sync()


def let_go(spool: SpoolDir, key: str, job_id: str) -> None:
    """Remove a job's key, if it is its own; under the lock on tmp/.ids."""
    if holder(spool, key) == job_id:
        spool.dir(PLACE).discard(names.of_key(key))

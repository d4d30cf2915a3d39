"""Spools that are full already: many files, written without any sync, and synced at the end once.

Durability does not matter here, since nothing of this is measured.
"""

import json
import os
from datetime import timedelta
from pathlib import Path
from typing import Any, List

from spoolq import Spool, instants
from spoolq.job import Job
from spoolq.names import Name, new_id
from tests.benchmarks.bench import settle


def make(path: str, **settings: Any) -> str:
    """Make a spool with settings and return its path."""
    Spool(path, create=True).close()
    if settings:
        Path(path, "config.json").write_text(json.dumps({"format": 1, **settings}))
    return path


def fill(
    spool: str, command: str, *, pending: int = 0, completed: int = 0, later: int = 0, **fields: Any
) -> None:
    """Add so many jobs in each state, as if they had come and ended one microsecond apart."""
    begin = instants.now() - timedelta(days=1)
    created = instants.to_rfc3339(begin)
    waiting = Job({"command": command, "created_at": created, **fields})
    priority = waiting.priority
    _write(spool, "pending", begin, pending, waiting.to_bytes(), priority)
    entry = {
        "attempt": 1,
        "worker": "host-1-abcdef",
        "started_at": created,
        "finished_at": created,
        "exit_code": 0,
    }
    ended = waiting.with_entry(entry, begin).to_bytes()
    _write(spool, "completed", begin, completed, ended, priority, attempt=1)
    tomorrow = instants.now() + timedelta(days=1)
    scheduled = Job({**waiting.fields, "run_at": instants.to_rfc3339(tomorrow)})
    _write(spool, "pending", tomorrow, later, scheduled.to_bytes(), priority)
    settle(spool)


def _write(
    spool: str, state: str, begin: Any, count: int, data: bytes, priority: int, attempt: int = 0
) -> None:
    directory = os.open(os.path.join(spool, state), os.O_RDONLY)
    try:
        for number in range(count):
            stamp = instants.to_stamp(begin + timedelta(microseconds=number))
            name = str(Name(stamp, priority, attempt, new_id()))
            file = os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600, dir_fd=directory)
            os.write(file, data)
            os.close(file)
    finally:
        os.close(directory)


def names_in(spool: str, state: str) -> List[str]:
    """Return the names of the jobs in a state."""
    return [name for name in os.listdir(os.path.join(spool, state)) if name.endswith(".json")]

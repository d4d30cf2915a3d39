"""What is asked of workers from outside: to stop, to run more or fewer jobs, to pause.

Everything is a file put where a worker looks for it.
"""

from __future__ import annotations

import time
from typing import Dict, Iterable, List, Optional

from spoolq import lease, requests, roster, views
from spoolq.errors import BadInput, Busy, NotFound
from spoolq.layout import PAUSED, storage_error, translated
from spoolq.roster import WorkerView
from spoolq.spool import SpoolDir
from spoolq.text import closest

_POLL = 0.05
_ANSWER = 10.0  # seconds for a worker to heed how many it is to run


def stop(spool: SpoolDir, wanted: Iterable[str], *, interrupt: bool) -> List[str]:
    """Ask workers to leave, all of them if none is named; return the names of those asked.

    Raises:
        NotFound: no such worker is alive.
        BadInput: an empty text, which every name begins with.
    """
    chosen = [worker.name for worker in _chosen(spool, wanted)]
    for name in chosen:
        request(spool, name, "stop.now" if interrupt else "stop")
    spool.ring()
    return chosen


def resize(spool: SpoolDir, wanted: Iterable[str], count: int) -> Dict[str, Optional[int]]:
    """Let workers run so many jobs at a time, all of them if none is named.

    Returns:
        Their names, each with how many it was, None where it had no bound.

    Raises:
        NotFound: no such worker is alive.
        BadInput: an empty text, or a worker that runs nothing, or has no count to change.
        Busy: one has not answered within seconds, and may yet.
    """
    wanted = list(wanted)
    chosen = _chosen(spool, wanted)
    idle = [worker for worker in chosen if worker.card.get("count") == 0]
    if idle and wanted:
        raise BadInput(
            f"{idle[0].name} runs no jobs: it sends them, or changes them",
            hint="spoolq worker list shows who runs jobs",
        )
    before = {w.name: w.card.get("count") for w in chosen if w not in idle}
    asked = requests.of_count(count)
    for name in before:
        request(spool, name, asked)
    spool.ring()
    deadline = time.monotonic() + _ANSWER
    for name in before:
        while _asks(spool, name, asked):
            if time.monotonic() > deadline:
                raise Busy(f"{name} has been asked, and has not answered yet")
            time.sleep(_POLL)
        if lease.read_card(spool, name).get("count") != count:
            raise BadInput(
                f"{name} does not run {count} at a time: its executor has no such number, it has "
                "left, or another was asked for meanwhile",
                hint="spoolq worker list shows it",
            )
    return before


def _asks(spool: SpoolDir, worker: str, request: str) -> bool:
    """Say whether a request still lies with a worker."""
    try:
        directory = lease.room(spool, worker)
    except FileNotFoundError:
        return False
    try:
        return directory.has(request)
    finally:
        directory.close()


def _chosen(spool: SpoolDir, wanted: Iterable[str]) -> List[WorkerView]:
    """Return the living workers that are meant, each by the beginning of its name; or all."""
    wanted = list(wanted)
    if "" in wanted:
        raise BadInput("an empty text names no worker", hint="spoolq worker list shows them")
    alive = {worker.name: worker for worker in roster.workers(spool) if worker.alive}
    chosen = []
    for text in wanted:
        matches = [text] if text in alive else [name for name in alive if name.startswith(text)]
        if not matches:
            starts = {name[: len(text)]: name for name in alive}
            meant = closest(text, starts)
            guess = f"; did you mean {starts[meant]!r}?" if meant else ""
            raise NotFound(
                f"no worker {text!r} is alive{guess}", hint="spoolq worker list shows them"
            )
        chosen += matches
    return [alive[name] for name in chosen or alive]


def request(spool: SpoolDir, worker: str, request: str) -> bool:
    """Ask something of a worker; False if it has left, or has been asked already."""
    try:
        directory = lease.room(spool, worker, to_write=True)
        try:
            directory.write(request, b"", sync=False)
        finally:
            directory.close()
    except (FileNotFoundError, FileExistsError):
        return False
    except OSError as error:
        raise storage_error(error, spool.path) from error
    return True


def pause(spool: SpoolDir) -> bool:
    """Let workers make no new claims; False if they did not already."""
    with translated(spool.path):
        try:
            spool.root.write(PAUSED, b"", sync=False)
        except FileExistsError:
            return False
    return True


def resume(spool: SpoolDir) -> bool:
    """Let workers claim again; False if they could already."""
    was_paused = views.is_paused(spool)
    with translated(spool.path):
        spool.root.discard(PAUSED)
    spool.ring()
    return was_paused

"""What the scheduler is asked: who may start an attempt, what is still wanted, who is there.

The scheduler is the one place that knows which task is whose, so it decides here, in one step
each, on its own event loop. `install` is run there, and from then on it answers these questions,
under names of their own.

It remembers which processes have started attempts, and when each was last heard: what a process
may still be running is then known to a client that was not there.
"""

from __future__ import annotations

import os
import time
from typing import Any, Dict, List
from weakref import WeakKeyDictionary

FIRST, WANTED, ALIVE, SURVEY = "spoolq_first", "spoolq_wanted", "spoolq_alive", "spoolq_survey"


def install(dask_scheduler: Any) -> None:
    """Teach a scheduler the questions."""
    if FIRST in dask_scheduler.handlers:
        return
    begun, itself = time.monotonic(), os.urandom(8).hex()
    heard: Dict[str, float] = {}  # process -> when it last asked
    clients: Dict[str, float] = {}  # client -> when it last said that it lives
    barred: Dict[str, float] = {}  # tasks that must not start, or go on; since when
    starters: Any = WeakKeyDictionary()  # task -> who started it: process, address

    def is_of(address: str, key: str, lease: float) -> bool:
        """Say whether a task is this worker's, for a client that was heard lately."""
        task = dask_scheduler.tasks.get(key)
        if key in barred or task is None or task.processing_on is None:
            return False
        if task.processing_on.address != address:
            return False
        # Dask stamps its clients too, but by the wall clock, which may be set back.
        oldest = time.monotonic() - lease
        return any(clients.get(one.client_key, 0) > oldest for one in task.who_wants or ())

    def first(address: str, process: str, key: str, lease: float) -> bool:
        """Let a process start a task: once in the task's life."""
        heard[process] = time.monotonic()
        if not is_of(address, key, lease) or dask_scheduler.tasks[key] in starters:
            return False
        starters[dask_scheduler.tasks[key]] = process, address
        return True

    def wanted(address: str, process: str, keys: List[str], lease: float) -> List[str]:
        """Return those of these tasks that the process is to go on with."""
        heard[process] = time.monotonic()
        return [
            key
            for key in keys
            if is_of(address, key, lease)
            and starters.get(dask_scheduler.tasks[key]) == (process, address)
        ]

    def alive(client: str) -> None:
        """Take note that a client lives: without one, nothing that it has sent is wanted."""
        clients[client] = time.monotonic()

    def is_elsewhere(task: Any) -> bool:
        """Say whether a task that was started is with another worker now, or with none."""
        now_on = task.processing_on and task.processing_on.address
        return task in starters and starters[task][1] != now_on

    def survey(keys: List[str], bar: List[str]) -> Dict[str, Any]:
        """Return who is there, who was heard when, and which of these tasks are stranded.

        Those have lost the process that started them, and no other may; or no worker can.

        Args:
            bar: tasks that must not start from now on. Dask forgets what it is told to let go,
                but what is on its way to it, or to a worker, it may not know yet.
        """
        now = time.monotonic()
        barred.update((key, now) for key in bar)
        for old in (heard, clients, barred):
            for name in [name for name, at in old.items() if now - at > 86_400]:
                del old[name]
        tasks = [dask_scheduler.tasks.get(key) for key in keys]
        tasks = [task for task in tasks if task and task.state not in ("memory", "erred")]
        return {
            "scheduler": itself,
            "up": now - begun,
            "heard": {process: now - at for process, at in heard.items()},
            "stranded": {
                task.key: task in starters
                for task in tasks
                if task.state == "no-worker" or is_elsewhere(task)
            },
            "workers": {
                worker.address: [worker.nthreads, dict(worker.resources)]
                for worker in dask_scheduler.workers.values()
                if worker.status.name == "running"
            },
        }

    dask_scheduler.handlers.update({FIRST: first, WANTED: wanted, ALIVE: alive, SURVEY: survey})

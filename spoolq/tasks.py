"""`@task`: a function that can be enqueued by its name, with what its jobs are to be.

@task(max_retries=5, timeout=60)
def send(address): ...

send("a@b.example")                     # runs here and now, as before
send.enqueue(spool, "a@b.example")      # runs in a worker
"""

from __future__ import annotations

import functools
from typing import Any, Callable, Dict, Mapping, Optional, Protocol

from spoolq import callables, fields


class _Spool(Protocol):
    def enqueue_call(self, target: Any, /, *args: Any, **kwargs: Any) -> str: ...


class Task:
    """A function, and the fields of the jobs that call it."""

    def __init__(self, function: Callable[..., Any], job: Mapping[str, Any]) -> None:
        """Keep both.

        Raises:
            InvalidJob: no worker could find the function by its name, or a field is wrong.
            TypeError: there is no such field.
        """
        name = getattr(function, "__qualname__", "<nothing>")
        if "<" in name:
            callables.name_of(function)  # refuses it
        fields.require_known(job, but=("command", "call"))
        fields.check({"command": "true", **job})
        functools.update_wrapper(self, function)
        self.function = function
        self.job: Dict[str, Any] = dict(job)

    def __repr__(self) -> str:
        return f"<task {self.function.__module__}:{self.function.__qualname__}>"

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function here and now."""
        return self.function(*args, **kwargs)

    def enqueue(
        self,
        spool: _Spool,
        /,
        *args: Any,
        _job: Optional[Mapping[str, Any]] = None,
        **kwargs: Any,
    ) -> str:
        """Enqueue a call and return the job's id.

        Args:
            spool: where.
            args, kwargs: of the function.
            _job: fields of this one job, which count more than the task's.

        Raises:
            InvalidJob, and whatever else `Spool.enqueue_call` raises.
        """
        return spool.enqueue_call(self, *args, _job=_job, **kwargs)


def task(function: Optional[Callable[..., Any]] = None, /, **job: Any) -> Any:
    """Make a task of a function: `@task`, or with fields of its jobs, `@task(max_retries=5)`.

    Raises:
        InvalidJob: no worker could find the function by its name, or a field is wrong.
        TypeError: there is no such field.
    """
    if function is not None:
        return Task(function, job)
    return functools.partial(Task, job=job)

"""For the tests of a program that enqueues calls: they run at once, or are only noted.

    from spoolq import testing

    with testing.set_testing(True) as calls:
        register("a@b.example")             # calls Spool("/srv/spool").enqueue_call(...)
    assert calls[0].target == "shop.mail:send"

No spool is needed, and nothing is written. It holds for this context alone (a thread, or a task of
asyncio, has its own), and is off unless it was asked for.
"""

from __future__ import annotations

import json
from contextvars import ContextVar
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Sequence, overload

from spoolq import call, names, results
from spoolq.errors import NotFound
from spoolq.job import Job


class Call(NamedTuple):
    """One call that was enqueued in testing; `job` has the fields that its file would have."""

    id: str
    target: str
    args: List[Any]
    kwargs: Dict[str, Any]
    job: Dict[str, Any]


class Calls(Sequence[Call]):
    """The calls that were enqueued since testing began; leaving it as a context ends testing."""

    def __init__(self, *, run: bool, before: Optional[Calls]) -> None:
        self._run = run
        self._before = before
        self._calls: List[Call] = []
        self._ended: Dict[str, Job] = {}

    def __enter__(self) -> Calls:
        return self

    def __exit__(self, *_: object) -> None:
        _mode.set(self._before)

    def __len__(self) -> int:
        return len(self._calls)

    @overload
    def __getitem__(self, index: int) -> Call: ...

    @overload
    def __getitem__(self, index: slice) -> List[Call]: ...

    def __getitem__(self, index: Any) -> Any:
        return self._calls[index]

    def __iter__(self) -> Iterator[Call]:
        return iter(self._calls)

    def take(self, fields: Mapping[str, Any]) -> str:
        """Take a job that would have been enqueued; run its call, if that was asked for.

        Raises:
            InvalidJob: a field is wrong, or what the call returned could not be kept.
            BaseException: whatever the call raises: a test is to see it.
        """
        job = Job(json.loads(json.dumps(dict(fields))))  # what the worker's side would have
        job_id = str(job.fields.get("id") or names.new_id())
        made: Dict[str, Any] = job.fields["call"]
        self._calls.append(Call(job_id, made["target"], made["args"], made["kwargs"], job.fields))
        if self._run:
            entry = {"exit_code": 0, **json.loads(call.as_json(call.make(made)))}
            self._ended[job_id] = Job({**job.fields, "history": [entry]})
        return job_id

    def result(self, job_id: str) -> Any:
        """Return what a call has returned.

        Raises:
            NotFound: there was none with this id.
            Busy: calls are only noted.
        """
        for one in self._calls:
            if one.id == job_id:
                job = self._ended.get(job_id)
                state = "pending" if job is None else "completed"
                return results.of(job_id, state, job or Job(one.job), None)
        raise NotFound(f"no call with the id {job_id!r} was enqueued in testing")


_mode: ContextVar[Optional[Calls]] = ContextVar("spoolq testing", default=None)


def set_testing(testing: bool, *, run: bool = True) -> Calls:
    """Turn testing on or off, for this context, from now on.

    Args:
        testing: on or off.
        run: whether `enqueue_call` makes the call at once, and raises what it raises; else it is
            only noted.

    Returns:
        The calls, as they come; as a context manager it restores what was before.
    """
    calls = Calls(run=run, before=_mode.get())
    _mode.set(calls if testing else None)
    return calls


def current() -> Optional[Calls]:
    """Return the calls of the testing that is on in this context, or None."""
    return _mode.get()


def is_testing() -> bool:
    """Say whether testing is on in this context."""
    return _mode.get() is not None

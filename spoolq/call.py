"""Makes the call of a job: `python -m spoolq.call`, in the environment that a worker gives.

It reads the claim's own file, imports the module, calls the function, and leaves what that returns
for the worker, as JSON. The exit code says how it went:

    0     it returned
    1     it raised; the traceback is in the log, and the job is tried again
    65    it returned what JSON would not bring back: to call it again would change nothing
    75    it raised `Defer`

`SystemExit` has the code that it asks for, as in any program.
"""

from __future__ import annotations

import json
import os
import sys
from datetime import datetime, timedelta
from typing import Any, Callable, Dict, Mapping, Optional, Union

from spoolq import callables, config, instants, wishes
from spoolq.errors import InvalidJob
from spoolq.job import MAX_FILE, TEMPFAIL, Job
from spoolq.processes import COOKIE

_NO_JOB = 66  # EX_NOINPUT

When = Union[float, timedelta, datetime]


class Retry(Exception):
    """Raised by a function that knows when it is worth trying again; the attempt counts."""

    code = 1

    def __init__(self, message: str = "", *, after: When) -> None:
        """Ask for a retry.

        Args:
            message: why, for the log.
            after: seconds, a timedelta, or an aware datetime.

        Raises:
            ValueError: the datetime has no time zone.
        """
        super().__init__(message)
        if isinstance(after, datetime):
            if after.tzinfo is None:
                raise ValueError("the time of a retry needs a time zone")
            self.wish = instants.to_rfc3339(after)
        else:
            seconds = after.total_seconds() if isinstance(after, timedelta) else float(after)
            self.wish = f"{max(seconds, 0.0):.6f}"


class Defer(Retry):
    """As `Retry`, for what could not even be tried: that uses no attempt."""

    code = TEMPFAIL


class _NotKept(Exception):
    """What a function returned is no value that JSON brings back."""


def resolve(target: str) -> Callable[..., Any]:
    """Return the function that a target names; its module is imported.

    Raises:
        AttributeError: the module has no such function.
        Exception: whatever the import raises.
    """
    from importlib import import_module

    module, _, name = target.partition(":")
    found: Any = import_module(module)
    for part in name.split("."):
        found = getattr(found, part)
    function: Callable[..., Any] = found
    return function


def make(call: Mapping[str, Any]) -> Any:
    """Make a call and return what it returns, whatever that is, or let pass what it raises."""
    return resolve(call["target"])(*call.get("args", []), **call.get("kwargs", {}))


def perform(environment: Mapping[str, str]) -> int:
    """Make the call of the claim that the environment names and return the exit code."""
    environment = dict(environment)  # as the worker gave it, whatever the function does to it
    call = _read(environment)
    if call is None:
        return _NO_JOB
    try:
        value = make(call)
        if value is not None:
            _keep(value, environment.get(wishes.RESULT, os.devnull))
        return 0
    except SystemExit as leaving:
        return _code_of(leaving)
    except Retry as asked:
        _say(f"{type(asked).__name__}: {asked}" if str(asked) else type(asked).__name__)
        with open(environment.get(wishes.RETRY_AFTER, os.devnull), "w", encoding="ascii") as file:
            file.write(asked.wish)
        return asked.code
    except _NotKept as error:
        _say(f"what {call['target']} returned cannot be kept: {error}")
        return callables.NOT_PLAIN
    except BaseException as error:
        tell(error)
        return 1


def main() -> int:
    """Make the call of the job that this process was started for."""
    for stream in (sys.stdout, sys.stderr):  # so that a log can be followed, and is in order
        reconfigure = getattr(stream, "reconfigure", None)
        if reconfigure is not None:
            reconfigure(line_buffering=True)
    return perform(config.environment())


def _read(environment: Mapping[str, str]) -> Optional[Dict[str, Any]]:
    spool, claim = environment.get("SPOOLQ_SPOOL"), environment.get(COOKIE)
    if not spool or not claim:
        _say("python -m spoolq.call is started by a worker, for a job of Spool.enqueue_call")
        return None
    try:
        with open(os.path.join(spool, "processing", claim), "rb") as file:
            job = Job.from_bytes(file.read(MAX_FILE + 1), MAX_FILE)
    except (OSError, InvalidJob) as error:
        _say(f"processing/{claim} cannot be read: {error}")
        return None
    if job.call is None:
        _say(f"processing/{claim} has no call")
    return job.call


def as_json(value: Any) -> bytes:
    """Return what a call returned as it is kept.

    Raises:
        InvalidJob: JSON would not bring it back as it is, or it is too long.
    """
    callables.require_plain(value, ("result",))
    data = json.dumps({"result": value}, ensure_ascii=False).encode("utf-8")
    if len(data) > wishes.MOST_RESULT:
        too_long = f"is {len(data)} bytes of JSON, and {wishes.MOST_RESULT} are kept"
        raise InvalidJob(too_long, path=("result",))
    return data


def _keep(value: Any, path: str) -> None:
    try:
        data = as_json(value)
    except InvalidJob as error:
        raise _NotKept(str(error)) from None
    with open(path, "wb") as file:
        file.write(data)


def _code_of(leaving: SystemExit) -> int:
    """Return the exit code that a SystemExit asks for, as Python itself reads it."""
    if leaving.code is None:
        return 0
    if isinstance(leaving.code, int):
        return leaving.code & 0xFF
    _say(str(leaving.code))
    return 1


def tell(error: BaseException) -> None:
    """Write a traceback to stderr, from the function on: how it came to be called says nothing."""
    import importlib
    import traceback

    trace = error.__traceback__
    while trace is not None:
        place = trace.tb_frame.f_code.co_filename
        if place not in (__file__, importlib.__file__) and not place.startswith(
            "<frozen importlib"
        ):
            break
        trace = trace.tb_next
    traceback.print_exception(type(error), error, trace)


def _say(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    from spoolq import call  # what raises `spoolq.call.Retry` means that module, not this copy

    sys.exit(call.main())

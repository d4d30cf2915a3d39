"""What came of a call of Python: the value that it returned, or why there is none."""

from __future__ import annotations

from typing import Any, Optional

from spoolq.errors import Busy, InvalidJob, JobFailed, WrongState
from spoolq.job import Job, ended


def of(job_id: str, state: str, job: Optional[Job], problem: Optional[InvalidJob]) -> Any:
    """Return what the call of a job has returned.

    Raises:
        Busy: it has not ended yet, or will be tried again.
        JobFailed: it is dead; `output` is what it printed last.
        WrongState: it is no call.
    """
    if job is None or problem is not None:
        raise JobFailed(f"{job_id} is no job: {problem}", output="")
    if job.call is None:
        raise WrongState(
            f"{job_id} runs a command, which returns no value",
            hint="what it printed is in its log",
        )
    last = job.history[-1] if job.history else {}
    if state == "completed":
        return last.get("result")
    if state == "dead":
        runs = len(job.history)
        what = f"{ended(last)}, after {runs} run{'s' if runs != 1 else ''}" if runs else "dead"
        output = str(last.get("output", ""))
        lines = [line for line in output.splitlines() if line.strip()]
        said = f": {lines[-1]}" if lines and "exit_code" in last else ""
        raise JobFailed(
            f"{job_id} failed ({what}){said}", output=output, hint=f"spoolq show {job_id}"
        )
    raise Busy(f"{job_id} has not ended: it is {state}", hint="wait for it, or ask again later")

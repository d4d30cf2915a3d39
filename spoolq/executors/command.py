"""What is run for a job, and with which variables: the same on every executor."""

from __future__ import annotations

from typing import Dict, List

from spoolq import platform, wishes
from spoolq.executors import Run
from spoolq.processes import COOKIE


def words(run: Run) -> List[str]:
    """Return the program and its arguments: a job's text goes to the shell."""
    command = run.job.command
    if isinstance(command, str):
        return platform.shell_command(command, run.settings.shell)
    return command


def variables(run: Run, spool_path: str) -> Dict[str, str]:
    """Return what a command finds in its environment besides its worker's."""
    claim = run.claim
    is_call = run.job.call is not None
    result = {wishes.RESULT: wishes.result_path(claim, spool_path)} if is_call else {}
    return {
        **run.job.fields.get("env", {}),
        "SPOOLQ_JOB_ID": claim.id,
        "SPOOLQ_ATTEMPT": str(claim.attempt),
        "SPOOLQ_SPOOL": spool_path,
        "SPOOLQ_WORKER": claim.worker or "",
        COOKIE: str(claim),
        **wishes.variables(claim, spool_path),
        **result,
    }

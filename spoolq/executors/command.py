"""What is run for a job, with which variables, and why it cannot be: the same on every executor."""

from __future__ import annotations

import errno
from typing import Dict, List, Optional, Tuple

from spoolq import platform, tokens, wishes, workdirs
from spoolq.executors import Run
from spoolq.processes import COOKIE

NOT_FOUND, NOT_EXECUTABLE = 127, 126  # as shells say it
#: What the system says when it has no room for a process; the job is not to blame.
NO_ROOM = frozenset({errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE} | platform.FULL_ERRNOS)


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
    more = {wishes.RESULT: wishes.result_path(claim, spool_path)} if is_call else {}
    if run.job.fields.get("workdir"):
        more[workdirs.VARIABLE] = workdirs.path_of(claim.id, spool_path)
    return {
        **run.job.fields.get("env", {}),
        "SPOOLQ_JOB_ID": claim.id,
        "SPOOLQ_ATTEMPT": str(claim.attempt),
        "SPOOLQ_SPOOL": spool_path,
        "SPOOLQ_WORKER": claim.worker or "",
        COOKIE: str(claim),
        **wishes.variables(claim, spool_path),
        **more,
        **({tokens.VARIABLE: " ".join(one.name for one in run.tokens)} if run.tokens else {}),
    }


def refusal(error: Exception, cwd: Optional[str]) -> Tuple[int, str]:
    """Return exit code and error of a command that cannot be started."""
    code = NOT_FOUND if isinstance(error, FileNotFoundError) else NOT_EXECUTABLE
    reason = str(error)
    if isinstance(error, OSError) and error.filename:
        what = "its directory" if error.filename == cwd else "the program"
        reason = f"{what} {error.filename!r}: {error.strerror}"
    return code, f"cannot start: {reason}"

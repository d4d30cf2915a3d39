"""What is done beside the jobs: whether the programs in hooks/ are any that a worker runs."""

from __future__ import annotations

import os
import stat
from typing import Iterator

from spoolq import hooks
from spoolq.doctor.finding import Finding, note, problem
from spoolq.doctor.patient import Patient
from spoolq.errors import BadInput, UnsafeSpool
from spoolq.text import closest


def programs(patient: Patient) -> Iterator[Finding]:
    """Find hooks that are not run, as a worker of the spool's owner judges them."""
    try:
        info = patient.spool.root.stat(hooks.DIRECTORY)
    except FileNotFoundError:
        return
    if not stat.S_ISDIR(info.st_mode):
        what = "no directory: no hook in it is run"
        yield problem("hook", hooks.DIRECTORY, what, "move it away, then: mkdir -m 0700 hooks")
        return
    directory = patient.spool.root.sub(hooks.DIRECTORY)
    try:
        entries = sorted(directory.list())
    finally:
        directory.close()
    for entry in entries:
        path = os.path.join(hooks.DIRECTORY, entry)
        if entry in hooks.HOOKS:
            yield from _judge(patient, path, entry)
        elif entry.startswith("on-") and "." not in entry:
            meant = closest(entry, hooks.HOOKS)
            fix = f"mv it to {meant}" if meant else "the hooks are " + ", ".join(hooks.HOOKS)
            yield note("hook", path, "no worker runs it: it has no hook's name", fix)


def _judge(patient: Patient, path: str, hook: str) -> Iterator[Finding]:
    real = os.path.realpath(patient.path)
    try:
        hooks.program(real, hook, patient.settings.group, patient.owner)
    except OSError as error:
        yield problem("hook", path, f"it cannot be run: {error.strerror}", "mend it, or remove it")
    except UnsafeSpool as error:
        yield problem("unsafe", path, str(error), error.hint or "")
    except BadInput as error:
        yield note("hook", path, str(error), error.hint or "")

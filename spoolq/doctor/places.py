"""The directories and the settings: whether they are there, whose they are, who may do what."""

from __future__ import annotations

import os
import shlex
import stat
from functools import partial
from typing import Callable, Iterator, Optional

from spoolq import config, instants, platform, schedules, trust
from spoolq.doctor.finding import Finding, note, problem
from spoolq.doctor.patient import Patient
from spoolq.errors import WrongFormat
from spoolq.layout import DIRECTORIES


def directories(patient: Patient) -> Iterator[Finding]:
    """Find directories that are missing, unusable, or elsewhere."""
    root = patient.spool.root
    for name in ("", *DIRECTORIES):
        path = os.path.join(patient.path, name) if name else patient.path
        try:
            info = root.stat(name or ".")
        except FileNotFoundError:
            yield problem(
                "missing",
                name,
                "this directory of the spool is not there",
                f"mkdir -m 0700 {shlex.quote(path)}",
                partial(patient.make_dir, name),
            )
            continue
        if not stat.S_ISDIR(info.st_mode):
            what = "a link" if stat.S_ISLNK(info.st_mode) else "a file"
            fix = f"move it away, then: mkdir -m 0700 {shlex.quote(path)}"
            yield problem("not-a-directory", name, f"{what} where a directory belongs", fix)
            continue
        yield from _access(patient, name, path, info)
        if info.st_dev != root.stat().st_dev:
            yield problem(
                "other-filesystem",
                name,
                "it is on another filesystem than the spool, and nothing can be renamed across",
                "keep all of the spool on one filesystem",
            )


def _access(patient: Patient, name: str, path: str, info: os.stat_result) -> Iterator[Finding]:
    if platform.WINDOWS:
        return
    mode = stat.S_IMODE(info.st_mode)
    if mode & 0o700 != 0o700:
        wanted = mode | 0o700
        what = f"its owner cannot use it, with the mode {mode:04o}"
        yield _chmod(patient, "no-access", name, path, wanted, what)
    if patient.settings.group and mode & 0o2070 != 0o2070:
        wanted = mode | 0o2770
        what = f"the group {patient.settings.group} cannot submit, with the mode {mode:04o}"
        yield _chmod(patient, "no-access", name, path, wanted, what)
    if patient.settings.group and info.st_gid != platform.group_id(patient.settings.group):
        yield problem(
            "no-access",
            name,
            f"it belongs to group {info.st_gid}, not to {patient.settings.group}, which may submit",
            f"chgrp {shlex.quote(patient.settings.group)} {shlex.quote(path)}",
        )
    if not name and mode & stat.S_IROTH and mode & stat.S_IXOTH:
        yield note(
            "readable",
            name,
            "everybody can read the jobs here, with what is in their environment",
            f"chmod o-rx {shlex.quote(path)}",
        )


def _chmod(patient: Patient, code: str, name: str, path: str, mode: int, what: str) -> Finding:
    fix = f"chmod {mode:04o} {shlex.quote(path)}"
    return problem(code, name, what, fix, _mode_setter(path, mode))


def _mode_setter(path: str, mode: int) -> Optional[Callable[[], None]]:
    if os.lstat(path).st_uid != platform.effective_user():
        return None
    return partial(platform.change_mode, path, mode)


def safety(patient: Patient) -> Iterator[Finding]:
    """Find where somebody else could put commands, as a worker judges it."""
    real = os.path.realpath(patient.path)
    paths = {name: os.path.join(real, name) for name in (*DIRECTORIES, schedules.PLACE)}
    # A link's own mode says nothing, and its target is not ours to mend.
    inner = [n for n, path in paths.items() if os.path.isdir(path) and not os.path.islink(path)]
    group = patient.settings.group
    for place, refusal in trust.refusals(real, inner, group, patient.owner):
        inside = place == real or os.path.dirname(place) == real
        mend = None
        mode = stat.S_IMODE(os.lstat(place).st_mode)
        # What may be tightened without a loss: the group that may submit keeps its right.
        keep = 0o020 if group else 0
        if inside and mode & 0o022 & ~keep:
            mend = _mode_setter(place, mode & ~(0o022 ^ keep))
        path = os.path.relpath(place, real) if inside and place != real else ""
        yield problem("unsafe", path if inside else place, str(refusal), refusal.hint or "", mend)


def settings(patient: Patient) -> Iterator[Finding]:
    """Find what is wrong with config.json."""
    error = patient.config_error
    if error is not None:
        code = "format" if isinstance(error, WrongFormat) else "config"
        fix = error.hint or f"mend {shlex.quote(os.path.join(patient.path, config.FILE))}"
        yield problem(code, config.FILE, str(error), fix)
    for warning in patient.warnings:
        yield note("unknown-setting", config.FILE, warning, "spoolq config list shows the keys")


def scheduled(patient: Patient) -> Iterator[Finding]:
    """Find schedules of which nothing is enqueued."""
    found = schedules.summary(patient.spool, patient.settings, instants.now())
    for path, what in found.problems:
        fix = f"mend it, or remove it: {shlex.quote(os.path.join(patient.path, path))}"
        yield problem("schedule", path, what, fix)

"""Negative controls: a worse spoolq as a process of its own, or a kernel that lies.

A `sitecustomize` that comes first in PYTHONPATH makes the program a worse one as Python starts; it
takes the variants of the fault loop's controls, and some of its own.
"""

import contextlib
import os
import sys
import tempfile
from typing import List, NamedTuple, Sequence

from spoolq import fsio, lease, recovery, spool

from ..loop import controls as loop_controls
from . import campaign, plan
from .operations import OPERATIONS
from .plan import AFTER, BEFORE, ON, ONCE, Case

_SITE = """import runpy
from tests.faults.syscalls import controls
if {site!r}:
    runpy.run_path({site!r} + "/sitecustomize.py")
controls.spoil({name!r})
"""
_spoiled: List[contextlib.AbstractContextManager] = []


class Control(NamedTuple):
    """A rule that is broken, and where that has to show."""

    name: str
    operation: str
    calls: Sequence[str]
    most: int = 6
    since: str = ""  # only from the first call on that has this in it
    within: str = ""  # only in this directory
    in_recovery: bool = False  # the worker that recovers is the worse one
    kinds: Sequence[str] = (BEFORE, AFTER)


CONTROLS = [
    Control("moved before it is recorded", "run to completed", ["openat"], within="outcome"),
    Control("a job is written where it waits", "enqueue 3", ["write"], within="pending"),
    Control("a claim is a link and an unlink", "run to completed", ["unlinkat"], within="pending"),
    Control("a takeover copies and unlinks", "recover", ["write", "unlinkat"], within="processing"),
    Control("a recorded outcome is not looked for", "recover", ["exit_group"]),
    Control("an id is told before its job is there", "enqueue one", ["renameat2"]),
    Control(
        "what is left of a run is not ended",
        "be cancelled",
        ["close", "write", "openat"],
        since="CLONE_VFORK",
        in_recovery=True,
    ),
    Control("a kernel that drops four bytes", "enqueue 3", ["write"]),
    Control(
        "a refused sync is passed over",
        "run to completed, in a thread",
        ["fdatasync"],
        kinds=(ONCE, ON),
    ),
]


def spoil(name: str) -> None:
    """Make the spoolq of this process the worse one."""
    for control in loop_controls.CONTROLS:
        if control.name == name:
            context = control.variant()
            context.__enter__()
            _spoiled.append(context)  # or it would end with its last reference
    if name == "an id is told before its job is there":
        _tell_early()
    if name == "a refused sync is passed over":
        _pass_over()
    if name == "what is left of a run is not ended":
        recovery.find_all = lambda marks: [[] for _ in marks]
        lease_probe = lease.probe
        lease.probe = lambda spool, worker, lock="lock": (
            "free" if lock != "lock" else lease_probe(spool, worker)
        )


def _pass_over() -> None:
    sync_outcomes = spool.SpoolDir.sync_outcomes

    def worse(self, worker_dir, files, durability):
        with contextlib.suppress(OSError):
            sync_outcomes(self, worker_dir, files, durability)

    spool.SpoolDir.sync_outcomes = worse


def _tell_early() -> None:
    write_together = fsio.write_together

    def worse(directory, files, *, sync):
        for filename in files:
            sys.stdout.write(filename.split(".")[3] + "\n")
        sys.stdout.flush()
        write_together(directory, files, sync=sync)

    spool.write_together = worse


_ROUNDS = 3


def caught(control: Control) -> int:
    """Run some cases on the worse spoolq and return how many noticed.

    How often a worker looks depends on the time, so all calls of a round may be others than planned
    (seen once): then the next round, prepared anew, tells.
    """
    for _ in range(_ROUNDS):
        noticed = _caught_once(control)
        if noticed:
            return noticed
    return 0


def _caught_once(control: Control) -> int:
    operation = next(one for one in OPERATIONS if one.name == control.operation)
    with tempfile.TemporaryDirectory(prefix="spoolq-worse-", dir=campaign.scratch()) as top:
        first = os.path.join(top, "first")
        os.mkdir(first)
        with open(os.path.join(first, "sitecustomize.py"), "w", encoding="ascii") as file:
            file.write(_SITE.format(name=control.name, site=campaign.site(operation)))
        prepared = campaign.prepare(operation, top, "" if control.in_recovery else first)
        if control.in_recovery:
            prepared = prepared._replace(recovers_with=first)
        cases = plan.cases(operation.name, prepared.trace, spawns=False)
        if "kernel" in control.name:
            chosen = [_lying(case) for case in cases if case.kind == plan.ZERO]
        else:
            chosen = _chosen(control, cases)
        tries = campaign.try_all([prepared], _spread(chosen, control.most))
    return sum(bool(done.wrong) for done in tries) + bool(prepared.wrong)


def _chosen(control: Control, cases: List[Case]) -> List[Case]:
    if control.since:
        first = next(at for at, case in enumerate(cases) if control.since in case.text)
        cases = cases[first + 1 :]
    return [
        case
        for case in cases
        if case.kind in control.kinds and case.call in control.calls and control.within in case.text
    ]


def _lying(case: Case) -> Case:
    """Return a case in which a write says that it wrote four bytes, and wrote none."""
    options = [option.replace("retval=0", "retval=4") for option in case.options]
    return case._replace(options=tuple(options))


def _spread(cases: List[Case], most: int) -> List[Case]:
    """Return at most so many cases, evenly from first to last."""
    step = max(1, -(-len(cases) // most))
    return cases[::step]

"""What is wrong with a spool and its machine, as data; mended on request where nothing is lost.

Every check stands alone: one that cannot be made is a finding itself. What may be a job on the
move or a worker about to mend it is looked at twice, and counts only if it stood still.

`repair` makes directories that are missing, takes modes back that are too open, and does what any
worker does at its start: finish moves, take claims of the dead over, sweep. It removes no job, no
log and nothing in dead/, ends no command, and never chooses between two jobs of one id.
"""

from __future__ import annotations

import shlex
import time
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Set, Tuple

from spoolq import config
from spoolq.doctor import crew, entries, machine, places
from spoolq.doctor.finding import CODES, NOTE, PROBLEM, Finding, problem
from spoolq.doctor.machine import Facts
from spoolq.doctor.patient import Patient
from spoolq.errors import SpoolqError

__all__ = ["CODES", "NOTE", "PROBLEM", "Finding", "Report", "examine"]

_MOVING = 1.5  # seconds in which a living worker recovers, claims and moves: it looks each second
_ROUNDS = 3  # a directory that is made can bring to light what is wrong in it


class Report(NamedTuple):
    """What was found, repaired things first, and what is true of the place."""

    path: str
    findings: List[Finding]
    facts: Facts

    @property
    def is_well(self) -> bool:
        """Whether nothing is wrong, or not any more."""
        return not any(f.severity == PROBLEM and not f.repaired for f in self.findings)

    def as_dict(self) -> Dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "spool": self.path,
            "ok": self.is_well,
            "findings": [finding.as_dict() for finding in self.findings],
            "facts": self.facts,
        }


def examine(path: str, *, repair: bool = False) -> Report:
    """Look at a spool, whole or broken, and at the machine.

    Args:
        repair: mend what can be mended without a loss, and say what was.

    Raises:
        NoSpool: there is none.
        StorageFailed: this user cannot enter it.
    """
    facts = machine.versions()
    found = _look_closely(path, facts)
    repaired: List[Finding] = []
    failures: List[Finding] = []
    for _ in range(_ROUNDS if repair else 0):
        tried, failures = _mend(path, found)
        if not tried:
            break
        found = _look_closely(path, facts)
        left = {_key(finding) for finding in found}
        mended = [finding for finding in tried if _key(finding) not in left]
        repaired += [finding._replace(repaired=True, mend=None) for finding in mended]
        if not mended:
            break
    found += failures
    found.sort(key=lambda finding: (finding.severity != PROBLEM, [*CODES].index(finding.code)))
    return Report(_shown(path), repaired + found, facts)


def _shown(path: str) -> str:
    patient = Patient(path)
    patient.close()
    return patient.path


def _key(finding: Finding) -> Tuple[str, str]:
    return finding.code, finding.path


def _look_closely(path: str, facts: Facts) -> List[Finding]:
    """Look once at what stands still, and twice at what may be on the move."""
    patient = Patient(path)
    try:
        facts["workers"] = len(crew.Crew.muster(patient).at_work())
        still = _look(patient, _STANDING, facts)
        moving = _look_at_jobs(patient)
        if moving:
            time.sleep(_MOVING)
            first = {_key(finding) for finding in moving}
            moving = [finding for finding in _look_at_jobs(patient) if _key(finding) in first]
        return still + moving
    finally:
        patient.close()


_STANDING: Tuple[Tuple[str, Callable[[Patient, Facts], Iterator[Finding]]], ...] = (
    ("the directories", lambda patient, _: places.directories(patient)),
    ("who may write here", lambda patient, _: places.safety(patient)),
    (config.FILE, lambda patient, _: places.settings(patient)),
    ("the filesystem", machine.filesystem),
    ("what works in tmp/", machine.trials),
    ("inotify", machine.inotify),
)


def _look_at_jobs(patient: Patient) -> List[Finding]:
    # Workers are mustered before the claims are listed: one that starts in between is no orphan's.
    listing = entries.Listing.take(patient)
    found: List[Finding] = []
    for what, check in (
        ("ids", entries.doubled),
        ("the job files", entries.files),
        ("logs/", entries.orphaned_logs),
        ("tmp/", entries.litter),
    ):
        found += _guarded(what, check(patient, listing))
    hands = crew.Crew.muster(patient)
    for what, look in (
        ("processing/", crew.claims),
        ("workers/", crew.workers),
        ("what waits", crew.waiting),
    ):
        found += _guarded(what, look(patient, hands))
    return found


def _look(patient: Patient, checks: Any, facts: Facts) -> List[Finding]:
    found: List[Finding] = []
    for what, check in checks:
        found += _guarded(what, check(patient, facts))
    return found


def _guarded(what: str, check: Iterator[Finding]) -> List[Finding]:
    """Return what a check finds; that it cannot look is a finding too."""
    found = []
    try:
        for finding in check:
            found.append(finding)
    except (OSError, SpoolqError) as error:
        fix = getattr(error, "hint", None) or "see what the system says of it"
        found.append(problem("check-failed", what, f"cannot be looked at: {error}", fix))
    return found


def _mend(path: str, found: List[Finding]) -> Tuple[List[Finding], List[Finding]]:
    """Mend what can be; return what was tried, and what went wrong with it."""
    patient = Patient(path)
    patient.close()
    mendable = [finding for finding in found if finding.mend is not None]
    if mendable and not patient.may_mend:
        command = f"sudo -u '#{patient.owner}' spoolq --spool {shlex.quote(patient.path)} doctor"
        what = f"it belongs to user {patient.owner}, who alone may repair it"
        return [], [problem("not-yours", "", what, f"{command} --repair")]
    failures = []
    done: Set[Any] = set()
    for finding in mendable:
        mend: Any = finding.mend
        if getattr(mend, "__name__", "") == "recover":
            if "recover" in done:
                continue  # it mends all of its kind at once
            done.add("recover")
        try:
            mend()
        except (OSError, SpoolqError) as error:
            what = f"{finding.code} could not be repaired: {error}"
            failures.append(problem("not-repaired", finding.path, what, finding.fix))
    return mendable, failures

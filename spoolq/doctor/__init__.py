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

from spoolq import config, names
from spoolq.doctor import beside, crew, entries, kept, machine, places
from spoolq.doctor.finding import CODES, NOTE, PROBLEM, Finding, problem
from spoolq.doctor.machine import Facts
from spoolq.doctor.patient import Patient
from spoolq.errors import SpoolqError
from spoolq.layout import STATES, words

__all__ = ["CODES", "NOTE", "PROBLEM", "Finding", "Report", "examine"]

_MOVING = 1.5  # seconds in which a living worker recovers, claims and moves: it looks each second
_STILL = 0.2  # and without one a verb, or a program that drops a job
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
    patient = Patient(path)
    try:
        found = _look_closely(patient, facts)
        repaired: List[Finding] = []
        for _ in range(_ROUNDS if repair else 0):
            tried, failures = _mend(patient, found)
            found = _look_closely(patient, facts) + failures if tried else found + failures
            left = {_key(finding) for finding in found}
            mended = [finding for finding in tried if _key(finding) not in left]
            repaired += [finding._replace(repaired=True, mend=None) for finding in mended]
            if not mended:
                found += [] if failures else _in_vain(tried, found)
                break
    finally:
        patient.close()
    order = [*CODES]
    found.sort(key=lambda finding: (finding.severity != PROBLEM, order.index(finding.code)))
    return Report(patient.path, repaired + found, facts)


def _key(finding: Finding) -> Tuple[str, str]:
    return finding.code, finding.path


def _look_closely(patient: Patient, facts: Facts) -> List[Finding]:
    """Look once at what stands still, and twice at what may be on the move."""
    found: List[Finding] = []
    for what, check in _STANDING:
        found += _guarded(what, check(patient, facts))
    moving = _look_at_jobs(patient, facts)
    if moving:
        time.sleep(_MOVING if facts.get("workers") else _STILL)
        first = {_key(finding) for finding in moving}
        moving = [finding for finding in _look_at_jobs(patient, facts) if _key(finding) in first]
    return found + moving


def _in_vain(tried: List[Finding], found: List[Finding]) -> List[Finding]:
    """Say of what is left as it was, though nothing went wrong, that it cannot be mended so."""
    left = {_key(finding) for finding in found}
    return [
        problem("not-repaired", f.path, f"the repair of {f.code} changed nothing", f.fix)
        for f in tried
        if _key(f) in left
    ]


_STANDING: Tuple[Tuple[str, Callable[[Patient, Facts], Iterator[Finding]]], ...] = (
    ("the directories", lambda patient, _: places.directories(patient)),
    ("who may write here", lambda patient, _: places.safety(patient)),
    (config.FILE, lambda patient, _: places.settings(patient)),
    ("hooks/", lambda patient, _: beside.programs(patient)),
    ("schedules/", lambda patient, _: places.scheduled(patient)),
    ("the filesystem", machine.filesystem),
    ("what works in tmp/", machine.trials),
    ("inotify", machine.inotify),
)


def _look_at_jobs(patient: Patient, facts: Facts) -> List[Finding]:
    listing = entries.Listing.take(patient)
    found: List[Finding] = []
    for what, check in (
        ("ids", entries.doubled),
        ("the job files", entries.files),
        ("logs/", entries.orphaned_logs),
        ("tmp/", entries.litter),
        ("work/", kept.work),
        ("what waits for others", kept.waits),
    ):
        found += _guarded(what, check(patient, listing))
    # RACE: the workers are seen before the claims are listed, so that one who starts in between
    # is not taken for gone (test_workers_that_run_jobs_meanwhile_are_not_disturbed).
    hands = crew.Crew.muster(patient)
    facts["workers"] = len(hands.at_work())
    facts["jobs"] = {state: sum(map(names.is_job, listing.states[state])) for state in STATES}
    for what, look in (
        ("processing/", crew.claims),
        ("workers/", crew.workers),
        ("what waits", crew.waiting),
    ):
        found += _guarded(what, look(patient, hands))
    return found


def _guarded(what: str, check: Iterator[Finding]) -> List[Finding]:
    """Return what a check finds; that it cannot look is a finding too."""
    found = []
    try:
        for finding in check:
            found.append(finding)
    except (OSError, SpoolqError) as error:
        fix = getattr(error, "hint", None) or "see what the system says of it"
        found.append(problem("check-failed", what, f"cannot be looked at: {words(error)}", fix))
    return found


def _mend(patient: Patient, found: List[Finding]) -> Tuple[List[Finding], List[Finding]]:
    """Mend what can be; return what was tried, and what went wrong with it."""
    mendable = [finding for finding in found if finding.mend is not None]
    if not patient.knows_format:
        return [], []
    if mendable and not patient.is_ours:
        spool = shlex.quote(patient.path)
        fix = f"sudo -u '#{patient.owner}' spoolq --spool {spool} doctor --repair"
        what = f"it belongs to user {patient.owner}, who alone may repair it"
        return [], [problem("not-yours", "", what, fix)]
    failures = []
    done: Set[Callable[[], None]] = set()
    for finding in mendable:
        if finding.mend is None or finding.mend in done:
            continue  # `recover` mends all of its kind at once
        done.add(finding.mend)
        try:
            finding.mend()
        except (OSError, SpoolqError) as error:
            what = f"the repair of {finding.code} failed: {words(error)}"
            failures.append(problem("not-repaired", finding.path, what, finding.fix))
    return mendable, failures

"""The jobs and what lies beside them: doubled, no jobs at all, forgotten in the making.

At most `PARSED` ended jobs are read, so that a look at a large spool ends within seconds; what
waits or runs is read whatever its number.
"""

from __future__ import annotations

import os
import shlex
import stat
import time
from functools import partial
from typing import Dict, Iterator, List, NamedTuple, Optional

from spoolq import instants, logs, names, platform, views
from spoolq.doctor.finding import PROBLEM, Finding, note, problem
from spoolq.doctor.patient import Patient
from spoolq.layout import BELL, STATES
from spoolq.recovery import LITTER_AGE

PARSED = 2000
_STILL_WRITTEN = 5.0  # seconds beyond `settle` that a worker takes to judge a drop
_FAR = 10 * 365.25 * 86_400
_KEPT = (".gitignore", ".gitkeep")


class Listing(NamedTuple):
    """What was in the spool at one look: logs first, so that a log's job is not missed."""

    logs: List[str]
    states: Dict[str, List[str]]

    @classmethod
    def take(cls, patient: Patient) -> Listing:
        """Read the directories, in the order of a job's life."""
        found = list(patient.files("logs"))
        return cls(found, {state: list(patient.files(state)) for state in STATES})


def doubled(patient: Patient, listing: Listing) -> Iterator[Finding]:
    """Find ids that several jobs have."""
    places: Dict[str, List[str]] = {}
    for state, entries in listing.states.items():
        for entry in entries:
            job_id = names.id_in(entry)
            if job_id:
                places.setdefault(job_id, []).append(f"{state}/{entry}")
    for job_id, paths in places.items():
        if len(paths) > 1:
            others = " and ".join(paths[:-1])
            # Which of them is right nobody but a person can say: nothing is repaired here.
            yield problem(
                "doubled-id",
                paths[-1],
                f"{others} has the same id, {job_id}: nothing tells the jobs apart",
                f"look at them, and move all but one out of the spool: "
                f"ls -l {shlex.quote(patient.path)}/*/*{job_id}*",
            )


def files(patient: Patient, listing: Listing) -> Iterator[Finding]:
    """Find files that are no jobs, or come from a stranger, or wait for ever."""
    far = instants.to_stamp(instants.later(instants.now(), _FAR))
    for state, entries in listing.states.items():
        jobs = [entry for entry in entries if names.is_job(entry)]
        if state in ("completed", "dead"):
            jobs = sorted(jobs, reverse=True)[:PARSED]
        for filename in jobs:
            found = _judge(patient, state, filename)
            if found is not None:
                yield found
            elif state in ("pending", "failed") and names.parse(filename) and filename > far:
                yield note(
                    "far-future",
                    f"{state}/{filename}",
                    "it is not due for more than ten years",
                    f"spoolq cancel {names.id_in(filename)}",
                )
        ignored = [e for e in entries if not names.is_job(e) and not e.startswith((BELL, *_KEPT))]
        if ignored:
            yield note(
                "ignored",
                f"{state}/{min(ignored)}",
                f"{len(ignored)} entries of {state}/ are no jobs by their names, and left alone",
                "a job's name ends in .json and starts with no dot",
            )


def _judge(patient: Patient, state: str, filename: str) -> Optional[Finding]:
    path = f"{state}/{filename}"
    try:
        info = patient.spool.dir(state).stat(filename)
    except FileNotFoundError:
        return None
    age = time.time() - info.st_mtime
    if state == "pending" and 0 <= age < patient.settings.settle + _STILL_WRITTEN:
        return None  # may still be written; and what a worker judges anyway is no news
    whole = shlex.quote(os.path.join(patient.path, path))
    if state in ("pending", "processing", "failed") and not platform.WINDOWS:
        foreign = info.st_uid not in (0, patient.owner) and not patient.settings.group
        theirs = info.st_uid != patient.owner and patient.owner != 0
        unreadable = theirs and not info.st_mode & (stat.S_IRGRP | stat.S_IROTH)
        if foreign or unreadable:
            why = "who may not run commands here" if foreign else "and its worker cannot read it"
            what = f"it belongs to user {info.st_uid}, {why}"
            return problem("foreign-file", path, what, f"chown {patient.owner} {whole}")
    view = views.look(patient.spool, state, filename, patient.settings)
    if view is None or view.problem is None:
        return None
    harmless = state in ("completed", "dead")
    say = note if harmless else problem
    fix = f"mend or remove it: {whole}"
    if state == "dead":
        fix = f"mend it, then: spoolq dlq retry {shlex.quote(view.id)}"
    return say("unparseable", path, str(view.problem), fix)


def orphaned_logs(patient: Patient, listing: Listing) -> Iterator[Finding]:
    """Find logs whose jobs are gone; which are there is known only if all states can be seen."""
    if any(patient.dir(state) is None for state in STATES):
        return
    ids = {names.id_in(entry) for entries in listing.states.values() for entry in entries}
    alone = []
    for entry in listing.logs:
        log = logs.parse(entry)
        if log is not None and log.id not in ids:
            alone.append(entry)
    if alone:
        yield note(
            "log-without-job",
            f"logs/{min(alone)}",
            f"{len(alone)} log(s) of jobs that are not there any more",
            "keep what you need of logs/ and remove the rest; purge removes both together",
        )


def litter(patient: Patient, listing: Listing) -> Iterator[Finding]:
    """Find what died in the making."""
    for entry in listing.states["pending"]:
        if entry.startswith(BELL):
            what = "who rang for the workers died before it was removed"
            yield _sweepable(patient, "litter", f"pending/{entry}", what)
    tmp = patient.dir("tmp")
    for entry in patient.files("tmp"):
        if entry.startswith(".") or tmp is None:
            continue
        try:
            info = tmp.stat(entry)
        except FileNotFoundError:
            continue
        if info.st_nlink > 1 and stat.S_ISREG(info.st_mode):
            twin = _published_as(patient, entry, info)
            if twin is not None:
                yield Finding(
                    "unfinished-move",
                    PROBLEM,
                    f"tmp/{entry}",
                    f"it is published as {twin}; its first name was not removed",
                    f"rm {shlex.quote(os.path.join(patient.path, 'tmp', entry))}",
                    mend=partial(tmp.discard, entry),
                )
                continue
        if time.time() - info.st_mtime > LITTER_AGE:
            what = "older than a day: who made it died in the middle"
            yield _sweepable(patient, "litter", f"tmp/{entry}", what)


def _published_as(patient: Patient, entry: str, info: os.stat_result) -> Optional[str]:
    """Return where the file of tmp/ is published under the same name, None where it is not."""
    pending = patient.dir("pending")
    if pending is None:
        return None
    try:
        same = os.path.samestat(pending.stat(entry), info)
    except FileNotFoundError:
        return None
    return f"pending/{entry}" if same else None


def _sweepable(patient: Patient, code: str, path: str, what: str) -> Finding:
    fix = f"rm -r {shlex.quote(os.path.join(patient.path, path))}"
    return problem(code, path, what, fix, patient.recover)

"""The directories that jobs keep: whether work/ is one, and what of it belongs to no job."""

from __future__ import annotations

import os
import shlex
from typing import Iterator

from spoolq import names, workdirs
from spoolq.doctor.entries import Listing
from spoolq.doctor.finding import Finding, note, problem
from spoolq.doctor.patient import Patient
from spoolq.fsio import Dir
from spoolq.layout import STATES


def _is_empty(directory: Dir) -> bool:
    try:
        return next(directory.scan(), None) is None
    finally:
        directory.close()


def work(patient: Patient, listing: Listing) -> Iterator[Finding]:
    """Find what a worker would have to remove from work/, and what keeps it from using it."""
    if not patient.spool.root.has(workdirs.WORK):
        return
    try:
        directory = workdirs.opened(patient.spool)
    except NotADirectoryError:
        place = shlex.quote(os.path.join(patient.path, workdirs.WORK))
        what = "a link or a file where the directories of jobs belong"
        yield problem("not-a-directory", workdirs.WORK, what, f"move it away: {place}")
        return
    try:
        entries = sorted(directory.scan())
        is_on_its_way_out = workdirs.GONE in entries and not _is_empty(directory.sub(workdirs.GONE))
    finally:
        directory.close()
    if any(patient.dir(state) is None for state in STATES):
        return  # which jobs are there is not known
    needed = {
        names.id_in(entry)
        for state in STATES
        if state != "completed"
        for entry in listing.states[state]
    }
    over = [entry for entry in entries if names.is_id(entry) and entry not in needed]
    if over or is_on_its_way_out:
        first = over[0] if over else workdirs.GONE
        yield note(
            "work-without-job",
            f"{workdirs.WORK}/{first}",
            f"{len(over) or 'some'} directories of jobs that are over are not removed yet",
            "a worker removes them within minutes, and says in its log what it cannot remove",
        )

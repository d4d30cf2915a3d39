"""What a spool has for some of its jobs: work/, and after/ where any of them wait for others."""

from __future__ import annotations

import os
import shlex
import stat
from functools import partial
from typing import Iterator

from spoolq import dependencies, keys, names, tokens, workdirs
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


def waits(patient: Patient, listing: Listing) -> Iterator[Finding]:
    """Find jobs that no worker would let go, and what keeps workers from after/, keys/, limits/."""
    root = patient.spool.root
    for place in (dependencies.PLACE, keys.PLACE, tokens.DIRECTORY):
        if root.has(place) and not stat.S_ISDIR(root.stat(place).st_mode):
            path = shlex.quote(os.path.join(patient.path, place))
            what = "a link or a file where a directory belongs"
            yield problem("not-a-directory", place, what, f"move it away: {path}")
    parsed = map(names.parse, listing.states["pending"])
    waiting = [name.id for name in parsed if name is not None and name.stamp == names.AFTER]
    if waiting and not root.has(dependencies.PLACE):
        more = f" (and {len(waiting) - 1} more)" if len(waiting) > 1 else ""
        # A worker looks after such jobs where this directory is; with it, empty, all go.
        path = shlex.quote(os.path.join(patient.path, dependencies.PLACE))
        yield problem(
            "missing",
            dependencies.PLACE,
            f"what {waiting[0]}{more} waited for is not there, so nobody lets it go",
            f"a worker does once the directory is there: mkdir -m 0700 {path}",
            partial(patient.make_dir, dependencies.PLACE),
        )

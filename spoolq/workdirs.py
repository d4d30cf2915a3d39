"""Directories of jobs, kept from attempt to attempt: for checkpoints.

    work/k3v9x2a7m4q1c/     made before the first run, found again by the next
    work/.gone/…            of jobs that are over: on their way out

A job that asks for one (`"workdir": true`) finds its path in `SPOOLQ_WORKDIR`. One rename into
`.gone` ends it, and whatever was in it is removed after that, by whoever looks; so a kill at any
point leaves something that a later look finishes. Nothing follows a link, enters a mount, or goes
deeper than one level: a directory in a directory is first moved up, beside it.

work/ may be a disk of its own: nothing is renamed between it and the rest of the spool.
"""

from __future__ import annotations

import os
import stat
from typing import Callable, Iterable, Optional, Set

from spoolq import lease, locks, names
from spoolq.fsio import Dir
from spoolq.job import Job, ran
from spoolq.layout import put_away
from spoolq.spool import SpoolDir

VARIABLE = "SPOOLQ_WORKDIR"
WORK = "work"
GONE = ".gone"
_PRIVATE = 0o600  # by which its directories are 0700, in the spool of a group too


def path_of(job_id: str, spool_path: str) -> str:
    """Return where a job's directory is."""
    return os.path.join(spool_path, WORK, job_id)


def opened(spool: SpoolDir) -> Dir:
    """Open work/.

    Raises:
        OSError: it is not there, or no directory; a link is refused.
    """
    work = spool.root.sub(WORK)
    work.file_mode = _PRIVATE
    return work


def provide(spool: SpoolDir, job_id: str, job: Job, *, sync: bool) -> None:
    """Make the directory of a job that is about to run; what its earlier runs left in it stays.

    Of a job that has not run yet it is empty: another one may have had this id.

    Raises:
        OSError: it cannot be made.
    """
    work = _made(spool, sync)
    try:
        if not any(map(ran, job.history)):
            dispose(work, job_id)
        try:
            work.make_dir(job_id)
        except FileExistsError:
            if not stat.S_ISDIR(work.stat(job_id).st_mode):
                raise NotADirectoryError(20, "not a directory", f"{WORK}/{job_id}") from None
            return
        if sync:
            work.sync()  # a checkpoint that a command has synced is not to go with its directory
    finally:
        work.close()


def _made(spool: SpoolDir, sync: bool) -> Dir:
    try:
        return opened(spool)
    except FileNotFoundError:
        root = spool.root
        _make(type(root)(root.path, root.fd, _PRIVATE, root.owner), WORK)
        if sync:
            root.sync()
        return opened(spool)


def _make(parent: Dir, name: str) -> None:
    try:
        parent.make_dir(name)
    except FileExistsError:
        pass  # somebody was faster


def dispose(work: Dir, job_id: str) -> bool:
    """Take a job's directory away by one rename; False if there is none.

    Raises:
        OSError: it cannot be moved: something is mounted there, or it is another user's.
    """
    if not work.has(job_id):
        return False
    _make(work, GONE)
    gone = work.sub(GONE)
    try:
        put_away(work, job_id, gone)
    finally:
        gone.close()
    return True


def sweep(spool: SpoolDir, work: Dir, suspects: Iterable[str]) -> Set[str]:
    """Dispose of what completed jobs have left, and of what no job has at a second look.

    Args:
        suspects: what no job had at the last look.

    Returns:
        What no job had at this look, and was not suspected before.

    Raises:
        OSError, SpoolqError: the spool cannot be read, or its ids cannot be held.
    """
    there = {entry for entry in work.scan() if names.is_id(entry)}
    completed, alone = _over(spool, there)
    known = alone & set(suspects)
    if completed or known:
        # RACE: somebody may enqueue a job of this very id just now, and it may run; not while the
        # ids are held (test_a_directory_is_not_taken_from_a_new_job_of_its_id).
        with locks.held(spool.dir("tmp"), ".ids"):
            for job_id in set.union(*_over(spool, completed | known)):
                dispose(work, job_id)
    return alone - known


def _over(spool: SpoolDir, job_ids: Set[str]) -> tuple[Set[str], Set[str]]:
    """Return those whose jobs have completed, and those that no job has."""
    places = spool.locate(job_ids)
    completed = {job_id for job_id, (state, _) in places.items() if state == "completed"}
    return completed, job_ids - places.keys()


def remove(work: Dir, is_enough: Callable[[], bool]) -> Optional[OSError]:
    """Remove what is on its way out, until that is enough; return what went wrong with any of it.

    Raises:
        OSError: nothing can be seen there.
    """
    try:
        gone = work.sub(GONE)
    except FileNotFoundError:
        return None
    failure: Optional[OSError] = None
    stays: Set[str] = set()
    try:
        while True:
            entries = [entry for entry in gone.list() if entry not in stays]
            if not entries:
                return failure
            for entry in entries:
                if is_enough():
                    return failure
                try:
                    _remove_one(gone, entry)
                except OSError as error:
                    stays.add(entry)
                    failure = failure or error
    finally:
        gone.close()


def _remove_one(gone: Dir, entry: str) -> None:
    try:
        lease.clear(gone, entry, gone)
    except FileNotFoundError:
        pass  # another worker removes it as well
    except NotADirectoryError:
        gone.discard(entry)  # nobody but a person has put it there

"""Which job waits for which others: one empty file in after/ for each that is still waited for.

    after/report.after.load      report runs when load has completed; it dies if load does
    after/report.after-any.load  report runs when load has ended, however that was

Such a job waits in pending/ with a time of its own, `names.AFTER`, that never comes. The files are
made before the job is published, and each goes when what it waits for has come about; a job of that
time that has none of them left is let go. So `ls after/` is what is still open, and to `rm` one is
to wait for it no more.
"""

from __future__ import annotations

import re
from typing import Container, Dict, Iterable, Iterator, List, Mapping, NamedTuple, Optional, Set

from spoolq import annexes, names
from spoolq.errors import InvalidJob
from spoolq.job import Job
from spoolq.layout import put_away
from spoolq.spool import SpoolDir

PLACE = "after"
FIELDS = {"after": True, "after_any": False}  # by whether success is wanted
_WORDS = {True: "after", False: "after-any"}
_MARK = re.compile(r"([^.]+)\.(after|after-any)\.([^.]+)")


class Unknown(InvalidJob):
    """A job waits for one that does not exist, or not yet."""


class Circle(InvalidJob):
    """Jobs wait for each other; none of them would ever run."""

    def __init__(self, jobs: List[str]) -> None:
        names_of_all = " after ".join([*jobs, jobs[0]])
        super().__init__(f"these jobs wait for each other: {names_of_all}", path=("after",))
        self.jobs = jobs


class Wait(NamedTuple):
    """One job waits for another; where `success` is wanted, it dies if the other does."""

    job: str
    success: bool
    other: str

    def __str__(self) -> str:
        return f"{self.job}.{_WORDS[self.success]}.{self.other}"


def parse(filename: str) -> Optional[Wait]:
    """Return what the name of a file in after/ says, or None if it says nothing."""
    match = _MARK.fullmatch(filename)
    if match is None or not (names.is_id(match.group(1)) and names.is_id(match.group(3))):
        return None
    return Wait(match.group(1), match.group(2) == _WORDS[True], match.group(3))


def of(job: Job, job_id: str) -> List[Wait]:
    """Return all that a job has ever waited for, as its fields say."""
    return [
        Wait(job_id, success, other)
        for field, success in FIELDS.items()
        for other in job.fields.get(field, ())
    ]


def still_open(spool: SpoolDir) -> List[Wait]:
    """Return all that is waited for in a spool."""
    place = annexes.opened(spool, PLACE)
    found = map(parse, place.list()) if place is not None else ()
    return [wait for wait in found if wait is not None]


def waits_of(spool: SpoolDir, job_id: str) -> List[Wait]:
    """Return what a job still waits for."""
    return [wait for wait in still_open(spool) if wait.job == job_id]


def in_motion(spool: SpoolDir, waiting: Set[str]) -> bool:
    """Say whether jobs that wait, by their ids, are about to be let go or ended by a worker."""
    waits = still_open(spool)
    if any(job_id not in {wait.job for wait in waits} for job_id in waiting):
        return True
    places = spool.locate({wait.other for wait in waits if wait.job in waiting})
    return any(
        places.get(wait.other, ("dead", ""))[0] in ("completed", "dead")
        for wait in waits
        if wait.job in waiting
    )


def begin(spool: SpoolDir, waits: Iterable[Wait], durability: str) -> None:
    """Let jobs wait that are not in pending/ yet; under the lock on tmp/.ids.

    CRASH: files whose job does not come are swept by whoever holds that lock next and looks
    (test_what_a_killed_enqueue_left_is_swept).
    """
    place = annexes.made(spool, PLACE)
    for wait in waits:
        try:
            place.write(str(wait), b"", sync=False)
        except FileExistsError:
            pass  # of one that died here, or of a job that died waiting, and is tried anew
    if durability != "none":
        place.sync()


def end(spool: SpoolDir, wait: Wait) -> None:
    """Wait for this no more; a directory that somebody has made of that name goes as well."""
    place = annexes.opened(spool, PLACE)
    if place is not None:
        put_away(place, str(wait), spool.dir("tmp"))


def unmet(waits: List[Wait], places: Mapping[str, str], also: Container[str]) -> List[Wait]:
    """Return those of a new job's waits that are not met yet.

    Args:
        places: the state of each job that exists, by its id.
        also: ids of jobs that are to be published with it.

    Raises:
        InvalidJob: one waits for what does not exist, or for the success of what has died.
    """
    left = []
    seen: Dict[str, int] = {}
    for wait in waits:
        field = "after" if wait.success else "after_any"
        index = seen[field] = seen.get(field, -1) + 1
        state = places.get(wait.other)
        if wait.other == wait.job:
            raise InvalidJob("a job cannot wait for itself", path=(field, index))
        if wait.other in also:
            left.append(wait)
        elif state is None:
            raise Unknown(
                f"there is no job {wait.other!r}",
                path=(field, index),
                hint="spoolq list shows them",
            )
        elif state == "dead" and wait.success:
            raise InvalidJob(
                f"job {wait.other} is dead",
                path=(field, index),
                hint=f"spoolq retry {wait.other};  or wait for its end alone, by after_any",
            )
        elif state not in ("completed", "dead"):
            left.append(wait)
    return left


def refuse_circles(waits: List[Wait]) -> None:
    """Refuse jobs of one batch that wait for each other in a circle.

    Raises:
        Circle: two or more do.
    """
    by_job: Dict[str, List[str]] = {}
    for wait in waits:
        by_job.setdefault(wait.job, []).append(wait.other)
    done: Dict[str, bool] = {}  # False while its own waits are followed
    for start in by_job:
        path: List[Iterator[str]] = [iter([start])]
        trail: List[str] = []
        while path:
            for other in path[-1]:
                if done.get(other) is False:
                    raise Circle(trail[trail.index(other) :])
                if other in by_job and other not in done:
                    done[other] = False
                    trail.append(other)
                    path.append(iter(by_job[other]))
                    break
            else:
                path.pop()
                if trail and len(path) == len(trail):
                    done[trail.pop()] = True

"""What is in a spool: counts, jobs and workers, as they are at the moment of a look.

Nothing here changes anything. A listing may miss a file that moves meanwhile, so directories are
read in the order of a job's life, and "none" is said only after a second look.
"""

from __future__ import annotations

import heapq
import os
from datetime import datetime
from typing import Any, Dict, Iterable, Iterator, List, NamedTuple, Optional, Set, Tuple

from spoolq import config, instants, names, results, wishes
from spoolq.config import Settings
from spoolq.errors import Ambiguous, BadInput, InvalidJob, InvalidSetting, NotFound
from spoolq.fsio import Dir
from spoolq.job import MAX_FILE, MAX_GIVEN, Entry, Job, went_wrong
from spoolq.layout import LOOK_ORDER, PAUSED, STATES
from spoolq.names import Name
from spoolq.spool import SpoolDir
from spoolq.wishes import Progress

LAST = ".last"  # in tmp/: the id that was enqueued last


class JobView(NamedTuple):
    """One job at one moment.

    `job` is None where the file is no job; `problem` then says why. A file that has no name of
    the form (a drop not yet adopted, or what is no job at all) has no `name`, and its file name
    serves as its id.
    """

    state: str
    filename: str
    path: str
    name: Optional[Name]
    job: Optional[Job]
    problem: Optional[InvalidJob]
    changed_at: datetime
    written_at: datetime
    settings: Settings
    progress: Optional[Progress] = None  # of a run that tells of it

    @property
    def id(self) -> str:
        """The job's id."""
        return self.name.id if self.name else self.filename

    @property
    def attempts(self) -> int:
        """How many of the allowed attempts are used up."""
        return self.name.attempt if self.name else 0

    @property
    def max_retries(self) -> int:
        """How many retries follow the first attempt: its own number, else the configured one."""
        return self.settings.policy(self.job).max_retries if self.job else 0

    @property
    def not_before(self) -> Optional[datetime]:
        """When a waiting job falls due."""
        return self.name.at if self.name and self.state in ("pending", "failed") else None

    @property
    def created_at(self) -> datetime:
        """When it was enqueued."""
        given = self.job.fields.get("created_at") if self.job else None
        return instants.from_rfc3339(given) if given else self.written_at

    @property
    def last_run(self) -> Entry:
        """The newest entry of its history, {} if it has not run."""
        return self.job.history[-1] if self.job and self.job.history else {}

    @property
    def error(self) -> Optional[str]:
        """What went wrong last, in words."""
        if self.problem is not None:
            return str(self.problem)
        return went_wrong(self.last_run)

    def result(self) -> Any:
        """Return what the job's call of Python has returned.

        Raises:
            Busy, JobFailed, WrongState: as `Spool.result`.
        """
        return results.of(self.id, self.state, self.job, self.problem)

    def as_dict(self) -> Dict[str, Any]:
        """Return everything as JSON has it: the file's fields and what its name and place say."""
        fields = dict(self.job.fields) if self.job else {}
        not_before = self.not_before
        run = self.last_run
        return {
            **fields,
            "id": self.id,
            "command": fields.get("command"),
            "state": self.state,
            "attempts": self.attempts,
            "max_retries": self.max_retries,
            "priority": self.name.priority if self.name else fields.get("priority", 5),
            "created_at": instants.to_rfc3339(self.created_at),
            "updated_at": instants.to_rfc3339(self.changed_at),
            "not_before": instants.to_rfc3339(not_before) if not_before else None,
            "held": not_before is not None and names.is_held(instants.to_stamp(not_before)),
            "exit_code": run.get("exit_code"),
            "signal": run.get("signal"),
            "error": self.error,
            "progress": self.progress.as_dict() if self.progress else None,
            "worker": self.name.worker if self.name else None,
            "file": self.path,
        }


def settings_of(spool: SpoolDir) -> Tuple[Settings, List[str]]:
    """Return the spool's settings and warnings; the defaults where the file is wrong."""
    try:
        return config.read(spool.config_bytes())
    except InvalidSetting as error:
        return Settings(), [str(error)]


def counts(spool: SpoolDir) -> Dict[str, int]:
    """Return the number of jobs in each state, and of entries that are not jobs as `ignored`."""
    numbers = dict.fromkeys(STATES, 0)
    ignored = 0
    for state in STATES:
        for entry in spool.dir(state).scan():
            if names.is_job(entry):
                numbers[state] += 1
            elif entry not in (".gitignore", ".gitkeep"):
                ignored += 1
    return {**numbers, "ignored": ignored}


def is_paused(spool: SpoolDir) -> bool:
    """Say whether workers make no new claims."""
    return spool.root.has(PAUSED)


def look(spool: SpoolDir, state: str, filename: str, settings: Settings) -> Optional[JobView]:
    """Look at one file; None if it is gone."""
    directory = spool.dir(state)
    job, problem = None, None
    try:
        info = directory.stat(filename)
        limit = MAX_FILE if names.parse(filename) else MAX_GIVEN  # as a worker judges it
        data, info = directory.read(filename, limit)
        job = Job.from_bytes(data, limit)
    except FileNotFoundError:
        return None
    except InvalidJob as error:
        problem = error
    except OSError as error:
        problem = InvalidJob(f"cannot be read: {error.strerror}")
    name = names.parse(filename)
    return JobView(
        state,
        filename,
        os.path.join(directory.path, filename),
        name,
        job,
        problem,
        instants.of_file(info.st_ctime_ns),
        instants.of_file(info.st_mtime_ns),
        settings,
        wishes.progress(spool, name) if name and state == "processing" else None,
    )


def jobs(
    spool: SpoolDir,
    *,
    state: Optional[str] = None,
    tag: Optional[str] = None,
    limit: Optional[int] = None,
) -> Iterator[JobView]:
    """Yield jobs, the newest first, and of one state or tag where asked for.

    Newest by the time in the name (when it ended, started, or falls due), else by the file's own.
    """
    settings = settings_of(spool)[0]
    # pending/ is looked at twice, and a job that moves meanwhile is seen in another place too.
    most = 3 * limit if tag is None and limit is not None else None
    ordered = _newest(spool, LOOK_ORDER if state is None else (state,), most)
    shown = 0
    seen: Set[str] = set()
    for _, filename, where in ordered:
        job_id = names.id_in(filename) or f"{where}/{filename}"
        view = None if job_id in seen else look(spool, where, filename, settings)
        if view is None:
            continue  # told already, or gone from here
        seen.add(job_id)
        if tag and not (view.job and tag in view.job.fields.get("tags", [])):
            continue
        yield view
        shown += 1
        if shown == limit:
            break


def _newest(
    spool: SpoolDir, states: Iterable[str], most: Optional[int]
) -> List[Tuple[str, str, str]]:
    """Return time, file name and state of all that is meant as a job, or of the newest ones."""
    found: List[Tuple[str, str, str]] = []  # a heap where `most` bounds it
    oldest = ""  # the time of its first, once it is full
    for state in states:
        directory = spool.dir(state)
        for filename in directory.scan():
            if filename < oldest and filename[21:24] == "Z.p":
                continue  # as nearly all in a list of the newest twenty of a million
            if not names.is_job(filename):
                continue
            has_time = names.id_in(filename) != ""
            stamp = filename[: instants.STAMP_WIDTH] if has_time else _changed(directory, filename)
            if most is None:
                found.append((stamp, filename, state))
            elif len(found) < most:
                heapq.heappush(found, (stamp, filename, state))
            elif most:
                heapq.heappushpop(found, (stamp, filename, state))
                oldest = found[0][0]
    return sorted(found, reverse=True)


def _changed(directory: Dir, filename: str) -> str:
    """Return when a file was changed that has no time in its name."""
    try:
        return instants.to_stamp(instants.of_file(directory.stat(filename).st_ctime_ns))
    except OSError:
        return ""


def resolve(spool: SpoolDir, text: str) -> str:
    """Return the whole id that a person means: an id, a unique beginning of one, or `last`.

    Raises:
        NotFound: there is no such job.
        Ambiguous: several ids begin so.
        BadInput: the text is empty, which every id begins with.
    """
    if not text:
        raise BadInput("an empty text names no job", hint="give an id, a beginning of one, or last")
    if text == "last":
        return _last(spool)
    candidates = {}
    for _ in range(2):  # a job may move during one look
        for state in LOOK_ORDER:
            for filename in spool.dir(state).scan():
                if text not in filename:
                    continue
                job_id = names.id_in(filename)
                if text in (job_id, filename):
                    return text
                if job_id.startswith(text) and job_id:
                    candidates[job_id] = state
        if candidates:
            break
    if len(candidates) == 1:
        return next(iter(candidates))
    if candidates:
        some = ", ".join(sorted(candidates)[:5])
        raise Ambiguous(
            f"{len(candidates)} ids begin with {text!r}: {some}", hint="type more of it"
        )
    raise NotFound(f"there is no job {text!r} in {spool.path}", hint="spoolq list shows them")


def find(spool: SpoolDir, job_id: str) -> JobView:
    """Return a job by its whole id, or a file that is no job by its name.

    Raises:
        NotFound: there is none, after a second look.
    """
    settings = settings_of(spool)[0]
    for _ in range(100):  # it may move between the two looks, but not for ever
        place = spool.locate([job_id]).get(job_id) or _stray(spool, job_id)
        if place is None:
            break
        view = look(spool, *place, settings)
        if view is not None:
            return view
    raise NotFound(f"there is no job {job_id!r} in {spool.path}", hint="spoolq list shows them")


def states_of(spool: SpoolDir, job_ids: Iterable[str]) -> Dict[str, str]:
    """Return the state of each of these jobs, with one look for them all.

    Raises:
        NotFound: there is no such job, after a second look.
    """
    wanted = list(job_ids)
    places = spool.locate(wanted)
    return {
        job_id: places[job_id][0] if job_id in places else find(spool, job_id).state
        for job_id in wanted
    }


def _stray(spool: SpoolDir, filename: str) -> Optional[Tuple[str, str]]:
    if "/" in filename or not names.is_job(filename):
        return None
    for state in ("dead", "pending"):
        if spool.dir(state).has(filename):
            return state, filename
    return None


def _last(spool: SpoolDir) -> str:
    try:
        noted = spool.dir("tmp").read(LAST, names.MAX_ID)[0].decode("ascii", "replace").strip()
    except (OSError, InvalidJob):
        noted = ""
    if names.is_id(noted) and spool.locate([noted]):
        return noted
    newest = ""
    for state in STATES:
        for filename in spool.dir(state).scan():
            if filename > newest and names.id_in(filename):
                newest = filename
    if not newest:
        raise NotFound(f"there is no job in {spool.path} yet", hint="spoolq enqueue 'echo hello'")
    return names.id_in(newest)

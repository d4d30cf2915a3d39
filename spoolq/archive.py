"""Jobs that have ended, packed: `archive/<time>-<random>.jsonl.gz`, a job a line.

A line is the job's file with its state, its id and `archived`, which says under which name it was
in the spool. The order is that of everything here, record, then move: a file is written and synced
in tmp/, published, and the directory synced; only then may its jobs be removed. What a crash leaves
in between is in both places: the live job is the one that is told, and a job that was packed twice
is told once.

Who may write into a spool may write into its archive, so what is read is checked as a job file is,
and a file that is damaged stops no other.
"""

from __future__ import annotations

import base64
import gzip
import json
import os
import re
import zlib
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any, Callable, Dict, Iterable, Iterator, List, Optional, Set

from spoolq import instants, names, strictjson, views
from spoolq.config import Settings
from spoolq.errors import InvalidJob
from spoolq.fsio import Dir
from spoolq.job import MAX_FILE, MAX_GIVEN, Job
from spoolq.layout import words
from spoolq.spool import SpoolDir
from spoolq.views import JobView

DIRECTORY = "archive"
STATES = ("completed", "dead")
MOST_BYTES = 16 * 1024 * 1024  # of the lines of one file, before they are packed
MOST_JOBS = 10_000
_MOST_LINE = 8 * MAX_FILE  # a byte takes six in ASCII at most
_MOST_TOLD = 20  # lines of one file that are no jobs; a file of newlines alone packs a thousandfold
_NAME = re.compile(r"\d{8}T\d{12}Z-[0-9a-z]{6,16}\.jsonl\.gz", re.ASCII)

Complain = Callable[[str, str], None]


# --- writing --------------------------------------------------------------------------------------


def store(
    spool: SpoolDir, state: str, filenames: Iterable[str], now: datetime, refuse: Complain
) -> Iterator[List[str]]:
    """Pack ended jobs; yield the names of those that no power cut takes from the archive.

    Args:
        filenames: in their order in time; in a file the newest is first.
        refuse: told the path of what cannot be packed, and why; it is not yielded.

    Raises:
        OSError: and what has not been yielded is not to be removed.
    """
    lines: List[bytes] = []
    packed: List[str] = []
    size, number = 0, 0
    settings = views.settings_of(spool)[0]
    with _opened(spool, make=True) as directory:
        for filename in filenames:
            try:
                line = _line(spool, state, filename, settings, now)
            except (InvalidJob, OSError) as error:
                refuse(os.path.join(spool.dir(state).path, filename), words(error))
                continue
            if line is None:
                continue
            lines.append(line)
            packed.append(filename)
            size += len(line)
            if size >= MOST_BYTES or len(lines) >= MOST_JOBS:
                _publish(spool, directory, lines, now, number)
                yield packed
                lines, packed, size, number = [], [], 0, number + 1
        if packed:
            _publish(spool, directory, lines, now, number)
            yield packed


def _line(
    spool: SpoolDir, state: str, filename: str, settings: Settings, now: datetime
) -> Optional[bytes]:
    """Return the line of a job, None if it is gone.

    Raises:
        InvalidJob, OSError: it cannot be read, and so not be kept.
    """
    view = views.look(spool, state, filename, settings)
    if view is None:
        return None
    archived: Dict[str, Any] = {"file": filename, "at": instants.to_rfc3339(now)}
    derived = {"state": state, "updated_at": instants.to_rfc3339(view.changed_at)}
    if view.job is None:
        data, _ = spool.dir(state).read(filename, MAX_GIVEN)
        if len(data) > MAX_GIVEN:
            raise InvalidJob(f"no job, and larger than {MAX_GIVEN // 1024} KiB")
        archived["error"] = view.error
        archived["base64"] = base64.b64encode(data).decode("ascii")
        fields: Dict[str, Any] = {}
    else:
        run = view.last_run
        archived.update(exit_code=run.get("exit_code"), signal=run.get("signal"), error=view.error)
        derived["attempts"] = view.attempts  # type: ignore[assignment]
        fields = {**view.job.fields, "id": view.id}
    line = json.dumps({**derived, **fields, "archived": archived}, separators=(",", ":"))
    return line.encode("ascii") + b"\n"


def _publish(
    spool: SpoolDir, directory: Dir, lines: List[bytes], now: datetime, number: int
) -> None:
    stamp = instants.to_stamp(now + timedelta(microseconds=number))  # their order is that of time
    filename = f"{stamp}-{names.random_text(10)}.jsonl.gz"
    tmp = spool.dir("tmp")
    tmp.write(filename, gzip.compress(b"".join(reversed(lines)), 6), sync=True)
    try:
        tmp.publish(filename, directory, filename)
    except BaseException:
        tmp.tidy(filename)
        raise
    # CRASH: from here on its jobs are in both places, until they are removed
    # (test_a_kill_at_any_step_loses_no_job_and_tells_none_twice).
    directory.sync()


@contextmanager
def _opened(spool: SpoolDir, *, make: bool) -> Iterator[Dir]:
    if make:
        try:
            spool.root.make_dir(DIRECTORY)
        except FileExistsError:
            pass
        spool.root.sync()  # even if it was there: whoever made it may have been killed before
    directory = spool.root.sub(DIRECTORY)
    try:
        yield directory
    finally:
        directory.close()


# --- reading --------------------------------------------------------------------------------------


def jobs(
    spool: SpoolDir,
    complain: Complain,
    *,
    state: Optional[str] = None,
    tag: Optional[str] = None,
    limit: Optional[int] = None,
) -> Iterator[JobView]:
    """Yield archived jobs that are not in the spool any more, each once.

    Those that were archived last come first, and of one file those that ended last.

    Args:
        complain: told the path of what is damaged, and how; the rest is read.

    Raises:
        OSError: archive/ is no directory, or cannot be read.
    """
    settings = views.settings_of(spool)[0]
    seen: Set[str] = set()
    left = limit
    if not spool.root.has(DIRECTORY):
        return
    with _opened(spool, make=False) as directory:
        for filename in sorted(filter(_NAME.fullmatch, directory.list()), reverse=True):
            if left == 0:
                return
            for view in _in_file(directory, filename, settings, complain):
                key = f"{view.state}/{view.filename}"
                if state not in (None, view.state) or not _has_tag(view, tag) or key in seen:
                    continue
                seen.add(key)
                if spool.dir(view.state).has(view.filename):
                    continue  # it is to be removed still
                yield view
                if left is not None:
                    left -= 1
                    if left == 0:
                        return


def _has_tag(view: JobView, tag: Optional[str]) -> bool:
    return not tag or (view.job is not None and tag in view.job.fields.get("tags", []))


def _in_file(
    directory: Dir, filename: str, settings: Settings, complain: Complain
) -> Iterator[JobView]:
    """Yield the jobs of one file, as far as it can be read."""
    path = os.path.join(directory.path, filename)
    number = wrong = 0
    try:
        with open(directory.open_file(filename), "rb") as packed, gzip.open(packed) as lines:
            while True:
                number += 1
                line = lines.readline(_MOST_LINE + 1)
                if not line and number == 1:
                    raise InvalidJob("it is empty")
                if not line:
                    break
                if len(line) > _MOST_LINE:
                    raise InvalidJob(f"longer than {_MOST_LINE} bytes")
                try:
                    yield _view(line, path, settings)
                except (InvalidJob, ValueError) as error:
                    wrong += 1
                    if wrong <= _MOST_TOLD:
                        complain(path, f"line {number} is no job: {error}")
                if wrong >= MOST_JOBS:  # a hundred KiB of newlines would take an hour
                    raise InvalidJob(f"{wrong} of its lines are no jobs")
    except FileNotFoundError:
        return  # somebody has removed it
    except (OSError, EOFError, zlib.error, InvalidJob) as error:
        where = f" from line {number} on" if number > 1 else ""
        complain(path, f"cannot be read{where}: {words(error)}")
    if _MOST_TOLD < wrong < MOST_JOBS:
        complain(path, f"{wrong - _MOST_TOLD} more of its lines are no jobs")


def _view(line: bytes, path: str, settings: Settings) -> JobView:
    """Return the job of a line.

    Raises:
        InvalidJob, ValueError: it has none.
    """
    fields = strictjson.parse_object(line)[1]
    state, archived = fields.get("state"), fields.pop("archived", None)
    filename = archived.get("file") if isinstance(archived, dict) else None
    if state not in STATES or not isinstance(filename, str) or not names.is_job(filename):
        raise InvalidJob("it does not say where it was")
    if "/" in filename or "\0" in filename or len(os.fsencode(filename)) > 255:
        raise InvalidJob("its file name is none")
    changed_at = instants.from_rfc3339(str(fields.get("updated_at")))
    job, problem = None, None
    if "command" in fields:
        job = Job(fields)
    else:
        problem = InvalidJob(str(archived.get("error")))
    name = names.parse(filename)
    return JobView(state, filename, path, name, job, problem, changed_at, changed_at, settings)

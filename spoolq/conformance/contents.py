"""What lies in a spool after a producer was there, and what it printed, judged."""

from __future__ import annotations

import os
import stat
from datetime import timedelta
from typing import Dict, Iterator, List, NamedTuple, Optional, Set

from spoolq import names
from spoolq.conformance.order import Broken
from spoolq.conformance.producer import Ran
from spoolq.errors import InvalidJob
from spoolq.job import MAX_GIVEN, Job
from spoolq.layout import DIRECTORIES

_STEM = 50  # characters of a plain name's stem with which the id begins
_CLOCKS = timedelta(seconds=1)  # a stamp may be of whole seconds


class Entry(NamedTuple):
    """A file in pending/."""

    filename: str
    data: bytes
    mode: int


def jobs(spool: str) -> List[Entry]:
    """Return what lies in pending/, but for what begins with a dot."""
    found = []
    for filename in sorted(_list(os.path.join(spool, "pending"))):
        if not filename.startswith("."):
            path = os.path.join(spool, "pending", filename)
            mode, data = os.lstat(path).st_mode, b""
            if stat.S_ISREG(mode):  # nothing else is opened: a FIFO would not let go
                with open(path, "rb") as file:
                    data = file.read(MAX_GIVEN + 1)
            found.append(Entry(filename, data, mode))
    return found


def outline(spool: str) -> Dict[str, int]:
    """Return what a spool holds besides what is a producer's affair, and when each changed."""
    found = {}
    for directory in (".", *DIRECTORIES):
        path = os.path.join(spool, directory)
        found[directory] = os.lstat(path).st_mode if os.path.lexists(path) else 0
        for name in _list(path) if directory not in ("tmp", "pending") else ():
            if name not in ("tmp", "pending"):
                changed = os.lstat(os.path.join(path, name)).st_mtime_ns
                found[f"{directory}/{name}"] = changed
    return found


def _list(path: str) -> List[str]:
    """Return what is in a directory; nothing where it is not there any more."""
    try:
        return os.listdir(path)
    except OSError:
        return []


def judge(spool: str, ran: Ran, command: bytes, *, shared: bool = False) -> Iterator[Broken]:
    """Yield the rules that one run broke, after which there should be one job."""
    found = jobs(spool)
    yield from left_in_tmp(spool)
    if ran.code != 0:
        how = "did not end" if ran.code is None else f"ended with {ran.code}"
        yield Broken("errors", f"it {how} where nothing was wrong: {ran.words or 'no words'}")
        return
    if len(found) != 1:
        rule = "id" if found else "told-last"
        yield Broken(rule, f"{ran.told!r} is told, and pending/ holds {len(found)} files")
        return
    misnamed = list(_judge_name(found[0], ran))
    yield from misnamed
    job = None
    if not stat.S_ISREG(found[0].mode):
        yield Broken("json", f"pending/{found[0].filename} is not a regular file")
        return
    yield from _judge_mode(found[0], shared)
    try:
        job = Job.from_bytes(found[0].data)
    except InvalidJob as error:
        yield Broken("json", f"{command[:60]!r} became no job: {error}")
    else:
        yield from _judge_command(job, command)
    if not misnamed:
        yield from _judge_id(found[0], job, ran)


def left_in_tmp(spool: str) -> Iterator[Broken]:
    """Yield a broken rule if something is left in tmp/; names with a dot are spoolq's own."""
    left = [name for name in _list(os.path.join(spool, "tmp")) if name[:1] != "."]
    if left:
        yield Broken("tidy", f"tmp/{left[0]} is left")


def torn(spool: str, commands: Set[bytes]) -> Optional[str]:
    """Return the name of a file in pending/ that is not one of these jobs, whole."""
    for entry in jobs(spool):
        if _command(entry.data) not in commands:
            return f"pending/{entry.filename}, {len(entry.data)} bytes"
    return None


def _command(data: bytes) -> Optional[bytes]:
    try:
        return _text(Job.from_bytes(data))
    except InvalidJob:
        return None


def _text(job: Job) -> bytes:
    """Return the command, of a list the last word: what a shell was given, or all there is."""
    command = job.fields["command"]
    return os.fsencode(command if isinstance(command, str) else command[-1])


def _judge_name(entry: Entry, ran: Ran) -> Iterator[Broken]:
    formed = names.parse(entry.filename)
    if formed is None:
        stem = entry.filename[: -len(names.SUFFIX)]
        if not names.is_job(entry.filename) or not names.is_id(stem):
            yield Broken("name", f"pending/{entry.filename} is neither of the form nor plain")
        return
    if formed.attempt or formed.worker:
        yield Broken("name", f"pending/{entry.filename} is no name of a job that has not run")
    if not ran.began_at - _CLOCKS <= formed.at <= ran.ended_at + _CLOCKS:
        now = ran.began_at.strftime("%Y-%m-%dT%H:%M:%SZ")
        yield Broken("time", f"pending/{entry.filename} was made at {now}")


def _judge_mode(entry: Entry, shared: bool) -> Iterator[Broken]:
    bits = stat.S_IMODE(entry.mode)
    wanted = 0o440 if shared else 0o400
    if bits & wanted != wanted or bits & (0o007 if shared else 0o077):
        place = "a group's spool" if shared else "a spool of one's own"
        yield Broken("private", f"its mode is {bits:04o} in {place}")


def _judge_command(job: Job, command: bytes) -> Iterator[Broken]:
    text = _text(job)
    if text != command:
        at = next((i for i, (a, b) in enumerate(zip(text, command)) if a != b), len(command))
        yield Broken("command", f"{command[at - 10 if at > 10 else 0 : at + 20]!r} became another")


def _judge_id(entry: Entry, job: Optional[Job], ran: Ran) -> Iterator[Broken]:
    if "\n" in ran.told or not names.is_id(ran.told):
        yield Broken("id", f"it printed {ran.told[:80]!r}, which is not an id alone")
    elif job is not None and ran.told not in _ids(entry):
        yield Broken("id", f"it printed {ran.told!r}, and made pending/{entry.filename}")


def _ids(entry: Entry) -> Set[str]:
    """Return what may be told of a job: its id, or a beginning of the one that it will get."""
    formed = names.parse(entry.filename)
    if formed is not None:
        return {formed.id}
    try:
        given = Job.from_bytes(entry.data).fields.get("id")
    except InvalidJob:
        return set()
    return {given or entry.filename[: -len(names.SUFFIX)][:_STEM]}

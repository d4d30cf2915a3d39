"""Jobs as lines of JSON, out of one spool and into another.

    {"state": "failed", "name": "20261124T…Z.p5.a1.k3v9x2a7m4q1c.json", "job": {"command": …}}
    {"state": "pending", "name": "99991231T…Z.p5.a0.report.json", "job": …, "waits": ["after.load"]}
    {"state": "dead", "name": "notes.json", "data": "bm8gam9i…"}

What a file's name says stays in the name: time, priority, attempts and id. A job brings all its
fields, with those that nobody knows, and when it was enqueued; a file that is no job, or not yet,
comes as it is, in base64. Nothing here touches a spool but to read one file.
"""

from __future__ import annotations

import base64
import binascii
import os
from typing import Any, Dict, NamedTuple, Optional, Sequence, Tuple

from spoolq import instants, names, strictjson
from spoolq.dependencies import Wait, parse
from spoolq.errors import InvalidJob
from spoolq.fsio import Dir
from spoolq.job import MAX_FILE, Job
from spoolq.layout import STATES
from spoolq.names import Name

LONGEST = MAX_FILE * 4 // 3 + 64 * 1024  # bytes of a line
_LONGEST_NAME = 255
_KEYS = ("state", "name", "job", "data", "waits")


class Line(NamedTuple):
    """What a line says: a file, and where it belongs; `name` where it has one of the form.

    It holds `fields`, those of a job, or where that is None what is no job.
    """

    state: str
    filename: str
    name: Optional[Name]
    fields: Optional[Dict[str, Any]]
    other: bytes = b""
    waits: Tuple[Wait, ...] = ()  # what it still waits for

    @property
    def id(self) -> str:
        """What it is called, in words for people too."""
        return self.name.id if self.name else self.filename

    @property
    def tags(self) -> Sequence[str]:
        """The tags of a job."""
        tags: Sequence[str] = (self.fields or {}).get("tags", ())
        return tags

    @property
    def data(self) -> bytes:
        """What its file holds."""
        return self.other if self.fields is None else strictjson.dump_object(self.fields)


def of_file(directory: Dir, state: str, filename: str) -> Line:
    """Read a file of a spool.

    Raises:
        FileNotFoundError: it is gone.
        InvalidJob: it is no regular file, larger than any job, or of a name that is no text.
        OSError: it cannot be read.
    """
    data, info = directory.read(filename, MAX_FILE)
    if len(data) > MAX_FILE:
        raise InvalidJob(f"larger than {MAX_FILE // 1024} KiB")
    name = names.parse(filename)
    if state == "processing" and (name is None or name.worker is None):
        state = "pending"  # where recovery would put it
    if name is not None and state != "processing":
        filename, name = str(name.waiting()), name.waiting()
    if name is None:
        try:
            filename.encode("utf-8")
        except UnicodeEncodeError:
            raise InvalidJob("its name is not UTF-8") from None
        return Line(state, filename, None, None, data)
    try:
        fields = Job.from_bytes(data, MAX_FILE).fields
    except InvalidJob:
        return Line(state, filename, name, None, data)
    enqueued_at = instants.of_file(info.st_mtime_ns)
    fields.setdefault("created_at", instants.to_rfc3339(enqueued_at))
    return Line(state, filename, name, fields)


def written(line: Line) -> bytes:
    """Return a line as bytes, with its end."""
    said: Dict[str, Any] = {"state": line.state, "name": line.filename}
    if line.fields is not None:
        said["job"] = line.fields
    else:
        said["data"] = base64.b64encode(line.other).decode("ascii")
    if line.waits:
        said["waits"] = [str(wait).partition(".")[2] for wait in line.waits]
    return strictjson.dump_line(said)


def read(data: bytes) -> Line:
    """Read a line.

    Raises:
        InvalidJob: it is none; the column says where, the field what.
    """
    if len(data) > LONGEST:
        raise InvalidJob(f"longer than {LONGEST} bytes")
    text, said = strictjson.parse_object(data, strictjson.MAX_DEPTH + 1)
    try:
        return _judged(said)
    except InvalidJob as error:
        line, column = strictjson.place(text, error.path)
        raise InvalidJob(
            error.reason, path=error.path, line=line, column=column, hint=error.hint
        ) from None


def _judged(said: Dict[str, Any]) -> Line:
    strangers = [key for key in said if key not in _KEYS]
    if strangers:
        raise InvalidJob(
            "no line of an export has this",
            path=(strangers[0],),
            hint="jobs to enqueue are lines of another kind:  spoolq enqueue -",
        )
    state, filename = said.get("state"), said.get("name")
    if state not in STATES:
        raise InvalidJob(f"must be one of {', '.join(STATES)}", path=("state",))
    if not isinstance(filename, str) or not _may_be_a_name(filename):
        raise InvalidJob("must be the name of a job's file", path=("name",))
    name = names.parse(filename)
    if (name is not None and name.worker is not None) != (state == "processing"):
        raise InvalidJob(f"is no name of a job that is {state}", path=("name",))
    if ("job" in said) == ("data" in said):
        raise InvalidJob("a line has either a 'job' or 'data'")
    if "data" in said:
        return Line(state, filename, name, None, _decoded(said["data"]))
    if name is None:
        raise InvalidJob("must have time, priority, attempts and id of the job", path=("name",))
    fields = said["job"]
    if not isinstance(fields, dict):
        raise InvalidJob("must be an object", path=("job",))
    try:
        line = Line(state, filename, name, Job(fields).fields)
    except InvalidJob as error:
        path = ("job", *error.path)
        raise InvalidJob(error.reason, path=path, hint=error.hint) from None
    if len(line.data) > MAX_FILE:
        raise InvalidJob(f"larger than {MAX_FILE // 1024} KiB", path=("job",))
    return line._replace(waits=_waits(said.get("waits", []), name.id))


def _waits(said: Any, job_id: str) -> Tuple[Wait, ...]:
    if not isinstance(said, list):
        raise InvalidJob("must be a list", path=("waits",))
    waits = []
    for index, text in enumerate(said):
        wait = parse(f"{job_id}.{text}")
        if not isinstance(text, str) or wait is None or wait.job != job_id:
            raise InvalidJob("must be as after.ID or after-any.ID", path=("waits", index))
        waits.append(wait)
    return tuple(waits)


def _may_be_a_name(filename: str) -> bool:
    plain = os.path.basename(filename) == filename and "\0" not in filename
    return plain and names.is_job(filename) and len(os.fsencode(filename)) <= _LONGEST_NAME


def _decoded(text: Any) -> bytes:
    try:
        data = base64.b64decode(text, validate=True) if isinstance(text, str) else None
    except (binascii.Error, ValueError):
        data = None
    if data is None or len(data) > MAX_FILE:
        raise InvalidJob("must be a file in base64", path=("data",))
    return data

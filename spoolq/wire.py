"""What `forward` and `receive` say to each other over one pipe: lines, bounded and strict.

    forward                                       receive
    {"spoolq": "forward", "version": 1, ...}
                                                  {"spoolq": "receive", "version": 1, ...}
    NAME JSON      a job: its name in pending/,
                   and its file on one line
    {"end": 2}     the batch is whole
                                                  {"answer": "taken"}    for each, in order

A batch is acted on when its end has come, so half of one is nothing. Whoever is not understood is
told so in words, by `error`, and the pipe ends. What a shell says before the first line is skipped,
within bounds. Nothing here touches a spool.
"""

from __future__ import annotations

import json
from typing import Any, BinaryIO, Dict, List, NamedTuple, Optional, Tuple

from spoolq import names, strictjson
from spoolq.errors import BadInput, InvalidJob, SpoolqError, Unreachable
from spoolq.job import MAX_FILE, Job
from spoolq.names import Name

VERSION = 1
MOST = 500  # jobs in a batch
MOST_BYTES = 8 * 1024 * 1024  # after which a batch takes no further job
_MOST_LINES = 1000  # that a receiver takes: more than any sender sends
LONGEST_JOB = MAX_FILE + 1024  # bytes of a line
_LONGEST = 16 * 1024  # of every other line
_NOISE = 64 * 1024  # bytes that a shell's start-up files may print
_LONGEST_REASON = 500

#: What becomes of a job at the target. Of UNKNOWN alone it cannot be said whether it is there.
TAKEN, THERE, REFUSED, LATER, UNKNOWN = "taken", "there", "refused", "later", "unknown"
ANSWERS = (TAKEN, THERE, REFUSED, LATER, UNKNOWN)


class Answer(NamedTuple):
    """What became of one job at the target, and why."""

    kind: str
    reason: str = ""


class Garbled(BadInput):
    """The other side says what is not in this protocol."""


# --- what is said ---------------------------------------------------------------------------------


def greeting(side: str, **facts: Any) -> bytes:
    """Return the first line of a side, "forward" or "receive"."""
    return _line({"spoolq": side, "version": VERSION, **facts})


def job_line(name: Name, data: bytes) -> bytes:
    """Return a job as one line: no text of JSON holds a newline, so those between are spaces."""
    return str(name).encode("ascii") + b" " + data.replace(b"\n", b" ") + b"\n"


def end_line(jobs: int) -> bytes:
    """Return the end of a batch of so many jobs."""
    return _line({"end": jobs})


def answer_line(answer: Answer) -> bytes:
    """Return the answer to one job."""
    reason = {"reason": answer.reason[:_LONGEST_REASON]} if answer.reason else {}
    return _line({"answer": answer.kind, **reason})


def error_line(error: SpoolqError, *, later: bool) -> bytes:
    """Return why nothing can be taken at all; `later` says that it may be worth another try."""
    hint = {"hint": error.hint[:_LONGEST_REASON]} if error.hint else {}
    return _line({"error": str(error)[:_LONGEST_REASON], "later": later, **hint})


def _line(value: Dict[str, Any]) -> bytes:
    return json.dumps(value).encode("ascii") + b"\n"  # so no newline of a text can break it


# --- what is heard --------------------------------------------------------------------------------


def heard_greeting(stream: BinaryIO, side: str, *, noise: bool = False) -> Dict[str, Any]:
    """Read the first line of the other side.

    Args:
        noise: skip what a shell may have printed before it.

    Raises:
        EOFError: there is none; its text is what was there instead.
        BadInput: it is of another version, or refuses for good.
        Unreachable: it refuses for now.
        Garbled: it is no such line.
    """
    mark = b'{"spoolq": "%s"' % side.encode("ascii")
    skipped = b""
    while True:
        line = stream.readline(_LONGEST)
        if line.startswith((mark, b'{"error"')):
            break
        skipped += line
        if not line:
            raise EOFError(skipped.decode("utf-8", "replace"))
        if not noise or len(skipped) > _NOISE:
            raise Garbled(f"it says {skipped[:80].decode('utf-8', 'replace')!r}")
    said = _control(line)
    if said.get("version") != VERSION:
        raise BadInput(
            f"it speaks version {said.get('version')!r} of the protocol, and this spoolq speaks "
            f"{VERSION}",
            hint="use the same release of spoolq on both sides",
        )
    return said


def heard_batch(stream: BinaryIO) -> Optional[List[bytes]]:
    """Read the lines of a batch; None where the other side has gone, in the middle of one too.

    Raises:
        Garbled: it is longer than any batch may be, or no batch.
    """
    lines: List[bytes] = []
    size = 0
    while True:
        line = stream.readline(LONGEST_JOB)
        if not line.endswith(b"\n"):
            if len(line) == LONGEST_JOB:
                raise Garbled(f"a line is longer than {LONGEST_JOB} bytes")
            return None
        if line.startswith(b"{"):
            if _control(line).get("end") != len(lines):
                raise Garbled(f"the end of a batch of {len(lines)} jobs says {line[:80]!r}")
            return lines
        lines.append(line)
        size += len(line)
        if len(lines) > _MOST_LINES or size > MOST_BYTES + LONGEST_JOB:
            raise Garbled(f"a batch is longer than {_MOST_LINES} jobs or {MOST_BYTES} bytes")


def heard_job(line: bytes) -> Tuple[Name, Job]:
    """Read a job from its line.

    Raises:
        InvalidJob: it is none.
    """
    filename, _, data = line.partition(b" ")
    name = names.parse(filename.decode("ascii", "replace"))
    if name is None or name.worker is not None:
        raise InvalidJob(f"{filename[:100]!r} is not the name of a job that waits")
    return name, Job.from_bytes(data.rstrip(b"\n"), MAX_FILE)


def heard_answer(stream: BinaryIO) -> Answer:
    """Read the answer to one job.

    Raises:
        EOFError: the other side has gone.
        Garbled: it is no answer.
        BadInput, Unreachable: as `heard_greeting`.
    """
    line = stream.readline(_LONGEST)
    if not line.endswith(b"\n"):
        raise EOFError("")
    said = _control(line)
    kind, reason = said.get("answer"), said.get("reason", "")
    if kind not in ANSWERS or not isinstance(reason, str):
        raise Garbled(f"it answers {line[:80]!r}")
    return Answer(kind, reason[:_LONGEST_REASON])


def _control(line: bytes) -> Dict[str, Any]:
    """Read a line that is no job; what it says of an error is raised."""
    try:
        _, said = strictjson.parse_object(line)
    except InvalidJob as error:
        raise Garbled(f"it says {line[:80]!r}: {error}") from None
    refusal, hint = said.get("error"), said.get("hint")
    if refusal is not None:
        kind = Unreachable if said.get("later") is True else BadInput
        raise kind(str(refusal)[:_LONGEST_REASON], hint=hint if isinstance(hint, str) else None)
    return said

"""The fields of a job file and their rules: the one table that says what the format allows.

Validation, docs/job.schema.json and the command line's help all read it.
"""

from __future__ import annotations

from typing import Any, Callable, Container, Dict, Iterable, Mapping, NamedTuple

from spoolq import callables, checks, names
from spoolq.errors import InvalidJob
from spoolq.text import closest

_ID = "^(?!last$)[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$"


class Field(NamedTuple):
    """One field of the format: `check` raises, `schema` says the same in JSON Schema."""

    check: Callable[[Any], None]
    schema: Dict[str, Any]
    meaning: str


def _number(least: float, most: float, whole: bool, meaning: str) -> Field:
    return Field(
        lambda value: checks.number(value, least, most, whole),
        {"type": "integer" if whole else "number", "minimum": least, "maximum": most},
        meaning,
    )


def _codes(meaning: str) -> Field:
    code = {"type": "integer", "minimum": 0, "maximum": 255}
    schema = {"type": "array", "minItems": 1, "maxItems": 256, "items": code}
    return Field(checks.codes, schema, meaning)


def _ids(meaning: str) -> Field:
    item = {"type": "string", "pattern": _ID}
    schema = {"type": "array", "minItems": 1, "maxItems": checks.MOST_AWAITED, "uniqueItems": True}
    return Field(checks.ids, {**schema, "items": item}, meaning)


_NO_NUL = {"type": "string", "minLength": 1, "pattern": "^[^\\u0000]*$"}
_RFC = {"type": "string", "format": "date-time"}


def _plain(what: str, longest: int, meaning: str) -> Field:
    return Field(
        lambda value: checks.text(value, what, longest),
        {**_NO_NUL, "maxLength": longest},
        meaning,
    )


FIELDS: Dict[str, Field] = {
    "command": Field(
        checks.command,
        {
            "oneOf": [
                {**_NO_NUL, "pattern": "^[^\\u0000]*[^\\s\\u0000][^\\u0000]*$"},
                {
                    "type": "array",
                    "minItems": 1,
                    "prefixItems": [_NO_NUL],
                    "items": {"type": "string", "pattern": "^[^\\u0000]*$"},
                },
            ]
        },
        "a string for the shell, or a list of strings run without one",
    ),
    "id": Field(
        checks.id,
        {"type": "string", "pattern": _ID},
        "the job's name in the spool; made where absent",
    ),
    "priority": _number(0, 9, True, "9 goes first; 5 where absent"),
    "run_at": Field(
        checks.instant,
        {"oneOf": [_RFC, {"type": "number", "minimum": 0, "maximum": 253402300799}]},
        "not before: RFC 3339 with offset, or seconds since the epoch",
    ),
    "after": _ids("jobs that must have completed before it runs; if one dies, it does too"),
    "after_any": _ids("jobs that must have ended before it runs, in whatever way"),
    "key": Field(
        checks.key,
        {**_NO_NUL, "maxLength": names.LONGEST_KEY},
        "of all jobs with one key, one waits or runs at a time",
    ),
    "max_retries": _number(0, 100_000, True, "retries after the first attempt"),
    "backoff_base": _number(0, 86_400, False, "the wait after attempt n is base^n seconds"),
    "timeout": _number(0.001, 315_360_000, False, "seconds for one attempt"),
    "cwd": _plain("a directory", 4095, "the directory to run in; the worker's where absent"),
    "env": Field(
        checks.env,
        {
            "type": "object",
            "propertyNames": {"pattern": "^[^=\\u0000]+$"},
            "additionalProperties": {"type": "string", "pattern": "^[^\\u0000]*$"},
        },
        "variables added to the worker's",
    ),
    "name": _plain("a name", 256, "for people"),
    "tags": Field(
        checks.tags,
        {"type": "array", "maxItems": 64, "items": {**_NO_NUL, "maxLength": 64}},
        "for people, and for choosing jobs",
    ),
    "success_on": _codes("exit codes that are a success, besides 0"),
    "retry_on": _codes("a run that ends with another exit code is the last"),
    "dead_on": _codes("a run that ends with one of these exit codes is the last"),
    "needs": Field(
        checks.needs,
        {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 16,
            "propertyNames": {"pattern": "^[A-Za-z0-9_.-]{1,64}$"},
            "additionalProperties": {"type": "number", "minimum": 1e-6, "maximum": 1e15},
        },
        "what it needs while it runs, by name and amount, for executors that know of it",
    ),
    "call": Field(
        callables.check,
        {
            "type": "object",
            "required": ["target"],
            "properties": {
                "target": {
                    "type": "string",
                    "maxLength": callables.LONGEST,
                    "pattern": f"^{callables.PATTERN}$",
                },
                "args": {"type": "array"},
                "kwargs": {"type": "object"},
            },
        },
        "the function of Python that `python -m spoolq.call` calls, and its arguments",
    ),
    "workdir": Field(
        checks.flag,
        {"type": "boolean"},
        "true: a directory that is kept from attempt to attempt, in SPOOLQ_WORKDIR",
    ),
    "created_at": Field(checks.rfc3339, _RFC, "when it was enqueued; the file's mtime if absent"),
    "history": Field(
        checks.history,
        {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "attempt": {"type": "integer"},
                    "worker": {"type": "string"},
                    "started_at": _RFC,
                    "finished_at": _RFC,
                    "not_before": _RFC,
                    "retry_at": _RFC,
                    "success": {"type": "boolean"},
                    "deferred": {"type": "boolean"},
                    "exit_code": {"type": "integer"},
                    "signal": {"type": "integer"},
                    "error": {"type": "string"},
                    "output": {"type": "string"},
                    "forwarded_to": {"type": "string"},
                    "waited_for": {"type": "string"},
                    "result": {},
                },
            },
        },
        "one object for each run",
    ),
}

#: Fields of which more has to be decided before a job is let in than whether they are well formed.
DECIDED = ("id", "key", "after", "after_any")

#: Fields whose check leaves nothing in them unseen; in others there may be what JSON cannot say.
CHECKED_WHOLE = FIELDS.keys() - {"history"}


def require_known(fields: Iterable[str], but: Container[str] = ()) -> None:
    """Refuse names that no field has.

    Raises:
        TypeError: there is no such field, or it is one of `but`, which are not given here.
    """
    for name in fields:
        if name not in FIELDS or name in but:
            meant = closest(name, (known for known in FIELDS if known not in but))
            hint = f"; did you mean {meant!r}?" if meant else ""
            raise TypeError(f"a job has no field {name!r}{hint}")


def check(fields: Mapping[str, Any]) -> None:
    """Refuse what is not a job.

    Raises:
        InvalidJob: a rule is broken.
    """
    if "command" not in fields:
        meant = closest("command", map(str, fields))
        raise InvalidJob(
            "a job needs a 'command'", hint=f"did you mean it by {meant!r}?" if meant else None
        )
    for key, value in fields.items():
        field = FIELDS.get(key)
        if field is None:
            continue
        try:
            field.check(value)
        except checks.Bad as error:
            raise InvalidJob(str(error), path=(key, *error.path)) from None


def schema() -> Dict[str, Any]:
    """Return the table of fields as JSON Schema."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "A spoolq job file",
        "type": "object",
        "required": ["command"],
        "properties": {
            key: {"description": field.meaning, **field.schema} for key, field in FIELDS.items()
        },
    }

"""The fields of a job file and their rules: the one table that says what the format allows.

Validation, docs/job.schema.json and the command line's help all read it. Types are strict (`true`
is no number), and a command is checked for what exec would refuse.
"""

from __future__ import annotations

import math
import re
from typing import Any, Callable, Container, Dict, Iterable, Mapping, NamedTuple

from spoolq import callables, instants, names, platform
from spoolq.errors import InvalidJob
from spoolq.text import closest

_NEED = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)


class _Bad(ValueError):
    def __init__(self, reason: str, *path: str | int) -> None:
        super().__init__(reason)
        self.path = path


class Field(NamedTuple):
    """One field of the format: `check` raises, `schema` says the same in JSON Schema."""

    check: Callable[[Any], None]
    schema: Dict[str, Any]
    meaning: str


def _check_text(value: Any, what: str, longest: int, *path: str | int) -> None:
    if not isinstance(value, str):
        raise _Bad(f"{what} must be text, not {_kind(value)}", *path)
    if not value or len(value) > longest:
        raise _Bad(f"{what} must have 1 to {longest} characters", *path)
    if "\0" in value:
        raise _Bad(f"{what} holds a NUL character", *path)


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    for kind, word in ((str, "text"), (int, "a number"), (float, "a number"), (list, "a list")):
        if isinstance(value, kind):
            return word
    return "an object"


def check_number(value: Any, least: float, most: float, whole: bool = False) -> None:
    """Refuse what is not a number from `least` to `most`; `true` is no number.

    Raises:
        ValueError: with a text for people.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _Bad(f"must be a number, not {_kind(value)}")
    if whole and value != value // 1:
        raise _Bad("must be a whole number")
    if not least <= value <= most:
        raise _Bad(f"must be from {least:.12g} to {most:.12g}")


def _number(least: float, most: float, whole: bool, meaning: str) -> Field:
    return Field(
        lambda value: check_number(value, least, most, whole),
        {"type": "integer" if whole else "number", "minimum": least, "maximum": most},
        meaning,
    )


def _check_command(value: Any) -> None:
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list):
        raise _Bad(f"must be text for the shell or a list of words, not {_kind(value)}")
    if not words or (isinstance(value, str) and not value.strip()):
        raise _Bad("is empty")
    size = 0
    for index, word in enumerate(words):
        path = () if isinstance(value, str) else (index,)
        if not isinstance(word, str):
            raise _Bad(f"every word must be text, not {_kind(word)}", *path)
        if index == 0 and not word:
            raise _Bad("the program has no name", *path)
        if "\0" in word:
            raise _Bad("holds a NUL character, which no command can", *path)
        length = len(word.encode("utf-8", "surrogatepass"))
        size += length + 9
        if length > platform.MAX_ARGUMENT or size > platform.MAX_ARGUMENTS:
            raise _Bad("is longer than this system can run; put it into a script", *path)


def _check_id(value: Any) -> None:
    if not isinstance(value, str) or not names.is_id(value):
        raise _Bad("must be 1 to 64 of A-Z a-z 0-9 _ -, not beginning with -, and not 'last'")


def _check_instant(value: Any) -> None:
    try:
        if isinstance(value, str):
            instants.from_rfc3339(value)
        else:
            check_number(value, 0, 253402300799)
    except _Bad:
        raise
    except ValueError as error:
        raise _Bad(str(error)) from None


def _check_rfc3339(value: Any) -> None:
    if not isinstance(value, str):
        raise _Bad(f"must be text, not {_kind(value)}")
    _check_instant(value)


def _check_env(value: Any) -> None:
    if not isinstance(value, dict):
        raise _Bad(f"must be an object of names and texts, not {_kind(value)}")
    for name, text in value.items():
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            raise _Bad("no variable can have this name", str(name))
        if not isinstance(text, str):
            raise _Bad(f"must be text, not {_kind(text)}", name)
        if "\0" in text:
            raise _Bad("holds a NUL character", name)
        if len((name + text).encode("utf-8", "surrogatepass")) >= platform.MAX_ARGUMENT:
            raise _Bad("is longer than this system can pass on", name)


def _check_tags(value: Any) -> None:
    if not isinstance(value, list) or len(value) > 64:
        raise _Bad("must be a list of at most 64 texts")
    for index, tag in enumerate(value):
        _check_text(tag, "a tag", 64, index)


def _check_codes(value: Any) -> None:
    if not isinstance(value, list) or not 1 <= len(value) <= 256:
        raise _Bad("must be a list of 1 to 256 exit codes")
    for index, code in enumerate(value):
        try:
            check_number(code, 0, 255, whole=True)
        except _Bad as error:
            raise _Bad(str(error), index) from None


def _codes(meaning: str) -> Field:
    code = {"type": "integer", "minimum": 0, "maximum": 255}
    schema = {"type": "array", "minItems": 1, "maxItems": 256, "items": code}
    return Field(_check_codes, schema, meaning)


def is_need(name: Any) -> bool:
    """Say whether something that jobs need, or that is limited, may be called so."""
    return isinstance(name, str) and _NEED.fullmatch(name) is not None


def _check_needs(value: Any) -> None:
    if not isinstance(value, dict) or not 1 <= len(value) <= 16:
        raise _Bad("must be an object of 1 to 16 names and amounts")
    for name, amount in value.items():
        if not is_need(name):
            raise _Bad("a need is called by 1 to 64 of A-Z a-z 0-9 _ . -", str(name))
        try:
            check_number(amount, 1e-6, 1e15)
        except _Bad as error:
            raise _Bad(str(error), name) from None


def _check_history(value: Any) -> None:
    if not isinstance(value, list):
        raise _Bad(f"must be a list, not {_kind(value)}")
    for index, entry in enumerate(value):
        if not isinstance(entry, dict):
            raise _Bad(f"every entry must be an object, not {_kind(entry)}", index)
        for key in ("started_at", "finished_at", "not_before", "retry_at"):
            if key in entry:
                try:
                    _check_rfc3339(entry[key])
                except _Bad as error:
                    raise _Bad(str(error), index, key) from None
        for key in ("attempt", "exit_code", "signal"):
            if key in entry:
                try:
                    check_number(entry[key], -math.inf, math.inf, whole=True)
                except _Bad as error:
                    raise _Bad(str(error), index, key) from None
        for key in ("success", "deferred"):
            if key in entry and not isinstance(entry[key], bool):
                raise _Bad(f"must be true or false, not {_kind(entry[key])}", index, key)
        for key in ("worker", "error", "output", "forwarded_to"):
            if key in entry and not isinstance(entry[key], str):
                raise _Bad(f"must be text, not {_kind(entry[key])}", index, key)


_NO_NUL = {"type": "string", "minLength": 1, "pattern": "^[^\\u0000]*$"}
_RFC = {"type": "string", "format": "date-time"}


def _plain(what: str, longest: int, meaning: str) -> Field:
    return Field(
        lambda value: _check_text(value, what, longest),
        {**_NO_NUL, "maxLength": longest},
        meaning,
    )


FIELDS: Dict[str, Field] = {
    "command": Field(
        _check_command,
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
        _check_id,
        {"type": "string", "pattern": "^(?!last$)[A-Za-z0-9_][A-Za-z0-9_-]{0,63}$"},
        "the job's name in the spool; made where absent",
    ),
    "priority": _number(0, 9, True, "9 goes first; 5 where absent"),
    "run_at": Field(
        _check_instant,
        {"oneOf": [_RFC, {"type": "number", "minimum": 0, "maximum": 253402300799}]},
        "not before: RFC 3339 with offset, or seconds since the epoch",
    ),
    "max_retries": _number(0, 100_000, True, "retries after the first attempt"),
    "backoff_base": _number(0, 86_400, False, "the wait after attempt n is base^n seconds"),
    "timeout": _number(0.001, 315_360_000, False, "seconds for one attempt"),
    "cwd": _plain("a directory", 4095, "the directory to run in; the worker's where absent"),
    "env": Field(
        _check_env,
        {
            "type": "object",
            "propertyNames": {"pattern": "^[^=\\u0000]+$"},
            "additionalProperties": {"type": "string", "pattern": "^[^\\u0000]*$"},
        },
        "variables added to the worker's",
    ),
    "name": _plain("a name", 256, "for people"),
    "tags": Field(
        _check_tags,
        {"type": "array", "maxItems": 64, "items": {**_NO_NUL, "maxLength": 64}},
        "for people, and for choosing jobs",
    ),
    "success_on": _codes("exit codes that are a success, besides 0"),
    "retry_on": _codes("a run that ends with another exit code is the last"),
    "dead_on": _codes("a run that ends with one of these exit codes is the last"),
    "needs": Field(
        _check_needs,
        {
            "type": "object",
            "minProperties": 1,
            "maxProperties": 16,
            "propertyNames": {"pattern": "^[A-Za-z0-9_.-]{1,64}$"},
            "additionalProperties": {"type": "number", "minimum": 1e-6, "maximum": 1e15},
        },
        "what it needs while it runs, by name and amount: of limits, or of its executor",
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
    "created_at": Field(_check_rfc3339, _RFC, "when it was enqueued; the file's mtime if absent"),
    "history": Field(
        _check_history,
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
                    "result": {},
                },
            },
        },
        "one object for each run",
    ),
}

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
        except _Bad as error:
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

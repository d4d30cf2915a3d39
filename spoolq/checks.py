"""What the values of a job's fields may be: a function for each kind, which raises what is wrong.

Types are strict: `true` is no number. A command is checked for what exec would refuse.
"""

from __future__ import annotations

import math
import re
from typing import Any

from spoolq import instants, names, platform

MOST_AWAITED = 100  # jobs that one waits for
_NEED = re.compile(r"[A-Za-z0-9_.-]{1,64}", re.ASCII)


class Bad(ValueError):
    """What is wrong with a value, and the path in it that leads there."""

    def __init__(self, reason: str, *path: str | int) -> None:
        super().__init__(reason)
        self.path = path


def text(value: Any, what: str, longest: int, *path: str | int) -> None:
    """Refuse what is not text of 1 to `longest` characters, called `what`."""
    if not isinstance(value, str):
        raise Bad(f"{what} must be text, not {_kind(value)}", *path)
    if not value or len(value) > longest:
        raise Bad(f"{what} must have 1 to {longest} characters", *path)
    if "\0" in value:
        raise Bad(f"{what} holds a NUL character", *path)


def _kind(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    for kind, word in ((str, "text"), (int, "a number"), (float, "a number"), (list, "a list")):
        if isinstance(value, kind):
            return word
    return "an object"


def number(value: Any, least: float, most: float, whole: bool = False) -> None:
    """Refuse what is not a number from `least` to `most`; `true` is no number.

    Raises:
        ValueError: with a text for people.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Bad(f"must be a number, not {_kind(value)}")
    if whole and value != value // 1:
        raise Bad("must be a whole number")
    if not least <= value <= most:
        raise Bad(f"must be from {least:.12g} to {most:.12g}")


def command(value: Any) -> None:
    """Refuse what no command can be."""
    words = [value] if isinstance(value, str) else value
    if not isinstance(words, list):
        raise Bad(f"must be text for the shell or a list of words, not {_kind(value)}")
    if not words or (isinstance(value, str) and not value.strip()):
        raise Bad("is empty")
    size = 0
    for index, word in enumerate(words):
        path = () if isinstance(value, str) else (index,)
        if not isinstance(word, str):
            raise Bad(f"every word must be text, not {_kind(word)}", *path)
        if index == 0 and not word:
            raise Bad("the program has no name", *path)
        if "\0" in word:
            raise Bad("holds a NUL character, which no command can", *path)
        length = len(word.encode("utf-8", "surrogatepass"))
        size += length + 9
        if length > platform.MAX_ARGUMENT or size > platform.MAX_ARGUMENTS:
            raise Bad("is longer than this system can run; put it into a script", *path)


def id(value: Any) -> None:
    """Refuse what no id can be."""
    if not isinstance(value, str) or not names.is_id(value):
        raise Bad("must be 1 to 64 of A-Z a-z 0-9 _ -, not beginning with -, and not 'last'")


def instant(value: Any) -> None:
    """Refuse what is neither a time of RFC 3339 nor seconds since the epoch."""
    try:
        if isinstance(value, str):
            instants.from_rfc3339(value)
        else:
            number(value, 0, 253402300799)
    except Bad:
        raise
    except ValueError as error:
        raise Bad(str(error)) from None


def rfc3339(value: Any) -> None:
    """Refuse what is no time of RFC 3339."""
    if not isinstance(value, str):
        raise Bad(f"must be text, not {_kind(value)}")
    instant(value)


def env(value: Any) -> None:
    """Refuse what no environment can hold."""
    if not isinstance(value, dict):
        raise Bad(f"must be an object of names and texts, not {_kind(value)}")
    for name, text in value.items():
        if not isinstance(name, str) or not name or "=" in name or "\0" in name:
            raise Bad("no variable can have this name", str(name))
        if not isinstance(text, str):
            raise Bad(f"must be text, not {_kind(text)}", name)
        if "\0" in text:
            raise Bad("holds a NUL character", name)
        if len((name + text).encode("utf-8", "surrogatepass")) >= platform.MAX_ARGUMENT:
            raise Bad("is longer than this system can pass on", name)


def tags(value: Any) -> None:
    """Refuse what is no list of tags."""
    if not isinstance(value, list) or len(value) > 64:
        raise Bad("must be a list of at most 64 texts")
    for index, tag in enumerate(value):
        text(tag, "a tag", 64, index)


def codes(value: Any) -> None:
    """Refuse what is no list of exit codes."""
    if not isinstance(value, list) or not 1 <= len(value) <= 256:
        raise Bad("must be a list of 1 to 256 exit codes")
    for index, code in enumerate(value):
        try:
            number(code, 0, 255, whole=True)
        except Bad as error:
            raise Bad(str(error), index) from None


def ids(value: Any) -> None:
    """Refuse what is no list of ids."""
    if not isinstance(value, list) or not 1 <= len(value) <= MOST_AWAITED:
        raise Bad(f"must be a list of 1 to {MOST_AWAITED} ids of jobs")
    for index, job_id in enumerate(value):
        if not isinstance(job_id, str) or not names.is_id(job_id):
            raise Bad("is no id of a job", index)
        if job_id in value[:index]:
            raise Bad("is named twice", index)


def key(value: Any) -> None:
    """Refuse what the name of a key's file cannot say."""
    text(value, "a key", names.LONGEST_KEY)
    try:
        length = len(names.of_key(value))
    except UnicodeEncodeError:
        raise Bad("holds text that is not UTF-8") from None
    if length > names.LONGEST_KEY:
        raise Bad(f"is {length} bytes long as the name of a file, and may have {names.LONGEST_KEY}")


def is_need(name: Any) -> bool:
    """Say whether something that jobs need, or that is limited, may be called so."""
    return isinstance(name, str) and _NEED.fullmatch(name) is not None


def needs(value: Any) -> None:
    """Refuse what is no object of names and amounts."""
    if not isinstance(value, dict) or not 1 <= len(value) <= 16:
        raise Bad("must be an object of 1 to 16 names and amounts")
    for name, amount in value.items():
        if not is_need(name):
            raise Bad("a need is called by 1 to 64 of A-Z a-z 0-9 _ . -", str(name))
        try:
            number(amount, 1e-6, 1e15)
        except Bad as error:
            raise Bad(str(error), name) from None


def flag(value: Any) -> None:
    """Refuse what is neither true nor false."""
    if not isinstance(value, bool):
        raise Bad(f"must be true or false, not {_kind(value)}")


def history(value: Any) -> None:
    """Refuse what is no list of runs."""
    if not isinstance(value, list):
        raise Bad(f"must be a list, not {_kind(value)}")
    for index, entry in enumerate(value):
        if not isinstance(entry, dict):
            raise Bad(f"every entry must be an object, not {_kind(entry)}", index)
        for key in ("started_at", "finished_at", "not_before", "retry_at"):
            if key in entry:
                try:
                    rfc3339(entry[key])
                except Bad as error:
                    raise Bad(str(error), index, key) from None
        for key in ("attempt", "exit_code", "signal"):
            if key in entry:
                try:
                    number(entry[key], -math.inf, math.inf, whole=True)
                except Bad as error:
                    raise Bad(str(error), index, key) from None
        for key in ("success", "deferred"):
            if key in entry and not isinstance(entry[key], bool):
                raise Bad(f"must be true or false, not {_kind(entry[key])}", index, key)
        for key in ("worker", "error", "output", "forwarded_to", "waited_for"):
            if key in entry and not isinstance(entry[key], str):
                raise Bad(f"must be text, not {_kind(entry[key])}", index, key)

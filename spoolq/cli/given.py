"""Jobs as they are given on the command line: words, JSON objects, lines of stdin.

A job grows in layers, each beating the one below: the job named by --like, what was typed (JSON or
a command), the options; and below them all where we are and what `capture_env` lists, since people
expect the python and the folder that they see.
"""

from __future__ import annotations

import os
import re
from typing import Any, BinaryIO, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

from spoolq import config, strictjson
from spoolq.cli import render
from spoolq.cli.verbs import Refused, did_you_mean, working_directory
from spoolq.errors import BadInput, InvalidJob
from spoolq.fields import FIELDS
from spoolq.job import DERIVED, MAX_GIVEN, Job
from spoolq.text import shell_word

_SHELL_GROUP = re.compile(r"\{\s+[^\s\"'}]")
#: Where a context keeps whether a `--` stood before the words.
LITERAL = "spoolq.literal"
#: What to do about a job that is wrong, where nothing better is known.
A_JOB = "what a job can have:  spoolq enqueue --help"

_OPTIONS = {"tags": "tag", "run_at": "at"}  # options that are not called as their field
_OF_ONE_RUN = ("id", "run_at", "after", "after_any", "created_at", "history")

#: Text that no JSON file can hold, as the command line hands it on where bytes are not UTF-8.
_LONE_SURROGATE = re.compile("[\ud800-\udfff]")


class Source(NamedTuple):
    """One job as it was given: where, its text if that was JSON, and its fields."""

    where: str
    line: Optional[int]
    text: Optional[str]
    fields: Dict[str, Any]


# --- words ----------------------------------------------------------------------------------------


def looks_like_json(word: str) -> bool:
    """Say whether a first word is meant as a JSON object; no program is called so."""
    return word.lstrip().startswith("{")


def from_words(
    words: Sequence[str], options: Set[str], *, literal: bool, verb: str
) -> List[Source]:
    """Return the jobs that the words after the options mean.

    Args:
        words: as typed.
        options: the spellings of our own options.
        literal: a `--` stood before them, so nothing among them is ours.
        verb: what to show in a hint: enqueue or run.

    Raises:
        Refused: they mean nothing, or hardly what was typed.
    """
    first = words[0]
    if looks_like_json(first):
        return [_from_json_word(word, number, words) for number, word in enumerate(words)]
    for word in words:
        if _LONE_SURROGATE.search(word):
            raise Refused(
                f"{word!r} is not UTF-8, which a job file must be",
                "put the command into a script",
            )
    if len(words) == 1:
        _refuse_json_list(first)
        return [Source("", None, None, {"command": first})]
    if not literal:
        _refuse_late_options(words, options, verb)
    return [Source("", None, None, {"command": list(words)})]


def _from_json_word(word: str, number: int, words: Sequence[str]) -> Source:
    where = f"job {number + 1}" if len(words) > 1 else ""
    if number and not looks_like_json(word):
        raise Refused(
            f"after a JSON object only further ones can follow, and options, not {word!r}",
            _group_hint(" ".join(words))
            if _SHELL_GROUP.match(words[0]) or words[0] == "{"
            else "a command goes without JSON:  spoolq enqueue 'echo hello'",
        )
    if _LONE_SURROGATE.search(word):
        raise Refused("the JSON is not UTF-8", "save it as UTF-8")
    if len(word) > MAX_GIVEN:
        raise Refused(f"the JSON is larger than {MAX_GIVEN // 1024} KiB", "put it into a script")
    try:
        text, fields = strictjson.parse_object(word.encode("utf-8"))
    except InvalidJob as error:
        raise Refused(str(_placed(error, where, None)), _json_hint(word, error.hint)) from None
    return Source(where, None, text, fields)


def _json_hint(text: str, otherwise: Optional[str]) -> str:
    if _SHELL_GROUP.match(text):
        return _group_hint(text)
    return otherwise or """a job is an object with double quotes: '{"command": "sleep 5"}'"""


def _group_hint(text: str) -> str:
    return f"if it is meant for the shell:  spoolq enqueue sh -c {shell_word(text)}"


def _refuse_json_list(word: str) -> None:
    if not word.lstrip().startswith("["):
        return
    import json

    try:
        json.loads(word)
    except ValueError:
        return  # the shell's own [
    raise Refused(
        "a job is a JSON object, not a list",
        """give each object by itself: spoolq enqueue '{"command": ["ls", "-l"]}' '{...}'""",
    )


def _refuse_late_options(words: Sequence[str], options: Set[str], verb: str) -> None:
    first, rest = words[0], words[1:]
    if not any(char.isspace() for char in first) or rest[0].partition("=")[0] not in options:
        return
    right = " ".join(map(shell_word, (*rest, first)))
    raise Refused(
        f"options come before the command, so {rest[0]} would be an argument of it",
        f"spoolq {verb} {right}",
    )


# --- lines ----------------------------------------------------------------------------------------


def from_lines(stream: BinaryIO) -> Iterator[Source]:
    """Yield the jobs of a stream, one a line: JSON or a command for the shell; no blank ones.

    Raises:
        BadInput: a line is no job; the error names it.
    """
    number = 0
    while True:
        data = stream.readline(MAX_GIVEN + 2)
        if not data:
            return
        number += 1
        where = f"line {number}"
        if len(data.rstrip(b"\n")) > MAX_GIVEN:
            raise BadInput(
                f"{where}: larger than {MAX_GIVEN // 1024} KiB", hint="put it into a script"
            )
        if not data.strip():
            continue
        data = data.rstrip(b"\r\n")
        try:
            if data.lstrip().startswith(b"{"):
                text, fields = strictjson.parse_object(data)
                yield Source(where, number, text, fields)
                continue
            if data.startswith(b"\xef\xbb\xbf"):
                raise InvalidJob("begins with a byte order mark", hint="save it as plain UTF-8")
            yield Source(where, number, None, {"command": data.decode("utf-8")})
        except UnicodeDecodeError as error:
            place = len(data[: error.start].decode("utf-8")) + 1
            raise BadInput(
                f"{where}, column {place}: not UTF-8", hint="save it as UTF-8, or use a script"
            ) from None
        except InvalidJob as error:
            hint = _json_hint(data.decode("utf-8", "replace"), error.hint)
            raise BadInput(str(_placed(error, where, number)), hint=hint) from None


def explained(error: InvalidJob, source: Source) -> InvalidJob:
    """Return an error about a job's fields with its place in what was given."""
    if source.text is not None and error.path and error.path[0] in source.fields:
        line, column = strictjson.place(source.text, error.path)
        error = InvalidJob(error.reason, path=error.path, line=line, column=column, hint=error.hint)
    return _placed(error, source.where, source.line)


def _placed(error: InvalidJob, where: str, line: Optional[int]) -> InvalidJob:
    """Return an error with the line of stdin, or the number of the argument, that it is about."""
    if line is not None and error.line is not None:
        return InvalidJob(
            error.reason, path=error.path, line=line, column=error.column, hint=error.hint
        )
    if not where:
        return error
    return InvalidJob(f"{where}: {error}", hint=error.hint)


# --- layers ---------------------------------------------------------------------------------------


class Layers:
    """What is put under and over each job: --like, the options, and the surroundings.

    `options` are the fields that were typed as options, and `batch` is a tag that each job gets
    besides its own.
    """

    batch: Optional[str] = None

    def __init__(
        self, options: Dict[str, Any], settings: config.Settings, like: Optional[Job] = None
    ) -> None:
        self.options = options
        self._like = {
            key: value
            for key, value in (like.fields if like else {}).items()
            if key not in _OF_ONE_RUN
        }
        self._limits = settings.limits
        self._environment = _utf8_only(config.captured_environment(settings))
        self._here = ""  # until it is asked for
        self._told: Set[str] = set()

    def around(self, fields: Dict[str, Any]) -> Dict[str, Any]:
        """Return the whole job; warn, once for each, of fields that mean nothing."""
        job = {**self._like, **fields, **self.options}
        envs = (self._like.get("env"), fields.get("env"), self.options.get("env"))
        wrong = [env for env in envs if env is not None and not isinstance(env, dict)]
        if wrong:
            job["env"] = wrong[-1]  # its check says why not
        else:
            merged = dict(self._environment) if self._like.get("env") is None else {}
            for env in envs:
                merged.update(env or {})
            if merged:
                job["env"] = merged
        cwd = job.get("cwd")
        if cwd is None:
            cwd = job["cwd"] = self._where_we_are()
        elif isinstance(cwd, str) and cwd and not os.path.isabs(cwd):
            job["cwd"] = os.path.normpath(os.path.join(self._where_we_are(), cwd))
        if self.batch is not None and isinstance(job.get("tags", []), list):
            job["tags"] = [*job.get("tags", []), self.batch]
        self._warn_of_strangers(fields)
        if self._limits:
            self._warn_of_too_much(job.get("needs"))
        return {key: value for key, value in job.items() if key not in DERIVED}

    def _where_we_are(self) -> str:
        self._here = self._here or _here()
        return self._here

    def _warn_of_too_much(self, needs: Any) -> None:
        for name, amount in needs.items() if isinstance(needs, dict) else ():
            limit = self._limits.get(name)
            is_over = limit is not None and isinstance(amount, (int, float)) and amount > limit
            if is_over and name not in self._told:
                self._told.add(name)
                render.warn(
                    f"it needs {name}={amount:g}, and the limit is {limit}: it waits until that "
                    "is raised"
                )

    def _warn_of_strangers(self, fields: Dict[str, Any]) -> None:
        for key in fields:
            if key in FIELDS or key in DERIVED or key in self._told:
                continue
            self._told.add(key)
            meant = did_you_mean(key, FIELDS)
            render.warn(f"the field {key!r} means nothing to spoolq; it is kept{meant}")


def refusal(error: InvalidJob, layers: Layers, source: Source) -> Refused:
    """Return what is wrong with a job in the words in which it was typed."""
    field = str(error.path[0]) if error.path else ""
    if field in layers.options and field != "env":  # which JSON may have brought along
        option = _OPTIONS.get(field, field.replace("_", "-"))
        return Refused(f"--{option}: {error.reason}", error.hint or A_JOB)
    better = explained(error, source)
    return Refused(str(better), better.hint or A_JOB)


def _here() -> str:
    here = working_directory()
    if _LONE_SURROGATE.search(here):
        raise Refused(
            f"the directory {here!r} is not UTF-8, which a job file must be",
            "name another with --cwd",
        )
    return here


def _utf8_only(environment: Dict[str, str]) -> Dict[str, str]:
    """Leave out what a job file cannot hold: better a job without LANG than none."""
    return {key: text for key, text in environment.items() if not _LONE_SURROGATE.search(text)}


def variables(assignments: Sequence[str]) -> Dict[str, str]:
    """Return the variables of --env: K=V as given, NAME with the value that it has here.

    Raises:
        Refused: there is no such variable here, or no such name anywhere.
    """
    found = {}
    for assignment in assignments:
        name, given, value = assignment.partition("=")
        if not name:
            raise Refused(f"--env {assignment!r}: the variable has no name", "--env NAME=VALUE")
        if not given:
            here = config.environment().get(name)
            if here is None:
                raise Refused(
                    f"--env {name}: there is no such variable here", f"--env {name}=VALUE"
                )
            value = here
        if _LONE_SURROGATE.search(name + value):
            raise Refused(
                f"--env {render.escape(name)}: not UTF-8, which a job file must be",
                "let the command set it itself, from a script",
            )
        found[name] = value
    return found


def needs(amounts: Sequence[str]) -> Dict[str, float]:
    """Return what --needs says: amounts by their names.

    Raises:
        Refused: it is not NAME=AMOUNT.
    """
    found: Dict[str, float] = {}
    for text in amounts:
        name, _, amount = text.partition("=")
        try:
            number = float(amount)
        except ValueError:
            raise Refused(f"--needs {text!r} is no NAME=AMOUNT", "--needs gpu=1") from None
        found[name] = int(number) if number.is_integer() else number
    return found


def codes(option: str, text: str) -> List[int]:
    """Return the exit codes of an option, with commas between them.

    Raises:
        Refused: one is no number.
    """
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise Refused(f"{option} {text!r} is no list of exit codes", f"{option} 3,4") from None


def split_options(args: Sequence[str], rest: Sequence[str]) -> Tuple[bool, bool]:
    """Say of typed arguments whether a `--` stood before the words, and whether these are JSON."""
    before = args[: len(args) - len(rest)]
    return bool(before) and before[-1] == "--", bool(rest) and (
        looks_like_json(rest[0]) or rest[0] == "-"
    )

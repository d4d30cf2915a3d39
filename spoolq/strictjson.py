"""JSON as strict as a job file wants it, with the place of every fault.

Stricter than the standard library: UTF-8 alone, an object at the top, no NaN or infinity, no
duplicate keys, no lone surrogates, bounded depth and numbers. The fast path is the library's own
scanner with hooks that only say *that* something is wrong; *where* is found by a second, slow walk
that runs for faulty texts alone, and never past the point up to which they are well formed: beyond
it a hostile text could make its pattern try again from every character.
"""

from __future__ import annotations

import json
import re
from functools import lru_cache
from typing import Any, Dict, Iterator, List, NoReturn, Optional, Tuple

from spoolq.errors import InvalidJob, Path

MAX_DEPTH = 64
MAX_INTEGER = 2**63 - 1

_TOKEN = re.compile(r'[ \t\n\r]*([{}\[\],:]|"(?:[^"\\]|\\.)*"|[^\s{}\[\],:"]+)', re.DOTALL)
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")


class _Fault(ValueError):
    """Raised by the hooks: something is wrong, the walk will say where."""


def parse_object(data: bytes, depth: int = MAX_DEPTH) -> Tuple[str, Dict[str, Any]]:
    """Read a JSON object, nested no more than `depth` deep.

    Returns:
        The decoded text, for `place`, and the object.

    Raises:
        InvalidJob: it breaks a rule; line, column and field are set where the fault has them.
    """
    text = _decode(data)
    try:
        value = _decoder.decode(text)
    except json.JSONDecodeError as error:
        raise InvalidJob(
            f"not JSON: {error.msg[:1].lower() + error.msg[1:]}",
            line=error.lineno,
            column=error.colno,
        ) from None
    except _Fault:
        _refuse_fault(text)
    except RecursionError:
        _refuse_depth(text, depth)
        raise
    if text.count("[") + text.count("{") > depth:
        _refuse_depth(text, depth)
    if not isinstance(value, dict):
        raise InvalidJob("a job is a JSON object: { ... }", line=1, column=1)
    if _SURROGATE.search(text):
        _refuse_surrogates(text)
    return text, value


def dump_object(fields: Dict[str, Any]) -> bytes:
    """Write an object with one field a line, and one history entry a line: it is there to be read.

    Raises:
        ValueError: a number is not finite or a text holds a lone surrogate.
    """
    lines = []
    for key, value in fields.items():
        if key == "history" and value:
            entries = ",\n".join("    " + _dump(entry) for entry in value)
            lines.append(f'  "history": [\n{entries}\n  ]')
        else:
            lines.append(f"  {_key(key)}: {_dump(value)}")
    return ("{\n" + ",\n".join(lines) + "\n}\n").encode("utf-8")


def dump_line(value: Any) -> bytes:
    """Write a value as one line, with its end; errors as `dump_object`."""
    return (_dump(value) + "\n").encode("utf-8")


_readable = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
_escaped = json.JSONEncoder(ensure_ascii=True, allow_nan=False).encode


def _dump(value: Any) -> str:
    text = _readable(value)
    # What would move the cursor or turn the reading direction of a terminal is written as \u....
    if text.isprintable():
        return text
    text.encode("utf-8")  # half a surrogate pair is refused; escaped, it would pass
    return _escaped(value)


_key = lru_cache(maxsize=64)(_dump)  # there are few, and they come back in every job


def place(text: str, path: Path) -> Tuple[int, int]:
    """Return line and column of the value at `path`, or of the longest part of it that exists."""
    best, found = 0, 0
    for here, offset, token in _walk(text):
        if token != "key" and len(here) >= best and here == path[: len(here)]:
            best, found = len(here), offset
            if here == path:
                break
    return _line_and_column(text, found)


def _decode(data: bytes) -> str:
    if data[:3] == b"\xef\xbb\xbf":
        raise InvalidJob(
            "begins with a byte order mark", line=1, column=1, hint="save it as plain UTF-8"
        )
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line, column = _line_and_column(data[: error.start].decode("utf-8"), None)
        raise InvalidJob(
            "not UTF-8", line=line, column=column, hint="save it as plain UTF-8"
        ) from None


def _line_and_column(text: str, offset: Optional[int]) -> Tuple[int, int]:
    head = text if offset is None else text[:offset]
    return head.count("\n") + 1, len(head) - (head.rfind("\n") + 1) + 1


def _unique(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _Fault
    return value


def _integer(digits: str) -> int:
    if len(digits) > 20 or abs(int(digits)) > MAX_INTEGER:
        raise _Fault
    return int(digits)


def _float(digits: str) -> float:
    value = float(digits)
    if value in (float("inf"), float("-inf")):
        raise _Fault
    return value


def _constant(word: str) -> NoReturn:
    raise _Fault


# Made once: making one costs more than reading a job with it.
_decoder = json.JSONDecoder(
    object_pairs_hook=_unique, parse_int=_integer, parse_float=_float, parse_constant=_constant
)


def _walk(text: str) -> Iterator[Tuple[Path, int, str]]:
    """Yield path, offset and token of every key ("key") and value of a well-formed text."""
    stack: List[List[Any]] = []  # ["{", key or None] or ["[", index], from the outside in
    for match in _TOKEN.finditer(text):
        token, offset = match.group(1), match.start(1)
        if token in ("}", "]"):
            if stack:
                stack.pop()
        elif token == ",":
            if stack:
                stack[-1][1] = None if stack[-1][0] == "{" else stack[-1][1] + 1
        elif token != ":":
            is_key = bool(stack) and stack[-1][0] == "{" and stack[-1][1] is None
            if is_key and token[0] == '"':
                stack[-1][1] = json.loads(token, strict=False)
                token = "key"
            yield tuple(level[1] for level in stack), offset, token
            if token in ("{", "["):
                stack.append([token, None if token == "{" else 0])


def _refuse(text: str, reason: str, offset: int, path: Path = ()) -> NoReturn:
    line, column = _line_and_column(text, offset)
    raise InvalidJob(reason, path=path, line=line, column=column)


def _refuse_depth(text: str, most: int) -> None:
    depth = 0
    for match in _TOKEN.finditer(text):
        token = match.group(1)
        depth += (token in ("{", "[")) - (token in ("}", "]"))
        if depth > most:
            _refuse(text, f"nested more than {most} deep", match.start(1))


def _refuse_fault(text: str) -> NoReturn:
    seen = set()
    for path, offset, token in _walk(text):
        if token == "key":
            if path in seen:
                _refuse(text, "this key stands twice", offset, path)
            seen.add(path)
        elif token[0] in "-0123456789NI":
            try:
                _decoder.decode(token)
            except _Fault:
                _refuse(text, f"{token[:30]} is not a number that fits", offset, path)
    raise AssertionError("a fault without a place")  # pragma: no cover


def _refuse_surrogates(text: str) -> None:
    for path, offset, token in _walk(text):
        word = token if token[0] == '"' else ""
        if token == "key":
            word = json.dumps(path[-1])
        try:
            if word:
                json.loads(word).encode("utf-8")
        except UnicodeEncodeError:
            _refuse(text, "half a surrogate pair is no character", offset, path)

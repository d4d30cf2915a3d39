"""All printing: data to stdout, words to stderr, and nothing hostile to the terminal.

Names, commands, errors and file names come from anybody. What a terminal would act on is written
as an escape wherever they are shown. A job's output is its own matter: it goes out byte for byte
where stdout is no terminal (see `output` for where it is one).

rich costs 50 ms to import, so only progress bars on a terminal use it; see `columns` for tables.
"""

from __future__ import annotations

import json
import os
import sys
from typing import IO, Any, BinaryIO, Mapping, Optional, Sequence, Tuple

from spoolq import config
from spoolq.cli import columns
from spoolq.text import printable

_WRAP = {"red": 31, "green": 32, "yellow": 33, "cyan": 36, "bold": 1, "dim": 2}

#: The colour of each state, wherever one is shown.
STATE_STYLE = {
    "pending": "yellow",
    "processing": "cyan",
    "failed": "red",
    "completed": "green",
    "dead": "red",
}

#: Names, commands and errors come from anybody; this is how they are shown.
escape = printable

_COLUMNS = 80  # where a terminal does not say how wide it is
_color = "auto"


def use_color(mode: str) -> None:
    """Decide on colour for this process: auto, always or never."""
    global _color
    _color = mode


def is_terminal(stream: Optional[IO[str]]) -> bool:
    """Say whether a stream is a terminal; one that was closed at the start is none."""
    try:
        return stream is not None and stream.isatty()
    except ValueError:
        return False


def has_color(stream: Optional[IO[str]]) -> bool:
    """Say whether colour goes to a stream, by --color, NO_COLOR, TERM and what the stream is."""
    if _color != "auto":
        return _color == "always"
    environment = config.environment()
    plain = bool(environment.get("NO_COLOR")) or environment.get("TERM") == "dumb"
    return is_terminal(stream) and not plain


def painted(text: str, style: str, stream: Optional[IO[str]]) -> str:
    """Return text in a style, or as it is where colour does not go."""
    if not has_color(stream):
        return text
    codes = ";".join(str(_WRAP[part]) for part in style.split())
    return f"\x1b[{codes}m{text}\x1b[0m"


def stdout() -> Optional[IO[str]]:
    """Return where data goes."""
    return sys.stdout


def place(path: str) -> str:
    """Return " in PATH" for who sits at a terminal, where what is done names the spool."""
    return f" in {escape(path)}" if is_terminal(sys.stderr) else ""


def stdout_bytes() -> BinaryIO:
    """Return stdout as bytes, for what is not text."""
    return open(os.devnull, "wb") if sys.stdout is None else sys.stdout.buffer


def stdin() -> Optional[BinaryIO]:
    """Return stdin as bytes, or None where it was closed at the start."""
    return None if sys.stdin is None else sys.stdin.buffer


# --- the two streams ------------------------------------------------------------------------------


def out(text: str) -> None:
    """Print a line of data."""
    if sys.stdout is not None:
        sys.stdout.write(text + "\n")


def say(text: str) -> None:
    """Tell a person something."""
    if sys.stderr is not None:
        sys.stderr.write(text + "\n")
        sys.stderr.flush()


def warn(text: str) -> None:
    """Warn a person of something that goes on all the same."""
    say(f"{painted('warning:', 'yellow', sys.stderr)} {escape(text)}")


def error(message: str, *, where: Optional[str] = None, hint: Optional[str] = None) -> None:
    """Say what happened, where, and what to do."""
    say(f"{painted('Error:', 'red bold', sys.stderr)} {escape(message)}")
    if where:
        say(f"  file  {escape(where)}")
    if hint:
        error_hint(hint)


def error_hint(text: str) -> None:
    """Say what to do about an error: its last line."""
    say(f"{painted('hint:', 'bold', sys.stderr)} {escape(text)}")


def document(value: Any) -> None:
    """Print one JSON document; ASCII, so no terminal acts on what is in it."""
    out(json.dumps(value, indent=2))


def flush() -> None:
    """Let what was printed be seen, before words about it."""
    if sys.stdout is not None:
        sys.stdout.flush()


def data(text: str) -> None:
    """Print text of data as it is, now."""
    if sys.stdout is not None:
        sys.stdout.write(text)
        sys.stdout.flush()


def raw(data: bytes) -> None:
    """Print bytes as they are, now; all of them, with PYTHONUNBUFFERED too."""
    if sys.stdout is None:
        return
    sys.stdout.flush()
    view = memoryview(data)
    while view:
        view = view[sys.stdout.buffer.write(view) :]
    sys.stdout.buffer.flush()


# --- tables ---------------------------------------------------------------------------------------


def room() -> Optional[int]:
    """Return how many cells a line on stdout has; None where it has no end, in a pipe."""
    if sys.stdout is None or not is_terminal(sys.stdout):
        return None
    given = config.environment().get("COLUMNS", "")
    if given.isascii() and given.isdigit() and int(given):
        return int(given)
    try:
        return os.get_terminal_size(sys.stdout.fileno()).columns or _COLUMNS
    except (OSError, ValueError):
        return _COLUMNS


def glyph(pretty: str, plain: str) -> str:
    """Return a sign that looks well, or the plain one where stdout cannot show that."""
    try:
        pretty.encode(getattr(sys.stdout, "encoding", None) or "ascii")
    except UnicodeEncodeError:
        return plain
    return pretty


def on_stdout(text: str, style: str) -> str:
    """Return text in a style, where colour goes to stdout."""
    return painted(text, style, sys.stdout)


def table(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    optional: Optional[Mapping[str, int]] = None,
) -> None:
    """Print a table: fitted to a terminal, whole in a pipe; nothing where there are no rows.

    The last column takes what room there is. Cells are escaped by the caller or harmless; columns
    that are `optional` are left out where the last one has less than so many cells.
    """
    if rows:
        mark = glyph("…", "~")
        for line in columns.table(heads, rows, room(), on_stdout, optional, mark):
            out(line)


def line(text: str) -> None:
    """Print a line of data, cut to the terminal where there is one."""
    left = room()
    fitting = text if left is None else columns.cut(text, left, glyph("…", "~"))
    out(columns.painted(text, fitting, on_stdout))


def story(rows: Sequence[Tuple[str, str]], margin: str = "") -> None:
    """Print labelled texts, wrapped to the terminal where there is one."""
    for each in columns.story(rows, room(), on_stdout, margin):
        out(each)


def tip(text: str) -> None:
    """Tell who sits at a terminal what can be done next; nothing where nobody does."""
    if is_terminal(sys.stdout) and is_terminal(sys.stderr):
        advise(text)


def advise(text: str) -> None:
    """Tell a person what to do, after the data that says why; wrapped to a terminal."""
    flush()
    for each in columns.wrapped(text, room() or len(text)):
        say(each)

"""All printing: data to stdout, words to stderr, and nothing hostile to the terminal.

Names, commands, errors and file names come from anybody. What a terminal would act on is written
as an escape wherever they are shown. A job's output is its own matter: it goes out byte for byte
where stdout is no terminal (see `output` for where it is one).

rich costs 50 ms to import, so only tables and progress bars on a terminal use it.
"""

from __future__ import annotations

import json
import sys
from typing import IO, Any, BinaryIO, List, Optional, Sequence

from spoolq import config
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


class Cell(str):
    """Text of a table with a style; escaped already."""

    style = ""

    @classmethod
    def styled(cls, text: str, style: str) -> Cell:
        """Return a cell in a style."""
        cell = cls(text)
        cell.style = style
        return cell


def table(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a table: pretty on a terminal, plain aligned columns in a pipe.

    The last column takes what room there is. Cells are escaped by the caller or harmless.
    """
    if not rows:
        return
    if is_terminal(sys.stdout) or _color == "always":
        _pretty(heads, rows)
    else:
        for line in aligned([heads, *rows]):
            out(line)


def aligned(rows: Sequence[Sequence[str]]) -> List[str]:
    """Return rows as lines with aligned columns, two blanks apart."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows)]
    return [
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows
    ]


_LAST_COLUMN = 20  # characters that are of use


def _pretty(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    from rich.cells import cell_len
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    colored = has_color(sys.stdout)
    console = Console(
        file=sys.stdout,
        force_terminal=colored or None,
        color_system="standard" if colored else None,
        no_color=not colored,
        highlight=False,
        emoji=False,
        markup=False,
    )
    shown = Table(box=None, pad_edge=False, header_style="bold" if colored else "")
    *widths, _ = (max(map(cell_len, column)) for column in zip(heads, *rows))
    room = console.width - sum(widths) - 2 * len(widths)
    # What is cut is the last column; only where that would leave nothing, the first one too.
    widths[0] = max(widths[0] - max(_LAST_COLUMN - room, 0), min(widths[0], _LAST_COLUMN))
    room = console.width - sum(widths) - 2 * len(widths)
    for head, width in zip(heads, [*widths, max(room, _LAST_COLUMN)]):
        shown.add_column(head, no_wrap=True, overflow="ellipsis", max_width=width)
    for row in rows:
        shown.add_row(*(Text(cell, style=getattr(cell, "style", "")) for cell in row))
    console.print(shown)

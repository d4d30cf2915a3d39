"""Text in columns: how wide it is, what of it fits, and where to break it.

Widths are cells of a terminal: an ideograph has two, a combining mark none. What comes in is
escaped already (`render.escape`), so nothing in it turns the reading direction; and letters of
right-to-left scripts keep to their column, which ends with a mark where another one follows.
Nothing here prints, and nothing knows of the terminal but the width that it is given.
"""

from __future__ import annotations

import re
from typing import Callable, Dict, List, Mapping, Optional, Sequence, Tuple
from unicodedata import bidirectional

GAP = "  "
_OF_USE = 20  # cells of a last column
_ID_OF_USE = 13  # a made id, whole
_MARKS = 16  # characters that one cell of what is cut may be made of
_LEFT_TO_RIGHT = "\u200e"  # a mark without width that ends a run of right-to-left letters

#: Returns text in a style, or as it is.
Paint = Callable[[str, str], str]


class Cell(str):
    """Text of a table in a style, or of several parts, each in its own."""

    style = ""
    parts: Tuple[Cell, ...] = ()

    @classmethod
    def styled(cls, text: str, style: str) -> Cell:
        """Return a cell in a style."""
        cell = cls(text)
        cell.style = style
        return cell

    @classmethod
    def joined(cls, *parts: str) -> Cell:
        """Return a cell of several parts; each keeps its style."""
        cell = cls("".join(parts))
        cell.parts = tuple(part if isinstance(part, Cell) else cls(part) for part in parts)
        return cell


def width(text: str) -> int:
    """Return how many cells of a terminal a text takes."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len  # this part of rich alone costs 4 ms, and nothing in ASCII

    return cell_len(text)


def cut(text: str, room: int, mark: str = "…") -> str:
    """Return text, or as much of it as fits into so many cells, with a mark at its end."""
    if len(text) * 2 <= room or width(text) <= room:
        return text
    if room < len(mark):
        return ""
    # By halves, and whole: a character may widen the one before it, or join it.
    left = room - len(mark)
    fits, ends = 0, min(len(text), (left + 1) * _MARKS)
    while fits < ends:
        middle = (fits + ends + 1) // 2
        if width(text[:middle]) <= left:
            fits = middle
        else:
            ends = middle - 1
    return text[:fits] + mark


def clipped(text: str, room: int, mark: str = "…") -> Cell:
    """Return a cell cut to so many cells, its parts in their styles."""
    fitting = cut(text, room, mark)
    parts = _slice(text, 0, len(fitting) if fitting == text else len(fitting) - len(mark))
    return Cell.joined(*parts) if fitting == text else Cell.joined(*parts, mark)


def padded(text: str, room: int) -> str:
    """Return text with blanks up to so many cells."""
    return text + " " * (room - width(text))


def wrapped(text: str, room: int) -> List[str]:
    """Return text as lines of at most so many cells, broken at blanks where there are any."""
    lines: List[str] = []
    line = ""
    for word in re.findall(r"\s*\S+|\s+", text):
        if width(line + word) <= room:
            line += word
            continue
        if line:
            lines.append(line)
            word = word.lstrip()
        while width(word) > room:
            head = cut(word, room, "") or word[:1]
            lines.append(head)
            word = word[len(head) :]
        line = word
    return [*lines, line] if line or not lines else lines


def table(
    heads: Sequence[str],
    rows: Sequence[Sequence[str]],
    room: Optional[int],
    paint: Paint,
    optional: Optional[Mapping[str, int]] = None,
    mark: str = "…",
) -> List[str]:
    """Return a table as lines: columns two blanks apart, no blanks at the end.

    Args:
        heads: the words above the columns.
        rows: the cells, escaped.
        room: the cells of a line; None cuts nothing, whatever its width.
        paint: puts a text into a style.
        optional: columns that may be left out, the first of them first, while the last column has
            less room than is said here, and needs more than it has.
        mark: what stands for what is cut.
    """
    widths = [max(map(width, column)) for column in zip(heads, *rows)]
    shown = list(range(len(heads)))
    if room is not None:
        if _left(shown, widths, room) < widths[-1]:
            widths[0] = min(widths[0], max(room // 3, _ID_OF_USE))
        for head, least in (optional or {}).items():
            if _left(shown, widths, room) < min(least, widths[-1]):
                shown.remove(heads.index(head))
        missing = min(_OF_USE, widths[-1]) - _left(shown, widths, room)
        widths[0] = max(widths[0] - max(missing, 0), min(widths[0], _ID_OF_USE))
        widths[-1] = min(widths[-1], max(_left(shown, widths, room), 1))
        while len(shown) > 1 and _left(shown, widths, room) < widths[shown[-1]]:
            shown.pop()  # a terminal for ids alone
        widths[0] = min(widths[0], room)
    bold = [Cell.styled(head, "bold") for head in heads]
    lines = []
    for row in (bold, *rows):
        line = GAP.join(
            _fitted(row[at], widths[at], paint, mark, last=at == shown[-1]) for at in shown
        )
        lines.append(line.rstrip())
    return lines


def _left(shown: Sequence[int], widths: Sequence[int], room: int) -> int:
    """Return what the last column can have."""
    return room - sum(widths[at] + len(GAP) for at in shown[:-1])


def _fitted(text: str, room: int, paint: Paint, mark: str, *, last: bool) -> str:
    """Return a cell in its styles, cut or padded to its column."""
    fitting = cut(text, room, mark)
    shown = painted(text, fitting, paint)
    if last:
        return shown
    if not fitting.isascii() and any(bidirectional(char) in ("R", "AL") for char in fitting):
        shown += _LEFT_TO_RIGHT
    return shown + " " * (room - width(fitting))


def painted(text: str, fitting: str, paint: Paint) -> str:
    """Return what is left of a cell after a cut, each part in the style that it had."""
    if not isinstance(text, Cell) or not fitting:
        return fitting
    shown, at = "", 0
    for part in text.parts or (text,):
        end = at + len(part)
        piece = fitting[at:] if end >= len(fitting) else fitting[at:end]
        shown += paint(piece, part.style) if piece and part.style else piece
        at = end
        if at >= len(fitting):
            break
    return shown


def story(
    rows: Sequence[Tuple[str, str]], room: Optional[int], paint: Paint, margin: str = ""
) -> List[str]:
    """Return labelled texts as lines, each text wrapped beside its label."""
    beside = max((width(label) for label, _ in rows), default=0)
    left = None if room is None else max(room - len(margin) - beside - len(GAP), 8)
    lines = []
    for label, text in rows:
        head = paint(padded(label, beside), "dim")
        at = 0
        for line in [text] if left is None else wrapped(text, left):
            at = text.find(line, at)
            part = Cell.joined(*_slice(text, at, at + len(line)))
            at += len(line)
            lines.append(f"{margin}{head}{GAP}{painted(part, part, paint)}".rstrip())
            head = " " * beside
    return lines


def _slice(text: str, start: int, end: int) -> List[Cell]:
    """Return the parts of a cell between two places."""
    found, at = [], 0
    for part in getattr(text, "parts", ()) or (text,):
        piece = part[max(start - at, 0) : max(end - at, 0)]
        if piece:
            found.append(Cell.styled(piece, getattr(part, "style", "")))
        at += len(part)
    return found


def bare(rows: Sequence[Sequence[str]]) -> List[str]:
    """Return rows as lines with aligned columns, nothing cut and nothing painted."""
    widths: Dict[int, int] = {at: max(map(width, column)) for at, column in enumerate(zip(*rows))}
    return [
        GAP.join(padded(cell, widths[at]) for at, cell in enumerate(row)).rstrip() for row in rows
    ]

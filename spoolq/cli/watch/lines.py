"""Lines of a screen: styled text in cells, never wider than it may be, and harmless.

What a text holds does not matter: a control character, one that turns the reading direction or one
without width of its own is written as an escape or left out, a wide one takes two cells, and what
does not fit ends in an ellipsis. Where the output has no such characters, others of the same width
stand for them.
"""

from __future__ import annotations

from typing import Iterable, List, NamedTuple, Tuple

from rich.cells import get_character_cell_size

from spoolq.text import printable

_CODES = {
    "bold": 1,
    "dim": 2,
    "reverse": 7,
    "red": 31,
    "green": 32,
    "yellow": 33,
    "cyan": 36,
}
_MOST_MARKS = 3  # that a character may carry; more of them is no script but an attack

#: What stands for our own signs where an output has only ASCII.
_PLAIN = {**dict(zip("▁▂▃▄▅▆▇█", "_.:-=+*#")), "▌": ">", "│": "|", "≈": "~", "…": "~"}

#: They choose between two pictures of a character, of which one may be wider.
_SELECTORS = dict.fromkeys(range(0xFE00, 0xFE10))


class Span(NamedTuple):
    """Text in one style: words of `_CODES`, or none."""

    text: str
    style: str = ""


class Line(Tuple[Span, ...]):
    """A line of a screen."""

    __slots__ = ()

    @property
    def plain(self) -> str:
        """Its text without styles."""
        return "".join(span.text for span in self)

    def carried(self, encoding: str) -> Line:
        """Return it in characters that an encoding has; each cell stays where it is."""
        return Line(span._replace(text=_carried(span.text, encoding)) for span in self)

    def painted(self) -> str:
        """Return it as a terminal takes it."""
        parts = []
        for text, style in self:
            codes = ";".join(str(_CODES[word]) for word in style.split())
            parts.append(f"\x1b[{codes}m{text}\x1b[0m" if codes and text else text)
        return "".join(parts)


def _carried(text: str, encoding: str) -> str:
    if text.isascii() or _has(encoding, text):
        return text
    return "".join(
        char if _has(encoding, char) else _PLAIN.get(char, "?" * get_character_cell_size(char))
        for char in text
    )


def _has(encoding: str, text: str) -> bool:
    try:
        text.encode(encoding)
    except UnicodeEncodeError:
        return False
    return True


def safe(text: str) -> str:
    """Return text of anybody on one line, so that each character has a width that is known."""
    if text.isascii() and text.isprintable():
        return text
    marks = 0
    kept = []
    for char in printable(text.translate(_SELECTORS)):
        marks = 0 if get_character_cell_size(char) else marks + 1
        if marks <= _MOST_MARKS:
            kept.append(char)
    return "".join(kept)


def width(text: str) -> int:
    """Return how many cells a safe text takes."""
    return len(text) if text.isascii() else sum(map(get_character_cell_size, text))


def cut(text: str, cells: int) -> str:
    """Return the beginning of a safe text that fits, with an ellipsis where it is not all."""
    if len(_fitting(text, cells)) == len(text):
        return text
    return _fitting(text, cells - 1) + "…" if cells > 0 else ""


def cut_left(text: str, cells: int) -> str:
    """Return the end of a safe text that fits: of a path or a worker it tells more."""
    if width(text) <= cells:
        return text
    start, taken = len(text), 1
    while start > 0 and taken + width(text[start - 1]) <= cells:
        start -= 1
        taken += width(text[start])
    return "…" + text[start:] if cells > 0 else ""


def pad(text: str, cells: int) -> str:
    """Return a safe text that takes so many cells."""
    fitting = cut(text, cells)
    return fitting + " " * (cells - width(fitting))


def fold(text: str, cells: int) -> List[str]:
    """Return a safe text as lines of at most so many cells."""
    found = []
    while text:
        part = _fitting(text, cells) or text[0]  # one cell is less than some characters take
        found.append(part)
        text = text[len(part) :]
    return found or [""]


def line(cells: int, spans: Iterable[Span]) -> Line:
    """Return a line of spans, safe ones, cut where there is no more room."""
    found: List[Span] = []
    room = cells
    for span in spans:
        taken = width(span.text)
        if taken <= room:
            found.append(span)
            room -= taken
        elif span.text.strip():
            if room == 0 and found:  # the ellipsis takes the place of what stands there
                span = found.pop()
                room = width(span.text)
                span = span._replace(text=span.text + "…")
            found.append(span._replace(text=cut(span.text, room)))
            break
    return Line(span for span in found if span.text)


def padded(found: Line, cells: int) -> Line:
    """Return a line that takes all its cells."""
    return Line((*found, Span(" " * (cells - width(found.plain)))))


def _fitting(text: str, cells: int) -> str:
    """Return the beginning of a safe text that fits into so many cells."""
    if text.isascii():
        return text[: max(cells, 0)]
    taken = 0
    for index, char in enumerate(text):
        taken += get_character_cell_size(char)
        if taken > cells:
            return text[:index]
    return text

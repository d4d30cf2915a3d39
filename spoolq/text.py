"""Text that comes from anybody, made safe to show."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return text on one line, with every character that a terminal would act on as an escape."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )

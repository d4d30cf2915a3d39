"""Text that comes from anybody: made safe to show, or taken for what it may have meant."""

from __future__ import annotations

from typing import Iterable, Optional


def printable(text: str) -> str:
    """Return text on one line, with every character that a terminal would act on as an escape."""
    if text.isprintable():
        return text
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )


def shortened(text: str, width: int) -> str:
    """Return text of at most `width` characters."""
    return text if len(text) <= width else text[: width - 1] + "…"


def closest(word: str, words: Iterable[str]) -> Optional[str]:
    """Return the one of `words` that was meant, or None; difflib is for mistakes alone."""
    from difflib import get_close_matches

    return next(iter(get_close_matches(word, list(words), 1)), None)


def shell_word(word: str) -> str:
    """Return text as one word to type in a shell: control characters as bash, zsh and ksh do."""
    if word.isprintable():
        from shlex import quote

        return quote(word)
    return "$'" + "".join(map(_spelled, word)) + "'"


def _spelled(char: str) -> str:
    if char in "'\\":
        return "\\" + char
    if char.isprintable():
        return char
    return char.encode("unicode_escape").decode("ascii")

"""A job's output, made safe to show: everything that would do more than write text is an escape.

Cursor movements, titles, clipboard and link sequences, and the characters that turn the reading
direction. What stays is what people want of output: newline, tab, and colours where they go.
"""

from __future__ import annotations

import codecs
import re

_COLOR = r"\x1b\[[0-9;:]{0,60}m"
_UNSAFE = re.compile(
    rf"({_COLOR})|\r\n?|[^\t\n\x20-\x7e\xa0-\u061b\u061d-\u200d\u2010-\u2027\u202f-\u2065"
    r"\u206a-\ud7ff\ue000-\U0010ffff]"
)
_UNFINISHED = re.compile(r"\x1b(?:\[[0-9;:]{0,60})?\Z|\r\Z")
_RESET = "\x1b[0m"


class Harmless:
    """Turns a job's output, piece by piece, into text that a terminal only writes."""

    def __init__(self, *, colors: bool) -> None:
        self._colors = colors
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self._held = ""
        self._colored = False

    def feed(self, data: bytes, *, final: bool = False) -> str:
        """Return what can be shown after this piece; `final` shows what was held back."""
        text = self._held + self._decode(data, final)
        self._held = ""
        if not final:
            unfinished = _UNFINISHED.search(text)
            if unfinished is not None:
                self._held = unfinished.group()
                text = text[: unfinished.start()]
        shown = _UNSAFE.sub(self._replace, text)
        if final and self._colored:
            shown += _RESET
            self._colored = False
        return shown

    def _replace(self, match: re.Match[str]) -> str:
        if match.group(1):
            if not self._colors:
                return ""
            self._colored = match.group() not in (_RESET, "\x1b[m")
            return match.group()
        if match.group().startswith("\r"):
            return "\n"  # what a progress bar writes over is kept: nothing can hide a line
        return match.group().encode("unicode_escape").decode()

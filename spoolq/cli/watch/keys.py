"""What is typed at a terminal, as the names of keys.

A key is a character, or one of the names below; a sequence that means nothing here is swallowed
whole. ESC alone and the beginning of a sequence look the same until more comes or does not: `held`
says that this is open, and `flush` decides for the key.
"""

from __future__ import annotations

import codecs
import re
from typing import List

_SEQUENCE = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|O[ -~]|[^\[O\x1b])", re.DOTALL)
_BEGINNING = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|O)?\Z")
_LONGEST = 32  # characters of a sequence; what goes on is none

_NAMED = {
    "\x1b[A": "up",
    "\x1bOA": "up",
    "\x1b[B": "down",
    "\x1bOB": "down",
    "\x1b[H": "home",
    "\x1bOH": "home",
    "\x1b[1~": "home",
    "\x1b[F": "end",
    "\x1bOF": "end",
    "\x1b[4~": "end",
    "\x1b[5~": "page up",
    "\x1b[6~": "page down",
    "\r": "enter",
    "\n": "enter",
    "\x1bOM": "enter",
    "\x7f": "backspace",
    "\x08": "backspace",
    "\x0c": "redraw",
    "\x15": "erase",
}


class Keys:
    """Turns what a terminal sends, piece by piece, into keys."""

    def __init__(self) -> None:
        self._decode = codecs.getincrementaldecoder("utf-8")("replace").decode
        self.held = ""

    def feed(self, data: bytes) -> List[str]:
        """Return the keys that were pressed."""
        text = self.held + self._decode(data)
        self.held = ""
        keys = []
        while text:
            match = _SEQUENCE.match(text)
            if match is not None:
                keys.append(_NAMED.get(match.group(), ""))
                text = text[match.end() :]
            elif _BEGINNING.match(text) and len(text) < _LONGEST:
                self.held, text = text, ""
            else:
                char, text = text[0], text[1:]
                keys.append("escape" if char == "\x1b" else _NAMED.get(char, char))
        return [key for key in keys if len(key) > 1 or key.isprintable() and key]

    def flush(self) -> List[str]:
        """Return what is held as keys: nothing more has come."""
        text, self.held = self.held, ""
        return ["escape"] if text == "\x1b" else []

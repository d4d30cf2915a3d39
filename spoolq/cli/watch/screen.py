"""The terminal: taken over at the start, and given back as it was, however this ends.

Lines that have not changed are not written again. Keys come one by one and unseen; Ctrl+C, Ctrl+Z
and Ctrl+\\ stay signals, so that even a program that hangs is rid of by them. In the background the
terminal is the shell's: whoever takes it is stopped there until somebody types fg. Assumed: a
terminal that understands what xterm does.
"""

from __future__ import annotations

import errno
import os
import signal
import sys
from typing import Any, List, Sequence, Tuple

from spoolq.cli.watch.lines import Line

# The other screen, no cursor, and no wrapping: a character that is wider than we think it is
# pushes nothing into the next line.
_ENTER = "\x1b[?1049h\x1b[?25l\x1b[?7l\x1b[2J"
_LEAVE = "\x1b[0m\x1b[?7h\x1b[?25h\x1b[?1049l"
_FALLBACK = (80, 24)


class Screen:
    """A terminal that is ours from when it is taken to the end of a `with`."""

    def __init__(self, *, color: bool, encoding: str) -> None:
        self._in, self._out = sys.stdin.fileno(), sys.stdout.fileno()
        self._color = color
        self._encoding = encoding
        self._before: Any = None
        self._shown: List[str] = []
        self.descriptor = self._in
        #: Whether the terminal has been closed under us.
        self.gone = False

    def __enter__(self) -> Screen:
        return self

    def __exit__(self, *_: object) -> None:
        self._give_back()

    def suspend(self) -> None:
        """Give the terminal back, and stop as Ctrl+Z stops a program; it is to be taken again."""
        self._give_back()
        handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTSTP)  # here we stand until somebody types fg
        signal.signal(signal.SIGTSTP, handler)

    def size(self) -> Tuple[int, int]:
        """Return columns and lines, as they are now."""
        try:
            found = os.get_terminal_size(self._out)
        except OSError:
            return _FALLBACK
        return (found.columns or _FALLBACK[0], found.lines or _FALLBACK[1])

    def show(self, lines: Sequence[Line]) -> None:
        """Show these lines and nothing else."""
        fit = [line.carried(self._encoding) for line in lines]
        wanted = [line.painted() if self._color else line.plain for line in fit]
        parts = []
        for index, text in enumerate(wanted):
            if index >= len(self._shown) or self._shown[index] != text:
                parts.append(f"\x1b[{index + 1};1H\x1b[2K{text}")
        if len(self._shown) > len(wanted):
            parts.append(f"\x1b[{len(wanted) + 1};1H\x1b[J")
        self._shown = wanted
        self._write("".join(parts))

    def take(self) -> bool:
        """Take the terminal, which a shell may have had meanwhile.

        Returns:
            False where a signal came first: it is to be heeded, and the terminal taken after it.
        """
        import termios
        import tty

        try:
            before = self._before or termios.tcgetattr(self._in)
            tty.setcbreak(self._in)
        except termios.error as error:
            self.gone = error.args[0] != errno.EINTR
            return False
        self._before = before  # not what a shell had set while this was in the background
        self._write(_ENTER)
        self._shown = []
        return True

    def forget(self) -> None:
        """Write everything anew next time: what the terminal shows is not known any more."""
        self._shown = []
        self._write("\x1b[2J")

    def read(self) -> bytes:
        """Return what was typed."""
        try:
            data = os.read(self._in, 4096)
        except OSError:
            data = b""
        self.gone = self.gone or not data
        return data

    def _give_back(self) -> None:
        import termios

        before, self._before = self._before, None
        if before is None:
            return
        self._write(_LEAVE)
        try:
            if os.tcgetpgrp(self._in) == os.getpgrp():  # else the shell has set it as it likes
                # What was typed for us and not read is not for the shell.
                termios.tcsetattr(self._in, termios.TCSAFLUSH, before)
        except (OSError, termios.error):
            self.gone = True

    def _write(self, text: str) -> None:
        data = text.encode(self._encoding, "backslashreplace")
        try:
            while data and not self.gone:
                data = data[os.write(self._out, data) :]
        except OSError:
            self.gone = True

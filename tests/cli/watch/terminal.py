"""A spoolq on a terminal, whose screen can be read."""

import os
import select
import struct
import subprocess
import sys
import time

import pytest

from tests.conftest import DEADLINE, environment

pyte = pytest.importorskip("pyte")
pty = pytest.importorskip("pty")
termios = pytest.importorskip("termios")
fcntl = pytest.importorskip("fcntl")

LEFT = "\x1b[?1049l"
SHOWN = "\x1b[?25h"


class Terminal:
    """A spoolq on a terminal whose screen can be read."""

    def __init__(self, args, columns=100, lines=30, program=None, **env):
        self.parent, self.child = pty.openpty()
        self.size = columns, lines
        self.screen = pyte.Screen(columns, lines)
        self._stream = pyte.ByteStream(self.screen)
        self._set_size(columns, lines)
        self.before = termios.tcgetattr(self.child)
        variables = environment(TERM="xterm", **env)
        for name in ("NO_COLOR", "COLUMNS", "LINES"):
            variables.pop(name, None)
        self.process = subprocess.Popen(
            program or [sys.executable, "-m", "spoolq", *args],
            stdin=self.child,
            stdout=self.child,
            stderr=self.child,
            env=variables,
            start_new_session=True,
            preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0),
        )
        self.written = b""

    def _set_size(self, columns, lines):
        fcntl.ioctl(self.child, termios.TIOCSWINSZ, struct.pack("HHHH", lines, columns, 0, 0))

    def resize(self, columns, lines):
        self.screen.resize(lines, columns)
        self._set_size(columns, lines)  # the kernel sends SIGWINCH
        return self

    def read(self, seconds=0.02):
        """Take what has been written meanwhile; say whether there was anything."""
        if not select.select([self.parent], [], [], seconds)[0]:
            return False
        data = os.read(self.parent, 65536)
        self.written += data
        # pyte knows no other screen: here each begins empty.
        for ending in (b"h", b"l"):
            data = data.replace(b"\x1b[?1049" + ending, b"\x1b[2J\x1b[H")
        self._stream.feed(data)
        return True

    @property
    def text(self):
        return "\n".join(line.rstrip() for line in self.screen.display)

    def until(self, *words, gone=()):
        """Read until all these words are on the screen, and those in `gone` are not."""
        deadline = time.monotonic() + DEADLINE
        while not all(word in self.text for word in words) or any(w in self.text for w in gone):
            assert time.monotonic() < deadline, f"no {words} without {gone} in:\n{self.text}"
            assert self.process.poll() is None or self.read(), self.text
            self.read()
        return self

    def type(self, keys):
        os.write(self.parent, keys.encode())
        return self

    def end(self):
        """Wait for its end, and check that the terminal is as it was."""
        deadline = time.monotonic() + DEADLINE
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.text
            self.read()
        while self.read():
            pass
        assert termios.tcgetattr(self.child) == self.before
        written = self.written.decode("utf-8", "replace")
        assert written.rfind(LEFT) >= written.rfind("\x1b[?1049h")  # -1 both: never taken
        assert written.rfind(SHOWN) >= written.rfind("\x1b[?25l")
        assert "Traceback" not in written
        return self.process.returncode

    def close(self):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        os.close(self.parent)
        os.close(self.child)

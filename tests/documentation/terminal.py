"""A shell on a terminal of its own, into which commands are typed one after the other."""

import os
import pty
import re
import select
import subprocess
import time
from typing import Mapping, Optional

END = re.compile(r"\x1e(\d+)\x1e\r?\n")


class Terminal:
    """A bash whose commands have a terminal as their standard streams."""

    def __init__(self, cwd: str, env: Mapping[str, str]) -> None:
        self._parent, child = pty.openpty()
        subprocess.run(["stty", "cols", "100", "rows", "40"], stdin=child, check=True)
        self._streams = child
        self._shell = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            stdin=subprocess.PIPE,
            stdout=child,
            stderr=child,
            pass_fds=(child,),
            cwd=cwd,
            env=dict(env),
            start_new_session=True,
        )
        self._text = ""
        self.busy = False

    @property
    def cwd(self) -> str:
        """Where its shell is."""
        return os.readlink(f"/proc/{self._shell.pid}/cwd")

    def type(self, command: str) -> None:
        """Begin a command."""
        assert not self.busy
        self._text = ""
        self.busy = True
        # What a command leaves in $? is there for the next one, whatever is asked in between.
        script = (
            f"(exit ${{__code:-0}}); {{ {command}\n}} <&{self._streams}\n"
            "__code=$?; printf '\\036%d\\036\\n' \"$__code\"\n"
        )
        self._shell.stdin.write(script.encode())
        self._shell.stdin.flush()

    @property
    def shown(self) -> str:
        """What the command has printed so far."""
        return END.split(self._text)[0]

    def read(self, seconds: float) -> Optional[int]:
        """Take in what is printed within so long; return the command's exit code if it ended."""
        deadline = time.monotonic() + seconds
        while True:
            end = END.search(self._text)
            if end:
                self.busy = False
                return int(end.group(1))
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._parent], [], [], left)[0]:
                return None
            self._text += os.read(self._parent, 65536).decode("utf-8", "replace")

    def close(self) -> None:
        """End the shell, and what it has started in its session."""
        for process in sessions(self._shell.pid):
            try:
                os.kill(process, 9)
            except ProcessLookupError:
                pass
        self._shell.stdin.close()
        self._shell.wait()
        os.close(self._streams)
        os.close(self._parent)


def sessions(leader: int):
    """Return the processes of a session."""
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                if os.getsid(int(entry)) == leader:
                    found.append(int(entry))
            except OSError:
                pass  # it has ended
    return found

"""What hosts say on their consoles, read here as it comes: the one clock that they share.

No network is in between, so a host that is cut off from the others is still heard.
"""

import os
import selectors
import subprocess
import threading
import time
from typing import Dict, List, NamedTuple, Optional, Tuple


class Sign(NamedTuple):
    """A sign of life of a run: `start`, `lives` or `end`."""

    at: float  # of the monotonic clock out here
    host: str
    kind: str
    job_id: str
    attempt: int
    pid: int


class Told:
    """A command that a host was told to run: what it says, and its exit code once it is over."""

    def __init__(self) -> None:
        self.lines: List[str] = []
        self.code: Optional[int] = None

    @property
    def text(self) -> str:
        return "\n".join(self.lines)


class Consoles:
    """A thread that reads the consoles of all hosts in the order in which they write."""

    def __init__(self) -> None:
        self.signs: List[Sign] = []
        self.said: Dict[str, List[str]] = {}  # by hosts themselves: their kernels, mostly
        self._told: Dict[Tuple[str, int], Told] = {}
        self._halves: Dict[str, bytes] = {}
        self._reads = selectors.DefaultSelector()
        self._ends, self._wakes = os.pipe()
        self._reads.register(self._ends, selectors.EVENT_READ)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def add(self, host: str, process: "subprocess.Popen[bytes]") -> None:
        """Read a host's console from now on."""
        assert process.stdout is not None
        self.said.setdefault(host, [])
        self._halves[host] = b""
        self._reads.register(process.stdout, selectors.EVENT_READ, host)
        os.write(self._wakes, b".")

    def told(self, host: str, number: int) -> Told:
        """Return where a host's answer to what it is about to be told will be."""
        return self._told.setdefault((host, number), Told())

    def last_words(self, host: str) -> List[str]:
        """Return the ends of all that a host has said so far."""
        answers = [told for (name, _), told in [*self._told.items()] if name == host]
        return [*self.said.get(host, [])[-3:], *(line for t in answers for line in t.lines[-3:])]

    def close(self) -> None:
        """Read no more."""
        os.write(self._wakes, b"x")
        self._thread.join()
        self._reads.close()
        os.close(self._ends)
        os.close(self._wakes)

    def _read(self) -> None:
        while True:
            for key, _ in self._reads.select():
                data = os.read(key.fd, 65536)
                if key.fd == self._ends:
                    if b"x" in data:
                        return
                elif data:
                    self._take(key.data, data)
                else:
                    self._reads.unregister(key.fileobj)
                    key.fileobj.close()  # type: ignore[union-attr]

    def _take(self, host: str, data: bytes) -> None:
        at = time.monotonic()
        *whole, self._halves[host] = (self._halves[host] + data).split(b"\n")
        for raw in whole:
            line = raw.decode(errors="replace").strip("\r")
            kind, _, rest = line.partition(" ")
            if kind == "RUN":
                sign, job_id, attempt, pid = rest.split()
                self.signs.append(Sign(at, host, sign, job_id, int(attempt), int(pid)))
            elif kind == "SAID":
                self._answer(host, *rest.partition(" "))
            elif line:
                self.said[host].append(line)

    def _answer(self, host: str, number: str, _: str, text: str) -> None:
        told = self.told(host, int(number))
        if text.startswith("exit ") and text[5:].isdigit():
            told.code = int(text[5:])
        else:
            told.lines.append(text)

"""A producer as a program: how it is called, in which spool, and what came of it.

It is run in a session of its own, with a umask that gives everything to everybody, and is killed
with all that it has started. It runs where the checker was started, so relative paths mean what
they meant there.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import tempfile
from contextlib import contextmanager
from datetime import datetime, timezone
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from spoolq import config, platform
from spoolq.errors import BadInput
from spoolq.layout import DIRECTORIES
from spoolq.spool import SpoolDir

SPOOL, COMMAND = "{spool}", "{command}"
PATIENCE = 20.0  # seconds that a producer may take


class Ran(NamedTuple):
    """What came of a run: `code` is negative for a signal, None where it did not end by itself."""

    code: Optional[int]
    out: bytes
    err: bytes
    began_at: datetime
    ended_at: datetime

    @property
    def told(self) -> str:
        """What was printed for the caller, without the end of its line."""
        return self.out.decode("utf-8", "backslashreplace").rstrip("\n")

    @property
    def words(self) -> str:
        """The last lines of what was printed for people, as one."""
        lines = self.err.decode("utf-8", "backslashreplace").strip().splitlines()
        return "; ".join(line.strip() for line in lines[-3:])[-300:]


class Producer:
    """A program that submits a job to a spool."""

    def __init__(self, words: Sequence[str]) -> None:
        """Take the words of a command line.

        `{spool}` and `{command}` in them are replaced; where neither is there, both are appended;
        where there is only the spool, the command comes on stdin.
        """
        joined = " ".join(words)
        if SPOOL not in joined and COMMAND not in joined:
            words = [*words, SPOOL, COMMAND]
        self.words = list(words)
        self.reads_stdin = COMMAND not in " ".join(self.words)

    def line(self, spool: str, command: bytes) -> List[bytes]:
        """Return what is run to submit `command` to a spool."""
        where = os.fsencode(spool)
        return [
            os.fsencode(word).replace(SPOOL.encode(), where).replace(COMMAND.encode(), command)
            for word in self.words
        ]

    def start(
        self, spool: str, command: bytes, before: Sequence[str] = (), keep: Tuple[int, ...] = ()
    ) -> Running:
        """Start it, behind the words `before`, with the descriptors `keep`.

        Raises:
            BadInput: there is no such program.
        """
        line = [*map(os.fsencode, before), *self.line(spool, command)]
        if shutil.which(self.words[0]) is None:
            raise BadInput(
                f"there is no program {self.words[0]!r}", hint="is it there, and executable?"
            )
        began_at = datetime.now(timezone.utc)
        with tempfile.TemporaryFile() as given, _generous():
            given.write(command if self.reads_stdin else b"")
            given.seek(0)
            process = subprocess.Popen(
                line,
                stdin=given,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                env=_environment(spool),
                pass_fds=keep,
                start_new_session=True,
            )
        return Running(process, began_at)

    def run(self, spool: str, command: bytes, before: Sequence[str] = ()) -> Ran:
        """Run it to its end."""
        return self.start(spool, command, before).ended()


class Running:
    """A producer that has been started."""

    def __init__(self, process: subprocess.Popen[bytes], began_at: datetime) -> None:
        self.process = process
        self._began_at = began_at

    def ended(self, patience: float = PATIENCE) -> Ran:
        """Wait for its end, and kill it with all that it has started when that takes too long."""
        code: Optional[int] = None
        try:
            out, err = self.process.communicate(timeout=patience)
            code = self.process.returncode
        except subprocess.TimeoutExpired:
            self.kill()
            out, err = self.process.communicate()
        except BaseException:
            self.kill()
            raise
        return Ran(code, out, err, self._began_at, datetime.now(timezone.utc))

    def kill(self) -> None:
        """Kill it with all that it has started, as a power cut would, but for the disk."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it has just ended

    def stdout_inode(self) -> int:
        """Return the number of the pipe that it prints into."""
        assert self.process.stdout is not None
        return os.fstat(self.process.stdout.fileno()).st_ino


def _environment(spool: str) -> Dict[str, str]:
    """Return an environment that names the spool, to spoolq's own command line as well."""
    return {**config.environment(), "SPOOL": spool, "SPOOLQ_SPOOL": spool}


@contextmanager
def _generous() -> Iterator[None]:
    """Set the umask that takes nothing: what has to be private is the producer's own affair."""
    before = os.umask(0)
    try:
        yield
    finally:
        os.umask(before)


class Ground:
    """Fresh spools, one after the other, in one temporary directory."""

    def __init__(self, top: str) -> None:
        self.top = os.path.realpath(top)
        self._number = 0

    def spool(self, *, shared: bool = False) -> str:
        """Make a spool, one that a group may submit to if it is `shared`; return its path."""
        self._number += 1
        path = os.path.join(self.top, f"spool-{self._number}")
        SpoolDir.create(path).close()
        for name in (".", *DIRECTORIES) if shared else ():
            platform.change_mode(os.path.join(path, name), 0o2770)
        return path


@contextmanager
def ground() -> Iterator[Ground]:
    """Provide a place for spools, which is gone afterwards."""
    with tempfile.TemporaryDirectory(prefix="spoolq-conformance-") as top:
        yield Ground(top)

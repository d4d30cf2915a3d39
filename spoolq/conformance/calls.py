"""What a producer does to the spool, call by call, as strace tells it.

Lines become steps: a file made, written, synced, named, removed, and the id told. Only what
succeeds is a step. What a memory map or io_uring writes is not seen: no producer needs them.
"""

from __future__ import annotations

import os
import re
import select
import shutil
import signal
import subprocess
import tempfile
import time
from functools import lru_cache
from typing import Dict, Iterator, List, NamedTuple, Optional, Tuple

from spoolq.conformance.producer import PATIENCE, Producer, Ran

_MAKE = ("open", "openat", "creat")
_WRITE = ("write", "pwrite64", "writev", "pwritev", "pwritev2", "ftruncate", "sendfile")
_COPY = ("copy_file_range",)
_SYNC = ("fsync", "fdatasync")
_SYNC_ALL = ("sync", "syncfs")
_NAME = ("rename", "renameat", "renameat2", "link", "linkat")
_REMOVE = ("unlink", "unlinkat")
_STEPS = (*_MAKE, *_WRITE, *_COPY, *_SYNC, *_SYNC_ALL, *_NAME, *_REMOVE)

MADE, WROTE, SYNCED, SYNCED_ALL, NAMED, REMOVED, TOLD = (
    "made",
    "wrote",
    "synced",
    "synced all",
    "named",
    "removed",
    "told",
)

_LINE = re.compile(r"(\d+) +(.*)")
_CALL = re.compile(r"(\w+)\((.*)\)\s+= (-?\d+)(.*)", re.DOTALL)
_STRING = re.compile(r'(?:(AT_FDCWD|\d+)(?:<([^>]*)>)?, )?"((?:[^"\\]|\\.)*)"')
_DESCRIPTOR = re.compile(r"\d+<([^>]*)>")
_UNFINISHED = " <unfinished ...>"
_RESUMED = re.compile(r"<\.\.\. \w+ resumed>")


#: Each process finds the first names that it would publish under taken (mv tries two ways).
TAKEN = "?renameat2,?link,?linkat:error=EEXIST:when=1..3"
#: The first sync of each process fails, and a second one of the same file would not.
FIRST_SYNC = "?fsync,?fdatasync:error=EIO:when=1"


class Step(NamedTuple):
    """One thing that a producer did: to `path`, by way of which call, with which flags."""

    kind: str
    call: str
    path: str
    target: str = ""  # of what was named: the new name
    flags: str = ""


@lru_cache(maxsize=None)
def unable() -> Optional[str]:
    """Say why no calls can be seen here, or None."""
    if shutil.which("strace") is None:
        return "strace is not installed"
    with tempfile.NamedTemporaryFile() as out:
        try:
            done = subprocess.run(
                [
                    "strace",
                    "-f",
                    "-y",
                    "-o",
                    out.name,
                    "-e",
                    "inject=getppid:signal=CONT:when=1..3",
                    "true",
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                timeout=20,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"strace does not work: {error}"
    if done.returncode:
        words = done.stderr.decode("utf-8", "replace").strip().splitlines()
        return f"strace may not trace here: {words[-1] if words else done.returncode}"
    return None


class Reader:
    """Makes steps of strace's lines; other lines, and calls elsewhere, make none."""

    def __init__(self, spool: str, stdout_inode: int) -> None:
        self._spool = spool
        self._stdout = f"pipe:[{stdout_inode}]"
        self._begun: Dict[str, str] = {}
        self._here: Dict[str, str] = {}

    def step(self, line: str) -> Optional[Step]:
        """Return the step that a line tells of, or None."""
        match = _LINE.match(line.rstrip("\n"))
        if match is None:
            return None
        pid, text = match.groups()
        if text.endswith(_UNFINISHED):
            self._begun[pid] = text[: -len(_UNFINISHED)]
            return None
        if text.startswith("<... "):
            text = self._begun.pop(pid, "") + _RESUMED.sub("", text, count=1)
        call = _CALL.match(text)
        if call is None or int(call[3]) < 0:
            return None
        if call[1] == "chdir":
            self._here[pid] = next(self._paths(pid, call[2]), "")
            return None
        return self._read(pid, call[1], call[2], call[4])

    def _read(self, pid: str, call: str, given: str, result: str) -> Optional[Step]:
        paths = list(self._paths(pid, given))
        first = _plain(next(iter(_DESCRIPTOR.findall(given)), ""))
        if call in _MAKE:
            made = _plain(next(iter(re.findall(r"^<([^>]*)>", result)), "") or "".join(paths[:1]))
            is_new = "O_CREAT" in given or "O_TMPFILE" in given or call == "creat"
            return self._of_spool(Step(MADE, call, made, flags=given)) if is_new else None
        if call in _WRITE:
            if first == self._stdout:
                return Step(TOLD, call, first, flags=given)
            return self._of_spool(Step(WROTE, call, first))
        if call in _COPY:
            return self._of_spool(Step(WROTE, call, _plain(_DESCRIPTOR.findall(given)[-1])))
        if call in _SYNC:
            return self._of_spool(Step(SYNCED, call, first))
        if call in _SYNC_ALL:
            return Step(SYNCED_ALL, call, first)
        if call in _NAME and len(paths) == 2:
            return self._of_spool(Step(NAMED, call, paths[0], paths[1], given))
        if call in _REMOVE and paths:
            return self._of_spool(Step(REMOVED, call, paths[0]))
        return None

    def _of_spool(self, step: Step) -> Optional[Step]:
        inside = self._spool + os.sep
        touches = (step.path + os.sep).startswith(inside) or step.target.startswith(inside)
        return step if touches else None

    def _paths(self, pid: str, given: str) -> Iterator[str]:
        """Yield the paths in the arguments of a call, whole."""
        for at, directory, text in _STRING.findall(given):
            if text or at not in ("", "AT_FDCWD"):
                here = directory or self._here.get(pid, os.getcwd())
                path = os.path.join(here, _unquoted(text)) if text else _plain(here)
                yield os.path.normpath(path)


def _unquoted(text: str) -> str:
    """Return a path that strace has quoted."""
    raw = re.sub(rb"\\([0-7]{1,3}|.)", _unescaped, text.encode("utf-8", "surrogateescape"))
    return os.fsdecode(raw)


def _unescaped(match: re.Match[bytes]) -> bytes:
    text = match[1]
    if text.isdigit():
        return bytes([int(text, 8) & 0xFF])
    return {b"n": b"\n", b"t": b"\t", b"r": b"\r", b"v": b"\v", b"f": b"\f"}.get(text, text)


def _plain(path: str) -> str:
    """Return the path of a descriptor as it was before the name was removed."""
    marked = " (deleted)"
    return path[: -len(marked)] if path.endswith(marked) else path


def _words(out: str, inject: str = "") -> List[str]:
    """Return the beginning of a command that is traced."""
    traced = ",".join(f"?{call}" for call in (*_STEPS, "chdir"))
    words = ["strace", "-f", "-qq", "-y", "-s", "4096", "-o", out, "-e", f"trace={traced}"]
    return [*words, "-e", f"inject={inject}", "--"] if inject else [*words, "--"]


def traced(
    producer: Producer, spool: str, command: bytes, inject: str = ""
) -> Tuple[Ran, List[Step]]:
    """Run a producer under strace; return what came of it, and all its steps.

    `inject` is what strace is to do to which of its calls.
    """
    with tempfile.NamedTemporaryFile("r", encoding="utf-8", errors="surrogateescape") as file:
        running = producer.start(spool, command, _words(file.name, inject))
        reader = Reader(spool, running.stdout_inode())
        ran = running.ended()
        steps = [reader.step(line) for line in file]
    return ran, [step for step in steps if step is not None]


def killed_after(producer: Producer, spool: str, command: bytes, number: int) -> Tuple[Ran, str]:
    """Run a producer, and kill it and its children right after its `number`-th step, or at its end.

    Each call that may be a step stops its process, which goes on when its line has been read.

    Returns:
        what came of it, and the step; "" where it ended before.
    """
    calls = ",".join(f"?{call}" for call in _STEPS)
    ours, theirs = os.pipe()
    try:
        words = _words(f"/dev/fd/{theirs}", f"{calls}:signal=STOP")
        running = producer.start(spool, command, words, keep=(theirs,))
    finally:
        os.close(theirs)
    reader = Reader(spool, running.stdout_inode())
    last = ""
    try:
        for line in _lines(ours):
            step = reader.step(line)
            if step is not None:
                number -= 1
                if number == 0:
                    last = f"{step.call} ({step.kind})"
                    break
            if line.endswith("--- stopped by SIGSTOP ---"):
                _let_go(int(line.split()[0]))
    finally:
        running.kill()
        os.close(ours)
    return running.ended(), last


def _lines(descriptor: int) -> Iterator[str]:
    """Yield what is written into a pipe, line by line, until its end or for so long."""
    until = time.monotonic() + PATIENCE
    rest = b""
    while select.select([descriptor], [], [], max(0.0, until - time.monotonic()))[0]:
        data = os.read(descriptor, 1 << 16)
        if not data:
            return
        *lines, rest = (rest + data).split(b"\n")
        yield from (line.decode("utf-8", "surrogateescape") for line in lines)


def _let_go(pid: int) -> None:
    try:
        os.kill(pid, signal.SIGCONT)
    except ProcessLookupError:
        pass


def with_failing_syncs(producer: Producer, spool: str, command: bytes, first: int) -> Optional[Ran]:
    """Run a producer whose processes' syncs fail, from the `first` of each on; None if none did."""
    calls = ",".join(f"?{call}" for call in (*_SYNC, "syncfs"))
    with tempfile.NamedTemporaryFile("r", encoding="utf-8", errors="replace") as file:
        words = _words(file.name, f"{calls}:error=EIO:when={first}+")
        ran = producer.run(spool, command, words)
        return ran if "(INJECTED)" in file.read() else None

"""strace: what calls a run makes, and how to let it die or be refused at one of them.

One run is traced whole, its threads and children too, with the paths of descriptors (`-y`). From
that on a call is known by its number among the main thread's calls of its name, which is how
strace counts (`when=`): only the main thread touches the spool, which `strays` checks. So what
is injected follows neither threads nor children, and hits no job's command by mistake.

Where the scribe is a thread, its syncs are known by their numbers in that thread. What is injected
there does follow threads and children (`-f`), of which nobody else makes these calls.
"""

import os
import re
import subprocess
import tempfile
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

STATES = ("tmp", "pending", "processing", "failed", "completed", "dead", "workers", "logs")
RENAMES = ("rename", "renameat", "renameat2")
UNLINKS = ("unlink", "unlinkat", "rmdir")
SYNCS = ("fsync", "fdatasync", "syncfs")
SPAWNS = ("vfork", "clone", "clone3")
_WAKE = "sendto"  # what a thread does when its work is done: it rings
_BESIDE = frozenset((*SYNCS, "fadvise64", _WAKE))  # all that a scribe calls; the rest is waiting
COUNTED = frozenset(
    (*RENAMES, *UNLINKS, *SYNCS, *SPAWNS)
    + ("link", "linkat", "openat", "write", "close", "flock", "mkdir", "mkdirat")
    + ("ftruncate", "fchmod", "fchmodat", "exit_group")
)

_LINE = re.compile(r"^(\d+) +(\w+)\((.*)$")
_PLACE = re.compile(r"/(" + "|".join(STATES) + r"|config\.json)\b")
_RESULT = re.compile(r"\)\s+= ")


class Call(NamedTuple):
    """A call of the main thread: the `number`-th of its name."""

    name: str
    number: int
    by_path: int  # its number among those on the spool's own directories (-P); 0: not one of them
    text: str
    after: Tuple[str, int, str]  # the thread's next call, of whatever name, its number, its text
    is_read: bool  # an open for reading, or the close of a descriptor so opened

    @property
    def place(self) -> Tuple[str, ...]:
        return place(self.text)


_END = ("", 0, "")  # nothing follows


class Trace(NamedTuple):
    """What a run does to the spool, in the main thread; and what others do, which is nothing."""

    calls: List[Call]
    strays: List[str]
    threads: int
    beside: List[Call] = []  # the syncs of the thread that is a scribe


def place(text: str) -> Tuple[str, ...]:
    """Say in which directories of the spool a traced call works."""
    return tuple(_PLACE.findall(_RESULT.split(text)[0]))


def on_paths(spool: str) -> List[str]:
    """Return the options that let only calls on the spool's own directories through."""
    options = ["-P", spool, "-P", os.path.join(spool, "config.json")]
    for state in STATES:
        options += ["-P", os.path.join(spool, state)]
    return options


def unable() -> Optional[str]:
    """Say why strace cannot be used here, or None."""
    try:
        with tempfile.NamedTemporaryFile() as out:
            command = [
                "strace",
                "-qq",
                "-o",
                out.name,
                "-e",
                "inject=getppid:error=EIO",
                "/bin/true",
            ]
            done = subprocess.run(command, capture_output=True, text=True, timeout=20)
    except OSError as error:
        return f"strace does not start: {error}"
    except subprocess.TimeoutExpired:
        return "strace hangs"
    return f"strace may not trace: {done.stderr.strip()}" if done.returncode else None


def parse(path: str, spool: str) -> Trace:
    """Read what `strace -f -y` wrote."""
    numbers: Dict[Tuple[str, str], int] = {}
    by_path = {}
    main = ""
    calls: List[Call] = []
    strays: List[str] = []
    waiting = False  # the last call of `calls` does not know yet what follows
    standing = {spool, spool + "/config.json", *(f"{spool}/{state}" for state in STATES)}
    readers = set()
    threads = set()
    others: Dict[str, List[Call]] = {}
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            match = _LINE.match(line)
            if match is None:
                continue
            pid, name, text = match.groups()
            main = main or pid
            threads.add(pid)
            number = numbers[pid, name] = numbers.get((pid, name), 0) + 1
            if pid == main and waiting:
                calls[-1] = calls[-1]._replace(after=(name, number, text.strip()))
                waiting = False
            touches = spool in text and name != "execve"
            if pid != main and name in _BESIDE:
                call = Call(name, number, 0, text.strip(), _END, False)
                _follow(others.setdefault(pid, []), call)
                continue
            if name not in COUNTED or name == "close" and not touches:
                continue
            if pid != main:
                if touches and name not in ("close",):
                    strays.append(line.strip()[:200])
                continue
            if not (touches or name in SPAWNS or name == "exit_group" or _tells(name, text)):
                continue
            known = set(re.findall(r"<([^>]*)>", text)) | set(re.findall(r'"(/[^"]*)"', text))
            through = bool(known & standing) if name != "openat" else _opens(text, standing)
            if through:
                by_path[name] = by_path.get(name, 0) + 1
            is_read = _reads(name, text, readers)
            number_by_path = by_path[name] if through else 0
            calls.append(Call(name, number, number_by_path, text.strip(), _END, is_read))
            waiting = True
    scribes = [made for made in others.values() if any(call.name != _WAKE for call in made)]
    strays += [str(made[0]) for made in scribes[1:]]
    return Trace(
        [call for call in calls if call.after[0] or call.name == "exit_group"],
        strays,
        len(threads),
        [call for call in scribes[0] if call.name != _WAKE] if scribes else [],
    )


def _follow(made: List[Call], call: Call) -> None:
    """Note a thread's next call; between two of these it only waits, for the other threads."""
    if made:
        made[-1] = made[-1]._replace(after=(call.name, call.number, call.text))
    made.append(call)


def _tells(name: str, text: str) -> bool:
    return name == "write" and text.startswith(("1<", "2<"))


def _opens(text: str, standing) -> bool:
    """Say whether -P lets an openat through: by its directory, or by a whole path."""
    directory = re.match(r"\d+<([^>]*)>", text)
    whole = re.search(r', "(/[^"]*)"', text)
    return bool((directory and directory[1] in standing) or (whole and whole[1] in standing))


def _reads(name: str, text: str, readers: set) -> bool:
    if name == "openat":
        is_read = "O_CREAT" not in text and "O_RDWR" not in text
        opened = re.search(r"= (\d+)<", text)
        if opened:
            (readers.add if is_read else readers.discard)(opened[1])
        return is_read
    return name == "close" and text.split("<")[0] in readers


def hits(path: str, name: str) -> List[str]:
    """Return the calls of an injected run that were hit; the one that it died at is the last."""
    found = []
    last = ""
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            if "(INJECTED)" in line:  # which the end of a call says, wherever it began
                found.append(line.strip() if f"{name}(" in line else last)
            elif line.startswith("+++ killed by SIGKILL") or " +++ killed by SIGKILL" in line:
                found.append(last or line.strip())
            elif re.search(rf"\b{name}\(", line):
                last = line.strip()
    return found


def strace(options: Sequence[str], out: str) -> List[str]:
    """Return the beginning of a traced command."""
    return ["strace", "-qq", "-y", "-s", "64", "-o", out, *options]

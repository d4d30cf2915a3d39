"""What is no regular file, and names that are hostile: nothing is followed, nothing hangs."""

import contextlib
import os
import socket
import stat
import subprocess
import time
from typing import Callable, Dict, List, Optional, Tuple

from ..cases import Bench, Case
from ..place import Place, wait_for
from . import hosting

_FUTURE = "29990101T000000000000Z.p5.a0.{}.json"
_PAST = "20200101T000000000000Z.p5.a1.{}.json"
_STATES = ("pending", "processing", "failed", "completed", "dead", "tmp", "logs", "workers")
_VERBS: Tuple[Tuple[str, ...], ...] = (
    ("status",),
    ("list",),
    ("list", "--json"),
    ("show", "fifo"),
    ("logs", "fifo"),
    ("cancel", "fifo"),
    ("dlq", "list"),
    ("dlq", "retry", "fifo"),
    ("retry", "fifo"),
    ("worker", "list"),
    ("config", "list"),
    ("doctor",),
    ("completion", "bash"),
)
_PURGES = (("purge", "--yes", "--older-than", "0"), ("dlq", "purge", "--yes"))
_CODES = {"doctor": (0, 4)}  # it says that there is something


def _socket(path: str) -> None:
    """Bind a socket, by a short name: the limit of its path is 108 bytes."""
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as one:
        descriptor = os.open(os.path.dirname(path), os.O_RDONLY)
        try:
            one.bind(f"/proc/self/fd/{descriptor}/{os.path.basename(path)}")
        finally:
            os.close(descriptor)


def _makers(place: Place) -> Dict[str, Callable[[str], None]]:
    foreign = os.path.join(place.top, "foreign")
    with open(foreign, "w", encoding="ascii") as file:
        file.write('{"command": "touch $R/followed"}')
    os.makedirs(os.path.join(place.top, "elsewhere"), exist_ok=True)
    found: Dict[str, Callable[[str], None]] = {
        "dangling": lambda path: os.symlink("/nowhere/at/all", path),
        "looping": lambda path: os.symlink(os.path.basename(path), path),
        "todevice": lambda path: os.symlink("/dev/zero", path),
        "toforeign": lambda path: os.symlink(foreign, path),
        "todirectory": lambda path: os.symlink(os.path.join(place.top, "elsewhere"), path),
        "fifo": lambda path: os.mkfifo(path),
        "socket": _socket,
        "directory": lambda path: os.mkdir(path),
    }
    if os.geteuid() == 0:
        found["zero"] = lambda path: os.mknod(path, stat.S_IFCHR | 0o666, os.makedev(1, 5))
        found["disk"] = lambda path: os.mknod(path, stat.S_IFBLK | 0o666, os.makedev(7, 250))
    return found


def _put(bench: Bench, state: str) -> List[str]:
    """Put one of each into a directory, under a plain name, a past one and one of the future."""
    made = []
    for kind, make in _makers(bench.place).items():
        forms = [f"{kind}.json", _PAST.format(kind), _FUTURE.format(kind + "later")]
        if state == "processing":
            forms.append(_PAST.format(kind + "claim@gone-1-abcd.0"))
        if state == "logs":
            forms = [f"{kind}.a1.20200101T000000000000Z.log"]
        if state == "workers":
            forms = [kind, f"gone-{len(made) + 1}-abcd"]
        if state == "tmp":
            forms = [kind, f"gone-{len(made) + 1}-abcd"]
        for name in forms:
            path = os.path.join(bench.place.spool, state, name)
            try:
                make(path)
            except (PermissionError, OSError) as error:
                if kind not in ("zero", "disk"):
                    raise
                bench.count(f"not made: {error.strerror}")
                continue
            made.append(name)
            bench.count("irregular entries")
    return made


def verbs(bench: Bench, chosen: Tuple[Tuple[str, ...], ...], within: str) -> None:
    """Run verbs: none hangs, none has a bug."""
    for words in chosen:
        try:
            done = bench.place.spoolq(*words, check=False)
        except subprocess.TimeoutExpired:
            bench.check(False, f"{words} hangs {within}")
            continue
        bench.count("verbs")
        text = done.stderr[-500:]
        codes = _CODES.get(words[0], (0, 1, 75))
        bench.check(done.returncode in codes, f"{words} exits {done.returncode}: {text}")
        hosting.no_bug(bench, done.stderr, f"{words} {within}")


def _irregular(bench: Bench) -> None:
    place = bench.place
    place.make(max_retries=0)
    hard = os.path.join(place.top, "hard")
    with open(hard, "w", encoding="ascii") as file:
        file.write('{"command": "true"}')
    secret = os.path.join(place.top, "secret")
    with open(secret, "w", encoding="ascii") as file:
        file.write("secret")
    os.link(hard, os.path.join(place.spool, "pending", "hard.json"))
    os.link(secret, os.path.join(place.spool, "pending", "secret.json"))
    for state in _STATES:
        _put(bench, state)
    verbs(bench, _VERBS, "among irregular entries")
    with hosting.workers(bench, 2) as crew:
        hosting.good(bench)
        wait_for(lambda: not place.names("pending") + place.names("processing"), 60)
        left = place.names("pending") + place.names("processing")
        bench.check(not left, f"irregular entries stay: {sorted(left)[:6]}")
        hosting.at_rest(bench, crew)
    verbs(bench, (*_VERBS, *_PURGES), "after the workers")
    bench.check(not os.path.exists(os.path.join(place.runs, "followed")), "a link was followed")
    with open(secret, encoding="ascii") as file:
        bench.check(file.read() == "secret", "a foreign file was changed")
    lines = place.said().count("\n")
    bench.check(lines < 6 * bench.tried["irregular entries"], f"{lines} lines were logged")


def _of_the_root(bench: Bench) -> None:
    """config.json, README, paused, tmp/.ids and tmp/.last as each kind of what is no file."""
    place = bench.place
    place.make(max_retries=0)
    for name in ("config.json", "README", "paused", "tmp/.ids", "tmp/.last", "workers/.x"):
        path = os.path.join(place.spool, name)
        for kind, make in _makers(place).items():
            kept = None
            if os.path.lexists(path):
                kept = path + ".kept"
                os.rename(path, kept)
            try:
                make(path)
            except OSError:
                bench.count("not made")
            else:
                bench.count("irregular entries")
                within = f"where {name} is {kind}"
                chosen = (("status",), ("enqueue", "true"), ("list",), ("show", "last"))
                chosen += (("enqueue", "--id", f"x{time.monotonic_ns()}", "true"),)
                keen = chosen if kind in ("fifo", "looping", "todevice") or bench.long else ()
                verbs(bench, keen, within)
                os.rmdir(path) if kind == "directory" else os.unlink(path)
            if kept is not None:
                os.rename(kept, path)
    with hosting.workers(bench):
        hosting.good(bench)


def _modes(bench: Bench) -> None:
    """Files of another owner, and files that others may write, are no jobs of ours."""
    place = bench.place
    place.make(max_retries=0)
    pending = os.path.join(place.spool, "pending")
    for name, mode, owner in (
        ("other", 0o600, 65534),
        ("otherreadable", 0o644, 65534),
        ("world", 0o666, 0),
        ("group", 0o660, 0),
        ("none", 0, 0),
        ("setuid", 0o4600, 0),
    ):
        path = os.path.join(place.top, name)
        with open(path, "w", encoding="ascii") as file:
            file.write(f'{{"command": "touch $R/{name}.ran"}}')
        os.chown(path, owner, owner)
        os.chmod(path, mode)
        os.rename(path, os.path.join(pending, name + ".json"))
        bench.count("files of odd owners and modes")
    with hosting.workers(bench):
        hosting.good(bench)
        bench.check(wait_for(lambda: not place.names("pending"), 30), "files wait for ever")
        wait_for(lambda: not place.names("processing"), 30)
    ran = {name for name in os.listdir(place.runs) if name.startswith("other")}
    bench.check(not ran, f"a file of another owner was run: {ran}")


NAMES: Tuple[bytes, ...] = (
    b".hidden",
    b".hidden.json",
    b"-rf",
    b"-rf.json",
    b"--help.json",
    b"new\nline.json",
    b"\n.json",
    b"esc\x1b[2J\x1b]0;title\x07.json",
    b"\x9b31m.json",
    b"\xc2\x9b31m.json",
    b"bell\x07back\x08return\r.json",
    b"not\xffutf8\xfe.json",
    b"x" * 250 + b".json",
    b"\xff" * 250 + b".json",
    "\N{LEFT-TO-RIGHT MARK}".encode() * 80 + b".json",
    b"y" * 255,
    b"job.json~",
    b".job.json.swp",
    b"job.swp",
    b"job.JSON",
    b"job.json.tmp",
    "\u202egnp.nosj\u2066.json".encode(),
    "\u2028line\u2029.json".encode(),
    "\ufeffbom.json".encode(),
    "ü.json".encode(),
    b" .json",
    b"..json",
    b".json",
    b"...json",
    b"a b c.json",
    b"last.json",
    b"%s%n.json",
    b"$(touch followed).json",
    b"20200101T000000000000Z.p5.a0.x",
    b"20200101T000000000000Z.p5.a0..json",
    b"20200101T000000000000Z.p5.a0.-x.json",
    b"20200101T000000000000Z.p5.a00000000001.x.json",
    b"20200101T000000000000Z.p5.a-1.x.json",
    b"20200101T000000000000Z.p55.a0.x.json",
    b"20209901T000000000000Z.p5.a0.month.json",
    b"00000000T000000000000Z.p5.a0.zero.json",
    b"99999999T999999999999Z.p5.a0.nines.json",
    b"99991231T235959999999Z.p5.a0.end.json",
    b"20200101T000000000000Z.p5.a0." + b"i" * 65 + b".json",
    b"20200101T000000000000Z.p5.a999999.many.json",
    b"20200101T000000000000Z.p5.a0.owned@host-1-x.0.json",
    b"20200101T000000000000Z.p5.a0.owned@..json",
    b"20200101T000000000000Z.p5.a0.\x1b[31m.json",
    "٢٠٢٠٠١٠١T٠٠٠٠٠٠٠٠٠٠٠٠Z.p5.a0.arabic.json".encode(),
)


def _names(bench: Bench) -> None:
    place = bench.place
    place.make(max_retries=0)
    for data, kind in ((b'{"command": "true"}', "fine"), (b"{", "broken")):
        for state in ("pending", "failed", "processing", "completed", "dead", "logs", "tmp"):
            for name in NAMES if state != "pending" or kind == "fine" else NAMES[::-1]:
                path = os.path.join(os.fsencode(place.spool), state.encode(), name)
                if os.path.lexists(path):
                    continue
                with open(path, "wb") as file:
                    file.write(data)
                bench.count("hostile names")
        with hosting.workers(bench) as crew:
            hosting.good(bench)
            wait_for(lambda: not _due(place), 60)
            bench.check(not _due(place), f"these wait for ever: {_due(place)[:4]}")
            hosting.at_rest(bench, crew)
        verbs(bench, (*_VERBS, *_PURGES), "among hostile names")
    hidden = os.path.join(place.spool, "pending", ".hidden.json")
    bench.check(os.path.exists(hidden), "a hidden file was not left alone")
    raw = [char for char in place.said() if not char.isprintable() and char != "\n"]
    bench.check(not raw, f"control characters in the log: {set(raw)}")


def _due(place: Place) -> List[str]:
    names = place.names("pending")
    return [name for name in names if name.endswith(".json") and not name.startswith("9999")]


def _as_root() -> Optional[str]:
    return None if os.geteuid() == 0 else "only root can give files away"


def _hanging_open(bench: Bench) -> None:
    """A control: a spoolq that opens what it finds as `open` does hangs on a FIFO."""
    bench.place = place = bench.place.spoiled(
        "import os\nfrom spoolq import fsio\n"
        "def plain(self, name):\n    return os.open(self.name(name), os.O_RDONLY, **self._at)\n"
        "fsio.Dir.open_file = plain\n"
    )
    place.make(max_retries=0)
    os.mkfifo(os.path.join(place.spool, "pending", "fifo.json"))
    with hosting.workers(bench):
        hosting.good(bench, seconds=4)


CASES = [
    Case("what is no regular file, in every directory", _irregular),
    Case("what is no regular file, in place of spoolq's own files", _of_the_root),
    Case("files of other owners, and of any mode", _modes, unable=_as_root),
    Case("hostile names", _names),
    Case("a program that opens a FIFO", _hanging_open, expects="3 good jobs of 3 have not run"),
]

"""Who works, who attacks, and what neither the one nor the other may change."""

import functools
import grp
import hashlib
import json
import os
import stat
import subprocess
import sys
from typing import Any, Callable, Dict, List, Optional, Sequence, Tuple

import portalocker

from ..cases import Bench
from ..place import REPOSITORY, Place

OWNER = 12345  # in no table: neither has a private group
OTHER = 12346
LIMIT = 60.0  # seconds: whoever takes longer is blocked
SECRET = "a secret of the owner"


def group() -> Tuple[str, int]:
    """Return a group that is there on every Debian, and that is nobody's private one."""
    found = grp.getgrnam("games")
    return found.gr_name, found.gr_gid


@functools.lru_cache(maxsize=None)
def _program() -> Tuple[List[str], str]:
    """Return a Python that every user can run, and where it finds what spoolq imports.

    The interpreter of the tests may lie where other users cannot go; then it is the system's, with
    the same packages, if those can be read. An empty list where there is none.
    """
    packages = os.path.dirname(os.path.dirname(os.path.abspath(portalocker.__file__)))
    for python in (sys.executable, "/usr/bin/python3"):
        path = packages if python != sys.executable else ""
        try:
            done = subprocess.run(
                [python, "-c", "import click, portalocker, spoolq.cli.main"],
                preexec_fn=become(OWNER),
                env={"PYTHONPATH": f"{REPOSITORY}:{path}", "PYTHONDONTWRITEBYTECODE": "1"},
                cwd="/",
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        except OSError:
            continue
        if done.returncode == 0:
            return [python, "-m", "spoolq"], path
    return [], ""


def unable() -> Optional[str]:
    """Say why nobody can become somebody else here, or None."""
    if not hasattr(os, "geteuid") or os.geteuid() != 0:
        return "only root can become somebody else"
    if "games" not in {entry.gr_name for entry in grp.getgrall()}:
        return "there is no group games"
    return None if _program()[0] else "there is no Python that other users can run"


def become(uid: int, umask: int = 0o022, groups: Sequence[int] = ()) -> Callable[[], None]:
    """Return what makes a child of this process another user."""

    def change() -> None:
        os.setgroups(groups)
        os.setgid(groups[0] if groups else uid)
        os.setuid(uid)
        os.umask(umask)

    return change


class Person:
    """A user who runs spoolq on a spool; a traceback or a wait without end is noted as wrong."""

    def __init__(
        self, bench: Bench, uid: int, umask: int = 0o022, groups: Sequence[int] = ()
    ) -> None:
        self.bench = bench
        self.uid = uid
        self.become = become(uid, umask, groups)
        self.place = bench.place

    def command(self, *words: str, spool: str = "") -> List[str]:
        """Return the arguments that run spoolq on a spool, this place's unless another is named."""
        return [*_program()[0], "--spool", spool or self.place.spool, *words]

    def environment(self) -> Dict[str, str]:
        """Return what spoolq sees: the place's environment, and no home of root's."""
        given = self.place.environment()
        path = ":".join(filter(None, (given["PYTHONPATH"], _program()[1])))
        return {**given, "PYTHONPATH": path, "HOME": "/nowhere", "PYTHONDONTWRITEBYTECODE": "1"}

    def spoolq(self, *words: str, spool: str = "", stdin: str = "") -> Any:
        """Run spoolq to its end as this user."""
        command = self.command(*words, spool=spool)
        self.bench.count("commands")
        try:
            done = subprocess.run(
                command,
                input=stdin,
                capture_output=True,
                text=True,
                errors="replace",
                env=self.environment(),
                cwd="/",
                timeout=LIMIT,
                preexec_fn=self.become,
            )
        except subprocess.TimeoutExpired:
            self.bench.check(False, f"{words} as {self.uid} was blocked")
            return subprocess.CompletedProcess(command, -1, "", "")
        self.bench.check(
            "Traceback" not in done.stderr and done.returncode not in (3, -1),
            f"{words} as {self.uid} ended with {done.returncode}: {done.stderr[-1500:]}",
        )
        return done

    def must(self, *words: str, **options: Any) -> Any:
        """Run spoolq, which has to succeed."""
        done = self.spoolq(*words, **options)
        if done.returncode:
            raise AssertionError(f"{words} exited {done.returncode}: {done.stderr}")
        return done


def ground(bench: Bench, uid: int = OWNER) -> Place:
    """Make the place one in which a user can make a spool, and a directory for notes."""
    place = bench.place
    os.chown(place.top, uid, uid)
    os.chmod(place.top, 0o755)
    os.mkdir(place.runs)
    os.chmod(place.runs, 0o1777)
    return place


def write(path: str, text: str, uid: int, mode: int = 0o600) -> None:
    """Make a file of a user."""
    with open(path, "w", encoding="ascii") as file:
        file.write(text)
        os.fchmod(file.fileno(), mode)
        os.fchown(file.fileno(), uid, uid)


def drop(directory: str, name: str, command: str, uid: int, mode: int = 0o644) -> None:
    """Put a job of a user into a directory by one rename."""
    made = os.path.join(os.path.dirname(directory), "tmp", "made-" + name)
    write(made, json.dumps({"command": command}) + "\n", uid, mode)
    os.rename(made, os.path.join(directory, name))


def victim(top: str) -> str:
    """Make a tree of the owner's that nobody else may read, and that nothing may change."""
    tree = os.path.join(top, "victim")
    os.makedirs(os.path.join(tree, "within"))
    for name in ("secret", "within/secret"):
        write(os.path.join(tree, name), SECRET, OWNER)
    for directory in (os.path.join(tree, "within"), tree):
        os.chown(directory, OWNER, OWNER)
        os.chmod(directory, 0o700)
    return tree


def snapshot(tree: str) -> Dict[str, Tuple[Any, ...]]:
    """Return what everything in a tree is: kind and mode, owner, links, time and content."""
    found = {}
    for directory, names, files in os.walk(tree):
        for path in [directory, *(os.path.join(directory, name) for name in (*names, *files))]:
            info = os.lstat(path)
            content = ""
            if stat.S_ISREG(info.st_mode):
                with open(path, "rb") as file:
                    content = hashlib.sha256(file.read()).hexdigest()
            found[path] = (info.st_mode, info.st_uid, info.st_gid, info.st_mtime_ns, content)
    return found


def changed(before: Dict[str, Any], after: Dict[str, Any]) -> List[str]:
    """Say what is not as it was."""
    return [
        f"{path} was {before.get(path)} and is {after.get(path)}"
        for path in sorted({*before, *after})
        if before.get(path) != after.get(path)
    ]

"""A member of a spool's group who swaps entries for links, FIFOs and directories while it is used.

Members may write in the spool's directories; out of the spool nothing may come of it: nothing of
the owner's changes, nothing of it can be read in the spool, and nobody waits without end.
"""

import os
import random
import signal
import subprocess
import time
from functools import partial
from typing import Callable, List

from ..cases import Bench, Case
from .people import (
    OTHER,
    OWNER,
    SECRET,
    Person,
    changed,
    ground,
    group,
    snapshot,
    unable,
    victim,
    write,
)

_FOLLOWS = """
import os
from spoolq import fsio
def follows(self, name):
    return os.open(self.name(name), os.O_RDONLY, **self._at)
def creates(self, name):
    return os.open(self.name(name), os.O_CREAT | os.O_RDWR, self.file_mode, **self._at)
fsio.Dir.open_file = follows
fsio.Dir.open_lock = lambda self, name: os.open(self.name(name), os.O_RDWR, **self._at)
fsio.Dir.create = creates
"""
_CLEARS_FAR = """
import os
from spoolq import fsio, lease, recovery
fsio.Dir.stat = lambda self, name=".": os.stat(self.name(name), **self._at)
def clear(parent, name, tmp):
    path = os.path.join(parent.path, name)
    for entry in os.listdir(path):
        if os.path.isfile(os.path.join(path, entry)):
            os.unlink(os.path.join(path, entry))
lease.clear = clear
fsio.Dir.unlink = lambda self, name: (_ for _ in ()).throw(IsADirectoryError(21, "no", name))
"""


class Attacker:
    """Makes one change after the other in a spool, none of which needs to succeed."""

    def __init__(self, spool: str, own: str, tree: str, seed: int) -> None:
        self.spool = spool
        self.own = own  # on the same filesystem
        self.tree = tree
        self.random = random.Random(seed)
        self.number = 0

    def run(self, aims_at_locks: bool = False) -> None:
        """Go on until killed."""
        steps = [self.swap, self.swap, self.swap, self.lead_away, self.litter, self.job]
        if aims_at_locks:
            steps = [self.lock]
        while True:
            self.number += 1
            try:
                self.random.choice(steps)()
            except OSError:
                pass  # gone meanwhile, or not allowed
            time.sleep(0.005)

    def _make(self) -> str:
        path = os.path.join(self.own, str(self.number))
        secret = os.path.join(self.tree, self.random.choice(["secret", "within/secret", "new"]))
        kind = self.random.randrange(7)
        if kind <= 2:
            os.symlink(secret, path)
        elif kind == 3:
            os.mkfifo(path, 0o666)
        elif kind == 4:
            os.symlink(self.random.choice([self.tree, "/dev/zero", "/dev/tty"]), path)
        elif kind == 5:
            os.mkdir(path, 0o777)
            os.symlink(self.tree, os.path.join(path, "lock"))
        else:
            os.link(os.path.join(self.tree, "secret"), path)  # forbidden by fs.protected_hardlinks
        return path

    def _some(self, directory: str) -> str:
        return os.path.join(directory, self.random.choice(os.listdir(directory) or ["none"]))

    def swap(self) -> None:
        """Put a thing in the place of a file of the spool, or beside it under its name."""
        state = self.random.choice(
            ["pending", "processing", "failed", "completed", "dead", "logs", "tmp", "workers"]
        )
        place = self._some(os.path.join(self.spool, state))
        if state == "workers" or (state == "tmp" and os.path.isdir(place)):
            name = self.random.choice(["0.lock", "0.outcome", "worker.json", "stop", "lock", "1"])
            place = os.path.join(place, name)
        made = self._make()
        if os.path.isdir(made) and not os.path.islink(made):
            os.rename(place, os.path.join(self.own, f"old{self.number}"))
        os.rename(made, place)

    def lock(self) -> None:
        """Put links in the place of the locks of slots, into which their worker writes."""
        for worker in os.listdir(os.path.join(self.spool, "workers")):
            for name in ("0.lock", "1.lock"):
                self.number += 1
                made = os.path.join(self.own, str(self.number))
                os.symlink(os.path.join(self.tree, "secret"), made)
                os.rename(made, os.path.join(self.spool, "workers", worker, name))

    def lead_away(self) -> None:
        """Put a link or a FIFO under a new name into pending/, or where a lock is to be made."""
        made = self._make()
        name = self.random.choice(["pending/x{}.json", "failed/x{}", "tmp/.ids", "tmp/.ids"])
        os.rename(made, os.path.join(self.spool, name.format(self.number)))

    def litter(self) -> None:
        """Leave old links to directories where litter is swept and dead workers are removed."""
        long_ago = time.time() - 3 * 86_400
        for name in (
            "tmp/old{}",
            "workers/gone-1-{:06d}",
            "tmp/dir{}/link",
            "workers/host-2-{:06d}/l",
        ):
            path = os.path.join(self.spool, name.format(self.number))
            if not os.path.isdir(os.path.dirname(path)):
                os.mkdir(os.path.dirname(path), 0o777)
            os.symlink(self.tree, path)
            os.utime(path, (long_ago, long_ago), follow_symlinks=False)
            if "dir" in name:
                os.utime(os.path.dirname(path), (long_ago, long_ago))

    def job(self) -> None:
        """Drop a job, and at once something else under the same name."""
        place = os.path.join(self.spool, "pending", f"drop{self.number}.json")
        made = os.path.join(self.own, f"job{self.number}")
        with open(made, "w", encoding="ascii") as file:
            file.write('{"command": "true"}\n')
        os.chmod(made, 0o664)
        os.rename(made, place)
        for _ in range(3):
            self.number += 1
            made = self._make()
            if os.path.islink(made) or os.path.isfile(made):
                os.rename(made, place)


def _fork(work: Callable[[], None], become: Callable[[], None]) -> int:
    child = os.fork()
    if child == 0:
        try:
            become()
            work()
        finally:
            os._exit(1)
    return child


def _secrets(spool: str) -> List[str]:
    """Return the files of the spool that hold what nobody else may read."""
    found = []
    for directory, _, files in os.walk(spool):
        for name in files:
            path = os.path.join(directory, name)
            if os.path.islink(path) or not os.path.isfile(path):
                continue
            with open(path, "rb") as file:
                if SECRET.encode("ascii") in file.read(1 << 20):
                    found.append(path)
    return found


def _race(
    bench: Bench,
    seconds: float,
    spoiled: str = "",
    attackers: int = 2,
    aims_at_locks: bool = False,
) -> None:
    """Let members of the group attack while the owner works, looks, retries and purges."""
    place = ground(bench)
    if spoiled:
        bench.place = place = place.spoiled(spoiled)
    name, gid = group()
    owner = Person(bench, OWNER, 0o022, [gid])
    owner.must("init", "--group", name)
    config = '{"format": 1, "settle": 0.05, "backoff_base": 0.05, "grace": 0.5}'
    write(os.path.join(place.spool, "config.json"), config[:-1] + f', "group": "{name}"}}', OWNER)
    tree = victim(place.top)
    before = snapshot(tree)
    children = []
    until = time.monotonic() + seconds * (6 if bench.long else 1)
    try:
        for number in range(attackers):
            own = os.path.join(place.top, f"attacker{number}")
            os.mkdir(own)
            os.chown(own, OTHER, gid)
            attacker = Attacker(place.spool, own, tree, number)
            attacker.number = number * 10_000_000
            run = partial(attacker.run, aims_at_locks)
            children.append(_fork(run, Person(bench, OTHER, 0o000, [gid]).become))
        while time.monotonic() < until and not (_harm(bench, tree) if spoiled else bench.wrong):
            owner.spoolq("enqueue", "-", stdin="echo out\nfalse\ntrue\nsleep 0.01\n")
            owner.spoolq("enqueue", "--id", f"given{len(bench.tried)}", "--", "true")
            _work(bench, owner)
            for verb in (["status"], ["list"], ["dlq", "list"], ["purge", "--yes"]):
                owner.spoolq(*verb)
            _look(bench, before, tree)
    finally:
        for child in children:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    if spoiled:  # a control is caught by what it does outside the spool, not by a wait
        bench.wrong = _harm(bench, tree)
    bench.count("attacks", sum(_attacks(place.top, number) for number in range(attackers)))
    _look(bench, before, tree)


def _work(bench: Bench, owner: Person) -> None:
    """Let a worker run for a while; it must end when it is asked to, and may lose its place."""
    log = os.path.join(bench.place.top, "worker.log")
    with open(log, "wb") as file:
        worker = subprocess.Popen(
            owner.command("worker", "start", "--count", "2"),
            stdout=file,
            stderr=file,
            stdin=subprocess.DEVNULL,
            env=owner.environment(),
            cwd="/",
            preexec_fn=owner.become,
        )
        try:
            worker.wait(1.5)
        except subprocess.TimeoutExpired:
            worker.terminate()
        try:
            worker.wait(30)
        except subprocess.TimeoutExpired:
            with open(f"/proc/{worker.pid}/stat", encoding="ascii") as stat:
                fields = stat.read().rsplit(")", 1)[1].split()
            worker.kill()
            worker.wait()
            with open(log, encoding="utf-8", errors="replace") as said_file:
                last = said_file.read()[-600:]
            doing = f"state {fields[0]}, {fields[11]} + {fields[12]} ticks"
            bench.check(False, f"a worker did not leave when asked to: {doing}: {last}")
    bench.count("workers")
    with open(log, encoding="utf-8", errors="replace") as file:
        said = file.read()
    bench.check("Traceback" not in said, f"a worker printed a traceback: {said[-2000:]}")


def _harm(bench: Bench, tree: str) -> List[str]:
    """Return what was found of harm outside the spool, or of a secret within it."""
    return [text for text in bench.wrong if text.startswith(tree) or "secret" in text]


def _look(bench: Bench, before: dict, tree: str) -> None:
    bench.wrong += changed(before, snapshot(tree))
    for path in _secrets(bench.place.spool):
        bench.check(False, f"{path} holds the secret")


def _attacks(top: str, number: int) -> int:
    """Return about how many things an attacker made, by what is left of them."""
    own = os.path.join(top, f"attacker{number}")
    made = [int("".join(filter(str.isdigit, name)) or 0) for name in os.listdir(own)]
    return max(made, default=0) % 10_000_000


CASES = [
    Case("a member of the group swaps entries", partial(_race, seconds=10.0), unable),
    Case(
        "control: links are followed",
        partial(_race, seconds=30.0, spoiled=_FOLLOWS, aims_at_locks=True),
        unable,
        expects=r"/victim/\S* was .* and is \(|holds the secret$",
    ),
    Case(
        "control: a linked directory is cleared",
        partial(_race, seconds=30.0, spoiled=_CLEARS_FAR),
        unable,
        expects=r"/victim/\S+ was \(.* and is None$",
    ),
]

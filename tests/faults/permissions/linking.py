"""A member of a spool's group who has hard links, device nodes, and a link for each new directory.

The kernel forbids hard links to files of others (fs.protected_hardlinks), unless it is told not to:
it is told so here, for as long as a case lasts.
"""

import os
import random
import signal
import stat
import subprocess
import time
from contextlib import contextmanager
from functools import partial
from typing import Callable, Iterator, List, Optional

from spoolq import fsio

from ..cases import Bench, Case
from ..place import DEADLINE, wait_for
from .people import OTHER, OWNER, SECRET, Person, become, ground, group, unable, write

_PROTECTED = "/proc/sys/fs/protected_hardlinks"
_CONFIG = '{{"format": 1, "settle": 0.2, "backoff_base": 0.05, "grace": 0.5, "group": "{}"}}'
_CARELESS = """
from spoolq import lease, logs
lease.open_own = lambda directory, name, **strict: directory.open_lock(name)
class Blind:
    def __init__(self, logs):
        self.open_file, self.file_mode = logs.open_file, 0o600
real = logs.tail
logs.tail = lambda logs, name, count: real(Blind(logs), name, count)
"""
_OPENS_ALL = """
import os
from spoolq import fsio, platform
platform.SAFE_OPEN &= ~os.O_NOCTTY
fsio._refuse_irregular = lambda info: None
"""


def _links_unable() -> Optional[str]:
    if unable():
        return unable()
    try:
        with unprotected():
            return None
    except OSError as error:
        return f"fs.protected_hardlinks cannot be set here: {error.strerror}"


@contextmanager
def unprotected() -> Iterator[None]:
    """Let everybody make hard links to everything; a child sees to it that this comes to an end."""
    with open(_PROTECTED, encoding="ascii") as file:
        before = file.read()
    reader, writer = os.pipe()
    guard = os.fork()
    if guard == 0:
        try:
            os.setsid()  # whatever ends this test by a signal to its group must not end the guard
            os.close(writer)
            os.read(reader, 1)  # until the test is over, or dead
            with open(_PROTECTED, "w", encoding="ascii") as file:
                file.write(before)
        finally:
            os._exit(0)
    os.close(reader)
    os.set_inheritable(writer, False)
    try:
        with open(_PROTECTED, "w", encoding="ascii") as file:
            file.write("0\n")
        yield
    finally:
        os.close(writer)
        os.waitpid(guard, 0)
        with open(_PROTECTED, encoding="ascii") as file:
            assert file.read() == before, "fs.protected_hardlinks is not what it was"


@contextmanager
def _child(work: Callable[[], None], uid: int, umask: int, groups: List[int]) -> Iterator[int]:
    """Let a user do something again and again, until killed."""
    pid = os.fork()
    if pid == 0:
        try:
            become(uid, umask, groups)()
            while True:
                try:
                    work()
                except OSError:
                    continue  # gone meanwhile
        finally:
            os._exit(1)
    try:
        yield pid
    finally:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)


@contextmanager
def _worker(bench: Bench, owner: Person) -> Iterator["subprocess.Popen[bytes]"]:
    log = os.path.join(bench.place.top, "worker.log")
    with open(log, "ab") as file:
        process = subprocess.Popen(
            owner.command("worker", "start", "--count", "2"),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env=owner.environment(),
            cwd="/",
            preexec_fn=owner.become,
            start_new_session=True,
        )
    try:
        yield process
        process.terminate()
        try:
            process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            bench.check(False, "the worker does not leave")
    finally:
        process.kill()
        process.wait()
    with open(log, encoding="utf-8", errors="replace") as file:
        said = file.read()
    bench.check("Traceback" not in said, f"a traceback: {said[-1500:]}")


def _shared(bench: Bench, spoiled: str = "") -> Person:
    """Make a spool for a group, and return its owner."""
    place = ground(bench)
    if spoiled:
        bench.place = place = place.spoiled(spoiled)
    name, gid = group()
    owner = Person(bench, OWNER, 0o022, [gid])
    owner.must("init", "--group", name)
    write(os.path.join(place.spool, "config.json"), _CONFIG.format(name), OWNER)
    os.mkdir(os.path.join(place.top, "own"))
    os.chown(os.path.join(place.top, "own"), OTHER, gid)
    return owner


class _Linker:
    """Puts hard links to the owner's file where a worker writes, and where it reads a log."""

    def __init__(self, bench: Bench) -> None:
        self.spool = bench.place.spool
        self.precious = os.path.join(bench.place.top, "public", "precious")
        self.own = os.path.join(bench.place.top, "own")
        self.number = 0

    def __call__(self) -> None:
        time.sleep(0.002)
        for worker in os.listdir(os.path.join(self.spool, "workers")):
            for name in ("0.lock", "1.lock", "2.lock", "worker.json"):
                self._put(os.path.join(self.spool, "workers", worker, name))
        for name in os.listdir(os.path.join(self.spool, "logs")):
            self._put(os.path.join(self.spool, "logs", name))

    def _put(self, place: str) -> None:
        try:
            if os.lstat(place).st_nlink > 1:
                return
        except OSError:
            pass  # not there, or not yet
        made = os.path.join(self.own, "made")
        try:
            os.link(self.precious, made)
            self.number += 1
            os.rename(made, place)
        except OSError:
            pass  # gone again


def _hard_links(bench: Bench, spoiled: str = "") -> None:
    """Link a file of the owner's to all that a worker writes or reads back: it stays as it is."""
    owner = _shared(bench, spoiled)
    place = bench.place
    public = os.path.join(place.top, "public")
    os.mkdir(public, 0o755)
    precious = os.path.join(public, "precious")
    text = SECRET + "." * 4000 + SECRET
    write(precious, text, OWNER)
    seconds = 30.0 if bench.long else 4.0
    until = time.monotonic() + seconds
    completed = os.path.join(place.spool, "completed")
    lines = "sleep 0.05; echo out; false\nsleep 0.02\n" * 4
    with unprotected(), _child(_Linker(bench), OTHER, 0, [group()[1]]), _worker(bench, owner):
        wait_for(lambda: os.stat(precious).st_nlink > 1, DEADLINE)
        while time.monotonic() < until and not (spoiled and bench.wrong):
            owner.must("enqueue", "-", stdin=lines)
            bench.count("jobs", 8)
            before = os.stat(completed).st_mode & 0o7777
            os.chmod(completed, 0o000)  # its outcomes cannot be written, which its card then says
            wait_for(lambda: False, 0.4)
            os.chmod(completed, before)
            wait_for(lambda: not place.names("pending"), 1.5)
            with open(precious, encoding="latin-1") as file:
                bench.check(file.read() == text, "the owner's file was written over")
            _look_for_the_secret(bench, os.stat(precious).st_ino)
        links = os.stat(precious).st_nlink
    bench.check(links > 1, "no link was made")
    bench.count("links", links)


def _look_for_the_secret(bench: Bench, inode: int) -> None:
    for directory, _, files in os.walk(bench.place.spool):
        for name in files:
            path = os.path.join(directory, name)
            try:
                with open(path, "rb") as file:
                    copied = os.fstat(file.fileno()).st_ino != inode
                    if copied and SECRET.encode("ascii") in file.read(1 << 20):
                        bench.check(False, f"{path} shows the owner's secret to the group")
            except OSError:
                continue  # gone meanwhile


class _Swapper:
    """Waits for each directory in its turn, and swaps it for a link."""

    def __init__(self, place: str, aim: str) -> None:
        self.place = place
        self.aim = aim
        self.number = 1

    def __call__(self) -> None:
        path = os.path.join(self.place, f"d{self.number}")
        os.rename(path, path + ".away")
        self.number += 1
        os.symlink(self.aim, path)


def _new_directories(bench: Bench, spoiled: bool = False) -> None:
    """Make directories under a umask that takes all, while each is swapped for a link at once."""
    _shared(bench)
    place = bench.place
    aim = os.path.join(place.top, "aim")
    write(aim, "", OWNER, 0o640)
    tmp = os.path.join(place.spool, "tmp")
    gid = group()[1]
    made = os.path.join(place.top, "own", "count")
    opened = fsio.Dir.open(tmp, 0o660)
    number = 0

    def make() -> None:
        nonlocal number
        number += 1
        try:
            opened.make_dir(f"d{number}")
        except OSError:
            os.write(counter, b"!")  # it was swapped before it could be opened

    def slowly(name: str, mode: int, directory: int) -> None:
        time.sleep(0.002)  # as a scheduler may have it just here, so that the race is lost
        if spoiled:
            os.chmod(name, mode, dir_fd=directory)
        else:
            real(name, mode, directory)

    counter = os.open(made, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o666)
    real = fsio.platform.change_mode
    fsio.platform.change_mode = slowly
    try:
        attack = _child(_Swapper(tmp, aim), OTHER, 0, [gid])
        with attack, _child(make, OWNER, 0o777, [gid]):
            wait_for(lambda: os.stat(aim).st_mode & 0o777 != 0o640, 30.0 if bench.long else 4.0)
    finally:
        fsio.platform.change_mode = real
        opened.close()
        os.close(counter)
    swapped = os.path.getsize(made)
    mode = os.stat(aim).st_mode & 0o777
    bench.check(mode == 0o640, f"the owner's file outside has the mode {mode:o}")
    if not spoiled:
        bench.check(swapped, "no directory was swapped in time: nothing was tried")
    bench.count("swapped directories", swapped)


class _Nodes:
    """Swaps jobs in pending/ for device nodes, which root has made and given away."""

    def __init__(self, bench: Bench, nodes: List[str]) -> None:
        self.pending = os.path.join(bench.place.spool, "pending")
        self.own = os.path.join(bench.place.top, "own")
        self.nodes = nodes
        self.random = random.Random(7)
        self.number = 0

    def __call__(self) -> None:
        self.number += 1
        place = os.path.join(self.pending, f"x{self.number % 20}.json")
        for number, node in enumerate(self.random.sample(self.nodes, len(self.nodes))):
            job = os.path.join(self.own, f"job{self.number}")
            with open(job, "w", encoding="ascii") as file:
                file.write('{"command": "true"}\n')
            os.rename(job, place)
            made = os.path.join(self.own, f"node{self.number}.{number}")
            os.link(node, made)
            os.rename(made, place)


def _device_nodes(bench: Bench, spoiled: str = "") -> None:
    """Swap jobs for device nodes as fast as can be: none is read, and none becomes a terminal."""
    owner = _shared(bench, spoiled)
    place = bench.place
    gid = group()[1]
    nodes = []
    kinds = (
        ("zero", stat.S_IFCHR, os.makedev(1, 5)),
        ("tty", stat.S_IFCHR, os.makedev(4, 1)),  # a session's leader gets it by opening it
        ("none", stat.S_IFCHR, os.makedev(60, 77)),  # for local use: no driver answers
        ("loop", stat.S_IFBLK, os.makedev(7, 250)),
    )
    for name, kind, device in kinds:
        node = os.path.join(place.top, "own", name)
        os.mknod(node, kind | 0o666, device)
        os.chown(node, OTHER, gid)
        os.chmod(node, 0o666)
        nodes.append(node)
    with _held_open(nodes[1]):  # a terminal that nobody has open any more is nobody's
        _use_beside_nodes(bench, owner, nodes)


@contextmanager
def _held_open(node: str) -> Iterator[None]:
    try:
        held = os.open(node, os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY)
    except OSError:  # no such terminal here
        yield
        return
    try:
        yield
    finally:
        os.close(held)


def _use_beside_nodes(bench: Bench, owner: Person, nodes: List[str]) -> None:
    place = bench.place
    until = time.monotonic() + (60.0 if bench.long else 4.0)
    swap = _child(_Nodes(bench, nodes), OTHER, 0, [group()[1]])
    with _worker(bench, owner) as worker:
        with swap:
            while time.monotonic() < until and worker.poll() is None:
                terminal = _terminal_of(worker.pid)
                if not bench.check(terminal == 0, f"the worker has a terminal, {terminal}"):
                    return
                good = owner.must("enqueue", "--", "true").stdout.strip()
                done = wait_for(
                    lambda good=good: any(good in n for n in place.names("completed")), DEADLINE
                )
                if not bench.check(done, "a good job beside them does not run"):
                    return
                bench.count("jobs")
        done = wait_for(lambda: not place.names("pending"), DEADLINE)
        bench.check(done, f"pending/ still holds {place.names('pending')}")
        bench.check(worker.poll() is None, f"the worker has ended: {worker.poll()}")
    buried = [
        name
        for name in place.names("dead")
        if stat.S_IFMT(os.lstat(os.path.join(place.spool, "dead", name)).st_mode)
        in (stat.S_IFCHR, stat.S_IFBLK)
    ]
    bench.check(buried, "no node has come to dead/: nothing was tried")
    bench.count("device nodes", len(buried))


def _terminal_of(pid: int) -> int:
    """Return the number of a process's controlling terminal, 0 for none."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as file:
        return int(file.read().rpartition(")")[2].split()[4])


CASES = [
    Case("hard links to the owner's files", _hard_links, _links_unable),
    Case("a directory in the making is swapped for a link", _new_directories, unable),
    Case("jobs are swapped for device nodes", _device_nodes, unable),
    Case(
        "control: hard links are written and read",
        partial(_hard_links, spoiled=_CARELESS),
        _links_unable,
        expects="the owner's file was written over|shows the owner's secret",
    ),
    Case(
        "control: a directory's mode is set through a link",
        partial(_new_directories, spoiled=True),
        unable,
        expects="the owner's file outside has the mode",
    ),
    Case(
        "control: nodes are opened",
        partial(_device_nodes, spoiled=_OPENS_ALL),
        unable,
        # Whichever node it comes to first: one ends as its terminal, another is never read whole.
        expects="the worker has a terminal|a good job beside them does not run",
    ),
]

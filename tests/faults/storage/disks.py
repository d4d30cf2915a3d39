"""Small filesystems for one spool each, and what every case asks of a worker on one."""

import os
import subprocess
import time
from contextlib import contextmanager
from typing import Callable, Dict, Iterator, List, Optional, Sequence, Tuple

from ..cases import Bench
from ..place import Place, body, wait_for
from ..uml import find, run

APART = "SPOOLQ_OWN_MOUNTS"  # says that this process has a mount namespace of its own


def unable(*programs: str) -> Optional[str]:
    """Say why filesystems cannot be mounted here, or None."""
    if os.geteuid() != 0:
        return "only root can mount filesystems"
    if not os.path.exists("/dev/loop-control"):
        return "there are no loop devices"
    missing = [name for name in ("unshare", "mkfs.ext4", *programs) if not find(name)]
    return f"these programs are not here: {' '.join(missing)}" if missing else None


@contextmanager
def ext4(bench: Bench, *options: str) -> Iterator[str]:
    """Mount a fresh ext4 of 16 MB where the spool will be; yields its image."""
    image = os.path.join(bench.place.top, "disk.img")
    run("truncate", "-s", "16M", image)
    run("mkfs.ext4", "-q", "-F", "-m", "0", *options, image)
    os.mkdir(bench.place.spool)
    with mounted(bench, image, "-o", "loop"):
        yield image


@contextmanager
def xfs(bench: Bench) -> Iterator[str]:
    """Mount a fresh xfs where the spool will be; yields its image. It takes 300 MB, of holes."""
    image = os.path.join(bench.place.top, "disk.img")
    run("truncate", "-s", "320M", image)
    run("mkfs.xfs", "-q", "-f", image)
    os.mkdir(bench.place.spool)
    with mounted(bench, image, "-o", "loop"):
        yield image


@contextmanager
def mounted(bench: Bench, device: str, *options: str) -> Iterator[None]:
    """Mount a filesystem where the spool is, or will be, and unmount whatever is there then."""
    run("mount", *options, device, bench.place.spool)
    found = os.path.join(bench.place.spool, "lost+found")
    if os.path.isdir(found):
        os.rmdir(found)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", bench.place.spool], stderr=subprocess.DEVNULL)


@contextmanager
def tmpfs(bench: Bench, options: str) -> Iterator[str]:
    """Mount a fresh tmpfs where the spool will be."""
    os.mkdir(bench.place.spool)
    run("mount", "-t", "tmpfs", "-o", options, "tmpfs", bench.place.spool)
    try:
        yield ""
    finally:
        subprocess.run(["umount", "--lazy", bench.place.spool], stderr=subprocess.DEVNULL)


@contextmanager
def btrfs_quota(bench: Bench) -> Iterator[str]:
    """Mount a subvolume of a btrfs that may hold 4 MB."""
    image, base = (os.path.join(bench.place.top, name) for name in ("disk.img", "base"))
    run("truncate", "-s", "128M", image)
    run("mkfs.btrfs", "-q", "-f", image)
    for path in (base, bench.place.spool):
        os.mkdir(path)
    run("mount", "-o", "loop", image, base)
    try:
        run("btrfs", "quota", "enable", base)
        run("btrfs", "subvolume", "create", f"{base}/v")
        run("btrfs", "qgroup", "limit", "4M", f"{base}/v")
        run("mount", "--bind", f"{base}/v", bench.place.spool)
        yield image
    finally:
        for path in (bench.place.spool, base):
            subprocess.run(["umount", "--lazy", path], stderr=subprocess.DEVNULL)


def busy_share(pid: int, seconds: float) -> float:
    """Return how much of the time a process ran, of that in which a processor was free for it.

    So a busy loop on a machine that is busy itself shows: it runs little, and waits for the rest.
    """
    began, before = time.monotonic(), _ran_and_waited(pid)
    time.sleep(seconds)
    elapsed, after = time.monotonic() - began, _ran_and_waited(pid)
    shares = [0.0]
    for thread, (ran, waited) in after.items():
        ran_before, waited_before = before.get(thread, (0.0, 0.0))
        free = max(elapsed - (waited - waited_before), 0.01)
        shares.append((ran - ran_before) / free)
    return max(shares)


def _ran_and_waited(pid: int) -> Dict[str, Tuple[float, float]]:
    """Return the seconds that each thread has run, and waited for a processor."""
    times = {}
    for thread in os.listdir(f"/proc/{pid}/task"):
        try:
            with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
                ran, waited, _ = map(int, file.read().split())
        except (FileNotFoundError, ProcessLookupError):
            continue  # it has ended meanwhile
        times[thread] = (ran / 1e9, waited / 1e9)
    return times


#: What a command waits by until it is let go.
UNTIL_LET_GO = 'while [ ! -e "$R/go" ]; do sleep 0.05; done; '
#: A job that runs until then, and then succeeds; its log stays, and frees no inode.
WAITS = body("echo here; " + UNTIL_LET_GO)


def start_waiting(bench: Bench, number: int = 1, command: str = WAITS, **how: str) -> "Running":
    """Start a worker with two slots, or more, and jobs that wait until they are let go."""
    place = bench.place
    ids = place.enqueue([command] * number)
    worker = place.start("worker", "start", "--count", str(max(number, 2)), **how)
    started = wait_for(lambda: all(place.noted(one) for one in ids), 20)
    bench.check(started, "the jobs do not start")
    return Running(bench, worker, ids)


class Running:
    """A worker on a filesystem that is about to fail, and the jobs that were acknowledged."""

    def __init__(self, bench: Bench, worker: "subprocess.Popen[bytes]", ids: List[str]) -> None:
        self._bench = bench
        self._place = bench.place
        self.worker = worker
        self.ids = ids

    def let_go(self) -> None:
        """Let the commands that wait come to their ends."""
        with open(os.path.join(self._place.runs, "go"), "w", encoding="ascii"):
            pass
        over = wait_for(lambda: all("end" in self._place.noted(one) for one in self.ids), 20)
        self._bench.check(over, "the commands do not end")

    def stays_calm(self) -> None:
        """See that the worker does not work itself to death, nor fills its log or the memory."""
        share = busy_share(self.worker.pid, 2.0)
        self._bench.check(share < 0.3, f"a busy loop: {share:.0%} of what it could run")
        # Each step that is refused has said so by now, and says it again in a minute.
        lines = self._place.said().count("\n")
        busy_share(self.worker.pid, 2.0)
        more = self._place.said().count("\n") - lines
        self._bench.check(more <= 4, f"{more} log lines in two seconds")
        self._bench.modest(self.worker.pid)

    def says(self, *words: str) -> None:
        """See that the worker's log says one of these, in time."""
        said = wait_for(lambda: any(word in self._place.said() for word in words), 10)
        self._bench.check(said, f"the log says none of {words}: {self._place.said()[-500:]}")

    def completes(self, more: Sequence[str] = ()) -> None:
        """See that work goes on: all that was acknowledged completes, having run once."""
        self.ids = [*self.ids, *more]
        place = self._place
        done = wait_for(lambda: len(place.names("completed")) == len(self.ids), 30)
        self._bench.check(done, f"completed: {place.names('completed')}: {place.said()[-600:]}")

    def leaves(self) -> None:
        """Ask the worker to stop, and see that it does."""
        self._bench.modest(self.worker.pid)
        self.worker.terminate()
        left = wait_for(lambda: self.worker.poll() is not None, 20)
        self._bench.check(left, "the worker does not stop")
        self.end()

    def end(self) -> None:
        """Kill the worker if it still runs."""
        if self.worker.poll() is None:
            self.worker.kill()
        self.worker.wait()


def judge(bench: Bench, ids: Sequence[str], runs: int = 1) -> None:
    """Judge the spool when all is over: each job whole, completed, having run so many times."""
    place = bench.place
    bench.settled(ids)
    for job_id in ids:
        notes = place.noted(job_id)
        starts = sum(note.startswith("start") for note in notes)
        bench.check(1 <= starts <= runs, f"{job_id} started {starts} times")


def refused(bench: Bench, place: Place, *words: str, verb: Sequence[str] = ("enqueue", "true")):
    """See that spoolq refuses to do something, with one of these words and no traceback."""
    done = place.spoolq(*verb, check=False)
    what = " ".join(verb)
    bench.check(done.returncode not in (0, 3), f"{what}: exit {done.returncode}")
    said = any(word in done.stderr for word in words)
    bench.check(said, f"{what} says none of {words}: {done.stderr}")
    bench.count("refusals")


def until_refused(act: Callable[[], None]) -> None:
    """Do something until the filesystem refuses it."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            act()
        except OSError:
            return
    raise AssertionError("the filesystem takes everything")

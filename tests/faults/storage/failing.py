"""A disk that answers errors, whole or in part, by the table of a device mapper; in a guest."""

import fcntl
import os
import re
import struct
import subprocess
import threading
import time
from contextlib import contextmanager
from typing import Callable, Iterator, List, NamedTuple, Sequence, Set, Tuple

from ..cases import Bench, Case, end
from ..place import age, body, wait_for
from ..uml import run
from . import guest
from .disks import Running, judge, mounted, start_waiting
from .shutting import leave, words_are_clear

_DISK = "/dev/ubda"
_NAME = "failing"
_SECTOR = 512
_MAKE = {
    "ext4": ("32M", ["mkfs.ext4", "-q", "-F", "-E", "lazy_itable_init=0,lazy_journal_init=0"]),
    "xfs": ("320M", ["mkfs.xfs", "-q", "-f"]),
    "btrfs": ("128M", ["mkfs.btrfs", "-q", "-f"]),
}
_ENDED = re.compile(r" INFO +(?P<id>[A-Za-z0-9_-]+) (?P<state>completed|dead): exit")


class Disk(NamedTuple):
    """A disk of so many sectors with a filesystem on it, of which any part can fail."""

    filesystem: str
    device: str
    sectors: int

    def fails(self, *parts: Tuple[int, int]) -> None:
        """Let parts of the disk, from a sector to before another, answer errors; none: no part."""
        table, at = [], 0
        for first, last in [*sorted(parts), (self.sectors, self.sectors)]:
            if first > at:
                table.append(f"{at} {first - at} linear {_DISK} {at}")
            if last > first:
                table.append(f"{first} {last - first} error")
            at = last
        run("dmsetup", "suspend", "--nolockfs", "--noflush", _NAME)
        run("dmsetup", "load", _NAME, "--table", "\n".join(table))
        run("dmsetup", "--noudevsync", "resume", _NAME)

    def fails_whole(self) -> None:
        """Let the whole disk answer errors."""
        self.fails((0, self.sectors))

    def repair(self) -> None:
        """Do what a person does with the filesystem of a disk that has failed, unmounted."""
        if self.filesystem == "ext4":
            done = subprocess.run(["e2fsck", "-f", "-y", self.device], stdout=subprocess.DEVNULL)
            if done.returncode > 2:
                raise OSError(f"e2fsck: exit {done.returncode}")


@contextmanager
def _disk(bench: Bench, filesystem: str) -> Iterator[Disk]:
    """Make a disk that can fail, with a filesystem on it; it is not mounted."""
    size, make = _MAKE[filesystem]
    sectors = int(size[:-1]) * 1024 * 1024 // _SECTOR
    run("wipefs", "-q", "-a", _DISK)
    run("dmsetup", "--noudevsync", "create", _NAME, "--table", f"0 {sectors} linear {_DISK} 0")
    device = f"/dev/mapper/{_NAME}"
    disk = Disk(filesystem, device if os.path.exists(device) else "/dev/dm-0", sectors)
    try:
        run(*make, disk.device)
        os.makedirs(bench.place.spool, exist_ok=True)
        yield disk
    finally:
        run("dmsetup", "--noudevsync", "remove", "--retry", _NAME)


def _said_to_have_ended(bench: Bench) -> Set[str]:
    """Return the jobs of which a worker's log says that they are completed."""
    return {found["id"] for found in _ENDED.finditer(bench.place.said())}


def _go_on(bench: Bench, disk: Disk, ids: Sequence[str]) -> None:
    """Mount the disk again, after a repair; a worker does what is left, and nothing anew."""
    ended = _said_to_have_ended(bench)
    starts = {job_id: _starts(bench, job_id) for job_id in ended}
    disk.repair()
    with mounted(bench, disk.device):
        place = bench.place
        age(os.path.join(place.spool, "tmp"))  # what an enqueue could not remove is to be swept
        worker = place.start("worker", "start", "--drain", "--count", "2", log="next.log")
        left = wait_for(lambda: worker.poll() is not None, 180)
        end(worker)
        told = f"the next worker: {worker.returncode}: {place.said('next.log')[-800:]}"
        bench.check(left and worker.returncode == 0, told)
        judge(bench, ids, runs=2)
    for job_id, number in starts.items():
        again = _starts(bench, job_id) - number
        bench.check(not again, f"{job_id} was said to be completed, and ran again")
    bench.count("disks failed")


def _starts(bench: Bench, job_id: str) -> int:
    return sum(note.startswith("start") for note in bench.place.noted(job_id))


def _whole(filesystem: str) -> Callable[[Bench], None]:
    """Return a case: the whole disk fails under jobs that run, wait and have ended."""

    def perform(bench: Bench) -> None:
        place = bench.place
        with _disk(bench, filesystem) as disk:
            with mounted(bench, disk.device):
                place.make()
                ids = place.enqueue([body()] * 3)
                place.spoolq("worker", "start", "--drain")
                running = start_waiting(bench, 2)
                ids += running.ids + place.enqueue([body()] * 3)
                try:
                    disk.fails_whole()
                    running.let_go()
                    running.says("outcomes cannot be written")
                    running.stays_calm()
                    words_are_clear(bench)
                    early = _said_to_have_ended(bench) & set(running.ids)
                    bench.check(not early, f"completed on a disk that fails: {early}")
                    disk.fails()
                    leave(bench, running)
                finally:
                    running.end()
            _go_on(bench, disk, ids)

    return perform


def _in_the_stream(filesystem: str, **settings: str) -> Callable[[Bench], None]:
    """Return a case: the disk fails at some moment while a worker ends job after job."""

    def perform(bench: Bench) -> None:
        place = bench.place
        for turn in range(4 if bench.long and not settings else 2):
            _start_anew(bench)
            with _disk(bench, filesystem) as disk:
                with mounted(bench, disk.device):
                    place.make(**settings)
                    ids = place.enqueue([body()] * 30)
                    worker = place.start("worker", "start", "--count", "2")
                    running = Running(bench, worker, ids)
                    producer = _Producer(bench)
                    producer.start()
                    try:
                        enough = 3 + turn
                        some = wait_for(lambda n=enough: len(_said_to_have_ended(bench)) > n, 60)
                        bench.check(some, f"no job ends: {place.said()[-500:]}")
                        disk.fails_whole()
                        running.says("trying again")
                        time.sleep(turn * 0.2)
                        ids += producer.stop()
                        disk.fails()
                        leave(bench, running)
                    finally:
                        producer.stop()
                        disk.fails()
                        running.end()
                _go_on(bench, disk, ids)

    return perform


class _Producer(threading.Thread):
    """Enqueues job after job, and keeps the ids that were told."""

    def __init__(self, bench: Bench) -> None:
        super().__init__(daemon=True)
        self._bench = bench
        self._is_over = threading.Event()
        self._ids: List[str] = []

    def run(self) -> None:
        while not self._is_over.is_set():
            done = self._bench.place.spoolq("enqueue", body(), check=False)
            if done.returncode == 0:
                self._ids += done.stdout.split()
                self._bench.count("jobs told amid")
            else:
                self._bench.check("Traceback" not in done.stderr, f"enqueue: {done.stderr}")

    def stop(self) -> List[str]:
        """Let it enqueue no more; return the ids."""
        self._is_over.set()
        self.join()
        return self._ids


def _start_anew(bench: Bench) -> None:
    """Forget the jobs and the log of the last turn."""
    for path in (bench.place.runs, *(os.path.join(bench.place.top, name) for name in _LOGS)):
        subprocess.run(["rm", "-rf", path], check=True)


_LOGS = ("beside.log", "next.log")
_PARTS = {"ext4": 8, "xfs": 4, "btrfs": 4}


def _in_part(filesystem: str) -> Callable[[Bench], None]:
    """Return a case: a part of the disk fails, each in turn: data, inodes or the journal."""

    def perform(bench: Bench) -> None:
        place = bench.place
        for number in range(_PARTS[filesystem]):
            _start_anew(bench)
            with _disk(bench, filesystem) as disk:
                part = disk.sectors // _PARTS[filesystem]
                with mounted(bench, disk.device):
                    place.make()
                    running = start_waiting(bench, 2)
                    ids = running.ids + place.enqueue([body()] * 3)
                    try:
                        disk.fails((number * part, (number + 1) * part))
                        running.let_go()
                        _is_told_or_done(bench, running, ids)
                        running.stays_calm()
                        disk.fails()
                        leave(bench, running)
                    finally:
                        disk.fails()
                        running.end()
                _go_on(bench, disk, ids)

    return perform


def _is_told_or_done(bench: Bench, running: Running, ids: Sequence[str]) -> None:
    """See that the part that fails is none that matters, or that the log says that it does."""

    def told() -> bool:
        is_done = _said_to_have_ended(bench) >= set(ids)
        if is_done:
            bench.count("parts that did no harm")
        return is_done or "trying again" in bench.place.said()

    bench.check(wait_for(told, 30), f"neither done nor told: {bench.place.said()[-800:]}")


def _bad_sector(bench: Bench) -> None:
    """What one job's file is on cannot be read: the others run, and all verbs go on."""
    place = bench.place
    with _disk(bench, "ext4") as disk:
        with mounted(bench, disk.device):
            place.make()
            ids = place.enqueue([body()] * 6)
            os.sync()
            (name,) = (one for one in place.names("pending") if ids[0] in one)
            disk.fails(_where(os.path.join(place.spool, "pending", name)))
            with open("/proc/sys/vm/drop_caches", "w", encoding="ascii") as file:
                file.write("3")
            running = Running(bench, place.start("worker", "start"), ids)
            try:
                done = wait_for(lambda: _said_to_have_ended(bench) >= set(ids[1:]), 60)
                bench.check(done, f"one bad job stops others: {place.said()[-800:]}")
                running.says("nput/output")
                running.stays_calm()
                for verb in (("list",), ("status",), ("show", ids[1]), ("doctor",)):
                    said = place.spoolq(*verb, check=False)
                    lines = f"{verb}: {said.returncode}: {said.stdout[-300:]}{said.stderr[-300:]}"
                    bench.check("Traceback" not in lines and said.returncode != 3, lines)
                    bench.check(verb[0] == "doctor" or said.returncode == 0, lines)
                disk.fails()
                wait_for(lambda: _said_to_have_ended(bench) >= set(ids), 30)
                running.leaves()
            finally:
                disk.fails()
                running.end()
            judge(bench, ids)


def _where(path: str) -> Tuple[int, int]:
    """Return the sectors of the first block of a file."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        (block,) = struct.unpack("i", fcntl.ioctl(descriptor, _FIBMAP, struct.pack("i", 0)))
        size = os.fstatvfs(descriptor).f_bsize // _SECTOR
    finally:
        os.close(descriptor)
    return block * size, (block + 1) * size


_FIBMAP = 1


def _promised_too_early(bench: Bench) -> None:
    """A worker that syncs nothing says of jobs that they are completed, which then run again."""
    _in_the_stream("ext4", durability="none")(bench)
    bench.wrong = [text for text in bench.wrong if "ran again" in text or "is lost" in text]


INSIDE = [
    *(Case(f"{fs} on a disk that fails", _whole(fs)) for fs in _MAKE),
    *(Case(f"{fs} on a disk that fails in part", _in_part(fs)) for fs in _MAKE),
    *(Case(f"{fs} on a disk that fails amid jobs", _in_the_stream(fs)) for fs in _MAKE),
    Case("a bad sector under one job", _bad_sector),
    Case(
        "nothing is synced on a disk that fails",
        _promised_too_early,
        expects="was said to be completed, and ran again|is lost$",
    ),
]

#: One of them is in the short form.
CASES = [
    guest.case(one, "e2fsck", is_long=one.name != "a bad sector under one job") for one in INSIDE
]

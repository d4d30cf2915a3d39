"""What single steps cost, measured one at a time: what the simulation is fed with.

Each is done with spoolq's own objects where there are some, on the filesystem that is measured.
"""

import contextlib
import os
import statistics
import subprocess
import sys
import time
from typing import Callable, Dict, Iterator, List

from spoolq import instants, lease
from spoolq.adoption import Intake
from spoolq.agenda import Agenda
from spoolq.config import Settings
from spoolq.locks import let_go
from spoolq.spool import SpoolDir
from tests.benchmarks import fill
from tests.benchmarks.bench import Bench, Worker, median, rotated, settle, until
from tests.benchmarks.latency import put
from tests.scaling.others import Others
from tests.scaling.rows import Row, Rows


@contextlib.contextmanager
def _timed(row: Row, name: str, times: int) -> Iterator[None]:
    """Note the seconds of a core that each of so many took, and who else was there."""
    others, started = Others(), time.process_time()
    yield
    row[name] = (time.process_time() - started) / times
    row["others_cores"] = max(row.get("others_cores", 0.0), others.cores())


def lost_claim(bench: Bench) -> Row:
    """Return the seconds of a claim of a job that another has claimed, and of a slot's lock."""
    jobs = bench.size(3000, 20)
    row: Row = {}
    with bench.directory() as place:
        path = fill.make(os.path.join(place, "spool"))
        fill.fill(path, "true", pending=jobs)
        spool = SpoolDir.open(path)
        own = lease.Lease.start(spool, {})
        intake = Intake(spool, instants.now, time.monotonic)
        agenda = Agenda(spool, intake, instants.now, time.monotonic)
        agenda.rang()
        agenda.refresh(Settings())
        for name in fill.names_in(path, "pending"):
            os.unlink(os.path.join(path, "pending", name))
        with _timed(row, "lost", jobs):
            for _ in range(jobs):
                filename, name = agenda.take()
                stamp = instants.to_stamp(instants.now())
                assert spool.claim(filename, name, stamp, own.name, "0") is None
        with _timed(row, "slot", jobs):
            for _ in range(jobs):
                let_go(own.take_slot("0"))
        with _timed(row, "lost_rename", jobs):
            for _ in range(jobs):
                assert spool.claim(filename, name, stamp, own.name, "0") is None
        own.leave()
        spool.close()
    return row


def herd(bench: Bench, workers: int) -> Row:
    """Return the CPU of so many idle workers together for each job that comes alone."""
    jobs = bench.size(150, 5)
    row: Row = {}
    with bench.directory() as place, contextlib.ExitStack() as stack:
        path = fill.make(os.path.join(place, "spool"))
        some = [stack.enter_context(Worker(path)) for _ in range(workers)]
        for worker in some:
            worker.ready()
        put(path, "true")
        until(lambda: len(fill.names_in(path, "completed")) == 1, "the first job")
        time.sleep(2.0)  # until all of them watch
        others, before = Others(), sum(map(Worker.cpu, some))
        started = time.perf_counter()
        for _ in range(jobs):
            put(path, "true")
            time.sleep(0.02)
        until(lambda: len(fill.names_in(path, "completed")) == jobs + 1, "all jobs")
        elapsed = time.perf_counter() - started
        row["cpu"] = (sum(map(Worker.cpu, some)) - before) / jobs
        row["elapsed"], row["others_cores"] = elapsed, others.cores()
        before = sum(map(Worker.cpu, some))
        time.sleep(2.0)
        row["idle"] = (sum(map(Worker.cpu, some)) - before) / 2.0  # a second, all together
    return row


_RENAME = """
import os, sys, time
source, target, times, gone = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "gone"
a, b = os.open(source, os.O_RDONLY), os.open(target, os.O_RDONLY)
names = [f"20261124T020646123456Z.p5.a0.{os.getpid():07}{n:07}.json" for n in range(times)]
for name in names if not gone else ():
    os.close(os.open(name, os.O_CREAT | os.O_WRONLY, 0o600, dir_fd=a))
print(flush=True)
sys.stdin.readline()
started = time.perf_counter()
for name in names:
    try:
        os.rename(name, name, src_dir_fd=a, dst_dir_fd=b)
    except FileNotFoundError:
        pass
print(time.perf_counter() - started, time.process_time(), flush=True)
"""


def renames(bench: Bench, processes: int, spools: int, gone: bool) -> Row:
    """Return the seconds of a rename, when so many processes rename at once, among spools."""
    times = bench.size(20_000, 50)
    row: Row = {}
    with bench.directory() as place, contextlib.ExitStack() as stack:
        some = []
        for number in range(processes):
            home = os.path.join(place, str(number % spools))
            for state in ("pending", "processing"):
                os.makedirs(os.path.join(home, state), exist_ok=True)
            words = [f"{home}/pending", f"{home}/processing", str(times), "gone" if gone else "-"]
            process = subprocess.Popen(
                [sys.executable, "-c", _RENAME, *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
            )
            stack.callback(process.wait)
            some.append(process)
        for process in some:
            process.stdout.readline()
        settle(place)
        others = Others()
        for process in some:
            process.stdin.close()
        taken = [float(process.stdout.read().split()[0]) for process in some]
        row["rename"], row["others_cores"] = statistics.mean(taken) / times, others.cores()
        for process in some:
            process.stdout.close()
    return row


def directory(bench: Bench, entries: int) -> Row:
    """Return what single operations take in a directory of so many files, and a look at it."""
    times = bench.size(2000, 10)
    row: Row = {}
    with bench.directory(large=True) as place:
        path = fill.make(os.path.join(place, "spool"))
        fill.fill(path, "true", pending=entries)
        pending, tmp = os.path.join(path, "pending"), os.path.join(path, "tmp")
        fresh = [f"20261124T020646123456Z.p5.a0.new{number:010}.json" for number in range(times)]
        with _timed(row, "create", times):
            for name in fresh:
                os.close(os.open(f"{tmp}/{name}", os.O_CREAT | os.O_WRONLY, 0o600))
        with _timed(row, "rename_into", times):
            for name in fresh:
                os.rename(f"{tmp}/{name}", f"{pending}/{name}")
        with _timed(row, "rename_out", times):
            for name in fresh:
                os.rename(f"{pending}/{name}", f"{tmp}/{name}")
        spool = SpoolDir.open(path)
        intake = Intake(spool, instants.now, time.monotonic)
        agenda = Agenda(spool, intake, instants.now, time.monotonic)
        agenda.rang()
        with _timed(row, "look_whole", 1):
            agenda.refresh(Settings())
        row["look"] = row["look_whole"] / entries
        with _timed(row, "list", entries):
            os.listdir(pending)
        row["bytes"] = os.stat(pending).st_size / entries
        spool.close()
    return row


def bare(bench: Bench, at_once: int) -> Row:
    """Return the seconds of a bare command, when so many run at once, and those of a core."""
    jobs = bench.size(1500, 10)
    row: Row = {}
    with bench.directory() as place:
        lines = f"printf x >> {place}/out\n" * jobs
        others, used, started = Others(), os.times(), time.perf_counter()
        subprocess.run(
            ["xargs", f"-P{at_once}", "-d", "\n", "-n1", "sh", "-c"],
            input=lines.encode(),
            check=True,
        )
        row["elapsed"] = (time.perf_counter() - started) / jobs
        now = os.times()
        cpu = now.children_user + now.children_system - used.children_user - used.children_system
        row["cpu"], row["others_cores"] = cpu / jobs, others.cores()
    return row


def syncs(bench: Bench, files: int) -> Row:
    """Return the seconds of a batch: so many small files each synced, and one directory."""
    times = bench.size(100, 3)
    row: Row = {}
    with bench.directory() as place:
        here = os.open(place, os.O_RDONLY)
        taken: List[float] = []
        others = Others()
        for _ in range(times):
            handles = []
            for number in range(files):
                handle = os.open(f"{place}/{number}", os.O_CREAT | os.O_WRONLY, 0o600)
                os.write(handle, b"x" * 400)
                handles.append(handle)
            started = time.perf_counter()
            for handle in handles:
                os.fdatasync(handle)
            os.fsync(here)
            taken.append(time.perf_counter() - started)
            for number, handle in enumerate(handles):
                os.close(handle)
                os.rename(f"{place}/{number}", f"{place}/old.{number}")
        os.close(here)
        row["batch"], row["others_cores"] = median(taken), others.cores()
    return row


def measure(bench: Bench, rows: Rows) -> None:
    """Measure each of them once a round, where calm rows are missing."""
    ways: Dict[str, Callable[[], Row]] = {"lost claim": lambda: lost_claim(bench)}
    for workers in bench.size([1, 2, 4, 8], [1, 2]):
        ways[f"herd of {workers}"] = lambda workers=workers: herd(bench, workers)
    for processes, spools in ((1, 1), (2, 1), (2, 2)):
        for gone in (False, True):
            name = f"renames{' of what is gone' if gone else ''}: {processes} on {spools}"
            ways[name] = lambda a=processes, b=spools, gone=gone: renames(bench, a, b, gone)
    for at_once in (1, 2):
        ways[f"bare commands, {at_once} at once"] = lambda at_once=at_once: bare(bench, at_once)
    for files in (1, 4, 16):
        ways[f"sync of {files}"] = lambda files=files: syncs(bench, files)
    for entries in bench.size([1000, 10_000, 100_000, 1_000_000], [20, 40]):
        ways[f"directory of {entries}"] = lambda entries=entries: directory(bench, entries)
    for number in range(bench.rounds):
        for name in rotated([*ways], number * 5):
            calm = not name.startswith(("lost", "herd", "directory"))
            rows.measure(bench, "steps", name, ways[name], calm=calm)

"""Permissions that change under a running worker, and setgid directories above a spool."""

import os
import subprocess
import time
from functools import partial
from typing import Dict, List, Tuple

from ..cases import Bench, Case
from ..place import DEADLINE, wait_for
from .people import OTHER, OWNER, Person, ground, group, unable, write

_TICKS = os.sysconf("SC_CLK_TCK")
_CONFIG = '{"format": 1, "settle": 0.3, "backoff_base": 0.05, "grace": 0.5}'
_NOTES = 'sleep 0.05; echo ran >>"$R/$SPOOLQ_JOB_ID.runs"'


class _Worker:
    """A worker of a user, beside the test; its log is a file."""

    def __init__(self, bench: Bench, owner: Person) -> None:
        self.bench = bench
        self.log = os.path.join(bench.place.top, "worker.log")
        with open(self.log, "wb") as file:
            self.process = subprocess.Popen(
                owner.command("worker", "start", "--count", "2"),
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=owner.environment(),
                cwd="/",
                preexec_fn=owner.become,
            )

    def said(self) -> str:
        with open(self.log, encoding="utf-8", errors="replace") as file:
            return file.read()

    def seconds_of_work(self) -> float:
        """Return the processor time that it took so far."""
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as file:
            fields = file.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / _TICKS

    def leave(self) -> None:
        self.process.terminate()
        try:
            self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            self.bench.check(False, f"it does not leave: {self.said()[-600:]}")
        self.bench.check("Traceback" not in self.said(), f"a traceback: {self.said()[-1500:]}")


def _forbid_directories(bench: Bench, spoiled: str = "") -> None:
    """Take all rights of one directory after the other from under a worker, and give them back."""
    place = ground(bench)
    if spoiled:
        bench.place = place = place.spoiled(spoiled)
    owner = Person(bench, OWNER)
    owner.must("init")
    write(os.path.join(place.spool, "config.json"), _CONFIG, OWNER)
    worker = _Worker(bench, owner)
    ids: List[str] = []

    def enqueue(number: int) -> None:
        lines = "".join(f"{_NOTES}\n" for _ in range(number))
        ids.extend(owner.must("enqueue", "-", stdin=lines).stdout.split())

    def all_ran() -> bool:
        return len(place.names("completed")) == len(ids)

    try:
        enqueue(1)
        bench.check(wait_for(all_ran, DEADLINE), f"it does not begin: {worker.said()}")
        (own,) = os.listdir(os.path.join(place.spool, "workers"))
        places = ["pending", "completed", "logs", os.path.join("workers", own)]
        if bench.long:
            places += ["processing", "tmp", "workers", "failed", "dead", "."]
        for name in places:
            for mode in (0o000, 0o500) if bench.long else (0o000,):
                enqueue(4)
                if not _forbid(bench, worker, os.path.join(place.spool, name), mode):
                    return
                if not bench.check(
                    wait_for(all_ran, DEADLINE),
                    f"after {name} had {mode:o}: {place.names('completed')} of {len(ids)}, exit "
                    f"{worker.process.poll()}: {worker.said()[-600:]}",
                ):
                    return
    finally:
        worker.leave()
    for job_id in ids:
        bench.check(place.noted(job_id) == ["ran"], f"{job_id} noted {place.noted(job_id)}")
    lines = worker.said().count("\n")
    bench.check(lines < 2 * len(ids) + 150, f"{lines} lines for {len(ids)} jobs")
    bench.count("jobs", len(ids))


def _forbid(bench: Bench, worker: _Worker, path: str, mode: int) -> bool:
    """Take a directory's mode for a while, and say whether the worker has outlived it."""
    seconds = 6.0 if bench.long else 2.0
    before, began = os.stat(path).st_mode & 0o7777, time.monotonic()
    work = worker.seconds_of_work()
    os.chmod(path, mode)
    try:
        ended = wait_for(lambda: worker.process.poll() is not None, seconds)
    finally:
        os.chmod(path, before)
    bench.count("directories forbidden")
    if bench.check(not ended, f"{path} had {mode:o}: the worker has ended: {worker.said()[-600:]}"):
        share = (worker.seconds_of_work() - work) / (time.monotonic() - began)
        bench.check(share < 0.5, f"{path} had {mode:o}: the worker took {share:.0%} of a processor")
    return not ended


def _forbid_files(bench: Bench) -> None:
    """Take a waiting job's mode or owner, then give them back: it runs, or can be made to."""
    place = ground(bench)
    owner = Person(bench, OWNER)
    owner.must("init")
    write(os.path.join(place.spool, "config.json"), _CONFIG, OWNER)
    changes: Dict[str, Tuple[int, int]] = {
        "mode000": (OWNER, 0o000),
        "mode200": (OWNER, 0o200),
        "owner": (OTHER, 0o644),
        "both": (OTHER, 0o000),
    }
    owner.must("pause")
    for name in changes:
        for how in ("soon", "late"):
            owner.must("enqueue", "--id", f"{name}-{how}", "--", "sh", "-c", _NOTES)
    paths = {name.split(".")[3]: name for name in place.names("pending")}
    contents = {}
    worker = None
    try:
        for job_id, filename in paths.items():
            path = os.path.join(place.spool, "pending", filename)
            with open(path, "rb") as file:
                contents[job_id] = file.read()
            uid, mode = changes[job_id.split("-")[0]]
            os.chown(path, uid, uid)
            os.chmod(path, mode)
        owner.must("resume")
        for job_id, filename in paths.items():
            if job_id.endswith("soon"):  # before any worker has looked
                path = os.path.join(place.spool, "pending", filename)
                os.chown(path, OWNER, OWNER)
                os.chmod(path, 0o600)
        worker = _Worker(bench, owner)
        good = owner.must("enqueue", "--", "sh", "-c", _NOTES).stdout.split()
        wait_for(lambda: len(place.names("dead")) == 4 and len(place.names("completed")) == 5, 20)
        dead = {name.split(".")[3] for name in place.names("dead")}
        bench.check(dead == {f"{name}-late" for name in changes}, f"dead/ holds {dead}")
        for filename in place.names("dead"):
            path = os.path.join(place.spool, "dead", filename)
            with open(path, "rb") as file:
                same = file.read() == contents[filename.split(".")[3]]
            bench.check(same, f"{filename} was changed")
            os.chown(path, OWNER, OWNER)
            os.chmod(path, 0o600)
            owner.must("dlq", "retry", filename.split(".")[3])
        done = wait_for(lambda: len(place.names("completed")) == 9, 20)
        bench.check(done, f"completed/ holds {place.names('completed')}; {worker.said()[-900:]}")
        for job_id in (*paths, *good):
            bench.check(place.noted(job_id) == ["ran"], f"{job_id} noted {place.noted(job_id)}")
    finally:
        if worker is not None:
            worker.leave()
    bench.count("files forbidden", len(paths))


def _setgid(umask: int, bench: Bench) -> None:
    """Make spools below setgid directories: they take a group from there, and give it no right."""
    place = ground(bench)
    games = group()[1]
    member = Person(bench, OTHER, umask, [games])
    for uid, groups in ((OWNER, []), (OWNER, [OWNER, games]), (0, [])):
        owner = Person(bench, uid, umask, groups)
        above = os.path.join(place.top, f"above{uid}-{len(groups)}")
        os.mkdir(above)
        os.chown(place.top, uid, uid)
        os.chown(above, uid, games)
        os.chmod(above, 0o2755)
        spool = os.path.join(above, "deep", "down", "spool")
        owner.must("enqueue", "--", "true", spool=spool)
        owner.must("enqueue", '{"command": "false", "max_retries": 0}', spool=spool)
        write(os.path.join(spool, "pending", "dropped.json"), '{"command": "true"}', uid)
        done = owner.spoolq("worker", "start", "--drain", spool=spool)
        bench.check(done.returncode == 0, f"{uid}: the worker refused: {done.stderr}")
        for state, number in (("completed", 2), ("dead", 1)):
            found = os.listdir(os.path.join(spool, state))
            bench.check(len(found) == number, f"{uid}: {state}/ holds {found}: {done.stderr}")
        for verb in (["enqueue", "--", "true"], ["status"], ["cancel", "x"]):
            done = member.spoolq(*verb, spool=spool)
            bench.check(done.returncode in (1, 2), f"{verb} by a member: {done}")
        for directory, names, files in os.walk(spool):
            for entry in (*names, *files):
                path = os.path.join(directory, entry)
                mode = os.lstat(path).st_mode & 0o7777
                want = 0o700 if os.path.isdir(path) else 0o600
                bench.count("modes")
                bench.check(mode == want, f"{uid}: {path} has the mode {mode:o}")
        for path in (os.path.dirname(spool), os.path.dirname(os.path.dirname(spool))):
            mode = os.lstat(path).st_mode & 0o7777
            bench.check(not mode & 0o022, f"{uid}: {path} has the mode {mode:o}")
        os.chmod(above, 0o2775)
        done = owner.spoolq("worker", "start", "--drain", spool=spool)
        bench.check(done.returncode == 1, f"{uid}: a setgid directory that a group may write")


_GIVES_UP = """
from spoolq import worker
worker.Worker._guarded = lambda self, step, shown="": step()
"""

CASES = [
    Case("directories are forbidden under a worker", _forbid_directories, unable),
    Case("waiting files are forbidden", _forbid_files, unable),
    *(
        Case(f"setgid parents, umask {umask:o}", partial(_setgid, umask), unable, is_long=umask > 0)
        for umask in (0, 0o022, 0o777)
    ),
    Case(
        "control: a worker that heeds no refusal",
        partial(_forbid_directories, spoiled=_GIVES_UP),
        unable,
        expects="had 0: the worker has ended",
    ),
]

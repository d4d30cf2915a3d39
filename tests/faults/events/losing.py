"""File events that never come: a worker finds its work a little later all the same."""

import os
import signal
import subprocess
import time
from typing import Callable, Optional, Sequence

from ..cases import Bench, Case, end
from ..place import body, wait_for

_DEAF = """
from spoolq import watcher
watcher._observe = lambda path, ring: watcher._arrivals_observer()
watcher.Watcher.start = lambda self: None
"""
#: Every thread of watchdog's is stopped again and again, or its inotify is closed under it.
_DYING = """
import os, threading, time
def kill():
    while True:
        time.sleep(0.3)
        for thread in threading.enumerate():
            if type(thread).__module__.startswith(("watchdog", "spoolq.watcher")):
                {how}
threading.Thread(target=kill, daemon=True).start()
"""
_STOP = "getattr(thread, 'stop', lambda: None)()"
_NO_TICK = "\nfrom spoolq import agenda\nagenda.Agenda.tick = lambda self: None\n"


def judge(bench: Bench, ids: Sequence[str], worker: "subprocess.Popen[bytes]") -> None:
    """Let the worker end, and see that every job has run once, whole, and nothing is left."""
    bench.check(end(worker) and worker.returncode == 0, f"the worker's exit: {worker.returncode}")
    place = bench.place
    found = bench.settled(ids)
    for job in found.jobs.values():
        notes = place.noted(job.id)
        bench.check(len(notes) == 2, f"{job.id} did not run once: {notes}")
    bench.brief(len(found.jobs))


def run_one_by_one(bench: Bench, number: int = 5, seconds: float = 15.0) -> Sequence[str]:
    """Enqueue a job, wait for its end, and so on: each has to be noticed anew."""
    ids = []
    for _ in range(number):
        (last,) = bench.place.enqueue([body()])
        ids.append(last)
        done = wait_for(lambda last=last: _is_completed(bench, last), seconds)
        if not bench.check(done, f"job {len(ids)} was not noticed within {seconds:g} s"):
            break
    return ids


def _is_completed(bench: Bench, job_id: str) -> bool:
    return any(job_id in name for name in bench.place.names("completed"))


def _worse(text: str) -> Callable[[Bench], None]:
    def perform(bench: Bench) -> None:
        bench.place = bench.place.spoiled(text)
        bench.place.make()
        worker = bench.place.start("worker", "start")
        try:
            ids = run_one_by_one(bench, 30 if bench.long else 5)
        finally:
            end(worker)
        judge(bench, ids, worker)

    return perform


def _too_many(bench: Bench) -> None:
    """A stopped worker misses all events but the first: the kernel's queue has no room."""
    place = bench.place
    place.make()
    with open("/proc/sys/fs/inotify/max_queued_events", "r+", encoding="ascii") as file:
        before = file.read()
        file.seek(0)
        file.write("8")
        file.flush()
        try:
            worker = place.start("worker", "start", "--count", "4")
            wait_for(lambda: place.names("workers"), 20)
            ids = list(run_one_by_one(bench, 1))
        finally:
            file.seek(0)
            file.write(before)
    try:
        worker.send_signal(signal.SIGSTOP)
        ids += place.enqueue([body()] * (2000 if bench.long else 300))
        worker.send_signal(signal.SIGCONT)
        done = wait_for(lambda: len(place.names("completed")) == len(ids), 120)
        bench.check(done, f"{len(place.names('completed'))} of {len(ids)} have run")
        ids += run_one_by_one(bench, 2)
        bench.modest(worker.pid)
    finally:
        end(worker)
    judge(bench, ids, worker)


def _exhausted(what: str) -> Callable[[Bench], None]:
    def perform(bench: Bench) -> None:
        bench.place.make()
        limit = f'echo 0 >/proc/sys/user/{what} && exec "$@"'
        within = ["unshare", "--user", "--map-root-user", "sh", "-c", limit, "sh"]
        worker = bench.place.start("worker", "start", within=within)
        try:
            ids = run_one_by_one(bench)
        finally:
            end(worker)
        said = bench.place.said()
        bench.check(said.count("looking once a second") == 1, f"it says: {said[:400]}")
        judge(bench, ids, worker)

    return perform


def _flood(bench: Bench) -> None:
    """Names that are no jobs come and go all the time: jobs run, and then it is quiet."""
    place = bench.place
    place.make()
    worker = place.start("worker", "start")
    try:
        wait_for(lambda: place.names("workers"), 20)
        pending = os.path.join(place.spool, "pending")
        ids = list(place.enqueue([body()] * 5))
        until = time.monotonic() + (30 if bench.long else 3)
        files = 0
        while time.monotonic() < until:
            for number in range(50):
                name = os.path.join(pending, f".junk-{number}")
                with open(name, "w", encoding="ascii"):
                    pass
                os.rename(name, name + "~")
                os.unlink(name + "~")
                files += 1
        bench.count("files", files)
        ids += run_one_by_one(bench, 2)
        quiet = wait_for(lambda: cpu_share(worker.pid, 1.0) < 0.1, 60)
        bench.check(quiet, "it takes much of a processor for a minute after all is quiet")
        bench.modest(worker.pid)
    finally:
        end(worker)
    judge(bench, ids, worker)


def cpu_share(pid: int, seconds: float) -> float:
    """Return the share of one processor that a process takes while it is watched."""

    def used() -> int:
        with open(f"/proc/{pid}/stat", "rb") as file:
            fields = file.read().rpartition(b")")[2].split()
        return int(fields[11]) + int(fields[12])

    began, before = time.monotonic(), used()
    time.sleep(seconds)
    return (used() - before) / os.sysconf("SC_CLK_TCK") / (time.monotonic() - began)


def _may_not_limit() -> Optional[str]:
    if not os.access("/proc/sys/fs/inotify/max_queued_events", os.W_OK) or os.geteuid() != 0:
        return "only root can limit the kernel's queue of events"
    return None


def _no_user_namespace() -> Optional[str]:
    words = ["unshare", "--user", "--map-root-user", "sh", "-c"]
    words += ["echo 9 >/proc/sys/user/max_inotify_instances"]
    try:
        done = subprocess.run(words, capture_output=True, text=True)
    except OSError as error:
        return f"unshare does not start: {error}"
    return f"no limit in a user namespace: {done.stderr.strip()}" if done.returncode else None


CASES = [
    Case("all events are lost", _worse(_DEAF)),
    Case("watchdog's threads die again and again", _worse(_DYING.format(how=_STOP))),
    Case("more events than the kernel keeps", _too_many, unable=_may_not_limit),
    Case("no inotify left", _exhausted("max_inotify_instances"), unable=_no_user_namespace),
    Case("no watch left", _exhausted("max_inotify_watches"), unable=_no_user_namespace),
    Case("a flood of events that mean nothing", _flood),
    Case("no events and no tick", _worse(_DEAF + _NO_TICK), expects="not noticed within"),
]

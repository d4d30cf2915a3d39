"""The kernel's side of events breaks while all threads live: no room, and no watch any more."""

import os
import signal

from ..cases import Bench, Case, end
from ..place import body, wait_for
from .losing import judge, run_one_by_one

#: What the kernel does itself where the directory is removed or unmounted: the watch is gone.
_UNWATCHED = """
import ctypes, os, threading, time
def unwatch():
    while True:
        time.sleep(0.3)
        for entry in os.listdir("/proc/self/fd"):
            try:
                if os.readlink("/proc/self/fd/" + entry) != "anon_inode:inotify":
                    continue
                with open("/proc/self/fdinfo/" + entry) as file:
                    said = [line.split()[1] for line in file if line.startswith("inotify wd:")]
            except OSError:
                continue
            for watch in said:
                ctypes.CDLL(None).inotify_rm_watch(int(entry), int(watch.split(":")[1], 16))
threading.Thread(target=unwatch, daemon=True).start()
"""
_LIMIT = "/proc/sys/fs/inotify/max_queued_events"


def _unwatched(bench: Bench) -> None:
    """The watch is removed again and again; the threads live and are told nothing."""
    place = bench.place = bench.place.spoiled(_UNWATCHED)
    place.make()
    worker = place.start("worker", "start")
    try:
        ids = run_one_by_one(bench, 30 if bench.long else 5)
    finally:
        end(worker)
    judge(bench, ids, worker)


def _as_many_as_there_is_room_for(bench: Bench) -> None:
    """A stopped worker's queue is filled to the last event; the jobs come after that."""
    place = bench.place
    place.make()
    with open(_LIMIT, encoding="ascii") as file:
        room = int(file.read())
    worker = place.start("worker", "start", "--count", "4")
    try:
        wait_for(lambda: place.names("workers"), 20)
        ids = list(run_one_by_one(bench, 1))
        for _ in range(5 if bench.long else 1):
            worker.send_signal(signal.SIGSTOP)
            try:
                _fill(bench, min(room, 50_000) + 1000)
                ids += place.enqueue([body()] * 100)
            finally:
                worker.send_signal(signal.SIGCONT)
            number = len(ids)
            done = wait_for(lambda n=number: len(place.names("completed")) == n, 90)
            if not bench.check(done, f"{len(place.names('completed'))} of {len(ids)} have run"):
                break
        ids += run_one_by_one(bench, 1)
        bench.modest(worker.pid)
    finally:
        end(worker)
    judge(bench, ids, worker)


def _fill(bench: Bench, events: int) -> None:
    """Make so many events, no two alike in a row, or the kernel would count them as one."""
    pending = os.path.join(bench.place.spool, "pending")
    for number in range(events // 2 + 1):
        name = os.path.join(pending, f".junk-{number % 2}")
        os.close(os.open(name, os.O_WRONLY | os.O_CREAT, 0o600))  # made, and closed
        os.unlink(name)
    bench.count("events", events)


CASES = [
    Case("the watch is removed under living threads", _unwatched),
    Case("as many events as the kernel keeps, then jobs", _as_many_as_there_is_room_for),
]

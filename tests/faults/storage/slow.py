"""A disk that takes its time: syncs of many seconds hold a worker up, and lose nothing."""

import glob
import json
import re
import time
from typing import Callable, Dict, List, Optional

from .. import checker
from ..cases import Bench, Case, end
from ..place import body, job, wait_for
from ..syscalls import tracing
from .disks import judge

SYNCS = "fsync,fdatasync,syncfs"
_JOINED = re.compile(r"worker (\S+) on ")


def slowly(seconds: float) -> List[str]:
    """Return the words of a command that runs a program of which each sync takes so long."""
    delay = f"inject={SYNCS}:delay_enter={int(seconds * 1_000_000)}"
    return ["strace", "-qq", "-f", "-o", "/dev/null", "-e", f"trace={SYNCS}", "-e", delay]


def _joins(bench: Bench, log: str) -> str:
    """Return the name of the worker of this log, when it has joined."""
    joined = wait_for(lambda: _JOINED.search(bench.place.said(log)), 30)
    if not bench.check(joined, f"a worker does not join: {bench.place.said(log)[-500:]}"):
        return ""
    return _JOINED.findall(bench.place.said(log))[-1]


def _takes_its_time(bench: Bench) -> None:
    """Each sync takes seconds: nobody is declared dead, nothing runs twice, both do their share."""
    place = bench.place
    place.make(lease=5)
    seconds = 30 if bench.long else 3
    worker = place.start("worker", "start", "--count", "2", within=slowly(seconds), log="slow.log")
    beside = None
    try:
        names = [_joins(bench, "slow.log")]
        ids = place.enqueue([body("sleep 0.2; ")] * 2)
        bench.check(wait_for(lambda: all(map(place.noted, ids)), 30), "the slow one takes nothing")
        beside = place.start("worker", "start")
        names.append(_joins(bench, "beside.log"))
        ids += place.enqueue([body("sleep 0.2; ")] * 6)
        done = wait_for(lambda: len(place.names("completed")) == 8, 60 + 8 * seconds)
        bench.check(done, f"completed: {place.names('completed')}")
        asks = place.start("worker", "stop", log="stop.log")
        over = wait_for(lambda: worker.poll() is not None, 20 + 4 * seconds)
        bench.check(over, f"a slow worker does not stop: {place.said('stop.log')}")
        end(asks)
        for name, number in zip(names, _runs_of(place.spool, names)):
            bench.check(number, f"{name} ran nothing")
            bench.count(f"jobs of the {'slow' if name == names[0] else 'quick'} one", number)
    finally:
        end(worker)
        if beside is not None:
            end(beside)
    judge(bench, ids)
    for name in ("lost", "Traceback"):
        said = place.said("slow.log") + place.said()
        bench.check(name not in said, f"the log says {name}: {said[-500:]}")


def _runs_of(spool: str, workers: List[str]) -> List[int]:
    """Return how many recorded runs each worker had."""
    runs = [run for found in checker.read(spool).jobs.values() for run in found.history]
    return [sum(run["worker"] == worker for run in runs) for worker in workers]


#: Syncs until an end is on disk: what is being written, up to four outcomes and three places, then
#: as much for the batch that the end is in, and the claims in between.
_LATEST = 2 * (4 + 3) + 1


def _late_and_right(bench: Bench) -> None:
    """Nothing waits for a sync but what is told of the disk: starts and ends come at once."""
    place, seconds = bench.place, 10.0
    place.make()
    worker = place.start("worker", "start", "--count", "4", within=slowly(seconds))
    endless = "while [ ! -e $R/go ]; do sleep 0.1; done; "
    try:
        ids = place.enqueue(
            [
                job("quick", "true; "),
                job("timed", endless, timeout=2, max_retries=0),
                job("overrun", "sleep 6; ", timeout=2, max_retries=0),
                job("waits", endless),
            ]
        )
        bench.check(wait_for(lambda: all(map(place.noted, ids)), 60), "the jobs do not start")
        ids += place.enqueue([job("later", "true; ")])
        began = time.monotonic()
        _at_once(bench, "the next start", lambda: place.noted("later"), seconds)
        asks = place.start("cancel", "waits", log="cancel.log")
        _at_once(bench, "the end of what is cancelled", lambda: not _runs("waits"), seconds)
        _in_time(bench, "the cancel", lambda: asks.poll() is not None, seconds)
        _in_time(bench, "the timeout", lambda: _is_dead(bench, "timed"), seconds)
        bench.count("seconds that a timeout of 2 took", round(time.monotonic() - began))
        bench.check(asks.poll() == 0, f"cancel: {asks.poll()}: {place.said('cancel.log')}")
        end(asks)
        asks = place.start("worker", "stop", log="stop.log")
        _in_time(bench, "the stop", lambda: worker.poll() is not None, seconds)
        end(asks)
    finally:
        end(worker)
    found = bench.settled(ids)
    errors: Dict[str, Optional[str]] = {
        found.id: found.history[-1].get("error") for found in found.jobs.values()
    }
    told = json.dumps(errors)
    bench.check(errors["waits"] == "cancelled", told)
    bench.check(str(errors["timed"]).startswith("timed out"), told)
    bench.check(errors["quick"] is errors["later"] is None, told)


def _is_dead(bench: Bench, job_id: str) -> bool:
    return any(job_id in name for name in bench.place.names("dead"))


def _runs(job_id: str) -> bool:
    """Say whether a process of this job's run is there, whatever the disk knows of it."""
    mark = f"\0SPOOLQ_JOB_ID={job_id}\0".encode("ascii")
    for environ in glob.glob("/proc/[0-9]*/environ"):
        try:
            with open(environ, "rb") as file:
                if mark in b"\0" + file.read():
                    return True
        except OSError:
            continue  # it has ended
    return False


def _at_once(bench: Bench, what: str, has_come: Callable[[], object], seconds: float) -> None:
    """See that something comes sooner than one sync ends that was begun now."""
    came = wait_for(has_come, seconds)
    bench.check(came, f"{what} waits for a sync: {bench.place.said()[-800:]}")


def _in_time(bench: Bench, what: str, has_come: Callable[[], object], seconds: float) -> None:
    """See that something comes within so many syncs, and count the seconds."""
    began = time.monotonic()
    came = wait_for(has_come, 30 + _LATEST * seconds)
    bench.check(came, f"{what} does not come: {bench.place.said()[-800:]}")
    bench.count(f"seconds until {what}", round(time.monotonic() - began))


CASES = [
    Case("syncs that take seconds", _takes_its_time, tracing.unable),
    Case("all syncs take ten seconds", _late_and_right, tracing.unable, is_long=True),
]

"""Commands that will not end: deaf to TERM, forking for ever, printing without end."""

import json
import os
import signal
import subprocess
import sys
from typing import Any, Callable, Dict, List, Optional

from ..cases import Bench, Case
from ..place import Place, wait_for

_DEAF = "trap '' TERM INT HUP; echo $$ >\"$R/$SPOOLQ_JOB_ID.pid\"; while :; do sleep 0.1; done"
#: Forks and exits for ever; two chains. It ends by itself after 60 s, whatever comes.
_CHAIN = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
until = time.monotonic() + 60
open(sys.argv[1], "w").close()
if os.fork() and os.fork():
    while time.monotonic() < until:
        time.sleep(0.1)
while time.monotonic() < until:
    if os.fork():
        os._exit(0)
open(sys.argv[1] + ".survived", "w").close()
"""
#: Forks more and more, as many as it may: the limit keeps this machine alive.
_BOMB = """
import os, resource, sys, time
os.setgid(64321)
os.setuid(64321)
resource.setrlimit(resource.RLIMIT_NPROC, (200, 200))
until = time.monotonic() + 60
while time.monotonic() < until:
    try:
        os.fork()
    except OSError:
        time.sleep(0.05)
"""
_LIMIT = 2_000_000


def _run(place: Place, script: str) -> str:
    path = os.path.join(place.top, "command.py")
    with open(path, "w", encoding="ascii") as file:
        file.write(script)
    return f'exec {sys.executable} -S {path} "$R/$SPOOLQ_JOB_ID.ready"'


def _ended(place: Place, job_id: str) -> Dict[str, Any]:
    said: Dict[str, Any] = json.loads(place.spoolq("show", job_id, "--json").stdout)
    return said


def _processes_of(place: Place) -> List[int]:
    """Return all processes that carry the place's own variable."""
    mark = f"R={place.runs}".encode()
    found = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{entry}/environ", "rb") as file:
                if mark in file.read().split(b"\0") and int(entry) != os.getpid():
                    found.append(int(entry))
        except OSError:
            continue  # it has just ended
    return found


def _with_a_worker(bench: Bench, work: Callable[[Place, "subprocess.Popen[bytes]"], None]) -> None:
    """Start a worker with two slots, let `work` do its harm, and see that the other slot works."""
    place = bench.place
    worker = place.start("worker", "start", "--count", "2")
    try:
        work(place, worker)
        bench.check(worker.poll() is None, f"the worker has ended: {worker.poll()}")
        others = place.enqueue(["true"] * 3)
        done = wait_for(lambda: len(place.names("completed")) >= len(others), 20)
        bench.check(done, "the worker does nothing more")
        worker.terminate()
        bench.check(wait_for(lambda: worker.poll() == 0, 20), f"its exit: {worker.poll()}")
        left = _processes_of(place)
        bench.check(not left, f"{len(left)} processes are left")
    finally:
        for pid in _processes_of(place):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        worker.kill()
        worker.wait()


def _end_the_deaf(bench: Bench) -> None:
    bench.place.make(max_retries=0)

    def work(place: Place, worker: "subprocess.Popen[bytes]") -> None:
        (one,) = place.enqueue([_DEAF])
        wait_for(lambda: os.path.exists(os.path.join(place.runs, one + ".pid")), 20)
        bench.check(place.spoolq("cancel", one, check=False).returncode == 0, "cancel fails")
        bench.check(_ended(place, one)["history"][-1]["error"] == "cancelled", "not cancelled")
        two = place.spoolq("enqueue", "--timeout", "0.5", _DEAF).stdout.strip()
        dead = wait_for(lambda: any(two in name for name in place.names("dead")), 20)
        bench.check(dead, "a timeout does not end it")
        bench.count("deaf commands", 2)

    _with_a_worker(bench, work)


def _end_forks(script: str) -> Callable[[Bench], None]:
    def perform(bench: Bench) -> None:
        bench.place.make(max_retries=0)
        os.chmod(bench.place.top, 0o711)
        os.chmod(bench.place.runs, 0o777)

        def work(place: Place, worker: "subprocess.Popen[bytes]") -> None:
            command = _run(place, script)
            (one,) = place.enqueue([command])
            wait_for(lambda: len(_processes_of(place)) > 2, 20)
            bench.check(place.spoolq("cancel", one, check=False).returncode == 0, "cancel fails")
            two = place.spoolq("enqueue", "--timeout", "0.5", command).stdout.strip()
            dead = wait_for(lambda: any(two in name for name in place.names("dead")), 30)
            bench.check(dead, "a timeout does not end it")
            error = _ended(place, two)["history"][-1].get("error", "")
            bench.check(error.startswith("timed out"), f"it ended with {error!r}")
            bench.count("commands that fork", 2)

        _with_a_worker(bench, work)
        survived = [name for name in os.listdir(bench.place.runs) if name.endswith("survived")]
        bench.check(not survived, "a chain of forks came to its own end")

    return perform


def _print_without_end(bench: Bench) -> None:
    bench.place.make(max_retries=0, max_log=_LIMIT)
    printing = ["yes", "cat /dev/zero", "cat /dev/urandom", "yes | tr -d '\\n'"]

    def work(place: Place, worker: "subprocess.Popen[bytes]") -> None:
        ids = place.enqueue([f"ulimit -f 4000000; {what}" for what in printing])
        done = wait_for(lambda: len(place.names("dead")) == len(ids), 60)
        bench.check(done, f"dead: {place.names('dead')}")
        for job_id in ids:
            last = _ended(place, job_id)["history"][-1]
            bench.check("max_log" in last.get("error", ""), f"it ended with {last.get('error')!r}")
        with open(f"/proc/{worker.pid}/status", encoding="ascii") as file:
            peak = next(int(line.split()[1]) for line in file if line.startswith("VmHWM"))
        bench.check(peak < 100_000, f"the worker took {peak} KiB")
        names = os.listdir(os.path.join(place.spool, "logs"))
        sizes = [os.path.getsize(os.path.join(place.spool, "logs", name)) for name in names]
        bench.count("bytes printed", sum(sizes))
        for name in names:  # they may be gigabytes, in memory
            os.unlink(os.path.join(place.spool, "logs", name))

    _with_a_worker(bench, work)


def _print_without_a_limit(bench: Bench) -> None:
    """The same with no max_log is not ended within the time: the limit is what ends it."""
    bench.place.make(max_retries=0)
    worker = bench.place.start("worker", "start")
    try:
        bench.place.enqueue(["while :; do head -c 200000 /dev/zero; sleep 0.05; done"])
        bench.check(wait_for(lambda: bench.place.names("dead"), 4.0), "it goes on")
    finally:
        worker.send_signal(signal.SIGTERM)
        bench.place.spoolq("worker", "stop", "--now", check=False)
        worker.wait(20)


def _is_root() -> Optional[str]:
    return None if os.geteuid() == 0 else "only root can give a command to another user"


CASES = [
    Case("commands that are deaf to TERM", _end_the_deaf),
    Case("commands that fork for ever, one after the other", _end_forks(_CHAIN)),
    Case("commands that fork more and more", _end_forks(_BOMB), unable=_is_root),
    Case("commands that print without end", _print_without_end),
    Case("printing without a limit", _print_without_a_limit, is_control=True),
]

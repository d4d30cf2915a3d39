"""Commands that will not end: deaf to TERM, forking for ever, printing without end."""

import json
import os
import signal
import subprocess
import sys
import time
from typing import Any, Callable, Dict, Optional

from ..cases import Bench, Case
from ..place import Place, body, wait_for
from .processes import Census, Cost

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
forks = os.open(sys.argv[1] + ".forks", os.O_CREAT | os.O_WRONLY | os.O_APPEND)
while time.monotonic() < until:
    os.write(forks, b".")
    if os.fork():
        os._exit(0)
open(sys.argv[1] + ".survived", "w").close()
"""
#: Forks more and more, as many as it may: the limit keeps this machine alive.
_BOMB = """
import os, resource, sys, time
open(sys.argv[1], "w").close()
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
#: Of the worker's time: to find a run's processes all of the machine's are looked at, a few times a
#: second while one is being ended. A worker that never sleeps takes all of it.
_SHARE = 0.5
#: A worker that never sleeps, though it does all that it should.
_SLEEPLESS = """
from spoolq.bell import Bell
real = Bell.wait
Bell.wait = lambda self, seconds: real(self, 0)
"""


def _run(place: Place, script: str) -> str:
    path = os.path.join(place.top, "command.py")
    with open(path, "w", encoding="ascii") as file:
        file.write(script)
    return f'exec {sys.executable} -S {path} "$R/$SPOOLQ_JOB_ID.ready"'


def _ended(place: Place, job_id: str) -> Dict[str, Any]:
    said: Dict[str, Any] = json.loads(place.spoolq("show", job_id, "--json").stdout)
    return said


def _with_a_worker(
    bench: Bench, work: Callable[[Place, "subprocess.Popen[bytes]", Census], None]
) -> None:
    """Start a worker with two slots, let `work` do its harm, and see that the worker works on."""
    place = bench.place
    census = Census(place)
    worker = place.start("worker", "start", "--count", "2")
    cost = Cost(worker.pid)
    try:
        work(place, worker, census)
        if not bench.check(worker.poll() is None, f"the worker has ended: {worker.poll()}"):
            return
        before = len(place.names("completed"))
        others = place.enqueue(["true"] * 3)
        done = wait_for(lambda: len(place.names("completed")) >= before + len(others), 20)
        bench.check(done, "the worker does nothing more")
        share = cost.share()
        bench.check(share < _SHARE, f"the worker took {share:.0%} of a processor")
        bench.modest(worker.pid)
        worker.terminate()
        bench.check(wait_for(lambda: worker.poll() == 0, 20), f"its exit: {worker.poll()}")
        left = census.count()
        bench.check(not left, f"{len(left)} processes are left")
    finally:
        for pid in census.count():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        worker.kill()
        worker.wait()


def _begin(bench: Bench, place: Place, job_id: str) -> bool:
    """Wait until a deaf command has begun, and say whether it has; else nothing is tried."""
    path = os.path.join(place.runs, job_id + ".pid")
    return bench.check(
        wait_for(lambda: os.path.exists(path) and os.path.getsize(path), 20),
        f"{job_id} does not begin: nothing was tried",
    )


def _pid_in(place: Place, job_id: str) -> int:
    with open(os.path.join(place.runs, job_id + ".pid"), encoding="ascii") as file:
        return int(file.read())


def _end_the_deaf(bench: Bench) -> None:
    bench.place.make(max_retries=0)

    def work(place: Place, worker: "subprocess.Popen[bytes]", census: Census) -> None:
        (one,) = place.enqueue([_DEAF])
        if not _begin(bench, place, one):
            return
        bench.check(place.spoolq("cancel", one, check=False).returncode == 0, "cancel fails")
        bench.check(_ended(place, one)["history"][-1]["error"] == "cancelled", "not cancelled")
        two = place.spoolq("enqueue", "--timeout", "2", _DEAF).stdout.strip()
        if not _begin(bench, place, two):
            return
        dead = wait_for(lambda: any(two in name for name in place.names("dead")), 20)
        bench.check(dead, "a timeout does not end it")
        for job_id in (one, two):
            gone = not os.path.exists(f"/proc/{_pid_in(place, job_id)}/environ")
            bench.check(gone, f"{job_id} is said to have ended, and runs")
        bench.count("deaf commands", 2)

    _with_a_worker(bench, work)


def _stop_now_on_the_deaf(bench: Bench) -> None:
    """`worker stop --now` ends what is deaf to TERM, gives its attempt back, and leaves."""
    place = bench.place
    place.make(max_retries=0)
    census = Census(place)
    worker = place.start("worker", "start", "--count", "2")
    try:
        ids = place.enqueue([_DEAF] * 2)
        if not all(_begin(bench, place, job_id) for job_id in ids):
            return
        claimed = {_id_of(name): name for name in place.names("processing")}
        pids = [_pid_in(place, job_id) for job_id in ids]
        began = time.monotonic()
        bench.check(
            place.spoolq("worker", "stop", "--now", check=False).returncode == 0, "stop fails"
        )
        ended = wait_for(lambda: worker.poll() is not None, 20)
        bench.check(ended and worker.returncode == 0, f"its exit: {worker.poll()}")
        waited = time.monotonic() - began
        bench.check(waited > 0.4, f"it was killed after {waited:.2g} s, and grace is 0.5 s")
        running = [pid for pid in pids if os.path.exists(f"/proc/{pid}/environ")]
        bench.check(not running, f"{running} run beside no worker")
        left = census.count()
        bench.check(not left, f"{len(left)} processes are left")
        waiting = {_id_of(name): name for name in place.names("pending")}
        bench.check(sorted(waiting) == sorted(ids), f"pending/ holds {waiting}, not {claimed}")
        for job_id, name in waiting.items():
            bench.check(".a0." in name, f"{name}: the attempt was not given back")
            how = _ended(place, job_id)["history"][-1].get("error")
            bench.check(how == "interrupted", f"{job_id} ended with {how!r}")
        bench.count("deaf commands", len(ids))
    finally:
        for pid in census.count():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        worker.kill()
        worker.wait()


def _id_of(filename: str) -> str:
    return filename.split(".")[3].split("@")[0]


def _chain_runs(bench: Bench, census: Census, job_id: str) -> bool:
    """Say whether a chain gets longer now; its links die before they can be looked at."""
    path = os.path.join(bench.place.runs, job_id + ".ready.forks")

    def forks() -> int:
        return os.path.getsize(path) if os.path.exists(path) else 0

    before = forks()
    return wait_for(lambda: forks() > before + 50, 20)


def _bomb_is_there(bench: Bench, census: Census, job_id: str) -> bool:
    return wait_for(lambda: len(census.count()) > 150, 20)


def _end_forks(
    script: str, is_there: Callable[[Bench, Census, str], bool]
) -> Callable[[Bench], None]:
    """Return a case of a command that forks; `is_there` waits for the storm that it makes."""

    def perform(bench: Bench) -> None:
        bench.place.make(max_retries=0)
        os.chmod(bench.place.top, 0o711)
        os.chmod(bench.place.runs, 0o777)

        def work(place: Place, worker: "subprocess.Popen[bytes]", census: Census) -> None:
            command = _run(place, script)
            (one,) = place.enqueue([command])
            if not bench.check(is_there(bench, census, one), "it does not fork: nothing was tried"):
                return
            cost = Cost(worker.pid)
            beside = place.enqueue([body()] * 5)
            done = wait_for(lambda: len(place.names("completed")) == len(beside), 30)
            bench.check(done, f"the other slot's work stands still: {place.names('completed')}")
            share = cost.share()
            bench.check(share < _SHARE, f"beside it the worker took {share:.0%} of a processor")
            still = any(one in name for name in place.names("processing"))
            bench.check(still and is_there(bench, census, one), "the storm was over before that")
            cost = Cost(worker.pid)
            bench.check(place.spoolq("cancel", one, check=False).returncode == 0, "cancel fails")
            two = place.spoolq("enqueue", "--timeout", "2", command).stdout.strip()
            ended = wait_for(lambda: any(two in name for name in place.names("dead")), 40)
            bench.check(ended, "a timeout does not end it")
            share = cost.share()
            bench.check(share < _SHARE, f"to end it the worker took {share:.0%} of a processor")
            begun = os.path.exists(os.path.join(place.runs, two + ".ready"))
            bench.check(begun, f"{two} did not begin: its end says nothing")
            error = _ended(place, two)["history"][-1].get("error", "")
            bench.check(error.startswith("timed out"), f"it ended with {error!r}")
            bench.count("commands that fork", 2)
            bench.count("jobs beside them", len(beside))

        _with_a_worker(bench, work)
        survived = [name for name in os.listdir(bench.place.runs) if name.endswith("survived")]
        bench.check(not survived, "a chain of forks came to its own end")

    return perform


def _print_without_end(bench: Bench) -> None:
    bench.place.make(max_retries=0, max_log=_LIMIT)
    printing = ["yes", "cat /dev/zero", "cat /dev/urandom", "yes | tr -d '\\n'"]

    def work(place: Place, worker: "subprocess.Popen[bytes]", census: Census) -> None:
        ids = place.enqueue([f"ulimit -f 8000000; {what}" for what in printing])
        done = wait_for(lambda: len(place.names("dead")) == len(ids), 60)
        bench.check(done, f"dead: {place.names('dead')}")
        for job_id in ids:
            last = _ended(place, job_id)["history"][-1]
            bench.check("max_log" in last.get("error", ""), f"it ended with {last.get('error')!r}")
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
        bench.check(wait_for(lambda: bench.place.names("dead"), 4.0), "it prints on")
    finally:
        worker.send_signal(signal.SIGTERM)
        bench.place.spoolq("worker", "stop", "--now", check=False)
        worker.wait(20)


def _never_sleeps(bench: Bench) -> None:
    """Let a worker that never sleeps do the same as the others: its cost is what gives it away."""
    bench.place = bench.place.spoiled(_SLEEPLESS)
    _end_the_deaf(bench)
    bench.wrong = [text for text in bench.wrong if "of a processor" in text]


def _is_root() -> Optional[str]:
    return None if os.geteuid() == 0 else "only root can give a command to another user"


CASES = [
    Case("commands that are deaf to TERM", _end_the_deaf),
    Case("stop --now on commands that are deaf to TERM", _stop_now_on_the_deaf),
    Case("commands that fork for ever, one after the other", _end_forks(_CHAIN, _chain_runs)),
    Case("commands that fork more and more", _end_forks(_BOMB, _bomb_is_there), unable=_is_root),
    Case("commands that print without end", _print_without_end),
    Case("printing without a limit", _print_without_a_limit, expects="it prints on"),
    Case("a worker that never sleeps", _never_sleeps, expects="took .*% of a processor"),
]

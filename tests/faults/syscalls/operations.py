"""The operations: how the spool is prepared, the command that is traced, and what must come of it.

Spools are prepared by the program itself. A job's command notes its start and its end in a file of
the job, under a lock of its own that it holds all the while, so that a second run beside it shows.
"""

import json
import os
import signal
import subprocess
import time
from typing import Any, Callable, Dict, NamedTuple, Optional, Sequence, Tuple

from ..place import DEADLINE, Place, body, job, wait_for
from .tracing import strace


class Told(NamedTuple):
    """What a traced command said, and what somebody beside it was told."""

    code: Optional[int]  # None: it was killed, by the fault or because it went on
    out: str
    err: str
    beside: Any


class Operation(NamedTuple):
    """One thing that spoolq does, tried as a process of its own."""

    name: str
    prepare: Callable[[Place], None]
    arguments: Sequence[str]
    stdin: str = ""
    ends: Dict[str, Tuple[str, ...]] = {}  # where each prepared job may be in the end
    is_worker: bool = False
    site: str = "plain"  # the directory here that comes first in its PYTHONPATH
    in_thread: bool = False  # its scribe is one, and that is what is tried
    spawns: bool = False
    around: Optional[Tuple[str, ...]] = None  # a worker that runs beside, untraced
    beside: Optional[Callable[[Place, "subprocess.Popen[bytes]", int], Any]] = None
    drops: Sequence[bytes] = ()
    gone: Sequence[str] = ()
    forgiven: Sequence[str] = ()
    new: int = 0  # how many ids are printed where all goes well


_SLOW = '[ -e "$R/first" ] || { : >"$R/first"; sleep 30; }; '  # slow the first time alone
_FAILS = 'n=$(grep -c start "$R/$SPOOLQ_JOB_ID.runs"); echo no; [ "$n" -ge 2 ] || exit 1; '


def _fresh(place: Place) -> None:
    place.make()


def _waiting(*jobs: str) -> Callable[[Place], None]:
    def prepare(place: Place) -> None:
        _fresh(place)
        place.spoolq("enqueue", "-", stdin="\n".join(jobs) + "\n")

    return prepare


def _drop(data: bytes) -> Callable[[Place], None]:
    def prepare(place: Place) -> None:
        _fresh(place)
        with open(os.path.join(place.spool, "pending", "drop.json"), "wb") as file:
            file.write(data)

    return prepare


DROP = json.dumps({"command": body(""), "id": "d1"}).encode("ascii")
BAD = b'{"command": "echo'


def _lost(place: Place) -> None:
    """Leave a claim of a worker that was killed, and one whose outcome was recorded already."""
    _waiting(job("j1"))(place)
    out = os.path.join(place.top, "strace")
    kill = ["-e", "trace=renameat2", "-e", "inject=renameat2:signal=SIGKILL:when=1"]
    command = strace(kill, out) + place.command("worker", "start", "--drain")
    subprocess.run(command, env=place.environment(), capture_output=True, timeout=DEADLINE)
    place.spoolq("enqueue", job("j2"))
    # The first call in logs/ makes the log: the command starts after that.
    kill = ["-P", os.path.join(place.spool, "logs"), "-e", "trace=openat"]
    kill += ["-e", "inject=openat:signal=SIGKILL:when=1"]
    # The second worker would move the first one's claim; it is killed before it looks that far.
    kept = os.path.join(place.spool, "processing")
    aside = os.path.join(place.top, "aside")
    os.mkdir(aside)
    for entry in os.listdir(kept):
        os.rename(os.path.join(kept, entry), os.path.join(aside, entry))
    workers = place.names("workers")
    os.rename(os.path.join(place.spool, "workers", workers[0]), os.path.join(aside, "worker"))
    command = strace(kill, out) + place.command("worker", "start", "--drain")
    subprocess.run(command, env=place.environment(), capture_output=True, timeout=DEADLINE)
    os.rename(os.path.join(aside, "worker"), os.path.join(place.spool, "workers", workers[0]))
    for entry in os.listdir(aside):
        os.rename(os.path.join(aside, entry), os.path.join(kept, entry))
    os.rmdir(aside)
    assert len(place.names("processing")) == 2 and len(place.names("workers")) == 2


def _lost_both(place: Place) -> None:
    """Leave two claims of a worker that was killed; their ends are recorded together."""
    _waiting(job("j1"), job("j2"))(place)
    # As above, with the second log.
    kill = ["-P", os.path.join(place.spool, "logs"), "-e", "trace=openat"]
    kill += ["-e", "inject=openat:signal=SIGKILL:when=2"]
    command = strace(kill, os.path.join(place.top, "strace"))
    command += place.command("worker", "start", "--drain", "--count", "2")
    subprocess.run(command, env=place.environment(), capture_output=True, timeout=DEADLINE)
    assert len(place.names("processing")) == 2
    assert wait_for(lambda: "end" in place.noted("j1")) and not place.noted("j2")


def _failed(place: Place) -> None:
    """Leave a job that waits for its retry, for no longer than a recovery may."""
    _waiting(job("j1", _FAILS, backoff_base=3))(place)
    worker = place.start("worker", "start")
    assert wait_for(lambda: place.names("failed"))
    worker.send_signal(signal.SIGTERM)
    worker.wait(DEADLINE)
    assert place.names("failed")


def _done(*jobs: str) -> Callable[[Place], None]:
    def prepare(place: Place) -> None:
        _waiting(*jobs)(place)
        place.spoolq("worker", "start", "--drain")

    return prepare


# --- what happens beside a traced worker ----------------------------------------------------------


_UP = 10.0  # seconds that a worker may take, under strace, to be up and to heed


def _end(place: Place, traced: "subprocess.Popen[bytes]", pid: int) -> None:
    os.kill(pid, 15)


def _stop_when_up(place: Place, traced: "subprocess.Popen[bytes]", pid: int) -> None:
    if wait_for(lambda: place.names("workers") or traced.poll() is not None, _UP):
        time.sleep(0.1)
    if traced.poll() is None:
        _end(place, traced, pid)


def _when_running(what: Sequence[str]) -> Callable[..., Any]:
    def beside(place: Place, traced: "subprocess.Popen[bytes]", pid: int) -> Any:
        wait_for(lambda: place.noted("j1") or traced.poll() is not None, _UP)
        if traced.poll() is not None:
            return None
        asked = place.start(*what)
        wait_for(lambda: asked.poll() is not None or traced.poll() is not None, _UP)
        time.sleep(0.1)
        code = asked.poll()
        if code is None:
            asked.kill()
            asked.wait()
        if traced.poll() is None and what[0] == "cancel":
            _end(place, traced, pid)
        return code

    return beside


_DRAIN = ("worker", "start", "--drain")
_ONE = {"arguments": ("enqueue", body("")), "new": 1}
_THREAD = {"is_worker": True, "site": "", "in_thread": True}

OPERATIONS = [
    Operation("enqueue one", _fresh, **_ONE),
    Operation("enqueue an id", _fresh, ("enqueue", "--id", "given", body("")), new=1),
    Operation("enqueue 3", _fresh, ("enqueue", "-"), (body("") + "\n") * 3, new=3),
    Operation("enqueue 30", _fresh, ("enqueue", "-"), (body("") + "\n") * 30, new=30),
    Operation(
        "adopt",
        _drop(DROP),
        _DRAIN,
        ends={"d1": ("completed",)},
        is_worker=True,
        spawns=True,
        drops=(DROP,),
    ),
    Operation("bury", _drop(BAD), _DRAIN, is_worker=True, drops=(BAD,)),
    Operation(
        "run to completed",
        _waiting(job("j1"), job("j2")),
        _DRAIN,
        ends={"j1": ("completed",), "j2": ("completed",)},
        is_worker=True,
        spawns=True,
    ),
    Operation(
        "run to failed, promote, run",
        _waiting(job("j1", _FAILS)),
        _DRAIN,
        ends={"j1": ("completed",)},
        is_worker=True,
    ),
    Operation(
        "run to dead",
        _waiting(job("j1", "echo no; exit 3; ", max_retries=0)),
        _DRAIN,
        ends={"j1": ("dead",)},
        is_worker=True,
    ),
    Operation(
        "recover",
        _lost,
        _DRAIN,
        ends={"j1": ("completed",), "j2": ("completed",)},
        is_worker=True,
    ),
    Operation(
        "cancel waiting",
        _waiting(job("j1")),
        ("cancel", "j1"),
        ends={"j1": ("completed", "dead")},
    ),
    Operation(
        "cancel running",
        _waiting(job("j1", _SLOW)),
        ("cancel", "j1"),
        ends={"j1": ("completed", "dead")},
        around=("j1",),
    ),
    Operation(
        "be cancelled",
        _waiting(job("j1", _SLOW)),
        ("worker", "start"),
        ends={"j1": ("completed", "dead")},
        is_worker=True,
        beside=_when_running(("cancel", "j1")),
    ),
    Operation(
        "be stopped now",
        _waiting(job("j1", _SLOW)),
        ("worker", "start"),
        ends={"j1": ("completed",)},
        is_worker=True,
        beside=_when_running(("worker", "stop", "--now")),
    ),
    Operation(
        "dlq retry",
        _done(job("j1", _FAILS, max_retries=0)),
        ("dlq", "retry", "j1"),
        ends={"j1": ("completed", "dead")},
        forgiven=("j1",),
    ),
    Operation("config set", _waiting(job("j1")), ("config", "set", "max_retries", "7")),
    Operation(
        "purge",
        _done(job("j1"), job("j2")),
        ("purge", "--yes"),
        gone=("j1", "j2"),
    ),
    Operation("worker start", _fresh, ("worker", "start"), is_worker=True, beside=_stop_when_up),
    Operation("worker stop", _fresh, ("worker", "stop"), around=()),
    Operation("retry", _failed, ("retry", "j1"), ends={"j1": ("completed",)}),
    Operation(
        "stop now",
        _waiting(job("j1", _SLOW)),
        ("worker", "stop", "--now"),
        ends={"j1": ("completed",)},
        around=("j1",),
    ),
    Operation("enqueue one, without renameat2", _fresh, **_ONE, site="without_renameat2"),
    Operation(
        "adopt, without renameat2",
        _drop(DROP),
        _DRAIN,
        ends={"d1": ("completed",)},
        is_worker=True,
        site="without_renameat2",
        drops=(DROP,),
    ),
    Operation(
        "run to completed, in a thread",
        _waiting(job("j1"), job("j2")),
        _DRAIN,
        ends={"j1": ("completed",), "j2": ("completed",)},
        **_THREAD,
    ),
    Operation(
        "run to completed, in a thread as on btrfs",
        _waiting(job("j1"), job("j2")),
        _DRAIN,
        ends={"j1": ("completed",), "j2": ("completed",)},
        **{**_THREAD, "site": "as_on_btrfs"},
    ),
    Operation(
        "run to failed, promote, run, in a thread",
        _waiting(job("j1", _FAILS)),
        _DRAIN,
        ends={"j1": ("completed",)},
        **_THREAD,
    ),
    Operation(
        "run to dead, in a thread",
        # For longer than a second, after which its claim is synced.
        _waiting(job("j1", "sleep 1.2; echo no; exit 3; ", max_retries=0)),
        _DRAIN,
        ends={"j1": ("dead",)},
        **_THREAD,
    ),
    Operation(
        "recover, in a thread",
        _lost_both,
        _DRAIN,
        ends={"j1": ("completed",), "j2": ("completed",)},
        **_THREAD,
    ),
]

"""The campaign: prepare, trace once, then one try for each case, several at a time."""

import os
import resource
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Dict, Iterable, List, NamedTuple, Optional, Sequence

from .. import checker
from ..apart import scratch
from ..place import PROGRAM, Place, age, wait_for
from . import judging
from .operations import Operation, Told
from .plan import LIMIT, ON, Case, cases, command_options
from .tracing import Trace, hits, parse, place, strace

AT_ONCE = 3
_LASTING = 2.5  # seconds that a worker is watched under a fault that lasts
_PATIENCE = 15.0


class Prepared(NamedTuple):
    """An operation whose spool is prepared, and what its first run was seen to call."""

    operation: Operation
    template: Place
    trace: Trace
    wrong: List[str]
    recovers_with: str = ""  # for a negative control: a worse spoolq that recovers


class Try(NamedTuple):
    """One case, whether its fault came, and what was wrong afterwards."""

    case: Case
    end: str  # how the traced process ended
    hit: bool
    as_planned: bool  # it hit the call that the first run showed
    wrong: List[str]
    seconds: float


_HERE = os.path.dirname(os.path.abspath(__file__))
PLAIN = os.path.join(_HERE, "plain")


def site(operation: Operation) -> str:
    """Return what comes first in the PYTHONPATH of an operation's process; "" for nothing."""
    return operation.site and os.path.join(_HERE, operation.site)


def prepare(operation: Operation, top: str, first: str = "") -> Prepared:
    """Prepare an operation's spool, and run it once on a copy, traced whole and unharmed."""
    first = first or site(operation)
    base = os.path.join(top, operation.name.replace(" ", "-").replace(",", ""))
    template = Place(base, PLAIN)
    os.mkdir(base)
    operation.prepare(template)
    copy = _copy(template, base + ".0")._replace(first=first)
    before = checker.read(copy.spool, operation.drops)
    out = os.path.join(copy.top, "strace")
    command = ["strace", "-f", "-qq", "-y", "-s", "64", "-o", out]
    told = _run(operation, copy, command, None)
    trace = parse(out, copy.spool)
    wrong = [] if told.code == 0 else [f"untouched, exit {told.code}: {told.err}"]
    found = checker.read(copy.spool, operation.drops)
    wrong += judging.judge_found(operation, before, found, told)
    wrong += [f"another thread or a child: {text}" for text in trace.strays if _matters(text)]
    if bool(trace.beside) != operation.in_thread:
        wrong.append(f"{len(trace.beside)} syncs are a thread's")
    shutil.rmtree(copy.top)
    return Prepared(operation, template._replace(first=first), trace, wrong)


def _matters(text: str) -> bool:
    """Say whether what another thread or child did to the spool is more than a job's output."""
    return not ("/logs/" in text and " write(" in text)


def try_case(prepared: Prepared, case: Case, number: int) -> Try:
    """Let an operation go wrong on a copy of its spool, recover, and judge."""
    began = time.monotonic()
    operation = prepared.operation
    for again in (False, True):
        at = _copy(prepared.template, f"{prepared.template.top}.{number}")
        before = checker.read(at.spool, operation.drops)
        out = os.path.join(at.top, "strace")
        command = [] if case.kind == LIMIT else strace(command_options(case, at.spool), out)
        told = _run(operation, at, command, case)
        if case.kind == LIMIT or os.path.exists(out):
            break
        # strace itself was killed, or found no room, before it began: nothing has been tried.
        shutil.rmtree(at.top, ignore_errors=True)
        if again:
            wrong = [f"strace does not begin: {told.err}"]
            return Try(case, "never began", False, False, wrong, time.monotonic() - began)
    hit = hits(out, case.hits[0]) if case.kind != LIMIT else ["by its nature"]
    as_planned = bool(hit) and (case.kind == LIMIT or place(hit[0]) == place(case.hits[1]))
    found = checker.read(at.spool, operation.drops)
    wrong = judging.judge_answer(operation, case, told, len(hit))
    wrong += judging.judge_found(operation, before, found, told)
    if operation.in_thread and as_planned:
        wrong += judging.judge_syncs(case, before, found, told)
    honest = at._replace(first=prepared.recovers_with)
    wrong += _recover(operation, case, honest, found, told)
    if case.call in ("close", "openat") and case.error and hit and at.spool not in hit[0]:
        # The count had shifted: to a pipe of a spawn, whose close never fails, or to a library of
        # the interpreter's own.
        wrong = []
    end = "killed" if told.code is None else f"exit {told.code}"
    shutil.rmtree(at.top, ignore_errors=True)
    return Try(case, end, bool(hit), as_planned, wrong, time.monotonic() - began)


def _copy(template: Place, top: str) -> Place:
    shutil.copytree(template.top, top, symlinks=True)
    return Place(top, template.first)


# --- the traced process ---------------------------------------------------------------------------


def _run(operation: Operation, at: Place, tracer: Sequence[str], case: Optional[Case]) -> Told:
    around = None
    if operation.around is not None:
        around = at._replace(first="").start("worker", "start")
        wait_for(lambda: at.names("workers"))
        for job_id in operation.around:
            wait_for(lambda job_id=job_id: at.noted(job_id))
    try:
        return _traced(operation, at, tracer, case)
    finally:
        if around is not None:
            _end(around)


def _end(worker: "subprocess.Popen[bytes]") -> None:
    """End a worker beside; what still runs is left behind, for the recovery to end."""
    if worker.poll() is None:
        worker.send_signal(signal.SIGTERM)
    try:
        worker.wait(0.5)
    except subprocess.TimeoutExpired:
        worker.kill()
        worker.wait()


def _traced(operation: Operation, at: Place, tracer: Sequence[str], case: Optional[Case]) -> Told:
    limit = case.number if case is not None and case.kind == LIMIT else None
    lasting = case is not None and case.kind in (ON, LIMIT)
    files = [os.path.join(at.top, name) for name in ("out", "err")]
    with open(files[0], "wb") as out, open(files[1], "wb") as err:
        pipes = limit is not None  # a limit would be one on what is printed to a file, too
        process = subprocess.Popen(
            [*tracer, *at.command(*operation.arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if pipes else out,
            stderr=subprocess.PIPE if pipes else err,
            env=at.environment(),
            start_new_session=True,
            preexec_fn=None if limit is None else lambda: _limit(limit),
        )
        collector = _Collector(process, operation.stdin.encode("utf-8"))
        beside: List[Any] = []
        pid = _child(process) if tracer else process.pid
        if operation.beside is not None:
            asker = threading.Thread(
                target=lambda: beside.append(_quietly(operation.beside, at, process, pid))
            )
            asker.start()
        killed = _await(process, pid, _LASTING if lasting and operation.is_worker else _PATIENCE)
        if operation.beside is not None:
            asker.join()
        words = collector.words()
    said = words if pipes else [_text(path) for path in files]
    code = None if killed or process.returncode < 0 else process.returncode
    return Told(code, said[0], said[1], beside[0] if beside else None)


def _quietly(beside: Any, at: Place, process: Any, pid: int) -> Any:
    try:
        return beside(at, process, pid)
    except ProcessLookupError:
        return None  # it died first


class _Collector:
    """Feeds a process and, where it has pipes, reads what it prints."""

    def __init__(self, process: "subprocess.Popen[bytes]", stdin: bytes) -> None:
        self._said: Dict[int, bytes] = {}
        self._threads = [threading.Thread(target=self._feed, args=(process.stdin, stdin))]
        for number, pipe in enumerate((process.stdout, process.stderr)):
            if pipe is not None:
                self._threads.append(threading.Thread(target=self._read, args=(number, pipe)))
        for thread in self._threads:
            thread.start()

    def words(self) -> List[str]:
        for thread in self._threads:
            thread.join(5)
        return [self._said.get(number, b"").decode("utf-8", "replace") for number in (0, 1)]

    def _feed(self, pipe: Any, data: bytes) -> None:
        try:
            pipe.write(data)
            pipe.close()
        except BrokenPipeError:
            pass

    def _read(self, number: int, pipe: Any) -> None:
        with pipe:
            self._said[number] = pipe.read()


def _limit(size: int) -> None:
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def _child(process: "subprocess.Popen[bytes]") -> int:
    """Return the process that strace runs, once it runs spoolq; strace has others at first."""
    path = f"/proc/{process.pid}/task/{process.pid}/children"
    while process.poll() is None:
        try:
            for child in _text(path).split():
                if _text(f"/proc/{child}/cmdline").startswith(PROGRAM[0] + "\0-m\0spoolq"):
                    return int(child)
        except OSError:
            pass  # it has just ended
        time.sleep(0.005)
    return process.pid


def _await(process: "subprocess.Popen[bytes]", pid: int, seconds: float) -> bool:
    """Wait for the end; ask for it after `seconds`, and a second later force it.

    Returns:
        whether it had to be forced.
    """
    for number, patience in ((signal.SIGTERM, seconds), (signal.SIGKILL, 1.0)):
        try:
            process.wait(patience)
            return False
        except subprocess.TimeoutExpired:
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                pass
    process.wait(10)
    return True


def _text(path: str) -> str:
    with open(path, encoding="utf-8", errors="replace") as file:
        return file.read()


# --- afterwards -----------------------------------------------------------------------------------


def _recover(
    operation: Operation, case: Case, at: Place, found: checker.Snapshot, told: Told
) -> List[str]:
    """Let a fresh worker, with no fault, do all that is to be done; judge the end."""
    noted = {job_id: at.noted(job_id) for job_id in found.jobs}
    age(os.path.join(at.spool, "tmp"))
    with open(os.path.join(at.runs, "first"), "ab"):
        pass  # from now on no command is slow
    try:
        done = at.spoolq("worker", "start", "--drain", "--count", "2", check=False)
    except subprocess.TimeoutExpired:
        return ["stuck: the recovery does not end"]
    if done.returncode:
        return [f"the recovery: exit {done.returncode}: {done.stderr}"]
    after = checker.read(at.spool, operation.drops)
    ran = [
        job_id
        for job_id in after.jobs
        for note in at.noted(job_id)[len(noted.get(job_id, ())) :]
        if note.startswith("start")
    ]
    return judging.judge_end(operation, case, at, found, after, told, ran)


# --- all of it ------------------------------------------------------------------------------------


def prepare_all(operations: Iterable[Operation], top: str, first: str = "") -> List[Prepared]:
    """Prepare operations, two at a time."""
    with ThreadPoolExecutor(2) as pool:
        return list(pool.map(lambda operation: prepare(operation, top, first), operations))


def plan(prepared: Iterable[Prepared]) -> List[Case]:
    """Return all cases of prepared operations."""
    found: List[Case] = []
    for one in prepared:
        found += cases(one.operation.name, one.trace, spawns=one.operation.spawns)
    return found


def try_all(
    prepared: Sequence[Prepared],
    chosen: Sequence[Case],
    said: Any = None,
    seconds: Optional[float] = None,
) -> List[Try]:
    """Try cases, some at a time; `said` is called with each as it is done.

    Args:
        seconds: begin none after so long.
    """
    until = None if seconds is None else time.monotonic() + seconds
    by_name = {one.operation.name: one for one in prepared}

    def one(item: Any) -> Optional[Try]:
        number, case = item
        if until is not None and time.monotonic() > until:
            return None
        done = try_case(by_name[case.operation], case, number + 1)
        if said is not None:
            said(done)
        return done

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return [done for done in pool.map(one, enumerate(chosen)) if done is not None]


def summary(prepared: Sequence[Prepared], tries: Sequence[Try], seconds: float) -> Dict[str, Any]:
    """Return what was tried as one object: it is printed as one line."""
    by_operation: Dict[str, Dict[str, int]] = {}
    for done in tries:
        counts = by_operation.setdefault(done.case.operation, {})
        counts[done.case.kind] = counts.get(done.case.kind, 0) + 1
    return {
        "tries": len(tries),
        "violations": sum(bool(done.wrong) for done in tries)
        + sum(bool(one.wrong) for one in prepared),
        "seconds": round(seconds, 1),
        "by operation": by_operation,
        "by kind": dict(Counter(done.case.kind for done in tries)),
        "by error": dict(Counter(done.case.error for done in tries if done.case.error)),
        "by call": dict(Counter(done.case.call for done in tries)),
        "ends": dict(Counter(done.end for done in tries)),
        "hit as planned": sum(done.as_planned for done in tries),
        "hit elsewhere": sum(done.hit and not done.as_planned for done in tries),
        "not reached": sum(not done.hit for done in tries),
        "calls of the first run": {one.operation.name: len(one.trace.calls) for one in prepared},
    }


__all__ = ["prepare_all", "plan", "try_all", "summary", "scratch"]

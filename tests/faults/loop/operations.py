"""What is tried at every n: each operation of the queue, from a spool that it can start from.

`prepare` runs in the parent, untouched; `run` in a child that fails or dies. A `Call` is how the
child says what it was promised: the parent holds the spool to that, and to nothing else.
"""

import io
import json
import os
from datetime import datetime
from typing import Any, Callable, List, NamedTuple, Sequence
from unittest import mock

from spoolq import (
    changing,
    config,
    control,
    dependencies,
    importing,
    instants,
    keys,
    lines,
    names,
    requests,
    roster,
    schedules,
    scheduling,
    steering,
    views,
)
from spoolq.adoption import Intake, read_job
from spoolq.api import Spool
from spoolq.chores import Beside
from spoolq.fsio import Dir
from spoolq.job import CANCELLED, INTERRUPTED
from spoolq.lease import Lease
from spoolq.names import Name, parse
from spoolq.recovery import Recovery, record_of
from spoolq.releasing import Releasing
from spoolq.spool import SpoolDir
from tests import given

from ..reboot import record
from .seam import Seam

BAD = b'{"command": "never'  # a drop that is no job


class Call(NamedTuple):
    """What the child works with: the spool, the seam, and how it tells the parent something."""

    spool: SpoolDir
    seam: Seam
    tell: Callable[..., None]


class Operation(NamedTuple):
    """One thing that a spool can be asked to do.

    `primitive` ones are steps of a worker, which lets an OSError be; the others translate it.
    """

    name: str
    prepare: Callable[[SpoolDir], None]
    run: Callable[[Call], None]
    primitive: bool = False
    has_noreplace: bool = True
    forgiven: Sequence[str] = ()
    gone: Sequence[str] = ()


def _nothing(_: SpoolDir) -> None:
    pass


# --- producing ------------------------------------------------------------------------------------


def _enqueue(count: int, **fields: Any) -> Callable[[Call], None]:
    def run(call: Call) -> None:
        jobs = [{"command": f"echo {number}", **fields} for number in range(count)]
        with Spool(call.spool.path) as spool:
            for job_id in spool.enqueue_many(jobs):
                call.tell("promise", job_id)

    return run


def _import(*states: str) -> Callable[[Call], None]:
    """Take in the lines of an export, one for each of these states."""

    def run(call: Call) -> None:
        data = b""
        for number, state in enumerate(states):
            name = Name(instants.to_stamp(instants.now()), 5, 0, f"moved{number:02}")
            fields = {"command": "echo", "created_at": "2026-11-24T02:06:46Z"}
            data += lines.written(lines.Line(state, str(name), name, fields))
        with call.seam.aside():
            importing.checked(io.BytesIO(data))
        importing.take_in(call.spool, io.BytesIO(data), "full")
        for number in range(len(states)):
            call.tell("promise", f"moved{number:02}")

    return run


def _schedule(spool: SpoolDir) -> None:
    fields = {"cron": "* * * * *", "job": {"command": "echo"}}
    scheduling.add(spool, "s", fields)
    with schedules.opened(spool) as place:
        scheduling.deal(spool, place, "s", config.Settings(), lambda: _tick(place))


def _tick(place: Dir) -> datetime:
    """Return the next tick of the schedule."""
    schedule = schedules.read(place, "s", config.Settings())
    due = schedule.cron.after(schedule.begins(schedules.last_of(place, "s")))
    assert due is not None
    return due


def _deal(call: Call) -> None:
    with call.seam.aside():
        place = schedules.open_place(call.spool)
        tick = _tick(place)
    for job_id in scheduling.deal(call.spool, place, "s", config.Settings(), lambda: tick).ids:
        call.tell("promise", job_id)


def _drop(*contents: bytes) -> Callable[[SpoolDir], None]:
    def prepare(spool: SpoolDir) -> None:
        for number, content in enumerate(contents):
            with open(os.path.join(spool.path, "pending", f"drop {number}.json"), "wb") as file:
                file.write(content)

    return prepare


class _Standing:
    """A clock that stands, but for what a drop has to wait before it is judged."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


def _admit(call: Call) -> None:
    monotonic = _Standing()
    intake = Intake(call.spool, instants.now, monotonic)
    settings = config.Settings()
    dropped = [name for name in call.spool.dir("pending").list() if parse(name) is None]
    for _ in range(2):
        for filename in intake.admit(sorted(dropped), settings):
            call.tell("admitted", filename)
        monotonic.seconds += 10
        dropped = intake.ripe(settings)


# --- running --------------------------------------------------------------------------------------


def put(spool: SpoolDir, state: str, job_id: str, attempt: int = 0, **fields: Any) -> Name:
    """Put a job into a state as if it had come there, with a run in its history for each attempt.

    Returns:
        Its name.
    """
    now = instants.now()
    history: List[dict] = []
    for number in range(1, attempt + 1):
        entry = {"attempt": number, "started_at": instants.to_rfc3339(instants.later(now, -number))}
        entry.update(finished_at=instants.to_rfc3339(now), exit_code=1)
        history.append(entry)
    if state == "completed":
        history[-1]["exit_code"] = 0
    content = {"command": f"echo {job_id}", "created_at": instants.to_rfc3339(now), **fields}
    if history:
        content["history"] = history
    name = Name(instants.to_stamp(now), 5, attempt, job_id)
    with open(os.path.join(spool.path, state, str(name)), "w", encoding="utf-8") as file:
        json.dump(content, file)
        file.write("\n")
    return name


def _waiting(*ids: str, **fields: Any) -> Callable[[SpoolDir], None]:
    return lambda spool: [put(spool, "pending", job_id, **fields) for job_id in ids] and None


def _claim_all(call: Call, own: Lease) -> List[Name]:
    claims = []
    for slot, filename in enumerate(sorted(call.spool.dir("pending").list())):
        stamp = instants.to_stamp(instants.now())
        claim = call.spool.claim(filename, parse(filename), stamp, own.name, str(slot))
        assert claim is not None
        claims.append(claim)
    return claims


def _claim(call: Call) -> None:
    with call.seam.aside():
        own = Lease.start(call.spool, {})
    for claim in _claim_all(call, own):
        call.tell("claimed", claim.id)


def _finish(**outcome: Any) -> Callable[[Call], None]:
    """End all that waits as `outcome` says, and try again as a worker does."""

    def run(call: Call) -> None:
        settings = config.Settings()
        with call.seam.aside():
            own = Lease.start(call.spool, {})
            records = []
            for claim in _claim_all(call, own):
                entry = {
                    "attempt": claim.attempt,
                    "worker": claim.worker,
                    "started_at": instants.stamp_to_rfc3339(claim.stamp),
                    "finished_at": instants.to_rfc3339(instants.now()),
                    **outcome,
                }
                job, changed_at = read_job(call.spool.dir("processing"), str(claim), settings)
                records.append(record(job, claim, entry, changed_at, settings))
        for _ in range(3):
            report = call.spool.finish(own.dir, records)
            for claim, moved in report.done.items():
                if report.error is None:
                    call.tell("promise", claim.id)
                call.tell("moved", claim.id, moved is not None)
            records = [rec for rec in records if rec.claim not in report.done]
            if not records:
                return
        raise report.error  # the worker goes on trying; here it dies first

    return run


def _give_back(call: Call) -> None:
    with call.seam.aside():
        own = Lease.start(call.spool, {})
        name = parse(call.spool.dir("pending").list()[0])
        (claim,) = _claim_all(call, own)
    call.spool.give_back(claim, name)


def _change(call: Call) -> None:
    with call.seam.aside():
        own = Lease.start(call.spool, {})
    (filename,) = call.spool.dir("pending").list()
    call.spool.claim_to_change("pending", filename, parse(filename), own.name)


# --- waiting again, and the end -------------------------------------------------------------------


def _promote(call: Call) -> None:
    for filename in call.spool.dir("failed").list():
        call.spool.promote(filename, parse(filename))


def _retry(call: Call) -> None:
    control.retry(call.spool, "j1")
    call.tell("moved", "j1", True)


def _drop_again(call: Call) -> None:
    control.retry(call.spool, "mended.json")


def _put_mended(spool: SpoolDir) -> None:
    with open(os.path.join(spool.path, "dead", "mended.json"), "wb") as file:
        file.write(b'{"command": "echo mended", "id": "mended"}')


def _cancel(call: Call) -> None:
    view = control.cancel(call.spool, "j1")
    call.tell("moved", "j1", True)
    assert view.state == "dead", view


def _purge(call: Call) -> None:
    for filename in call.spool.dir("completed").list():
        call.spool.remove("completed", filename)


# --- recovery -------------------------------------------------------------------------------------


def die_holding(spool: SpoolDir, own: Lease) -> None:
    """Let a worker of this process die as a kill does: its lock is freed, nothing is cleaned."""
    spool.ring()
    os.close(own._lock)
    own.dir.close()


def _leave_claims(spool: SpoolDir) -> None:
    """Leave what a killed worker leaves: a run without an end, one recorded, one on its last try.

    Besides, a claim to change a job, and a file that names no worker.
    """
    settings = config.Settings()
    own = Lease.start(spool, {})
    claims = []
    for job_id, attempt in (("j1", 0), ("j2", 0), ("j3", 3)):
        name = put(spool, "pending", job_id, attempt)
        stamp = instants.to_stamp(instants.now())
        claims.append(spool.claim(str(name), name, stamp, own.name, job_id))
    processing = spool.dir("processing")
    job, changed_at = read_job(processing, str(claims[1]), settings)
    entry = {
        "attempt": claims[1].attempt,
        "worker": own.name,
        "started_at": instants.stamp_to_rfc3339(claims[1].stamp),
        "finished_at": instants.to_rfc3339(instants.now()),
        "exit_code": 0,
    }
    data = record(job, claims[1], entry, changed_at, settings).data
    own.dir.write("j2.outcome", data, sync=False)
    own.dir.rename("j2.outcome", processing, str(claims[1]))
    name = put(spool, "pending", "j4")
    spool.claim_to_change("pending", str(name), name, own.name)
    die_holding(spool, own)


def _recover(call: Call) -> None:
    settings = config.Settings()
    with call.seam.aside():
        own = Lease.start(call.spool, {})
    recovery = Recovery(call.spool, own, instants.now, lambda: 0.0)
    records = [record_of(found, settings) for found in recovery.look(settings, set())]
    for _ in range(3):
        report = call.spool.finish(own.dir, records)
        records = [rec for rec in records if rec.claim not in report.done]
        if not records:
            break
    recovery.sweep()


def _recover_now(call: Call) -> None:
    control.recover_now(call.spool)


def _leave_stray(spool: SpoolDir) -> None:
    name = put(spool, "pending", "j1")
    source = os.path.join(spool.path, "pending", str(name))
    os.rename(source, os.path.join(spool.path, "processing", str(name)))


def _put_back_stray(call: Call) -> None:
    (filename,) = call.spool.dir("processing").list()
    call.spool.put_back_stray(filename)


# --- workers and settings -------------------------------------------------------------------------


def _start_and_leave(call: Call) -> None:
    own = Lease.start(call.spool, {"count": 1})
    own.show_trouble("outcomes", "the disk is full")
    assert own.take_slot("0") is not None
    own.leave()


def _start_beside_another(call: Call) -> None:
    """A worker's requests and slots while it lives and leaves."""
    own = Lease.start(call.spool, {"count": 1})
    roster.workers(call.spool)
    steering.stop(call.spool, [own.name], interrupt=False)
    assert own.requests() == ["stop"]
    own.leave()


def _resize(call: Call) -> None:
    """A worker is asked to run more at a time, and does."""
    own = Lease.start(call.spool, {"count": 1})
    executor = mock.Mock(spec=["resize"])
    own.dir.write(requests.of_count(3), b"", sync=False)
    requests.resize(own, executor, own.requests())
    own.leave()


def _config(call: Call) -> None:
    call.spool.write_config(config.write({"max_retries": 7}))
    call.tell("promise", None)
    call.tell("configured", 7)


def _pause(call: Call) -> None:
    steering.pause(call.spool)
    steering.resume(call.spool)


def _failed(spool: SpoolDir) -> None:
    put(spool, "failed", "j1", 1)
    put(spool, "failed", "j2", 2)


def _dead(spool: SpoolDir) -> None:
    put(spool, "dead", "j1", 4)


def _completed(spool: SpoolDir) -> None:
    put(spool, "completed", "j1", 1)
    put(spool, "completed", "j2", 1)


# --- features that are made of files --------------------------------------------------------------


def _batch(*jobs: dict) -> Callable[[Call], None]:
    def run(call: Call) -> None:
        with Spool(call.spool.path) as spool:
            for job_id in spool.enqueue_many(jobs):
                call.tell("promise", job_id)

    return run


def _replace(call: Call) -> None:
    with Spool(call.spool.path) as spool:
        spool.enqueue("echo new", key="k", if_queued="replace")
    call.tell("moved", "j1", True)


def _keyed(state: str) -> Callable[[SpoolDir], None]:
    """Prepare a job in a state, and a key that is its own."""

    def prepare(spool: SpoolDir) -> None:
        put(spool, state, "j1", 4 if state == "dead" else 0, key="k")
        keys.take(spool, {"k": "j1"}, "full")

    return prepare


def _awaited(state: str) -> Callable[[SpoolDir], None]:
    """Prepare a job in a state, one that waits for its success, and one that waits for that."""

    def prepare(spool: SpoolDir) -> None:
        put(spool, state, "j1", {"completed": 1, "dead": 4}.get(state, 0))
        waits = []
        for job_id, other in (("j2", "j1"), ("j3", "j2")):
            name = put(spool, "pending", job_id, after=[other])
            pending = os.path.join(spool.path, "pending")
            waiting = name._replace(stamp=names.AFTER)
            os.rename(os.path.join(pending, str(name)), os.path.join(pending, str(waiting)))
            waits.append(dependencies.Wait(job_id, True, other))
        dependencies.begin(spool, waits, "full")

    return prepare


def _let_go(call: Call) -> None:
    with call.seam.aside():
        own = Lease.start(call.spool, {})
        chore = Releasing(Beside(call.spool, own, given.Bell(), instants.now, lambda: 0.0))
    chore.settle(config.Settings())


def _held(call: Call) -> None:
    changing.hold(call.spool, "j1")
    changing.release(call.spool, "j1")
    call.tell("promise", "j1")


def _rewrite(call: Call) -> None:
    view = views.find(call.spool, "j1")
    changing.rewrite(call.spool, view, {**changing.shown(view), "tags": ["new"], "priority": 9})


BATCH = 25  # from 24 on, one sync of the filesystem serves all

OPERATIONS = [
    Operation("enqueue one", _nothing, _enqueue(1)),
    Operation("enqueue one, without renameat2", _nothing, _enqueue(1), has_noreplace=False),
    Operation("enqueue three", _nothing, _enqueue(3)),
    Operation(f"enqueue {BATCH}", _nothing, _enqueue(BATCH)),
    Operation("enqueue with an id", _nothing, _enqueue(1, id="given")),
    Operation("import three", _nothing, _import("pending", "failed", "pending")),
    Operation("enqueue a tick", _schedule, _deal, primitive=True),
    Operation("adopt", _drop(b'{"command": "echo"}'), _admit, primitive=True),
    Operation(
        "adopt, without renameat2",
        _drop(b'{"command": "echo"}'),
        _admit,
        primitive=True,
        has_noreplace=False,
    ),
    Operation(
        "adopt two with one id",
        _drop(b'{"command": "echo", "id": "twin"}', b'{"command": "echo 2", "id": "twin"}'),
        _admit,
        primitive=True,
    ),
    Operation("bury", _drop(BAD), _admit, primitive=True),
    Operation("claim", _waiting("j1", "j2"), _claim, primitive=True),
    Operation("finish completed", _waiting("j1"), _finish(exit_code=0), primitive=True),
    Operation("finish failed", _waiting("j1"), _finish(exit_code=1), primitive=True),
    Operation("finish dead", _waiting("j1", max_retries=0), _finish(exit_code=1), primitive=True),
    Operation("finish interrupted", _waiting("j1"), _finish(error=INTERRUPTED), primitive=True),
    Operation("finish cancelled", _waiting("j1"), _finish(error=CANCELLED), primitive=True),
    Operation("finish two", _waiting("j1", "j2"), _finish(exit_code=0), primitive=True),
    Operation(
        "finish two, without renameat2",
        _waiting("j1", "j2"),
        _finish(exit_code=0),
        primitive=True,
        has_noreplace=False,
    ),
    Operation("give back", _waiting("j1"), _give_back, primitive=True),
    Operation("claim to change", _waiting("j1"), _change, primitive=True),
    Operation("promote", _failed, _promote, primitive=True),
    Operation("retry", _failed, _retry),
    Operation(
        "dlq retry", lambda spool: put(spool, "dead", "j1", 4) and None, _retry, forgiven=["j1"]
    ),
    Operation("dlq retry of a mended file", _put_mended, _drop_again),
    Operation("recover", _leave_claims, _recover, primitive=True),
    Operation("recover at once", _leave_claims, _recover_now),
    Operation("put back a stray", _leave_stray, _put_back_stray, primitive=True),
    Operation("cancel a waiting job", _waiting("j1"), _cancel),
    Operation("cancel a failed job", _failed, _cancel),
    Operation("purge", _completed, _purge, primitive=True, gone=["j1", "j2"]),
    Operation("worker start and leave", _nothing, _start_and_leave, primitive=True),
    Operation("worker stop", _nothing, _start_beside_another, primitive=True),
    Operation("worker set", _nothing, _resize, primitive=True),
    Operation("config set", _nothing, _config),
    Operation("pause and resume", _nothing, _pause),
    Operation("enqueue after another", _waiting("j1"), _enqueue(1, after=["j1"], priority=9)),
    Operation(
        "enqueue a chain",
        _nothing,
        _batch(
            {"id": "b", "command": "echo b", "after": ["a"], "priority": 9},
            {"id": "c", "command": "echo c", "after": ["a", "b"]},
            {"id": "a", "command": "echo a"},
        ),
    ),
    Operation("enqueue with a key", _nothing, _enqueue(1, key="k")),
    Operation("enqueue with a key of a dead job", _keyed("dead"), _enqueue(1, key="k")),
    Operation("enqueue with a key that waits", _keyed("pending"), _enqueue(1, key="k")),
    Operation(
        "replace what waits",
        _keyed("pending"),
        _replace,
    ),
    Operation("dlq retry with a key", _keyed("dead"), _retry, forgiven=["j1"]),
    Operation(
        "adopt one that waits",
        _drop(b'{"command": "echo 1", "id": "a"}', b'{"command": "echo 2", "after": ["a"]}'),
        _admit,
        primitive=True,
    ),
    Operation("let go what waited", _awaited("completed"), _let_go, primitive=True),
    Operation("end what waited", _awaited("dead"), _let_go, primitive=True),
    Operation("hold and release", _waiting("j1"), _held),
    Operation("rewrite", _waiting("j1"), _rewrite),
]

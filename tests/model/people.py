"""What people and the command line do beside the workers: cancel, retry, mv, purge, edit."""

from . import calls, ids, outcome, worker
from .names import CHANGE, REQUEST, Job, Name, parse
from .routine import Steps, Sub
from .rules import Rules


def enqueue(me: str, job: Job, rules: Rules) -> Steps:
    """Put a new job into pending/; a given id that is taken is refused."""
    descriptor = None
    if job.explicit_id:
        descriptor = yield Sub(ids.lock, (rules,))
        if (yield Sub(ids.is_taken, (job.explicit_id, rules))):
            return
    time = yield calls.now()
    name = Name(time, 0, job.explicit_id or f"made-{time}")
    yield calls.create(f"tmp/{name}", job)
    yield calls.rename_new(f"tmp/{name}", f"pending/{name}")
    if descriptor is not None:
        yield calls.close(descriptor)


def drop_anew(path: str, job: Job) -> Steps:
    """Drop a file under a name that was used before, when that is free again."""
    yield calls.wait_until_gone(path)
    yield calls.create(path, job)


def cancel(me: str, job_id: str, rules: Rules, looks: int = 3) -> Steps:
    """Cancel a job wherever it is, and look again until it is in completed/ or dead/."""
    for _ in range(looks):
        path = yield Sub(ids.find, (job_id,))
        if path is None:
            continue
        if path.startswith("processing/"):
            yield Sub(ask_worker, (path, job_id))
            yield calls.wait_until_gone(path)
        elif path.startswith(("pending/", "failed/")):
            yield Sub(cancel_waiting, (me, path, rules))
            return
        else:
            return


def ask_worker(path: str, job_id: str) -> Steps:
    """Put a cancel request where the worker that runs the job sees it."""
    name = parse(path.split("/")[1])
    if name is not None and name.worker is not None:
        yield calls.create(f"workers/{name.worker}/cancel.{job_id}", REQUEST)


def cancel_running(me: str, job_id: str) -> Steps:
    """Ask for a cancel once, if the job runs, and leave without looking again."""
    for name in (yield calls.listdir("processing")):
        yield Sub(ask_worker, (f"processing/{name}", job_id))


def cancel_waiting(me: str, path: str, rules: Rules) -> Steps:
    """Cancel a waiting job as a worker for a moment.

    The claim counts no attempt and keeps the job's time, so that recovery can put it back.
    """
    yield Sub(worker.start, (me, rules))
    yield Sub(claim_and_cancel, (me, path, rules))
    yield Sub(worker.leave, (me,))


def claim_and_cancel(me: str, path: str, rules: Rules) -> Steps:
    """Claim a waiting job and finish it as cancelled."""
    old = parse(path.split("/")[1])
    assert old is not None
    time = old.time
    if rules.change == "lost":
        time = yield calls.now()
    mine = str(Name(time, old.attempt, old.job, me, CHANGE))
    if (yield calls.rename(path, f"processing/{mine}")) != "ok":
        return
    job = yield calls.read(f"processing/{mine}")
    if job is None:
        return
    if outcome.is_half_written(job):
        yield Sub(outcome.give_back, (mine, str(old), rules))
    else:
        new = yield Sub(outcome.write_down, (me, mine, job, "cancelled", rules))
        yield Sub(outcome.record_and_finish, (me, mine, new, rules))


def cancel_by_record(me: str, path: str) -> Steps:
    """Cancel a waiting job by the plainer rule: record over it where it waits, then move."""
    job = yield calls.read(path)
    name = parse(path.split("/")[1])
    if job is None or name is None:
        return
    yield calls.create("tmp/cancelled", job)
    yield calls.rename("tmp/cancelled", path)
    yield calls.rename(path, f"dead/{name._replace(time=me)}")


def cancel_by_move(me: str, path: str) -> Steps:
    """Cancel a waiting job by the other plainer rule: move it, then record over it in dead/."""
    name = parse(path.split("/")[1])
    assert name is not None
    dead = f"dead/{name._replace(time=me)}"
    if (yield calls.rename(path, dead)) != "ok":
        return
    job = yield calls.read(dead)
    yield calls.create("tmp/cancelled", job)
    yield calls.rename("tmp/cancelled", dead)


def retry(me: str, state: str, rules: Rules) -> Steps:
    """Retry what is in failed/ (same attempt) or dead/ (all attempts given back), due now."""
    for name in (yield calls.listdir(state)):
        old = parse(name)
        if old is None:
            continue
        time = yield calls.now()
        new = Name(time, 0 if state == "dead" else old.attempt, old.job)
        yield Sub(outcome.move_new, (f"{state}/{name}", f"pending/{new}", rules))


def move_by_hand(source: str, target: str) -> Steps:
    """Move what is in a directory to another by ``mv -n``."""
    for name in (yield calls.listdir(source)):
        yield calls.rename_new(f"{source}/{name}", f"{target}/{name}")


def remove_by_hand(directory: str) -> Steps:
    """Remove what is in a directory: purge, rm, or a cleaner that knows only ages."""
    for name in (yield calls.listdir(directory)):
        yield calls.unlink(f"{directory}/{name}")


def remove_worker(name: str) -> Steps:
    """Remove a worker's directory whether it lives or not."""
    for entry in (yield calls.listdir(f"workers/{name}")):
        yield calls.unlink(f"workers/{name}/{entry}")
    yield calls.rmdir(f"workers/{name}")


def lose_locks(name: str) -> Steps:
    """Take a living worker's locks away, as an expired lease does."""
    yield calls.break_locks(name)


def edit_in_place(directory: str) -> Steps:
    """Edit a file as editors do: write a new one, rename it over the old one."""
    for name in (yield calls.listdir(directory)):
        content = yield calls.read(f"{directory}/{name}")
        if content is not None:
            yield calls.create("tmp/edited", content)
            yield calls.rename("tmp/edited", f"{directory}/{name}")


def edit_by_the_book() -> Steps:
    """Edit a waiting job as the format says: move it to dead/, edit it there, move it back."""
    for name in (yield calls.listdir("pending")):
        if (yield calls.rename_new(f"pending/{name}", f"dead/{name}")) != "ok":
            return
        content = yield calls.read(f"dead/{name}")
        yield calls.create("tmp/edited", content)
        yield calls.rename("tmp/edited", f"dead/{name}")
        yield calls.rename_new(f"dead/{name}", f"pending/{name}")


def producer(half: object, job: object) -> Steps:
    """Finish writing a file that is already in pending/."""
    yield calls.complete(half, job)

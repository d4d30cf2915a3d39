"""A worker: it starts, recovers and sweeps, promotes what failed, claims, runs, finishes, stops."""

from typing import Any, NamedTuple, Tuple

from . import adoption, calls, outcome, recovery, run
from .names import TOMORROW, Job, Name, parse
from .routine import Steps, Sub
from .rules import Rules


class Plan(NamedTuple):
    """What a worker is asked to show in a scenario."""

    rounds: int = 1
    starts: bool = False  # its start is explored too; otherwise it is there from the beginning
    recovers: bool = True
    sweeps: bool = False
    claims: bool = True
    adopts: bool = False
    slow_listing: bool = False  # its sweep lists as btrfs may
    foreign: bool = False  # it recovers as if every other worker were on another host
    shared: bool = False  # its filesystem is shared with other hosts: it renews a lease
    listens: bool = False  # it looks for cancel requests
    stops_now: bool = False  # it ends its first run and leaves
    finishes_beside: bool = False  # each run is seen through by a thread; it claims on meanwhile
    loses_reply: bool = False  # it does not hear that its claim of a job's first attempt was made
    stays: bool = False  # it lives on after its rounds
    leaves: bool = False  # it removes its directory at its end; otherwise it goes as a kill does
    command: run.Command = run.Command()


def worker(me: str, rules: Rules, plan: Plan) -> Steps:
    """Live for some rounds."""
    if plan.starts:
        yield Sub(start, (me, rules))
    known: Tuple[str, ...] = ()
    for _ in range(plan.rounds):
        begun = yield Sub(one_round, (me, rules, plan, known))
        if begun == "leave":
            break
        known += begun
    yield calls.join(me)
    if plan.leaves:
        yield Sub(leave, (me,))
    elif plan.stays and begun != "leave":
        yield calls.wait_for_ever()


def start(me: str, rules: Rules) -> Steps:
    """Make the worker's directory and lock."""
    if rules.start == "renamed-in-locked":
        yield calls.mkdir(f"tmp/{me}")
        descriptor = yield calls.open_lock(f"tmp/{me}/lock", True)
        yield calls.flock(descriptor)
        yield calls.rename(f"tmp/{me}", f"workers/{me}")
    else:
        yield calls.mkdir(f"workers/{me}")
        descriptor = yield calls.open_lock(f"workers/{me}/lock", True)
        if descriptor is not None:
            yield calls.flock(descriptor)


def leave(me: str) -> Steps:
    """Stop being a worker; with a claim left all stays, for recovery needs it."""
    if not (yield Sub(recovery.has_claims, (me,))):
        yield Sub(recovery.remove_directory, (f"workers/{me}",))


def one_round(me: str, rules: Rules, plan: Plan, known: Tuple[str, ...]) -> Steps:
    """Look at everything once.

    Args:
        known: this worker's claims that threads see through.

    Returns:
        The claims that threads see through from now on; "leave" when the worker is to end.
    """
    begun: Tuple[str, ...] = ()
    taken: Tuple[recovery.Taken, ...] = ()
    if plan.recovers:
        taken = yield Sub(recovery.recover, (me, rules, plan.foreign, known))
    written: Tuple[Tuple[str, Any], ...] = ()
    for mine, job, why, back_to in taken:
        new = yield Sub(outcome.write_down, (me, mine, job, why, rules, back_to))
        written += ((mine, new),)
    if plan.sweeps:
        yield Sub(recovery.sweep, (me, rules, plan.slow_listing))
    for mine, new in written:  # only now: the dead worker's directory may have gone
        yield Sub(outcome.record_and_finish, (me, mine, new, rules))
    if plan.adopts:
        yield Sub(adoption.adopt_all, (me, rules))
    if plan.claims:
        for name in (yield calls.listdir("failed")):
            yield Sub(outcome.move_new, (f"failed/{name}", f"pending/{name}", rules))
        for name in (yield calls.listdir("pending")):
            if name.startswith(TOMORROW) or parse(name) is None:
                continue
            done = yield Sub(claim_and_run, (me, name, rules, plan))
            if done == "leave":
                return "leave"
            begun += done
    if plan.listens:
        yield Sub(drop_stale_requests, (me,))
    return begun


def lock_slot(me: str) -> Steps:
    """Lock a slot's file without waiting, another one if a leftover holds the first.

    Returns:
        Slot and descriptor; "busy", or "gone" where the worker's directory is gone.
    """
    for slot in ("0", "1", "2"):
        descriptor = yield calls.open_lock(f"workers/{me}/{slot}.lock", True)
        if descriptor is None:
            return "gone"
        if (yield calls.flock(descriptor)):
            return slot, descriptor
        yield calls.close(descriptor)
    return "busy"


def claim(me: str, name: str, rules: Rules, loses_reply: bool) -> Steps:
    """Claim a job: lock a slot, rename, read; a file that does not parse goes back.

    Returns:
        The claim, the slot's descriptor and the job; None if it was lost; "leave" where the
        worker's directory is gone.
    """
    locked = yield Sub(lock_slot, (me,))
    if locked in ("gone", "busy"):
        return "leave" if locked == "gone" else None
    slot, descriptor = locked
    old = parse(name)
    assert old is not None
    time = yield calls.now()
    mine = str(Name(time, old.attempt + 1, old.job, me, slot))
    job = None
    rename = calls.rename_unheard if loses_reply and old.attempt == 0 else calls.rename
    if (yield rename(f"pending/{name}", f"processing/{mine}")) == "ok":
        job = yield calls.read(f"processing/{mine}")
    if outcome.is_half_written(job):
        yield Sub(outcome.give_back, (mine, name, rules))
        job = None
    if job is None:
        yield calls.close(descriptor)
        return None
    return mine, descriptor, job


def claim_and_run(me: str, name: str, rules: Rules, plan: Plan) -> Steps:
    """Claim a job, run it, see it through.

    Returns:
        The claims that a thread sees through, none or one; "leave" when the worker is to end.
    """
    trips = (yield calls.beat()) if plan.shared else None
    if trips == -1:
        return "leave"
    claimed = yield Sub(claim, (me, name, rules, plan.loses_reply))
    if claimed is None or claimed == "leave":
        return claimed or ()
    mine, descriptor, job = claimed
    unbroken = trips if rules.starts == "unbroken" else None
    process = yield Sub(run.start, (mine, descriptor, plan.command, unbroken))
    if not process:
        yield Sub(outcome.give_back, (mine, name, rules))
        yield calls.close(descriptor)
        return ()
    args = (me, name, mine, descriptor, job, process, rules, plan)
    if plan.finishes_beside:
        yield calls.thread(f"{me}+{descriptor}", see_through, *args)
        return (mine,)
    return (yield Sub(see_through, args))


def see_through(
    me: str,
    name: str,
    mine: str,
    descriptor: str,
    job: Job,
    process: str,
    rules: Rules,
    plan: Plan,
) -> Steps:
    """Wait for a run, or end it; then record, move, and let the slot go.

    Args:
        name: under which the job waited in pending/.
        mine: the claim.
    """
    old = parse(name)
    assert old is not None
    request = f"workers/{me}/cancel.{old.job}"
    result = "asked"
    if plan.listens:
        result = yield calls.wait_or_path(process, request)
    elif not plan.stops_now:
        result = yield calls.wait(process)
    if result == "asked":
        yield Sub(run.end, (mine, rules))
        result = yield calls.wait(process)
        if result == "killed":
            result = "interrupted" if plan.stops_now else "cancelled"
    back_to = old.time if result == "interrupted" else ""
    settled = request if result == "cancelled" else ""
    new = yield Sub(outcome.write_down, (me, mine, job, result, rules, back_to))
    answer = yield Sub(outcome.record_and_finish, (me, mine, new, rules, settled))
    yield calls.close(descriptor)
    if settled and rules.request_deleted == "after-move":
        yield calls.unlink(settled)
    return "leave" if answer == "lost" or plan.stops_now else ()


def drop_stale_requests(me: str) -> Steps:
    """Delete the requests about jobs that are not with this worker."""
    entries = yield calls.listdir(f"workers/{me}")
    requests = [e for e in entries if e.startswith("cancel.")]
    if not requests:
        return
    claims = [parse(n) for n in (yield calls.listdir("processing"))]
    with_me = {c.job for c in claims if c is not None and c.worker == me}
    for request in requests:
        if request[len("cancel.") :] not in with_me:
            yield calls.unlink(f"workers/{me}/{request}")

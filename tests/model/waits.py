"""Jobs that wait for others, and keys: what is made before a job, and who takes it away again.

A wait is a file ``after/JOB+OTHER``, a key a file ``keys/KEY`` whose content is the job's id.
What a job waits for is handed on, as the fields of its file say it.
"""

from typing import Tuple

from . import calls, ids
from .names import STATES, Job, Name, parse, split
from .routine import Choose, Steps, Sub
from .rules import Rules

NEVER = "never"  # the time of a job that waits for others
AT_ONCE = "t1"
HELD = ("pending", "processing", "failed")  # the states in which a job has its key

Others = Tuple[str, ...]


def mark(job: str, other: str) -> str:
    """Return the path of the file that says that one job waits for another."""
    return f"after/{job}+{other}"


def state_of(job: str) -> Steps:
    """Return the state of a job, or None, after two looks."""
    for _ in range(2):
        path = yield Sub(ids.find, (job,))
        if path is not None:
            return split(path)[0]
    return None


def enqueue_after(job: str, others: Others, rules: Rules) -> Steps:
    """Enqueue a job that waits for the success of others; refused where it can never come."""
    descriptor = yield Sub(ids.lock, (rules,))
    unmet = []
    for other in others:
        state = yield Sub(state_of, (other,))
        if state in (None, "dead"):
            return
        if state != "completed":
            unmet.append(other)
    if rules.waits_made == "before":
        for other in unmet:
            yield calls.create(mark(job, other), "")
    yield calls.create(f"pending/{Name(NEVER if unmet else AT_ONCE, 0, job)}", Job(job))
    if rules.waits_made == "after":
        for other in unmet:
            yield calls.create(mark(job, other), "")
    if descriptor is not None:
        yield calls.close(descriptor)


def enqueue_batch(first: str, then: str, rules: Rules) -> Steps:
    """Enqueue two jobs, the one that waits for the other first, under one lock."""
    descriptor = yield Sub(ids.lock, (rules,))
    yield calls.create(mark(first, then), "")
    yield calls.create(f"pending/{Name(NEVER, 0, first)}", Job(first))
    yield calls.create(f"pending/{Name(AT_ONCE, 0, then)}", Job(then))
    if descriptor is not None:
        yield calls.close(descriptor)


def end(path: str, states: Tuple[str, ...]) -> Steps:
    """Let a job end, in any of these states."""
    state = yield Choose(states)
    yield calls.rename_new(path, f"{state}/{split(path)[1]}")


def look_often(job: str, others: Others, rules: Rules, looks: int) -> Steps:
    """Look as a worker does, again and again."""
    for _ in range(looks):
        yield Sub(look, (job, others, rules))


def look(job: str, others: Others, rules: Rules) -> Steps:
    """Settle what has come about, what never will, and what nobody waits for."""
    if rules.waits_looked == "jobs-first":
        waiting = yield Sub(_waits, (job,))
        marks = yield calls.listdir("after")
    else:
        marks = yield calls.listdir("after")
        waiting = yield Sub(_waits, (job,))
    missing = False
    for other in others:
        if mark(job, other).partition("/")[2] not in marks:
            continue
        state = yield Sub(state_of, (other,))
        if state == "completed":
            yield calls.unlink(mark(job, other))
            yield Sub(let_go, (job, others, rules))
        elif state == "dead":
            yield Sub(bury, (job, others, rules))
        missing = missing or state is None
    if waiting and not marks:
        yield Sub(let_go, (job, others, rules))
    if missing or (marks and not waiting):
        yield Sub(sweep, (job, others, rules))


def sweep(job: str, others: Others, rules: Rules) -> Steps:
    """Deal with what is so while a job is being published, too: so under its lock."""
    descriptor = None
    if rules.swept == "locked":
        descriptor = yield calls.open_lock("tmp/.ids", True)
        if not (yield calls.flock(descriptor)):
            return
    waits = yield Sub(_waits, (job,))
    for other in others:
        if not waits:
            yield calls.unlink(mark(job, other))
            continue
        is_open = yield calls.exists(mark(job, other))
        if is_open and (yield Sub(state_of, (other,))) is None:
            yield Sub(bury, (job, others, rules))
    if descriptor is not None:
        yield calls.close(descriptor)


def let_go(job: str, others: Others, rules: Rules) -> Steps:
    """Let a job fall due if nothing is left that it waits for."""
    if rules.let_go == "looks-again" and not (yield Sub(_waits, (job,))):
        return
    if rules.let_go != "as-seen":
        for other in others:
            if (yield calls.exists(mark(job, other))):
                return
    yield calls.rename_new(f"pending/{Name(NEVER, 0, job)}", f"pending/{Name(AT_ONCE, 0, job)}")


def bury(job: str, others: Others, rules: Rules) -> Steps:
    """End a job that waits for what will never come; how that is recorded is told elsewhere."""
    target = f"dead/{Name(AT_ONCE, 0, job)}"
    answer = yield calls.rename_new(f"pending/{Name(NEVER, 0, job)}", target)
    if answer == "ok" or rules.ended == "unseen":
        for other in others:
            yield calls.unlink(mark(job, other))


def _waits(job: str) -> Steps:
    return str(Name(NEVER, 0, job)) in (yield calls.listdir("pending"))


# --- keys -----------------------------------------------------------------------------------------


def enqueue_keyed(job: str, rules: Rules) -> Steps:
    """Enqueue a job of the key `k`, unless one that waits or runs has it."""
    descriptor = yield Sub(ids.lock, (rules,))
    holder = yield calls.read("keys/k")
    if holder is None or (yield Sub(state_of, (holder,))) not in HELD:
        if rules.key_made == "before":
            yield Sub(_take, (job,))
        yield calls.create(f"pending/{Name(AT_ONCE, 0, job)}", Job(job))
        if rules.key_made == "after":
            yield Sub(_take, (job,))
    if descriptor is not None:
        yield calls.close(descriptor)


def _take(job: str) -> Steps:
    yield calls.unlink("keys/k")
    yield calls.create("keys/k", job)


def tidy_keys(rules: Rules) -> Steps:
    """Remove the key if it is nobody's."""
    holder = yield calls.read("keys/k")
    if holder is None or (yield Sub(state_of, (holder,))) in HELD:
        return
    descriptor = None
    if rules.swept == "locked":
        descriptor = yield calls.open_lock("tmp/.ids", True)
        if not (yield calls.flock(descriptor)):
            return
        again = yield calls.read("keys/k")
        if again != holder or (yield Sub(state_of, (holder,))) in HELD:
            return
    yield calls.unlink("keys/k")
    if descriptor is not None:
        yield calls.close(descriptor)


def has_time(path: str) -> bool:
    """Say whether a path is that of a job that may run."""
    directory, name = split(path)
    parts = parse(name) if directory in STATES else None
    return parts is not None and parts.time != NEVER

"""Record, then move: how the owner of a claim writes an outcome down and files the job away.

CRASH: between record and move the outcome is known, and `recovery` finishes the move.
"""

from typing import Any

from . import calls
from .names import CHANGE, Entry, HalfWritten, Job, Name, is_recorded, parse, split
from .routine import Steps, Sub
from .rules import Rules


def recorded(content: Any, claim: str, rules: Rules) -> bool:
    """Say whether this claim's outcome is in the file, which may not parse."""
    name = parse(claim)
    assert name is not None
    return not is_half_written(content) and is_recorded(
        content, name, by_attempt=rules.identify_by == "attempt"
    )


def move_new(source: str, target: str, rules: Rules) -> Steps:
    """Move a file to a name that must not be taken; answer "ok", "ENOENT" or "EEXIST"."""
    if rules.rename_new == "atomic":
        return (yield calls.rename_new(source, target))
    answer = yield calls.link(source, target)
    if answer == "ok":
        yield calls.unlink(source)
    return answer


def finish(me: str, claim: str, job: Job, rules: Rules) -> Steps:
    """Move a job whose outcome is recorded to where it belongs."""
    name = parse(claim)
    assert name is not None
    last = job.history[-1]
    source = f"processing/{claim}"
    if last.outcome == "interrupted" and rules.interrupted == "moves-back":
        back = Name(last.not_before, name.attempt - 1, name.job)
        return (yield Sub(move_new, (source, f"pending/{back}", rules)))
    time = yield calls.now()
    if last.outcome == "ok":
        state = "completed"
    elif last.outcome == "cancelled" or name.attempt >= rules.max_attempts:
        state = "dead"
    else:
        state = "failed"
    target = f"{state}/{Name(time, name.attempt, name.job)}"
    return (yield Sub(move_new, (source, target, rules)))


def write_down(
    me: str, claim: str, job: Job, outcome: str, rules: Rules, back_to: str = ""
) -> Steps:
    """Write an outcome in the worker's own directory: who has lost that has lost its claims.

    Returns:
        The job as it will be; None if the claim is lost.
    """
    name = parse(claim)
    assert name is not None
    new = job.with_entry(Entry(name.attempt, name.time, outcome, back_to))
    where = _where(me, rules)
    answer = yield calls.create(f"{where}/{claim}.outcome", new)
    if answer == "ENOENT" and rules.directory_gone == "made-again":
        yield calls.mkdir(where)
        answer = yield calls.create(f"{where}/{claim}.outcome", new)
    return new if answer == "ok" else None


def record_and_finish(me: str, claim: str, new: Job, rules: Rules, settled: str = "") -> Steps:
    """Rename an outcome that is written down over its claim, then move the job.

    Args:
        settled: the cancel request that has ended the run. Once the job has moved, somebody may
            retry it and this worker claim it again, and the request is not for that run.
    """
    made = f"{_where(me, rules)}/{claim}.outcome"
    if new is None or (yield calls.rename(made, f"processing/{claim}")) != "ok":
        return "lost"
    if settled and rules.request_deleted == "before-move":
        yield calls.unlink(settled)
    return (yield Sub(finish, (me, claim, new, rules)))


def _where(me: str, rules: Rules) -> str:
    return f"workers/{me}" if rules.record_in == "own" else "tmp"


def give_back(claim: str, old_name: str, rules: Rules) -> Steps:
    """Return a claimed file to pending/, as if it had not been claimed: nothing was run.

    Args:
        old_name: the name it had; "" if that is not known any more.
    """
    if not old_name:
        name = parse(claim)
        assert name is not None
        counted = name.slot != CHANGE or rules.change == "lost"
        old_name = str(Name(name.time, name.attempt - counted, name.job))
    return (yield Sub(move_new, (f"processing/{claim}", f"pending/{old_name}", rules)))


def is_half_written(content: object) -> bool:
    """Say whether a file does not parse."""
    return isinstance(content, HalfWritten)


def job_id(path: str) -> str:
    """Return the id in a path's name."""
    name = parse(split(path)[1])
    assert name is not None
    return name.job

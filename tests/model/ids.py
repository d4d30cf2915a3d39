"""Whether an id is taken, and the lock under which one that is given is looked for."""

from . import calls
from .names import parse
from .routine import Steps, Sub
from .rules import Rules


def find(job_id: str) -> Steps:
    """Return the path of a job, or None, reading the directories in the order of their states."""
    for state in ("pending", "processing", "failed", "completed", "dead", "pending"):
        for name in (yield calls.listdir(state)):
            parts = parse(name)
            if parts is not None and parts.job == job_id:
                return f"{state}/{name}"
    return None


def is_taken(job_id: str, rules: Rules) -> Steps:
    """Say whether a job has this id, after as many looks as the rules want."""
    for _ in range(rules.looks_for_id):
        if (yield Sub(find, (job_id,))):
            return True
    return False


def lock(rules: Rules) -> Steps:
    """Lock the ids that are given, where the rules want it; return the descriptor or None."""
    if not rules.ids_locked:
        return None
    descriptor = yield calls.open_lock("tmp/.ids", True)
    yield calls.flock_wait(descriptor)
    return descriptor

"""Adoption: a drop in pending/ whose name is not in the form gets a name that is."""

from typing import Tuple

from . import calls, outcome, people
from .names import Job, Name, parse
from .routine import Steps, Sub
from .rules import Rules


def adopt_all(me: str, rules: Rules) -> Steps:
    """Adopt every drop in pending/."""
    for name in (yield calls.listdir("pending")):
        if parse(name) is None:
            yield Sub(adopt, (me, name, rules))


def adopt_these(me: str, drops: Tuple[str, ...], rules: Rules) -> Steps:
    """Adopt some drops in this order."""
    for drop in drops:
        yield Sub(adopt, (me, drop, rules))


def adopt(me: str, drop: str, rules: Rules) -> Steps:
    """Adopt one drop, under a made id or under the one that it gives itself."""
    job = yield calls.read(f"pending/{drop}")
    if not isinstance(job, Job):
        return
    if not job.explicit_id:
        time = yield calls.now()
        new = Name(time, 0, f"{drop}-{me}")  # <stem>-<made>
        yield Sub(outcome.move_new, (f"pending/{drop}", f"pending/{new}", rules))
        return
    descriptor = None
    if rules.ids_locked:
        descriptor = yield calls.open_lock("tmp/.ids", True)
        yield calls.flock_wait(descriptor)
    taken = None
    for _ in range(rules.looks_for_id):
        taken = taken or (yield Sub(people.find, (job.explicit_id,)))
    if taken:
        yield calls.rename_new(f"pending/{drop}", f"dead/{drop}")
    else:
        time = yield calls.now()
        new = Name(time, 0, job.explicit_id)
        yield Sub(outcome.move_new, (f"pending/{drop}", f"pending/{new}", rules))
    if descriptor is not None:
        yield calls.close(descriptor)

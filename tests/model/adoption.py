"""Adoption: a drop in pending/ whose name is not in the form gets a name that is."""

from typing import Tuple

from . import calls, ids, outcome
from .names import Job, Name, Rubbish, parse
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
    if isinstance(job, Rubbish):
        yield Sub(bury, (drop, rules))
    if not isinstance(job, Job):
        return
    if not job.explicit_id:
        time = yield calls.now()
        made = f"{drop}-{time}" if rules.dropped_id == "made" else drop
        yield Sub(name_it, (drop, time, made, rules))
        return
    descriptor = yield Sub(ids.lock, (rules,))
    if (yield Sub(ids.is_taken, (job.explicit_id, rules))):
        yield Sub(bury, (drop, rules))
    else:
        time = yield calls.now()
        yield Sub(name_it, (drop, time, job.explicit_id, rules))
    if descriptor is not None:
        yield calls.close(descriptor)


def name_it(drop: str, time: str, job_id: str, rules: Rules) -> Steps:
    """Give a drop a name of the form."""
    new = Name(time, 0, job_id)
    yield Sub(outcome.move_new, (f"pending/{drop}", f"pending/{new}", rules))


def bury(drop: str, rules: Rules) -> Steps:
    """Put what is no job, or brings an id that is taken, into dead/ under its own name."""
    yield Sub(outcome.move_new, (f"pending/{drop}", f"dead/{drop}", rules))

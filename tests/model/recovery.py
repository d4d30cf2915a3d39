"""What a worker does for the dead: recover their claims, sweep their directories.

Whether a worker is dead is told by its lock alone. Two recoveries at once are harmless: the
takeover is one rename, and who loses it has lost.
"""

from typing import Tuple

from . import calls, outcome, run
from .names import CANCELLED, TAKEN_OVER, UNCOUNTED, Name, parse
from .routine import Steps, Sub
from .rules import Rules


def probe(path: str) -> Steps:
    """Look at a lock; return "missing", "free" or "held"."""
    descriptor = yield calls.open_lock(path)
    if descriptor is None:
        return "missing"
    got = yield calls.flock(descriptor, True)  # shared: probers do not hinder each other
    yield calls.close(descriptor)
    return "free" if got else "held"


def recover(me: str, rules: Rules, foreign: bool = False) -> Steps:
    """Bring every orphan in processing/ back to where it belongs.

    Args:
        foreign: treat every owner as one of another host, whose directory is removed first.
    """
    for claim in (yield calls.listdir("processing")):
        name = parse(claim)
        if name is None or name.worker == me:
            continue
        if name.worker is None:  # put there by hand
            yield Sub(outcome.move_new, (f"processing/{claim}", f"pending/{claim}", rules))
        else:
            yield Sub(recover_claim, (me, claim, rules, foreign))


def recover_claim(me: str, claim: str, rules: Rules, foreign: bool) -> Steps:
    """Recover one claim, if its worker is dead."""
    name = parse(claim)
    assert name is not None
    owner = f"workers/{name.worker}"
    alive = yield Sub(probe, (f"{owner}/lock",))
    if alive == "held":
        return
    job = yield calls.read(f"processing/{claim}")
    if job is None:
        return
    if outcome.recorded(job, claim, rules):
        yield Sub(outcome.finish, (me, claim, job, rules))
        return
    if rules.give_back == "directly" and (name.slot == UNCOUNTED or outcome.is_half_written(job)):
        yield Sub(outcome.give_back, (claim, "", rules))
        return
    if rules.orphans == "end":
        yield Sub(run.end, (claim, rules))
    elif (yield Sub(run.left, (claim,))):
        return
    if (yield Sub(probe, (f"{owner}/{name.slot}.lock",))) == "held":
        return
    if rules.recovery == "in-place":
        yield Sub(settle, (me, claim, rules, False))
        return
    asked = yield calls.exists(f"{owner}/cancel.{name.job}")
    asked = asked or name.slot == CANCELLED
    if (alive == "missing" or foreign) and rules.fence:
        removed = yield Sub(remove_directory, (owner,))
        if removed == "ENOTEMPTY":
            return
    mine = str(name._replace(worker=me, slot=_slot(name, asked, rules)))
    if (yield calls.rename(f"processing/{claim}", f"processing/{mine}")) == "ok":
        yield Sub(settle, (me, mine, rules, asked))


def _slot(name: Name, asked: bool, rules: Rules) -> str:
    """Choose the slot of a claim taken over: it says what is to become of it.

    A cancel request lies in a directory that is swept once the claim no longer names it.
    """
    if name.slot == UNCOUNTED and rules.uncounted == "goes-back":
        return UNCOUNTED
    return CANCELLED if asked and rules.request_carried else TAKEN_OVER


def settle(me: str, mine: str, rules: Rules, asked: bool) -> Steps:
    """Finish a claim taken over as one's own, by what is in the file now."""
    name = parse(mine)
    assert name is not None
    job = yield calls.read(f"processing/{mine}")
    if job is None:
        return
    if outcome.recorded(job, mine, rules):
        yield Sub(outcome.finish, (me, mine, job, rules))
    elif outcome.is_half_written(job) or (
        name.slot == UNCOUNTED and rules.uncounted == "goes-back"
    ):
        yield Sub(outcome.give_back, (mine, "", rules))
    else:
        why = "cancelled" if asked else "lost"
        yield Sub(outcome.record_and_finish, (me, mine, job, why, rules))


def remove_directory(path: str) -> Steps:
    """Remove a worker's directory with all that is in it; answer "ENOTEMPTY" if more came in."""
    for name in (yield calls.listdir(path)):
        yield calls.unlink(f"{path}/{name}")
    return (yield calls.rmdir(path))


def sweep(me: str, rules: Rules, slow_listing: bool = False) -> Steps:
    """Remove the directories of dead workers that no claim names."""
    for worker in (yield calls.listdir("workers")):
        if worker != me:
            yield Sub(sweep_one, (worker, rules, slow_listing))


def sweep_one(worker: str, rules: Rules, slow_listing: bool) -> Steps:
    """Remove one worker's directory, if it is dead and no claim names it.

    RACE: a claim may be made between a listing and a probe, so the listing comes after.
    """
    names: Tuple[str, ...] = ()
    if rules.sweep == "lists-before-probe":
        names = yield calls.listdir("processing")
    if (yield Sub(probe, (f"workers/{worker}/lock",))) == "held":
        return
    if rules.sweep == "lists-after-probe":
        if slow_listing:
            first = yield calls.inodes("processing")
            names = yield calls.listdir_slowly("processing", first)
        else:
            names = yield calls.listdir("processing")
    claims = [parse(name) for name in names]
    if not any(claim is not None and claim.worker == worker for claim in claims):
        yield Sub(remove_directory, (f"workers/{worker}",))

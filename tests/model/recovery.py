"""What a worker does for the dead: recover their claims, sweep their directories.

Whether a worker is dead is told by its lock alone. Two recoveries at once are harmless: the
takeover is one rename, and who loses it has lost.
"""

from typing import Any, Tuple

from . import calls, outcome, run
from .names import CANCELLED, CHANGE, LOST, Job, Name, parse
from .routine import Steps, Sub
from .rules import Rules

#: A claim taken over, its job, how its run is to be recorded, and when an interrupted one waited.
Taken = Tuple[str, Job, str, str]


def probe(path: str) -> Steps:
    """Look at a lock; return "missing", "free" or "held"."""
    descriptor = yield calls.open_lock(path)
    if descriptor is None:
        return "missing"
    got = yield calls.flock(descriptor, True)  # shared: probers do not hinder each other
    yield calls.close(descriptor)
    return "free" if got else "held"


def recover(me: str, rules: Rules, foreign: bool = False, known: Tuple[str, ...] = ()) -> Steps:
    """Bring every orphan in processing/ back to where it belongs, or take it over.

    Args:
        foreign: treat every owner as one of another host, whose directory is removed first.
        known: this worker's own claims; another in its name is one that it did not hear of.

    Returns:
        What was taken over, to be recorded as this worker's own.
    """
    taken: Tuple[Taken, ...] = ()
    for claim in (yield calls.listdir("processing")):
        name = parse(claim)
        if name is None or claim in known or (name.worker == me and rules.unknown_own == "left"):
            continue
        if name.worker is None:  # put there by hand
            yield Sub(outcome.move_new, (f"processing/{claim}", f"pending/{claim}", rules))
        else:
            taken += yield Sub(recover_claim, (me, claim, rules, foreign))
    return taken


def may_live(worker: str, rules: Rules, foreign: bool) -> Steps:
    """Say whether a worker may be alive, whose locks may be out of sight where it is foreign."""
    if (yield Sub(probe, (f"workers/{worker}/lock",))) == "held":
        return True
    if not foreign:
        return False
    if (yield calls.on_host("is_over", worker)):
        return False
    is_missing = not (yield calls.exists(f"workers/{worker}/lock"))
    return (rules.missing if is_missing else rules.lease) == "waited-for"


def recover_claim(me: str, claim: str, rules: Rules, foreign: bool) -> Steps:
    """Recover one claim, if its worker is dead; return what was taken over, none or one."""
    name = parse(claim)
    assert name is not None
    owner = f"workers/{name.worker}"
    is_own = name.worker == me
    if not is_own and (yield Sub(may_live, (name.worker, rules, foreign))):
        return ()
    job = yield calls.read(f"processing/{claim}")
    if job is None:
        return ()
    if outcome.recorded(job, claim, rules):
        yield Sub(outcome.finish, (me, claim, job, rules))
        return ()
    if rules.give_back == "directly" and (name.slot == CHANGE or outcome.is_half_written(job)):
        yield Sub(outcome.give_back, (claim, "", rules))
        return ()
    if foreign and not is_own:
        pass  # what is left of it runs elsewhere, and is seen by its slot's lock alone
    elif rules.orphans == "end":
        yield Sub(run.end, (claim, rules))
    elif (yield Sub(run.left, (claim,))):
        return ()
    if (yield Sub(probe, (f"{owner}/{name.slot}.lock",))) == "held":
        return ()
    if rules.recovery == "in-place":
        return (yield Sub(settle, (me, claim, rules, ("lost", ""), None)))
    asked = yield calls.exists(f"{owner}/cancel.{name.job}")
    asked = asked or name.slot == CANCELLED
    why = yield Sub(_how_it_ended, (owner, claim, asked, rules))
    if rules.fence and not is_own:
        unfenced = foreign or (yield Sub(probe, (f"{owner}/lock",))) != "free"
        first = unfenced and not (foreign and rules.removal == "after")
        if first and (yield Sub(remove_directory, (owner,))) == "ENOTEMPTY":
            return ()
    mine = str(name._replace(worker=me, slot=_slot(name, asked, rules)))
    if (yield calls.rename(f"processing/{claim}", f"processing/{mine}")) == "ok":
        if foreign and rules.removal == "after":
            yield Sub(remove_directory, (owner,))
        return (yield Sub(settle, (me, mine, rules, why, None if rules.reread else job)))
    return ()


def _slot(name: Name, asked: bool, rules: Rules) -> str:
    """Choose the slot of a claim taken over: it says what is to become of it.

    A cancel request lies in a directory that is swept once the claim no longer names it.
    """
    if name.slot == CHANGE and rules.change == "goes-back":
        return CHANGE
    return CANCELLED if asked and rules.request_carried else LOST


def _how_it_ended(owner: str, claim: str, asked: bool, rules: Rules) -> Steps:
    """Say how a run is to be recorded: as its worker has written, if it came to that.

    It is read before the takeover: after it, somebody may sweep the directory.
    """
    written = yield calls.read(f"{owner}/{claim}.outcome")
    if written is not None and outcome.recorded(written, claim, rules):
        return written.history[-1].outcome, written.history[-1].not_before
    return ("cancelled" if asked else "lost"), ""


def settle(me: str, mine: str, rules: Rules, why: Tuple[str, str], job: Any) -> Steps:
    """Finish a claim taken over, or return it to be recorded, by what is in the file now.

    Args:
        why: how it is to be recorded, and when an interrupted one waited.
        job: what was in the file before, where the plainer rule goes by that.
    """
    name = parse(mine)
    assert name is not None
    if job is None:
        job = yield calls.read(f"processing/{mine}")
    if job is None:
        return ()
    if outcome.recorded(job, mine, rules):
        yield Sub(outcome.finish, (me, mine, job, rules))
    elif outcome.is_half_written(job) or (name.slot == CHANGE and rules.change == "goes-back"):
        yield Sub(outcome.give_back, (mine, "", rules))
    else:
        return ((mine, job, *why),)
    return ()


def remove_directory(path: str) -> Steps:
    """Remove a worker's directory with all that is in it; answer "ENOTEMPTY" if more came in."""
    for name in (yield calls.listdir(path)):
        yield calls.unlink(f"{path}/{name}")
    return (yield calls.rmdir(path))


def has_claims(worker: str) -> Steps:
    """Say whether a claim names a worker."""
    claims = [parse(name) for name in (yield calls.listdir("processing"))]
    return any(claim is not None and claim.worker == worker for claim in claims)


def sweep_often(me: str, rules: Rules, times: int) -> Steps:
    """Sweep several times, at whatever moments."""
    for _ in range(times):
        yield Sub(sweep, (me, rules))


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

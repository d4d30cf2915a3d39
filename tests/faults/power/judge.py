"""What a spool may look like after a power cut, and after what comes then.

It reads names and files with the fault loop's checker, which has no line of spoolq; what a whole
job is follows from its name alone (`workload.contents`).
"""

import json
import os
from typing import Dict, Iterable, List, NamedTuple, Set

from spoolq import instants, names

from .. import checker
from . import workload
from .machine import Promise


class Told(NamedTuple):
    """What the guest had been told when the power failed: names by id, drops, ends by id."""

    acknowledged: Dict[str, str]
    dropped: Set[str]
    ended: Dict[str, str]


class Verdict(NamedTuple):
    """What is wrong, and what was lost that this durability allows to be lost."""

    violations: List[str]
    seen: List[str]


def told(promises: Iterable[Promise]) -> Told:
    """Gather promises."""
    sums = Told({}, set(), {})
    for promise in promises:
        if promise.kind == "acknowledged":
            sums.acknowledged.update(promise.items)
        elif promise.kind == "dropped":
            sums.dropped.update(promise.items)
        elif promise.kind == "ended":
            sums.ended.update(promise.items)
    return sums


def drops(promises: Iterable[Promise]) -> Set[bytes]:
    """Return what the guest's dropped files hold, byte for byte."""
    return {json.dumps(workload.contents(name)).encode() for name in told(promises).dropped}


def waits(path: str) -> List[str]:
    """Return what a spool holds that tells of jobs which wait for others."""
    place = os.path.join(path, "after")
    return os.listdir(place) if os.path.isdir(place) else []


def at_once(found: checker.Snapshot, open_waits: List[str], sums: Told, discipline: str) -> Verdict:
    """Judge what is on the disk before anything has looked at it.

    I1: what was acknowledged is in exactly one state, whole. I4: what was not is whole or absent.
    What was said to have ended has its end recorded. Nobody began before what it waits for ended,
    or would at the next look.
    """
    wrong = list(found.wrong)
    again: List[str] = []
    for job_id in sums.acknowledged:
        if job_id not in found.jobs:
            wrong.append(f"{job_id} was acknowledged and is lost")
    copies = [job.fields.get("name") for job in found.jobs.values()]
    copies += [json.loads(data)["name"] for data in found.strangers.values()]
    for name in sums.dropped:
        if copies.count(name) != 1:
            wrong.append(f"{name} was dropped and is there {copies.count(name)} times")
    for job_id, name in sums.acknowledged.items():
        job = found.jobs.get(job_id)
        if job is not None and job.fields.get("name") != name:
            wrong.append(f"{job_id} holds another job")
    wrong += [f"{job.id} is not whole" for job in found.jobs.values() if not is_whole(job)]
    again += out_of_order(found)
    again += forgotten(found, open_waits)
    for job_id, state in sums.ended.items():
        job = found.jobs.get(job_id)
        if job is None:
            wrong.append(f"{job_id} was {state} and is lost")
        elif job.state != state:
            how = "with" if job.is_recorded else "without"
            again.append(f"{job_id} was {state} and is {job.state} {how} its record")
    # `none` promises nothing to anyone, but even there a job is never in two states.
    if discipline == "none":
        twice = [text for text in wrong if " and in " in text]
        return Verdict(twice, [text for text in wrong if text not in twice] + again)
    if discipline == "accept":
        return Verdict(wrong, again)
    return Verdict(wrong + again, [])


def forgotten(found: checker.Snapshot, open_waits: List[str]) -> List[str]:
    """Say which jobs wait for one that has not succeeded, and nothing in after/ tells of it."""
    return [
        f"{job.id} waits for {other}, and nothing tells of it"
        for job in found.jobs.values()
        if job.state == "pending" and job.time == names.AFTER
        for other in job.fields.get("after", ())
        if other in found.jobs and not _successes(found.jobs[other])
        if f"{job.id}.after.{other}" not in open_waits
    ]


def _successes(job: checker.Found) -> List[str]:
    """Return when a job has succeeded, in its runs."""
    return [entry["finished_at"] for entry in job.history if entry.get("exit_code") == 0]


def out_of_order(found: checker.Snapshot) -> List[str]:
    """Say which jobs began though what they wait for had not succeeded before.

    Where the end of that is lost with the power, as `accept` allows, this cannot be told from it.
    Of a batch that nobody was told of a part may be there: who waits for the rest of it dies, which
    is no run.
    """
    wrong = []
    for job in found.jobs.values():
        runs = [entry for entry in job.history if "waited_for" not in entry]
        started = [entry["started_at"] for entry in runs]
        if job.state == "processing" and not job.is_recorded:
            started.append(instants.stamp_to_rfc3339(job.time))
        for other in job.fields.get("after", ()) if started else ():
            ends = _successes(found.jobs[other]) if other in found.jobs else []
            if not ends or min(started) < min(ends):
                wrong.append(f"{job.id} began before {other} had succeeded: {job.state}")
    return wrong


def is_whole(job: checker.Found) -> bool:
    """Say whether a job holds all that it was given; the command line may add variables."""
    try:
        given = workload.contents(job.fields.get("name", ""))
    except ValueError:
        return False
    pad = given.pop("env", {}).get("PAD")
    if job.fields.get("env", {}).get("PAD") != pad:
        return False
    return all(job.fields.get(key) == value for key, value in given.items())


def afterwards(
    path: str, before: checker.Snapshot, after: checker.Snapshot, sums: Told, discipline: str
) -> Verdict:
    """Judge what is there when all has been recovered and run.

    Files in the making are swept when they are a day old, so today they may be there.
    """
    wrong = checker.lost(before, after, set(sums.acknowledged), set())
    wrong += checker.ill_lived(after)
    wrong += [text for text in checker.unsettled(path, after) if not text.startswith("tmp/")]
    wrong += after.wrong
    if discipline == "none":
        return Verdict([text for text in wrong if " and in " in text], [])
    early = out_of_order(after)
    return Verdict(wrong, early) if discipline == "accept" else Verdict(wrong + early, [])

"""What must hold of two spools between which jobs are forwarded, judged without spoolq itself."""

from typing import Dict, Iterable, List

from .. import checker

_HERE = ("pending", "failed")


def of_one(path: str) -> checker.Snapshot:
    """Read a spool."""
    return checker.read(path)


def apart(here: checker.Snapshot, there: checker.Snapshot) -> List[str]:
    """Say which job could run in both: it is there, and waits here, or has ended here unsent."""
    wrong = [*here.wrong, *there.wrong]
    for job in here.jobs.values():
        if job.id in there.jobs and job.state in _HERE:
            wrong.append(f"{job.id} is there, and waits here in {job.state}/")
        if job.state == "completed" and job.id not in there.jobs:
            wrong.append(f"{job.id} counts as forwarded, and is not there")
        if job.state == "dead":
            wrong.append(f"{job.id} is dead here: {job.history[-1:]}")
    return wrong


def arrived(here: checker.Snapshot, there: checker.Snapshot, ids: Iterable[str]) -> List[str]:
    """Say which job is not there, once, when all is over."""
    wrong = apart(here, there)
    for job_id in ids:
        if job_id not in there.jobs:
            wrong.append(f"{job_id} never arrived")
        if job_id not in here.jobs or here.jobs[job_id].state != "completed":
            wrong.append(f"{job_id} is not completed here")
        hops = _hops(here, job_id), _hops(there, job_id)
        if hops != (1, 1):
            wrong.append(f"the histories of {job_id} tell of {hops} ways")
    return wrong


def _hops(snapshot: checker.Snapshot, job_id: str) -> int:
    job = snapshot.jobs.get(job_id)
    return sum("forwarded_to" in entry for entry in job.history) if job else 0


def same(first: Dict[str, bytes], then: Dict[str, bytes]) -> List[str]:
    """Say what has changed of the files of a spool that nobody was to touch."""
    return [f"{name} has changed" for name in {*first, *then} if first.get(name) != then.get(name)]

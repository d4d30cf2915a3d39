"""The workers, what dead ones left, and whether the living do what is due."""

from __future__ import annotations

import stat
import time
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Tuple

from spoolq import errands, instants, lease, names, pauses, roster, views
from spoolq.doctor.finding import Finding, note, problem
from spoolq.doctor.patient import Patient
from spoolq.errors import SpoolqError
from spoolq.layout import PAUSED
from spoolq.neighbours import DEAD, HELD, MISSING, OUT_OF_REACH, Neighbours
from spoolq.text import shell_word

_KNOWN = DEAD | {HELD, OUT_OF_REACH}
LATE = 60.0  # seconds after which a job that is due should have run
_START = "spoolq worker start --count 1"
_RECOVER = "spoolq doctor --repair, or start a worker:  " + _START


class Crew(NamedTuple):
    """Who works here: state and card of each worker; what is no state is why it has none."""

    states: Dict[str, str]
    cards: Dict[str, Dict[str, Any]]

    @classmethod
    def muster(cls, patient: Patient) -> Crew:
        """Look at every worker's directory, and at those that claims name."""
        if patient.dir("workers") is None:
            return cls({}, {})  # nobody can be told dead before this can be seen
        claims = map(names.parse, patient.files("processing"))
        named = {claim.worker for claim in claims if claim is not None and claim.worker}
        found = {entry for entry in patient.files("workers") if names.is_worker(entry)}
        neighbours = Neighbours(patient.spool, time.monotonic)
        states: Dict[str, str] = {}
        cards: Dict[str, Dict[str, Any]] = {}
        for worker in sorted(named | found):
            cards[worker] = {}
            try:
                states[worker] = neighbours.state_of(worker)
                cards[worker] = lease.read_card(patient.spool, worker)
            except (OSError, SpoolqError) as error:
                states[worker] = getattr(error, "strerror", None) or str(error)
        return cls(neighbours.settled(states), cards)

    def is_known(self) -> bool:
        """Say whether each worker can be told alive or dead."""
        return all(state in _KNOWN for state in self.states.values())

    def at_work(self) -> List[str]:
        """Return the living who run jobs: a verb that changes one is a worker for a moment too."""
        return [
            worker
            for worker, state in self.states.items()
            if state == HELD and roster.WorkerView(worker, True, self.cards[worker], ()).stays
        ]


def claims(patient: Patient, crew: Crew) -> Iterator[Finding]:
    """Find claims that nobody works on."""
    for filename in patient.files("processing"):
        if not names.is_job(filename):
            continue
        path = f"processing/{filename}"
        claim = names.parse(filename)
        if claim is None or claim.worker is None:
            what = "it names no worker, so nobody runs it"
            yield problem("stray", path, what, _RECOVER, patient.recover)
        elif crew.states.get(claim.worker, HELD) in DEAD:
            view = views.look(patient.spool, "processing", filename, patient.settings)
            if view is None:
                continue
            if view.job is not None and view.job.recorded(claim.attempt, claim.stamp):
                what = f"its outcome is recorded, and its worker {claim.worker} is gone"
                yield problem("unfinished-move", path, what, _RECOVER, patient.recover)
            elif claim.mark is not None:
                what = f"its forwarder {claim.worker} is gone, and it may have arrived"
                yield problem("on-its-way", path, what, errands.settling(crew.cards[claim.worker]))
            else:
                what = f"its worker {claim.worker} is gone"
                yield problem("orphan", path, what, _RECOVER, patient.recover)


def workers(patient: Patient, crew: Crew) -> Iterator[Finding]:
    """Find workers that are gone, in trouble, or no workers."""
    if patient.dir("processing") is None:
        return  # what they claim cannot be seen
    claimed = {claim.worker for claim in map(names.parse, patient.files("processing")) if claim}
    present = set(patient.files("workers"))
    for entry in sorted(present):
        if not (names.is_worker(entry) or entry.startswith(".")):
            yield note("ignored", f"workers/{entry}", "it is no worker's directory", "move it away")
    for worker, state in crew.states.items():
        path = f"workers/{worker}"
        trouble = crew.cards[worker].get("trouble")
        if state == HELD:
            if trouble:
                yield problem("worker-trouble", path, str(trouble), "mend what it complains of")
        elif state == OUT_OF_REACH:
            host = crew.cards[worker].get("host", "another host")
            what = f"this worker is out of reach: its lock is free, and {host} does not write to it"
            fix = "wait: any worker takes it over when that has lasted for its lease"
            yield note("out-of-reach", path, what, fix)
        elif state not in DEAD:
            fix = "look at it; no worker takes over what it may run"
            yield problem("unknown-worker", path, f"it cannot be told alive or dead: {state}", fix)
        elif worker in present and state == MISSING and not _is_directory(patient, worker):
            yield note("ignored", path, "it is no worker's directory", "move it away")
        elif worker in present and worker not in claimed:
            what = "this worker is gone, and has no claims"
            yield problem("dead-worker", path, what, _RECOVER, patient.recover)


def _is_directory(patient: Patient, worker: str) -> bool:
    return stat.S_ISDIR(patient.spool.dir("workers").stat(worker).st_mode)


def waiting(patient: Patient, crew: Crew) -> Iterator[Finding]:
    """Find jobs that are due while nobody takes them."""
    count, oldest = _due(patient)
    if not count:
        return
    late = time.time() - oldest > LATE
    say = problem if late else note
    jobs = "1 job is due" if count == 1 else f"{count} jobs are due"
    has_paused = patient.spool.root.has(PAUSED)
    if has_paused:
        yield say("paused", PAUSED, f"{jobs}, and workers take nothing new", "spoolq resume")
    for tag in sorted(pauses.paused_tags(patient.spool)):
        what = f"{jobs}, and workers take none with the tag {tag}"
        yield note("paused", pauses.file_of(tag), what, f"spoolq resume --tag {shell_word(tag)}")
    if patient.dir("workers") is None:
        return
    if not crew.at_work():
        if crew.is_known():  # on a disk that fails nobody can be told dead
            yield say("no-worker", "workers", f"{jobs}, and no worker is there", _START)
        return
    before = instants.to_stamp(instants.later(instants.now(), -LATE))
    overdue = [
        name for name in patient.files("failed") if names.parse(name) is not None and name < before
    ]
    if overdue and not has_paused:
        yield problem(
            "overdue",
            f"failed/{min(overdue)}",
            f"{len(overdue)} retries have been due for more than a minute, and workers leave them",
            "look at what the worker says on its terminal or in its log",
        )


def _due(patient: Patient) -> Tuple[int, float]:
    """Return how many jobs are due, and since when the first of them is, by the wall clock."""
    now = instants.to_stamp(instants.now())
    count = 0
    first: Optional[str] = None
    for state in ("pending", "failed"):
        for filename in patient.files(state):
            name = names.parse(filename)
            if name is not None and name.stamp <= now:
                count += 1
                first = name.stamp if first is None else min(first, name.stamp)
            elif name is None and state == "pending" and names.is_job(filename):
                count += 1
    return count, instants.from_stamp(first).timestamp() if first else time.time()

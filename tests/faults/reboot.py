"""What comes after a death: a fresh spool object, a fresh recoverer, and a worker that ends it all.

The worker is the real one but for its commands: every job that it runs succeeds at once.
"""

from datetime import datetime, timedelta
from typing import List

from spoolq import instants, views
from spoolq.adoption import Intake, read_job
from spoolq.agenda import Agenda
from spoolq.chores import Beside, Chores
from spoolq.cli.beside import CHORES
from spoolq.job import next_place
from spoolq.lease import Lease
from spoolq.recovery import Recovery, record_of
from spoolq.spool import Record, SpoolDir
from tests import given


class Later:
    """A clock two days on, when all is due and all litter is old; it moves with each look."""

    def __init__(self) -> None:
        self._now = instants.now() + timedelta(days=2)
        self._seconds = 0.0

    def __call__(self) -> datetime:
        self._now += timedelta(milliseconds=1)
        return self._now

    def monotonic(self) -> float:
        self._seconds += 10.0
        return self._seconds


def success(claim, clock):
    """Return the history entry of a run that succeeded."""
    return {
        "attempt": claim.attempt,
        "worker": claim.worker,
        "started_at": instants.stamp_to_rfc3339(claim.stamp),
        "finished_at": instants.to_rfc3339(clock()),
        "exit_code": 0,
    }


def record(job, claim, entry, created_at, settings) -> Record:
    """Return the record of a run that ended as `entry` says."""
    state, at, attempt = next_place(entry, claim.attempt, settings.policy(job))
    data = job.with_entry(entry, created_at).to_bytes()
    return Record(claim, data, state, instants.to_stamp(at), attempt)


def to_the_end(path: str) -> List[str]:
    """Recover and run everything in the spool at `path`; return the ids in the order they ran."""
    spool = SpoolDir.open(path)
    clock = Later()
    ran: List[str] = []
    own = Lease.start(spool, {"count": 1})
    try:
        settings = views.settings_of(spool)[0]
        recovery = Recovery(spool, own, clock, clock.monotonic)
        chores = Chores(CHORES, Beside(spool, own, given.Bell(), clock, clock.monotonic))
        agenda = Agenda(spool, Intake(spool, clock, clock.monotonic), clock, clock.monotonic)
        for _ in range(8):  # rounds: a drop is doubted, then judged; a lost job fails, then waits
            taken = recovery.look(settings, set())
            _finish(spool, own, [record_of(found, settings) for found in taken])
            recovery.sweep()
            recovery.sweep_litter()
            chores.look(settings, thorough=True)
            agenda.rang()
            agenda.look_at_failed()
            agenda.refresh(settings)
            batch = []
            while True:
                found = agenda.take()
                if found is None:
                    break
                stamp = instants.to_stamp(clock())
                claim = spool.claim(*found, stamp, own.name, str(len(batch)))
                if claim is None:
                    continue
                job, created_at = read_job(spool.dir("processing"), str(claim), settings)
                ran.append(claim.id)
                batch.append(record(job, claim, success(claim, clock), created_at, settings))
            _finish(spool, own, batch)
            let_go = chores.look(settings, thorough=True)
            if not taken and not batch and not let_go and agenda.is_empty(settings):
                break
    finally:
        own.leave()
        spool.close()
    return ran


def _finish(spool: SpoolDir, own: Lease, records: List[Record]) -> None:
    if records:
        report = spool.finish(own.dir, records, "none")
        assert report.error is None, report.error

"""What tests put into a spool: jobs in any state, drops, workers, and runs that have ended."""

import json
import os

from spoolq import instants
from spoolq.adoption import read_job
from spoolq.config import Settings
from spoolq.job import next_place
from spoolq.lease import Lease
from spoolq.names import Name
from spoolq.spool import Record


def job(spool, state, name, **fields):
    """Put a job file into a state; return its name."""
    write(spool, state, str(name), json.dumps({"command": f"echo {name.id}", **fields}) + "\n")
    return name


def write(spool, state, filename, content):
    """Put a file into a state directory; return its path."""
    data = content if isinstance(content, bytes) else content.encode("utf-8")
    path = os.path.join(spool.path, state, filename)
    with open(path, "wb") as file:
        file.write(data)
    return path


def named(clock, job_id="j1", attempt=0, priority=5, wait=0.0):
    """Return the name of a job that waits for `wait` seconds from the clock's now."""
    stamp = instants.to_stamp(instants.later(clock(), wait))
    return Name(stamp, priority, attempt, job_id)


def worker(spool):
    """Return the lease of a worker that lives in this process."""
    return Lease.start(spool, {"count": 1})


def die(own):
    """Let a worker end as a kill ends it: its lock is freed, and nothing is cleaned up."""
    os.close(own._lock)
    own.dir.close()


def claim(spool, own, name, clock, slot="0"):
    """Claim a job that waits under `name`."""
    clock.advance(0.001)
    found = spool.claim(str(name), name, instants.to_stamp(clock()), own.name, slot)
    assert found is not None
    return found


def entry(claim, clock, **outcome):
    """Return the history entry of a claim's run that ends now."""
    return {
        "attempt": claim.attempt,
        "worker": claim.worker,
        "started_at": instants.stamp_to_rfc3339(claim.stamp),
        "finished_at": instants.to_rfc3339(clock()),
        **outcome,
    }


def record(spool, claim, clock, settings=None, **outcome):
    """Return the record of a claim's run that ends now as `outcome` says."""
    settings = settings or Settings()
    found, changed_at = read_job(spool.dir("processing"), str(claim), settings)
    end = entry(claim, clock, **outcome)
    state, at, attempt = next_place(end, claim.attempt, settings.policy(found))
    data = found.with_entry(end, changed_at).to_bytes()
    return Record(claim, data, state, instants.to_stamp(at), attempt)


class Bell:
    """A worker's bell that nobody hears; it remembers which names were told."""

    def __init__(self):
        self.names = []

    def tell(self, filename):
        self.names.append(filename)


def everything(spool):
    """Return state and file name of every job of the spool, in order."""
    return sorted(
        (state, filename)
        for state in ("pending", "processing", "failed", "completed", "dead")
        for filename in spool.dir(state).list()
        if filename.endswith(".json") and not filename.startswith(".")
    )


def content(spool, state, filename):
    """Return the bytes of a file in a state."""
    with open(os.path.join(spool.path, state, filename), "rb") as file:
        return file.read()


def history(spool, state, filename):
    """Return the history in a job file."""
    return json.loads(content(spool, state, str(filename))).get("history", [])

"""Kill anything at random moments: python -m tests.executors.dask.storm --seed 7 --jobs 200.

Dask workers with and without a nanny, nannies, the scheduler, and spoolq's own worker are killed,
and Dask workers are stopped for longer than a lease. All are started anew. At the end no job may be
lost, and none may ever have run twice at once.
"""

import argparse
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from spoolq.api import Spool
from tests.conftest import environment
from tests.executors.dask import beats
from tests.executors.dask.clusters import Cluster, children_of

LEASE = 3


class Storm:
    """A cluster, a spoolq worker, and what happens to them."""

    def __init__(self, directory, seed, jobs):
        self.random = random.Random(seed)
        self.directory = Path(directory)
        self.journal = self.directory / "beats"
        self.cluster = Cluster(self.directory / "dask")
        self.spool = Spool(str(self.directory / "spool"), create=True)
        self.worker = None
        self.stopped = []
        self.count = dict.fromkeys(("worker", "nanny", "scheduler", "spoolq", "stopped"), 0)
        for _ in range(jobs):
            made = self.random.choice([beats.command, beats.hidden])
            self.spool.enqueue(made(self.journal, self.random.randint(1, 60)), max_retries=1000)
        self.jobs = jobs

    def keep_up(self):
        """Start what is not there."""
        if self.cluster.scheduler is None or self.cluster.scheduler.poll() is not None:
            self.cluster.start_scheduler()
        self.cluster.workers = [one for one in self.cluster.workers if one.poll() is None]
        while len(self.cluster.workers) < 3:
            with_nanny = sum(one.has_nanny for one in self.cluster.workers)
            self.cluster.add(threads=2, nanny=with_nanny == 0)
        if self.worker is None or self.worker.poll() is not None:
            where = ["-o", f"address={self.cluster.address}", "-o", f"lease={LEASE}"]
            with open(self.directory / "spoolq.log", "ab") as log:
                self.worker = subprocess.Popen(
                    [sys.executable, "-m", "spoolq", "--spool", str(self.directory / "spool")]
                    + ["worker", "start", "--executor", "dask", *where],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    env=environment(),
                )

    def strike(self):
        """Do one thing to one of them."""
        what = self.random.choice(["worker", "worker", "nanny", "scheduler", "spoolq", "stopped"])
        with_nanny = [one for one in self.cluster.workers if one.has_nanny]
        without = [one for one in self.cluster.workers if not one.has_nanny]
        if what == "worker":
            pids = [one.pid for one in without]
            pids += [pid for one in with_nanny for pid in children_of(one.pid)]
        elif what == "nanny":
            pids = [one.pid for one in with_nanny]
        elif what == "stopped":
            pids = [one.pid for one in without]
        else:
            pids = [(self.cluster.scheduler if what == "scheduler" else self.worker).pid]
        if not pids:
            return
        pid = self.random.choice(pids)
        number = signal.SIGSTOP if what == "stopped" else signal.SIGKILL
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            return
        if what == "stopped":
            self.stopped.append((time.monotonic() + self.random.uniform(1, 4 * LEASE), pid))
        self.count[what] += 1

    def wake(self, *, all_of_them=False):
        """Let those go on that were stopped long enough."""
        for until, pid in list(self.stopped):
            if all_of_them or time.monotonic() > until:
                self.stopped.remove((until, pid))
                try:
                    os.kill(pid, signal.SIGCONT)
                except ProcessLookupError:
                    pass

    def left(self):
        """Return how many jobs have not come to their end."""
        counts = self.spool.counts()
        return self.jobs - counts["completed"] - counts["dead"]

    def run(self, seconds, patience):
        """Strike for so many seconds, then wait until all jobs have ended; return what is wrong."""
        calm_at = time.monotonic() + seconds
        give_up_at = calm_at + patience
        strike_at = 0.0
        while self.left() and time.monotonic() < give_up_at:
            self.keep_up()
            is_calm = time.monotonic() > calm_at
            self.wake(all_of_them=is_calm)
            if not is_calm and time.monotonic() > strike_at:
                strike_at = time.monotonic() + self.random.uniform(0.3, 4)
                self.strike()
            time.sleep(0.05)
        return self.wrong()

    def wrong(self):
        """Return what must not be."""
        counts, ends = self.spool.counts(), beats.ended(self.journal)
        found = [
            f"job {job} ran twice at once (attempt {n})" for job, n in beats.doubles(self.journal)
        ]
        if counts["completed"] != self.jobs:
            found.append(f"of {self.jobs} jobs not all are completed: {counts}")
        found += [f"job {job} never came to its end" for job, n in ends.items() if not n]
        if len(ends) != self.jobs:
            found.append(f"{self.jobs - len(ends)} jobs never ran")
        return found

    def stop(self):
        """End all of it."""
        self.wake(all_of_them=True)
        if self.worker is not None:
            self.worker.kill()
            self.worker.wait()
        self.cluster.stop()


def main():
    """Run one storm, and tell of it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=random.randrange(10_000))
    parser.add_argument("--jobs", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--patience", type=float, default=120)
    parser.add_argument("--keep", help="work here, and leave everything")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        directory = asked.keep or temporary
        Path(directory).mkdir(exist_ok=True)
        storm = Storm(directory, asked.seed, asked.jobs)
        try:
            wrong = storm.run(asked.seconds, asked.patience)
        finally:
            storm.stop()
        begun = sum(word == "begin" for word, _, _ in beats.lines(storm.journal))
        struck = ", ".join(f"{n} {what}" for what, n in storm.count.items())
        print(f"seed {asked.seed}: {asked.jobs} jobs in {begun} attempts; struck: {struck}")
        print("\n".join(wrong) or "none lost, none twice at once")
        return bool(wrong)


if __name__ == "__main__":
    sys.exit(main())

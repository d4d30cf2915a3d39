"""A cluster for the tests of a module, and an executor on it."""

import os
import time

import pytest

pytest.importorskip("distributed", reason="Dask is not installed: pip install 'spoolq[dask]'")

from spoolq import config, instants, lease, logs, names  # noqa: E402
from spoolq.bell import Bell  # noqa: E402
from spoolq.executors import Context, Run  # noqa: E402
from spoolq.executors.dask import make  # noqa: E402
from spoolq.job import Job  # noqa: E402
from tests.conftest import DEADLINE, wait_until  # noqa: E402
from tests.executors.dask.clusters import Cluster  # noqa: E402


class Bench:
    """An executor on a cluster, and runs for it."""

    def __init__(self, spool, address, most=None, lease_seconds=20):
        self.spool = spool
        self.lease = lease.Lease.start(spool, {})
        self.bell = Bell()
        self.runs = {}
        self._ends = {}
        self._number = 0
        context = Context(spool, self.lease.name, most, self.bell, {}, instants.now, time.monotonic)
        self.executor = make(context, {"address": address, "lease": str(lease_seconds)})

    def run(self, command, settings=None, priority=5, attempt=1, **fields):
        """Make a claimed run."""
        slot = self.lease.take_slot(f"dask_{self._number}")
        stamp = instants.to_stamp(instants.now())
        waited = names.Name(stamp, priority, attempt - 1, names.new_id())
        label = f"dask_{self._number}"
        claim = names.Name(stamp, priority, attempt, waited.id, self.lease.name, label)
        self._number += 1
        self.spool.dir("processing").write(str(claim), b"{}", sync=False)
        job = Job({"command": command, **fields})
        settings = config.read(config.write(settings or {}))[0]
        return Run(claim, waited, job, instants.now(), slot, settings)

    def start(self, command, settings=None, **fields):
        """Submit a run as soon as there is room."""
        wait_until(lambda: len(self.runs) < self.executor.capacity(), "room for a run")
        run = self.run(command, settings, **fields)
        self.executor.submit(run)
        self.runs[run.claim] = run
        return run

    def await_end(self, run, seconds=DEADLINE):
        """Wait as the worker does and return how the run ended."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            self.listen()
            if run.claim in self._ends:
                return self._ends[run.claim]
            self.bell.wait(0.1)
        raise AssertionError("the run does not end")

    def listen(self):
        """Hear what has ended."""
        for ended in self.executor.outcomes():
            os.close(ended.run.slot)
            del self.runs[ended.run.claim]  # a second end of a run would fail here
            self._ends[ended.run.claim] = ended
            self.spool.dir("processing").discard(str(ended.run.claim))

    def end_of(self, command, settings=None, **fields):
        """Return how a command ends."""
        return self.await_end(self.start(command, settings, **fields))

    def log(self, run):
        """Return what a run has printed, None if there is no log."""
        try:
            name = str(logs.log_name(run.claim))
            return self.spool.dir("logs").read(name, 1 << 22)[0].decode()
        except FileNotFoundError:
            return None

    def output_of(self, command, settings=None, **fields):
        """Return what a command that succeeds prints."""
        ended = self.end_of(command, settings, **fields)
        assert ended.exit_code == 0, (ended, self.log(ended.run))
        return self.log(ended.run)

    def close(self):
        """Let all go, as a worker does that is left."""
        self.executor.close()
        for run in self.runs.values():
            os.close(run.slot)
        self.lease.leave()
        self.bell.close()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A cluster with one worker of four threads, for tests that leave it whole."""
    cluster = Cluster(tmp_path_factory.mktemp("dask"))
    try:
        yield cluster.start(workers=1, threads=4)
    finally:
        cluster.stop()


@pytest.fixture
def bench(spool, cluster):
    bench = Bench(spool, cluster.address)
    yield bench
    bench.close()


@pytest.fixture
def own_cluster(tmp_path):
    """A cluster for one test, which may kill what is in it."""
    cluster = Cluster(tmp_path / "dask")
    yield cluster
    cluster.stop()


@pytest.fixture
def new_bench(spool):
    """Make executors, which are closed at the end."""
    made = []

    def make_one(address, **options):
        made.append(Bench(options.pop("spool", spool), address, **options))
        return made[-1]

    yield make_one
    for one in made:
        one.close()

"""How fast spoolq hands commands to Dask, beside Dask alone: python -m tests.executors.dask.bench.

The same commands on the same cluster, in turns: by `Client.map` of a function that runs them with
subprocess, by `Client.submit` of no more at a time than there are threads, and through a spool; and
through a spool by child processes, for comparison. What is printed are the medians of the turns.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from spoolq import instants
from spoolq.api import Spool
from tests.conftest import environment
from tests.executors.dask.clusters import Cluster

COMMAND = ["true"]


def bare(cluster, jobs):
    """Return the seconds that Dask alone takes."""
    from distributed import Client

    with Client(cluster.address, set_as_default=False) as client:
        begun = time.perf_counter()
        futures = client.map(_run, [COMMAND] * jobs, pure=False, batch_size=None)
        assert client.gather(futures) == [0] * jobs
        return time.perf_counter() - begun


def one_by_one(cluster, jobs, slots):
    """Return the seconds that Dask alone takes, if no more is sent than there are threads."""
    from distributed import Client, as_completed

    with Client(cluster.address, set_as_default=False) as client:
        begun = time.perf_counter()

        def send():
            return client.submit(_run, COMMAND, pure=False)

        sent = as_completed([send() for _ in range(slots)], with_results=True, loop=client.loop)
        left = jobs - slots
        for _, code in sent:
            assert code == 0
            if left:
                sent.add(send())
                left -= 1
        return time.perf_counter() - begun


def _run(words):
    return subprocess.run(words, check=False).returncode


def through_a_spool(jobs, *options):
    """Return the seconds from the first start to the last end, as the spool has them."""
    with tempfile.TemporaryDirectory() as directory:
        spool = Spool(directory, create=True)
        spool.enqueue_many([{"command": COMMAND}] * jobs)
        subprocess.run(
            [sys.executable, "-m", "spoolq", "--spool", directory, "worker", "start", "--drain"]
            + [*options],
            check=True,
            stderr=subprocess.DEVNULL,
            env=environment(),
        )
        runs = [_last_run(path) for path in Path(directory, "completed").glob("*.json")]
        assert len(runs) == jobs
        begun = min(instants.from_rfc3339(run["started_at"]) for run in runs)
        ended = max(instants.from_rfc3339(run["finished_at"]) for run in runs)
        return (ended - begun).total_seconds()


def _last_run(path):
    return json.loads(path.read_bytes())["history"][-1]


def main():
    """Measure, and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=400)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--threads", type=int, default=2)
    asked = parser.parse_args()
    slots = str(asked.workers * asked.threads)
    with tempfile.TemporaryDirectory() as directory:
        cluster = Cluster(directory).start(asked.workers, threads=asked.threads)
        dask = ["--executor", "dask", "-o", f"address={cluster.address}"]
        ways = {
            "Client.map alone": lambda: bare(cluster, asked.jobs),
            "Client.submit alone": lambda: one_by_one(cluster, asked.jobs, int(slots)),
            "spoolq on Dask": lambda: through_a_spool(asked.jobs, *dask),
            "spoolq on this machine": lambda: through_a_spool(asked.jobs, "--count", slots),
        }
        took = {name: [] for name in ways}
        try:
            for _ in range(asked.turns):
                for name, way in ways.items():
                    took[name].append(asked.jobs / way())
        finally:
            cluster.stop()
    for name, rates in took.items():
        spread = f"{min(rates):.0f} to {max(rates):.0f}"
        print(f"{name:24}{statistics.median(rates):6.0f} jobs/s   ({spread})")


if __name__ == "__main__":
    main()

"""How fast spoolq hands jobs to Slurm, beside `sbatch` in a loop.

    python -m tests.benchmarks.batch

A Slurm of its own on this machine; both in turns. "handed over" is the rate at which Slurm gets
jobs, "through" the rate from the first to the end of the last, with all that the compute node does.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Callable, Dict, List

from tests.benchmarks.bench import clean_environment, median, say, until
from tests.executors.batch import cluster


def _bare(slurm: cluster.Slurm, place: Path, jobs: int) -> Dict[str, float]:
    script = place / "script"
    script.write_text(f'#!/bin/sh\ntouch {place}/done."$1"\n')
    environment = {**os.environ, **slurm.environment}
    began = time.monotonic()
    for number in range(jobs):
        words = ["sbatch", "--output=/dev/null", str(script), str(number)]
        subprocess.run(words, check=True, stdout=subprocess.DEVNULL, env=environment)
    handed = time.monotonic() - began
    until(lambda: len(list(place.glob("done.*"))) == jobs, "the end of all jobs", 300)
    return {"handed over": jobs / handed, "through": jobs / (time.monotonic() - began)}


def _spoolq(slurm: cluster.Slurm, place: Path, jobs: int) -> Dict[str, float]:
    environment = clean_environment(**slurm.environment)
    command = [sys.executable, "-m", "spoolq", "--spool", str(place / "spool")]
    lines = "".join(f"touch {place}/done.{number}\n" for number in range(jobs))
    subprocess.run(
        [*command, "enqueue", "-"],
        input=lines,
        text=True,
        check=True,
        stdout=subprocess.DEVNULL,
        env=environment,
    )
    worker = subprocess.Popen(
        [*command, "worker", "start", "--executor", "slurm", "--count", str(jobs), "--drain"],
        stderr=subprocess.DEVNULL,
        env=environment,
    )
    try:
        # PSI/J writes one just before each sbatch; that is looked at, and Slurm not disturbed.
        scripts = place / "spool" / "tickets" / "psij" / "slurm"
        seen = set()

        def handed() -> int:
            seen.update(scripts.glob("*.job"))
            return len(seen)

        until(handed, "the first job", 60)
        began = time.monotonic()  # Python and PSI/J are loaded
        until(lambda: handed() == jobs, "the last submit", 300)
        took = time.monotonic() - began
        until(lambda: worker.poll() is not None, "the end of all jobs", 300)
        through = time.monotonic() - began
    finally:
        if worker.poll() is None:
            worker.kill()
        worker.wait()
    assert len(list(place.glob("done.*"))) == jobs
    return {"handed over": (jobs - 1) / took, "through": jobs / through}


CONTENDERS: Dict[str, Callable[[cluster.Slurm, Path, int], Dict[str, float]]] = {
    "sbatch in a loop": _bare,
    "spoolq": _spoolq,
}


def main() -> int:
    """Measure, and print the medians as JSON."""
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.batch", description=__doc__)
    parser.add_argument("--jobs", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    reason = cluster.why_not()
    if reason:
        print(f"no Slurm can be started: {reason}", file=sys.stderr)
        return 2
    rates: Dict[str, Dict[str, List[float]]] = {name: {} for name in CONTENDERS}
    for number in range(options.rounds):
        for name, measure in CONTENDERS.items():
            with tempfile.TemporaryDirectory(prefix="spoolq-bench-") as place:
                slurm = cluster.Slurm(Path(place) / "slurm", share=4)
                try:
                    found = measure(slurm.start(), Path(place), options.jobs)
                finally:
                    slurm.stop()
            say(f"round {number + 1}, {name}: {found}")
            for key, value in found.items():
                rates[name].setdefault(key, []).append(value)
    print(json.dumps({n: {k: round(median(v), 1) for k, v in r.items()} for n, r in rates.items()}))
    return 0


if __name__ == "__main__":
    sys.exit(main())

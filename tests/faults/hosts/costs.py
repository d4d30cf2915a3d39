"""What a job costs over NFS: ``python -m tests.faults.hosts.costs``; a JSON line a durability.

Counted by a host's kernel (mountstats): requests to the server by their kinds. The rates are those
of guests that share this machine's processors, so only what is beside what tells anything.
"""

import json
import os
import re
import sys
import tempfile
import time
from collections import Counter
from typing import Any, Dict, Iterable, List

from ..apart import scratch
from ..cases import Bench
from ..place import wait_for
from .cluster import Cluster, Host, go_apart, unable
from .consoles import Told

_JOBS = 100
_IDLE = 20.0  # seconds
_TELLS = re.compile(r" (attempt|completed:) ")
_OP = re.compile(r"^\s+([A-Z_0-9]+): (\d+) ", re.MULTILINE)


def _requests(host: Host) -> "Counter[str]":
    """Return how often a host has asked its server for what."""
    stats = "\n".join(host.do("cat /proc/self/mountstats"))
    ours = stats[stats.index(" mounted on /mnt/nfs ") :]
    return Counter({kind: int(number) for kind, number in _OP.findall(ours) if int(number)})


def _each(before: "Counter[str]", after: "Counter[str]", number: float) -> Dict[str, float]:
    used = after - before
    each = {kind: round(count / number, 2) for kind, count in used.most_common()}
    return {"all": round(sum(used.values()) / number, 1), **each}


def _trivial(name: str, number: int) -> Iterable[Dict[str, Any]]:
    return ({"id": f"{name}-{n}", "command": ["/bin/true"]} for n in range(number))


def _over(told: Told, seconds: float = 300.0) -> Told:
    if not wait_for(lambda: told.code is not None, seconds) or told.code:
        raise OSError(f"it ends with {told.code}: {told.text[-1000:]}")
    return told


def _rate(workers: List[Told], jobs: int) -> float:
    """Return the jobs a second from the first start to the last end, by the workers' logs."""
    lines = [line for told in workers for line in told.lines if _TELLS.search(line)]
    hours = [line.split()[1].replace(",", ".").split(":") for line in lines]
    times = [3600 * int(hour) + 60 * int(minute) + float(second) for hour, minute, second in hours]
    return round(jobs / (max(times) - min(times)), 1)


def _drain(hosts: List[Host], count: str = "4", jobs: int = _JOBS) -> float:
    _over(hosts[0].enqueue(_trivial(f"d{next(_numbers)}", jobs)))
    workers = [host.worker("--drain", "--count", count) for host in hosts]
    return _rate([_over(told) for told in workers], jobs)


def _numbered() -> Iterable[int]:
    number = 0
    while True:
        number += 1
        yield number


_numbers = iter(_numbered())


def _measure(bench: Bench, durability: str) -> Dict[str, Any]:
    line: Dict[str, Any] = {}
    with Cluster(bench, 2, durability=durability, lease=60) as cluster:
        host = cluster.hosts[0]
        _over(host.spoolq("enqueue", "true"))
        before = _requests(host)
        for _ in range(5):
            _over(host.spoolq("enqueue", "true"))
        line["requests for one enqueue"] = _each(before, _requests(host), 5)
        before = _requests(host)
        _over(host.enqueue(_trivial("batch", _JOBS)))
        line[f"requests for each of {_JOBS} in one enqueue"] = _each(before, _requests(host), _JOBS)
        before = _requests(host)
        line["jobs/s, one host"] = _rate([_over(host.worker("--drain", "--count", "4"))], _JOBS + 6)
        line["requests to claim, run and finish one"] = _each(before, _requests(host), _JOBS + 6)
        line["jobs/s, two hosts"] = _drain(cluster.hosts)
        worker = host.worker("--count", "4")
        wait_for(lambda: worker.lines, 60)
        time.sleep(5)  # until it has looked at everything, and rests
        before, began = _requests(host), time.monotonic()
        time.sleep(_IDLE)
        line["requests/s of a worker at rest"] = _each(
            before, _requests(host), time.monotonic() - began
        )
    return line


def _beside(bench: Bench, durability: str) -> float:
    """Return the jobs a second on an ext4 of the server's own, in the same guest."""
    with Cluster(bench, 1, durability=durability) as cluster:
        cluster.server.do("mkdir -p /mnt/nfs && mount --bind /mnt/disk/export /mnt/nfs")
        return _drain([cluster.server])


def main() -> None:
    """Measure, and print."""
    reason = unable()
    if reason is not None:
        sys.exit(reason)
    for durability in ("full", "none"):
        with tempfile.TemporaryDirectory(dir=scratch()) as top:
            os.mkdir(os.path.join(top, "nfs"))
            os.mkdir(os.path.join(top, "ext4"))
            line = _measure(Bench(os.path.join(top, "nfs"), False), durability)
            beside = Bench(os.path.join(top, "ext4"), False)
            line["jobs/s on ext4 in the same guest"] = _beside(beside, durability)
            print(json.dumps({"durability": durability, **line}), flush=True)


if __name__ == "__main__":
    go_apart("tests.faults.hosts.costs")
    main()

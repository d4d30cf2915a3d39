"""Several hosts at work on one spool, and nothing wrong with any: none lost, none run twice."""

from typing import Callable

from ..cases import Bench, Case
from .cluster import Cluster, unable
from .judging import acknowledged, judge, quick


def _share(hosts: int, options: str, jobs: int) -> Callable[[Bench], None]:
    """Return a case: each host enqueues its part, and all run what comes."""

    def perform(bench: Bench) -> None:
        number = jobs * (10 if bench.long else 1) // hosts
        with Cluster(bench, hosts, options, lease=60) as cluster:
            workers = [host.worker("--count", "4") for host in cluster.hosts]
            told = [host.enqueue(quick(number)) for host in cluster.hosts]
            cluster.completed(number * hosts, 600)
            judge(bench, cluster, acknowledged(bench, told, number * hosts), workers)

    return perform


_FRESH = "actimeo=1,lookupcache=none"
CASES = [
    Case("two hosts", _share(2, "", 120), unable),
    Case(
        "two hosts, fresh names", _share(2, "actimeo=1,lookupcache=none", 60), unable, is_long=True
    ),
    Case("three hosts", _share(3, "", 240), unable, is_long=True),
]

"""Hosts that disagree about the time, or go by one name."""

from typing import Callable

from ..cases import Bench, Case
from .cluster import LEASE, WITNESS, Cluster, unable
from .dying import PATIENCE
from .judging import acknowledged, judge, lasting, runs_on

#: Fails once, so that its retry is timed by one host and taken up by any.
_FAILS_ONCE = f'{WITNESS} 0; [ "$SPOOLQ_ATTEMPT" -gt 1 ]'


def _twins(hours: int, hostname: str, is_known_apart: bool) -> Callable[[Bench], None]:
    """Return a case: two hosts work on one spool, then one of them dies.

    Args:
        hours: by which the clock of the second is ahead; negative: behind.
        hostname: of both; none: each has its own.
        is_known_apart: whether the server tells them apart, as `nfs4_unique_id` does.
    """

    def perform(bench: Bench) -> None:
        names = [hostname, hostname] if hostname else []
        how = {"hostnames": names, "are_known_apart": is_known_apart, "lease": 1.5 * LEASE}
        with Cluster(bench, 2, **how) as cluster:
            first, second = cluster.hosts
            if hours:
                second.do(f"date -s '{hours:+} hours'")
            workers = [host.worker("--count", "3") for host in cluster.hosts]
            told = [host.enqueue(lasting(host.name, 15, 0.4)) for host in cluster.hosts]
            ids = acknowledged(bench, told, 30)
            fails = [{"id": f"fails-{n}", "command": _FAILS_ONCE} for n in range(4)]
            told = [first.enqueue(fails[:2]), second.enqueue(fails[2:])]
            failing = acknowledged(bench, told, 4)
            cluster.completed(34, 90)
            behind = first if hours >= 0 else second  # for who is ahead, its jobs are due
            late = acknowledged(bench, [behind.enqueue(lasting("late", 6, 6))], 6)
            runs_on(bench, cluster, first, 1, late)
            first.kill()
            bench.count("hosts killed")
            cluster.completed(40, PATIENCE + 20)
            judge(bench, cluster, [*ids, *late, *failing], workers[1:], {first.name}, failing)

    return perform


CASES = [
    Case("clocks an hour apart and one hostname", _twins(1, "twin", True), unable),
    Case("a clock that is two hours behind", _twins(-2, "", True), unable, is_long=True),
    Case("hosts that the server cannot tell apart", _twins(0, "twin", False), unable, is_long=True),
]

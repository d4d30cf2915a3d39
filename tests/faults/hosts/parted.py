"""A host is cut off from the server, or stands still, and comes back."""

import time

from ..cases import Bench, Case
from ..place import wait_for
from .cluster import LEASE, Cluster, unable
from .dying import PATIENCE
from .judging import acknowledged, judge, lasting, long_at_first, runs_on, stubborn, taken_over


def cut_off(bench: Bench) -> None:
    """It ends its commands, the stubborn too, before another host starts them; then it is lost."""
    with Cluster(bench, 2) as cluster:
        first, second = cluster.hosts
        lost = first.worker("--count", "4")
        jobs = [*long_at_first("long", 2), *long_at_first("stubborn", 2, stubborn)]
        ids = acknowledged(bench, [first.enqueue(jobs)], 4)
        runs_on(bench, cluster, first, 4)
        workers = [second.worker("--count", "4")]
        ids += acknowledged(bench, [second.enqueue(lasting("short", 4, 1))], 4)
        first.cut_off()
        bench.count("hosts cut off")
        taken_over(bench, cluster, second, ids[:4], PATIENCE)
        first.reconnect()
        over = wait_for(lambda: lost.code is not None, 90)
        bench.check(over and lost.code, f"the lost worker ends with {lost.code}: {lost.lines[-5:]}")
        bench.check("lost" in lost.text, f"it does not say that it was lost: {lost.lines[-5:]}")
        workers.append(first.worker("--count", "2"))
        ids += acknowledged(bench, [first.enqueue(lasting("again", 2, 1))], 2)
        cluster.completed(len(ids))
        judge(bench, cluster, ids, workers, harmed={first.name})


def _cut_off_shortly(bench: Bench) -> None:
    """For less than half of its lease, again and again: nothing happens to its jobs."""
    with Cluster(bench, 2) as cluster:
        first, second = cluster.hosts
        workers = [first.worker("--count", "3")]
        ids = acknowledged(bench, [first.enqueue(lasting("long", 3, 3 * LEASE))], 3)
        runs_on(bench, cluster, first, 3)
        workers.append(second.worker("--count", "3"))
        for _ in range(3 if bench.long else 2):
            first.cut_off()
            bench.count("hosts cut off")
            time.sleep(LEASE / 4)  # the fault itself: there is nothing to wait for
            first.reconnect()
            first.do("ls /mnt/nfs/spool/pending")
        cluster.completed(3)
        judge(bench, cluster, ids, workers)


CASES = [
    Case("a host is cut off beyond its lease", cut_off, unable),
    Case("a host is cut off for less than its lease", _cut_off_shortly, unable),
]

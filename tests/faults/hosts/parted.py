"""A host is cut off from the server, or stands still, and comes back."""

import time
from typing import Callable, List

from ..cases import Bench, Case
from ..place import wait_for
from .cluster import LEASE, SERVERS_LEASE, Cluster, unable
from .dying import PATIENCE
from .judging import (
    acknowledged,
    at_work,
    judge,
    lasting,
    long_at_first,
    stubborn,
    taken_over,
)

_AT_ONCE = 2.0  # seconds in which a host that went on has ended its commands


def cut_off(bench: Bench, lease: float = LEASE) -> None:
    """It ends its commands, the stubborn too, before another host starts them; then it is lost."""
    with Cluster(bench, 2, lease=lease) as cluster:
        first, second = cluster.hosts
        jobs = [*long_at_first("long", 2), *long_at_first("stubborn", 2, stubborn)]
        lost, ids = at_work(bench, cluster, first, jobs)
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


def _cut_off_for(seconds: float, lease: float, cuts: int) -> Callable[[Bench], None]:
    """Return a case: cut off for less than half of its lease, nothing happens to a host's jobs.

    Two workers of that host and one of another look at each other all the while; a server whose own
    lease is shorter gives the host's locks to whoever asks for them.
    """

    def perform(bench: Bench) -> None:
        with Cluster(bench, 2, lease=lease) as cluster:
            first, second = cluster.hosts
            times = cuts if bench.long else 1
            lives = 3 * times * seconds
            one, ids = at_work(bench, cluster, first, lasting("one", 3, lives))
            other, more = at_work(bench, cluster, first, lasting("other", 2, lives))
            watcher = second.worker("--count", "3")
            bench.check(wait_for(lambda: watcher.lines, 60), "the second host does not work")
            for _ in range(times):
                first.cut_off()
                bench.count("hosts cut off")
                time.sleep(seconds)  # the fault itself: there is nothing to wait for
                before = _beats(cluster)
                first.reconnect()
                beats = wait_for(lambda known=before: _beats(cluster) != known, 30 + 2 * seconds)
                bench.check(beats, f"its hearts beat no more: {cluster.tail()}")
            ids += more + acknowledged(bench, [first.enqueue(lasting("later", 6, 1))], 6)
            cluster.completed(len(ids), 120)
            judge(bench, cluster, ids, [one, other, watcher])

    return perform


def _beats(cluster: Cluster) -> List[str]:
    """Return when the server last heard from each of the first host's workers."""
    return cluster.server.do("stat -c %y /mnt/disk/export/spool/workers/host1-*/worker.json")


def _stands_still(bench: Bench) -> None:
    """A host stands still for longer than its lease, and its commands with it.

    It cannot end them before others start the jobs; but it does so as soon as it goes on.
    """
    with Cluster(bench, 2) as cluster:
        first, second = cluster.hosts
        lost, ids = at_work(bench, cluster, first, long_at_first("long", 3))
        workers = [second.worker("--count", "3")]
        first.freeze()
        bench.count("hosts that stood still")
        taken_over(bench, cluster, second, ids, PATIENCE)
        since = len(cluster.signs)
        first.thaw()
        over = wait_for(lambda: lost.code is not None, 90)
        bench.check(over and lost.code, f"the lost worker ends with {lost.code}: {lost.lines[-5:]}")
        late = [sign for sign in cluster.signs[since:] if sign.host == first.name]
        told = late[-1].at - late[0].at if late else 0.0
        bench.check(told < _AT_ONCE, f"its commands live on for {told:.1f} s: {lost.lines[-5:]}")
        bench.check(len(late) <= 3 * (5 * _AT_ONCE + 1), f"{len(late)} signs of life")
        cluster.consoles.signs = [sign for sign in cluster.signs if sign not in late]
        judge(bench, cluster, ids, workers, harmed={first.name})


CASES = [
    Case("a host is cut off beyond its lease", cut_off, unable),
    Case("a host is cut off for less than its lease", _cut_off_for(5, 20, 3), unable),
    Case(
        "a host is cut off beyond the server's lease alone",
        _cut_off_for(2 * SERVERS_LEASE, 160, 1),
        unable,
        is_long=True,
    ),
    Case("a host stands still beyond its lease", _stands_still, unable, is_long=True),
]

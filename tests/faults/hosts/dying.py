"""A host dies amid its jobs: the others wait for its lease, and run them then."""

from ..cases import Bench, Case
from ..place import wait_for
from .cluster import LEASE, SERVERS_LEASE, Cluster, unable
from .judging import acknowledged, at_work, judge, lasting, long_at_first, taken_over

#: Seconds after which another host has to have taken over, on a busy machine.
PATIENCE = LEASE + SERVERS_LEASE + 25


def _dies(bench: Bench) -> None:
    """The power of a host fails; with more time it comes back and works on."""
    with Cluster(bench, 2) as cluster:
        first, second = cluster.hosts
        doomed, ids = at_work(bench, cluster, first, long_at_first("long", 3))
        workers = [second.worker("--count", "3")]
        ids += acknowledged(bench, [second.enqueue(lasting("short", 6, 1))], 6)
        first.kill()
        bench.count("hosts killed")
        taken_over(bench, cluster, second, ids[:3], PATIENCE)
        if bench.long:
            first.boot("client")
            first.mount()
            workers.append(first.worker("--count", "2"))
            ids += acknowledged(bench, [first.enqueue(lasting("again", 6, 1))], 6)
        cluster.completed(len(ids))
        bench.check(doomed.code is None, f"the killed worker ends with {doomed.code}")
        judge(bench, cluster, ids, workers, harmed={first.name})


def _all_die(bench: Bench) -> None:
    """The power of all hosts fails, at some moment amid many jobs, and comes back."""
    with Cluster(bench, 3) as cluster:
        for host in cluster.hosts:
            host.worker("--count", "4")
        told = [host.enqueue(lasting(host.name, 20, 1)) for host in cluster.hosts]
        ids = acknowledged(bench, told, 60)
        came = wait_for(lambda: len(cluster.names("completed")) > 10, 60)
        bench.check(came, f"the jobs do not run: {cluster.tail()}")
        for host in cluster.hosts:
            host.kill()
            bench.count("hosts killed")
        workers = []
        for host in cluster.hosts:
            host.boot("client")
            host.mount()
            workers.append(host.worker("--count", "4"))
        cluster.completed(60, PATIENCE + 60)
        judge(bench, cluster, ids, workers, harmed={host.name for host in cluster.hosts})


def _only_the_worker_dies(bench: Bench) -> None:
    """A worker is killed and its commands live on, for longer than its lease: nobody starts them
    beside that; the locks of their slots, which they have inherited, keep others off."""
    with Cluster(bench, 2) as cluster:
        first, second = cluster.hosts
        _, ids = at_work(bench, cluster, first, lasting("long", 2, 2.5 * LEASE))
        workers = [second.worker("--count", "2")]
        first.do("pkill -KILL -f 'spoolq.* worker start'")
        bench.count("workers killed")
        taken_over(bench, cluster, second, ids, PATIENCE + 5 * LEASE)
        judge(bench, cluster, ids, workers, harmed={first.name})


CASES = [
    Case("a host dies", _dies, unable),
    Case("a worker dies and its commands live on", _only_the_worker_dies, unable, is_long=True),
    Case("all hosts die", _all_die, unable, is_long=True),
]

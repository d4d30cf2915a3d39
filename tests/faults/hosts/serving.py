"""The server hangs, or is restarted, under hosts that have mounted it hard."""

from typing import Callable, List

from ..cases import Bench, Case
from ..place import wait_for
from .cluster import LEASE, WITNESS, Cluster, Host, unable
from .consoles import Told
from .dying import PATIENCE
from .judging import acknowledged, judge, lasting, long_at_first, runs_on

_PATIENT = 90.0  # seconds: a lease that outlasts what befalls the server here


def _still_work(hosts: List[Host], workers: List[Told]) -> None:
    """Start another worker in the place of each that has ended."""
    for number, host in enumerate(hosts):
        if workers[number].code is not None:
            workers[number] = host.worker("--count", "4")


def _hangs(bench: Bench) -> None:
    """For longer than the leases: every host ends its commands, and all go on once it is back."""
    with Cluster(bench, 2) as cluster:
        workers = [host.worker("--count", "4") for host in cluster.hosts]
        jobs = [[*long_at_first(host.name, 2)] for host in cluster.hosts]
        told = [host.enqueue(some) for host, some in zip(cluster.hosts, jobs)]
        ids = acknowledged(bench, told, 4)
        came = wait_for(lambda: sum(s.kind == "start" for s in cluster.signs) == 4, 60)
        bench.check(came, f"the jobs do not start: {cluster.tail()}")
        cluster.server.freeze()
        bench.count("servers that hung")
        enqueues = cluster.hosts[0].enqueue(lasting("meanwhile", 3, 0.2))
        quiet = wait_for(lambda: cluster.quiet_for() > 2, 2 * LEASE + 10)
        bench.check(quiet, "commands live on, a lease after the server hung")
        is_over = wait_for(lambda: enqueues.code is not None, 60 if bench.long else 2)
        bench.check(not is_over, f"enqueue ends while the server hangs: {enqueues.text}")
        cluster.server.thaw()
        ids += acknowledged(bench, [enqueues], 3, 120)
        _still_work(cluster.hosts, workers)
        cluster.completed(7, PATIENCE + 60)
        judge(bench, cluster, ids, workers, harmed={host.name for host in cluster.hosts})


def _befalls(what: Callable[[Bench, Cluster], List[str]]) -> Callable[[Bench], None]:
    """Return a case: something shorter than the leases befalls the server; no job runs again."""

    def perform(bench: Bench) -> None:
        with Cluster(bench, 2, lease=_PATIENT) as cluster:
            workers = [host.worker("--count", "4") for host in cluster.hosts]
            told = [host.enqueue(lasting(host.name, 12, 2)) for host in cluster.hosts]
            ids = acknowledged(bench, told, 24)
            runs_on(bench, cluster, cluster.hosts[0], 1, ids)
            ids += what(bench, cluster)
            enqueues = cluster.hosts[1].enqueue(lasting("later", 3, 0.2))
            ids += acknowledged(bench, [enqueues], 3, 120)
            cluster.completed(len(ids), 120)
            judge(bench, cluster, ids, workers)

    return perform


def _hangs_shortly(bench: Bench, cluster: Cluster) -> List[str]:
    cluster.server.freeze()
    bench.count("servers that hung")
    enqueues = cluster.hosts[0].spoolq("enqueue", "--id", "waits", f"{WITNESS} 0")
    over = wait_for(lambda: enqueues.code is not None, 60 if bench.long else 10)
    bench.check(not over, f"enqueue ends while the server hangs: {enqueues.text}")
    cluster.server.thaw()
    return acknowledged(bench, [enqueues], 1, 90)


def _restarts(bench: Bench, cluster: Cluster) -> List[str]:
    for _ in range(3 if bench.long else 1):
        done = len(cluster.names("completed"))
        cluster.restart_server()
        bench.count("servers restarted")
        goes_on = wait_for(lambda known=done: len(cluster.names("completed")) > known, 60)
        bench.check(goes_on, f"nothing completes after a restart: {cluster.tail()}")
    return []


CASES = [
    Case("the server hangs for longer than the leases", _hangs, unable),
    Case("the server hangs for a while", _befalls(_hangs_shortly), unable, is_long=True),
    Case("the server is restarted", _befalls(_restarts), unable, is_long=True),
]

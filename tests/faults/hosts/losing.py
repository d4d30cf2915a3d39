"""What a network filesystem says that is not so: lost replies, errors, names that are stale."""

from typing import Callable, Pattern

from ..cases import Bench, Case
from ..place import wait_for
from . import relay
from .cluster import LEASE, Cluster, unable
from .dying import PATIENCE
from .judging import acknowledged, at_work, judge, lasting, long_at_first, quick, runs_on

_LONG = 90.0  # seconds: a lease that outlasts what happens here


def loses_reply(request: Pattern[bytes]) -> Callable[[Bench], None]:
    """Return a case: a rename is done, its reply is lost, and the server restarted before it is
    asked again: it says then that there is no such name."""

    def perform(bench: Bench) -> None:
        with Cluster(bench, 2, is_relayed=True, lease=_LONG) as cluster:
            assert cluster.relay is not None
            workers = [host.worker("--count", "2") for host in cluster.hosts]
            told = [host.enqueue(lasting(host.name, 20, 0.2)) for host in cluster.hosts]
            ids = acknowledged(bench, told, 40)
            for _ in range(3 if bench.long else 1):
                cluster.relay.lose(request)
                lost = cluster.relay.lost.wait(30)
                bench.check(lost, f"no such request comes: {cluster.tail()}")
                cluster.server.do("sync")
                cluster.restart_server()
                cluster.relay.reconnect()
                bench.count("replies lost")
                more = cluster.hosts[0].enqueue(lasting(f"more{len(ids)}", 10, 0.2))
                ids += acknowledged(bench, [more], 10, 120)
            cluster.completed(len(ids), 120)
            judge(bench, cluster, ids, workers)

    return perform


def _soft(bench: Bench) -> None:
    """Soft mounts: calls fail while the server hangs; nothing that was told is lost."""
    with Cluster(bench, 2, "soft,timeo=10,retrans=1", lease=_LONG) as cluster:
        workers = [host.worker("--count", "2") for host in cluster.hosts]
        told = [host.enqueue(lasting(host.name, 10, 1)) for host in cluster.hosts]
        ids = acknowledged(bench, told, 20)
        runs_on(bench, cluster, cluster.hosts[0], 2, ids)
        cluster.server.freeze()
        bench.count("servers that hung")
        refused = cluster.hosts[1].spoolq("enqueue", "--id", "refused", "true")
        over = wait_for(lambda: refused.code is not None, 60)
        bench.check(over and refused.code, f"enqueue ends with {refused.code}: {refused.text}")
        bench.check("Traceback" not in refused.text, f"a traceback: {refused.text}")
        cluster.server.thaw()
        more = cluster.hosts[1].enqueue(quick(5))
        ids += acknowledged(bench, [more], 5)
        gone_on = wait_for(lambda: set(ids) <= _ended(cluster), PATIENCE)
        bench.check(gone_on, f"not all have run: {cluster.tail()}")
        cluster.completed(len(ids), 60)
        judge(bench, cluster, ids, workers, harmed={host.name for host in cluster.hosts})


def _ended(cluster: Cluster) -> "set[str]":
    return {sign.job_id for sign in cluster.signs if sign.kind == "end"}


def _directories_go(bench: Bench) -> None:
    """The server's own people remove directories that a host holds open: ESTALE for each."""
    with Cluster(bench, 2) as cluster:
        first, second = cluster.hosts
        lost, ids = at_work(bench, cluster, first, long_at_first("doomed", 2))
        served = "/mnt/disk/export/spool"
        cluster.server.do(f"cd {served} && rmdir pending && mkdir -m 700 pending")
        more = acknowledged(bench, [second.enqueue(quick(4))], 4)
        cluster.server.do(f"rm -r {served}/workers/*")
        bench.count("directories removed", 2)
        over = wait_for(lambda: lost.code is not None, 3 * LEASE)
        bench.check(over and lost.code, f"the lost worker ends with {lost.code}: {lost.lines[-5:]}")
        bench.check("lost" in lost.text, f"it does not say that it was lost: {lost.lines[-5:]}")
        workers = [second.worker("--count", "8")]
        ended = wait_for(lambda: set(more) <= _ended(cluster), 60)
        bench.check(ended, f"what was enqueued meanwhile does not run: {cluster.tail()}")
        cluster.completed(6, 90)
        judge(bench, cluster, ids + more, workers, harmed={first.name})


CASES = [
    Case("the reply to a claim is lost", loses_reply(relay.CLAIM), unable),
    Case("the reply to a record is lost", loses_reply(relay.RECORD), unable, is_long=True),
    Case("the reply to a last move is lost", loses_reply(relay.MOVE), unable, is_long=True),
    Case("a soft mount fails", _soft, unable, is_long=True),
    Case("directories go from under a host", _directories_go, unable, is_long=True),
]

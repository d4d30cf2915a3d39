"""Worse spoolqs, each without one of the rules between hosts: the judges have to notice."""

from typing import Callable

from ..cases import Bench, Case
from . import local, losing, relay
from .cluster import Cluster, unable
from .judging import at_work, judge, lasting
from .parted import cut_off

_NO_GUARD = "import spoolq.guard as g; g.Guard.look = lambda self: None"
_NO_LEASE = """
import spoolq.lease, spoolq.neighbours as n
n.Neighbours.state_of = lambda self, worker: spoolq.lease.probe(self._spool, worker)
"""
_ALL_ARE_DEAD = """
import socket, spoolq.neighbours as n, spoolq.recovery as r
if socket.gethostname() == "host2":
    n.Neighbours.state_of = lambda self, worker: n.FREE
    r.Recovery._lock_is_free = lambda self, claim: True
"""
_BELIEVES = """
import spoolq.shared as s
for name in ("rename", "replace"): delattr(s.SharedDir, name)
"""
_TRUSTS_LOCKS = "import spoolq.neighbours as n; n.why_locks_are_local = lambda path: ''"


def _spoiled(perform: Callable[[Bench], None], text: str) -> Callable[[Bench], None]:
    """Return a case on a spoolq of which each Python first runs this text."""

    def worse(bench: Bench) -> None:
        bench.place = bench.place.spoiled(text)
        perform(bench)

    return worse


def _nothing_happens(bench: Bench) -> None:
    """One host runs jobs, another comes to help."""
    with Cluster(bench, 2) as cluster:
        first, second = cluster.hosts
        _, ids = at_work(bench, cluster, first, lasting("long", 3, 5))
        second.worker("--count", "3")
        cluster.completed(3)
        judge(bench, cluster, ids)


CASES = [
    Case(
        "no guard ends what runs on a host that is cut off",
        _spoiled(cut_off, _NO_GUARD),
        unable,
        expects=" ran twice at the same time: on host1 ",
    ),
    Case(
        "every other worker is taken for dead",
        _spoiled(_nothing_happens, _ALL_ARE_DEAD),
        unable,
        expects=" ran again, though nothing had befallen its first host: host1 ",
    ),
    Case(
        "a free lock is enough to take over from another host",
        _spoiled(lambda bench: cut_off(bench, lease=60), _NO_LEASE),
        unable,
        expects=" ran twice at the same time: on host1 ",
        is_long=True,
    ),
    Case(
        "what a rename says is believed",
        _spoiled(losing.loses_reply(relay.CLAIM), _BELIEVES),
        unable,
        expects=" was lost, though nothing had befallen its host",
        is_long=True,
    ),
    Case(
        "locks are trusted everywhere",
        _spoiled(local.nolock, _TRUSTS_LOCKS),
        unable,
        expects="^the second host ends with None",
        is_long=True,
    ),
]

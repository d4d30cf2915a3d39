"""Who else is alive: by the lock, and beyond this kernel by the lease.

A lock is freed when its worker dies, and that is all there is to know of a worker of this kernel.
Locks of other kernels, on a filesystem that hosts share, can be out of sight: a server forgets
those of a host that it has not heard of, and some filesystems keep locks within each host. So of
such a worker, whose lock is free or missing, it counts too since when its worker.json has not
changed; and of one without a directory, since when that is missing. Only changes are compared,
never times, and this process's own clock says how long they have not come.

Not known: whether a host that is out of reach is dead, or what its commands do.
"""

from __future__ import annotations

import time
from typing import Any, Callable, Dict, Iterable, NamedTuple, Optional, Set, Tuple

from spoolq import lease, names, platform
from spoolq.config import Settings
from spoolq.errors import StorageFailed
from spoolq.heartbeat import PERIOD
from spoolq.spool import SpoolDir

#: What can be said of a worker. OUT_OF_REACH may be alive; LAPSED has not been heard of for its
#: lease, and has ended what it ran.
HELD, FREE, MISSING = "held", "free", "missing"
OUT_OF_REACH, LAPSED = "out of reach", "lapsed"
DEAD = frozenset({FREE, MISSING, LAPSED})

_BEATS = 2.5 * PERIOD  # seconds within which a living worker's file has changed
_POLL = 0.1
_LONGEST = 86_400.0  # of a lease; what a card says beyond that is not believed


class _Sight(NamedTuple):
    """How a worker looks, since when, and the lease that it renews."""

    looks: Tuple[int, ...]
    since: float
    lease: float


class Neighbours:
    """What one process knows of the workers of a spool; the longer it looks, the more."""

    def __init__(
        self, spool: SpoolDir, monotonic: Callable[[], float], lease_of_most: Optional[float] = None
    ) -> None:
        self._spool = spool
        self._monotonic = monotonic
        self.lease = Settings().lease if lease_of_most is None else lease_of_most
        self._sights: Dict[str, _Sight] = {}

    def state_of(self, worker: str) -> str:
        """Say what is known of a worker; HELD too where it cannot be told dead.

        Raises:
            OSError: it cannot be seen.
        """
        state = lease.probe(self._spool, worker)
        if state == HELD or not self._spool.is_shared:
            self._sights.pop(worker, None)
            return state
        card, looks = lease.look_at_card(self._spool, worker)
        if card.get("boot") == platform.boot_id() != "":
            return state
        now, seen = self._monotonic(), self._sights.get(worker)
        if seen is None or seen.looks != looks:
            before = 0.0 if seen is None else seen.lease
            self._sights[worker] = _Sight(looks, now, _lease_in(card) or before or self.lease)
            return OUT_OF_REACH
        return LAPSED if now - seen.since >= seen.lease else OUT_OF_REACH

    def settled(self, states: Dict[str, str]) -> Dict[str, str]:
        """Look longer at those out of reach, as long as some beats take: who beats is HELD.

        Args:
            states: what `state_of` said of each worker just now.
        """
        settled = dict(states)
        doubtful = {worker: self._sights.get(worker) for worker in states}
        deadline = self._monotonic() + _BEATS
        while OUT_OF_REACH in settled.values() and self._monotonic() < deadline:
            time.sleep(_POLL)
            for worker in [one for one, state in settled.items() if state == OUT_OF_REACH]:
                try:
                    settled[worker] = self.state_of(worker)
                except OSError:
                    continue  # it cannot be seen just now, and was out of reach before
                if self._sights.get(worker) != doubtful[worker]:
                    settled[worker] = HELD
        return settled

    def still(self, worker: str) -> float:
        """Return the seconds after which a worker out of reach counts as dead."""
        seen = self._sights.get(worker)
        return self.lease if seen is None else seen.lease

    def forget_all_but(self, workers: Iterable[str]) -> None:
        """Forget those that have gone."""
        kept = set(workers)
        self._sights = {worker: seen for worker, seen in self._sights.items() if worker in kept}


def _lease_in(card: Dict[str, Any]) -> float:
    """Return the lease that a card names, 0 if none: each worker ends its runs by its own."""
    given = card.get("lease")
    if isinstance(given, bool) or not isinstance(given, (int, float)):
        return 0.0
    return min(max(float(given), 0.0), _LONGEST)


# --- where locks stay with their host -------------------------------------------------------------


def why_locks_are_local(path: str) -> str:
    """Say why locks do not exclude between the hosts that share a path; nothing if they do.

    By what is known of the filesystem and its mount: one host alone can try nothing out.

    Source: nfs(5), `local_lock` and `nolock`; mount.cifs(8), `nobrl`; lustre's mount options;
    flock of sshfs was tried, and holds within one mount alone.
    """
    found = platform.mount(path)
    kind = platform.network_filesystem(path)
    if kind is None:
        return ""
    options: Set[str] = set() if found is None else set(found[1])
    if kind in ("nfs", "nfs4"):
        bad = options & {"nolock", "local_lock=all", "local_lock=flock", "nocto"}
    elif kind in ("cifs", "smb3", "smbfs"):
        bad = options & {"nobrl", "nolock"}
    elif kind == "lustre":
        bad = set() if "flock" in options else {"no flock"}
    elif kind in ("ceph", "fuse.ceph", "glusterfs", "fuse.glusterfs", "gfs2", "ocfs2"):
        bad = set()
    else:
        return f"{kind} keeps locks within each host"
    return f"this {kind} is mounted with {', '.join(sorted(bad))}" if bad else ""


def others_at_work(spool: SpoolDir, own: str = "") -> Dict[str, str]:
    """Return the workers of other kernels that beat just now, and their hosts' names.

    Takes as long as some beats where there may be any.
    """
    before: Dict[str, Tuple[int, ...]] = {}
    for worker in spool.dir("workers").list():
        card, looks = lease.look_at_card(spool, worker) if names.is_worker(worker) else ({}, ())
        if worker != own and looks and card.get("boot") != platform.boot_id():
            before[worker] = looks
    found: Dict[str, str] = {}
    deadline = time.monotonic() + _BEATS
    while len(found) < len(before) and time.monotonic() < deadline:
        time.sleep(_POLL)
        for worker, looks in before.items():
            card, now = lease.look_at_card(spool, worker)
            if now not in ((), looks):
                found[worker] = str(card.get("host", worker))
    return found


def refuse_second_host(spool: SpoolDir, own: str) -> None:
    """Refuse to work where locks stay with their host and another host's worker is at work.

    The own directory is there before this looks, and beats: of two that start at once each sees the
    other (test_of_two_hosts_that_start_at_once_none_works_unseen).

    Raises:
        StorageFailed: two hosts could run one job at the same time.
    """
    why = why_locks_are_local(spool.path)
    if not why:
        return
    others = others_at_work(spool, own)
    if others:
        worker, host = min(others.items())
        raise StorageFailed(
            f"{why}, and worker {worker} of host {host} is at work here: neither host could tell "
            "what the other one does, so one job could run twice at the same time",
            where=spool.path,
            hint="let one host alone run workers, or share the spool by NFSv4, locks and cto on",
        )

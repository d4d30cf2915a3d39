"""How many runs the Dask workers take, and whether there is room for what a job needs.

Dask itself would take any number, and let them wait; but a claim that waits there waits for
nobody else. So runs are counted here, and their needs put on workers as Dask may do it.
"""

from __future__ import annotations

from typing import Dict, Mapping, NamedTuple

from spoolq.executors import NoRoom
from spoolq.names import Name

Needs = Mapping[str, float]


class Host(NamedTuple):
    """A Dask worker: its threads, and what it has of each resource."""

    threads: int
    resources: Needs


class Placing:
    """The Dask workers at the last look, and the runs with needs that are put on them."""

    def __init__(self) -> None:
        self.hosts: Dict[str, Host] = {}
        self._placed: Dict[Name, str] = {}  # run -> address
        self._needs: Dict[Name, Needs] = {}

    def threads(self) -> int:
        """Return how many runs there is room for altogether."""
        return sum(host.threads for host in list(self.hosts.values()))

    def place(self, run: Name, needs: Needs) -> None:
        """Put a run where there is what it needs.

        Raises:
            NoRoom: that is not free, or no worker has as much.
        """
        if not needs:
            return
        hosts = dict(self.hosts)
        able = [address for address, host in hosts.items() if _covers(host.resources, needs)]
        if not able:
            wanted = ", ".join(f"{name}={amount:g}" for name, amount in needs.items())
            raise NoRoom(f"no Dask worker has {wanted}; they get it by `dask worker --resources`")
        free = next((one for one in able if _covers(self._left(hosts, one), needs)), None)
        if free is None:
            raise NoRoom("what it needs is not free on any Dask worker")
        self._placed[run], self._needs[run] = free, needs

    def remove(self, run: Name) -> None:
        """Take a run away: what it needed is free."""
        self._placed.pop(run, None)
        self._needs.pop(run, None)

    def _left(self, hosts: Mapping[str, Host], address: str) -> Needs:
        left = dict(hosts[address].resources)
        for run, where in self._placed.items():
            if where == address:
                for name, amount in self._needs[run].items():
                    left[name] = left.get(name, 0.0) - amount
        return left


def _covers(there: Needs, needs: Needs) -> bool:
    return all(there.get(name, 0.0) >= amount - 1e-9 for name, amount in needs.items())

"""Workers of other kernels on a filesystem that hosts share, and the network between them.

A host that is cut off makes no step on the spool: its calls hang, and the server forgets its locks.
Its commands live on until its guard ends them. Time is two events that anybody may see only after
that: its worker's file has not changed for a lease, or its directory has been away for one.
"""

from typing import Any, FrozenSet, NamedTuple, Tuple

from . import calls
from .names import parse
from .routine import Steps

QUIET, MISSING = "quiet", "missing"


class Hosts(NamedTuple):
    """What the machine keeps of hosts, by their workers."""

    cut: FrozenSet[str] = frozenset()
    tripped: Tuple[str, ...] = ()  # a worker's name for each time that its guard has acted
    over: FrozenSet[Tuple[str, str]] = frozenset()  # leases that have run out, and how


class Shared:
    """The calls about hosts: a part of `machine.State`."""

    __slots__ = ()

    hosts: Hosts
    dirs: Any
    processes: Any
    exit: Any
    spawn: Any
    break_locks: Any

    def hangs(self, name: str) -> bool:
        """Say whether a process waits for a server that is out of reach."""
        if not self.hosts.cut or self.processes[name].run:
            return False
        return name.partition("+")[0] in self.hosts.cut

    def cut_off(self, me: str, worker: str) -> None:
        """Take a worker's host from the network; the server lets its locks go."""
        self.hosts = self.hosts._replace(cut=self.hosts.cut | {worker})
        self.break_locks(me, worker)

    def heal(self, me: str, worker: str) -> None:
        """Bring it back."""
        self.hosts = self.hosts._replace(cut=self.hosts.cut - {worker})

    def trip(self, me: str, worker: str) -> None:
        """Let a worker's guard act: what was claimed before is not started any more."""
        self.hosts = self.hosts._replace(tripped=(*self.hosts.tripped, worker))

    def runs_of(self, me: str, worker: str) -> Tuple[str, ...]:
        """Answer the processes of a worker's runs."""
        runs = {name: parse(process.run) for name, process in self.processes.items()}
        return tuple(sorted(n for n, run in runs.items() if run and run.worker == worker))

    def lose_heirs(self, me: str, worker: str) -> None:
        """Let the server forget the locks that a worker's commands have inherited."""
        for process in self.runs_of(me, worker):
            self.break_locks(me, process)

    def runs_out(self, me: str, worker: str, how: str) -> None:
        """Let the others see that a lease has run out."""
        self.hosts = self.hosts._replace(over=self.hosts.over | {(worker, how)})

    def is_over(self, me: str, worker: str) -> bool:
        """Answer whether a worker's lease has run out, as its directory looks now."""
        how = QUIET if f"workers/{worker}" in self.dirs else MISSING
        return (worker, how) in self.hosts.over

    def beat(self, me: str) -> int:
        """Show that one lives; answer how often its guard has acted, or -1 without a directory."""
        if f"workers/{me}" not in self.dirs:
            return -1
        self.hosts = self.hosts._replace(over=self.hosts.over - {(me, QUIET)})
        return self.hosts.tripped.count(me)

    def wait_until_removed(self, me: str, worker: str) -> None:
        """Only wait."""

    def wait_until_dead(self, me: str, worker: str) -> None:
        """Only wait."""

    def spawn_unbroken(self, me: str, trips: int, *args: Any) -> str:
        """As `spawn`; answer "" and start nothing where the guard has acted since a beat."""
        return "" if self.hosts.tripped.count(me) != trips else self.spawn(me, *args)


#: When a process can go on that asks for one of these.
GUARDS = {
    "wait_until_removed": lambda state, worker: (
        f"workers/{worker}" not in state.dirs and worker not in state.hosts.cut
    ),
    "wait_until_dead": lambda state, worker: worker not in state.processes,
}


def partition(worker: str, heals: bool = True) -> Steps:
    """Cut a worker's host off for longer than its lease; its guard ends its runs before that."""
    yield calls.on_host("cut_off", worker)
    yield from _guard(worker)
    yield calls.on_host("runs_out", worker, QUIET)
    if heals:
        yield calls.on_host("heal", worker)


def watch_over(worker: str) -> Steps:
    """See at the next beat that a worker's directory is gone, and end its runs."""
    yield calls.on_host("wait_until_removed", worker)
    yield from _guard(worker)
    yield calls.on_host("runs_out", worker, MISSING)


def die_out(worker: str) -> Steps:
    """Let a lease run out that nobody renews any more."""
    yield calls.on_host("wait_until_dead", worker)
    yield calls.on_host("runs_out", worker, QUIET)
    yield calls.on_host("runs_out", worker, MISSING)


def cut_off_when_dead(worker: str) -> Steps:
    """Cut a host off whose worker was killed: nobody is there to end what it ran."""
    yield calls.on_host("wait_until_dead", worker)
    yield calls.on_host("runs_out", worker, QUIET)
    yield calls.on_host("lose_heirs", worker)


def _guard(worker: str) -> Steps:
    yield calls.on_host("trip", worker)
    while True:
        left = yield calls.on_host("runs_of", worker)
        if not left:
            return
        for process in left:
            yield calls.kill(process)

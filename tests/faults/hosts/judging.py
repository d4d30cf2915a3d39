"""The jobs of these cases, and how all of them are judged at the end."""

import itertools
from typing import Any, Callable, Collection, Dict, Iterable, Iterator, List, Sequence, Set, Tuple

from ..cases import Bench
from ..place import wait_for
from . import witness
from .cluster import WITNESS, Cluster, Host
from .consoles import Told


def quick(number: int) -> Iterator[Dict[str, Any]]:
    """Yield jobs that are over at once; their ids are made, so that no host waits for another."""
    for _ in range(number):
        yield {"command": f"{WITNESS} 0"}


def lasting(name: str, number: int, seconds: float, **fields: Any) -> Iterator[Dict[str, Any]]:
    """Yield jobs that live for so long."""
    for n in range(number):
        yield {"id": f"{name}-{n}", "command": f"{WITNESS} {round(5 * seconds)}", **fields}


def stubborn(name: str, number: int, seconds: float) -> Iterator[Dict[str, Any]]:
    """Yield jobs that have to be killed."""
    for job in lasting(name, number, seconds):
        yield {**job, "command": f"{job['command']} stubborn"}


def long_at_first(
    name: str, number: int, kind: Callable[..., Iterator[Dict[str, Any]]] = lasting
) -> Iterator[Dict[str, Any]]:
    """Yield jobs whose first attempt lasts for minutes, and the next ones for a second."""
    for job in kind(name, number, 300):
        words = job["command"].split()
        words[2] = "$ticks"
        yield {**job, "command": f"ticks={_FIRST_TICKS}; {' '.join(words)}"}


_FIRST_TICKS = "$([ $SPOOLQ_ATTEMPT -gt 1 ] && echo 5 || echo 1500)"


def runs_on(bench: Bench, cluster: Cluster, host: Host, number: int, ids: Collection[str]) -> None:
    """Wait until so many of these jobs have been started on a host."""

    def started() -> int:
        starts = [s for s in cluster.signs if s.host == host.name and s.kind == "start"]
        return sum(sign.job_id in ids for sign in starts)

    came = wait_for(lambda: started() >= number, 60)
    bench.check(came, f"{started()} of {number} jobs start on {host.name}: {cluster.tail()}")


def at_work(
    bench: Bench, cluster: Cluster, host: Host, jobs: Iterable[Dict[str, Any]]
) -> Tuple[Told, List[str]]:
    """Let a host run all of these jobs at a time; return its worker and their ids once they run."""
    given = [*jobs]
    worker = host.worker("--count", str(len(given)))
    ids = acknowledged(bench, [host.enqueue(given)], len(given))
    runs_on(bench, cluster, host, len(given), ids)
    return worker, ids


def taken_over(
    bench: Bench, cluster: Cluster, host: Host, ids: Sequence[str], seconds: float
) -> None:
    """Wait until another host has run all of these jobs to their ends."""

    def left() -> Set[str]:
        ended = {s.job_id for s in cluster.signs if s.host == host.name and s.kind == "end"}
        return set(ids) - ended

    wait_for(lambda: not left(), seconds)
    bench.check(not left(), f"{host.name} does not take over {left()}: {cluster.tail()}")
    bench.count("runs taken over", len(ids))


def acknowledged(bench: Bench, told: Sequence[Told], number: int, seconds: float = 60) -> List[str]:
    """Return the ids that `enqueue` has told, of which there are to be so many."""
    over = wait_for(lambda: all(one.code is not None for one in told), seconds)
    bench.check(over, "enqueue does not end")
    bench.check(all(one.code == 0 for one in told), f"enqueue fails: {[t.text for t in told]}")
    ids = [*itertools.chain.from_iterable(one.lines for one in told)]
    bench.check(len(ids) == number, f"{len(ids)} ids for {number} jobs")
    return ids


def leave(bench: Bench, cluster: Cluster, workers: Sequence[Told], seconds: float = 40) -> None:
    """Ask all workers to leave, and see that they do."""
    there = wait_for(lambda: all(one.lines for one in workers), seconds)
    bench.check(there, "a worker has not begun")
    cluster.hosts[-1].tell("spoolq worker stop")
    left = wait_for(lambda: all(one.code is not None for one in workers), seconds)
    bench.check(left, f"workers do not leave: {[one.lines[-5:] for one in workers]}")
    codes = [one.code for one in workers]
    bench.check(not any(codes), f"workers end with {codes}: {[w.lines[-5:] for w in workers]}")


def judge(
    bench: Bench,
    cluster: Cluster,
    ids: Sequence[str],
    workers: Sequence[Told] = (),
    harmed: Collection[str] = (),
    failing: Collection[str] = (),
) -> None:
    """Judge the spool and what was witnessed, when all is over.

    Args:
        ids: what was acknowledged.
        workers: those that are still there, and leave first.
        harmed: hosts that were kept from recording what they ran, once and at one time.
        failing: ids of jobs whose first attempt fails by itself.
    """
    leave(bench, cluster, workers)
    signs = cluster.signs
    cluster.close_spool()
    found = bench.settled(ids)
    completed = [job.id for job in found.jobs.values() if job.state == "completed"]
    bench.check(set(ids) <= set(completed), f"not completed: {set(ids) - set(completed)}")
    lost = [job.id for job in found.jobs.values() for run in job.history if _is_lost(run)]
    if not harmed:
        bench.wrong += [f"{one} was lost, though nothing had befallen its host" for one in lost]
    bench.count("runs lost", len(lost))
    each = witness.runs(signs)
    bench.wrong += witness.overlaps(signs)
    others = [sign for sign in signs if sign.job_id not in failing]
    bench.wrong += witness.unexplained(others, harmed)
    bench.wrong += witness.too_many(others, harms=int(bool(harmed)))
    bench.wrong += witness.unseen(signs, completed)
    bench.count("runs witnessed", sum(map(len, each.values())))
    bench.count("hosts", len(cluster.hosts))
    bench.count("hosts harmed", len(harmed))


def _is_lost(run: Dict[str, Any]) -> bool:
    return str(run.get("error", "")).startswith("worker lost")

"""What must hold of the runs that were witnessed, whatever the spool itself says of them.

The signs of life of all runs come in one order, by one clock, and by a way that no fault cuts. A
run is seen to live from its first sign to its last, a fifth of a second apart.
"""

from typing import Collection, Dict, Iterable, List, NamedTuple, Tuple

from .consoles import Sign

#: Seconds that a sign may be late: the guests share the processors of this machine.
LATE = 0.1


class Run(NamedTuple):
    """A run as its signs tell of it."""

    host: str
    job_id: str
    pid: int
    first: float
    last: float
    is_ended: bool

    def __str__(self) -> str:
        how = "to its end" if self.is_ended else "and no end"
        return f"{self.host} from {self.first:.2f} to {self.last:.2f} {how}"


def runs(signs: Iterable[Sign]) -> Dict[str, List[Run]]:
    """Return the runs of each job, in the order of their first signs."""
    found: Dict[Tuple[str, str, int, int], Run] = {}
    for sign in signs:
        key = (sign.host, sign.job_id, sign.attempt, sign.pid)
        run = found.get(key)
        if run is None:
            run = Run(sign.host, sign.job_id, sign.pid, sign.at, sign.at, False)
        found[key] = run._replace(last=sign.at, is_ended=sign.kind == "end")
    each: Dict[str, List[Run]] = {}
    for run in found.values():
        each.setdefault(run.job_id, []).append(run)
    return each


def overlaps(signs: Iterable[Sign]) -> List[str]:
    """Say which jobs ran twice at the same time."""
    return [
        f"{job_id} ran twice at the same time: on {one}, and on {other}"
        for job_id, several in runs(signs).items()
        for number, other in enumerate(several)
        for one in several[:number]
        if one.last > other.first + LATE
    ]


def unexplained(signs: Iterable[Sign], harmed: Collection[str] = ()) -> List[str]:
    """Say which jobs ran again though no host was harmed that had run them.

    Args:
        harmed: hosts that were killed, cut off or otherwise kept from recording what they ran.
    """
    return [
        f"{job_id} ran again, though nothing had befallen its first host: {'; then '.join(told)}"
        for job_id, several in runs(signs).items()
        for told in [[str(run) for run in several]]
        if any(run.host not in harmed for run in several[:-1])
    ]


def too_many(signs: Iterable[Sign], harms: int) -> List[str]:
    """Say which jobs ran more often than so many harms, of one host or of all at once, explain."""
    return [
        f"{job_id} ran {len(several)} times: {'; then '.join(map(str, several))}"
        for job_id, several in runs(signs).items()
        if len(several) > 1 + harms
    ]


def unseen(signs: Iterable[Sign], completed: Iterable[str]) -> List[str]:
    """Say which jobs are completed though nobody saw them end."""
    ended = {job_id for job_id, several in runs(signs).items() if any(r.is_ended for r in several)}
    return [f"{job_id} is completed, and never ended" for job_id in sorted({*completed} - ended)]

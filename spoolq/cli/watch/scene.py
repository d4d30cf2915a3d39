"""What is to be seen of a spool at one moment, as data: the picture is made of this alone.

Instants are seconds since the epoch. What a job's file says is asked for row by row, `detail`,
since of a hundred thousand jobs a screen shows thirty.
"""

from __future__ import annotations

from typing import Callable, FrozenSet, Mapping, NamedTuple, Optional, Sequence, Tuple

#: The kinds of rows, in the order of a screen, and the state that each shows.
KINDS = {
    "running": "processing",
    "next": "pending",
    "retries": "failed",
    "dead": "dead",
    "completed": "completed",
}


_TELLING = 10  # ended jobs


class Row(NamedTuple):
    """One job; `at` is when it started, falls due or ended, None where the name has no time."""

    kind: str
    filename: str
    id: str
    at: Optional[float]
    attempt: int = 0
    owner: str = ""

    @property
    def state(self) -> str:
        """The directory that it is in."""
        return KINDS[self.kind]


class Detail(NamedTuple):
    """What is known of a row's job beyond its name; `tail` is the last line of its output."""

    command: str = ""
    reason: str = ""
    runs: str = ""
    took: Optional[float] = None
    tail: str = ""


class Section(NamedTuple):
    """The jobs of one kind: those that can be gone through, and how many there are."""

    kind: str
    rows: Sequence[Row]
    total: int


class Crew(NamedTuple):
    """One worker: how many of its slots are busy, since when it is there, and whether it lives.

    `told` is said instead of all that: what a forwarder does, or what becomes of who is gone.
    """

    name: str
    busy: int
    slots: int
    since: Optional[float]
    alive: bool
    told: str = ""


class Rate(NamedTuple):
    """How many jobs completed and died in each of the last stretches of so many seconds.

    The last stretch is not over yet.
    """

    seconds: float = 1.0
    completed: Sequence[int] = ()
    dead: Sequence[int] = ()

    @property
    def total(self) -> int:
        """How many ended in all of it."""
        return sum(self.completed) + sum(self.dead)

    def per_second(self) -> Optional[float]:
        """Return how many end in a second; None where too few ended to tell.

        The mean of the newest ten stretches that are over, or of all where these tell little.
        """
        ended = [*map(sum, zip(self.completed, self.dead))][:-1]
        for last in (ended[-10:], ended):
            if sum(last) >= _TELLING:
                return sum(last) / (len(last) * self.seconds)
        return None


class Scene(NamedTuple):
    """All of it; `old` are the states whose number is some seconds old, `sought` is the filter.

    `standing` tells which tags are paused, and of the limits how much is in use.
    """

    path: str
    counts: Mapping[str, int]
    sections: Sequence[Section]
    detail: Callable[[Row], Detail]
    due: int = 0
    rate: Rate = Rate()
    crew: Tuple[Crew, ...] = ()
    paused: bool = False
    warnings: Tuple[str, ...] = ()
    old: FrozenSet[str] = frozenset()
    sought: str = ""
    coming: str = ""  # which schedule comes next, and when
    standing: Tuple[str, ...] = ()

    @property
    def rows(self) -> Sequence[Row]:
        """All rows, in the order of a screen."""
        return [row for section in self.sections for row in section.rows]

"""What spoolq is meant to reach, and whether it does: computed from the figures, nothing else."""

from typing import Any, Callable, Dict, List, NamedTuple, Optional

Figures = Dict[str, Any]


class Target(NamedTuple):
    """A bound on one figure: `floor` must hold, `goal` is aimed at."""

    part: str
    what: str
    goal: float
    figure: Callable[[Figures], Optional[float]]
    floor: Optional[float] = None
    at_least: bool = True
    unit: str = ""

    def holds(self, value: float, bound: float) -> bool:
        """Say whether a figure keeps a bound."""
        return value >= bound if self.at_least else value <= bound


class Verdict(NamedTuple):
    """A target and what was measured; None where there is no figure."""

    target: Target
    value: Optional[float]
    goal: Optional[bool]
    floor: Optional[bool]


def best_rival(drain: Figures, synced: bool = False) -> Optional[str]:
    """Return the queue that was fastest and lost no job, ours left out; of those that sync."""
    speed = {
        name: one["a_second"]
        for name, one in drain["contenders"].items()
        if one["kind"] == "queue"
        and one.get("a_second")
        and not one["miscounted"]
        and (one["synced"] or not synced)
    }
    return max(speed, key=lambda name: speed[name]) if speed else None


def to_best_rival(drain: Figures, synced: bool = False) -> Optional[float]:
    """Return our durable rate over that of the best rival queue, starts of workers included."""
    name = best_rival(drain, synced)
    if name is None:
        return None
    contenders = drain["contenders"]
    return float(contenders["spoolq, full"]["a_second"] / contenders[name]["a_second"])


def _case(field: str, state: str, rank: int) -> Callable[[Figures], Optional[float]]:
    """Return how to find a field of the spool with the most (0) or less (1) in a state."""

    def figure(backlog: Figures) -> Optional[float]:
        cases = sorted(backlog["cases"].values(), key=lambda case: -case[state])
        return cases[rank].get(field) if len(cases) > rank else None

    return figure


def _slowest_verb(cold: Figures) -> Optional[float]:
    largest = max(cold["sizes"], key=lambda row: row["jobs"])
    return max(value for key, value in largest.items() if key != "jobs")


TARGETS: List[Target] = [
    Target(
        "drain",
        "jobs a second to xargs -P2, `full`",
        0.80,
        lambda f: f["contenders"]["spoolq, full"]["to_xargs"],
        floor=0.65,
    ),
    Target(
        "drain",
        "jobs a second to xargs -P2, `none`",
        0.90,
        lambda f: f["contenders"]["spoolq, none"]["to_xargs"],
        floor=0.80,
    ),
    Target("drain", "jobs a second to the best rival queue", 1.3, to_best_rival, floor=1.0),
    *[
        Target(
            "drain",
            f"two workers of one slot to one of two, `{durability}`",
            0.9,
            lambda f, durability=durability: f["two_workers_to_one"][durability],
        )
        for durability in ("full", "none")
    ],
    Target(
        "calls",
        "calls a second to rq worker-pool (its default), `full`",
        10,
        lambda f: f["contenders"]["spoolq, full"]["to"].get("rq worker-pool -n 2 (its default)"),
    ),
    Target(
        "enqueue",
        "`enqueue_many`",
        10_000,
        lambda f: f["enqueue_many_a_second"],
        unit="jobs a second",
    ),
    Target(
        "enqueue",
        "`spoolq enqueue -`",
        8_000,
        lambda f: f["enqueue_lines_a_second"],
        unit="jobs a second",
    ),
    Target(
        "enqueue",
        "one durable enqueue to a bare loop",
        1.3,
        lambda f: f["one_to_bare"],
        at_least=False,
    ),
    *[
        Target(
            "latency",
            f"an idle worker, {percent}th percentile",
            goal,
            lambda f, percent=percent: f["idle"][f"p{percent}_ms"],
            at_least=False,
            unit="ms",
        )
        for percent, goal in ((50, 3.0), (99, 15.0))
    ],
    Target(
        "backlog",
        "rate with 100,000 pending to that with 2,000",
        0.85,
        _case("to_plain", "pending", 1),
    ),
    Target(
        "backlog",
        "rate with 1,000,000 pending to that with 2,000",
        0.85,
        _case("to_plain", "pending", 0),
    ),
    Target(
        "backlog",
        "first job with 1,000,000 pending",
        3.0,
        _case("first_s", "pending", 0),
        at_least=False,
        unit="s",
    ),
    Target(
        "backlog",
        "peak memory with 1,000,000 pending",
        150,
        _case("peak_mb", "pending", 0),
        floor=250,
        at_least=False,
        unit="MB",
    ),
    Target(
        "idle",
        "CPU of an idle worker",
        0.1,
        lambda f: f["cpu_percent"],
        at_least=False,
        unit="% of a core",
    ),
    Target(
        "idle", "memory of an idle worker", 40, lambda f: f["rss_mb"], at_least=False, unit="MB"
    ),
    Target(
        "cold",
        "`spoolq enqueue true` to `python -c 'import click'`",
        1.8,
        lambda f: f["to_import_click"],
        floor=2.5,
        at_least=False,
    ),
    Target(
        "cold",
        "slowest of `status`, `list`, `show` with 1,000,000 jobs",
        2.0,
        _slowest_verb,
        at_least=False,
        unit="s",
    ),
    Target(
        "recovery",
        "a killed worker's job runs again",
        2.0,
        lambda f: f["again_s"],
        at_least=False,
        unit="s",
    ),
    Target(
        "recovery",
        "64 orphans run again, 100,000 pending",
        3.0,
        lambda f: f["orphans"]["all_again_s"],
        at_least=False,
        unit="s",
    ),
    Target(
        "growth",
        "CPU while 64 jobs sleep",
        5.0,
        lambda f: max(f["slots"], key=lambda point: point["x"])["cpu_percent"],
        at_least=False,
        unit="% of a core",
    ),
]


def main_entry(parts: Dict[str, Any], part: str) -> Optional[Dict[str, Any]]:
    """Return the entry of a part that counts: on ext4, else on what it was measured first."""
    entries = parts.get(part) or {}
    entry: Optional[Dict[str, Any]] = entries.get("ext4") or next(iter(entries.values()), None)
    return entry


def judge(parts: Dict[str, Any]) -> List[Verdict]:
    """Return the verdict on every target; a part not measured, or only quickly, has none."""
    verdicts = []
    for target in TARGETS:
        entry = main_entry(parts, target.part)
        counts = entry is not None and not entry["quick"]
        value = target.figure(entry["figures"]) if entry is not None and counts else None
        if value is None:
            verdicts.append(Verdict(target, None, None, None))
            continue
        floor = None if target.floor is None else target.holds(value, target.floor)
        verdicts.append(Verdict(target, value, target.holds(value, target.goal), floor))
    return verdicts

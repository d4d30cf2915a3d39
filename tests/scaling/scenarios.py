"""What is simulated: the measured cases again, and what nobody here can measure.

Spools on hosts of their own share nothing, so one such host is simulated and its figures are taken
as often as there are hosts (test_hosts_of_their_own_do_as_much_as_so_many_simulated_together).
"""

import functools
import json
import math
import random
from pathlib import Path
from typing import Any, Dict, List, Tuple

from tests.benchmarks.bench import percentile
from tests.scaling.rows import middle
from tests.scaling.simulate import Case, Costs, simulate

TABLE: Dict[str, Dict[str, Any]] = json.loads(
    Path(__file__).with_name("costs.json").read_text(encoding="utf-8")
)
MEASURED: Dict[str, Any] = json.loads(
    Path(__file__).with_name("measured.json").read_text(encoding="utf-8")
)
NAPPERS = 2.0  # times as much of a core as `printf` does: `sleep` is a program of its own
A_DAY = 86_400.0
SHARDS = (1, 4, 16, 64)
WORKERS = tuple(2**power for power in range(11))  # 1 to 1,024
PENDING = (1_000, 10_000, 100_000, 1_000_000)
TRIPS = (0.0002, 0.0005, 0.001, 0.002)  # seconds to a server and back


def costs(durability: str = "full", *, locks_each: bool = False, **changes: float) -> Costs:
    """Return the costs of the table: for `full` or `none`, now or before slots were kept."""
    values = {name: entry["value"] for name, entry in TABLE.items() if name in Costs._fields}
    if locks_each:
        values["lost"] = TABLE["lost_before"]["value"]
    if durability == "none":
        values["sync"] = values["durable"] = 0.0
    return Costs(**{**values, **changes})


def rate(case: Case, some: Costs) -> float:
    """Return jobs a second of a case; chance has the same seed each time."""
    return simulate(case, some, random.Random(1)).a_second


# --- what was measured ----------------------------------------------------------------------------


def simulated(row: Dict[str, Any], **changes: float) -> float:
    """Return the jobs a second of a case that was measured, as the simulation has them."""
    some = costs(row["durability"], locks_each=bool(row.get("locks_each")), **changes)
    if row["nap"]:
        some = some._replace(command=some.command * NAPPERS)
    crew = Case(row["workers"], row["slots"], row["spools"], nap=row["nap"])
    case = crew._replace(backlog=4000, seconds=1.2, warm=0.3)
    return rate(case, some)


@functools.lru_cache(maxsize=None)
def checked() -> List[Tuple[Dict[str, Any], float, float]]:
    """Return every measured case, its jobs a second as measured, and as simulated."""
    found = []
    for rows in MEASURED["cases"].values():
        for locks_each in (True, False):
            some = [row for row in rows if bool(row.get("locks_each")) == locks_each]
            if some:
                row = middle(some)
                found.append((row, row["a_second"], simulated(row)))
    return found


# --- what was not ---------------------------------------------------------------------------------


@functools.lru_cache(maxsize=None)
def on_one_host(workers: int, nap: float) -> float:
    """Return the jobs a second of one spool on one host of two cores, workers of one slot."""
    if nap:
        return rate(Case(workers, nap=nap, backlog=10_000, seconds=9, warm=4), costs())
    return rate(Case(workers, backlog=10_000, seconds=3, warm=1), costs())


def by_workers(nap: float) -> Dict[int, List[float]]:
    """Return, for so many shards, the jobs a second of 1 to 1,024 workers shared out over them."""
    curves = {}
    for shards in SHARDS:
        busy = [min(shards, workers) for workers in WORKERS]  # shards that have a worker
        curves[shards] = [
            some * on_one_host(workers // some, nap) for some, workers in zip(busy, WORKERS)
        ]
    return curves


@functools.lru_cache(maxsize=None)
def capacity(workers: int, slots: int, durability: str = "full", cores: int = 2) -> float:
    """Return the jobs a second of one host that has as much to do as it can."""
    case = Case(workers, slots, cores=cores, backlog=20_000, seconds=1.2, warm=0.4)
    return rate(case, costs(durability))


@functools.lru_cache(maxsize=None)
def waits(workers: int, slots: int) -> List[Tuple[float, float, float]]:
    """Return the load, and half and 99 of 100 waits in seconds, as jobs come at random."""
    most = capacity(workers, slots)
    found = []
    for load in (0.1, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95):
        case = Case(workers, slots, arrivals=load * most, seconds=7, warm=1)
        waited = simulate(case, costs(), random.Random(1)).waits
        found.append((load, percentile(waited, 50), percentile(waited, 99)))
    return found


def by_pending(workers: int, slots: int) -> List[float]:
    """Return the jobs a second while so many wait."""
    found = []
    for pending in PENDING:
        cycle = 11 * TABLE["look"]["value"] * pending  # a look, and ten times as long without
        seconds = max(min(2.0, pending / 3000), 2 * cycle)  # not so long that few wait at its end
        case = Case(workers, slots, backlog=pending, seconds=seconds, warm=seconds / 2)
        found.append(rate(case, costs()))
    return found


def over_nfs(workers: int, trip: float) -> float:
    """Return the jobs a second of workers on hosts of their own, who share a spool on a server."""
    some = costs(
        away_start=TABLE["trips_start"]["value"] * trip,
        away_end=TABLE["trips_end"]["value"] * trip,
        away_lost=TABLE["trips_lost"]["value"] * trip,
    )
    case = Case(workers, 4, cores=2 * workers, backlog=20_000, seconds=3, warm=1)
    return rate(case, some)


def days(hosts: int, a_day: float = 1e8, swing: float = 0.8) -> List[float]:
    """Return how many jobs wait, hour by hour of three days whose noons are busier than nights."""
    most = hosts * capacity(1, 4)
    waiting, found = 0.0, []
    for minute in range(3 * 24 * 60):
        at = 2 * math.pi * minute / (24 * 60)
        comes = a_day / A_DAY * (1 - swing * math.cos(at))
        waiting = max(waiting + 60 * (comes - most), 0.0)
        if minute % 60 == 0:
            found.append(waiting)
    return found

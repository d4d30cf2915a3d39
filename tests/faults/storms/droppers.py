"""Programs that drop files without spoolq, by a write and a rename, and are killed on the way."""

import os
import random
import subprocess
import sys
import time
from functools import partial
from typing import Dict, List, Sequence

from ..cases import Bench, Case
from ..place import age, body, wait_for
from .kills import calm

_DROPPER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "dropper.py")
_BY_RENAME = ("tmp", "hidden", "outside")
_MOST = 2000  # files, or a calm worker takes minutes for them all


def _drop_and_kill(bench: Bench, how: Sequence[str] = _BY_RENAME) -> None:
    """Kill droppers every 30 to 200 ms beside a worker: each file is whole or absent, and runs."""
    place = bench.place
    place.make()
    chance = random.Random(5)
    worker = place.start("worker", "start", "--count", "2")
    told: List[str] = []
    kills = 0
    good = place.enqueue([body()] * 5)
    until = time.monotonic() + (60.0 if bench.long else 6.0)
    try:
        while time.monotonic() < until and _lines(told) < (10 if bench.long else 1) * _MOST:
            told.append(os.path.join(place.top, f"told.{len(told)}"))
            words = [sys.executable, "-S", "-E", _DROPPER, place.spool, told[-1]]
            dropper = subprocess.Popen([*words, f"drop{len(told)}", chance.choice(how), body()])
            begun = wait_for(lambda: os.path.exists(told[-1]), 20)
            time.sleep(chance.uniform(0.03, 0.2))
            dropper.kill()
            dropper.wait()
            kills += bool(begun)
        bench.check(worker.poll() is None, f"the worker has ended: {worker.poll()}")
        bench.modest(worker.pid)
    finally:
        worker.terminate()
        bench.check(wait_for(lambda: worker.poll() == 0, 30), f"its exit: {worker.poll()}")
        worker.kill()
        worker.wait()
    bench.check(
        kills > 10 and _lines(told) > 100, f"{kills} kills of {_lines(told)} drops: no storm"
    )
    age(os.path.join(place.spool, "tmp"))
    pending = os.path.join(place.spool, "pending")
    litter = [name for name in os.listdir(pending) if name[0] == "."]
    for name in litter:  # a dropper's own, which spoolq must leave alone
        os.unlink(os.path.join(pending, name))
    wrong = calm(place, 300.0)
    bench.check(not wrong, wrong)
    _judge(bench, told, good)
    bench.brief(_lines(told) + len(good), said=bench.place.said() + bench.place.said("calm.log"))
    bench.count("droppers killed", kills)
    bench.count("killed in the middle of a hidden file", len(litter))


def _lines(told: Sequence[str]) -> int:
    return sum(len(_names(path)) for path in told)


def _names(path: str) -> List[str]:
    try:
        with open(path, encoding="ascii") as file:
            return [line[:-1] for line in file if line.endswith("\n")]
    except FileNotFoundError:
        return []


def _judge(bench: Bench, told: Sequence[str], good: Sequence[str]) -> None:
    found = bench.settled(good)
    times: Dict[str, int] = {}
    for job in found.jobs.values():
        name = str(job.fields.get("name"))
        times[name] = times.get(name, 0) + 1
        bench.check(job.state == "completed", f"{job.id} is {job.state}")
        runs = bench.place.noted(job.id)
        bench.check(runs == ["start 1", "end"], f"{job.id}, {name}, noted {runs}")
    for path in told:
        names = _names(path)
        for name in names:
            bench.check(times.get(name) == 1, f"{name} was dropped and is there {times.get(name)}x")
    times.pop("None", None)
    bench.check(all(count == 1 for count in times.values()), "a drop is there twice")
    unsaid = len(times) - _lines(told)
    bench.check(0 <= unsaid <= len(told), f"{unsaid} more drops than were told, of {len(told)}")
    bench.count("drops", len(times))


CASES = [
    Case("programs that drop files are killed", _drop_and_kill),
    Case(
        "files are written in their place and torn",
        partial(_drop_and_kill, how=["in place"]),
        expects=r"^dead/drop\d+-\d+\.json has no name of the form",
    ),
]

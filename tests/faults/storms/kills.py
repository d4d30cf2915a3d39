"""Workers and producers that are killed at random, beside jobs that notice a twin."""

import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from typing import Any, Dict, Iterator, List, Optional, Set

from .. import bounds, checker
from ..cases import Bench, Case
from ..place import Place, age, body, wait_for
from .processes import Census

_LEFTOVER = os.path.join(os.path.dirname(os.path.abspath(__file__)), "leftover.py")
_SHED = (
    (),
    ("deaf",),
    ("session",),
    ("descriptors",),
    ("environment",),
    ("deaf", "session", "descriptors"),
    ("deaf", "session", "environment"),
    ("deaf", "descriptors", "environment"),
)
_RETRIES = 10_000  # a job that is lost with its worker again and again must not be given up here


_AT_ONCE = 0.5  # seconds that three workers take to be up; where they take longer, all does


class Storm:
    """Some workers and producers, one of which is killed every 50 to 500 ms."""

    def __init__(self, bench: Bench, seed: int) -> None:
        self.bench = bench
        self.place = bench.place
        self.chance = random.Random(seed)
        self.workers: List[Optional[subprocess.Popen]] = [None] * 3
        self.producers: List[subprocess.Popen] = []
        self.dropped: Set[str] = set()
        self.batches = 0
        self.kills = 0

    def blow(self, seconds: float, produce: bool = True) -> None:
        """Keep everything running, and kill, for some seconds; for more on a slow machine."""
        began = time.monotonic()
        self._keep_workers()
        wait_for(lambda: self.place.names("workers"), 60)
        slowness = max(1.0, (time.monotonic() - began) / _AT_ONCE)
        until = time.monotonic() + seconds * slowness
        while time.monotonic() < until:
            self._keep_workers()
            if produce and len([one for one in self.producers if one.poll() is None]) < 2:
                self._produce()
                self._drop()
            time.sleep(self.chance.uniform(0.05, 0.5) * slowness)
            running = [
                one for one in (*self.workers, *self.producers) if one and one.poll() is None
            ]
            if running:
                victim = self.chance.choice(running)
                self.bench.modest(victim.pid)
                victim.kill()
                victim.wait()
                self.kills += 1
        for one in (*self.workers, *self.producers):
            if one is not None and one.poll() is None:
                one.kill()
                one.wait()
        self.bench.count("kills", self.kills)

    def _keep_workers(self) -> None:
        for number, worker in enumerate(self.workers):
            if worker is None or worker.poll() is not None:
                self.workers[number] = self.place.start("worker", "start", "--count", "2")

    def _produce(self) -> None:
        self.batches += 1
        lines = os.path.join(self.place.top, f"lines.{self.batches}")
        command = body(f"sleep 0.0{self.chance.randrange(1, 9)}; ")
        with open(lines, "w", encoding="ascii") as file:
            file.write((command + "\n") * 6)
            for job in (*_chain(self.batches, command), *_keyed(self.chance, command)):
                file.write(json.dumps(job) + "\n")
        how = ["--stream"] if self.chance.random() < 0.5 else []
        with open(lines, "rb") as stdin, open(self._told(self.batches), "wb") as told:
            self.producers.append(
                subprocess.Popen(
                    self.place.command("enqueue", *how, "-"),
                    stdin=stdin,
                    stdout=told,
                    stderr=subprocess.DEVNULL,
                    env=self.place.environment(),
                )
            )

    def _drop(self) -> None:
        name = f"drop-{self.batches}"
        with tempfile.NamedTemporaryFile("w", dir=self.place.top, delete=False) as file:
            json.dump({"command": body(), "name": name}, file)
        os.rename(file.name, os.path.join(self.place.spool, "pending", name + ".json"))
        self.dropped.add(name)

    def _told(self, batch: int) -> str:
        return os.path.join(self.place.top, f"told.{batch}")

    def acknowledged(self) -> Set[str]:
        """Return the ids that any producer printed, killed or not."""
        ids: Set[str] = set()
        for batch in range(1, self.batches + 1):
            with open(self._told(batch), encoding="ascii") as file:
                ids.update(line.strip() for line in file if line.endswith("\n"))
        return ids


def _chain(batch: int, command: str) -> Iterator[Dict[str, Any]]:
    """Yield jobs that wait for one another."""
    for number in range(4):
        after = {"after": [f"chain{batch}-{number - 1}"]} if number else {}
        yield {"id": f"chain{batch}-{number}", "command": command, **after, "priority": 5 + number}


def _keyed(chance: random.Random, command: str) -> Iterator[Dict[str, Any]]:
    """Yield jobs of which others may be queued already."""
    for _ in range(3):
        yield {"command": command, "key": f"key{chance.randrange(3)}"}


def calm(place: Place, seconds: float = 120.0) -> str:
    """Let one worker do all that is left; return what went wrong."""
    age(os.path.join(place.spool, "tmp"))
    worker = place.start("worker", "start", "--drain", "--count", "6", log="calm.log")
    peak = 0

    def is_over() -> bool:
        nonlocal peak
        peak = max(peak, bounds.memory(worker.pid))
        return worker.poll() is not None

    if not wait_for(is_over, seconds):
        worker.kill()
        worker.wait()
        return f"the storm is over, and the rest is not done within {seconds:g} s"
    if worker.returncode != 0:
        return f"exit {worker.returncode}: {place.said('calm.log')}"
    return "; ".join(bounds.greedy(peak))


def judge(bench: Bench, ids: Set[str], dropped: Set[str] = frozenset()) -> checker.Snapshot:
    """Look for what must not be, when all has been calm for long enough."""
    place = bench.place
    found = bench.settled(ids, _RETRIES)
    names = [job.fields.get("name") for job in found.jobs.values()]
    for name in sorted(dropped):
        bench.check(
            names.count(name) == 1, f"{name} was dropped, and is there {names.count(name)}x"
        )
    wrong = checker.out_of_turn(found) + checker.side_by_side(found)
    bench.check(not wrong, "; ".join(wrong[:5]))
    for job in found.jobs.values():
        notes = place.noted(job.id)
        bench.check(job.state != "completed" or "end" in notes, f"{job.id} completed unrun")
    bench.count("runs", sum(len(job.history) for job in found.jobs.values()))
    return found


def _kill_workers_and_producers(bench: Bench) -> None:
    bench.place.make(max_retries=_RETRIES)
    storm = Storm(bench, seed=1)
    storm.blow(180.0 if bench.long else 12.0)
    wrong = calm(bench.place)
    bench.check(not wrong, wrong)
    ids = storm.acknowledged()
    bench.check(
        len(ids) > 20 and storm.kills > 10, f"no storm: {len(ids)} ids, {storm.kills} kills"
    )
    found = judge(bench, ids, storm.dropped)
    bench.check(
        all(job.state == "completed" for job in found.jobs.values()), "not all have succeeded"
    )
    runs = sum(len(job.history) for job in found.jobs.values())
    said = bench.place.said() + bench.place.said("calm.log")
    bench.brief(runs, 20 * storm.kills + 100, said)


def _outlive_workers(bench: Bench) -> None:
    """Jobs leave a child that sheds all but one mark; their workers die all the time."""
    place = bench.place
    place.make(max_retries=_RETRIES, grace=0.3)
    chance = random.Random(2)
    ids = _enqueue_leftovers(place, chance, 60 if bench.long else 24)
    storm = Storm(bench, seed=3)
    storm.blow(60.0 if bench.long else 8.0, produce=False)
    wrong = calm(place)
    bench.check(not wrong, wrong)
    bench.check(storm.kills > 8, f"{storm.kills} kills are no storm")
    census = Census(place)
    over = wait_for(lambda: not census.count(), 20)
    bench.check(over, f"{len(census.count())} processes are left")
    found = judge(bench, ids)
    lost = sum(run.get("error") == "worker lost" for j in found.jobs.values() for run in j.history)
    bench.check(lost > 5, f"only {lost} runs were lost with their workers")
    bench.count("lost runs", lost)


def _enqueue_leftovers(place: Place, chance: random.Random, number: int) -> Set[str]:
    lines = []
    for _ in range(number):
        words = [sys.executable, "-S", _LEFTOVER, '"$R/$SPOOLQ_JOB_ID.left"']
        words += ['"$R/$SPOOLQ_JOB_ID.runs"', f"{chance.uniform(0.1, 1.0):.1f}"]
        lines.append(body(" ".join([*words, *chance.choice(_SHED)]) + "; "))
    return set(place.enqueue(lines))


def _stand_still_beyond_the_lease(bench: Bench) -> None:
    """A worker stopped for longer than the lease is not dead; it goes on where it stood."""
    place = bench.place
    place.make(lease=5)
    ids = set(place.enqueue([body("sleep 1; ")] * 2))
    stopped = place.start("worker", "start", "--count", "2", log="stopped.log")
    started = wait_for(lambda: all(place.noted(one) for one in ids), 20)
    bench.check(started, "the jobs do not start")
    stopped.send_signal(signal.SIGSTOP)
    ids |= set(place.enqueue([body()] * 4))
    beside = place.start("worker", "start")
    time.sleep(12.0 if bench.long else 6.0)  # the lease is 5 s
    stopped.send_signal(signal.SIGCONT)
    done = wait_for(lambda: len(place.names("completed")) == 6, 20)
    bench.check(done, f"completed: {place.names('completed')}")
    for worker in (stopped, beside):
        worker.terminate()
        bench.check(worker.wait(20) == 0, f"the worker exited {worker.returncode}")
    found = judge(bench, ids)
    for job in found.jobs.values():
        bench.check(len(job.history) == 1, f"{job.id} ran {len(job.history)} times")
    bench.count("stops")


# --- controls -------------------------------------------------------------------------------------

_BLIND = """
from spoolq import lease, recovery
recovery.find_all = lambda marks: [[] for _ in marks]
real = lease.probe
def probe(spool, worker, lock=None):
    return real(spool, worker) if lock is None else "free"
lease.probe = probe
"""


def _do_not_look_for_what_is_left(bench: Bench) -> None:
    bench.place = bench.place.spoiled(_BLIND)
    bench.place.make(max_retries=_RETRIES)
    ids = set(bench.place.enqueue([body("sleep 3; ")] * 6))
    Storm(bench, seed=4).blow(4.0, produce=False)
    bench.wrong = [text for text in [calm(bench.place)] if text]
    judge(bench, ids)
    bench.wrong = [text for text in bench.wrong if "at the same time" in text]


_HOARDS = """
from spoolq.job import Job
kept, real = [], Job.with_entry
def with_entry(self, *entry):
    kept.append(b"x" * (1 << 20))
    return real(self, *entry)
Job.with_entry = with_entry
"""


def _keep_something_of_each_job(bench: Bench) -> None:
    bench.place = bench.place.spoiled(_HOARDS)
    bench.place.make()
    ids = set(bench.place.enqueue([body()] * 160))
    wrong = calm(bench.place)
    bench.check(not wrong, wrong)
    judge(bench, ids)


_HEEDLESS = """
from spoolq import admission
admission.Gate.name = lambda self, name: name
"""


def _wait_for_nobody(bench: Bench) -> None:
    bench.place = bench.place.spoiled(_HEEDLESS)
    bench.place.make()
    ids = set(bench.place.enqueue([json.dumps(job) for job in _chain(1, body("sleep 0.1; "))]))
    bench.check(not calm(bench.place), "")
    judge(bench, ids)


_KEYLESS = """
from spoolq import keys
keys.holder = lambda spool, key: None
"""


def _ask_for_no_key(bench: Bench) -> None:
    bench.place = bench.place.spoiled(_KEYLESS)
    bench.place.make()
    keyed = [{"command": body("sleep 0.1; "), "key": "k"}]
    ids = {job_id for _ in range(6) for job_id in bench.place.enqueue(map(json.dumps, keyed))}
    bench.check(not calm(bench.place), "")
    judge(bench, ids)


def _lie_of_a_job(bench: Bench) -> None:
    bench.place.make()
    ids = set(bench.place.enqueue([body()]))
    bench.check(not calm(bench.place), "")
    judge(bench, ids | {"never-enqueued"})


CASES = [
    Case("workers and producers are killed", _kill_workers_and_producers),
    Case("commands outlive their workers", _outlive_workers),
    Case("a worker stands still beyond the lease", _stand_still_beyond_the_lease),
    Case(
        "what is left of a run is not looked for",
        _do_not_look_for_what_is_left,
        expects="ran twice at the same time",
    ),
    Case(
        "something of each job is kept",
        _keep_something_of_each_job,
        expects="^a worker took [0-9]+ KiB of memory",
    ),
    Case("jobs wait for nobody", _wait_for_nobody, expects="began before chain1-[0-9] had ended"),
    Case("nobody is asked for a key", _ask_for_no_key, expects="have one key, and ran beside"),
    Case("an id is told that was never given", _lie_of_a_job, expects="^never-enqueued is lost$"),
]

"""Real processes on both sides, killed at random moments while thousands of jobs go through."""

import json
import os
import random
import subprocess
import sys
import time
from collections import Counter
from typing import Dict, List

from tests.ssh import PROGRAM

from ..cases import Bench, Case
from ..place import PROGRAM as SPOOLQ
from ..place import environment
from . import judging

#: Goes on as ssh does, and now and then breaks off: after some bytes in either direction, or as it
#: is told, in the middle of the second thing that is said back: the answer to a batch.
_BREAKING = """\
import os, random, subprocess, sys, threading, time
words = sys.argv[sys.argv.index("--") + 2:]
process = subprocess.Popen(
    ["sh", "-c", words[0]], stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
)
chance = random.Random()
told = "answer" in sys.argv[1:2]
doom = "answer" if told else chance.choice(["none", "none", "up", "down", "server"])
def pump(source, sink, is_doomed):
    left = chance.randrange(1, 60_000) if is_doomed else None
    heard = 0
    while True:
        data = os.read(source, 65536 if left is None else min(left, 65536))
        if not data:
            break
        heard += 1
        if doom == "answer" and sink == 1 and heard == 2:
            os.write(sink, data[: len(data) // 2])
            os._exit(255)
        try:
            os.write(sink, data) if len(data) < 4096 else write_all(sink, data)
        except OSError:
            break
        if left is not None:
            left -= len(data)
            if left <= 0:
                os._exit(255)
    os.close(sink)
def write_all(sink, data):
    while data:
        data = data[os.write(sink, data):]
threading.Thread(target=pump, args=(0, process.stdin.fileno(), doom == "up"), daemon=True).start()
if doom == "server":
    def kill():
        time.sleep(chance.uniform(0.1, 1.0))
        os.killpg(process.pid, 9)
    threading.Thread(target=kill, daemon=True).start()
pump(process.stdout.fileno(), 1, doom == "down")
os._exit(process.wait() & 255)
"""


#: What a worker does at its start and each second, by one that runs nothing.
_RECOVER = """\
import sys
from spoolq import control
from spoolq.spool import SpoolDir
control.recover_now(SpoolDir.open(sys.argv[1]), sweep=True)
"""


class _Storm:
    """A source, its targets, producers, forwarders and workers, of which one dies all the time."""

    def __init__(self, bench: Bench, targets: int, seed: int) -> None:
        self.bench = bench
        self.top = bench.place.top
        self.environment = environment(self.top, bench.place.first)
        self.chance = random.Random(seed)
        began = time.monotonic()
        self.here = self._make("here")
        #: How long everything takes here, beside a machine that has nothing else to do.
        self.slowness = max(1.0, (time.monotonic() - began) / 0.3)
        self.there = [self._make(f"there{n}") for n in range(targets)]
        self.ssh = os.path.join(self.top, "ssh.py")
        with open(self.ssh, "w", encoding="ascii") as file:
            file.write(_BREAKING)
        self.recovers = 0.3  # how often a worker recovers after a kill
        self.kills = 0
        self.held = 0  # claims that were on their way when their forwarder was killed
        self.ids: List[str] = []

    def _make(self, name: str) -> str:
        path = os.path.join(self.top, name)
        self._run(path, "init", path)
        return path

    def _words(self, path: str, *words: str) -> List[str]:
        return [*SPOOLQ, "--spool", path, *words]

    def _run(self, path: str, *words: str, stdin: str = "") -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self._words(path, *words),
            input=stdin,
            capture_output=True,
            text=True,
            env=self.environment,
            timeout=120,
        )

    def targets(self) -> List[str]:
        return [f"host:{path}" for path in self.there]

    def start(self, path: str, *words: str) -> "subprocess.Popen[bytes]":
        with open(os.path.join(self.top, "said.log"), "ab") as log:
            return subprocess.Popen(
                self._words(path, *words),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment,
            )

    def forward(self, doom: str = "") -> "subprocess.Popen[bytes]":
        ssh = f"{sys.executable} {self.ssh} {doom}"
        how = ["--ssh", ssh, "--program", PROGRAM, "--timeout", "20"]
        return self.start(self.here, "forward", "--follow", *how, *self.targets())

    def enqueue(self, jobs: int) -> None:
        lines = "".join(
            json.dumps({"command": 'echo "$SPOOLQ_JOB_ID" >>"$R/ran"', "note": "x" * 200}) + "\n"
            for _ in range(jobs)
        )
        self.ids += self._run(self.here, "enqueue", "-", stdin=lines).stdout.split()

    def blow(self, seconds: float, jobs: int) -> None:
        """Enqueue, forward, recover and kill for some seconds, in which all jobs are enqueued."""
        self.break_off()
        until = time.monotonic() + seconds
        forwarder = self.forward()
        while time.monotonic() < until or len(self.ids) < jobs:
            if len(self.ids) < jobs:
                self.enqueue(min(self.chance.randrange(20, 200), jobs - len(self.ids)))
            self.let_it_work()
            self.bench.wrong += self.apart()
            self.kill(forwarder)
            if self.chance.random() < self.recovers:
                words = [sys.executable, "-c", _RECOVER, self.here]
                subprocess.run(words, env=self.environment, check=True, timeout=120)
                self.bench.wrong += self.apart()
            forwarder = self.forward()
        forwarder.kill()
        forwarder.wait()
        self.bench.count("kills of forwarders", self.kills)
        self.bench.count("claims left by them", self.held)
        self.bench.count("connections broken", self.broken())

    def break_off(self) -> None:
        """Let a forwarder's way break in the middle of an answer, then kill it.

        However busy the machine is, that leaves claims of which their forwarder did not know what
        has become of them.
        """
        broken = self.broken()
        self.enqueue(20)
        forwarder = self.forward("answer")
        until = time.monotonic() + 120.0
        while self.broken() == broken and time.monotonic() < until:
            time.sleep(0.01)
        self.kill(forwarder)

    def kill(self, forwarder: "subprocess.Popen[bytes]") -> None:
        forwarder.kill()
        forwarder.wait()
        self.kills += 1
        self.held += len(_ids(self.here, "processing"))

    def let_it_work(self) -> None:
        """Give a forwarder time: to begin, to break off and begin anew, or to be in the middle."""
        if self.chance.random() < 0.5:
            time.sleep(self.chance.uniform(0.05, 2.0) * self.slowness)
            return
        until = time.monotonic() + 2.0 * self.slowness
        while time.monotonic() < until and not _ids(self.here, "processing"):
            time.sleep(0.001)
        time.sleep(self.chance.uniform(0.0, 0.1))

    def broken(self) -> int:
        said = os.path.join(self.top, "said.log")
        if not os.path.exists(said):
            return 0
        with open(said, encoding="utf-8", errors="replace") as file:
            return sum("is lost" in line for line in file)

    def apart(self) -> List[str]:
        """Look for a job that is there and waits here; the source is looked at first.

        Who moves meanwhile moves from here to there, so a job can only be seen too early there
        where it has been put back here: those are looked at once more.
        """
        waiting = set(_ids(self.here, "pending", "failed"))
        there = {job_id for path in self.there for job_id in _ids(path, *judging.checker.STATES)}
        suspects = waiting & there
        still = suspects & set(_ids(self.here, "pending", "failed")) if suspects else set()
        return [f"{job_id} is there, and waits here" for job_id in sorted(still)]

    def calm(self) -> None:
        """Let one forwarder settle all that is left, with a way that does not break."""
        with open(self.ssh, "w", encoding="ascii") as file:
            file.write("import os, sys\nos.execvp('sh', ['sh', '-c', sys.argv[-1]])\n")
        how = ["--ssh", f"{sys.executable} {self.ssh}", "--program", PROGRAM]
        for _ in range(3):
            done = self._run(self.here, "forward", *how, *self.targets())
        self.bench.check(done.returncode == 0, f"the last forward exits {done.returncode}: {done}")

    def judge(self) -> None:
        """See that each job is in one target, once, and completed here."""
        here = judging.of_one(self.here)
        found: Counter = Counter()
        there: Dict[str, judging.checker.Found] = {}
        for path in self.there:
            snapshot = judging.of_one(path)
            self.bench.wrong += snapshot.wrong
            found.update(snapshot.jobs.keys())
            there.update(snapshot.jobs)
        doubled = [job_id for job_id, times in found.items() if times > 1]
        self.bench.check(not doubled, f"{len(doubled)} jobs are in two targets: {doubled[:3]}")
        whole = judging.checker.Snapshot(there, {}, [])
        self.bench.wrong += judging.arrived(here, whole, self.ids)[:20]
        strangers = set(there) - set(self.ids)
        self.bench.check(not strangers, f"{len(strangers)} jobs are there that nobody enqueued")
        self.bench.count("jobs", len(self.ids))

    def run_there(self) -> None:
        """Run all jobs at their targets, and see that each has run once."""
        for path in self.there:
            self._run(path, "worker", "start", "--drain", "--count", "8")
        with open(os.path.join(self.top, "ran"), encoding="ascii") as file:
            ran = Counter(file.read().split())
        often = [job_id for job_id, times in ran.items() if times > 1]
        self.bench.check(not often, f"{len(often)} jobs ran more than once: {often[:3]}")
        self.bench.check(set(ran) == set(self.ids), f"{len(ran)} of {len(self.ids)} jobs ran")


def _ids(path: str, *states: str) -> List[str]:
    names = [name for state in states for name in os.listdir(os.path.join(path, state))]
    return [name.split(".")[3].split("@")[0] for name in names if name.count(".") > 3]


def _kill_forwarders(bench: Bench, targets: int) -> None:
    storm = _Storm(bench, targets, seed=targets)
    storm.blow(180.0 if bench.long else 10.0, jobs=10_000 if bench.long else 1_500)
    storm.calm()
    storm.judge()
    storm.run_there()
    bench.check(storm.kills > 5, f"{storm.kills} kills are no storm")
    bench.check(storm.held, "no forwarder was killed in the middle")
    bench.check(storm.broken(), "no connection broke")


_FORGETFUL = """
from spoolq.elsewhere import Elsewhere
Elsewhere.look = lambda self, claim: ""
"""


def _forget_what_is_on_its_way(bench: Bench) -> None:
    """Recovery takes what was on its way for runs of a lost worker, and lets them run here."""
    bench.place = bench.place.spoiled(_FORGETFUL)
    storm = _Storm(bench, 1, seed=5)
    storm.recovers = 1.0
    until = time.monotonic() + 120.0
    while not bench.wrong and time.monotonic() < until:
        storm.blow(2.0, jobs=len(storm.ids) + 200)


def _lie_of_a_job(bench: Bench) -> None:
    storm = _Storm(bench, 1, seed=9)
    storm.enqueue(3)
    storm.calm()
    storm.ids.append("never-enqueued")
    storm.judge()


CASES = [
    Case("forwarders are killed, and their ways break", lambda bench: _kill_forwarders(bench, 1)),
    Case("the same with three targets", lambda bench: _kill_forwarders(bench, 3)),
    Case(
        "recovery forgets what is on its way",
        _forget_what_is_on_its_way,
        expects="is there, and waits here",
    ),
    Case("a job is told of that never was", _lie_of_a_job, expects="never-enqueued never arrived"),
]

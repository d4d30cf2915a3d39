"""One task of the campaign: a recording, and the states of it, mounted, judged and recovered."""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
import traceback
from typing import Any, Dict, List, NamedTuple, Sequence

from spoolq import Spool

from .. import checker, uml
from ..reboot import to_the_end
from . import dmlog, judge, machine
from .machine import Promise


class Task(NamedTuple):
    """What to record and how much of it to judge.

    `quota` states are chosen at random, all if 0; `until_caught` ends with the first violation,
    as is enough for a negative control; every `real`-th state is recovered by a real worker; a
    `neighbour` writes and syncs on the same disk all the time.
    """

    filesystem: str
    discipline: str
    quota: int = 0
    turn: int = 0
    rounds: int = 1
    subsets: int = 3
    real: int = 20
    until_caught: bool = False
    batch: int = 40
    neighbour: bool = False


class Result(NamedTuple):
    """What came of a task."""

    filesystem: str
    discipline: str
    states: int
    of: int
    told: int
    violations: int
    examples: List[str]
    seen: Dict[str, int]
    seconds: float


class Bench:
    """A recording, its disk at some moment, and the place where states of it are mounted."""

    def __init__(self, directory: str, task: Task) -> None:
        self._task = task
        self._mount = os.path.join(directory, "mnt")
        self._image = os.path.join(directory, "state.img")
        self._base = os.path.join(directory, "base.img")
        os.mkdir(self._mount)
        self.promises = machine.record(
            machine.Guest(
                task.filesystem,
                task.discipline,
                "log",
                task.rounds,
                task.turn,
                task.batch,
                task.neighbour,
            ),
            directory,
        )
        self.log = list(dmlog.entries(os.path.join(directory, "log.img")))
        os.unlink(os.path.join(directory, "log.img"))
        self._marks = [entry.mark for entry in self.log if entry.mark and entry.mark != "end"]
        self._drops = judge.drops(self.promises.values())
        self._durable = 0

    def states(self) -> List[dmlog.State]:
        """Return all states, or as many as the task asks for, in the order of time."""
        every = dmlog.states(self.log, self._task.subsets, self._task.turn)
        self.of = len(every)
        if not self._task.quota or self._task.quota >= len(every):
            return every
        chance = random.Random(self._task.turn)
        return sorted(chance.sample(every, self._task.quota))

    def examine(self, state: dmlog.State, real: bool) -> judge.Verdict:
        """Build a state's image, mount it, look at it, recover it and look again."""
        with open(self._base, "r+b") as file:
            dmlog.apply(file, self.log, range(self._durable, state.durable))
        self._durable = state.durable
        machine.copy(self._base, self._image)
        with open(self._image, "r+b") as file:
            dmlog.apply(file, self.log, state.kept)
        promises: List[Promise] = [self.promises[mark] for mark in self._marks[: state.told]]
        try:
            uml.run("mount", "-o", "loop", self._image, self._mount)
        except OSError as error:
            return judge.Verdict([f"will not mount: {error}"], [])
        try:
            return self._judge_mounted(judge.told(promises), real)
        finally:
            uml.run("umount", self._mount)

    def _judge_mounted(self, sums: judge.Told, real: bool) -> judge.Verdict:
        path = os.path.join(self._mount, "spool")
        discipline = self._task.discipline
        try:
            before = checker.read(path, self._drops)
            verdict = judge.at_once(before, judge.waits(path), sums, discipline)
            if discipline == "none" and not real:
                return verdict  # a torn job is only judged by a worker, which takes seconds
            trouble = _by_worker(path) if real else _in_a_child(path)
            if trouble:
                return judge.Verdict(verdict.violations + [f"recovery: {trouble}"], verdict.seen)
            after = checker.read(path, self._drops)
        except OSError as error:
            return judge.Verdict([f"cannot be read: {error}"], [])
        later = judge.afterwards(path, before, after, sums, discipline)
        return judge.Verdict(verdict.violations + later.violations, verdict.seen + later.seen)


def _by_worker(path: str) -> str:
    """Let a real worker recover and run all there is; return what went wrong."""
    words = [sys.executable, "-m", "spoolq", "--spool", path, "worker", "start", "--drain"]
    done = subprocess.run(
        words,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=60,
    )
    return f"exit {done.returncode}: {done.stderr[-300:]}" if done.returncode else ""


def _warm_up() -> None:
    """Import all that a recovery imports, once, and not in each child."""
    with tempfile.TemporaryDirectory() as directory:
        with Spool(os.path.join(directory, "spool"), create=True) as spool:
            spool.enqueue_many(["true", "exit 3"])
        to_the_end(spool.path)


def _in_a_child(path: str) -> str:
    """Recover with the fault loop's reboot, two days on, in a process that holds nothing open."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reader)
        try:
            to_the_end(path)
        except BaseException:
            os.write(writer, traceback.format_exc()[-600:].encode())
        os._exit(0)
    os.close(writer)
    with open(reader, "rb") as file:
        said = file.read()
    os.waitpid(child, 0)
    return said.decode(errors="replace")


def perform(task: Task) -> Result:
    """Record and judge."""
    started = time.monotonic()
    examples: List[str] = []
    seen: Dict[str, int] = {}
    violations = tried = 0
    _warm_up()
    with machine.workshop() as directory:
        bench = Bench(directory, task)
        for state in bench.states():
            tried += 1
            verdict = bench.examine(state, bool(task.real) and tried % task.real == 0)
            violations += bool(verdict.violations)
            if verdict.violations and len(examples) < 5:
                where = f"{len(state.kept)} kept after entry {state.durable}"
                examples.append(f"{where}: {'; '.join(verdict.violations[:3])}")
            for kind in {_kind(text) for text in verdict.seen}:
                seen[kind] = seen.get(kind, 0) + 1
            if violations and task.until_caught:
                break
    return Result(
        task.filesystem,
        task.discipline,
        tried,
        bench.of,
        len(bench.promises),
        violations,
        examples,
        seen,
        round(time.monotonic() - started, 1),
    )


def _kind(text: str) -> str:
    """Return what a sentence says, without of whom it says it."""
    return text.split(": ")[0].split(" ", 1)[1]


def perform_apart(tasks: Sequence[Task], at_once: int = 2) -> List[Any]:
    """Perform tasks in processes of their own, some at a time; return results or what failed.

    Each has mounts of its own, which go with it however it ends, and an image of its own making:
    btrfs takes two images of one make for one filesystem.
    """
    waiting = [*enumerate(tasks)]
    running: Dict[int, subprocess.Popen[str]] = {}
    results: List[Any] = [None] * len(tasks)
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                number, task = waiting.pop(0)
                words = ["unshare", "--mount", "--propagation", "private", sys.executable, "-m"]
                words += [__name__, json.dumps(task)]
                running[number] = subprocess.Popen(
                    words, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True
                )
            time.sleep(0.05)
            for number, process in [*running.items()]:
                if process.poll() is None:
                    continue
                assert process.stdout is not None
                said = process.stdout.read().strip()
                process.stdout.close()
                del running[number]
                results[number] = Result(*json.loads(said)) if process.returncode == 0 else None
                print(f"{number + 1} of {len(tasks)}: {said or tasks[number]}", file=sys.stderr)
    finally:
        for process in running.values():
            process.terminate()
            process.wait()
    return results


def main() -> None:
    """Perform the task that is the one argument, and print its result."""
    parser = argparse.ArgumentParser(description=main.__doc__)
    parser.add_argument("task")
    print(json.dumps(perform(Task(*json.loads(parser.parse_args().task)))))


if __name__ == "__main__":
    main()

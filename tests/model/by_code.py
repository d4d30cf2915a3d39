"""The transitions of the format as the code makes them, on a real spool.

Whoever acts is alone: who comes in between is what the model is about.
"""

import json
import os
from typing import Any, Callable, Dict, List, Tuple

from spoolq import admission, control, instants, lease, steering
from spoolq.errors import InvalidJob
from spoolq.job import Job
from spoolq.recovery import Recovery
from spoolq.worker import Worker
from tests import given
from tests.histories import PretendingExecutor


class Stage:
    """A real spool with a worker of its own, and another that is gone where one is wanted."""

    def __init__(self, spool, clock, tape) -> None:
        self.spool, self.clock, self.tape = spool, clock, tape
        self.own = given.worker(spool)
        self.executor = PretendingExecutor(clock, 1)
        self.worker = Worker(
            spool, self.own, self.executor, self, clock=clock, monotonic=clock.monotonic
        )
        self.dead: Any = None
        self._others: List[Any] = []

    def become(self) -> Any:
        """Let another worker start, to die when the curtain falls."""
        self._others.append(given.worker(self.spool))
        return self._others[-1]

    def leave(self) -> None:
        """Let the worker leave as it does at its end."""
        self.own.leave()
        self.own = None

    def close(self) -> None:
        """Let go of what is still held."""
        for one in filter(None, [self.own, *self._others]):
            given.die(one)

    def rang(self) -> bool:
        """Be the worker's bell: what is to be seen is seen at every turn."""
        return True

    def told(self) -> List[str]:
        """Return that no event told a name."""
        return []

    def turn(self) -> None:
        """Let time pass and the worker look at everything."""
        self.clock.advance(5)
        self.worker.turn()

    def run_ends(self, **how: Any) -> None:
        """Let the command of `j1` end, and the worker see it."""
        self.clock.advance(1)
        self.executor.happens("j1", **how)
        self.turn()

    def waits(self, state: str = "pending", attempt: int = 0, **fields: Any):
        """Put a job there that waits, and has failed before as often as its attempt says."""
        return given.job(self.spool, state, given.named(self.clock, "j1", attempt), **fields)

    def orphan(self, slot: str = "0", **fields: Any):
        """Leave a claim of a worker that died, with its slot's lock; no new claims are made."""
        self.dead = given.worker(self.spool)
        self.tape.dead = self.dead.name
        os.close(self.dead.take_slot(slot))
        claim = given.claim(self.spool, self.dead, self.waits(**fields), self.clock, slot)
        given.die(self.dead)
        self.spool.root.write("paused", b"", sync=False)
        return claim

    def rewrite(self, claim, data: bytes) -> None:
        """Give a claim's file another content."""
        given.write(self.spool, "processing", str(claim), data)

    def rolls(self) -> None:
        """Forget what has prepared this."""
        self.tape.journal.clear()


def enqueue(stage: Stage) -> None:
    name = given.named(stage.clock, "j1")
    stage.rolls()
    stage.spool.publish({name: Job({"command": "x"}).to_bytes()})


def enqueue_an_id(stage: Stage) -> None:
    name = given.named(stage.clock, "j1")
    stage.rolls()
    job = Job({"command": "x", "id": "j1"})
    admission.publish(stage.spool, {name: job.to_bytes()}, {name: job}, "full")


def admit(content: Dict[str, Any], *, there: bool = False) -> Callable[[Stage], None]:
    def by_code(stage: Stage) -> None:
        if there:
            stage.waits("completed", 1)
        given.write(stage.spool, "pending", "x.json", json.dumps(content))
        stage.spool.root.write("paused", b"", sync=False)
        stage.rolls()
        stage.turn()

    return by_code


def bury(stage: Stage) -> None:
    os.symlink("nowhere", os.path.join(stage.spool.path, "pending", "x.json"))
    stage.rolls()
    stage.turn()


def runs(*ends: Dict[str, int], **fields: Any) -> Callable[[Stage], None]:
    def by_code(stage: Stage) -> None:
        stage.waits(**fields)
        stage.rolls()
        for how in ends:
            stage.turn()
            stage.run_ends(**how)

    return by_code


def half_written(stage: Stage) -> None:
    given.write(stage.spool, "pending", str(given.named(stage.clock, "j1")), '{"command": ')
    stage.rolls()
    stage.turn()


def stop_now(stage: Stage) -> None:
    stage.waits()
    stage.rolls()
    stage.turn()
    stage.worker.stop(interrupt=True)
    stage.turn()
    stage.run_ends(signal=9)
    stage.leave()


def cancelled_run(stage: Stage) -> None:
    stage.waits()
    stage.rolls()
    stage.turn()
    recorded = list(stage.tape.journal)
    stage.own.dir.write("cancel.j1", b"", sync=False)
    stage.tape.journal[:] = recorded
    stage.turn()
    stage.run_ends(signal=15)


def ask_for_cancel(stage: Stage) -> None:
    stage.rolls()
    steering.request(stage.spool, stage.own.name, "cancel.j1")


def cancel(state: str, content: str = "") -> Callable[[Stage], None]:
    def by_code(stage: Stage) -> None:
        name = stage.waits(state, 1)
        if content:
            given.write(stage.spool, state, str(name), content)
        stage.clock.advance(1)
        stage.rolls()
        try:
            control.cancel(stage.spool, "j1", stage.clock)
        except InvalidJob:
            assert content

    return by_code


def retry(state: str, attempt: int) -> Callable[[Stage], None]:
    def by_code(stage: Stage) -> None:
        stage.waits(state, attempt)
        stage.clock.advance(1)
        stage.rolls()
        control.retry(stage.spool, "j1", stage.clock)

    return by_code


def recover(
    slot: str = "0",
    recorded: bool = False,
    content: bytes = b"",
    left: Tuple[str, ...] = ("lock", "slot"),
    asked: bool = False,
) -> Callable[[Stage], None]:
    def by_code(stage: Stage) -> None:
        claim = stage.orphan(slot)
        if recorded:
            entry = given.entry(claim, stage.clock, exit_code=0)
            stage.clock.advance(1)
            entry["finished_at"] = instants.to_rfc3339(stage.clock())
            stage.rewrite(claim, Job({"command": "x", "history": [entry]}).to_bytes())
        if content:
            stage.rewrite(claim, content)
        directory = stage.spool.dir("workers").sub(stage.dead.name)
        if "lock" not in left:
            directory.unlink(lease.LOCK)
        if asked:
            directory.write("cancel.j1", b"", sync=False)
        if not left:
            directory.close()
            lease.clear(stage.spool.dir("workers"), stage.dead.name, stage.spool.dir("tmp"))
        stage.rolls()
        stage.turn()

    return by_code


def recover_own(stage: Stage) -> None:
    os.close(stage.own.take_slot("0"))
    given.claim(stage.spool, stage.own, stage.waits(), stage.clock)
    stage.spool.root.write("paused", b"", sync=False)
    stage.rolls()
    stage.turn()


def put_back(stage: Stage) -> None:
    stage.waits("processing")
    stage.spool.root.write("paused", b"", sync=False)
    stage.rolls()
    stage.turn()


def start(stage: Stage) -> None:
    stage.rolls()
    stage.become()


def sweep(stage: Stage) -> None:
    stage.dead = given.worker(stage.spool)
    stage.tape.dead = stage.dead.name
    os.close(stage.dead.take_slot("0"))
    given.die(stage.dead)
    stage.rolls()
    Recovery(stage.spool, stage.own, stage.clock, stage.clock.monotonic).sweep()


def leave(stage: Stage) -> None:
    stage.rolls()
    stage.worker.stop()
    stage.turn()
    stage.leave()


def purge(stage: Stage) -> None:
    """Remove a job that has completed."""
    name = stage.waits("completed", 1)
    stage.rolls()
    assert stage.spool.remove("completed", str(name))

"""`demo`: a tour in a spool of its own; every command in it is run, and is what is shown."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from typing import Callable, List, NamedTuple, Sequence

import click

import spoolq
from spoolq import api, config, control
from spoolq.cli import render
from spoolq.cli.columns import Cell
from spoolq.cli.verbs import Verb
from spoolq.errors import StorageFailed

_PAUSE = 4.0  # seconds to read a step in
_MOST = 60.0  # seconds that one step may take
_POLL = 0.02


class _Step(NamedTuple):
    """What is said, what is run, and what has to be so before the tour goes on."""

    text: str
    commands: Sequence[str] = ()
    until: Callable[[api.Spool], bool] = lambda spool: True
    then: Sequence[str] = ()


def _ended(state: str, number: int) -> Callable[[api.Spool], bool]:
    return lambda spool: spool.counts()[state] >= number


_TOUR = (
    _Step(
        "A spool is a directory. A job is a file in it; its state is the directory that it is in.",
        ["spoolq init spool", "ls spool"],
    ),
    _Step(
        "A job is a command. The id is printed when a power cut would not lose it any more.",
        ["spoolq enqueue 'echo hello from job $SPOOLQ_JOB_ID'", "ls spool/pending"],
    ),
    _Step(
        "A worker is a process, started in any terminal. It claims the job by renaming its file.",
        ["spoolq worker start --count 2 &"],
        _ended("completed", 1),
        ["spoolq logs", "ls spool/completed"],
    ),
    _Step(
        "A job that fails is tried again, by default after 2, 4 and 8 seconds.",
        ["spoolq enqueue 'test $SPOOLQ_ATTEMPT = 2 || { echo the server is busy; exit 1; }'"],
        _ended("completed", 2),
        ["spoolq show"],
    ),
    _Step(
        "One that fails for good goes to the dead letter queue, with what it printed last.",
        ["spoolq enqueue --max-retries 0 'cat report.txt'"],
        _ended("dead", 1),
        ["spoolq dlq list", "spoolq logs"],
    ),
    _Step(
        "Mend what was wrong, and let it run anew.",
        ["echo 'all is well' > report.txt", "spoolq dlq retry last"],
        _ended("completed", 3),
        ["spoolq logs"],
    ),
    _Step(
        "Any program can put a job in: it writes a file, and moves it into pending/.",
        [
            """echo '{"command": "echo dropped by hand"}' > new.json""",
            "mv new.json spool/pending/by-hand.json",
        ],
        _ended("completed", 4),
        ["spoolq list"],
    ),
    _Step(
        "Kill a worker in the middle of a job: the next one ends what is left of it, and runs it "
        "again.",
        ["spoolq enqueue 'test $SPOOLQ_ATTEMPT = 2 || sleep 600'"],
        lambda spool: spool.counts()["processing"] == 1 and _is_running(spool),
        ["kill -9 %1", "spoolq worker start --drain", "spoolq show"],
    ),
    _Step("That is all there is: what was to be done is done.", ["spoolq status"]),
)


def _is_running(spool: api.Spool) -> bool:
    return any(view.alive and view.running for view in spool.workers())


@click.command(cls=Verb)
@click.option("--no-pause", is_flag=True, help="Go on without time to read.")
@click.option("--keep", is_flag=True, help="Leave the directory, to look around in it.")
def demo(no_pause: bool, keep: bool) -> None:
    """Show in a minute how it works, in a temporary spool.

    Success, failure, retry, death and rescue, a dropped file, and a worker that is killed.

    \b
    spoolq demo
    spoolq demo --keep
    """
    place = tempfile.mkdtemp(prefix="spoolq-demo-")
    no_pause = no_pause or not render.is_terminal(sys.stdout)  # nobody reads along in a pipe
    tour = _Tour(place, 0.0 if no_pause else _PAUSE)
    render.out(f"A tour of {len(_TOUR)} steps, in a spool of its own: nothing of yours is touched.")
    if not no_pause:
        render.out("It goes on by itself and takes a minute; Ctrl+C ends it.")
    try:
        for number, step in enumerate(_TOUR, 1):
            tour.take(step, f"{number} of {len(_TOUR)}")
        render.out("")
        render.out("Now in a directory of your own:")
        render.out("  spoolq init")
        render.out("  spoolq enqueue 'echo hello'")
        render.out("  spoolq worker start --count 2")
    finally:
        try:
            tour.close()
        finally:
            if keep:
                render.say(f"The spool is left in {place}/spool")
            else:
                shutil.rmtree(place, ignore_errors=True)


class _Tour:
    def __init__(self, place: str, pause: float) -> None:
        self._place = place
        self._spool = os.path.join(place, "spool")
        self._said = os.path.join(place, "worker.log")
        self._pause = pause
        self._commands: List[subprocess.Popen[bytes]] = []
        self._workers: List[subprocess.Popen[bytes]] = []
        self._environment = dict(config.environment())
        self._environment.pop("SPOOLQ_SPOOL", None)
        self._environment["COLUMNS"] = str(shutil.get_terminal_size().columns)
        # From a checkout that is not installed the program is found where we are, and only there.
        ours = os.path.dirname(os.path.dirname(os.path.abspath(spoolq.__file__)))
        paths = [ours, self._environment.get("PYTHONPATH", "")]
        self._environment["PYTHONPATH"] = os.pathsep.join(path for path in paths if path)

    def take(self, step: _Step, which: str) -> None:
        """Say what a step is about, run its commands, and leave time to read."""
        render.out("")
        render.story([(which, Cell.styled(step.text, "bold"))])
        for command in step.commands:
            self._run(command)
        self._wait(step)
        for command in step.then:
            self._run(command)
        render.flush()
        time.sleep(self._pause)

    def close(self) -> None:
        """End the workers, and what they run or have left behind."""
        for command in self._commands:
            command.wait()
        if not os.path.isdir(self._spool):
            return
        self._quietly("spoolq worker stop --now").wait()
        for worker in self._workers:
            worker.wait()
        with api.Spool(self._spool) as spool:
            control.recover_now(spool.dir, orphans="end")

    def _run(self, command: str) -> None:
        render.out(render.painted(f"$ {command}", "cyan", sys.stdout))
        render.flush()
        if command == "kill -9 %1":
            self._workers[-1].kill()
            self._workers[-1].wait()
        elif command.endswith("&"):
            self._workers.append(self._quietly(command[:-1]))
        elif command.startswith("spoolq "):
            if self._call(self._words(command)):
                raise StorageFailed("this should have worked; the demo ends here")
        else:
            self._call(["/bin/sh", "-c", command])

    def _call(self, words: List[str]) -> int:
        # One that is interrupted may take a moment to end: `close` waits for it as long as it takes
        # (test_nothing_is_left_of_a_demo_that_is_interrupted).
        command = subprocess.Popen(words, cwd=self._place, env=self._environment)
        self._commands.append(command)
        return command.wait()

    def _quietly(self, command: str) -> subprocess.Popen[bytes]:
        with open(self._said, "ab") as said:
            return subprocess.Popen(
                self._words(command),
                cwd=self._place,
                env=self._environment,
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
            )

    def _words(self, command: str) -> List[str]:
        return [sys.executable, "-m", "spoolq", *shlex.split(command)[1:]]

    def _wait(self, step: _Step) -> None:
        deadline = time.monotonic() + _MOST
        with api.Spool(self._spool) as spool:
            while not step.until(spool):
                if time.monotonic() > deadline:
                    with open(self._said, encoding="utf-8", errors="replace") as said:
                        last = said.read().splitlines()[-1:]
                    raise StorageFailed(f"the demo does not come further here: {last}")
                time.sleep(_POLL)

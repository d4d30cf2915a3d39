"""`run` of many: enqueue them, wait until all have ended, and print what each printed, grouped.

With -j a worker of their own runs them, so many at a time, and leaves with the last of them; it is
a worker like any other, in a session of its own, so Ctrl+C lets go of the jobs and stops none;
SIGTERM and SIGHUP do the same.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, nullcontext, suppress
from typing import Any, Dict, Iterator, List, NamedTuple, NoReturn, Optional, Sequence, Set

import spoolq
from spoolq import api, instants, logs, names, views
from spoolq.cli import render
from spoolq.cli.enqueue import standstill
from spoolq.cli.halting import Halt, end
from spoolq.cli.output import Output
from spoolq.cli.verbs import INTERRUPTED
from spoolq.errors import SpoolqError
from spoolq.fsio import read_all
from spoolq.text import shell_word, shortened
from spoolq.views import JobView

MOST = 101  # the highest exit code, as GNU parallel has it
_SHORTEST, _LONGEST = 0.02, 0.25
_SHARE = 5  # a look at a large spool may cost this part of the time
_QUIET = 0.5  # seconds after which a person is told what keeps the jobs from running
_PATIENCE = 10.0  # seconds for the worker to leave
_MOST_SAID = 1 << 14  # bytes of what the worker has said last
_LINE = 60  # characters of a command
#: Its own directory is nobody's to import from.
_PROGRAM = "import sys; sys.path[0] = sys.argv.pop(1); from spoolq.cli.main import main; main()"


class Batch(NamedTuple):
    """Jobs that were enqueued together, and the tag that they have for that."""

    ids: Sequence[str]
    tag: str


def new_tag() -> str:
    """Return a tag that no other batch has."""
    return f"run-{names.random_text(7)}"


def to_the_end(
    spool: api.Spool, batch: Batch, *, count: Optional[int] = None, halts: Optional[Halt] = None
) -> int:
    """Print the output of each job when it has ended; return how many died, at most 101.

    Args:
        count: so many are run at a time by a worker of their own; None: by those there are.

    Raises:
        SpoolqError: the worker could not begin, or has gone.
    """
    following = _Following(spool, batch.ids)
    crew = None if count is None else _Crew(spool, batch.tag, count)
    try:
        with _heeding_signals():
            _follow(spool, following, batch, crew, halts)
    except KeyboardInterrupt:
        _let_go(following, batch, crew)
        return INTERRUPTED
    except _Asked as asked:
        with suppress(OSError):  # the terminal has gone
            _let_go(following, batch, crew)
        return 128 + asked.number
    except BaseException:
        if crew is not None:
            crew.stop()
        raise
    if crew is not None:
        crew.stop()
    dead = len(following.dead)
    if dead or render.is_terminal(sys.stderr):
        render.say(f"{len(batch.ids) - dead} of {len(batch.ids)} completed")
    return min(dead, MOST)


class _Asked(BaseException):
    """Another signal than that of Ctrl+C asks to let go of the jobs."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


@contextmanager
def _heeding_signals() -> Iterator[None]:
    """Let SIGTERM and SIGHUP be told of; one that is ignored, as under nohup, stays so."""

    def ask(number: int, _: Any) -> NoReturn:
        raise _Asked(number)

    numbers = [getattr(signal, name, signal.SIGTERM) for name in ("SIGTERM", "SIGHUP")]
    heeded = [one for one in {*numbers} if signal.getsignal(one) is not signal.SIG_IGN]
    before = {one: signal.signal(one, ask) for one in heeded}
    try:
        yield
    finally:
        for one, handler in before.items():
            signal.signal(one, handler)


def _follow(
    spool: api.Spool,
    following: _Following,
    batch: Batch,
    crew: Optional[_Crew],
    halts: Optional[Halt],
) -> None:
    began, pause, told, left_alone = time.monotonic(), _SHORTEST, False, False
    bar: Any = nullcontext(_NoBar())
    if render.is_terminal(sys.stderr):
        from spoolq.cli.progress import counting

        bar = counting("running")
    with bar as shown:
        while following.left:
            looked_at = time.monotonic()
            has_left = crew is not None and crew.has_left()  # first: what it has ended is seen then
            ended = following.look()
            cost = time.monotonic() - looked_at
            if ended:
                with shown.hidden():
                    for view in ended:
                        following.tell(view)
            shown(len(batch.ids) - len(following.left), len(batch.ids))
            if not following.left:
                return
            if halts is not None and halts.is_due(len(following.dead), len(batch.ids)):
                end(spool, [*following.left], running=halts.now)
                halts = None
            if crew is not None and has_left and not left_alone:
                crew.check()
                left_alone = told = True
                render.say(_left_alone(len(following.left), batch))
            if not told and time.monotonic() - began > _QUIET:
                told = True
                why = standstill(spool, batch.tag)
                if why:
                    render.say(why)
            pause = _SHORTEST if ended else min(pause * 1.5, _LONGEST)
            time.sleep(max(pause, cost * _SHARE))


def _let_go(following: _Following, batch: Batch, crew: Optional[_Crew]) -> None:
    tag = render.escape(shell_word(batch.tag))
    left = len(following.left)
    what = "1 job, which goes on" if left == 1 else f"{left} jobs, which go on"
    by = f", by worker process {crew.pid}" if crew is not None and not crew.has_left() else ""
    render.say(f"let go of {what}{by}")
    render.say(f"  spoolq wait --tag {tag}      wait for them")
    render.say(f"  spoolq cancel --tag {tag}    end them")


def _left_alone(left: int, batch: Batch) -> str:
    what = "1 job waits" if left == 1 else f"{left} jobs wait"
    tag = render.escape(shell_word(batch.tag))
    return f"its worker has left, and {what} for another:  spoolq worker start --tag {tag}"


class _NoBar:
    """Where there is no terminal."""

    def __call__(self, done: int, total: int) -> None:
        pass

    def hidden(self) -> Any:
        return nullcontext()


# --- the jobs -------------------------------------------------------------------------------------


class _Following:
    """Which jobs have ended, and what they printed."""

    def __init__(self, spool: api.Spool, ids: Sequence[str]) -> None:
        self._spool = spool
        self._settings = spool.settings
        self._output = Output()
        self.left: Dict[str, None] = dict.fromkeys(ids)  # in their order
        self.dead: Set[str] = set()

    def look(self) -> List[JobView]:
        """Return the jobs that have ended since the last look, in the order of their ends."""
        found = self._spool.dir.locate(self.left)
        ended: List[JobView] = []
        for job_id, (state, filename) in sorted(found.items(), key=lambda item: item[1][1]):
            if state in ("completed", "dead"):
                view = views.look(self._spool.dir, state, filename, self._settings)
                if view is not None:
                    ended.append(view)
                    del self.left[job_id]
        for job_id in [job_id for job_id in self.left if job_id not in found]:
            del self.left[job_id]
            render.say(f"{job_id}: nobody knows how it ended; its file is gone")
            self.dead.add(job_id)
        return ended

    def tell(self, view: JobView) -> None:
        """Print what a job printed in its last run, and say if it died."""
        log = _last_log(view)
        descriptor = None if log is None else logs.open_log(self._spool.dir.dir("logs"), log)
        if descriptor is not None:
            try:
                self._output.copy(descriptor)
                self._output.write(b"", final=True)
            finally:
                os.close(descriptor)
            if not self._output.at_line_start:  # so that each job's output begins a line
                self._output.write(b"\n", final=True)
            render.flush()
        if view.state == "dead":
            self.dead.add(view.id)
            line = shortened(view.job.line, _LINE) if view.job is not None else ""
            why = view.error or "put there by hand"
            render.say(render.escape(f"job {view.id} is dead: {why}: {line}"))


def _last_log(view: JobView) -> Optional[logs.LogName]:
    run = view.last_run
    try:
        stamp = instants.to_stamp(instants.from_rfc3339(run["started_at"]))
        return logs.LogName(view.id, int(run["attempt"]), stamp)
    except (KeyError, ValueError):
        return None


# --- the worker -----------------------------------------------------------------------------------


class _Crew:
    """A worker that runs the jobs of one batch, and leaves when they have ended."""

    def __init__(self, spool: api.Spool, tag: str, count: int) -> None:
        place = os.path.dirname(os.path.dirname(os.path.abspath(spoolq.__file__)))
        tmp = spool.dir.dir("tmp")
        name = f"said.{names.random_text(8)}"
        self._said = tmp.create(name)
        tmp.tidy(name)  # it goes with the last who has it open
        self._process = subprocess.Popen(
            [
                *(sys.executable, "-c", _PROGRAM, place, "--spool", spool.path),
                *("worker", "start", "--drain", "--count", str(count), f"--tag={tag}"),
            ],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._said,
            start_new_session=True,
        )
        self.pid = self._process.pid

    def has_left(self) -> bool:
        """Say whether it runs no more."""
        return self._process.poll() is not None

    def check(self) -> None:
        """See how it has left.

        Raises:
            SpoolqError: not of its own accord, and not because it was asked to.
        """
        code = self._process.poll()
        if code:
            length = os.fstat(self._said).st_size
            os.lseek(self._said, max(length - _MOST_SAID, 0), os.SEEK_SET)
            said = read_all(self._said, _MOST_SAID).decode("utf-8", "replace").splitlines()
            last = "; ".join(render.escape(line.strip()) for line in said[-2:])
            raise SpoolqError(
                f"the worker has gone, with exit code {code}; the jobs wait",
                hint=f"it said:  {last}" if last else None,
            )

    def stop(self) -> None:
        """Let it leave: it finishes what it runs."""
        if self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                pass  # it has jobs of the same tag that came later
        os.close(self._said)

"""Replays a history on a worker: steps as a text, a clock that is moved, an executor that pretends.

The worker's own `run` is what runs. Whenever it goes to sleep, the next step of the history
happens; it never really sleeps, and no process is started. What is checked besides the history
itself, always: the worker does not spin, never runs more than `count` at a time, never one job
twice at a time, and never sleeps without a limit.

Steps, one a line (times in seconds from the start of the history):

    start                                        what stands before it happens before the worker
    enqueue a priority=9 at=10 max_retries=0     a job's file appears in pending/
    enqueue a needs=gpu:1 tag=night
    drop name {"command": "x"}                   any bytes appear as pending/name; %20 is a blank
    end a 1 | end a signal 15                    its command ends
    advance 2                                    time passes; the worker wakes when it wants to
    clock -3600                                  somebody sets the wall clock
    touch paused | rm paused
    ask stop | ask stop.now | ask cancel.a       a request in the worker's directory
    signal                                       SIGTERM
    config {"max_retries": 1}                    config.json is written so
    disk full | disk well | disk unsynced        outcomes cannot be written, or only not synced
    disk unreadable                              claimed files cannot be opened
    system full | system well                    no process can be started, or again
    lacks a b | lacks                            what these jobs need is not free just now
    taken gpu 1 | taken                          somebody has this token, or none
    capacity 3                                   the executor takes so many from now on
    other claims a | other dies | other moves a completed
    claimed unknowingly a                        a claim in the worker's name that it did not see
    odd log a                                    a link to nowhere takes the place of its log
    retry a                                      a dead job is put back by hand
    put processing/x.json | mkdir config.json | rmdir worker
    see pending a.a0+0 | completed b.a1+3        all jobs there are: id, attempt, time
    started a b a                                all that has been started, in order
    asked a cancelled                            it runs, and is to end for this reason, if any
    history a exit 1, interrupted                what its file tells of its runs
    requests cancel.a                            the requests that are left
    watches 0 | watches never                    since when arrivals are told
    trouble No space left                        worker.json speaks of it
    finishes 3                                   so often it has tried to write outcomes
    asleep 2                                     the worker means to sleep so long
    left | stays | lost                          it has left | has not | stopped as WorkerLost
"""

import errno
import math
import os
from datetime import timedelta
from typing import Any, Dict, List, NamedTuple
from urllib.parse import unquote

from spoolq import config, instants, lease, logs, names
from spoolq.errors import WorkerLost
from spoolq.executors import Ended, NoRoom, NotNow
from spoolq.job import Job
from spoolq.layout import STATES
from spoolq.tokens import Tokens
from spoolq.worker import Worker

_WAKING = ("enqueue", "drop", "end", "rm", "ask", "signal", "retry")
MANY_TURNS = 50  # without sleeping in between; no history here needs so many


class History(NamedTuple):
    """What happens, and the worker that it happens to."""

    steps: str
    count: int = 1
    drain: bool = False
    stop_within: float = math.inf
    config: Dict[str, Any] = {}
    chance: float = 0.0
    at_watch: str = (
        ""  # the step that happens while the watch on pending/ begins; nobody tells of it
    )


def replay(history: History, spool, clock) -> None:
    """Let a history happen, and check everything that it says is to be seen."""
    _World(history, spool, clock).replay()


class _Over(Exception):
    """The history has been told to its end."""


class PretendingExecutor:
    """Starts nothing: a run ends when the history says so."""

    def __init__(self, clock, count: int) -> None:
        self._clock = clock
        self.takes = count
        self._running: Dict[Any, Any] = {}
        self._ended: List[Ended] = []
        self.asked: Dict[Any, str] = {}
        self.started: List[str] = []
        self.has_room = True
        self.lacks: List[str] = []

    def capacity(self) -> int:
        return self.takes

    def submit(self, run) -> None:
        if not self.has_room:
            raise NotNow("no room")
        if run.claim.id in self.lacks:
            raise NoRoom("no gpu is free")
        assert len(self.running()) < self.takes, "more at a time than it takes"
        assert run.claim.id not in {other.claim.id for other in self.running()}, "twice at a time"
        self._running[run.claim] = run
        self.started.append(run.claim.id)

    def running(self):
        return (*self._running.values(), *(ended.run for ended in self._ended))

    def outcomes(self):
        ended, self._ended = self._ended, []
        return ended

    def cancel(self, claim, error: str) -> None:
        self.asked.setdefault(claim, error)

    def patience(self):
        if self._ended:
            return 0.0
        return 0.25 if self.asked.keys() & self._running.keys() else None

    def happens(self, job_id: str, **how: Any) -> None:
        claim = next(claim for claim in self._running if claim.id == job_id)
        run = self._running.pop(claim)
        self._ended.append(Ended(run, self._clock(), error=self.asked.pop(claim, None), **how))


class _World:
    """Everything around the worker; it is its bell too, for it sleeps there."""

    def __init__(self, history: History, spool, clock) -> None:
        self._spool = spool
        self._clock = clock
        self._steps = [line.strip() for line in history.steps.strip().splitlines()]
        self._start = clock()
        self._started = clock.monotonic()
        self._write_config({"durability": "none", **history.config})
        self._write, self._sync = spool.write_outcome, spool.sync_moves
        spool.write_outcome, spool.sync_moves = self._maybe_write, self._maybe_sync
        self._disk = "well"
        processing = spool.dir("processing")
        self._open_file = processing.open_file
        processing.open_file = self._maybe_open_file
        self._writes = 0
        self._executor = PretendingExecutor(clock, history.count)
        self._lease = lease.Lease.start(spool, {})
        self._other = lease.Lease.start(spool, {})
        self._somebody, self._taken = Tokens(spool), ()
        self._until = None
        self._turns = 0
        self._rang = False
        self._arrivals = []
        self._sleeps = 0.0
        self._end = "stays"
        self.worker = Worker(
            spool,
            self._lease,
            self._executor,
            self,
            drain=history.drain,
            stop_within=history.stop_within,
            clock=clock,
            monotonic=clock.monotonic,
            chance=lambda: history.chance,
            watch=self._begin_to_watch,
        )
        self._at_watch = history.at_watch
        self.watches_since = None

    def _begin_to_watch(self) -> None:
        assert self.watches_since is None, "it begins to watch twice"
        self.watches_since = self._clock.monotonic()
        if self._at_watch:
            self._happen(self._at_watch)
            self._arrivals.clear()

    def replay(self) -> None:
        if "start" in self._steps:
            while (step := self._steps.pop(0)) != "start":
                self._happen(step)
        try:
            self.worker.run()
            self._end = "left"
        except WorkerLost:
            self._end = "lost"
        except _Over:
            return
        finally:
            if self._end != "lost":
                self._lease.leave()
        for step in self._steps:
            self._happen(step)

    # --- the worker's bell ------------------------------------------------------------------------

    def ring(self) -> None:
        self._rang = True

    def rang(self) -> bool:
        rang, self._rang = self._rang, False
        return rang

    def told(self):
        told, self._arrivals = self._arrivals, []
        return told

    def wait(self, seconds):
        assert seconds is not None, "it would sleep for ever"
        if seconds == 0:
            self._turns += 1
            assert self._turns < MANY_TURNS, "it is awake all the time"
            return []
        self._turns = 0
        self._sleeps = seconds
        while True:
            if self._until is not None:
                passes = self._until - self._clock.monotonic()
                if passes > 1e-5:
                    self._clock.advance(max(min(passes, self._sleeps), 1e-6))
                    self._sleeps -= passes
                    if self._sleeps <= 1e-6:
                        return []
                self._until = None
            if not self._steps:
                raise _Over
            step = self._steps.pop(0)
            self._happen(step)
            if step.split()[0] in _WAKING:
                return []

    # --- steps ------------------------------------------------------------------------------------

    def _happen(self, step: str) -> None:
        verb, _, rest = step.partition(" ")
        try:
            getattr(self, "_do_" + verb)(rest.strip())
        except AssertionError as error:
            raise AssertionError(f"at {step!r}: {error}") from None

    def _do_enqueue(self, rest: str) -> None:
        job_id, *options = rest.split()
        told = dict(option.split("=") for option in options)
        fields: Dict[str, Any] = {}
        if "needs" in told:
            need, _, amount = told.pop("needs").partition(":")
            fields["needs"] = {need: float(amount)}
        if "tag" in told:
            fields["tags"] = [told.pop("tag")]
        fields.update({key: float(value) for key, value in told.items()})
        at = fields.pop("at", None)
        instant = self._clock() if at is None else self._start + timedelta(seconds=at)
        for whole in ("priority", "max_retries"):
            if whole in fields:
                fields[whole] = int(fields[whole])
        job = Job({"command": job_id, **fields})
        name = names.Name(instants.to_stamp(instant), job.priority, 0, job_id)
        self._spool.publish({name: job.to_bytes()}, "none")
        self._arrivals.append(str(name))

    def _do_drop(self, rest: str) -> None:
        filename, _, text = rest.partition(" ")
        path = os.path.join(self._spool.path, "pending", unquote(filename))
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        moment = self._clock().timestamp()
        os.utime(path, (moment, moment))
        self._arrivals += [unquote(filename)] * 2  # made, and closed after writing

    def _do_end(self, rest: str) -> None:
        job_id, *how = rest.split()
        if how[0] == "signal":
            self._executor.happens(job_id, signal=int(how[1]))
        else:
            self._executor.happens(job_id, exit_code=int(how[0]))

    def _do_advance(self, rest: str) -> None:
        self._until = self._clock.monotonic() + float(rest)

    def _do_clock(self, rest: str) -> None:
        self._clock.set_wall(self._clock() + timedelta(seconds=float(rest)))

    def _do_watches(self, rest: str) -> None:
        since = self.watches_since
        told = "never" if since is None else f"{since - self._started:g}"
        assert told == rest, told

    def _do_touch(self, rest: str) -> None:
        self._spool.root.write(rest, b"", sync=False)

    def _do_rm(self, rest: str) -> None:
        self._spool.root.discard(rest)
        self.ring()

    def _do_ask(self, rest: str) -> None:
        self._lease.dir.write(rest, b"", sync=False)
        self.ring()

    def _do_signal(self, _: str) -> None:
        self.worker.signalled()

    def _do_config(self, rest: str) -> None:
        self._spool.write_config(rest.encode())

    def _do_disk(self, rest: str) -> None:
        self._disk = rest

    def _do_system(self, rest: str) -> None:
        self._executor.has_room = rest == "well"

    def _do_lacks(self, rest: str) -> None:
        self._executor.lacks = rest.split()

    def _do_taken(self, rest: str) -> None:
        limit, _, amount = rest.partition(" ")
        self._somebody.let_go(self._taken)
        needs = ((limit, int(amount)),) if limit else ()
        self._taken = self._somebody.take(needs, {limit: int(amount or 0)})

    def _do_capacity(self, rest: str) -> None:
        self._executor.takes = int(rest)
        self.ring()

    def _do_other(self, rest: str) -> None:
        what, *words = rest.split()
        if what == "claims":
            self._claim_as(self._other, words[0])
        elif what == "dies":
            os.close(self._other._lock)
            self._other.dir.close()
        else:
            claim = self._find("processing", words[0])
            self._spool.finish_move(claim, words[1], self._now(), claim.attempt)
            self.ring()

    def _do_claimed(self, rest: str) -> None:
        self._claim_as(self._lease, rest.split()[-1])

    def _do_odd(self, rest: str) -> None:
        claim = self._find("processing", rest.split()[-1])
        os.symlink("nowhere", os.path.join(self._spool.path, "logs", str(logs.log_name(claim))))

    def _do_retry(self, rest: str) -> None:
        name = self._find("dead", rest)
        self._spool.requeue("dead", str(name), name, self._now(), 0)
        self.ring()

    def _do_put(self, rest: str) -> None:
        state, _, filename = rest.partition("/")
        self._spool.dir(state).write(filename, b'{"command": "x"}', sync=False)

    def _do_mkdir(self, rest: str) -> None:
        self._spool.root.discard(rest)
        self._spool.root.make_dir(rest)

    def _do_rmdir(self, _: str) -> None:
        self._other.leave()
        lease.clear(self._spool.dir("workers"), self._lease.name, self._spool.dir("tmp"))

    # --- what is to be seen -----------------------------------------------------------------------

    def _do_see(self, rest: str) -> None:
        wanted = {}
        for part in filter(None, (part.split() for part in rest.split("|"))):
            wanted[part[0]] = sorted(part[1:])
        assert self._seen() == wanted, f"there is {self._seen()}"

    def _do_started(self, rest: str) -> None:
        assert self._executor.started == rest.split(), f"started {self._executor.started}"

    def _do_asked(self, rest: str) -> None:
        job_id, _, error = rest.partition(" ")
        claims = {run.claim for run in self._executor.running()}
        asked = {c.id: reason for c, reason in self._executor.asked.items() if c in claims}
        assert asked.get(job_id) == (error or None), f"asked {asked}"

    def _do_history(self, rest: str) -> None:
        job_id, _, wanted = rest.partition(" ")
        state, filename = self._spool.locate([job_id])[job_id]
        job = Job.from_bytes(self._spool.dir(state).read(filename, 1 << 20)[0])
        found = [_how(entry) for entry in job.history]
        assert found == (wanted.split(", ") if wanted else []), f"it tells {found}"

    def _do_requests(self, rest: str) -> None:
        assert self._lease.requests() == rest.split(), self._lease.requests()

    def _do_trouble(self, rest: str) -> None:
        told = lease.read_card(self._spool, self._lease.name)["trouble"]
        assert rest in told if rest else not told, told

    def _do_writes(self, rest: str) -> None:
        assert self._writes == int(rest), self._writes

    def _do_asleep(self, rest: str) -> None:
        assert abs(self._sleeps - float(rest)) < 1e-3, f"for {self._sleeps}"

    def _do_left(self, _: str) -> None:
        assert self._end == "left", self._end

    def _do_lost(self, _: str) -> None:
        assert self._end == "lost", self._end

    def _do_stays(self, _: str) -> None:
        assert self._end == "stays", self._end

    # --- inside -----------------------------------------------------------------------------------

    def _write_config(self, values) -> None:
        self._spool.write_config(config.write(values))

    def _maybe_write(self, worker_dir, record):
        self._writes += 1
        if self._disk == "full":
            raise OSError(errno.ENOSPC, "No space left on device")
        return self._write(worker_dir, record)

    def _maybe_sync(self, states, durability):
        if self._disk == "unsynced" and states:
            raise OSError(errno.EIO, "Input/output error")
        self._sync(states, durability)

    def _maybe_open_file(self, filename):
        if self._disk == "unreadable":
            raise OSError(errno.EMFILE, "Too many open files")
        return self._open_file(filename)

    def _now(self) -> str:
        return instants.to_stamp(self._clock())

    def _find(self, state: str, job_id: str):
        found = (names.parse(filename) for filename in self._spool.dir(state).list())
        return next(name for name in found if name and name.id == job_id)

    def _claim_as(self, own, job_id: str) -> None:
        name = self._find("pending", job_id)
        assert self._spool.claim(str(name), name, self._now(), own.name, "77")

    def _seen(self):
        seen = {}
        for state in STATES:
            entries = [self._told(entry) for entry in self._spool.dir(state).list()]
            if entries:
                seen[state] = sorted(entries)
        return seen

    def _told(self, filename: str) -> str:
        name = names.parse(filename)
        if name is None:
            return filename
        seconds = f"{(name.at - self._start).total_seconds():+.6f}".rstrip("0").rstrip(".")
        return f"{name.id}.a{name.attempt}{seconds}"


def _how(entry) -> str:
    if "error" in entry:
        return entry["error"]
    return f"signal {entry['signal']}" if "signal" in entry else f"exit {entry['exit_code']}"

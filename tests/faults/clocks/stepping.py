"""A wall clock that is set while workers work; what measures durations goes on (libfaketime)."""

import glob
import json
import os
import random
import signal
import subprocess
import time
from datetime import datetime
from typing import Callable, List, Optional

from ..apart import install
from ..cases import Bench, Case, end
from ..events.losing import cpu_share
from ..place import Place, body, wait_for

_LIBRARY = "/usr/lib/*/faketime/libfaketime.so.1"
_HOUR, _YEAR = 3600, 365 * 86_400
#: The last ones are of no year that a date has: some filesystems keep them, others come near.
_TIMES = (0, 1, -1, 4_294_967_296, 13_569_465_600, -(10**11), 10**12)
_WALL = "import time\ntime.monotonic = time.time\n"
_HASTY = """
from datetime import datetime, timezone
from spoolq import agenda
_init = agenda.Agenda.__init__
def hasty(self, spool, intake, clock, *rest):
    _init(self, spool, intake, lambda: datetime(9999, 1, 1, tzinfo=timezone.utc), *rest)
agenda.Agenda.__init__ = hasty
"""


def _unable() -> Optional[str]:
    if not glob.glob(_LIBRARY):
        install("faketime")
    return None if glob.glob(_LIBRARY) else "Debian's package faketime is not installed"


class Clock:
    """A clock for all that is started in a place; files keep the filesystem's own time."""

    def __init__(self, bench: Bench, name: str = "clock") -> None:
        self._bench = bench
        self._path = os.path.join(bench.place.top, name)
        self.set(0)
        self.place = bench.place._replace(
            variables={
                "LD_PRELOAD": glob.glob(_LIBRARY)[0],
                "FAKETIME_TIMESTAMP_FILE": self._path,
                "FAKETIME_NO_CACHE": "1",
                "FAKETIME_DONT_FAKE_MONOTONIC": "1",
                "NO_FAKE_STAT": "1",
            }
        )

    def set(self, seconds: float) -> None:
        """Set it so many seconds ahead of the true time."""
        with open(self._path + ".new", "w", encoding="ascii") as file:
            file.write(f"{seconds:+.0f}s\n")
        os.rename(self._path + ".new", self._path)
        self._bench.count("steps")


def _completed(place: Place, number: int, seconds: float = 30.0) -> bool:
    return wait_for(lambda: len(place.names("completed")) >= number, seconds)


def _judge(bench: Bench, ids: List[str], once: bool = True) -> None:
    place = bench.place
    found = bench.settled(ids)
    for job in found.jobs.values():
        notes = place.noted(job.id)
        starts = sum(note.startswith("start") for note in notes)
        bench.check(starts == len(job.history), f"{job.id} started {starts}x: {job.history}")
        bench.check(not once or starts == 1, f"{job.id} ran {starts} times")
    bench.brief(sum(len(job.history) for job in found.jobs.values()))


def _set_under_a_run(ahead: float) -> Callable[[Bench], None]:
    """A run with a timeout goes on; what is enqueued by the new clock runs at once."""

    def perform(bench: Bench) -> None:
        clock = Clock(bench)
        place = bench.place = clock.place
        place.make()
        worker = place.start("worker", "start", "--count", "2")
        try:
            first = place.spoolq("enqueue", "--timeout", "600", body("sleep 1.5; ")).stdout.split()
            wait_for(lambda: place.noted(first[0]), 20)
            clock.set(ahead)
            second = place.enqueue([body()] * 3)
            bench.check(_completed(place, 4), f"completed: {place.names('completed')}")
            slow = place.spoolq("enqueue", "--timeout", "0.5", "--max-retries", "0", "sleep 60")
            dead = wait_for(lambda: place.names("dead"), 20)
            bench.check(dead, "a timeout does not end a run by the new clock")
            last = json.loads(place.spoolq("show", slow.stdout.strip(), "--json").stdout)
            error = last["history"][-1].get("error", "")
            bench.check(error.startswith("timed out"), f"it ended with {error!r}")
            _end_one_that_will_not(bench, clock, -ahead)
            clock.set(20 * _YEAR)  # what ended by a later clock is not old enough before that
            place.spoolq("purge", "--yes", "--state", "dead")
        finally:
            bench.check(end(worker), "the worker does not end")
        _judge(bench, first + second)
        ran = json.loads(place.spoolq("show", first[0], "--json").stdout)["history"][-1]
        took = _instant(ran["finished_at"]) - _instant(ran["started_at"])
        bench.check(abs(took - ahead) < 600, f"the clock was not set under the run: {took} s")

    return perform


def _instant(text: str) -> float:
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def _end_one_that_will_not(bench: Bench, clock: Clock, ahead: float) -> None:
    """Cancel a run that ignores TERM, and set the clock within its grace."""
    place = bench.place
    (stubborn,) = place.enqueue(
        ["trap '' TERM; touch \"$R/stubborn\"; while :; do sleep 0.1; done"]
    )
    wait_for(lambda: os.path.exists(os.path.join(place.runs, "stubborn")), 20)
    asking = place.start("cancel", stubborn, log="cancel.log")
    clock.set(ahead)
    dead = wait_for(lambda: any(stubborn in name for name in place.names("dead")), 20)
    bench.check(dead, "a cancelled run that ignores TERM lives on after the clock was set")
    bench.check(wait_for(lambda: asking.poll() is not None, 20), "cancel does not return")
    end(asking)
    clock.set(0)


def _set_ahead_under_waiting_jobs(bench: Bench) -> None:
    """What waits for a time that a step has passed runs at once: no sleep outlasts the step."""
    clock = Clock(bench)
    place = bench.place = clock.place
    place.make(backoff_base=7200, backoff_max=86_400)
    worker = place.start("worker", "start")
    try:
        ids = place.spoolq("enqueue", "--in", "1h", body()).stdout.split()
        ids += place.enqueue([body('[ "$SPOOLQ_ATTEMPT" -gt 1 ] || exit 1; ')])
        bench.check(wait_for(lambda: place.names("failed"), 20), "the job has not failed")
        bench.check(not place.noted(ids[0]), "a job ran an hour before its time")
        clock.set(3 * _HOUR)
        bench.check(_completed(place, 2), "a step ahead does not wake what has fallen due")
        ids += place.spoolq("enqueue", "--in", "1h", body()).stdout.split()
        clock.set(10 * _YEAR)
        bench.check(_completed(place, 3), "ten years ahead do not wake what has fallen due")
        bench.check(cpu_share(worker.pid, 2.0) < 0.5, "the worker spins after the clock was set")
    finally:
        bench.check(end(worker), "the worker does not end")
    _judge(bench, ids, once=False)


def _litter_of_another_day(bench: Bench) -> None:
    """Workers two days ahead take what is in the making for litter: refused, or there and run."""
    ahead = Clock(bench)
    ahead.set(2 * 86_400)
    place = bench.place
    place.make()
    batch = f"{body()}\n" * 200
    ids: List[str] = []
    for _ in range(20 if bench.long else 2):
        adding = subprocess.Popen(
            place.command("enqueue", "-"),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=place.environment(),
        )
        assert adding.stdin is not None
        adding.stdin.write(batch)
        adding.stdin.close()
        adding.stdin = None
        until = time.monotonic() + 20
        while not place.names("tmp") and adding.poll() is None and time.monotonic() < until:
            pass  # the moment is short
        adding.send_signal(signal.SIGSTOP)
        try:
            sweeping = ahead.place.start("worker", "start", "--drain", "--count", "4")
            ended = wait_for(lambda s=sweeping: s.poll() is not None, 60)
            bench.check(ended, "no end of a drain")
            end(sweeping)
        finally:
            adding.send_signal(signal.SIGCONT)
        told, said = adding.communicate(timeout=60)
        bench.check("Traceback" not in said, f"enqueue broke: {said[-300:]}")
        bench.check(adding.returncode == 0 or said, "enqueue fails and does not say why")
        bench.count("batches refused" if adding.returncode else "batches")
        ids += told.split() if adding.returncode == 0 else []
    drained = ahead.place.start("worker", "start", "--drain", "--count", "4")
    bench.check(wait_for(lambda: drained.poll() is not None, 90), "no end of a drain")
    end(drained)
    found = bench.settled(ids)
    # Each of up to 21 workers says that it comes and goes.
    bench.brief(sum(len(job.history) for job in found.jobs.values()), besides=80)


def _set_back_under_waiting_jobs(bench: Bench) -> None:
    """What was to run in a second waits for its time by the new clock, or until it is helped."""
    clock = Clock(bench)
    place = bench.place = clock.place
    place.make()
    ids = place.spoolq("enqueue", "--in", "1", body()).stdout.split()
    ids += place.spoolq("enqueue", "--in", "1", body()).stdout.split()
    clock.set(-_HOUR)
    worker = place.start("worker", "start")
    try:
        ids += place.enqueue([body()])
        bench.check(_completed(place, 1), "a job by the new clock does not run")
        early = wait_for(lambda: place.noted(ids[0]), 3.0)
        bench.check(not early, "a job ran an hour before its time, by the clock that is")
        if early:
            return  # the control
        bench.check(cpu_share(worker.pid, 2.0) < 0.5, "the worker spins until a job falls due")
        (one,) = [name for name in place.names("pending") if ids[0] in name]
        os.rename(*[os.path.join(place.spool, "pending", n) for n in (one, "2020" + one[4:])])
        bench.check(_completed(place, 2), "a job whose time was changed by hand does not run")
        clock.set(0)
        bench.check(_completed(place, 3), "a job does not run when its time has come")
    finally:
        bench.check(end(worker), "the worker does not end")
    _judge(bench, ids)


def _failed_in_the_future(bench: Bench) -> None:
    """A retry that was set by a clock ten years ahead can be had now with `dlq retry`."""
    clock = Clock(bench)
    place = bench.place = clock.place
    place.make(backoff_base=2)
    fails = body('[ "$SPOOLQ_ATTEMPT" -gt 1 ] || exit 1; ')
    clock.set(10 * _YEAR)
    worker = place.start("worker", "start")
    try:
        ids = place.enqueue([fails])
        failed = wait_for(lambda: place.names("failed"), 20)
        bench.check(failed, "the job has not failed")
        clock.set(0)
        early = wait_for(lambda: len(place.noted(ids[0])) > 1, 4.0)
        bench.check(not early, "a retry ran years before its time")
        done = place.spoolq("dlq", "retry", ids[0], check=False)
        bench.check(done.returncode == 0, f"dlq retry: {done.stderr}")
        bench.check(_completed(place, 1), "the retry does not run")
    finally:
        bench.check(end(worker), "the worker does not end")
    _judge(bench, ids, once=False)


def _to_and_fro(bench: Bench) -> None:
    """The clock jumps by up to two hours all the time, while jobs fail and are retried."""
    clock = Clock(bench)
    place = bench.place = clock.place
    place.make(max_retries=5)
    chance = random.Random(5)
    fails = '[ "$SPOOLQ_ATTEMPT" -gt {} ] || exit 1; '
    ids: List[str] = []
    workers = [place.start("worker", "start", "--count", "3") for _ in range(2)]
    try:
        until = time.monotonic() + (60 if bench.long else 6)
        while time.monotonic() < until:
            ids += place.enqueue([body(fails.format(chance.randrange(3))) for _ in range(10)])
            clock.set(chance.randrange(-2 * _HOUR, 2 * _HOUR))
        clock.set(3 * _HOUR)
        # A quick machine enqueues many in that time, and each runs up to three times.
        done = _completed(place, len(ids), 90 + len(ids) / 4)
        bench.check(done, f"{len(place.names('completed'))} of {len(ids)} completed")
        bench.modest(*(worker.pid for worker in workers))
    finally:
        for worker in workers:
            bench.check(end(worker), "a worker does not end")
    _judge(bench, ids, once=False)


def _two_clocks(bench: Bench) -> None:
    """Two workers, one an hour ahead, and producers by both clocks."""
    late, early = Clock(bench, "late"), Clock(bench, "early")
    early.set(_HOUR)
    place = bench.place = late.place
    place.make()
    workers = [clock.place.start("worker", "start", "--count", "2") for clock in (late, early)]
    try:
        ids = []
        for _ in range(10 if bench.long else 3):
            ids += late.place.enqueue([body("sleep 0.05; ")] * 10)
            ids += early.place.enqueue([body("sleep 0.05; ")] * 10)
        done = _completed(place, len(ids), 60)
        bench.check(done, f"{len(place.names('completed'))} of {len(ids)} completed")
    finally:
        for worker in workers:
            bench.check(end(worker), "a worker does not end")
    _judge(bench, ids)


def _files_of_other_times(bench: Bench) -> None:
    """Dropped files with the times of other centuries run now, once."""
    place = bench.place
    place.make()
    worker = place.start("worker", "start")
    try:
        for number, then in enumerate(_TIMES):
            path = os.path.join(place.top, f"drop-{number}.json")
            with open(path, "w", encoding="ascii") as file:
                json.dump({"command": body(), "id": f"drop{number}"}, file)
            os.utime(path, (then, then))
            os.rename(path, os.path.join(place.spool, "pending", f"drop-{number}.json"))
        bench.check(_completed(place, number + 1), f"completed: {place.names('completed')}")
        listed = place.spoolq("list", "--json", check=False)
        bench.check(listed.returncode == 0, f"list: {listed.stderr}")
    finally:
        bench.check(end(worker), "the worker does not end")
    _judge(bench, [f"drop{number}" for number in range(len(_TIMES))])


def _wall_clock_timeouts(bench: Bench) -> None:
    bench.place = bench.place.spoiled(_WALL)
    _set_under_a_run(10 * _YEAR)(bench)


def _everything_is_due(bench: Bench) -> None:
    bench.place = bench.place.spoiled(_HASTY)
    _set_back_under_waiting_jobs(bench)


CASES = [
    Case("back an hour under a run", _set_under_a_run(-_HOUR), unable=_unable),
    Case("ahead ten years under a run", _set_under_a_run(10 * _YEAR), unable=_unable),
    Case("ahead under waiting jobs", _set_ahead_under_waiting_jobs, unable=_unable),
    Case("litter of another day", _litter_of_another_day, unable=_unable),
    Case("back an hour under waiting jobs", _set_back_under_waiting_jobs, unable=_unable),
    Case("a retry of ten years hence", _failed_in_the_future, unable=_unable),
    Case("to and fro under jobs that fail", _to_and_fro, unable=_unable),
    Case("two workers an hour apart", _two_clocks, unable=_unable),
    Case("files of other centuries", _files_of_other_times),
    Case(
        "all is due at all times",
        _everything_is_due,
        unable=_unable,
        expects="ran an hour before its time",
    ),
    Case(
        "timeouts by the wall clock",
        _wall_clock_timeouts,
        unable=_unable,
        # Set back, it lets a timeout wait for ever; set forward, it ends a run that has time, and
        # that runs again. On a busy machine the second may be all that is seen.
        expects="lives on after the clock was set|ran 2 times",
    ),
]

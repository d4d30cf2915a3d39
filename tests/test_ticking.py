"""Workers look after schedules: each tick once, whatever happens to them, at no cost to others."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from datetime import timedelta

import pytest

from spoolq import instants, lease, names, scheduling, ticking
from spoolq.chores import Beside, Chores
from spoolq.cli.beside import CHORES
from spoolq.config import Settings
from spoolq.errors import UnsafeSpool
from spoolq.layout import STATES
from spoolq.schedules import PLACE, id_of, opened, read
from tests.conftest import REPOSITORY, entries, environment, wait_until

pytest.importorskip("cronsim", reason="the extra `schedule` is not installed")

SETTINGS = Settings()
MINUTE = timedelta(minutes=1)
EVERY_MINUTE = {"cron": "* * * * *", "job": {"command": "true"}}


@pytest.fixture
def beside(spool, clock):
    clock.set_wall(instants.now())
    own = lease.Lease.start(spool, {"count": 1})
    yield Beside(spool, own, None, clock, clock.monotonic)
    own.leave()


@pytest.fixture
def chore(beside, spool):
    scheduling.add(spool, "s", EVERY_MINUTE)
    made = ticking.Ticking(beside)
    yield made
    made.close()


def write(spool, name, content):
    with open(os.path.join(spool.path, PLACE, name), "w") as file:
        file.write(content)


def test_a_worker_of_the_command_line_looks_after_schedules(beside, spool, clock):
    found = Chores(CHORES, beside)
    assert found.look(SETTINGS) is False
    scheduling.add(spool, "s", EVERY_MINUTE)
    found.look(SETTINGS)
    clock.advance(60)
    assert found.look(SETTINGS) is True
    found.close()
    assert len(entries(spool, "pending")) == 1


def test_it_enqueues_each_tick_when_it_is_due(chore, spool, clock):
    made = 0
    for _ in range(180):
        made += chore.look(SETTINGS)
        clock.advance(1)
    assert made == len(entries(spool, "pending")) == 3


def test_a_second_in_which_nothing_is_due_reads_nothing(chore, spool, clock, monkeypatch):
    with opened(spool) as place:
        schedule = read(place, "s", SETTINGS)
    clock.set_wall(schedule.cron.after(schedule.since) - MINUTE / 2)
    for _ in range(5):
        chore.look(SETTINGS)
        clock.advance(1)
    dealt = []
    monkeypatch.setattr(
        scheduling, "deal", lambda *args: dealt.append(args) or scheduling.Dealt([], None)
    )
    monkeypatch.setattr(chore, "_list", lambda: pytest.fail("it was listed again"))
    for _ in range(20):
        chore.look(SETTINGS)
        clock.advance(1)
    assert dealt == []
    for _ in range(20):
        chore.look(SETTINGS)
        clock.advance(1)
    assert len(dealt) == 1


@pytest.fixture
def slowly(clock, monkeypatch):
    """Make what is done for each schedule that is due take so long."""

    def take(seconds):
        deal = scheduling.deal

        def slow(*args):
            dealt = deal(*args)
            clock.advance(seconds if dealt.ids else 0)
            return dealt

        monkeypatch.setattr(scheduling, "deal", slow)

    return take


def test_many_that_are_due_at_once_leave_the_runs_their_turn(chore, spool, clock, slowly):
    for name in "tuvwxyz":
        scheduling.add(spool, name, EVERY_MINUTE)
    chore.look(SETTINGS)
    clock.advance(61)
    slowly(0.2)
    made = []
    for _ in range(4):
        started = clock.monotonic()
        chore.look(SETTINGS)
        assert clock.monotonic() - started < 0.7
        made.append(len(entries(spool, "pending")))
    assert made == [3, 6, 8, 8]


def test_of_more_than_can_be_enqueued_none_waits_for_ever(chore, spool, clock, slowly):
    for name in "tuv":
        scheduling.add(spool, name, EVERY_MINUTE)
    chore.look(SETTINGS)
    clock.advance(61)
    slowly(60)
    for _ in range(8):
        chore.look(SETTINGS)
    made = [names.parse(name).id[0] for name in entries(spool, "pending")]
    assert sorted(made) == sorted(2 * "stuv")


def test_what_is_changed_added_and_removed_is_heeded_within_a_second(chore, spool, clock):
    chore.look(SETTINGS)
    write(spool, "s.json", json.dumps({**EVERY_MINUTE, "job": {"command": "changed"}}))
    write(spool, "t.json", json.dumps({**EVERY_MINUTE, "job": {"command": "added"}}))
    clock.advance(60)
    chore.look(SETTINGS)
    found = [spool.dir("pending").read(name, 1000)[0] for name in entries(spool, "pending")]
    assert sorted(json.loads(data)["command"] for data in found) == ["added", "changed"]
    scheduling.remove(spool, "s")
    clock.advance(60)
    chore.look(SETTINGS)
    assert len(entries(spool, "pending")) == 3


def test_schedules_that_are_removed_as_a_whole_are_no_trouble(chore, spool, clock, caplog):
    chore.look(SETTINGS)
    scheduling.remove(spool, "s")
    os.rmdir(os.path.join(spool.path, PLACE))
    clock.advance(60)
    assert chore.look(SETTINGS) is False
    scheduling.add(spool, "s", EVERY_MINUTE)
    chore.look(SETTINGS)
    clock.advance(60)
    assert chore.look(SETTINGS) is True
    assert caplog.text == ""


def test_what_is_wrong_with_one_is_said_once_and_stops_no_other(chore, spool, clock, caplog):
    write(spool, "bad.json", "{")
    write(spool, "a b.json", "{}")
    for _ in range(180):
        chore.look(SETTINGS)
        clock.advance(1)
    assert len(entries(spool, "pending")) == 3
    assert caplog.text.count("schedules/bad.json: line 1") == 1
    assert caplog.text.count("schedules/a b.json: a schedule's name") == 1
    write(spool, "bad.json", json.dumps(EVERY_MINUTE))
    chore.look(SETTINGS)
    clock.advance(60)
    chore.look(SETTINGS)
    assert "bad-" in "".join(entries(spool, "pending"))


def test_a_file_that_is_still_written_is_not_complained_of(chore, spool, clock, caplog):
    write(spool, "new.json", '{"cron": "* * *')
    chore.look(SETTINGS)
    clock.advance(1)
    chore.look(SETTINGS)
    write(spool, "new.json", json.dumps(EVERY_MINUTE))
    clock.advance(60)
    chore.look(SETTINGS)
    assert "new-" in "".join(entries(spool, "pending"))
    assert caplog.text == ""


def test_without_the_library_the_worker_says_so_and_goes_on(
    chore, beside, spool, clock, caplog, monkeypatch
):
    monkeypatch.setitem(sys.modules, "cronsim", None)
    for _ in range(5):
        assert chore.look(SETTINGS) is False
        clock.advance(1)
    assert caplog.text.count("pip install 'spoolq[schedule]'") == 1
    assert "cronsim" in lease.read_card(spool, beside.own.name)["trouble"]
    monkeypatch.undo()
    clock.advance(60)  # after which everything is read anew
    chore.look(SETTINGS)
    clock.advance(60)
    assert chore.look(SETTINGS) is True
    assert lease.read_card(spool, beside.own.name)["trouble"] == ""


def test_a_disk_that_refuses_is_tried_again_each_second(chore, spool, clock, caplog, monkeypatch):
    chore.look(SETTINGS)
    real = spool.publish

    def full(*args):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(spool, "publish", full)
    clock.advance(60)
    for _ in range(3):
        assert chore.look(SETTINGS) is False
        clock.advance(1)
    assert caplog.text.count("No space left on device") == 1
    monkeypatch.setattr(spool, "publish", real)
    assert chore.look(SETTINGS) is True
    assert [entry for entry in spool.dir("tmp").list() if not entry.startswith(".")] == []


def test_where_others_could_put_schedules_none_is_enqueued(chore, spool, clock):
    os.chmod(os.path.join(spool.path, PLACE), 0o777)
    clock.advance(60)
    for _ in range(2):
        with pytest.raises(UnsafeSpool, match="schedules"):
            chore.look(SETTINGS)
    assert entries(spool, "pending") == []


# --- many workers, killed -------------------------------------------------------------------------

SPEED = 600  # a minute of their clock takes a tenth of a second

#: A worker's chore in a loop of its own, by a clock that runs ahead.
LOOP = """
import sys, time
from spoolq import instants, lease, ticking
from spoolq.chores import Beside
from spoolq.config import Settings
from spoolq.spool import SpoolDir
path, began, speed = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
def clock():
    return instants.from_epoch(began + (time.time() - began) * speed)
spool = SpoolDir.open(path)
own = lease.Lease.start(spool, {"count": 1})
chore = ticking.Ticking(Beside(spool, own, None, clock, time.monotonic))
while True:
    chore.look(Settings())
"""

#: A whole worker, by such a clock.
WORKER = """
import sys, time
from spoolq import instants, worker
from spoolq.cli import main
path, began, speed = sys.argv[1], float(sys.argv[2]), float(sys.argv[3])
def clock():
    return instants.from_epoch(began + (time.time() - began) * speed)
worker.Worker.__init__.__kwdefaults__["clock"] = clock
main.main(["--spool", path, "worker", "start", "--count", "2"])
"""


class Crew:
    """Processes that run the same program, killed and replaced one by one."""

    def __init__(self, program, spool, speed):
        self._words = [sys.executable, "-c", program, spool.path, repr(time.time()), str(speed)]
        self._alive = []

    def hire(self, number):
        for _ in range(number):
            self._alive.append(
                subprocess.Popen(
                    self._words,
                    cwd=REPOSITORY,
                    env=environment(),
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )

    def kill_one(self):
        chosen = self._alive.pop(random.randrange(len(self._alive)))
        assert chosen.poll() is None, "it has not lived until it was killed"
        chosen.send_signal(signal.SIGKILL)
        chosen.wait()

    def dismiss(self):
        for process in self._alive:
            process.kill()
            process.wait()


def dealt_with(spool):
    """The ticks that there have been up to the note, by the schedule itself."""
    with opened(spool) as place:
        schedule = read(place, "s", SETTINGS)
        last = instants.from_rfc3339(place.read("s.last", 64)[0].decode().strip())
    return schedule.cron.newest(schedule.since, last, 1_000_000)


def found_ids(spool):
    return [names.id_in(name) for state in STATES for name in entries(spool, state)]


@pytest.mark.parametrize(
    ("program", "speed", "ticks", "kills"),
    [(LOOP, SPEED, 60, 12), (WORKER, SPEED / 5, 16, 5)],
    ids=["the chore alone", "whole workers that run the jobs"],
)
def test_a_tick_is_enqueued_once_by_many_workers(spool, program, speed, ticks, kills):
    """They start together, and are killed with -9 all the time: each tick is one job."""
    job = {"command": "true"}
    scheduling.add(spool, "s", {"cron": "* * * * *", "missed": "all", "job": job})
    crew = Crew(program, spool, speed)
    killed = 0
    try:
        crew.hire(3)
        wait_until(lambda: found_ids(spool), "the first tick")
        while killed < kills or len(set(found_ids(spool))) < ticks:
            time.sleep(random.uniform(0.05, 0.4))  # a kill at any moment
            crew.kill_one()
            crew.hire(1)
            killed += 1
            assert killed < 1000
        wait_until(lambda: len(set(found_ids(spool))) > ticks, "a tick after the last kill")
    finally:
        crew.dismiss()
    with opened(spool) as place:
        scheduling.deal(  # a tick that was published, and not noted yet
            spool, place, "s", SETTINGS, lambda: max(dealt_with(spool)) + MINUTE
        )
    found = found_ids(spool)
    expected = [id_of("s", tick) for tick in dealt_with(spool)]
    assert sorted(found) == sorted(expected)

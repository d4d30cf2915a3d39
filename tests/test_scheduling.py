"""Each tick becomes one job, whatever dies on the way, and what was missed is treated as asked."""

import errno
import json
import os
import tempfile
from contextlib import nullcontext
from datetime import timedelta
from unittest import mock

import pytest

from spoolq import instants, locks, names, scheduling
from spoolq.config import Settings
from spoolq.errors import BadInput, Busy, IdTaken, InvalidJob, NotFound, SpoolqError
from spoolq.fsio import Dir
from spoolq.layout import STATES
from spoolq.schedules import id_of, last_of, opened, read
from spoolq.spool import SpoolDir
from tests.conftest import entries
from tests.faults.apart import in_child, scratch
from tests.faults.loop.seam import Plan, Seam

pytest.importorskip("cronsim", reason="the extra `schedule` is not installed")
# A child of a process with threads may only do what these children do: work on files, and end.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")

SETTINGS = Settings()
MINUTE = timedelta(minutes=1)


def fields(cron="* * * * *", **more):
    job = more.pop("job", {"command": "true"})
    return {"cron": cron, "timezone": "UTC", **more, "job": job}


@pytest.fixture
def spool():
    """A spool in memory, if there is such a place: most of what is tried here is tried often."""
    with tempfile.TemporaryDirectory(prefix="spoolq-", dir=scratch()) as top:
        made = SpoolDir.create(os.path.join(top, "spool"))
        yield made
        made.close()


@pytest.fixture
def place(spool):
    scheduling.add(spool, "never", fields("0 0 1 1 *"))
    with opened(spool) as directory:
        yield directory


def first_tick(place, name="s"):
    schedule = read(place, name, SETTINGS)
    return schedule.cron.after(schedule.since)


def deal(spool, place, now, name="s", settings=SETTINGS):
    return scheduling.deal(spool, place, name, settings, lambda: now)


def ids(spool):
    """The ids of all jobs, as often as they are there."""
    return sorted(names.id_in(name) for state in STATES for name in entries(spool, state))


def test_a_tick_becomes_a_job_whose_id_and_time_are_the_ticks(spool, place):
    scheduling.add(spool, "s", fields(job={"command": "make", "priority": 7, "tags": ["x"]}))
    tick = first_tick(place)
    assert deal(spool, place, tick - MINUTE / 60) == ([], tick)
    dealt = deal(spool, place, tick)
    assert dealt == ([id_of("s", tick)], tick + MINUTE)
    (filename,) = entries(spool, "pending")
    assert filename == f"{instants.to_stamp(tick)}.p7.a0.{dealt.ids[0]}.json"
    job = json.loads(spool.dir("pending").read(filename, 10_000)[0])
    assert job.pop("created_at") == instants.to_rfc3339(tick)
    assert job == {"command": "make", "priority": 7, "tags": ["x"]}
    assert last_of(place, "s") == tick
    assert deal(spool, place, tick + MINUTE / 2) == ([], tick + MINUTE)


def test_a_schedule_does_not_fire_for_the_time_before_it_was_there(spool, place):
    scheduling.add(spool, "s", fields())
    assert first_tick(place) > instants.now() - MINUTE
    assert deal(spool, place, instants.now()).ids == []


def test_who_changes_or_touches_a_schedule_begins_anew(spool, place):
    scheduling.add(spool, "s", fields())
    with open(os.path.join(place.path, "s.last"), "w") as file:
        file.write(instants.to_rfc3339(instants.now() - 100 * MINUTE))
    os.utime(os.path.join(place.path, "s.json"))
    assert deal(spool, place, instants.now()).ids == []


@pytest.mark.parametrize(
    ("missed", "minutes", "late", "expected"),
    [
        ("once", 5, 30, [5]),
        ("once", 1, 0, [1]),
        ("once", 5, 3000, [55]),
        ("skip", 5, 30, [5]),  # in time
        ("skip", 1, 60, [2]),
        ("all", 3, 30, [1, 2, 3]),
        ("all", 1, 0, [1]),
    ],
)
def test_what_was_missed_is_treated_as_the_schedule_says(
    spool, place, missed, minutes, late, expected
):
    scheduling.add(spool, "s", fields(missed=missed))
    before = first_tick(place) - MINUTE
    now = before + minutes * MINUTE + timedelta(seconds=late)
    dealt = deal(spool, place, now)
    assert dealt.ids == [id_of("s", before + number * MINUTE) for number in expected]
    assert deal(spool, place, now).ids == []


def test_what_is_skipped_is_told_and_not_made_up_for_later(spool, place, caplog):
    scheduling.add(spool, "s", fields("0 * * * *", missed="skip"))
    tick = first_tick(place)
    now = tick + timedelta(seconds=scheduling.IN_TIME + 1)
    assert deal(spool, place, now) == ([], tick + 60 * MINUTE)
    assert "no worker was there in time" in caplog.text
    assert last_of(place, "s") == tick
    assert deal(spool, place, now).ids == []


def test_of_very_many_missed_ticks_the_newest_thousand_are_made_up_for(spool, place, caplog):
    scheduling.add(spool, "s", fields(missed="all"))
    now = first_tick(place) + 5000 * MINUTE
    found = deal(spool, place, now, settings=Settings(durability="none")).ids
    assert len(found) == scheduling.MOST == len(entries(spool, "pending"))
    assert found[-1] == id_of("s", now)
    assert "is not made up for" in caplog.text


def test_a_clock_that_is_set_back_brings_no_tick_again(spool, place):
    scheduling.add(spool, "s", fields())
    tick = first_tick(place)
    assert deal(spool, place, tick + 10 * MINUTE).ids
    for name in entries(spool, "pending"):
        spool.remove("pending", name)  # nothing but the note is left
    for minutes in range(11):
        assert deal(spool, place, tick + minutes * MINUTE).ids == []
    assert deal(spool, place, tick + 11 * MINUTE).ids == [id_of("s", tick + 11 * MINUTE)]


def test_a_tick_whose_job_has_the_key_of_another_is_skipped(spool, place, caplog):
    caplog.set_level("INFO")
    scheduling.add(spool, "s", fields(job={"command": "true", "key": "one at a time"}))
    tick = first_tick(place)
    (first,) = deal(spool, place, tick).ids
    assert deal(spool, place, tick + MINUTE).ids == []
    assert f"{first} has its key" in caplog.text
    assert last_of(place, "s") == tick + MINUTE
    name = entries(spool, "pending")[0]
    spool.dir("pending").rename(name, spool.dir("completed"), name)
    assert len(deal(spool, place, tick + 2 * MINUTE).ids) == 1


def test_while_others_publish_ids_it_is_to_be_tried_again(spool, place):
    scheduling.add(spool, "s", fields())
    tick = first_tick(place)
    with locks.held(spool.dir("tmp"), ".ids"), pytest.raises(Busy):
        deal(spool, place, tick)
    assert len(deal(spool, place, tick).ids) == 1


# --- whatever dies --------------------------------------------------------------------------------


def dying(spool, place, how, at, tick):
    """Let a child deal with a tick, and die at its n-th call; return whether it came."""

    def work(tell, die):
        def last_words():
            tell("reached")
            die()

        seam = Seam(Plan(at, how), last_words)
        with seam.installed():
            seam.armed = True
            deal(spool, place, tick)

    return any(event[0] == "reached" for event in in_child(work))


CALLS = 25  # more than are made for a tick


def tries(spool, place, moved, noted=False):
    """Kill at every call in turn; yield how often the job is there once another has gone on.

    With `moved` the job has run meanwhile; with `noted` it is not the first of its schedule.
    """
    deaths = 0
    for how in ("die before", "die after"):
        for at in range(1, CALLS):
            scheduling.add(spool, "s", fields())
            tick = first_tick(place)
            if noted:
                deal(spool, place, tick)
                tick += MINUTE
            reached = dying(spool, place, how, at, tick)
            deaths += reached
            if moved:
                complete_all(spool, tick)
            deal(spool, place, tick)
            assert last_of(place, "s") == tick
            yield ids(spool).count(id_of("s", tick))
            for state in ("pending", "completed"):
                for filename in entries(spool, state):
                    spool.remove(state, filename)
            scheduling.remove(spool, "s")
        assert not reached, "CALLS is too few"
    assert deaths > 20


def test_of_two_who_die_in_a_row_the_first_is_not_forgotten(spool, place):
    scheduling.add(spool, "s", fields())
    deal(spool, place, first_tick(place))
    counts = []
    for first in range(1, 15):
        for second in range(1, 15):
            tick = last_of(place, "s") + MINUTE
            dying(spool, place, "die before", first, tick)
            complete_all(spool, tick)
            dying(spool, place, "die before", second, tick)
            complete_all(spool, tick)
            deal(spool, place, tick)
            counts.append(ids(spool).count(id_of("s", tick)))
            complete_all(spool, tick)
            for filename in entries(spool, "completed"):
                spool.remove("completed", filename)
    assert set(counts) == {1}


@pytest.mark.parametrize("how", ["error", "errors"])
@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC], ids=errno.errorcode.get)
@pytest.mark.parametrize("moved", [False, True])
def test_a_tick_is_enqueued_once_whichever_call_fails(spool, place, how, code, moved):
    """Once, or from then on; and it is tried again."""
    scheduling.add(spool, "s", fields())
    deal(spool, place, first_tick(place))
    failures = 0
    for at in range(1, CALLS):
        tick = last_of(place, "s") + MINUTE
        seam = Seam(Plan(at, how, code))
        with seam.installed():
            seam.armed = True
            try:
                deal(spool, place, tick)
            except (OSError, SpoolqError):
                failures += 1
            seam.armed = False
        if moved:
            complete_all(spool, tick)
        deal(spool, place, tick)
        assert last_of(place, "s") == tick
        assert ids(spool).count(id_of("s", tick)) == 1
        assert deal(spool, place, tick).ids == []
    assert not seam.reached, "CALLS is too few"
    assert failures > 8
    left = [entry for entry in spool.dir("tmp").list() if entry.startswith("s.last")]
    assert left == [] or how == "errors"  # then nothing could be removed either


def complete_all(spool, tick):
    """Let all that waits have run, as if other workers had not looked after schedules."""
    for filename in entries(spool, "pending"):
        ended = f"{instants.to_stamp(tick)}.p5.a1.{names.id_in(filename)}.json"
        spool.dir("pending").rename(filename, spool.dir("completed"), ended)


@pytest.mark.parametrize("moved", [False, True])
@pytest.mark.parametrize("noted", [False, True])
def test_a_tick_is_enqueued_once_wherever_its_worker_dies(spool, place, moved, noted):
    assert {*tries(spool, place, moved, noted)} == {1}


@pytest.mark.parametrize("noted", [False, True])
def test_a_worker_that_looks_for_no_id_is_caught(spool, place, noted):
    with mock.patch.object(SpoolDir, "locate", lambda self, wanted: {}):
        assert 2 in [*tries(spool, place, moved=True, noted=noted)]


def test_a_worker_that_does_not_heed_who_died_in_between_is_caught(spool, place):
    real = Dir.has

    def has(self, name):
        return False if name == "s.last" else real(self, name)

    with mock.patch.object(Dir, "has", has):
        scheduling.add(spool, "s", fields())
        deal(spool, place, first_tick(place))  # so that there is a note
        counts = set()
        for at in range(1, CALLS):
            tick = last_of(place, "s") + MINUTE
            dying(spool, place, "die after", at, tick)
            complete_all(spool, tick)
            deal(spool, place, tick)
            counts.add(ids(spool).count(id_of("s", tick)))
    assert counts == {1, 2}


def test_a_plain_tick_looks_through_no_names(spool, place, monkeypatch):
    scheduling.add(spool, "s", fields())
    tick = first_tick(place)
    deal(spool, place, tick)
    monkeypatch.setattr(SpoolDir, "locate", lambda *args: pytest.fail("it looked for an id"))
    assert deal(spool, place, tick + MINUTE).ids == [id_of("s", tick + MINUTE)]


@pytest.mark.parametrize("state", STATES)
def test_an_id_that_is_taken_is_not_given_again_after_the_note_was_removed(spool, place, state):
    scheduling.add(spool, "s", fields())
    tick = first_tick(place)
    deal(spool, place, tick)
    (name,) = entries(spool, "pending")
    spool.dir("pending").rename(name, spool.dir(state), name)
    os.unlink(os.path.join(place.path, "s.last"))
    assert deal(spool, place, tick).ids == []
    assert ids(spool) == [id_of("s", tick)]


def test_a_job_that_has_the_ticks_name_is_the_ticks_job(spool, place):
    scheduling.add(spool, "s", fields())
    tick = first_tick(place)
    deal(spool, place, tick)
    (name,) = entries(spool, "pending")
    later = name.replace(instants.to_stamp(tick), instants.to_stamp(tick + MINUTE))
    later = later.replace(id_of("s", tick), id_of("s", tick + MINUTE))
    spool.dir("pending").rename(name, spool.dir("pending"), later)
    assert deal(spool, place, tick + MINUTE).ids == []
    assert ids(spool) == [id_of("s", tick + MINUTE)]


def test_what_a_killed_worker_was_writing_is_in_nobodys_way(spool, place):
    scheduling.add(spool, "s", fields())
    tick = first_tick(place)
    name = f"{instants.to_stamp(tick)}.p5.a0.{id_of('s', tick)}.json"
    spool.dir("tmp").write(name, b'{"comm', sync=False)
    assert deal(spool, place, tick).ids == [id_of("s", tick)]
    assert b'"command"' in spool.dir("pending").read(name, 1000)[0]


def is_synced_before_it_is_noted(spool, place, trace):
    """Say whether pending/ was synced before the note was renamed into schedules/."""
    pending, schedules = (directory.stat().st_ino for directory in (spool.dir("pending"), place))
    for event in trace:
        if event["call"] == "sync_filesystem" or (
            event["call"] == "fsync" and event["ino"] == pending
        ):
            return True
        if event.get("into") == schedules:
            return False
    raise AssertionError("nothing was noted")


@pytest.mark.parametrize("syncs", [True, False], ids=["as it is", "control: it syncs nothing"])
def test_what_is_there_is_synced_before_it_is_noted(spool, place, syncs):
    """Who published it may have been killed before the sync, and its worker's machine may die."""
    scheduling.add(spool, "s", fields())
    tick = first_tick(place)
    deal(spool, place, tick)
    os.unlink(os.path.join(place.path, "s.last"))
    seam = Seam()
    lame = mock.patch.object(Dir, "sync_moves", lambda self, **_: None)
    with seam.installed(), nullcontext() if syncs else lame:
        seam.armed = True
        assert deal(spool, place, tick).ids == []
        seam.armed = False
    assert is_synced_before_it_is_noted(spool, place, seam.trace) is syncs


def test_a_job_and_its_note_are_synced_in_the_right_order(spool, place):
    scheduling.add(spool, "s", fields())
    seam = Seam()
    with seam.installed():
        seam.armed = True
        deal(spool, place, first_tick(place))
        seam.armed = False
    unsynced = set()
    for event in seam.trace:
        if event["call"] == "write":
            unsynced.add(event["ino"])
        elif event["call"] in ("fsync", "fdatasync"):
            unsynced.discard(event["ino"])
        elif event["call"] == "sync_filesystem":
            unsynced.clear()
        elif "into" in event:
            assert event["ino"] not in unsynced, event
    assert is_synced_before_it_is_noted(spool, place, seam.trace)
    assert seam.trace[-1]["call"] in ("fsync", "sync_filesystem")


# --- by people ------------------------------------------------------------------------------------


def test_a_name_is_given_once_unless_it_is_to_be_replaced(spool, place):
    scheduling.add(spool, "s", fields())
    with pytest.raises(IdTaken, match="already"):
        scheduling.add(spool, "s", fields("@daily"))
    scheduling.add(spool, "s", fields("@daily"), replace=True)
    assert read(place, "s", SETTINGS).cron.text == "@daily"
    assert [entry for entry in spool.dir("tmp").list() if not entry.startswith(".")] == []


def test_one_that_rests_has_no_ticks_and_makes_up_for_none(spool, place):
    scheduling.add(spool, "s", fields())
    scheduling.pause(spool, "s")
    with pytest.raises(FileNotFoundError):
        deal(spool, place, instants.now() + MINUTE)
    with pytest.raises(IdTaken):
        scheduling.add(spool, "s", fields())
    before = instants.now()
    scheduling.resume(spool, "s")
    assert read(place, "s", SETTINGS).since >= before - timedelta(seconds=1)
    scheduling.resume(spool, "s")  # twice is harmless


def test_what_is_removed_is_gone_with_its_note(spool, place):
    scheduling.add(spool, "s", fields())
    deal(spool, place, first_tick(place))
    scheduling.remove(spool, "s")
    assert place.list() == ["never.json"]
    with pytest.raises(NotFound, match="did you mean 'never'"):
        scheduling.remove(spool, "nevr")


def test_where_there_are_no_schedules_none_is_found(spool):
    with pytest.raises(NotFound):
        scheduling.pause(spool, "s")


@pytest.mark.parametrize(
    "wrong",
    [
        fields("0 0 29 2 MON#1", job={"command": ""}),
        fields(missed="perhaps"),
        fields(zone="UTC"),
        fields(job={"command": "true", "id": "x"}),
        fields(job=["true"]),
        {"cron": "@daily"},
        {"job": {"command": "true"}},
        {**fields(), "timezone": "Mars"},
        {**fields(), "cron": 5},
    ],
)
def test_what_is_wrong_is_not_added(spool, place, wrong):
    with pytest.raises(InvalidJob):
        scheduling.add(spool, "s", wrong)
    assert place.list() == ["never.json"]


@pytest.mark.parametrize("name", ["", "a b", "../x", "-x", "last", "x" * 48, "a.b"])
def test_a_name_is_what_can_begin_an_id(spool, name):
    with pytest.raises(BadInput):
        scheduling.add(spool, name, fields())
    assert names.is_id(id_of("x" * 47, instants.now()))


def test_a_schedule_is_there_or_not_wherever_its_author_dies(spool, place):
    states = []
    for how in ("die before", "die after"):
        for at in range(1, CALLS):

            def work(tell, die, how=how, at=at):
                def last_words():
                    tell("reached")
                    die()

                seam = Seam(Plan(at, how), last_words)
                with seam.installed():
                    seam.armed = True
                    scheduling.add(spool, "s", fields())

            in_child(work)
            states.append(place.has("s.json"))
            if states[-1]:
                assert read(place, "s", SETTINGS).cron.text == "* * * * *"
                scheduling.remove(spool, "s")
    assert set(states) == {True, False}

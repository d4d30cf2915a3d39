"""What is next: order, times, drops and odd names, from looks at pending/ and failed/."""

import errno
import os
from datetime import timedelta

import pytest

from spoolq import agenda as module
from spoolq import fsio, instants
from spoolq.adoption import Intake
from spoolq.agenda import Agenda
from spoolq.config import Settings
from spoolq.spool import SpoolDir
from tests import given

SETTINGS = Settings()


@pytest.fixture
def agenda(spool, clock):
    return Agenda(spool, Intake(spool, clock, clock.monotonic), clock, clock.monotonic)


def look(agenda):
    agenda.rang()
    agenda.refresh(SETTINGS)


def take_all(agenda):
    """Return the ids of everything that is due, in order."""
    taken = []
    while True:
        found = agenda.take()
        if found is None:
            return taken
        taken.append(found[1].id)


def run_all(spool, agenda):
    """As `take_all`, with a look whenever one is wanted, and each job gone once it is taken."""
    taken = []
    while True:
        agenda.refresh(SETTINGS)
        found = agenda.take()
        if found is None:
            return taken
        taken.append(found[1].id)
        spool.dir("pending").unlink(found[0])


def touch(spool, state, clock):
    """Give a directory an mtime that cannot be the one seen before."""
    clock.advance(10)
    os.utime(spool.dir(state).path, (clock().timestamp(), clock().timestamp()))


def test_an_empty_spool_has_nothing_due_and_nothing_to_wait_for(agenda):
    look(agenda)
    assert agenda.take() is None
    assert agenda.wakes_in(SETTINGS) is None
    assert agenda.is_empty(SETTINGS)


def test_the_highest_priority_goes_first_and_then_the_earliest_time(spool, clock, agenda):
    given.job(spool, "pending", given.named(clock, "late", wait=-1))
    given.job(spool, "pending", given.named(clock, "urgent", priority=9, wait=-1))
    given.job(spool, "pending", given.named(clock, "early", wait=-2))
    given.job(spool, "pending", given.named(clock, "idle", priority=0, wait=-9))
    look(agenda)
    assert take_all(agenda) == ["urgent", "early", "late", "idle"]


def test_a_job_is_not_due_before_its_time_and_due_at_it(spool, clock, agenda):
    given.job(spool, "pending", given.named(clock, wait=10))
    look(agenda)
    assert agenda.take() is None
    assert agenda.wakes_in(SETTINGS) == 10
    assert agenda.is_empty(SETTINGS)  # a worker that drains does not wait for what is scheduled
    clock.advance(10)
    agenda.refresh(SETTINGS)
    assert take_all(agenda) == ["j1"]


def test_priority_gives_no_start_before_the_time(spool, clock, agenda):
    given.job(spool, "pending", given.named(clock, "later", priority=9, wait=1))
    given.job(spool, "pending", given.named(clock, "now"))
    look(agenda)
    assert take_all(agenda) == ["now"]


def test_the_earliest_of_those_that_wait_sets_the_alarm(spool, clock, agenda):
    for wait in (30, 10, 20):
        given.job(spool, "pending", given.named(clock, f"in{wait}", wait=wait))
    given.job(spool, "failed", given.named(clock, "retry", attempt=1, wait=5))
    look(agenda)
    agenda.look_at_failed()
    assert agenda.wakes_in(SETTINGS) == 5


def test_a_failed_job_waits_in_pending_again_when_its_time_has_come(spool, clock, agenda):
    name = given.job(spool, "failed", given.named(clock, attempt=2, wait=4))
    agenda.look_at_failed()
    look(agenda)
    assert given.everything(spool) == [("failed", str(name))]
    assert not agenda.is_empty(SETTINGS)
    clock.advance(4)
    agenda.refresh(SETTINGS)
    assert given.everything(spool) == [("pending", str(name))]
    assert agenda.take() == (str(name), name)


def test_a_job_that_went_to_failed_just_now_is_waited_for(clock, agenda):
    look(agenda)
    agenda.add_retry(instants.to_stamp(clock() + timedelta(seconds=8)))
    agenda.add_retry(instants.to_stamp(clock() + timedelta(seconds=2)))
    assert agenda.wakes_in(SETTINGS) == 2


def test_a_clock_set_back_holds_a_job_until_its_time(spool, clock, agenda):
    given.job(spool, "pending", given.named(clock))
    look(agenda)
    clock.set_wall(clock() - timedelta(hours=1))
    assert agenda.take() is None
    assert agenda.wakes_in(SETTINGS) == 3600
    clock.advance(3600)
    agenda.refresh(SETTINGS)
    assert take_all(agenda) == ["j1"]


def test_a_clock_set_ahead_makes_all_due_that_it_says_is_due(spool, clock, agenda):
    given.job(spool, "pending", given.named(clock, wait=86_400))
    look(agenda)
    clock.set_wall(clock() + timedelta(days=2))
    agenda.refresh(SETTINGS)
    assert take_all(agenda) == ["j1"]


def test_drops_are_adopted_and_due(spool, clock, agenda):
    path = given.write(spool, "pending", "x.json", '{"command": "echo", "id": "dropped"}')
    os.utime(path, (1, 1))
    look(agenda)
    assert take_all(agenda) == ["dropped"]


def test_a_drop_that_is_to_run_later_is_waited_for(spool, clock, agenda):
    at = instants.to_rfc3339(clock() + timedelta(seconds=30))
    given.write(spool, "pending", "x.json", f'{{"command": "echo", "run_at": "{at}"}}')
    look(agenda)
    assert agenda.take() is None
    assert agenda.wakes_in(SETTINGS) == 30


def test_a_half_written_drop_wakes_the_worker_when_it_can_be_judged(spool, clock, agenda):
    given.write(spool, "pending", "x.json", "{")
    look(agenda)
    assert agenda.take() is None
    assert agenda.wakes_in(SETTINGS) == SETTINGS.settle
    assert not agenda.is_empty(SETTINGS)
    clock.advance(SETTINGS.settle)
    agenda.refresh(SETTINGS)
    assert given.everything(spool) == [("dead", "x.json")]
    assert agenda.is_empty(SETTINGS)


@pytest.mark.parametrize(
    "filename",
    [
        "20261324T020646123456Z.p5.a0.month.json",
        "20260230T020646123456Z.p5.a0.day.json",
        "99999999T999999999999Z.p5.a0.time.json",
        "AAAAAAAAAAAAAAAAAAAAAZ.p5.json",
        "00000000T000000000000Z.p5.a0.zero.json",
        "20261124T020646123456Z.p5.a00.attempt.json",
        "20261124T020646123456Z.p².a0.priority.json",
        "20261124T020646123456Z.p٣.a0.priority.json",
        "20261124T020646123456Z.p5.json",
        "20991124T020646123456Z.p5.a0.bad id.json",
    ],
    ids=ascii,
)
@pytest.mark.parametrize("good", [True, False], ids=["a job", "no job"])
def test_a_name_that_is_almost_of_the_form_is_a_drop_like_any_other(
    spool, clock, agenda, filename, good
):
    """It stops nobody, it is not waited for till the year 9999, and it is not overlooked."""
    given.job(spool, "pending", given.named(clock, "other"))
    given.job(spool, "pending", given.named(clock, "later", wait=60))
    path = given.write(spool, "pending", filename, '{"command": "echo"}' if good else "{")
    os.utime(path, (1, 1))
    look(agenda)
    assert agenda.wakes_in(SETTINGS) is not None
    taken = take_all(agenda)
    agenda.refresh(SETTINGS)
    taken += take_all(agenda)
    clock.advance(SETTINGS.settle)
    agenda.refresh(SETTINGS)
    taken += take_all(agenda)
    assert "other" in taken
    assert len(taken) == (2 if good else 1)
    assert spool.dir("dead").list() == ([] if good else [filename])
    assert agenda.wakes_in(SETTINGS) == 60 - SETTINGS.settle


def test_a_name_that_is_gone_when_its_turn_comes_costs_nothing_else(spool, clock, agenda):
    name = given.job(spool, "pending", given.named(clock))
    look(agenda)
    os.unlink(os.path.join(spool.path, "pending", str(name)))
    assert agenda.take() == (str(name), name)
    assert agenda.take() is None


def test_a_tick_notices_what_no_event_told(spool, clock, agenda):
    look(agenda)
    given.job(spool, "pending", given.named(clock))
    touch(spool, "pending", clock)
    agenda.tick()
    agenda.refresh(SETTINGS)
    assert take_all(agenda) == ["j1"]


def test_a_tick_notices_a_job_that_somebody_put_into_failed(spool, clock, agenda):
    agenda.look_at_failed()
    given.job(spool, "failed", given.named(clock, attempt=1, wait=20))
    touch(spool, "failed", clock)
    agenda.tick()
    agenda.refresh(SETTINGS)
    assert agenda.wakes_in(SETTINGS) == 10


def test_a_directory_that_has_not_changed_is_not_read_again(spool, clock, agenda, monkeypatch):
    touch(spool, "pending", clock)
    touch(spool, "failed", clock)
    agenda.look_at_failed()
    look(agenda)
    clock.advance(1)
    agenda.tick()  # it may have changed twice within the granularity of its mtime: once more
    agenda.refresh(SETTINGS)
    looks = []
    monkeypatch.setattr(fsio.Dir, "entries", lambda self: looks.append(self.path) or iter(()))
    monkeypatch.setattr(fsio.Dir, "list", lambda self: looks.append(self.path) or [])
    for _ in range(5):
        clock.advance(1)
        agenda.tick()
        agenda.refresh(SETTINGS)
    assert looks == []


def test_a_directory_that_changed_just_now_is_read_again(spool, clock, agenda):
    """Within the granularity of its mtime a second change would not show."""
    os.utime(spool.dir("pending").path, (clock().timestamp(), clock().timestamp()))
    look(agenda)
    given.job(spool, "pending", given.named(clock))
    os.utime(spool.dir("pending").path, (clock().timestamp(), clock().timestamp()))
    agenda.tick()
    agenda.refresh(SETTINGS)
    assert take_all(agenda) == ["j1"]


def test_more_due_jobs_than_fit_are_taken_in_order_all_the_same(spool, clock, agenda, monkeypatch):
    monkeypatch.setattr(module, "WINDOW", 5)
    for number in range(12):
        given.job(spool, "pending", given.named(clock, f"j{number:02}", wait=number - 20))
    taken = []
    look(agenda)
    while True:
        found = agenda.take()
        if found is None:
            clock.advance(1)
            agenda.refresh(SETTINGS)
            found = agenda.take()
        if found is None:
            break
        os.unlink(os.path.join(spool.path, "pending", found[0]))
        taken.append(found[1].id)
    assert taken == [f"j{number:02}" for number in range(12)]


def test_more_drops_than_are_looked_at_at_once_are_looked_at_in_turns(
    spool, clock, agenda, monkeypatch
):
    monkeypatch.setattr(module, "ADMIT_AT_ONCE", 3)
    for number in range(8):
        path = given.write(spool, "pending", f"d{number}.json", '{"command": "echo"}')
        os.utime(path, (1, 1))
    look(agenda)
    assert len(take_all(agenda)) == 3
    assert agenda.wakes_in(SETTINGS) == 0
    agenda.refresh(SETTINGS)
    agenda.refresh(SETTINGS)
    assert len(take_all(agenda)) == 5


def test_what_is_no_job_is_never_due(spool, clock, agenda):
    given.write(spool, "pending", ".20261124T020646123456Z.p5.a0.x.json", "{}")
    given.write(spool, "pending", "notes.txt", "{}")
    look(agenda)
    assert agenda.take() is None
    assert agenda.is_empty(SETTINGS)


@pytest.mark.parametrize("wait", [0, 3600], ids=["due", "later"])
@pytest.mark.parametrize("end", ["~", ".part", ".swp", ".0", "#"])
def test_what_an_editor_leaves_beside_a_job_is_left_alone_though_it_begins_like_one(
    spool, clock, agenda, end, wait
):
    beside = f"{given.named(clock, 'beside', wait=wait)}{end}"
    path = given.write(spool, "pending", beside, '{"command": "echo"}')
    os.utime(path, (1, 1))
    given.write(spool, "pending", "x.json" + end, '{"command": "ec')
    name = given.job(spool, "pending", given.named(clock))
    look(agenda)
    assert take_all(agenda) == ["j1"]
    os.unlink(os.path.join(spool.path, "pending", str(name)))
    assert agenda.is_empty(SETTINGS)
    clock.advance(3600 + SETTINGS.settle)
    look(agenda)
    assert agenda.take() is None
    assert agenda.is_empty(SETTINGS)
    assert agenda.wakes_in(SETTINGS) is None
    assert sorted(spool.dir("pending").list()) == sorted([beside, "x.json" + end])
    assert spool.dir("dead").list() == []


@pytest.mark.parametrize("code", [errno.EACCES, errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
def test_a_retry_that_cannot_be_moved_is_moved_at_the_next_tick_and_holds_up_no_other(
    spool, clock, agenda, monkeypatch, code
):
    for job_id in ("bad", "good"):
        given.job(spool, "failed", given.named(clock, job_id, attempt=1, wait=30))
    touch(spool, "failed", clock)
    for _ in range(2):  # by now the directory is known not to change any more
        agenda.tick()
        clock.advance(9)
    agenda.refresh(SETTINGS)
    real = SpoolDir.promote

    def promote(self, filename, name):
        if name.id == "bad":
            raise OSError(code, os.strerror(code))
        return real(self, filename, name)

    clock.advance(10)
    with monkeypatch.context() as patch:
        patch.setattr(SpoolDir, "promote", promote)
        agenda.refresh(SETTINGS)
        assert take_all(agenda) == ["good"]
    agenda.tick()
    agenda.refresh(SETTINGS)
    assert "bad" in take_all(agenda)
    assert len(spool.dir("failed").list()) == 0


@pytest.mark.parametrize("state", ["pending", "failed"])
def test_a_look_that_fails_half_way_is_taken_again(spool, clock, agenda, monkeypatch, state):
    for number in range(2):
        given.job(spool, state, given.named(clock, f"j{number}", attempt=1, wait=30))
    touch(spool, state, clock)
    for _ in range(2):
        look(agenda)
        agenda.tick()
        clock.advance(9)
    real = fsio.Dir.entries

    def half(self):
        found = real(self)
        if os.path.basename(self.path) == state:
            yield next(found)
            raise OSError(errno.EIO, "Input/output error")
        yield from found

    clock.advance(10)
    with monkeypatch.context() as patch:
        patch.setattr(fsio.Dir, "entries", half)
        patch.setattr(fsio.Dir, "list", lambda self: [entry.name for entry in half(self)])
        with pytest.raises(OSError, match="Input/output"):
            agenda.refresh(SETTINGS)
        assert agenda.take() is None
    agenda.tick()
    agenda.refresh(SETTINGS)
    assert sorted(take_all(agenda)) == ["j0", "j1"]


def test_a_directory_whose_mtime_was_set_back_is_read(spool, clock, agenda):
    touch(spool, "pending", clock)
    look(agenda)
    clock.advance(1)
    agenda.tick()
    agenda.refresh(SETTINGS)
    before = spool.dir("pending").stat().st_mtime_ns
    given.job(spool, "pending", given.named(clock))
    os.utime(spool.dir("pending").path, ns=(before, before))
    agenda.tick()
    agenda.refresh(SETTINGS)
    assert take_all(agenda) == ["j1"]


def test_a_bell_whose_maker_died_is_removed_at_a_look(spool, clock, agenda):
    given.write(spool, "pending", ".bell-x3f9", "")
    given.write(spool, "pending", ".hidden", "")
    given.job(spool, "pending", given.named(clock))
    look(agenda)
    assert take_all(agenda) == ["j1"]
    assert sorted(entry[:5] for entry in spool.dir("pending").list()) == [".hidd", "20261"]


# --- names that events told -----------------------------------------------------------------------


def test_what_is_told_by_name_is_due_without_a_look(spool, clock, agenda, monkeypatch):
    look(agenda)
    name = given.job(spool, "pending", given.named(clock, "told"))
    given.job(spool, "pending", given.named(clock, "untold"))
    agenda.arrived([str(name)])
    with monkeypatch.context() as patched:
        read = []
        patched.setattr(spool.dir("pending"), "entries", lambda: read.append(True) or iter(()))
        agenda.refresh(SETTINGS)
        assert (read, take_all(agenda)) == ([], ["told"])
    agenda.tick()
    agenda.refresh(SETTINGS)
    assert "untold" in take_all(agenda)


def test_names_that_are_told_keep_the_order(spool, clock, agenda):
    given.job(spool, "pending", given.named(clock, "seen", wait=-5))
    look(agenda)
    told = [
        given.job(spool, "pending", given.named(clock, job_id, priority=priority, wait=wait))
        for job_id, priority, wait in (("late", 5, -1), ("urgent", 9, 0), ("early", 5, -9))
    ]
    agenda.arrived(map(str, told))
    assert take_all(agenda) == ["urgent", "early", "seen", "late"]


def test_a_name_that_is_told_for_later_sets_the_alarm_and_is_due_then(spool, clock, agenda):
    look(agenda)
    agenda.arrived([str(given.job(spool, "pending", given.named(clock, "later", wait=7)))])
    agenda.refresh(SETTINGS)
    assert (agenda.take(), agenda.wakes_in(SETTINGS)) == (None, 7)
    clock.advance(7)
    agenda.refresh(SETTINGS)
    assert take_all(agenda) == ["later"]


def test_a_drop_that_is_told_twice_is_adopted_once_and_not_taken_again(spool, clock, agenda):
    look(agenda)
    given.write(spool, "pending", "mine.json", '{"command": "true"}')
    agenda.arrived(["mine.json", "mine.json"])
    agenda.refresh(SETTINGS)
    (adopted,) = spool.dir("pending").list()
    agenda.arrived([adopted])  # its own rename is an event as well
    taken = take_all(agenda)
    assert len(taken) == 1 and taken[0].startswith("mine-")


def test_lies_about_arrivals_cost_a_failed_claim_and_no_more(spool, clock, agenda):
    look(agenda)
    there = given.job(spool, "pending", given.named(clock, "there"))
    lies = ["", ".", "..", ".hidden.json", "x" * 300, "no.json", "../dead/x.json", "\udcff.json"]
    gone = str(given.named(clock, "gone", wait=-1))
    agenda.arrived([*lies, gone, gone, str(there), gone[:30], gone.replace(".p5.", ".p5x")])
    agenda.refresh(SETTINGS)
    assert take_all(agenda)[-1:] == ["there"]
    assert given.everything(spool) == [("pending", str(there))]


def test_told_names_do_not_fill_the_memory_and_none_is_lost(spool, clock, agenda, monkeypatch):
    monkeypatch.setattr(module, "WINDOW", 5)
    look(agenda)
    names = [
        given.job(spool, "pending", given.named(clock, f"j{n:02}", wait=n - 99)) for n in range(40)
    ]
    agenda.arrived(str(name) for name in reversed(names))
    assert len(agenda._due) <= 10
    assert sorted(run_all(spool, agenda)) == [name.id for name in names]


def test_a_long_look_is_not_taken_each_second_because_of_changes_that_were_told(
    spool, clock, agenda, monkeypatch
):
    """With a hundred thousand jobs for later, a look takes a third of a second."""
    looks = []
    real = agenda._look_at_pending

    def slow(now):
        looks.append(clock.monotonic())
        real(now)
        clock.advance(0.3)
        agenda._looked_until, agenda._look_cost = clock.monotonic(), 0.3

    monkeypatch.setattr(agenda, "_look_at_pending", slow)
    look(agenda)
    for second in range(20):
        clock.advance(1)
        agenda.arrived([str(given.job(spool, "pending", given.named(clock, f"j{second}")))])
        agenda.tick()
        agenda.refresh(SETTINGS)
        assert agenda.take() is not None
    assert 2 <= len(looks) <= 8


def test_a_worker_does_not_sleep_when_its_window_has_run_out(spool, clock, agenda, monkeypatch):
    monkeypatch.setattr(module, "WINDOW", 1)
    for number in range(3):
        given.job(spool, "pending", given.named(clock, f"j{number}", wait=number - 9))
    look(agenda)
    assert agenda.take() is not None
    assert (agenda.take(), agenda.wakes_in(SETTINGS)) == (None, 0)


def test_what_is_promoted_does_not_overtake_what_the_window_left_out(
    spool, clock, agenda, monkeypatch
):
    monkeypatch.setattr(module, "WINDOW", 3)
    for number in range(9):
        given.job(spool, "pending", given.named(clock, f"j{number}", wait=number - 99))
    given.job(spool, "failed", given.named(clock, "retry", attempt=1, priority=0))
    look(agenda)
    agenda.look_at_failed()
    assert run_all(spool, agenda) == [*(f"j{number}" for number in range(9)), "retry"]


def test_drops_that_nothing_is_done_about_do_not_fill_the_memory(agenda, monkeypatch):
    monkeypatch.setattr(module, "WINDOW", 5)
    look(agenda)
    agenda.arrived(f"drop{number}.json" for number in range(1000))
    assert len(agenda._odd) <= 10

"""Jobs that wait, changed: by a rename for what their name says, by a claim for the rest."""

import pytest

from spoolq import changing, control, fsio, instants, names, views
from spoolq.errors import InvalidJob, NotFound, WrongState
from spoolq.names import HELD
from tests.conftest import entries
from tests.given import die, job, named


@pytest.fixture
def waiting(spool, clock):
    """One job that waits; look at it with this."""
    job(spool, "pending", named(clock, "a", attempt=1), timeout=5, tags=["old"])
    return lambda: views.find(spool, "a")


def facts(view):
    return view.state, view.name, view.job.fields


# --- hold and release -----------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["pending", "failed"])
def test_a_held_job_stays_in_its_state_with_its_attempts(spool, clock, state):
    job(spool, state, named(clock, "a", attempt=2, priority=7))
    view = changing.hold(spool, "a")
    assert (view.state, view.name) == (state, names.Name(HELD, 7, 2, "a"))
    assert changing.hold(spool, "a").name == view.name
    clock.advance(5)
    view = changing.release(spool, "a", clock)
    assert (view.state, view.name) == (state, names.Name(instants.to_stamp(clock()), 7, 2, "a"))


def test_release_lets_what_waits_for_its_time_fall_due_and_leaves_what_is_due(spool, clock):
    name = job(spool, "pending", named(clock, "a", wait=-5))
    job(spool, "pending", named(clock, "b", wait=60))
    assert changing.release(spool, "a", clock).name == name
    assert changing.release(spool, "b", clock).name.at == clock()


def test_two_held_jobs_keep_their_names_apart(spool, clock):
    job(spool, "pending", named(clock, "a"))
    job(spool, "pending", named(clock, "a", wait=1))  # a restored backup, perhaps
    changing.hold(spool, "a")
    names_left = entries(spool, "pending")
    assert len(names_left) == 2


@pytest.mark.parametrize("state", ["completed", "dead"])
def test_what_has_ended_can_be_neither_held_nor_released_nor_rewritten(spool, clock, state):
    job(spool, state, named(clock, "a"))
    for change in (
        lambda: changing.hold(spool, "a"),
        lambda: changing.release(spool, "a"),
        lambda: changing.rewrite(spool, views.find(spool, "a"), {"command": "y"}),
        lambda: changing.shown(views.find(spool, "a")),
    ):
        with pytest.raises(WrongState, match=f"job a is {state}") as refused:
            change()
        assert refused.value.hint


def test_what_is_not_there_is_not_held(spool):
    with pytest.raises(NotFound):
        changing.hold(spool, "a")


# --- other fields ---------------------------------------------------------------------------------


def test_a_rewritten_job_has_its_new_fields_and_keeps_what_it_is(spool, waiting):
    before = waiting()
    view = changing.rewrite(spool, before, {"command": "y", "id": "other", "tags": ["t"]})
    assert view.job.fields == {"command": "y", "tags": ["t"]}
    assert (view.name, view.state) == (before.name, "pending")
    assert entries(spool, "processing") == []
    assert spool.dir("workers").list() == []


def test_only_what_was_changed_goes_into_the_name(spool, clock, waiting):
    fields = changing.shown(waiting())
    assert fields["priority"] == 5
    assert "run_at" not in fields
    view = changing.rewrite(spool, waiting(), {**fields, "priority": 9})
    assert view.name.priority == 9
    assert view.name.at == clock()
    later = instants.to_rfc3339(instants.later(clock(), 60))
    view = changing.rewrite(spool, view, {**changing.shown(view), "run_at": later})
    assert view.name.at == instants.later(clock(), 60)
    assert changing.shown(view)["run_at"] == later
    assert view.name.attempt == 1


def test_a_job_that_is_held_has_no_time_for_that(spool, clock, waiting):
    changing.hold(spool, "a")
    view = changing.rewrite(spool, waiting(), {**changing.shown(waiting()), "timeout": 7})
    assert view.job.fields == {"command": "echo a", "timeout": 7, "tags": ["old"]}
    assert view.name.stamp == HELD


def test_a_time_that_the_file_has_already_goes_into_the_name(spool, clock):
    at = instants.later(clock(), 60)
    job(spool, "pending", named(clock, "a"), run_at=instants.to_rfc3339(at))  # released since
    before = views.find(spool, "a")
    fields = {**changing.shown(before), "run_at": instants.to_rfc3339(at)}
    assert changing.rewrite(spool, before, fields).name.at == at


def test_without_the_time_that_it_had_a_job_falls_due(spool, clock, waiting):
    changing.hold(spool, "a")
    view = waiting()
    for at in (None, instants.later(clock(), 60)):
        if at is not None:
            later = {**changing.shown(view), "run_at": instants.to_rfc3339(at)}
            view = changing.rewrite(spool, view, later, clock)
        clock.advance(1)
        fields = {k: v for k, v in changing.shown(view).items() if k != "run_at"}
        view = changing.rewrite(spool, view, fields, clock)
        assert view.name.at == clock()
        assert "run_at" not in view.job.fields


def test_a_failed_job_that_is_rewritten_waits_for_its_retry_still(spool, clock):
    name = job(spool, "failed", named(clock, "a", attempt=2, wait=30))
    view = changing.rewrite(spool, views.find(spool, "a"), {"command": "y"})
    assert (view.state, view.name, view.job.command) == ("failed", name, "y")


def test_what_is_refused_changes_nothing(spool, waiting):
    before = waiting()
    with pytest.raises(InvalidJob, match="from 0 to 9"):
        changing.rewrite(spool, before, {"command": "y", "priority": 10})
    assert facts(waiting()) == facts(before)


def test_a_job_that_has_changed_meanwhile_is_left_as_it_is(spool, waiting):
    before = waiting()
    changing.rewrite(spool, before, {"command": "first"})
    with pytest.raises(WrongState, match="changed meanwhile"):
        changing.rewrite(spool, before, {"command": "second"})
    assert waiting().job.command == "first"
    assert entries(spool, "processing") == []


def test_a_job_that_has_started_meanwhile_is_left_as_it_is(spool, clock, waiting):
    before = waiting()
    own = control.lease.Lease.start(spool, {"count": 1})
    claim = spool.claim(before.filename, before.name, before.name.stamp, own.name, "0")
    with pytest.raises(WrongState, match="job a is running"):
        changing.rewrite(spool, before, {"command": "second"})
    assert entries(spool, "processing") == [str(claim)]
    own.leave()


class _Dies(BaseException):
    pass


def test_who_dies_while_a_job_is_rewritten_leaves_it_waiting(spool, clock, waiting, monkeypatch):
    """For every rename of the change: before it the old file or the new one, never none."""
    real = fsio.Dir.rename
    step = 0
    while True:
        before, count = waiting(), 0

        def rename(*args, step=step):
            nonlocal count
            count += 1
            if count > step:
                raise _Dies
            return real(*args)

        with monkeypatch.context() as patch:
            patch.setattr(fsio.Dir, "rename", rename)
            patch.setattr(control.lease.Lease, "leave", die)
            try:
                changing.rewrite(spool, before, {"command": f"new {step}"})
                died = False
            except _Dies:
                died = True
        control.recover_now(spool, clock)
        view = waiting()
        assert view.state == "pending"
        assert view.name == before.name
        assert view.job.command in (before.job.command, f"new {step}")
        if not died:
            assert step >= 2, "it was never interrupted"
            return
        step += 1


@pytest.mark.parametrize("state", ["pending", "failed"])
def test_a_full_disk_changes_nothing(spool, clock, state, monkeypatch):
    job(spool, state, named(clock, "a", attempt=1, priority=2))
    before = views.find(spool, "a")

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(type(spool), "write_outcome", full)
    with pytest.raises(Exception, match="No space left"):
        changing.rewrite(spool, before, {"command": "y", "priority": 9})
    assert facts(views.find(spool, "a")) == facts(before)

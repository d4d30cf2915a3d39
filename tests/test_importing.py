"""Each job of an export comes into its state once, durably, whoever is killed where."""

import io
import os

import pytest

from spoolq import dependencies, fsio, importing, instants, lines, platform
from spoolq.api import Spool
from spoolq.errors import BadInput, Busy, InvalidJob, StorageFailed
from spoolq.names import Name
from spoolq.spool import SpoolDir
from tests import given
from tests.recording import Recording


@pytest.fixture
def other(tmp_path):
    directory = SpoolDir.create(str(tmp_path / "other"))
    yield directory
    directory.close()


def exported(spool):
    """All lines of a spool, in order."""
    found = []
    waits = dependencies.still_open(spool)
    for state, filename in given.everything(spool):
        line = lines.of_file(spool.dir(state), state, filename)
        its = tuple(sorted(wait for wait in waits if wait.job == line.id))
        found.append(lines.written(line._replace(waits=its)))
    return b"".join(sorted(found))


def imported(spool, data, durability="full"):
    importing.checked(io.BytesIO(data))
    return importing.take_in(spool, io.BytesIO(data), durability)


def fill(spool, clock):
    """One job in each state, and two files that are none."""
    for state in ("pending", "failed", "completed", "dead"):
        given.job(spool, state, given.named(clock, f"j-{state}", attempt=2), odd={"x": [1.5, None]})
    given.write(spool, "dead", "notes.json", b"no job \xff")
    given.write(spool, "pending", "drop.json", b'{"command": "true"}')


def test_each_comes_into_its_state_with_its_name(spool, other, clock):
    fill(spool, clock)
    assert imported(other, exported(spool)) == (6, 0)
    assert given.everything(other) == given.everything(spool)
    assert exported(other) == exported(spool)
    assert other.dir("tmp").list() == [".ids"]


def test_to_import_twice_is_harmless(spool, other, clock):
    fill(spool, clock)
    data = exported(spool)
    imported(other, data)
    before = given.everything(other)
    assert imported(other, data) == (0, 6)
    assert given.everything(other) == before


def test_an_id_that_is_there_in_another_state_is_passed_over(spool, other, clock):
    given.job(spool, "pending", given.named(clock, "j1"))
    given.job(other, "completed", given.named(clock, "j1", attempt=1))
    assert imported(other, exported(spool)) == (0, 1)
    assert [state for state, _ in given.everything(other)] == ["completed"]


def test_what_ran_waits_and_has_used_its_attempt_up(spool, other, clock):
    own = given.worker(spool)
    claim = given.claim(spool, own, given.job(spool, "pending", given.named(clock)), clock)
    assert imported(other, exported(spool)) == (1, 0)
    assert given.everything(other) == [("pending", str(claim.waiting()))]
    own.leave()


def test_blank_lines_and_ends_of_windows_are_no_faults(spool, other, clock):
    fill(spool, clock)
    data = exported(spool).replace(b"\n", b"\r\n") + b"\n \n"
    assert imported(other, data) == (6, 0)


def test_a_fault_is_told_with_line_and_column(spool, clock):
    fill(spool, clock)
    good = exported(spool)
    number = good.count(b"\n") + 1
    with pytest.raises(InvalidJob) as error:
        importing.checked(io.BytesIO(good + b'{"state": "pending", "name": 7}\n'))
    assert (error.value.line, error.value.column) == (number, 30)
    with pytest.raises(InvalidJob) as error:
        importing.checked(io.BytesIO(b"\n" + good + b"{"))
    assert (error.value.line, error.value.column) == (number + 1, 2)


def test_two_jobs_of_one_id_are_refused(spool, clock):
    given.job(spool, "pending", given.named(clock, "j1"))
    given.job(spool, "dead", given.named(clock, "j1", attempt=1))
    with pytest.raises(BadInput, match="line 2: job 'j1' is in line 1 as well"):
        importing.checked(io.BytesIO(exported(spool)))


def test_files_that_are_no_jobs_may_have_one_name_in_two_states(spool, other):
    for state in ("pending", "dead"):
        given.write(spool, state, "x.json", state.encode())
    assert imported(other, exported(spool)) == (2, 0)
    assert given.content(other, "dead", "x.json") == b"dead"


# --- crash safety ---------------------------------------------------------------------------------


def many(spool, clock, count):
    for n in range(count):
        name = Name(instants.to_stamp(instants.later(clock(), n)), 5, 0, f"j{n:05}")
        given.job(spool, ("pending", "completed")[n % 2], name)
    return exported(spool)


@pytest.mark.parametrize("call", ["open", "write", "fdatasync", "rename_noreplace", "fsync"])
def test_an_import_that_is_killed_anywhere_is_finished_by_another(
    spool, tmp_path, clock, monkeypatch, call
):
    monkeypatch.setattr(importing, "_MOST", 2)
    data = many(spool, clock, 5)
    for n in range(1, 100):
        other = SpoolDir.create(str(tmp_path / f"other{n}"))
        with monkeypatch.context() as patch:
            calls = killed_at(patch, call, n)
            try:
                importing.take_in(other, io.BytesIO(data), "full")
            except KeyboardInterrupt:
                pass
        there = len(given.everything(other))
        assert imported(other, data) == (5 - there, there)
        assert exported(other) == data
        other.close()
        if len(calls) < n:
            break
    assert n > 3


def killed_at(patch, call, n):
    calls = []
    module = platform if hasattr(platform, call) else os

    def dying(*args, **kwargs):
        calls.append(args)
        if len(calls) == n:
            raise KeyboardInterrupt
        return real(*args, **kwargs)

    real = getattr(module, call)
    patch.setattr(module, call, dying)
    if call != "rename_noreplace":  # a kill tidies nothing up
        patch.setattr(fsio.Dir, "tidy", lambda *args: None)
    return calls


def test_all_is_synced_in_tmp_then_renamed_then_the_states_are_synced(
    spool, other, clock, monkeypatch
):
    data = many(spool, clock, 4)
    recording = Recording(monkeypatch)
    imported(other, data)
    calls = [event[0] for event in recording.journal if event[0] not in ("write", "unlink")]
    assert calls == ["fdatasync"] * 4 + ["rename_noreplace"] * 4 + ["fsync"] * 2
    synced = {event[1] for event in recording.journal if event[0] == "fsync"}
    assert synced == {other.dir(state).stat().st_ino for state in ("pending", "completed")}


def test_what_is_there_already_is_synced_before_it_is_passed_over(spool, other, clock, monkeypatch):
    data = many(spool, clock, 2)
    imported(other, data)
    recording = Recording(monkeypatch)
    assert imported(other, data) == (0, 2)
    synced = {event[1] for event in recording.journal if event[0] == "fsync"}
    assert synced == {other.dir(state).stat().st_ino for state in ("pending", "completed")}


def test_durability_none_syncs_nothing(spool, other, clock, monkeypatch):
    data = many(spool, clock, 2)
    recording = Recording(monkeypatch)
    imported(other, data, "none")
    assert not [event for event in recording.journal if "sync" in event[0]]


def test_a_disk_that_refuses_is_told_of_and_the_next_import_goes_on(
    spool, other, clock, monkeypatch
):
    monkeypatch.setattr(importing, "_MOST", 1)
    data = many(spool, clock, 3)
    recording = Recording(monkeypatch)
    recording.fail("rename_noreplace", OSError(5, "Input/output error"), at=2)
    with pytest.raises(StorageFailed):
        importing.take_in(other, io.BytesIO(data), "full")
    monkeypatch.undo()
    assert imported(other, data) == (2, 1)


def test_while_somebody_holds_the_ids_nothing_is_imported(spool, other, clock, monkeypatch):
    data = many(spool, clock, 1)

    def busy(*args, **kwargs):
        raise Busy("held")

    monkeypatch.setattr(importing.admission, "held", busy)
    with pytest.raises(Busy):
        imported(other, data)
    assert given.everything(other) == []


def test_a_chain_in_two_batches_is_imported_as_it_was(spool, other, monkeypatch, clock):
    """Between two batches a worker looks, and takes nothing for missing that is still to come."""
    from spoolq import lease
    from spoolq.chores import Beside
    from spoolq.config import Settings
    from spoolq.releasing import Releasing

    with Spool(spool.path) as here:
        here.enqueue("true", id="c")
        here.enqueue("true", id="a", after=["c"])
        here.enqueue("true", id="b", after=["a"], after_any=["c"])
    monkeypatch.setattr(importing, "_MOST", 1)
    real = importing._publish
    other.root.make_dir("after")
    own = lease.Lease.start(other, {"count": 1})
    chore = Releasing(Beside(other, own, given.Bell(), clock, clock.monotonic))

    def slow(*args):
        done = real(*args)
        clock.advance(60)
        assert chore.look(Settings()) is False
        return done

    monkeypatch.setattr(importing, "_publish", slow)
    assert imported(other, exported(spool)) == importing.Tally(3, 0)
    assert sorted(os.listdir(os.path.join(other.path, "after"))) == [
        "a.after.c",
        "b.after-any.c",
        "b.after.a",
    ]
    own.leave()


def test_a_job_whose_key_another_has_is_passed_over(spool, other):
    with Spool(spool.path) as here, Spool(other.path) as there:
        here.enqueue("true", key="k")
        here.enqueue("true", key="free")
        theirs = there.enqueue("true", key="k")
        assert imported(other, exported(spool)) == importing.Tally(1, 1)
        assert there.enqueue("true", key="k") == theirs
        assert there.enqueue("true", key="free") not in (theirs, None)
        assert len(there.list()) == 2

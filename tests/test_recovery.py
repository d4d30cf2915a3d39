"""Claims of dead workers go back to where they belong; the living keep theirs.

What is left of real commands is in acceptance/test_recovery_processes.py.
"""

import errno
import os
from pathlib import Path

import pytest

from spoolq import instants, lease, locks, names, processes, recovery
from spoolq.config import Settings
from spoolq.fsio import Dir
from spoolq.job import MAX_FILE, Job
from spoolq.recovery import Recovery, record_of
from spoolq.spool import SpoolDir
from tests import given
from tests.conftest import entries
from tests.leftovers import no_descriptor_left

SETTINGS = Settings(durability="none")


@pytest.fixture
def own(spool):
    own = given.worker(spool)
    yield own
    own.leave()


@pytest.fixture
def look(spool, own, clock):
    """Look once as a worker does, record what was taken over, and return it."""
    watching = Recovery(spool, own, clock, clock.monotonic)

    def look(settings=SETTINGS, known=()):
        taken = watching.look(settings, set(known))
        record(spool, own, taken)
        return taken

    look.recovery = watching
    return look


def record(spool, own, taken):
    report = spool.finish(own.dir, [record_of(one, SETTINGS) for one in taken], "none")
    assert report.error is None


def orphan(spool, clock, job_id="j1", slot="0", **fields):
    """Return the claim of a worker that died in the middle of a job."""
    worker = given.worker(spool)
    name = given.job(spool, "pending", given.named(clock, job_id), **fields)
    claim = given.claim(spool, worker, name, clock, slot)
    given.die(worker)
    return claim


def only(spool, state):
    """Return name and job of the only file in a state."""
    (filename,) = entries(spool, state)
    data = spool.dir(state).read(filename, MAX_FILE)[0]
    return names.parse(filename), Job.from_bytes(data, MAX_FILE)


# --- whose claims ---------------------------------------------------------------------------------


def test_the_claim_of_a_dead_worker_is_recorded_as_lost_and_its_attempt_is_used_up(
    spool, look, clock
):
    claim = orphan(spool, clock)
    clock.advance(3)
    (taken,) = look()
    name, job = only(spool, "failed")
    assert (name.id, name.attempt, name.at) == ("j1", 1, clock())
    (entry,) = job.history
    assert entry == {
        "attempt": 1,
        "worker": claim.worker,
        "started_at": instants.stamp_to_rfc3339(claim.stamp),
        "finished_at": instants.to_rfc3339(clock()),
        "error": "worker lost",
    }
    assert taken.claim.worker != claim.worker
    assert entries(spool, "processing") == []


def test_a_job_without_attempts_left_is_dead(spool, look, clock):
    orphan(spool, clock, max_retries=0)
    look()
    assert only(spool, "dead")[1].history[-1]["error"] == "worker lost"


def test_the_claim_of_a_living_worker_is_left_alone(spool, look, clock):
    living = given.worker(spool)
    given.claim(spool, living, given.job(spool, "pending", given.named(clock)), clock)
    assert look() == []
    assert len(entries(spool, "processing")) == 1
    living.leave()


def test_the_claim_of_a_worker_whose_directory_is_gone_is_taken_over(spool, look, clock):
    claim = orphan(spool, clock)
    lease.clear(spool.dir("workers"), claim.worker, spool.dir("tmp"))
    assert len(look()) == 1
    assert entries(spool, "failed")


def test_a_worker_whose_lock_somebody_removed_is_fenced_before_its_claim_is_taken(
    spool, look, clock
):
    living = given.worker(spool)
    claim = given.claim(spool, living, given.job(spool, "pending", given.named(clock)), clock)
    living.dir.unlink(lease.LOCK)
    assert len(look()) == 1
    assert not living.is_ours()
    assert spool.dir("workers").has(claim.worker) is False
    living.leave()


def test_what_a_command_made_in_its_workers_directory_keeps_no_claim_from_recovery(
    spool, look, clock
):
    claim = orphan(spool, clock)
    place = Path(spool.path, "workers", claim.worker)
    (place / "x" / "y").mkdir(parents=True)
    (place / "x" / "y" / "z").write_text("z")
    (place / "x").chmod(0o500)
    (place / lease.LOCK).unlink()
    assert len(look()) == 1
    look.recovery.sweep()
    assert not place.exists()
    assert entries(spool, "failed")


def test_a_workers_directory_that_cannot_be_removed_is_told_of_once(
    spool, look, clock, monkeypatch, caplog
):
    claim = orphan(spool, clock)
    Path(spool.path, "workers", claim.worker, lease.LOCK).unlink()

    def refuses(*_):
        raise OSError(errno.ENOTEMPTY, "Directory not empty")

    monkeypatch.setattr(lease, "clear", refuses)
    assert look() == look() == []
    assert caplog.text.count("its worker's directory cannot be removed: Directory not empty") == 1


def test_a_worker_is_not_fenced_while_its_directory_is_there(spool, look, clock, monkeypatch):
    claim = orphan(spool, clock)
    Path(spool.path, "workers", claim.worker, lease.LOCK).unlink()

    def gone(*_):
        raise FileNotFoundError(errno.ENOENT, "No such file or directory")

    with monkeypatch.context() as patches:
        patches.setattr(lease, "clear", gone)
        assert look() == []
    assert len(look()) == 1


def test_what_is_no_worker_is_never_swept(spool, look):
    given.write(spool, "workers", "lock", "x")
    Path(spool.path, "workers", "notes").mkdir()
    Path(spool.path, "workers", "notes", "important").write_text("x")
    look.recovery.sweep()
    assert Path(spool.path, "workers", "notes", "important").exists()


def test_a_known_claim_of_its_own_is_left_alone_and_another_is_recovered(spool, own, look, clock):
    known = given.claim(spool, own, given.job(spool, "pending", given.named(clock)), clock)
    other = given.job(spool, "pending", given.named(clock, "j2"))
    given.claim(spool, own, other, clock, "1")
    (taken,) = look(known=[known])
    assert taken.claim.id == "j2"
    assert [names.parse(entry) for entry in entries(spool, "processing")] == [known]


def test_all_claims_of_all_the_dead_are_taken_over_in_one_look(spool, look, clock):
    for number in range(5):
        orphan(spool, clock, f"j{number}")
    assert len(look()) == 5
    assert len(entries(spool, "failed")) == 5


# --- what was recorded ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "outcome, state, attempt",
    [
        ({"exit_code": 0}, "completed", 1),
        ({"exit_code": 1}, "failed", 1),
        ({"signal": 15, "error": "cancelled"}, "dead", 1),
        ({"signal": 15, "error": "interrupted"}, "pending", 0),
    ],
    ids=["completed", "failed", "cancelled", "interrupted"],
)
def test_a_recorded_outcome_is_finished_and_the_job_does_not_run_again(
    spool, look, clock, outcome, state, attempt
):
    worker = given.worker(spool)
    claim = given.claim(spool, worker, given.job(spool, "pending", given.named(clock)), clock)
    job = Job({"command": "x", "history": [given.entry(claim, clock, **outcome)]})
    given.write(spool, "processing", str(claim), job.to_bytes())
    given.die(worker)
    assert look() == []
    name, found = only(spool, state)
    assert name.attempt == attempt
    assert found.history == job.history


def write_down(spool, clock, claim, **entry):
    """Let the worker of a claim write how its run ended, as it does before it records it."""
    facts = {
        "attempt": claim.attempt,
        "started_at": instants.stamp_to_rfc3339(claim.stamp),
        "finished_at": instants.to_rfc3339(clock()),
        **entry,
    }
    job = Job({"command": "true"}).with_entry(facts, clock())
    Path(spool.path, "workers", claim.worker, f"{claim.slot}.outcome").write_bytes(job.to_bytes())


@pytest.mark.parametrize(
    ("entry", "state"),
    [
        ({"exit_code": 0}, "completed"),
        ({"exit_code": 1}, "failed"),
        ({"error": "cancelled"}, "dead"),
        ({"error": "interrupted"}, "pending"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_an_outcome_that_was_written_down_is_recorded_and_not_the_loss_of_its_worker(
    spool, look, clock, entry, state
):
    claim = orphan(spool, clock)
    write_down(spool, clock, claim, **entry)
    look()
    _, job = only(spool, state)
    assert [entry.items() <= told.items() for told in job.history] == [True]
    assert look() == []


def test_an_outcome_written_by_a_recoverer_that_died_is_recorded_too(spool, look, clock):
    claim = orphan(spool, clock)
    recoverer = given.worker(spool)
    taken = spool.take_over(claim, recoverer.name, "lost123456")
    write_down(spool, clock, taken, exit_code=0)
    given.die(recoverer)
    look()
    _, job = only(spool, "completed")
    assert len(job.history) == 1


@pytest.mark.parametrize(
    "spoil",
    [
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(bytes(path.stat().st_size)),
        lambda path: path.write_bytes(path.read_bytes()[:-20]),
        lambda path: path.write_text(path.read_text().replace('"attempt": 1', '"attempt": 2')),
        lambda path: (path.unlink(), path.symlink_to("/dev/zero")),
        lambda path: (path.unlink(), path.mkdir()),
    ],
    ids=["empty", "zeroes", "cut off", "of another run", "a link", "a directory"],
)
def test_an_outcome_that_is_not_whole_or_not_this_runs_is_none(spool, look, clock, spoil):
    claim = orphan(spool, clock)
    write_down(spool, clock, claim, exit_code=0)
    spoil(Path(spool.path, "workers", claim.worker, "0.outcome"))
    look()
    _, job = only(spool, "failed")
    assert [told["error"] for told in job.history] == ["worker lost"]


def test_the_outcome_of_an_earlier_claim_is_not_this_ones(spool, look, clock):
    """An attempt can come again; the claim's time tells the two apart."""
    worker = given.worker(spool)
    claim = given.claim(spool, worker, given.job(spool, "pending", given.named(clock)), clock)
    earlier = {**given.entry(claim, clock, exit_code=0), "started_at": "2026-11-24T01:00:00Z"}
    given.write(
        spool, "processing", str(claim), Job({"command": "x", "history": [earlier]}).to_bytes()
    )
    given.die(worker)
    assert len(look()) == 1
    assert [e.get("error") for e in only(spool, "failed")[1].history] == [None, "worker lost"]


def test_a_takeover_looks_again_before_it_records(spool, look, clock, monkeypatch):
    """What is recorded between the look and the takeover is the outcome."""
    claim = orphan(spool, clock)
    take_over = spool.take_over

    def recorded_meanwhile(*args):
        entry = given.entry(claim, clock, exit_code=0)
        data = Job({"command": "x", "history": [entry]}).to_bytes()
        given.write(spool, "processing", str(claim), data)
        return take_over(*args)

    monkeypatch.setattr(spool, "take_over", recorded_meanwhile)
    assert look() == []
    name, job = only(spool, "completed")
    assert [entry.get("error") for entry in job.history] == [None]


# --- several who recover --------------------------------------------------------------------------


@pytest.mark.parametrize("step", [1, 2])
def test_of_two_recoveries_at_once_one_wins_at_whatever_step_the_other_comes(
    spool, own, clock, monkeypatch, step
):
    """Another recovery looks and records before the first one's takeover, or its record."""
    claim = orphan(spool, clock)
    theirs = SpoolDir.open(spool.path)
    other = given.worker(theirs)
    taken, steps = [], []

    def after_the_other(real):
        def call(*args):
            steps.append(real)
            if len(steps) == step:
                found = Recovery(theirs, other, clock, clock.monotonic).look(SETTINGS, set())
                record(theirs, other, found)
                taken.extend(found)
            return real(*args)

        return call

    for name in ("take_over", "finish"):
        monkeypatch.setattr(spool, name, after_the_other(getattr(spool, name)))
    mine = Recovery(spool, own, clock, clock.monotonic).look(SETTINGS, set())
    record(spool, own, mine)
    assert len(steps) == 2
    name, job = only(spool, "failed")
    assert (name.id, name.attempt) == (claim.id, 1)
    assert [entry["error"] for entry in job.history] == ["worker lost"]
    assert len(taken) + len(mine) == 1
    assert entries(spool, "processing") == []
    other.leave()
    theirs.close()


def test_who_dies_after_a_takeover_leaves_a_claim_for_the_next(spool, look, clock):
    claim = orphan(spool, clock)
    second = given.worker(spool)
    assert len(Recovery(spool, second, clock, clock.monotonic).look(SETTINGS, set())) == 1
    given.die(second)
    (taken,) = look()
    assert (taken.claim.id, taken.claim.attempt, taken.claim.stamp) == ("j1", 1, claim.stamp)
    assert [e["error"] for e in only(spool, "failed")[1].history] == ["worker lost"]


def test_a_cancel_request_of_a_dead_worker_is_honoured(spool, look, clock):
    worker = given.worker(spool)
    given.claim(spool, worker, given.job(spool, "pending", given.named(clock)), clock)
    worker.dir.write("cancel.j1", b"", sync=False)
    given.die(worker)
    look()
    assert only(spool, "dead")[1].history[-1]["error"] == "cancelled"


def test_a_cancel_request_is_honoured_though_a_recoverer_died_in_between(spool, look, clock):
    worker = given.worker(spool)
    given.claim(spool, worker, given.job(spool, "pending", given.named(clock)), clock)
    worker.dir.write("cancel.j1", b"", sync=False)
    given.die(worker)
    second = given.worker(spool)
    watching = Recovery(spool, second, clock, clock.monotonic)
    watching.look(SETTINGS, set())
    watching.sweep()
    given.die(second)
    look()
    assert only(spool, "dead")[1].history[-1]["error"] == "cancelled"


def test_a_cancel_request_for_another_job_is_not_this_ones(spool, look, clock):
    worker = given.worker(spool)
    given.claim(spool, worker, given.job(spool, "pending", given.named(clock)), clock)
    worker.dir.write("cancel.j11", b"", sync=False)
    given.die(worker)
    look()
    assert only(spool, "failed")[1].history[-1]["error"] == "worker lost"


def test_an_entry_that_does_not_say_when_the_run_ended_is_no_record(spool, look, clock):
    """A command can write into its own file; what it writes there breaks no worker."""
    claim = orphan(spool, clock)
    begun = given.entry(claim, clock, exit_code=0)
    del begun["finished_at"]
    job = Job.__new__(Job)
    job.fields = {"command": "x", "history": [begun]}
    assert job.recorded(claim.attempt, claim.stamp) is None
    given.write(spool, "processing", str(claim), job.to_bytes())
    look()
    assert entries(spool, "processing") == []
    (filename,) = entries(spool, "failed") or entries(spool, "pending")
    assert names.parse(filename).id == "j1"


# --- what else lies in processing/ ----------------------------------------------------------------


@pytest.mark.parametrize("filename", ["x.json", "20261124T020646123456Z.p5.a1.j1.json"])
def test_a_file_that_names_no_worker_goes_back_to_pending(spool, look, filename):
    given.write(spool, "processing", filename, '{"command": "x"}')
    look()
    assert entries(spool, "pending") == [filename]


def test_what_is_not_meant_as_a_job_is_left_alone(spool, look):
    for filename in (".x.json", "x.txt"):
        given.write(spool, "processing", filename, "")
    look()
    assert sorted(spool.dir("processing").list()) == [".x.json", "x.txt"]


@pytest.mark.parametrize("content", ["", "{", '{"command": 1}'])
def test_a_claimed_file_that_is_no_job_goes_back_without_an_attempt(spool, look, clock, content):
    claim = orphan(spool, clock)
    given.write(spool, "processing", str(claim), content)
    assert look() == []
    (filename,) = entries(spool, "pending")
    assert names.parse(filename).attempt == 0


def test_a_claim_that_cannot_be_read_holds_up_no_other(spool, look, clock, monkeypatch, caplog):
    orphan(spool, clock, "bad")
    orphan(spool, clock, "good")
    read_job = recovery.read_job

    def fail(directory, filename, *rest):
        if ".bad@" in filename:
            raise OSError(errno.EIO, "Input/output error")
        return read_job(directory, filename, *rest)

    with monkeypatch.context() as patch:
        patch.setattr(recovery, "read_job", fail)
        patch.setattr(recovery.logger, "propagate", True)
        for _ in range(3):
            look()
    assert [names.parse(entry).id for entry in entries(spool, "failed")] == ["good"]
    assert sum("Input/output" in record.getMessage() for record in caplog.records) == 1
    look()
    assert len(entries(spool, "failed")) == 2


# --- what is left of a run ------------------------------------------------------------------------


def test_a_slot_that_something_out_of_sight_holds_is_waited_for_without_haste(spool, look, clock):
    """This process holds it itself, and nobody finds himself."""
    claim = orphan(spool, clock)
    directory = spool.dir("workers").sub(claim.worker)
    slot = directory.create(lease.slot_lock(claim.slot))
    directory.close()
    assert locks.try_lock(slot)
    for _ in range(3):
        assert look() == []
        patience = look.recovery.patience()
        assert patience is None or patience > 0
        clock.advance(1)
    os.close(slot)
    assert len(look()) == 1


def test_the_claims_of_the_dead_stay_while_nobody_can_look_for_what_is_left(spool, look, clock):
    orphan(spool, clock)
    with no_descriptor_left(), pytest.raises(OSError, match="Too many open files"):
        look()
    assert len(entries(spool, "processing")) == 1
    assert len(look()) == 1


def test_many_claims_of_the_dead_are_taken_over_with_as_many_looks_as_one(
    spool, look, clock, monkeypatch
):
    worker = given.worker(spool)
    for number in range(50):
        name = given.job(spool, "pending", given.named(clock, f"j{number}"))
        os.close(worker.take_slot(str(number)))
        given.claim(spool, worker, name, clock, str(number))
    given.die(worker)
    looks = []
    real = processes._processes

    def look_where_nobody_dies(locks, dead):  # others of this machine may, and then it looks again
        looks.append(True)
        return real(locks, set())

    monkeypatch.setattr(processes, "_processes", look_where_nobody_dies)
    assert len(look()) == 50
    assert len(looks) == 2  # none is found, so there is a second look


# --- directories of the dead ----------------------------------------------------------------------


def test_a_dead_workers_directory_outlives_its_claims(spool, own, look, clock, monkeypatch):
    """A worker that claims and dies while others sweep: its claims are listed after its death."""
    worker = given.worker(spool)
    name = given.job(spool, "pending", given.named(clock))
    probe = lease.probe

    def claims_and_dies_first(where, looked_at, *rest):
        if looked_at == worker.name and worker.dir.fd >= 0:
            given.claim(spool, worker, name, clock)
            given.die(worker)
        return probe(where, looked_at, *rest)

    monkeypatch.setattr(lease, "probe", claims_and_dies_first)
    look.recovery.sweep()
    assert spool.dir("workers").has(worker.name)
    assert len(look()) == 1
    look.recovery.sweep()
    assert spool.dir("workers").list() == [own.name]


def test_the_directory_of_a_dead_worker_goes_when_no_claim_names_it(spool, own, look):
    worker = given.worker(spool)
    os.close(worker.take_slot("0"))
    worker.dir.write("stop", b"", sync=False)
    given.die(worker)
    look.recovery.sweep()
    assert spool.dir("workers").list() == [own.name]


def test_the_directories_of_the_living_stay(spool, own, look):
    living = given.worker(spool)
    look.recovery.sweep()
    assert sorted(spool.dir("workers").list()) == sorted([own.name, living.name])
    living.leave()


def test_what_else_lies_in_workers_stays_and_holds_up_nothing(spool, own, look, clock):
    for entry in ("README", ".hidden", "some-1-worker"):
        given.write(spool, "workers", entry, "")
    os.symlink("nowhere", os.path.join(spool.path, "workers", "some-2-worker"))
    os.makedirs(os.path.join(spool.path, "workers", "some-3-worker", "full", "of"))
    worker = given.worker(spool)
    given.die(worker)
    look.recovery.sweep()
    assert not spool.dir("workers").has(worker.name)
    assert spool.dir("workers").has("README")


def _a_lock_that_is_a_directory(spool, patch):
    os.makedirs(os.path.join(spool.path, "workers", "foo-1-abc", "lock"))


def _a_lock_that_is_a_link(spool, patch):
    os.mkdir(os.path.join(spool.path, "workers", "foo-1-abc"))
    os.symlink("lock", os.path.join(spool.path, "workers", "foo-1-abc", "lock"))


def _a_lock_that_may_not_be_opened(spool, patch):
    os.mkdir(os.path.join(spool.path, "workers", "foo-1-abc"))
    given.write(spool, "workers/foo-1-abc", "lock", "")
    real = Dir.open_lock

    def open_lock(self, name):
        if self.path.endswith("foo-1-abc"):
            raise PermissionError(errno.EACCES, "Permission denied", name)
        return real(self, name)

    patch.setattr(Dir, "open_lock", open_lock)


def _a_directory_that_may_not_be_entered(spool, patch):
    os.mkdir(os.path.join(spool.path, "workers", "foo-1-abc"))
    real = Dir.sub

    def sub(self, name):
        if name == "foo-1-abc":
            raise PermissionError(errno.EACCES, "Permission denied", name)
        return real(self, name)

    patch.setattr(Dir, "sub", sub)


ODD_WORKERS = (
    _a_lock_that_is_a_directory,
    _a_lock_that_is_a_link,
    _a_lock_that_may_not_be_opened,
    _a_directory_that_may_not_be_entered,
)


@pytest.mark.parametrize("make", ODD_WORKERS, ids=lambda f: f.__name__)
def test_what_cannot_be_told_dead_stays_and_holds_up_no_other(
    spool, look, clock, monkeypatch, make
):
    make(spool, monkeypatch)
    name = given.named(clock, "odd", attempt=1)._replace(worker="foo-1-abc", slot="0")
    given.job(spool, "processing", name)
    gone = orphan(spool, clock)
    (taken,) = look()
    look.recovery.sweep()
    assert taken.claim.id == "j1"
    assert not spool.dir("workers").has(gone.worker)
    assert spool.dir("workers").has("foo-1-abc")
    assert entries(spool, "processing") == [str(name)]


# --- litter ---------------------------------------------------------------------------------------


def test_what_has_been_in_tmp_for_a_day_is_swept_and_nothing_younger(spool, look, clock):
    ages = {"old": 86_401, "young": 86_399, ".ids": 1e6, "old-worker": 86_401}
    for entry, age in ages.items():
        path = os.path.join(spool.path, "tmp", entry)
        if entry == "old-worker":
            os.mkdir(path)
            given.write(spool, "tmp/old-worker", "lock", "")
        else:
            given.write(spool, "tmp", entry, "x")
        moment = clock().timestamp() - age
        os.utime(path, (moment, moment))
    look.recovery.sweep_litter()
    assert sorted(spool.dir("tmp").list()) == [".ids", "young"]


def test_litter_in_litter_is_swept_a_level_at_a_time(spool, look, clock):
    path = os.path.join(spool.path, "tmp", "old")
    os.makedirs(os.path.join(path, "deeper"))
    given.write(spool, "tmp", "older", "x")
    moment = clock().timestamp() - 1e6
    for entry in ("old", "older"):
        os.utime(os.path.join(spool.path, "tmp", entry), (moment, moment))
    look.recovery.sweep_litter()
    (left,) = spool.dir("tmp").list()  # it has its own age
    os.utime(os.path.join(spool.path, "tmp", left), (moment, moment))
    look.recovery.sweep_litter()
    assert spool.dir("tmp").list() == []


def test_a_record_of_a_lost_run_is_as_its_worker_would_have_made_it(spool, look, clock):
    """The job's own numbers count, its other fields stay, and the wait is none."""
    orphan(spool, clock, max_retries=1, backoff_base=100, tags=["t"], strange=1)
    look()
    name, job = only(spool, "failed")
    assert name.at == clock()
    assert (job.fields["tags"], job.fields["strange"]) == (["t"], 1)
    assert "created_at" in job.fields

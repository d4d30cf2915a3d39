"""Every legal move: one rename each, one winner each, and nothing written over."""

import errno
import os
import stat
import threading

import pytest

from spoolq import fsio, instants, platform
from spoolq.config import Settings
from spoolq.errors import OutcomeUnknown, StorageFailed, StorageFull, WorkerLost
from spoolq.job import CANCELLED, INTERRUPTED, Job
from spoolq.recovery import Recovery
from spoolq.spool import SpoolDir
from tests import given
from tests.faults.loop.seam import Plan, Seam
from tests.recording import Recording

STATES = ("pending", "processing", "failed", "completed", "dead")
MOVES = ("rename", "replace", "link", "rename_noreplace")


def armed(spool, plan=Plan(), **options):  # noqa: B008 - a plan cannot change
    seam = Seam(plan, **options)
    for name in ("tmp", "workers", *STATES):
        spool.dir(name)
    seam.armed = True
    return seam


def stamp(clock):
    return instants.to_stamp(clock())


# --- every transition is one rename ---------------------------------------------------------------


class Transition:
    """A transition to try: `prepare` returns what `do` moves."""

    def __init__(self, origin, target, prepare, do):
        self.origin, self.target, self.prepare, self.do = origin, target, prepare, do


def _waits(state="pending", attempt=0):
    return lambda spool, own, clock: given.job(spool, state, given.named(clock, attempt=attempt))


def _claimed(spool, own, clock):
    name = _waits()(spool, own, clock)
    return name, given.claim(spool, own, name, clock)


def _dropped(spool, own, clock):
    given.write(spool, "pending", "x.json", '{"command": "echo"}')
    return given.named(clock)


def _stray(spool, own, clock):
    return given.job(spool, "processing", given.named(clock))


TRANSITIONS = {
    "adopt": Transition(
        "pending", "pending", _dropped, lambda spool, own, name, clock: spool.adopt("x.json", name)
    ),
    "bury": Transition(
        "pending",
        "dead",
        _dropped,
        lambda spool, own, name, clock: spool.bury("pending", "x.json", "x.json"),
    ),
    "claim": Transition(
        "pending",
        "processing",
        _waits(),
        lambda spool, own, name, clock: spool.claim(str(name), name, stamp(clock), own.name, "0"),
    ),
    "claim_to_change": Transition(
        "failed",
        "processing",
        _waits("failed", 1),
        lambda spool, own, name, clock: spool.claim_to_change("failed", str(name), name, own.name),
    ),
    "give_back": Transition(
        "processing",
        "pending",
        _claimed,
        lambda spool, own, made, clock: spool.give_back(*made[::-1]),
    ),
    "bury a claim": Transition(
        "processing",
        "dead",
        _claimed,
        lambda spool, own, made, clock: spool.bury("processing", str(made[1]), str(made[0])),
    ),
    **{
        f"finish_move to {state}": Transition(
            "processing",
            state,
            _claimed,
            lambda spool, own, made, clock, state=state: spool.finish_move(
                made[1], state, stamp(clock), 1
            ),
        )
        for state in ("completed", "failed", "dead", "pending")
    },
    "take_over": Transition(
        "processing",
        "processing",
        _claimed,
        lambda spool, own, made, clock: spool.take_over(made[1], own.name, "r1"),
    ),
    "put_back_stray": Transition(
        "processing",
        "pending",
        _stray,
        lambda spool, own, name, clock: spool.put_back_stray(str(name)),
    ),
    "promote": Transition(
        "failed",
        "pending",
        _waits("failed", 1),
        lambda spool, own, name, clock: spool.promote(str(name), name),
    ),
    "requeue from failed": Transition(
        "failed",
        "pending",
        _waits("failed", 1),
        lambda spool, own, name, clock: spool.requeue("failed", str(name), name, stamp(clock), 1),
    ),
    "requeue from dead": Transition(
        "dead",
        "pending",
        _waits("dead", 4),
        lambda spool, own, name, clock: spool.requeue("dead", str(name), name, stamp(clock), 0),
    ),
}


@pytest.mark.parametrize("has_noreplace", [True, False], ids=["renameat2", "plain rename"])
@pytest.mark.parametrize("transition", TRANSITIONS.values(), ids=TRANSITIONS)
def test_every_transition_is_exactly_one_rename(spool, clock, transition, has_noreplace):
    """Nothing is written, linked or removed: one call moves the job from state to state."""
    own = given.worker(spool)
    made = transition.prepare(spool, own, clock)
    seam = armed(spool, has_noreplace=has_noreplace)
    with seam.installed():
        assert transition.do(spool, own, made, clock)
    (event,) = seam.trace
    assert event["call"] in ("rename", "rename_noreplace")
    assert event["from"] == spool.dir(transition.origin).stat().st_ino
    assert event["into"] == spool.dir(transition.target).stat().st_ino
    assert [state for state, _ in given.everything(spool)] == [transition.target]


@pytest.mark.parametrize("transition", TRANSITIONS.values(), ids=TRANSITIONS)
def test_a_transition_whose_file_is_gone_has_lost_and_says_so(spool, clock, transition):
    """Losing a race is an answer, not an error."""
    own = given.worker(spool)
    made = transition.prepare(spool, own, clock)
    ((state, filename),) = given.everything(spool)
    os.unlink(os.path.join(spool.path, state, filename))
    assert transition.do(spool, own, made, clock) in (None, False)
    assert given.everything(spool) == []


def test_publishing_writes_and_syncs_in_tmp_then_renames_then_syncs_pending(spool, clock):
    """The order that no power cut breaks."""
    seam = armed(spool)
    name = given.named(clock)
    with seam.installed():
        spool.publish({name: b'{"command": "echo"}\n'})
    calls = [event["call"] for event in seam.trace]
    assert calls == ["open", "write", "fdatasync", "rename_noreplace", "fsync"]
    assert seam.trace[3]["from"] == spool.dir("tmp").stat().st_ino
    assert seam.trace[3]["into"] == spool.dir("pending").stat().st_ino
    assert seam.trace[4]["ino"] == spool.dir("pending").stat().st_ino


def test_a_batch_shares_its_syncs(spool, clock):
    """All written and synced, all renamed, one sync of the directory."""
    files = {given.named(clock, f"j{number}"): b'{"command": "a"}\n' for number in range(3)}
    seam = armed(spool)
    with seam.installed():
        spool.publish(files)
    calls = [event["call"] for event in seam.trace]
    syncs = ["fdatasync"] * 3
    assert calls == ["open", "write"] * 3 + syncs + ["rename_noreplace"] * 3 + ["fsync"]


@pytest.mark.skipif(not platform.LINUX, reason="only Linux syncs a filesystem and tells errors")
def test_a_large_batch_is_synced_by_one_sync_of_the_filesystem(spool, clock):
    files = {given.named(clock, f"j{number}"): b'{"command": "a"}\n' for number in range(24)}
    seam = armed(spool)
    with seam.installed():
        spool.publish(files)
    calls = [event["call"] for event in seam.trace]
    assert calls == ["open", "write"] * 24 + ["sync_filesystem"] + ["rename_noreplace"] * 24 + [
        "fsync"
    ]


def test_finishing_records_where_the_job_lies_and_then_moves_it(spool, clock):
    """Record, then move; the record's data is synced before it replaces anything."""
    own = given.worker(spool)
    _, claim = _claimed(spool, own, clock)
    end = given.record(spool, claim, clock, exit_code=0)
    seam = armed(spool)
    with seam.installed():
        report = spool.finish(own.dir, [end])
    assert report.error is None
    calls = [event["call"] for event in seam.trace]
    assert calls == ["open", "write", "fdatasync", "rename", "rename_noreplace", "fsync"]
    written, moved = seam.trace[3], seam.trace[4]
    processing = spool.dir("processing").stat().st_ino
    assert (written["from"], written["into"]) == (own.dir.stat().st_ino, processing)
    assert (moved["from"], moved["into"]) == (processing, spool.dir("completed").stat().st_ino)


# --- looking --------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", STATES)
def test_locate_finds_a_job_in_every_state(spool, clock, state):
    name = given.named(clock)
    if state == "processing":
        name = name._replace(worker="w", slot="0")
    given.job(spool, state, name)
    assert spool.locate(["j1", "j2"]) == {"j1": (state, str(name))}


def test_locate_looks_twice_before_it_says_none(spool, clock, monkeypatch):
    """A job that runs ahead of a whole look, against its order, is found by the second."""
    name = given.job(spool, "failed", given.named(clock, attempt=1))
    looks = []
    real = fsio.Dir.scan

    def scan(directory):
        state = os.path.basename(directory.path)
        looks.append(state)
        if looks.count("failed") == 1 and state == "failed":
            spool.promote(str(name), name)
        if looks == ["pending", "processing", "failed", "completed", "dead", "pending"]:
            spool.claim(str(name), name, stamp(clock), "w", "0")
        return real(directory)

    monkeypatch.setattr(fsio.Dir, "scan", scan)
    state, filename = spool.locate(["j1"])["j1"]
    assert (state, len(looks)) == ("processing", 8)
    assert spool.locate(["j2"]) == {}
    assert len(looks) == 8 + 12


# --- producing ------------------------------------------------------------------------------------


def test_what_is_published_is_whole_and_for_the_owner_alone(spool, clock):
    name = given.named(clock)
    old = os.umask(0)
    try:
        spool.publish({name: b'{"command": "echo"}\n'})
    finally:
        os.umask(old)
    assert given.content(spool, "pending", str(name)) == b'{"command": "echo"}\n'
    assert stat.S_IMODE(spool.dir("pending").stat(str(name)).st_mode) == 0o600
    assert spool.dir("tmp").list() == []


@pytest.mark.parametrize(
    "code, expected", [(errno.ENOSPC, StorageFull), (errno.EIO, StorageFailed)]
)
def test_a_refused_write_publishes_nothing_and_says_why(spool, clock, code, expected):
    files = {given.named(clock, f"j{number}"): b'{"command": "a"}\n' for number in range(3)}
    seam = armed(spool, Plan(5, "error", code))
    with seam.installed(), pytest.raises(expected):
        spool.publish(files)
    assert given.everything(spool) == []
    assert spool.dir("tmp").list() == []


def test_a_file_whose_sync_failed_is_never_synced_again(spool, clock):
    """The kernel may have dropped the data and call the file clean: a second sync would lie."""
    seam = armed(spool, Plan(3, "error"))
    with seam.installed(), pytest.raises(StorageFailed):
        spool.publish({given.named(clock): b'{"command": "a"}\n'})
    assert [event["call"] for event in seam.trace] == ["open", "write", "unlink"]


def test_a_directory_sync_that_fails_is_unknown_and_names_the_jobs(spool, clock):
    files = {given.named(clock, f"j{number}"): b'{"command": "a"}\n' for number in range(2)}
    seam = armed(spool, Plan(9, "error"))
    with seam.installed(), pytest.raises(OutcomeUnknown) as caught:
        spool.publish(files)
    assert caught.value.ids == ("j0", "j1")
    assert len(given.everything(spool)) == 2


def test_a_batch_that_breaks_off_names_what_was_published(spool, clock):
    files = {given.named(clock, f"j{number}"): b'{"command": "a"}\n' for number in range(3)}
    seam = armed(spool, Plan(11, "error"))
    with seam.installed(), pytest.raises(OutcomeUnknown) as caught:
        spool.publish(files)
    assert caught.value.ids == ("j0",)
    assert [filename.split(".")[3] for _, filename in given.everything(spool)] == ["j0"]
    assert spool.dir("tmp").list() == []


def test_a_finish_whose_directory_cannot_be_synced_is_not_confirmed(spool, clock):
    own = given.worker(spool)
    _, claim = _claimed(spool, own, clock)
    record = given.record(spool, claim, clock, exit_code=0)
    seam = armed(spool, Plan(6, "error"))
    with seam.installed():
        report = spool.finish(own.dir, [record])
    assert [event["call"] for event in seam.trace][-1] == "rename_noreplace"
    assert report.done[claim] is not None
    assert report.error is not None and not report.confirmed


def test_an_existing_file_is_never_published_over(spool, clock):
    name = given.job(spool, "pending", given.named(clock))
    before = given.content(spool, "pending", str(name))
    with pytest.raises(StorageFailed):
        spool.publish({name: b'{"command": "other"}\n'})
    assert given.content(spool, "pending", str(name)) == before


def test_durability_none_syncs_nothing(spool, clock):
    own = given.worker(spool)
    name = given.named(clock)
    seam = armed(spool)
    with seam.installed():
        spool.publish({name: b'{"command": "a"}\n'}, "none")
        claim = given.claim(spool, own, name, clock)
        spool.finish(own.dir, [given.record(spool, claim, clock, exit_code=0)], "none")
    assert not [event for event in seam.trace if "sync" in event["call"]]


def test_durability_accept_syncs_the_records_data_and_no_directory_of_outcomes(spool, clock):
    """An unsynced record renamed over a synced job would destroy it in a power cut."""
    own = given.worker(spool)
    _, claim = _claimed(spool, own, clock)
    end = given.record(spool, claim, clock, exit_code=0)
    seam = armed(spool)
    with seam.installed():
        spool.finish(own.dir, [end], "accept")
    assert [event["call"] for event in seam.trace if "sync" in event["call"]] == ["fdatasync"]


@pytest.mark.parametrize("durability", ["full", "accept", "none"])
def test_on_btrfs_no_outcome_is_synced_by_itself(spool, clock, monkeypatch, durability):
    """A smaller sync brings back what the record replaced: power cuts showed it at both levels.

    So does, once the record was synced by itself, any sync of any program on that disk.
    """
    monkeypatch.setattr(platform, "is_btrfs", lambda descriptor: True)
    own = given.worker(spool)
    _, claim = _claimed(spool, own, clock)
    end = given.record(spool, claim, clock, exit_code=0)
    seam = armed(spool)
    with seam.installed():
        spool.finish(own.dir, [end], durability)
    syncs = [event["call"] for event in seam.trace if "sync" in event["call"]]
    assert syncs == ([] if durability == "none" else ["sync_filesystem"] * 2)


# --- what is no job -------------------------------------------------------------------------------


def test_burying_keeps_name_and_bytes_and_writes_over_nothing(spool):
    for content in (b"one", b"two", b"three"):
        given.write(spool, "pending", "bad job.json", content)
        spool.bury("pending", "bad job.json", "bad job.json")
    assert [(name, given.content(spool, "dead", name)) for _, name in given.everything(spool)] == [
        ("bad job.1.json", b"two"),
        ("bad job.2.json", b"three"),
        ("bad job.json", b"one"),
    ]


@pytest.mark.parametrize("stem", ["x" * 250, "漢" * 83, "é" * 125], ids=["ascii", "cjk", "latin"])
def test_a_buried_name_of_full_length_has_room_for_its_number(spool, stem):
    for content in (b"one", b"two"):
        given.write(spool, "pending", f"{stem}.json", content)
        assert spool.bury("pending", f"{stem}.json", f"{stem}.json")
    assert len(spool.dir("dead").list()) == 2


# --- claims ---------------------------------------------------------------------------------------


def test_a_claim_counts_the_attempt_and_names_its_owner(spool, clock):
    own = given.worker(spool)
    name = given.job(spool, "pending", given.named(clock, attempt=2, priority=7))
    clock.advance(5)
    claim = spool.claim(str(name), name, stamp(clock), own.name, "3")
    assert claim == (stamp(clock), 7, 3, "j1", own.name, "3")
    assert given.everything(spool) == [("processing", str(claim))]


def test_claim_returns_none_when_another_worker_was_faster(spool, clock):
    name = given.job(spool, "pending", given.named(clock))
    assert spool.claim(str(name), name, stamp(clock), "one", "0") is not None
    assert spool.claim(str(name), name, stamp(clock), "two", "0") is None


def test_jobs_that_many_claim_at_once_are_claimed_once_each(spool, clock):
    names = [given.job(spool, "pending", given.named(clock, f"j{n}")) for n in range(60)]
    won = {}
    at_once = threading.Barrier(4)

    def claim_all(worker):
        mine = SpoolDir.open(spool.path)
        at_once.wait()
        won[worker] = [
            name.id for name in names if mine.claim(str(name), name, stamp(clock), worker, "0")
        ]
        mine.close()

    threads = [threading.Thread(target=claim_all, args=(f"w{n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(sum(won.values(), [])) == sorted(name.id for name in names)
    assert len(given.everything(spool)) == 60


def test_a_claim_to_change_a_job_keeps_its_time_and_its_attempts(spool, clock):
    """So whoever finds it can put it back as it was."""
    name = given.job(spool, "failed", given.named(clock, attempt=2))
    clock.advance(60)
    claim = spool.claim_to_change("failed", str(name), name, "w")
    assert claim == name._replace(worker="w", slot="change")
    assert spool.give_back(claim, claim) == name


def test_giving_back_restores_the_old_time_and_attempt(spool, clock):
    own = given.worker(spool)
    name, claim = _claimed(spool, own, clock)
    assert spool.give_back(claim, name) == name
    assert given.everything(spool) == [("pending", str(name))]


def test_a_claim_of_one_of_two_hard_links_leaves_the_other_and_loses_neither(spool, clock):
    """A rename between two names of one file would succeed and do nothing."""
    own = given.worker(spool)
    one = given.job(spool, "pending", given.named(clock, "one"))
    two = one._replace(id="two")
    pending = os.path.join(spool.path, "pending")
    os.link(os.path.join(pending, str(one)), os.path.join(pending, str(two)))
    claim = given.claim(spool, own, one, clock)
    assert given.everything(spool) == [("pending", str(two)), ("processing", str(claim))]
    report = spool.finish(own.dir, [given.record(spool, claim, clock, exit_code=0)])
    assert report.error is None
    assert b"history" not in given.content(spool, "pending", str(two))


def test_a_move_onto_another_name_of_the_same_file_is_no_silent_success(spool, clock):
    name = given.job(spool, "failed", given.named(clock, attempt=1))
    source = os.path.join(spool.path, "failed", str(name))
    os.link(source, os.path.join(spool.path, "pending", str(name)))
    assert spool.promote(str(name), name) != name
    assert [state for state, _ in given.everything(spool)] == ["pending", "pending"]


# --- the end of a run -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "attempt, outcome, state, left",
    [
        (0, {"exit_code": 0}, "completed", 1),
        (0, {"exit_code": 1}, "failed", 1),
        (3, {"exit_code": 1}, "dead", 4),
        (0, {"signal": 9}, "failed", 1),
        (2, {"error": CANCELLED}, "dead", 3),
        (2, {"error": INTERRUPTED}, "pending", 2),
    ],
)
def test_a_run_ends_in_the_state_that_follows_from_its_end(
    spool, clock, attempt, outcome, state, left
):
    own = given.worker(spool)
    name = given.job(spool, "pending", given.named(clock, attempt=attempt))
    claim = given.claim(spool, own, name, clock)
    clock.advance(1)
    report = spool.finish(own.dir, [given.record(spool, claim, clock, **outcome)])
    moved = report.done[claim]
    assert given.everything(spool) == [(state, str(moved))]
    assert moved.attempt == left
    assert given.history(spool, state, moved)[-1] == given.entry(claim, clock, **outcome)
    assert own.dir.list().count("0.outcome") == 0


def test_a_failed_job_waits_as_long_as_its_backoff_says(spool, clock):
    own = given.worker(spool)
    name = given.job(spool, "pending", given.named(clock, attempt=2), backoff_base=3)
    claim = given.claim(spool, own, name, clock)
    report = spool.finish(own.dir, [given.record(spool, claim, clock, exit_code=1)])
    wait = report.done[claim].at - clock()
    assert wait.total_seconds() == 27


def test_a_claim_taken_away_by_hand_is_lost(spool, clock):
    """What somebody moved out of processing/ is theirs: the outcome is dropped, nothing revived."""
    own = given.worker(spool)
    name, claim = _claimed(spool, own, clock)
    end = given.record(spool, claim, clock, exit_code=0)
    processing = os.path.join(spool.path, "processing", str(claim))
    os.rename(processing, os.path.join(spool.path, "pending", str(name)))
    report = spool.finish(own.dir, [end])
    assert (report.done, report.error) == ({claim: None}, None)
    assert given.everything(spool) == [("pending", str(name))]
    assert given.history(spool, "pending", name) == []
    assert own.dir.list().count("0.outcome") == 0


def test_a_directory_in_the_place_of_a_claim_holds_up_no_other_outcome(spool, clock):
    """Found by members of a group who swap entries: the worker could record nothing any more."""
    own = given.worker(spool)
    claims = []
    for number in range(2):
        name = given.job(spool, "pending", given.named(clock, f"j{number}"))
        claims.append(given.claim(spool, own, name, clock, slot=str(number)))
    ends = [given.record(spool, claim, clock, exit_code=0) for claim in claims]
    path = os.path.join(spool.path, "processing", str(claims[0]))
    os.unlink(path)
    os.mkdir(path)
    report = spool.finish(own.dir, ends)
    assert report.error is None
    assert report.done[claims[0]] is None
    assert report.done[claims[1]] is not None
    assert [state for state, _ in given.everything(spool)] == ["completed", "processing"]
    assert own.dir.list().count("0.outcome") == 0


def test_a_recorded_outcome_is_finished_and_does_not_run_again(spool, clock):
    """Killed between the record and the move: recovery finishes the move and takes nothing over."""
    own, other = given.worker(spool), given.worker(spool)
    name, claim = _claimed(spool, own, clock)
    end = given.record(spool, claim, clock, exit_code=0)
    seam = armed(spool, Plan(4, "die after"), die=_die)  # after the record
    with seam.installed(), pytest.raises(_Gone):
        spool.finish(own.dir, [end])
    given.die(own)
    assert given.everything(spool) == [("processing", str(claim))]
    clock.advance(1)
    recovery = Recovery(spool, other, clock, clock.monotonic)
    assert recovery.look(Settings(), set()) == []
    ((state, filename),) = given.everything(spool)
    assert state == "completed"
    assert given.history(spool, state, filename) == Job.from_bytes(end.data).history


class _Gone(BaseException):
    pass


def _die():
    raise _Gone


def test_all_claims_are_lost_with_the_workers_directory(spool, clock):
    """Whoever removed the directory has fenced this worker: it writes nothing any more."""
    own = given.worker(spool)
    _, claim = _claimed(spool, own, clock)
    end = given.record(spool, claim, clock, exit_code=0)
    for entry in own.dir.list():
        own.dir.unlink(entry)
    spool.dir("workers").rmdir(own.name)
    with pytest.raises(WorkerLost):
        spool.finish(own.dir, [end])
    assert given.everything(spool) == [("processing", str(claim))]
    assert given.history(spool, "processing", claim) == []


def test_an_outcome_that_cannot_be_written_is_kept_and_can_be_finished_later(spool, clock):
    """A finished job is not run anew because a disk was full."""
    own = given.worker(spool)
    _, claim = _claimed(spool, own, clock)
    end = given.record(spool, claim, clock, exit_code=0)
    seam = armed(spool, Plan(1, "error", errno.ENOSPC))
    with seam.installed():
        report = spool.finish(own.dir, [end])
    assert report.done == {}
    assert report.error.errno == errno.ENOSPC
    assert given.everything(spool) == [("processing", str(claim))]
    report = spool.finish(own.dir, [end])
    assert given.everything(spool) == [("completed", str(report.done[claim]))]


def test_one_outcome_that_cannot_be_moved_does_not_undo_the_others(spool, clock):
    own = given.worker(spool)
    claims = []
    for number in range(2):
        name = given.job(spool, "pending", given.named(clock, f"j{number}"))
        claims.append(given.claim(spool, own, name, clock, str(number)))
    ends = [given.record(spool, claim, clock, exit_code=0) for claim in claims]
    seam = armed(spool, Plan(9, "error"))  # the second record
    with seam.installed():
        report = spool.finish(own.dir, ends)
    assert list(report.done) == claims[:1]
    report = spool.finish(own.dir, ends[1:])
    assert [state for state, _ in given.everything(spool)] == ["completed", "completed"]
    for state, filename in given.everything(spool):
        assert len(given.history(spool, state, filename)) == 1


def test_what_has_moved_is_synced_though_the_next_could_not_be_moved(spool, clock, monkeypatch):
    own = given.worker(spool)
    claims = []
    for number in range(2):
        name = given.job(spool, "pending", given.named(clock, f"j{number}"))
        claims.append(given.claim(spool, own, name, clock, str(number)))
    ends = [given.record(spool, claim, clock, exit_code=0) for claim in claims]
    completed = spool.dir("completed").stat().st_ino
    recording = Recording(monkeypatch)
    recording.fail("rename_noreplace", OSError(errno.EIO, "Input/output error"), at=2)
    report = spool.finish(own.dir, ends)
    assert list(report.done) == claims[:1]
    assert report.error.errno == errno.EIO
    moved = [step[0] for step in recording.journal].index("rename_noreplace")
    assert recording.journal[moved][-1] == completed
    assert ("fsync", completed, "directory") in recording.journal[moved:]


@pytest.mark.parametrize("at", [1, 2])
def test_an_outcome_that_a_failed_attempt_left_is_in_nobodys_way(spool, clock, monkeypatch, at):
    """Made, and not moved over its claim: the next attempt makes it anew."""
    own = given.worker(spool)
    claims = []
    for number in range(2):
        name = given.job(spool, "pending", given.named(clock, f"j{number}"))
        claims.append(given.claim(spool, own, name, clock, str(number)))
    first = [given.record(spool, claim, clock, exit_code=1) for claim in claims]
    with monkeypatch.context() as patch:
        Recording(patch).fail("rename", OSError(errno.EIO, "Input/output error"), at=at)
        report = spool.finish(own.dir, first)
    assert len(report.done) == at - 1
    left = [name for name in own.dir.list() if name.endswith(".outcome")]
    assert len(left) == 3 - at
    again = [
        given.record(spool, claim, clock, exit_code=0)
        for claim in claims
        if claim not in report.done
    ]
    report = spool.finish(own.dir, again)
    assert (report.error, len(report.done)) == (None, 3 - at)
    assert [state for state, _ in given.everything(spool)].count("completed") == 3 - at
    assert [name for name in own.dir.list() if name.endswith(".outcome")] == []


def test_an_ended_job_is_never_written_over(spool, clock):
    """A restored backup of the same name in completed/ stays; the newer job stands beside it."""
    own = given.worker(spool)
    _, claim = _claimed(spool, own, clock)
    end = given.record(spool, claim, clock, exit_code=0)
    given.write(spool, "completed", str(claim.waiting(stamp=end.stamp)), b"a backup")
    report = spool.finish(own.dir, [end])
    assert given.content(spool, "completed", str(claim.waiting(stamp=end.stamp))) == b"a backup"
    assert report.done[claim].at > claim.waiting(stamp=end.stamp).at
    assert len(given.everything(spool)) == 2


# --- taking over, waiting again, the end ----------------------------------------------------------


def test_of_two_who_take_a_claim_over_one_wins(spool, clock):
    own = given.worker(spool)
    _, claim = _claimed(spool, own, clock)
    mine = spool.take_over(claim, "one", "r1")
    assert mine == claim._replace(worker="one", slot="r1")
    assert spool.take_over(claim, "two", "r2") is None
    assert given.everything(spool) == [("processing", str(mine))]


def test_a_promoted_job_keeps_its_time_and_its_attempts(spool, clock):
    name = given.job(spool, "failed", given.named(clock, attempt=2))
    assert spool.promote(str(name), name) == name
    assert given.everything(spool) == [("pending", str(name))]


def test_a_requeued_job_has_the_attempts_that_it_is_given(spool, clock):
    name = given.job(spool, "dead", given.named(clock, attempt=4))
    clock.advance(60)
    moved = spool.requeue("dead", str(name), name, stamp(clock), 0)
    assert moved == (stamp(clock), 5, 0, "j1", None, None)
    assert given.everything(spool) == [("pending", str(moved))]


def test_a_file_in_processing_that_names_no_worker_goes_back_to_pending(spool, clock):
    name = given.job(spool, "processing", given.named(clock))
    assert spool.put_back_stray(str(name)) is True
    assert given.everything(spool) == [("pending", str(name))]


def test_removing_is_for_good_and_once(spool, clock):
    name = given.job(spool, "completed", given.named(clock, attempt=1))
    assert spool.remove("completed", str(name)) is True
    assert spool.remove("completed", str(name)) is False


def test_a_disk_that_does_not_answer_has_not_removed_a_worker(spool, clock, monkeypatch):
    own = given.worker(spool)
    _, claim = _claimed(spool, own, clock)
    end = given.record(spool, claim, clock, exit_code=0)

    def fails(*_, **__):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "stat", fails)
    monkeypatch.setattr(os, "rename", fails)
    report = spool.finish(own.dir, [end])
    monkeypatch.undo()
    assert (report.done, report.error.errno) == ({}, errno.EIO)
    assert spool.finish(own.dir, [end]).error is None

"""The model is tied to the code: for each transition both make the same calls in the same order.

What the comparison leaves out, and why, is `words.LEFT_OUT`.
"""

import pytest

from spoolq import instants, outcomes, platform
from spoolq.recovery import Recovery
from spoolq.spool import CHANGE, SpoolDir

from . import routine
from .by_code import Stage
from .machine import State
from .rules import PRESENT
from .script import steps_of
from .tape import Tape
from .transitions import TRANSITIONS, WITHOUT_WORKER
from .world import dead_worker

pytestmark = pytest.mark.skipif(
    not platform.HAS_DIR_FD or not platform.LINUX,
    reason="the recording tells directories by their descriptors, and moves by renameat2",
)


@pytest.fixture(autouse=True)
def _forget_processes():
    """Give the memory of a routine back."""
    yield
    routine.forget()


@pytest.fixture
def stage(spool, clock, monkeypatch, tmp_path):
    (tmp_path / "a").write_bytes(b"")
    if not platform.rename_noreplace(str(tmp_path / "a"), str(tmp_path / "b"), None, None):
        pytest.skip("this filesystem lacks the rename that never replaces")
    stage = Stage(spool, clock, Tape(monkeypatch, spool))
    yield stage
    stage.close()


def by_code(name, stage):
    TRANSITIONS[name].by_code(stage)
    return stage.tape.steps()


def by_model(name, rules=PRESENT):
    state = State()
    what, args = TRANSITIONS[name].by_model(state, rules)
    if name in WITHOUT_WORKER:
        state.launch("M", what, *args)
    else:
        lock = dead_worker(state, "M")
        state.launch("M", what, *args)
        state.flock("M", state.open_lock("M", lock, False), False)
    return steps_of(state, "M", "A")


@pytest.mark.parametrize("name", TRANSITIONS)
def test_the_code_makes_the_calls_of_the_model(name, stage):
    steps = by_code(name, stage)
    assert steps
    assert steps == by_model(name)


def test_the_comparison_sees_what_the_code_does(stage):
    """A transition in full, so that it is plain what is compared."""
    assert by_code("run to completed", stage) == [
        ("create", "workers me slot"),
        ("lock", "workers me slot", "got"),
        ("rename", "pending a0", "processing a1 me.run", "new time"),
        ("create", "workers me outcome"),
        ("rename", "workers me outcome", "processing a1 me.run"),
        ("rename_new", "processing a1 me.run", "completed a1", "new time"),
        ("close", "workers me slot"),
    ]


def test_every_move_that_the_code_knows_is_compared(clock, monkeypatch, tmp_path):
    looks = {"locate", "has_claims_of"}
    moves = {name for name in vars(SpoolDir) if not name.startswith("_")} - looks
    made = set()

    def noted(name, method):
        def call(*args, **kwargs):
            made.add(name)
            return method(*args, **kwargs)

        return call

    for name in moves:
        monkeypatch.setattr(SpoolDir, name, noted(name, getattr(SpoolDir, name)))
    for number, transition in enumerate(TRANSITIONS.values()):
        with monkeypatch.context() as patches:
            fresh = SpoolDir.create(str(tmp_path / f"spool{number}"))
            stage = Stage(fresh, clock, Tape(patches, fresh))
            transition.by_code(stage)
            stage.close()
            fresh.close()
    assert made == moves


# ---- negative controls: who swaps, adds or leaves out a step is seen


def _moves_before_it_records(self, worker_dir, record):
    name = self.finish_move(record.claim, record.state, record.stamp, record.attempt)
    worker_dir.rename("0.outcome", self.dir(record.state), str(name))
    return name


def _lets_go_first(self, durability, *, busy):
    for unfinished in self._unfinished.values():
        if unfinished.slot is not None:
            outcomes.let_go(unfinished.slot)
        unfinished.slot = None
    return _FINISH(self, durability, busy=busy)


def _in_the_time_of_the_change(self, state, filename, name, worker):
    stamp = instants.to_stamp(instants.now())
    return self._claim_as(name._replace(stamp=stamp, worker=worker, slot=CHANGE), state, filename)


_FINISH = outcomes.Outcomes.finish

WORSE_CODE = {
    "moves before it records": (
        "run to completed",
        (SpoolDir, "record_and_move", _moves_before_it_records),
    ),
    "lets the slot go before it records": (
        "run to completed",
        (outcomes.Outcomes, "finish", _lets_go_first),
    ),
    "fences nobody": (
        "recover where the lock is gone",
        (Recovery, "_is_fenced", lambda self, claim: True),
    ),
    "forgets the cancel request": (
        "recover a run to be cancelled",
        (Recovery, "_was_to_be_cancelled", lambda self, claim: False),
    ),
    "changes a job in its own time": (
        "cancel a waiting job",
        (SpoolDir, "claim_to_change", _in_the_time_of_the_change),
    ),
}


@pytest.mark.parametrize("name", WORSE_CODE)
def test_a_worse_code_is_seen(name, stage, monkeypatch):
    transition, patch = WORSE_CODE[name]
    monkeypatch.setattr(*patch)
    assert by_code(transition, stage) != by_model(transition)


@pytest.mark.parametrize(
    "transition, plainer",
    [
        ("start", {"start": "locked-in-place"}),
        ("run to completed", {"rename_new": "link-unlink"}),
        ("run to completed", {"record_in": "tmp"}),
        ("stop now", {"interrupted": "counts"}),
        ("recover a lost run", {"recovery": "in-place"}),
        ("recover a claim that changes a job", {"give_back": "directly"}),
        ("recover a claim that changes a job", {"change": "lost"}),
        ("recover where the lock is gone", {"fence": False}),
        ("recover a run to be cancelled", {"request_carried": False}),
        ("recover a claim of one's own that is not known", {"unknown_own": "left"}),
        ("adopt with an id", {"ids_locked": False}),
    ],
    ids=str,
)
def test_a_plainer_rule_of_the_model_is_seen(transition, plainer, stage):
    assert by_code(transition, stage) != by_model(transition, PRESENT.but(**plainer))

"""The transitions of the format, each as the code makes it and as the model does.

A function of `by_code` does it on a real spool; beside it stands how a state of the model is
prepared, and which routine does the same there.
"""

from typing import Any, Callable, Dict, NamedTuple, Tuple

from . import adoption, by_code, people, recovery, worker
from .machine import State
from .names import REQUEST, Entry, HalfWritten, Job, LockFile, Name, Rubbish
from .routine import Routine
from .rules import Rules
from .run import Command
from .worker import Plan
from .world import dead_claim, dead_worker, waiting_job

FAILS = Command(result="fail")
Begun = Tuple[Routine, Tuple[Any, ...]]


class Transition(NamedTuple):
    """One transition, twice."""

    by_code: Callable[[by_code.Stage], Any]
    by_model: Callable[[State, Rules], Begun]


def _routine(routine: Routine, *args: Any, put: Any = None) -> Callable[[State, Rules], Begun]:
    """Begin a routine of `M` with the rules last; `put` prepares the state."""

    def by_model(state: State, rules: Rules) -> Begun:
        if put is not None:
            put(state)
        return routine, (*args, rules)

    return by_model


def _works(plan: Plan, put: Any = None, **rules_: Any) -> Callable[[State, Rules], Begun]:
    """Let the worker `M` live for as many rounds as its plan says."""

    def by_model(state: State, rules: Rules) -> Begun:
        if put is not None:
            put(state)
        return worker.worker, ("M", rules.but(**rules_), plan)

    return by_model


def _puts(path: str, content: Any) -> Callable[[State], None]:
    def put(state: State) -> None:
        state.files[path] = content

    return put


def _orphan(
    slot: str = "0",
    content: Any = Job("job"),  # noqa: B008 - it cannot change
    left: Tuple[str, ...] = ("lock", "slot"),
    asked: bool = False,
) -> Callable[[State], None]:
    def put(state: State) -> None:
        dead_claim(state, content, slot=slot)
        if "lock" not in left:
            del state.files["workers/A/lock"]
        if "slot" not in left:
            del state.files[f"workers/A/{slot}.lock"]
        if asked:
            state.files["workers/A/cancel.j"] = REQUEST
        if not left:
            state.dirs.remove("workers/A")

    return put


def _own_claim(state: State) -> None:
    state.files["workers/M/0.lock"] = LockFile("workers/M/0.lock")
    state.files[f"processing/{Name('t0', 1, 'j', 'M', '0')}"] = Job("job")


def _with_request(state: State) -> None:
    waiting_job(state)
    state.files["workers/M/cancel.j"] = REQUEST


def _ask(state: State, rules: Rules) -> Begun:
    dead_worker(state, "M")
    return people.ask_worker, (f"processing/{Name('t0', 1, 'j', 'M', '0')}", "j")


def _purge(state: State, rules: Rules) -> Begun:
    waiting_job(state, attempt=1, where="completed")
    return people.remove_by_hand, ("completed",)


def _taken_id(state: State) -> None:
    waiting_job(state, attempt=1, where="completed")
    state.files["pending/drop"] = Job("job2", explicit_id="j")


def _dead_directory(state: State) -> None:
    dead_worker(state, "A")
    state.files["workers/A/0.lock"] = LockFile("workers/A/0.lock")


LOOKS = Plan(claims=False, sweeps=True)
RECORDED = Job("job", (Entry(1, "At1", "ok"),))

TRANSITIONS: Dict[str, Transition] = {
    "enqueue": Transition(by_code.enqueue, _routine(people.enqueue, "M", Job("job"))),
    "enqueue with an id": Transition(
        by_code.enqueue_an_id, _routine(people.enqueue, "M", Job("job", explicit_id="j"))
    ),
    "adopt": Transition(
        by_code.admit({"command": "x"}),
        _routine(adoption.adopt_all, "M", put=_puts("pending/drop", Job("job"))),
    ),
    "adopt with an id": Transition(
        by_code.admit({"command": "x", "id": "j1"}),
        _routine(adoption.adopt_all, "M", put=_puts("pending/drop", Job("job", explicit_id="j"))),
    ),
    "bury a drop whose id is taken": Transition(
        by_code.admit({"command": "x", "id": "j1"}, there=True),
        _routine(adoption.adopt_all, "M", put=_taken_id),
    ),
    "bury what is no job": Transition(
        by_code.bury, _routine(adoption.adopt_all, "M", put=_puts("pending/drop", Rubbish("job")))
    ),
    "run to completed": Transition(by_code.runs({"exit_code": 0}), _works(Plan(), waiting_job)),
    "run to failed, promoted, run to dead": Transition(
        by_code.runs({"exit_code": 1}, {"exit_code": 1}, max_retries=1),
        _works(Plan(rounds=2, command=FAILS), waiting_job),
    ),
    "claim a half-written file and give it back": Transition(
        by_code.half_written,
        _works(Plan(), _puts(f"pending/{Name('t0', 0, 'j')}", HalfWritten("job"))),
    ),
    "stop now": Transition(
        by_code.stop_now, _works(Plan(stops_now=True, leaves=True), waiting_job)
    ),
    "ask for a cancel": Transition(by_code.ask_for_cancel, _ask),
    "cancel a running job": Transition(
        by_code.cancelled_run, _works(Plan(listens=True), _with_request)
    ),
    "cancel a waiting job": Transition(
        by_code.cancel("pending"),
        _routine(
            people.cancel_waiting,
            "M",
            f"pending/{Name('t0', 1, 'j')}",
            put=lambda state: waiting_job(state, attempt=1),
        ),
    ),
    "cancel a failed job": Transition(
        by_code.cancel("failed"),
        _routine(
            people.cancel_waiting,
            "M",
            f"failed/{Name('t0', 1, 'j')}",
            put=lambda state: waiting_job(state, attempt=1, where="failed"),
        ),
    ),
    "cancel a half-written file": Transition(
        by_code.cancel("pending", "{"),
        _routine(
            people.cancel_waiting,
            "M",
            f"pending/{Name('t0', 1, 'j')}",
            put=_puts(f"pending/{Name('t0', 1, 'j')}", HalfWritten("job")),
        ),
    ),
    "retry from dead": Transition(
        by_code.retry("dead", 2),
        _routine(
            people.retry,
            "M",
            "dead",
            put=lambda state: waiting_job(state, attempt=2, where="dead"),
        ),
    ),
    "retry from failed": Transition(
        by_code.retry("failed", 1),
        _routine(
            people.retry,
            "M",
            "failed",
            put=lambda state: waiting_job(state, attempt=1, where="failed"),
        ),
    ),
    "recover a lost run": Transition(by_code.recover(), _works(LOOKS, _orphan())),
    "recover a run without attempts left": Transition(
        lambda stage: (stage.spool.write_config(b'{"max_retries": 0}'), by_code.recover()(stage)),
        _works(LOOKS, _orphan(), max_attempts=1),
    ),
    "recover a recorded outcome": Transition(
        by_code.recover(recorded=True), _works(LOOKS, _orphan(content=RECORDED))
    ),
    "recover a run to be cancelled": Transition(
        by_code.recover(asked=True), _works(LOOKS, _orphan(asked=True))
    ),
    "recover a takeover that was to be cancelled": Transition(
        by_code.recover(slot="cancelabc"), _works(LOOKS, _orphan(slot="cancel"))
    ),
    "recover a claim that changes a job": Transition(
        by_code.recover(slot="change"), _works(LOOKS, _orphan(slot="change"))
    ),
    "recover a half-written file": Transition(
        by_code.recover(content=b"{"), _works(LOOKS, _orphan(content=HalfWritten("job")))
    ),
    "recover where the lock is gone": Transition(
        by_code.recover(left=("slot",)), _works(LOOKS, _orphan(left=("slot",)))
    ),
    "recover where the directory is gone": Transition(
        by_code.recover(left=()), _works(LOOKS, _orphan(left=()))
    ),
    "recover a claim of one's own that is not known": Transition(
        by_code.recover_own, _works(LOOKS, _own_claim)
    ),
    "put back what was put into processing": Transition(
        by_code.put_back, _works(LOOKS, lambda state: waiting_job(state, where="processing"))
    ),
    "purge": Transition(by_code.purge, _purge),
    "start": Transition(by_code.start, _routine(worker.start, "M")),
    "sweep": Transition(by_code.sweep, _routine(recovery.sweep, "M", put=_dead_directory)),
    "leave": Transition(by_code.leave, _works(Plan(claims=False, leaves=True))),
}
#: In which the actor comes to be only then: it has neither directory nor lock before.
WITHOUT_WORKER = (
    "start",
    "ask for a cancel",
    "cancel a waiting job",
    "cancel a failed job",
    "cancel a half-written file",
)

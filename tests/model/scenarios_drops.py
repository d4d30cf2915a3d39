"""Scenarios of how jobs come in: drops and their adoption, enqueue, ids that are given."""

from . import adoption, people
from .explore import Problem
from .invariants import ids_are_unique, in_one_place, never_two_runs, success_is_real
from .machine import State
from .names import Job, Rubbish
from .registry import large_scenario, scenario
from .rules import Rules
from .run import Command
from .worker import Plan
from .world import problem, ready_worker, waiting_job

FAILS = Command(result="fail")


@scenario
def one_drop_two_adopters(rules: Rules) -> Problem:
    """Two workers that adopt the same drop, with kills, make one job of it."""

    def build(state: State) -> None:
        state.files["pending/drop"] = Job("job")
        state.launch("A", adoption.adopt_all, "A", rules)
        state.launch("B", adoption.adopt_all, "B", rules)
        ready_worker(state, "D", rules, Plan())

    return problem(build, rules, "ABD", 2)


@scenario
def two_drops_one_id(rules: Rules) -> Problem:
    """Of two drops with the same explicit id one is adopted and the other goes to dead/."""

    def build(state: State) -> None:
        state.files["pending/drop1"] = Job("job1", explicit_id="j")
        state.files["pending/drop2"] = Job("job2", explicit_id="j")
        state.launch("A", adoption.adopt_these, "A", ("drop1", "drop2"), rules)
        state.launch("B", adoption.adopt_these, "B", ("drop2", "drop1"), rules)

    always = (in_one_place("job1", "job2"), ids_are_unique)
    return problem(build, rules, "AB", 1, always=always, at_end=(), settles=False)


@scenario
def drop_of_an_id_that_moves(rules: Rules) -> Problem:
    """An explicit id is seen as taken while the job that has it is on the move."""

    def build(state: State) -> None:
        waiting_job(state)
        state.files["pending/drop"] = Job("job2", explicit_id="j")
        state.launch("A", adoption.adopt_all, "A", rules)
        ready_worker(state, "B", rules, Plan(rounds=2, command=FAILS))

    always = (in_one_place("job", "job2"), never_two_runs, success_is_real, ids_are_unique)
    return problem(build, rules, always=always, at_end=(), settles=False)


@large_scenario
def drop_of_an_id_among_two_workers(rules: Rules) -> Problem:
    """As `drop_of_an_id_that_moves`, with two workers that move the job."""

    def build(state: State) -> None:
        waiting_job(state)
        state.files["pending/drop"] = Job("job2", explicit_id="j")
        state.launch("A", adoption.adopt_all, "A", rules)
        ready_worker(state, "B", rules, Plan(rounds=2, command=FAILS))
        ready_worker(state, "D", rules, Plan(command=FAILS))

    always = (in_one_place("job", "job2"), never_two_runs, success_is_real, ids_are_unique)
    return problem(build, rules, always=always, at_end=(), settles=False)


@scenario
def same_name_dropped_twice(rules: Rules) -> Problem:
    """Of two drops of one name, one after the other, two jobs are made that can be told apart."""

    def build(state: State) -> None:
        state.files["pending/drop"] = Job("job1")
        state.launch("P", people.drop_anew, "pending/drop", Job("job2"))
        ready_worker(state, "A", rules, Plan(rounds=2, adopts=True))
        ready_worker(state, "B", rules, Plan(adopts=True))

    return problem(build, rules, always=(ids_are_unique, never_two_runs), at_end=())


@scenario
def enqueued_beside_a_drop_of_one_id(rules: Rules) -> Problem:
    """Of a drop and an enqueue that give one id, one becomes a job, wherever they are killed."""

    def build(state: State) -> None:
        state.files["pending/drop"] = Job("job1", explicit_id="j")
        state.launch("A", adoption.adopt_all, "A", rules)
        state.launch("E", people.enqueue, "E", Job("job2", explicit_id="j"), rules)
        state.launch("F", people.enqueue, "F", Job("job3", explicit_id="j"), rules)

    always = (in_one_place("job1"), ids_are_unique)
    return problem(build, rules, "AEF", 1, always=always, at_end=(), settles=False)


@scenario
def what_is_no_job_beside_a_drop(rules: Rules) -> Problem:
    """What is no job goes to dead/ once, and holds up no drop beside it."""

    def build(state: State) -> None:
        state.files["pending/bad"] = Rubbish("bad")
        state.files["pending/drop"] = Job("job")
        state.launch("A", adoption.adopt_all, "A", rules)
        state.launch("B", adoption.adopt_all, "B", rules)
        ready_worker(state, "D", rules, Plan())

    def is_buried(state: State) -> str:
        return "" if "dead/bad" in state.files else "E7: what is no job is not in dead/"

    always = (in_one_place("job", "bad"), never_two_runs, success_is_real)
    return problem(build, rules, "A", 1, always=always, at_end=(is_buried,))

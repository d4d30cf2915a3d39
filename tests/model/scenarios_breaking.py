"""What the format forbids, and the limits that it admits: in each the model must find a fault.

They show that the model can see, and they are the reason why the rule is there.
"""

from . import adoption, people
from .explore import Problem
from .invariants import ids_are_unique, in_one_place, never_two_runs
from .machine import State
from .names import Job
from .registry import breaking_scenario
from .routine import Routine
from .rules import Rules
from .run import Command
from .worker import Plan
from .world import problem, ready_worker, waiting_job


def _beside_a_worker(rules: Rules, what: Routine, *args: object) -> Problem:
    def build(state: State) -> None:
        waiting_job(state)
        ready_worker(state, "A", rules, Plan())
        state.launch("U", what, *args)
        state.launch("M", people.move_by_hand, "dead", "pending")

    always = (in_one_place("job"), never_two_runs)
    return problem(build, rules, always=always, at_end=(), settles=False)


@breaking_scenario
def edited_where_it_waits(rules: Rules) -> Problem:
    """Who edits a file in pending/ brings a job back that has just been claimed."""
    return _beside_a_worker(rules, people.edit_in_place, "pending")


@breaking_scenario
def cancelled_where_it_waits(rules: Rules) -> Problem:
    """Who records over a waiting job brings it back after it has been claimed."""
    return _beside_a_worker(rules, people.cancel_by_record, "U", "pending/t0.a0.j")


@breaking_scenario
def cancelled_by_moving_first(rules: Rules) -> Problem:
    """Who records over a job in dead/ brings it back after it has been retried."""
    return _beside_a_worker(rules, people.cancel_by_move, "U", "pending/t0.a0.j")


@breaking_scenario
def taken_out_of_processing(rules: Rules) -> Problem:
    """Who takes a claimed job away by hand doubles it, for its worker records over its name."""
    return _beside_a_worker(rules, people.move_by_hand, "processing", "dead")


@breaking_scenario
def daemon_left_by_a_failed_run(rules: Rules) -> Problem:
    """LIMIT: what a failed run left behind lives on beside the retry."""

    def build(state: State) -> None:
        waiting_job(state)
        left = Command(result="fail", helper=True)
        ready_worker(state, "A", rules, Plan(rounds=2, command=left))

    return problem(build, rules, settles=False)


@breaking_scenario
def id_missed_by_every_look(rules: Rules) -> Problem:
    """LIMIT: a job that goes once around per look is missed, and its id is given again."""
    rules = rules.but(max_attempts=4)

    def build(state: State) -> None:
        waiting_job(state)
        state.files["pending/drop"] = Job("job2", explicit_id="j")
        state.launch("A", adoption.adopt_all, "A", rules)
        plan = Plan(rounds=rules.looks_for_id + 1, recovers=False, command=Command("fail"))
        ready_worker(state, "B", rules, plan)

    return problem(build, rules, always=(ids_are_unique,), at_end=(), settles=False)

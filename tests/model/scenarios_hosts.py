"""Scenarios of workers on several hosts that share the spool: A's host, and B's or D's."""

from . import hosts, people
from .explore import Problem
from .invariants import history_is_whole, in_one_place, nothing_is_stuck
from .machine import State
from .registry import breaking_scenario, large_scenario, scenario
from .rules import Rules
from .worker import Plan
from .world import ALWAYS, problem, ready_worker, waiting_job

ELSEWHERE = Plan(foreign=True, rounds=2)
ENDS = (nothing_is_stuck, history_is_whole)


@scenario
def locks_lost_elsewhere(rules: Rules) -> Problem:
    """A worker that has lost its locks, and beats, is not taken for dead by another host."""

    def build(state: State) -> None:
        waiting_job(state)
        ready_worker(state, "A", rules, Plan(shared=True))
        ready_worker(state, "B", rules, ELSEWHERE)
        state.launch("R", people.lose_locks, "A")

    return problem(build, rules, at_end=ENDS)


@scenario
def host_cut_off(rules: Rules) -> Problem:
    """A host cut off beyond its lease, which comes back at any moment, doubles and loses no job."""

    def build(state: State) -> None:
        waiting_job(state)
        ready_worker(state, "A", rules, Plan(shared=True))
        ready_worker(state, "B", rules, ELSEWHERE)
        state.launch("N", hosts.partition, "A")
        state.launch("H", hosts.watch_over, "A")

    return problem(build, rules, at_end=ENDS)


@scenario
def host_cut_off_at_its_claim(rules: Rules) -> Problem:
    """The same, of a worker that goes on claiming when its host is back."""

    def build(state: State) -> None:
        waiting_job(state)
        ready_worker(state, "A", rules, Plan(shared=True, rounds=2, recovers=False))
        ready_worker(state, "B", rules, Plan(foreign=True))
        state.launch("N", hosts.partition, "A")
        state.launch("H", hosts.watch_over, "A")

    return problem(build, rules, at_end=ENDS)


@scenario
def host_back_beside_two_recoverers(rules: Rules) -> Problem:
    """Two recoverers, one of which dies anywhere, between the removal and the takeover too."""

    def build(state: State) -> None:
        waiting_job(state)
        ready_worker(state, "A", rules, Plan(shared=True, recovers=False))
        ready_worker(state, "B", rules, Plan(foreign=True, claims=False))
        ready_worker(state, "D", rules, Plan(foreign=True, claims=False))
        state.launch("N", hosts.partition, "A")
        state.launch("H", hosts.watch_over, "A")

    return problem(build, rules, "B", 1, at_end=ENDS)


@large_scenario
def host_back_beside_recoverers_that_go_on(rules: Rules) -> Problem:
    """As `host_back_beside_two_recoverers`, with all of them claiming and recovering."""

    def build(state: State) -> None:
        waiting_job(state)
        ready_worker(state, "A", rules, Plan(shared=True))
        ready_worker(state, "B", rules, Plan(foreign=True))
        ready_worker(state, "D", rules, Plan(foreign=True, claims=False))
        state.launch("N", hosts.partition, "A")
        state.launch("H", hosts.watch_over, "A")

    return problem(build, rules, "B", 1, at_end=ENDS)


@scenario
def directory_removed_elsewhere(rules: Rules) -> Problem:
    """Another host takes nothing over from a removed directory until its worker has ended."""

    def build(state: State) -> None:
        waiting_job(state)
        ready_worker(state, "A", rules, Plan(shared=True))
        ready_worker(state, "B", rules, ELSEWHERE)
        state.launch("R", people.remove_worker, "A")
        state.launch("H", hosts.watch_over, "A")

    return problem(build, rules, at_end=ENDS)


@scenario
def host_dies(rules: Rules) -> Problem:
    """A worker killed anywhere is recovered from another host, once its command has ended."""

    def build(state: State) -> None:
        waiting_job(state)
        ready_worker(state, "A", rules, Plan(shared=True))
        ready_worker(state, "B", rules, ELSEWHERE)
        state.launch("N", hosts.die_out, "A")

    return problem(build, rules, "A", 1, at_end=ENDS)


@breaking_scenario
def killed_worker_of_a_host_cut_off(rules: Rules) -> Problem:
    """A worker is killed, its command lives on, and its host is cut off: nobody ends it."""

    def build(state: State) -> None:
        waiting_job(state)
        ready_worker(state, "A", rules, Plan(shared=True))
        ready_worker(state, "B", rules, ELSEWHERE)
        state.launch("N", hosts.cut_off_when_dead, "A")

    return problem(build, rules, "A", 1, always=(in_one_place("job"), *ALWAYS[1:]), at_end=())

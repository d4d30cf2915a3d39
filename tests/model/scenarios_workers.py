"""Scenarios of workers among themselves: claim, run, finish, die, recover, sweep."""

from . import people, recovery
from .explore import Problem
from .invariants import history_is_whole, in_one_place, nothing_is_stuck
from .machine import State
from .names import REQUEST, Entry, Job, Name
from .registry import Scenario, large_scenario, scenario
from .rules import Rules
from .run import Command
from .worker import Plan
from .world import ALWAYS, dead_claim, problem, ready_worker, waiting_job

FAILS = Command(result="fail")


@scenario
def two_workers_two_kills(rules: Rules) -> Problem:
    """Two workers and two kills never run a job twice at once, nor lose it."""

    def build(state: State) -> None:
        waiting_job(state)
        ready_worker(state, "A", rules, Plan())
        ready_worker(state, "B", rules, Plan(rounds=2))

    return problem(build, rules, "AB", 2)


@scenario
def two_recoverers(rules: Rules) -> Problem:
    """A worker dies with a running command; two others recover it at once, harmlessly."""

    def build(state: State) -> None:
        waiting_job(state)
        for name in "ABD":
            ready_worker(state, name, rules, Plan())

    return problem(build, rules, "A", 1)


def _leftover(command: Command) -> Scenario:
    def make(rules: Rules) -> Problem:
        def build(state: State) -> None:
            waiting_job(state)
            ready_worker(state, "A", rules, Plan(command=command))
            ready_worker(state, "B", rules, Plan(rounds=2, sweeps=True))

        return problem(build, rules, "AB", 2)

    return make


@scenario
def command_sheds_descriptors(rules: Rules) -> Problem:
    """A run that closes its descriptors is found by its cookie and ended before the next."""
    return _leftover(Command(sheds_descriptors=True))(rules)


@scenario
def command_sheds_cookie(rules: Rules) -> Problem:
    """A run that clears its environment is found by its slot's lock and ended before the next."""
    return _leftover(Command(sheds_cookie=True))(rules)


@scenario
def command_leaves_helper(rules: Rules) -> Problem:
    """A part of a run that made its own session is ended before the job runs again."""

    def build(state: State) -> None:
        waiting_job(state)
        ready_worker(state, "A", rules, Plan(command=Command(helper=True)))
        ready_worker(state, "B", rules, Plan(rounds=2))

    return problem(build, rules, "AB", 2)


@scenario
def start_beside_sweep(rules: Rules) -> Problem:
    """A worker that starts is never swept away by one that recovers and sweeps."""

    def build(state: State) -> None:
        waiting_job(state)
        ready_worker(state, "A", rules, Plan(starts=True))
        ready_worker(state, "B", rules, Plan(rounds=2, sweeps=True))

    return problem(build, rules)


@scenario
def everyone_starts_and_sweeps(rules: Rules) -> Problem:
    """Starting, sweeping, failing, retrying: with two kills anywhere no job is lost."""

    def build(state: State) -> None:
        waiting_job(state)
        ready_worker(state, "A", rules, Plan(sweeps=True, command=FAILS))
        ready_worker(state, "D", rules, Plan(starts=True, sweeps=True, command=FAILS))

    return problem(build, rules, "AD", 2)


@scenario
def requeued_by_hand(rules: Rules) -> Problem:
    """A job put back as a0 is not taken for finished because an old run had the same attempt."""

    def build(state: State) -> None:
        state.files[f"pending/{Name('t0', 0, 'j')}"] = Job("job", (Entry(1, "past1", "fail"),))
        ready_worker(state, "A", rules, Plan())
        ready_worker(state, "B", rules, Plan(rounds=2))

    ends = (nothing_is_stuck, history_is_whole)
    return problem(build, rules, "A", 1, at_end=ends)


@scenario
def sweep_beside_recovery(rules: Rules) -> Problem:
    """A dead worker's directory is swept beside its recovery, with a listing that misses files."""

    def build(state: State) -> None:
        dead_claim(state, Job("job"))
        ready_worker(state, "B", rules, Plan())
        ready_worker(state, "D", rules, Plan(rounds=2, sweeps=True, slow_listing=True))

    ends = (nothing_is_stuck,)
    return problem(build, rules, "BD", 1, at_end=ends)


@scenario
def tmp_is_swept(rules: Rules) -> Problem:
    """Sweeping tmp/ (a clock jumped) loses no outcome."""

    def build(state: State) -> None:
        waiting_job(state)
        ready_worker(state, "A", rules, Plan(stays=True))
        state.launch("T", people.remove_by_hand, "tmp")

    return problem(build, rules)


@scenario
def failing_job(rules: Rules) -> Problem:
    """A failing job is retried by any worker until its budget is used, through a kill."""

    def build(state: State) -> None:
        waiting_job(state)
        ready_worker(state, "A", rules, Plan(rounds=2, command=FAILS))
        ready_worker(state, "B", rules, Plan(command=FAILS))

    return problem(build, rules, "AB", 1)


@scenario
def worker_directory_removed(rules: Rules) -> Problem:
    """A living worker whose directory is removed by hand loses its claims and never doubles."""

    def build(state: State) -> None:
        waiting_job(state)
        ready_worker(state, "A", rules, Plan())
        ready_worker(state, "B", rules, Plan())
        state.launch("R", people.remove_worker, "A")

    always = ALWAYS[:1] + ALWAYS[2:]  # A's own command may live on until A notices
    return problem(build, rules, always=always, at_end=(nothing_is_stuck,))


@scenario
def edited_by_the_book(rules: Rules) -> Problem:
    """A job moved to dead/, edited there and moved back is never doubled."""

    def build(state: State) -> None:
        waiting_job(state)
        ready_worker(state, "A", rules, Plan())
        state.launch("U", people.edit_by_the_book)

    return problem(build, rules, "AU", 1)


@scenario
def two_jobs_finished_beside(rules: Rules) -> Problem:
    """A worker that dies with several unfinished claims loses and doubles none of them."""

    def build(state: State) -> None:
        waiting_job(state)
        waiting_job(state, job_id="k")
        ready_worker(state, "A", rules, Plan(finishes_beside=True))
        ready_worker(state, "B", rules, Plan(claims=False))

    always = (in_one_place("job", "k"),) + ALWAYS[1:]
    return problem(build, rules, "A", 1, always=always)


@scenario
def claim_whose_reply_is_lost(rules: Rules) -> Problem:
    """A claim that its worker did not hear of is recovered by it, though it lives on."""

    def build(state: State) -> None:
        waiting_job(state)
        ready_worker(state, "A", rules, Plan(rounds=3, loses_reply=True, stays=True))
        ready_worker(state, "B", rules, Plan())

    return problem(build, rules, "B", 1)


@scenario
def worker_leaves(rules: Rules) -> Problem:
    """A worker that leaves beside a sweep and a request to it strands no job."""

    def build(state: State) -> None:
        waiting_job(state)
        ready_worker(state, "A", rules, Plan(leaves=True))
        ready_worker(state, "B", rules, Plan(sweeps=True))
        state.launch("U", people.cancel_running, "U", "j")

    return problem(build, rules, "A", 1)


@scenario
def sweeps_at_any_moment(rules: Rules) -> Problem:
    """Two jobs of a dead worker, one to be cancelled: three sweeps at any moments harm neither."""

    def build(state: State) -> None:
        dead_claim(state, Job("job"))
        dead_claim(state, Job("k"), slot="1", job_id="k")
        state.files["workers/A/cancel.k"] = REQUEST
        ready_worker(state, "B", rules, Plan(claims=False))
        state.launch("S", recovery.sweep_often, "S", rules, 3)

    def is_cancelled(state: State) -> str:
        in_dead = [job for path, job in state.places(("dead",)) if job.key == "k"]
        return "" if in_dead else "E4: k was to be cancelled"

    always = (in_one_place("job", "k"),) + ALWAYS[1:]
    ends = (nothing_is_stuck, history_is_whole, is_cancelled)
    return problem(build, rules, "B", 1, always=always, at_end=ends)


@scenario
def two_jobs_cancelled_and_stopped(rules: Rules) -> Problem:
    """Of two jobs one is cancelled while its worker is told to stop now, with a kill of it."""

    def build(state: State) -> None:
        waiting_job(state)
        waiting_job(state, job_id="k")
        plan = Plan(stops_now=True, listens=True, finishes_beside=True, leaves=True)
        ready_worker(state, "A", rules, plan)
        state.launch("U", people.cancel_running, "U", "j")

    always = (in_one_place("job", "k"),) + ALWAYS[1:]
    return problem(build, rules, "A", 1, always=always)


@large_scenario
def two_jobs_cancelled_stopped_and_swept(rules: Rules) -> Problem:
    """As `two_jobs_cancelled_and_stopped`, with a sweep at any moment."""

    def build(state: State) -> None:
        waiting_job(state)
        waiting_job(state, job_id="k")
        plan = Plan(stops_now=True, listens=True, finishes_beside=True, leaves=True)
        ready_worker(state, "A", rules, plan)
        state.launch("U", people.cancel_running, "U", "j")
        state.launch("S", recovery.sweep_often, "S", rules, 1)

    always = (in_one_place("job", "k"),) + ALWAYS[1:]
    return problem(build, rules, "A", 1, always=always)


@large_scenario
def sweeps_beside_two_runs(rules: Rules) -> Problem:
    """A worker runs two jobs and dies, one recovers, and two sweeps come at any moments."""

    def build(state: State) -> None:
        waiting_job(state)
        waiting_job(state, job_id="k")
        ready_worker(state, "A", rules, Plan(finishes_beside=True, recovers=False))
        ready_worker(state, "B", rules, Plan(claims=False))
        state.launch("S", recovery.sweep_often, "S", rules, 2)

    always = (in_one_place("job", "k"),) + ALWAYS[1:]
    return problem(build, rules, "A", 1, always=always)


@large_scenario
def two_jobs_two_workers(rules: Rules) -> Problem:
    """Two jobs, two workers with several slots, a kill of either: none is lost or doubled."""

    def build(state: State) -> None:
        waiting_job(state)
        waiting_job(state, job_id="k")
        ready_worker(state, "A", rules, Plan(finishes_beside=True))
        ready_worker(state, "B", rules, Plan(finishes_beside=True))

    always = (in_one_place("job", "k"),) + ALWAYS[1:]
    return problem(build, rules, "AB", 1, always=always)


@scenario
def outcome_recorded_and_daemon_left(rules: Rules) -> Problem:
    """With orphans: wait, a daemon that a finished run left does not hold up the move."""

    def build(state: State) -> None:
        waiting_job(state)
        ready_worker(state, "A", rules, Plan(command=Command(helper=True)))
        ready_worker(state, "B", rules, Plan())

    def no_recorded_claim(state: State) -> str:
        for path, job in state.places(("processing",)):
            if job.history:
                return f"E1: {path} is stuck with its outcome recorded"
        return ""

    return problem(build, rules.but(orphans="wait"), "A", 1, at_end=(no_recorded_claim,))


@large_scenario
def two_failing_jobs_two_kills(rules: Rules) -> Problem:
    """Two failing jobs, a worker with several slots and one that recovers, two kills."""

    def build(state: State) -> None:
        waiting_job(state)
        waiting_job(state, job_id="k")
        ready_worker(state, "A", rules, Plan(finishes_beside=True, command=FAILS))
        ready_worker(state, "B", rules, Plan(finishes_beside=True, sweeps=True, command=FAILS))

    always = (in_one_place("job", "k"),) + ALWAYS[1:]
    return problem(build, rules, "AB", 2, always=always)


@large_scenario
def three_workers_start_sweep_die(rules: Rules) -> Problem:
    """Three workers that start, recover and sweep, with two kills: all that must hold holds."""

    def build(state: State) -> None:
        waiting_job(state)
        ready_worker(state, "A", rules, Plan(starts=True, sweeps=True))
        ready_worker(state, "B", rules, Plan(sweeps=True))
        ready_worker(state, "D", rules, Plan())

    return problem(build, rules, "AB", 2)


@large_scenario
def three_workers_fail_and_sweep(rules: Rules) -> Problem:
    """A failing job among three workers, two of which sweep, with a kill of any."""

    def build(state: State) -> None:
        waiting_job(state)
        ready_worker(state, "A", rules, Plan(command=FAILS))
        ready_worker(state, "B", rules, Plan(sweeps=True, command=FAILS))
        ready_worker(state, "D", rules, Plan(sweeps=True, command=FAILS))

    return problem(build, rules, "ABD", 1)

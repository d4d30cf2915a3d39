"""Scenarios of workers and people: cancel, stop, retry, files put there by hand, adoption."""

from . import people
from .explore import Problem
from .invariants import (
    cancel_is_honoured,
    history_is_whole,
    in_one_place_at_most,
    never_early,
    nothing_is_stuck,
)
from .machine import State
from .names import TOMORROW, HalfWritten, Job, Name
from .registry import Scenario, large_scenario, scenario
from .rules import Rules
from .run import Command
from .worker import Plan
from .world import ALWAYS, dead_claim, problem, ready_worker, waiting_job

FAILS = Command(result="fail")

# ---- cancel


@scenario
def cancel_of_waiting_job(rules: Rules) -> Problem:
    """Cancelling a waiting job beside a worker and a hand mv, with a kill, keeps one job."""

    def build(state: State) -> None:
        path = waiting_job(state, attempt=1)
        ready_worker(state, "A", rules, Plan())
        state.launch("U", people.cancel_waiting, "U", path, rules)
        state.launch("M", people.move_by_hand, "dead", "pending")

    return problem(build, rules, "AU", 1, at_end=(nothing_is_stuck, history_is_whole))


@scenario
def cancel_of_job_for_tomorrow(rules: Rules) -> Problem:
    """A job for tomorrow whose cancel is killed on the way is never run today."""

    def build(state: State) -> None:
        path = waiting_job(state, time=TOMORROW)
        ready_worker(state, "B", rules, Plan())
        state.launch("U", people.cancel_waiting, "U", path, rules)

    always = ALWAYS + (never_early,)
    return problem(build, rules, "UB", 2, always=always, at_end=(nothing_is_stuck,))


@scenario
def cancel_of_running_job(rules: Rules) -> Problem:
    """A cancel that looks again ends in dead/ or completed/, wherever a worker is killed."""

    def build(state: State) -> None:
        waiting_job(state)
        ready_worker(state, "A", rules, Plan(listens=True))
        ready_worker(state, "B", rules, Plan(sweeps=True))
        state.launch("U", people.cancel, "U", "j", rules)

    return problem(build, rules, "A", 1)


@scenario
def cancel_request_outlives_everyone(rules: Rules) -> Problem:
    """A cancel request made to a dead worker is honoured though two recoverers die on the way."""

    def build(state: State) -> None:
        dead_claim(state, Job("job"))
        state.files["workers/A/cancel.j"] = "request"
        ready_worker(state, "B", rules, Plan(sweeps=True))
        ready_worker(state, "D", rules, Plan(sweeps=True))

    always = ALWAYS
    ends = (nothing_is_stuck, cancel_is_honoured, _no_run)
    return problem(build, rules, "BD", 2, always=always, at_end=ends)


def _no_run(state: State) -> str:
    return f"E5: {sorted(state.started)} ran after the cancel" if state.started else ""


@scenario
def cancelled_job_is_retried(rules: Rules) -> Problem:
    """A job cancelled and then retried from dead/ is not cancelled again by the old request."""

    def build(state: State) -> None:
        waiting_job(state)
        ready_worker(state, "A", rules, Plan(rounds=2, listens=True, finishes_beside=True))
        state.launch("U", people.cancel_running, "U", "j")
        state.launch("R", people.retry, "R", "dead", rules)

    def once(state: State) -> str:
        for path, job in state.places(("pending", "processing", "failed", "dead", "completed")):
            if sum(e.outcome == "cancelled" for e in job.history) > 1:
                return f"E6: {path} was cancelled twice on one request"
        return ""

    return problem(build, rules, "A", 1, always=ALWAYS + (once,), at_end=(nothing_is_stuck,))


@scenario
def command_line_whose_directory_is_removed(rules: Rules) -> Problem:
    """A command line that changes a waiting job, its directory removed meanwhile, doubles none."""

    def build(state: State) -> None:
        path = waiting_job(state)
        ready_worker(state, "B", rules, Plan())
        state.launch("U", people.cancel_waiting, "U", path, rules)
        state.launch("R", people.remove_worker, "U")

    return problem(build, rules, "B", 1, at_end=(nothing_is_stuck,))


# ---- stop


@scenario
def stop_now(rules: Rules) -> Problem:
    """A run ended by stop --now gives its attempt and its time back, wherever it is killed."""

    def build(state: State) -> None:
        waiting_job(state, attempt=1)
        ready_worker(state, "A", rules, Plan(stops_now=True, command=Command(helper=True)))
        ready_worker(state, "B", rules, Plan(rounds=2))

    return problem(build, rules, "AB", 2)


@scenario
def stop_now_beside_cancel(rules: Rules) -> Problem:
    """A run that is to be cancelled and stopped at once ends as one of the two, whole."""

    def build(state: State) -> None:
        waiting_job(state)
        ready_worker(state, "A", rules, Plan(stops_now=True, listens=True))
        ready_worker(state, "B", rules, Plan(listens=True, sweeps=True))
        state.launch("U", people.cancel, "U", "j", rules)

    return problem(build, rules, "A", 1)


@scenario
def stop_now_twice(rules: Rules) -> Problem:
    """A job interrupted twice at the same attempt is still told apart by the claim's time."""

    def build(state: State) -> None:
        waiting_job(state)
        ready_worker(state, "A", rules, Plan(stops_now=True))
        ready_worker(state, "B", rules, Plan(stops_now=True, rounds=2))

    return problem(build, rules, "AB", 2)


@large_scenario
def stop_now_twice_beside_a_third(rules: Rules) -> Problem:
    """As `stop_now_twice`, with a third worker that runs the job to its end."""

    def build(state: State) -> None:
        waiting_job(state)
        ready_worker(state, "A", rules, Plan(stops_now=True))
        ready_worker(state, "B", rules, Plan(stops_now=True))
        ready_worker(state, "D", rules, Plan())

    return problem(build, rules, "AB", 1)


# ---- files that are not ready, and files put there by hand


def _half_written(claimer: str) -> Scenario:
    def make(rules: Rules) -> Problem:
        half, whole = HalfWritten("job"), Job("job")

        def build(state: State) -> None:
            path = f"pending/{Name('t0', 0, 'j')}"
            state.files[path] = half
            state.launch("P", people.producer, half, whole)
            if claimer == "worker":
                ready_worker(state, "A", rules, Plan())
            else:
                state.launch("U", people.cancel_waiting, "U", path, rules)
            ready_worker(state, "B", rules, Plan())

        return problem(build, rules, "AUB", 2)

    return make


@scenario
def half_written_file_is_claimed(rules: Rules) -> Problem:
    """A claimed file that does not parse yet goes back as it was, with kills anywhere."""
    return _half_written("worker")(rules)


@scenario
def half_written_file_and_removed_directory(rules: Rules) -> Problem:
    """A half-written file whose claimer loses its directory is not doubled by going back."""
    half, whole = HalfWritten("job"), Job("job")

    def build(state: State) -> None:
        state.files[f"pending/{Name('t0', 0, 'j')}"] = half
        state.launch("P", people.producer, half, whole)
        ready_worker(state, "A", rules, Plan())
        ready_worker(state, "B", rules, Plan(claims=False))
        state.launch("R", people.remove_worker, "A")

    always = ALWAYS[:1] + ALWAYS[2:]  # A's own command may live on until A notices
    return problem(build, rules, always=always, at_end=(nothing_is_stuck,))


@scenario
def half_written_file_is_cancelled(rules: Rules) -> Problem:
    """A half-written file claimed by a cancel goes back with the attempts that it had."""
    return _half_written("cancel")(rules)


@scenario
def put_into_processing_by_hand(rules: Rules) -> Problem:
    """A file put into processing/ by hand goes back to pending/, whoever sees it first."""

    def build(state: State) -> None:
        waiting_job(state)
        ready_worker(state, "A", rules, Plan())
        ready_worker(state, "B", rules, Plan())
        state.launch("M", people.move_by_hand, "pending", "processing")

    return problem(build, rules, "AB", 1)


@scenario
def dead_job_is_retried(rules: Rules) -> Problem:
    """A retry from dead/ beside a hand mv, a purge and a worker keeps one job or none."""

    def build(state: State) -> None:
        waiting_job(state, attempt=2, where="dead")
        ready_worker(state, "A", rules, Plan())
        state.launch("R", people.retry, "R", "dead", rules)
        state.launch("M", people.move_by_hand, "dead", "pending")
        state.launch("P", people.remove_by_hand, "dead")

    always = (in_one_place_at_most,) + ALWAYS[1:]
    return problem(build, rules, "AR", 1, always=always, at_end=(nothing_is_stuck,))


@scenario
def failed_job_is_retried_early(rules: Rules) -> Problem:
    """A retry of a failed job beside its promotion by two workers keeps one job."""

    def build(state: State) -> None:
        waiting_job(state, attempt=1, where="failed")
        ready_worker(state, "A", rules, Plan())
        ready_worker(state, "B", rules, Plan())
        state.launch("R", people.retry, "R", "failed", rules)

    return problem(build, rules, "ARB", 1)


@large_scenario
def cancel_among_kills_of_both(rules: Rules) -> Problem:
    """As `cancel_of_running_job`, with kills of either worker."""

    def build(state: State) -> None:
        waiting_job(state)
        ready_worker(state, "A", rules, Plan(listens=True, finishes_beside=True))
        ready_worker(state, "B", rules, Plan(listens=True, sweeps=True))
        state.launch("U", people.cancel, "U", "j", rules)

    return problem(build, rules, "AB", 1)


@large_scenario
def everything_at_once(rules: Rules) -> Problem:
    """A failing job that is stopped, cancelled and retried by hand, with two kills of workers."""

    def build(state: State) -> None:
        waiting_job(state)
        ready_worker(state, "A", rules, Plan(stops_now=True, listens=True, command=FAILS))
        ready_worker(state, "B", rules, Plan(listens=True, sweeps=True, command=FAILS))
        state.launch("U", people.cancel, "U", "j", rules)
        state.launch("R", people.retry, "R", "dead", rules)

    return problem(build, rules, "AB", 2, at_end=(nothing_is_stuck, history_is_whole))


@large_scenario
def half_written_file_beside_everyone(rules: Rules) -> Problem:
    """A half-written file that two workers and a cancel claim, with two kills of any."""
    half, whole = HalfWritten("job"), Job("job")

    def build(state: State) -> None:
        path = f"pending/{Name('t0', 0, 'j')}"
        state.files[path] = half
        state.launch("P", people.producer, half, whole)
        state.launch("U", people.cancel_waiting, "U", path, rules)
        ready_worker(state, "A", rules, Plan())
        ready_worker(state, "B", rules, Plan(sweeps=True))

    return problem(build, rules, "AUB", 2)


@large_scenario
def cancel_with_two_kills(rules: Rules) -> Problem:
    """A cancel that looks again, beside two workers and two kills."""

    def build(state: State) -> None:
        waiting_job(state)
        ready_worker(state, "A", rules, Plan(listens=True, command=FAILS))
        ready_worker(state, "B", rules, Plan(listens=True, sweeps=True, command=FAILS))
        state.launch("U", people.cancel, "U", "j", rules)

    return problem(build, rules, "AB", 2)

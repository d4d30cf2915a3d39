"""The protocol holds in every interleaving of every scenario, and its plainer rules do not.

The scenarios' docstrings say what each shows in full; see README.md for how to try a change.
"""

from dataclasses import fields
from pathlib import Path
from typing import Iterator

import pytest

from . import catalog, routine
from .controls import CONTROLS, LIMITS, Control
from .explore import explore
from .rules import PRESENT


@pytest.fixture(autouse=True)
def _forget_processes() -> Iterator[None]:
    """Give the memory of an exploration back."""
    yield
    routine.forget()


def holds(name: str) -> None:
    """Explore a scenario whole under the present rules: nothing may be found."""
    result = explore(catalog.SCENARIOS[name](PRESENT))
    assert not result.violation, str(result)
    assert result.complete
    assert result.ends


def caught(control: Control) -> None:
    """Explore a scenario with a rule taken out: what is wrong then must be found."""
    known = {**catalog.SCENARIOS, **catalog.BREAKING}
    result = explore(known[control.scenario](PRESENT.but(**control.plainer)))
    assert result.violation.startswith(control.finds), str(result)
    assert result.trace


# ---- workers among themselves


def test_two_workers_and_two_kills_never_run_a_job_twice() -> None:
    holds("two_workers_two_kills")


def test_two_recoveries_at_once_are_harmless() -> None:
    holds("two_recoverers")


def test_a_run_that_sheds_its_descriptors_is_ended_before_the_next() -> None:
    holds("command_sheds_descriptors")


def test_a_run_that_sheds_its_cookie_is_ended_before_the_next() -> None:
    holds("command_sheds_cookie")


def test_a_part_of_a_run_with_a_session_of_its_own_is_ended_before_the_next() -> None:
    holds("command_leaves_helper")


def test_a_worker_that_starts_is_never_swept_away() -> None:
    holds("start_beside_sweep")


def test_starting_sweeping_failing_and_dying_twice_lose_no_job() -> None:
    holds("everyone_starts_and_sweeps")


def test_a_requeued_job_is_not_taken_for_finished_by_its_old_attempt() -> None:
    holds("requeued_by_hand")


def test_a_sweep_whose_listing_misses_files_is_harmless() -> None:
    holds("sweep_beside_recovery")


def test_a_swept_tmp_loses_no_outcome() -> None:
    holds("tmp_is_swept")


def test_a_failing_job_uses_its_whole_budget_and_no_more() -> None:
    holds("failing_job")


def test_a_living_worker_whose_directory_is_removed_doubles_no_job() -> None:
    holds("worker_directory_removed")


def test_several_unfinished_claims_of_a_dead_worker_are_each_recovered() -> None:
    holds("two_jobs_finished_beside")


def test_a_daemon_that_is_waited_for_does_not_hold_up_a_recorded_outcome() -> None:
    holds("outcome_recorded_and_daemon_left")


def test_a_claim_whose_reply_was_lost_is_recovered_by_its_own_worker() -> None:
    holds("claim_whose_reply_is_lost")


def test_a_worker_that_leaves_strands_no_job_and_no_request() -> None:
    holds("worker_leaves")


def test_sweeps_at_any_moment_lose_no_job_and_no_request() -> None:
    holds("sweeps_at_any_moment")


def test_of_two_jobs_one_is_cancelled_while_its_worker_stops_now() -> None:
    holds("two_jobs_cancelled_and_stopped")


# ---- workers of several hosts


def test_a_worker_that_lost_its_locks_and_lives_is_left_alone() -> None:
    holds("locks_lost_elsewhere")


def test_a_host_that_is_cut_off_has_ended_its_runs_before_others_start_them() -> None:
    holds("host_cut_off")


def test_a_claim_that_is_made_as_a_host_is_cut_off_is_not_started_late() -> None:
    holds("host_cut_off_at_its_claim")


def test_a_host_that_comes_back_between_two_steps_of_its_recovery_doubles_nothing() -> None:
    holds("host_back_beside_two_recoverers")


def test_a_living_worker_of_another_host_whose_directory_is_removed_ends_first() -> None:
    holds("directory_removed_elsewhere")


def test_a_dead_host_is_recovered_after_its_lease() -> None:
    holds("host_dies")


# ---- workers and people


def test_an_edit_by_the_book_doubles_no_job() -> None:
    holds("edited_by_the_book")


def test_a_cancel_of_a_waiting_job_keeps_one_job() -> None:
    holds("cancel_of_waiting_job")


def test_a_cancel_killed_on_the_way_does_not_make_a_job_due() -> None:
    holds("cancel_of_job_for_tomorrow")


def test_a_cancel_that_looks_again_ends_in_dead_or_completed() -> None:
    holds("cancel_of_running_job")


def test_a_cancel_request_outlives_its_worker_and_two_recoverers() -> None:
    holds("cancel_request_outlives_everyone")


def test_a_retried_job_is_not_cancelled_by_the_old_request() -> None:
    holds("cancelled_job_is_retried")


def test_a_command_line_whose_directory_is_removed_doubles_no_job() -> None:
    holds("command_line_whose_directory_is_removed")


def test_stop_now_gives_attempt_and_time_back_wherever_it_is_killed() -> None:
    holds("stop_now")


def test_stop_now_beside_a_cancel_ends_as_one_of_the_two() -> None:
    holds("stop_now_beside_cancel")


def test_two_interrupted_claims_of_the_same_attempt_are_told_apart() -> None:
    holds("stop_now_twice")


def test_a_half_written_file_goes_back_as_it_was() -> None:
    holds("half_written_file_is_claimed")


def test_a_half_written_file_goes_back_from_a_cancel_with_its_attempts() -> None:
    holds("half_written_file_is_cancelled")


def test_a_half_written_file_of_a_removed_worker_is_not_doubled() -> None:
    holds("half_written_file_and_removed_directory")


def test_a_file_put_into_processing_by_hand_goes_back() -> None:
    holds("put_into_processing_by_hand")


def test_a_retry_from_dead_beside_mv_and_purge_keeps_one_job_or_none() -> None:
    holds("dead_job_is_retried")


def test_a_retry_of_a_failed_job_beside_its_promotion_keeps_one_job() -> None:
    holds("failed_job_is_retried_early")


def test_two_adopters_make_one_job_of_a_drop() -> None:
    holds("one_drop_two_adopters")


def test_of_two_drops_with_one_id_only_one_is_adopted() -> None:
    holds("two_drops_one_id")


def test_an_id_is_seen_as_taken_while_its_job_moves() -> None:
    holds("drop_of_an_id_that_moves")


def test_a_name_dropped_twice_makes_two_jobs_that_can_be_told_apart() -> None:
    holds("same_name_dropped_twice")


def test_of_a_drop_and_an_enqueue_with_one_id_one_becomes_a_job() -> None:
    holds("enqueued_beside_a_drop_of_one_id")


def test_what_is_no_job_is_buried_and_holds_up_no_drop() -> None:
    holds("what_is_no_job_beside_a_drop")


def test_a_job_that_waits_for_others_goes_when_it_may_whoever_is_killed() -> None:
    holds("one_waits_for_two")


def test_of_two_who_look_one_lets_it_go_in_time() -> None:
    holds("two_look_at_one_that_waits")


def test_a_job_whose_prerequisite_comes_behind_it_is_not_ended_for_that() -> None:
    holds("a_batch_beside_a_look")


def test_of_two_jobs_of_one_key_one_waits_or_runs() -> None:
    holds("two_ask_for_one_key")


# ---- negative controls


@pytest.mark.parametrize("name", CONTROLS)
def test_a_rule_taken_out_is_missed(name: str) -> None:
    caught(CONTROLS[name])


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_that_the_documentation_names_is_found(name: str) -> None:
    caught(LIMITS[name])


@pytest.mark.parametrize("name", [n for n in CONTROLS if CONTROLS[n].plainer])
def test_a_scenario_that_catches_something_holds_otherwise(name: str) -> None:
    """One that fails under the present rules too would catch everything, and show nothing."""
    assert CONTROLS[name].scenario in catalog.SCENARIOS


def test_every_rule_has_its_control() -> None:
    taken_out = {field for control in CONTROLS.values() for field in control.plainer}
    settings = {"max_attempts", "orphans"}
    assert {field.name for field in fields(PRESENT)} == taken_out | settings


def test_every_scenario_has_its_test() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    controls = {control.scenario for control in {**CONTROLS, **LIMITS}.values()}
    assert [name for name in catalog.SCENARIOS if f'holds("{name}")' not in source] == []
    assert [name for name in catalog.BREAKING if name not in controls] == []

"""The protocol holds in every interleaving of every scenario, and its plainer rules do not.

The scenarios' docstrings say what each shows in full; see README.md for how to try a change.
"""

from pathlib import Path
from typing import Any, Iterator

import pytest

from . import catalog, routine
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


def caught(name: str, what: str, **plainer: Any) -> None:
    """Explore a scenario under a plainer rule, or one that breaks a rule: it must be found."""
    known = {**catalog.SCENARIOS, **catalog.BREAKING}
    result = explore(known[name](PRESENT.but(**plainer)))
    assert result.violation.startswith(what), str(result)
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


def test_a_worker_that_lost_its_locks_is_fenced() -> None:
    holds("locks_lost_elsewhere")


def test_several_unfinished_claims_of_a_dead_worker_are_each_recovered() -> None:
    holds("two_jobs_finished_beside")


def test_a_daemon_that_is_waited_for_does_not_hold_up_a_recorded_outcome() -> None:
    holds("outcome_recorded_and_daemon_left")


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


# ---- negative controls: the plainer rules


def test_a_worker_seen_before_it_is_locked_is_caught() -> None:
    caught("start_beside_sweep", "I2", start="locked-in-place")


def test_claims_identified_by_attempt_alone_are_caught() -> None:
    caught("requeued_by_hand", "E2", identify_by="attempt")
    caught("stop_now_twice", "E2", identify_by="attempt")


def test_recovery_without_takeover_is_caught() -> None:
    caught("two_recoverers", "I1", recovery="in-place")


def test_outcomes_made_in_tmp_are_caught() -> None:
    caught("worker_directory_removed", "I1", record_in="tmp")


def test_ending_a_session_only_is_caught() -> None:
    caught("command_leaves_helper", "E1", end_of_run="session")


def test_ending_nothing_is_caught() -> None:
    caught("command_sheds_descriptors", "I2", end_of_run="nothing")


def test_a_sweep_that_lists_claims_before_it_probes_is_caught() -> None:
    caught("command_sheds_cookie", "I2", sweep="lists-before-probe")


def test_recovery_without_a_fence_is_caught() -> None:
    caught("worker_directory_removed", "I1", fence=False)


def test_link_and_unlink_between_state_directories_is_caught() -> None:
    caught("two_workers_two_kills", "I1", rename_new="link-unlink")
    caught("one_drop_two_adopters", "I1", rename_new="link-unlink")


def test_an_interrupted_run_that_counts_as_a_failure_is_caught() -> None:
    caught("stop_now", "E3", interrupted="counts")


def test_a_cancel_request_deleted_after_the_move_is_caught() -> None:
    caught("cancelled_job_is_retried", "E6", request_deleted="after-move")


def test_a_cancel_request_not_carried_by_the_takeover_is_caught() -> None:
    caught("cancel_request_outlives_everyone", "E5", request_carried=False)


def test_a_claim_of_the_command_line_recovered_as_lost_is_caught() -> None:
    caught("cancel_of_job_for_tomorrow", "I3", uncounted="lost")
    caught("half_written_file_is_cancelled", "I7", uncounted="lost")


def test_giving_back_without_takeover_is_caught() -> None:
    caught("half_written_file_and_removed_directory", "I1", give_back="directly")
    caught("command_line_whose_directory_is_removed", "I1", give_back="directly")


def test_explicit_ids_without_a_lock_are_caught() -> None:
    caught("two_drops_one_id", "I4", ids_locked=False)


def test_a_single_look_for_an_id_is_caught() -> None:
    caught("id_missed_by_every_look", "I4", looks_for_id=1)


def test_an_edit_in_pending_is_caught() -> None:
    caught("edited_where_it_waits", "I1")


def test_a_cancel_recorded_where_the_job_waits_is_caught() -> None:
    caught("cancelled_where_it_waits", "I1")


def test_a_cancel_that_moves_before_it_records_is_caught() -> None:
    caught("cancelled_by_moving_first", "I1")


def test_a_claimed_job_taken_away_by_hand_is_caught() -> None:
    caught("taken_out_of_processing", "I1")


# ---- limits that the documentation names


def test_what_a_failed_run_left_behind_lives_on_beside_the_retry() -> None:
    caught("daemon_left_by_a_failed_run", "I2")


def test_an_id_whose_job_goes_around_once_a_look_is_given_again() -> None:
    caught("id_missed_by_every_look", "I4")


def test_every_scenario_has_its_test() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    known = {**catalog.SCENARIOS, **catalog.BREAKING}
    assert [name for name in known if f'"{name}"' not in source] == []

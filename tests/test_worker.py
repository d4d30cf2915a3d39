"""The loop, by tables of histories: what happens to a worker, and what is to be seen then.

The names of the rows are the facts; `histories` explains the steps.
"""

import errno
import os

import pytest

from spoolq import claiming, logs
from spoolq.fsio import Dir
from spoolq.lease import Lease
from spoolq.recovery import Recovery
from spoolq.spool import SpoolDir
from tests.histories import History, replay

H = History


def table(**rows):
    """Make one test of each row, named by its fact."""
    return pytest.mark.parametrize(
        "history", [pytest.param(row, id=id) for id, row in rows.items()]
    )


def test_a_request_is_heard_though_the_settings_cannot_be_read(spool, clock, monkeypatch):
    real, reads = spool.config_bytes, []

    def failing():
        reads.append(clock())
        if len(reads) > 1:
            raise OSError(errno.EIO, "Input/output error")
        return real()

    monkeypatch.setattr(spool, "config_bytes", failing)
    history = H("""
        enqueue a
        advance 2
        ask stop
        end a 0
        left
        see completed a.a1+2
    """)
    replay(history, spool, clock)
    assert len(reads) > 1


@table(
    the_first_jobs_do_not_wait_for_the_watch_to_begin=H("""
        enqueue a
        enqueue b
        start
        started a
        watches never
        end a 0
        watches never
        end b 0
        watches 0
        """),
    a_busy_worker_begins_to_watch_after_a_second=H("""
        enqueue a
        enqueue b
        start
        advance 1.1
        started a
        watches 1
        end a 0
        """),
)
def test_the_watch_on_arrivals(history, spool, clock):
    replay(history, spool, clock)


@table(
    a_job_whose_needs_are_not_free_holds_up_none_behind_it=H("""
        enqueue a priority=9
        enqueue b
        lacks a
        start
        started b
        see pending a.a0+0 | processing b.a1+0
        """),
    it_runs_when_they_are_free=H("""
        enqueue a
        lacks a
        start
        started
        advance 3
        started
        lacks
        advance 3
        started a
        """),
    a_drain_waits_for_it=H(
        """
        enqueue a
        enqueue b
        lacks a
        start
        end b 0
        advance 2
        stays
        lacks
        advance 2
        end a 0
        left
        """,
        drain=True,
    ),
    no_more_are_claimed_than_the_executor_takes=H("""
        enqueue a
        enqueue b
        enqueue c
        started a
        capacity 2
        advance 1.1
        started a b
        see pending c.a0+0 | processing a.a1+0 b.a1+1
        capacity 0
        end a 0
        advance 2
        started a b
        """),
)
def test_the_room_that_an_executor_has(history, spool, clock):
    replay(history, spool, clock)


def test_claims_are_synced_once_and_nothing_while_there_is_nothing_new(spool, clock):
    real, synced = spool.dir("processing").sync_moves, []
    spool.dir("processing").sync_moves = lambda **how: synced.append(clock()) or real(**how)
    steps = "enqueue a\nstart\nadvance 1.1\nend a 0\nadvance 10\nstarted a"
    replay(H(steps, config={"durability": "full"}), spool, clock)
    assert len(synced) == 1


def test_a_slot_is_locked_once_for_all_claims_that_are_lost(spool, clock, monkeypatch):
    locked, _ = slots_of(monkeypatch)
    history = H("""
        enqueue a
        enqueue b
        enqueue c
        enqueue d
        started a
        other claims b
        other claims c
        end a 0
        started a d
        """)
    replay(history, spool, clock)
    assert len(locked) == 2


@table(
    when_nothing_else_is_due=H("""
        enqueue a
        enqueue b
        started a
        other claims b
        end a 0
        advance 0.5
        see completed a.a1+0 | processing b.a1+0
        """),
    by_the_next_claim_that_fails=H("""
        enqueue a
        enqueue b
        enqueue c
        started a
        other claims b
        system full
        end a 0
        started a
        see completed a.a1+0 | pending c.a0+0 | processing b.a1+0
        """),
)
def test_a_slot_kept_after_a_lost_claim_is_let_go_once(history, spool, clock, monkeypatch):
    locked, let_go = slots_of(monkeypatch)
    replay(history, spool, clock)
    assert len(locked) == 2
    assert let_go == locked[1:]


def slots_of(monkeypatch):
    """Return two lists that grow: the slots that are locked, and those let go without a run."""
    locked, let_go, real = [], [], Lease.take_slot

    def take_slot(lease, slot):
        descriptor = real(lease, slot)
        locked.append(descriptor)
        return descriptor

    monkeypatch.setattr(Lease, "take_slot", take_slot)
    monkeypatch.setattr(claiming, "let_go", lambda slot: (let_go.append(slot), os.close(slot)))
    return locked, let_go


def test_what_arrives_while_the_watch_begins_is_found(spool, clock):
    replay(H("watches 0\nstarted a", at_watch="enqueue a"), spool, clock)


@table(
    the_earliest_goes_first=H("""
        enqueue busy
        advance 1
        enqueue a
        advance 1
        enqueue b
        end busy 0
        advance 1
        end a 0
        started busy a b
    """),
    a_higher_priority_goes_before_an_earlier_time=H("""
        enqueue busy
        advance 1
        enqueue low priority=1
        advance 1
        enqueue high priority=9
        advance 1
        enqueue plain
        end busy 0
        end high 0
        end plain 0
        started busy high plain low
        see processing low.a1+3 | completed busy.a1+3 high.a1+3 plain.a1+3
    """),
    a_priority_counts_only_among_what_is_due=H("""
        enqueue later priority=9 at=5
        enqueue now priority=0
        started now
        see pending later.a0+5 | processing now.a1+0
    """),
    what_becomes_due_while_all_slots_are_taken_takes_its_place_in_the_order=H("""
        enqueue busy
        enqueue waits at=1
        enqueue later priority=9 at=5
        advance 6
        end busy 0
        end later 0
        started busy later waits
    """),
    a_file_of_the_form_that_is_no_job_is_passed_over=H("""
        drop 20200101T000000000000Z.p9.a0.bad.json {"command": 1}
        enqueue good
        started good
        end good 0
        advance 3
        see completed good.a1+0 | dead bad.a0-217649206.123456
    """),
)
def test_order(history, spool, clock):
    replay(history, spool, clock)


@table(
    a_job_runs_when_its_time_has_come_and_not_before=H("""
        enqueue a at=90
        see pending a.a0+90
        advance 89.9
        see pending a.a0+90
        asleep 0.1
        advance 0.2
        see processing a.a1+90
    """),
    it_wakes_for_the_first_of_many_times=H(
        """
        enqueue c at=0.75
        enqueue a at=0.25
        enqueue b at=0.5
        asleep 0.25
        advance 1
        see processing a.a1+0.25 b.a1+0.5 c.a1+0.75
    """,
        count=3,
    ),
    a_run_at_in_a_dropped_file_counts=H("""
        drop x.json {"command": "x", "id": "x", "run_at": "2026-11-24T02:06:56.123456Z"}
        see pending x.a0+10
        advance 11
        see processing x.a1+10
    """),
    a_dropped_file_runs_at_once=H("""
        drop x.json {"command": "x", "id": "x"}
        see processing x.a1+0
    """),
    a_run_at_in_the_past_is_due=H("""
        enqueue a at=-86400
        see processing a.a1+0
    """),
    an_idle_worker_looks_up_once_a_second=H("""
        asleep 1
        advance 0.4
        asleep 0.6
    """),
)
def test_run_at(history, spool, clock):
    replay(history, spool, clock)


@table(
    a_job_that_fails_is_tried_after_2_then_4_then_8_seconds_then_it_is_dead=H("""
        enqueue a
        end a 1
        see failed a.a1+2
        advance 1.9
        see failed a.a1+2
        advance 0.2
        see processing a.a2+2
        end a 1
        see failed a.a2+6.1
        advance 5
        see processing a.a3+6.1
        end a 127
        see failed a.a3+15.1
        advance 9
        end a signal 9
        see dead a.a4+16.1
        history a exit 1, exit 1, exit 127, signal 9
        started a a a a
        advance 100
        started a a a a
    """),
    the_wait_counts_from_the_end_of_the_run=H("""
        enqueue a
        advance 100
        end a 1
        see failed a.a1+102
    """),
    a_job_that_succeeds_at_the_last_attempt_is_completed=H("""
        enqueue a max_retries=1
        end a 1
        advance 2
        end a 0
        see completed a.a2+2
        history a exit 1, exit 0
    """),
    no_retries_means_one_attempt=H("""
        enqueue a max_retries=0
        end a 126
        see dead a.a1+0
    """),
    a_job_has_its_own_max_retries_and_base=H(
        """
        enqueue a max_retries=2 backoff_base=3
        end a 1
        see failed a.a1+3
        advance 3
        end a 1
        see failed a.a2+12
        advance 9
        end a 1
        see dead a.a3+12
    """,
        config={"max_retries": 9, "backoff_base": 5},
    ),
    the_configured_numbers_hold_for_the_others=H(
        """
        enqueue a
        end a 1
        see failed a.a1+5
        advance 5
        end a 1
        see dead a.a2+5
    """,
        config={"max_retries": 1, "backoff_base": 5},
    ),
    no_wait_is_longer_than_backoff_max=H(
        """
        enqueue a backoff_base=1000
        end a 1
        see failed a.a1+60
    """,
        config={"backoff_max": 60},
    ),
    a_base_of_one_waits_a_second_each_time=H("""
        enqueue a backoff_base=1
        end a 1
        advance 1
        end a 1
        see failed a.a2+2
    """),
    a_base_of_nought_does_not_wait=H("""
        enqueue a backoff_base=0 max_retries=2
        end a 1
        end a 1
        end a 1
        see dead a.a3+0
    """),
    jitter_lengthens_a_wait_by_its_share=H(
        """
        enqueue a
        end a 1
        see failed a.a1+2.5
    """,
        config={"backoff_jitter": 0.5},
        chance=0.5,
    ),
    jitter_never_lengthens_a_wait_beyond_backoff_max=H(
        """
        enqueue a
        end a 1
        see failed a.a1+2.25
    """,
        config={"backoff_jitter": 1, "backoff_max": 2.25},
        chance=1.0,
    ),
    a_changed_number_counts_for_jobs_that_wait_already=H("""
        enqueue a
        config {"max_retries": 0, "durability": "none"}
        advance 1
        end a 1
        see dead a.a1+1
    """),
    a_retry_waits_in_failed_and_others_run_meanwhile=H("""
        enqueue a
        end a 1
        enqueue b
        see processing b.a1+0 | failed a.a1+2
        advance 3
        see pending a.a1+2 | processing b.a1+0
        end b 0
        see processing a.a2+3 | completed b.a1+3
    """),
    a_job_put_into_failed_by_hand_is_tried_when_its_time_has_come=H("""
        put failed/20261124T020649123456Z.p5.a1.a.json
        advance 4
        see processing a.a2+3
    """),
)
def test_retry(history, spool, clock):
    replay(history, spool, clock)


@table(
    count_jobs_run_at_a_time=H(
        """
        enqueue a
        enqueue b
        enqueue c
        enqueue d
        see pending c.a0+0 d.a0+0 | processing a.a1+0 b.a1+0
        advance 5
        end b 0
        see pending d.a0+0 | processing a.a1+0 c.a1+5 | completed b.a1+5
        end a 0
        end c 0
        end d 0
        started a b c d
    """,
        count=2,
    ),
    a_slot_is_filled_again_while_an_outcome_cannot_be_written_yet=H("""
        enqueue a
        enqueue b
        disk full
        end a 0
        see processing a.a1+0 b.a1+0
    """),
    more_jobs_than_the_count_never_run_however_they_end=H(
        """
        enqueue a
        enqueue b
        enqueue c
        enqueue d
        enqueue e
        enqueue f
        end a 0
        end b 1
        end d signal 9
        advance 2
        end c 0
        end e 0
        end f 0
        end b 0
        end d 0
        see completed a.a1+0 b.a2+2 c.a1+2 d.a2+2 e.a1+2 f.a1+2
    """,
        count=3,
    ),
)
def test_count(history, spool, clock):
    replay(history, spool, clock)


@table(
    nothing_to_do_is_a_reason_to_leave=H(
        """
        left
    """,
        drain=True,
    ),
    it_leaves_when_the_last_job_has_ended=H(
        """
        enqueue a
        enqueue b
        start
        end a 0
        stays
        end b 0
        left
        see completed a.a1+0 b.a1+0
    """,
        drain=True,
    ),
    a_job_scheduled_for_later_does_not_hold_it=H(
        """
        enqueue a
        enqueue later at=3600
        start
        end a 0
        left
        see pending later.a0+3600 | completed a.a1+0
    """,
        drain=True,
    ),
    a_retry_holds_it=H(
        """
        enqueue a
        start
        end a 1
        see failed a.a1+2
        advance 2
        stays
        end a 0
        left
        see completed a.a2+2
    """,
        drain=True,
    ),
    a_retry_that_another_worker_left_holds_it=H(
        """
        put failed/20261124T020656123456Z.p5.a1.a.json
        start
        advance 9.9
        stays
        advance 0.2
        end a 0
        left
    """,
        drain=True,
    ),
    a_dead_job_does_not_hold_it=H(
        """
        enqueue a max_retries=0
        start
        end a 1
        left
        see dead a.a1+0
    """,
        drain=True,
    ),
    a_file_that_may_become_a_job_holds_it=H(
        """
        drop x.json {"comm
        start
        advance 1
        stays
        drop x.json {"command": "x", "id": "x"}
        see processing x.a1+1
        end x 0
        left
    """,
        drain=True,
    ),
    a_file_that_becomes_no_job_does_not_hold_it_for_ever=H(
        """
        drop x.json {"comm
        start
        advance 1.9
        stays
        advance 5
        left
        see dead x.json
    """,
        drain=True,
    ),
    an_entry_that_is_not_meant_as_a_job_does_not_hold_it=H(
        """
        drop x.txt hello
        drop .x.json hello
        start
        left
    """,
        drain=True,
    ),
    what_an_editor_left_beside_a_job_does_not_hold_it=H(
        """
        drop 20261124T020646123456Z.p5.a0.a.json~ {"command": "x"}
        drop 20261124T020646123456Z.p9.a0.b.json.part {"comm
        drop 20991124T020646123456Z.p5.a0.c.json~ {"command": "x"}
        start
        left
        started
    """,
        drain=True,
    ),
    a_name_with_a_blank_that_begins_like_the_form_is_a_drop_and_does_not_hold_it=H(
        """
        drop 20261124T020646123456Z.p5.a0.bad%20id.json {"command": "x", "id": "x"}
        start
        see processing x.a1+0
        end x 0
        left
    """,
        drain=True,
    ),
    a_name_with_a_blank_and_a_time_to_come_is_a_drop_and_does_not_hold_it=H(
        """
        drop 20991124T020646123456Z.p5.a0.bad%20id.json {"command": "x", "id": "x"}
        start
        see processing x.a1+0
        end x 0
        left
    """,
        drain=True,
    ),
    the_claim_of_another_holds_it=H(
        """
        enqueue b
        other claims b
        start
        advance 5
        stays
        other moves b completed
        advance 1
        left
    """,
        drain=True,
    ),
    a_pause_holds_what_is_due_and_so_the_worker=H(
        """
        enqueue a
        touch paused
        start
        advance 10
        stays
        see pending a.a0+0
        rm paused
        advance 1
        end a 0
        left
    """,
        drain=True,
    ),
    a_pause_with_nothing_to_do_does_not_hold_it=H(
        """
        touch paused
        start
        left
    """,
        drain=True,
    ),
    an_outcome_that_cannot_be_written_holds_it=H(
        """
        enqueue a
        disk full
        start
        end a 0
        advance 5
        stays
        disk well
        advance 1
        left
        see completed a.a1+0
    """,
        drain=True,
    ),
    without_drain_nothing_to_do_is_no_reason_to_leave=H("""
        advance 60
        stays
    """),
)
def test_drain(history, spool, clock):
    replay(history, spool, clock)


@table(
    asked_to_stop_it_finishes_what_runs_and_takes_nothing_new=H("""
        enqueue a
        enqueue b
        ask stop
        advance 10
        stays
        asked a
        end a 1
        left
        see pending b.a0+0 | failed a.a1+12
        started a
    """),
    a_signal_is_the_same=H("""
        enqueue a
        signal
        enqueue b
        end a 0
        left
        see pending b.a0+0 | completed a.a1+0
    """),
    with_nothing_to_finish_it_leaves_at_once=H("""
        signal
        left
    """),
    a_job_that_is_due_is_not_begun_by_a_worker_that_is_asked_to_stop_before=H("""
        enqueue a
        ask stop
        start
        left
        see pending a.a0+0
    """),
    a_second_signal_at_once_is_the_first_one_told_twice=H("""
        enqueue a
        signal
        signal
        advance 0.9
        signal
        asked a
        stays
        end a 0
        left
        see completed a.a1+0.9
    """),
    a_second_signal_a_second_later_ends_what_runs=H("""
        enqueue a
        signal
        advance 1.1
        signal
        asked a interrupted
        end a signal 15
        left
        see pending a.a0+0
    """),
    stop_now_ends_what_runs_and_it_goes_back_under_its_old_time_and_attempt=H("""
        enqueue a
        end a 1
        advance 3
        see processing a.a2+2
        ask stop.now
        asked a interrupted
        end a signal 15
        left
        see pending a.a1+2
        history a exit 1, interrupted
    """),
    an_interrupted_job_goes_back_even_if_its_command_says_that_all_is_well=H("""
        enqueue a at=-60
        ask stop.now
        end a 0
        left
        see pending a.a0-60
        history a interrupted
    """),
    a_run_that_ended_before_it_could_be_ended_is_recorded_as_it_ended=H(
        """
        enqueue a
        enqueue b
        end a 0
        ask stop.now
        end b signal 15
        left
        see pending b.a0+0 | completed a.a1+0
    """,
        count=2,
    ),
    a_stop_that_is_made_urgent_ends_what_runs=H("""
        enqueue a
        ask stop
        advance 1
        asked a
        ask stop.now
        asked a interrupted
        end a signal 9
        left
        see pending a.a0+0
    """),
    what_runs_for_longer_than_a_stop_may_take_is_ended=H(
        """
        enqueue a at=-60
        advance 100
        asked a
        signal
        asleep 1
        advance 9.8
        asked a
        asleep 0.2
        advance 0.2
        asked a interrupted
        end a signal 15
        left
        see pending a.a0-60
    """,
        stop_within=10,
    ),
    what_ends_in_time_is_recorded_as_it_ended=H(
        """
        enqueue a
        ask stop
        advance 9
        end a 0
        left
        see completed a.a1+9
    """,
        stop_within=10,
    ),
    retries_do_not_hold_a_worker_that_stops=H("""
        enqueue a
        signal
        end a 1
        left
        see failed a.a1+2
    """),
    it_waits_for_the_end_of_what_it_ends=H("""
        enqueue a
        ask stop.now
        advance 30
        stays
        see processing a.a1+0
        end a signal 9
        left
    """),
)
def test_stop(history, spool, clock):
    replay(history, spool, clock)


@table(
    a_paused_worker_claims_nothing_and_finishes_what_runs=H("""
        enqueue a
        enqueue b
        touch paused
        advance 1
        end a 0
        advance 60
        see pending b.a0+0 | completed a.a1+1
        rm paused
        advance 1
        started a b
    """),
    what_becomes_due_in_a_pause_waits_and_the_worker_sleeps=H("""
        enqueue later at=0.5
        touch paused
        advance 0.7
        asleep 0.3
        enqueue another
        drop x.json {"command": "x", "id": "x"}
        advance 60
        started
        rm paused
        advance 1
        end later 0
        end another 0
        started later another x
    """),
    a_retry_becomes_due_in_a_pause=H("""
        enqueue a
        touch paused
        advance 1
        end a 1
        advance 3
        see pending a.a1+3
    """),
)
def test_pause(history, spool, clock):
    replay(history, spool, clock)


@table(
    a_running_job_is_ended_and_dead=H("""
        enqueue a
        ask cancel.a
        asked a cancelled
        see processing a.a1+0
        end a signal 15
        see dead a.a1+0
        history a cancelled
        advance 1
        requests
        stays
    """),
    only_the_one_that_is_named_is_ended=H(
        """
        enqueue a
        enqueue b
        ask cancel.b
        asked a
        asked b cancelled
    """,
        count=2,
    ),
    a_request_for_a_job_that_is_not_with_this_worker_goes_away=H("""
        enqueue a
        ask cancel.b
        requests
        asked a
        see processing a.a1+0
    """),
    a_request_stays_until_the_end_is_recorded=H("""
        enqueue a
        ask cancel.a
        disk full
        end a signal 15
        requests cancel.a
        advance 2
        disk well
        advance 1
        see dead a.a1+0
        advance 1
        requests
    """),
    the_next_job_runs_when_the_cancelled_one_is_gone=H("""
        enqueue a
        enqueue b
        ask cancel.a
        advance 3
        started a
        end a signal 9
        started a b
    """),
    a_cancelled_job_is_not_retried_whatever_is_left_of_its_attempts=H("""
        enqueue a max_retries=9
        ask cancel.a
        end a 1
        advance 100
        see dead a.a1+0
    """),
    who_is_interrupted_first_is_not_cancelled_then=H("""
        enqueue a
        ask stop.now
        ask cancel.a
        asked a interrupted
        end a signal 15
        left
        see pending a.a0+0
    """),
)
def test_cancel(history, spool, clock):
    replay(history, spool, clock)


@table(
    a_kept_outcome_is_written_when_it_can_be_and_nothing_is_claimed_meanwhile=H("""
        enqueue a
        disk full
        end a 0
        enqueue b
        advance 30
        started a
        see pending b.a0+0 | processing a.a1+0
        disk well
        advance 1
        see processing b.a1+31 | completed a.a1+0
        history a exit 0
        started a b
    """),
    all_that_ends_meanwhile_is_kept=H(
        """
        enqueue a
        enqueue b
        enqueue c
        disk full
        end a 0
        advance 1
        end b 1
        advance 1
        end c signal 9
        advance 5
        see processing a.a1+0 b.a1+0 c.a1+0
        disk well
        advance 1
        see failed b.a1+61 c.a1+62 | completed a.a1+0
    """,
        count=3,
        config={"backoff_base": 60},
    ),
    it_is_said_in_worker_json_and_taken_back=H("""
        enqueue a
        disk full
        end a 0
        trouble No space left
        disk well
        advance 1
        trouble
    """),
    an_outcome_is_tried_again_once_a_second=H("""
        enqueue a
        disk full
        end a 0
        asleep 1
        advance 10
        writes 12
    """),
    a_worker_that_stops_waits_until_it_can_be_written=H("""
        enqueue a
        disk full
        end a 0
        signal
        advance 10
        stays
        disk well
        advance 1
        left
        see completed a.a1+0
    """),
    a_worker_that_is_to_leave_at_once_leaves_it_to_recovery=H("""
        enqueue a
        disk full
        end a 0
        ask stop.now
        left
        see processing a.a1+0
    """),
    a_directory_that_could_not_be_synced_once_is_no_reason_to_claim_nothing_for_ever=H("""
        enqueue a
        disk unsynced
        end a 0
        see completed a.a1+0
        enqueue b
        disk well
        advance 2
        started a b
        trouble
    """),
)
def test_an_outcome_that_cannot_be_written(history, spool, clock):
    replay(history, spool, clock)


@table(
    a_job_that_finds_no_room_waits_and_keeps_its_attempt=H("""
        enqueue a
        enqueue b
        system full
        start
        see pending a.a0+0 b.a0+0
        advance 5
        started
        see pending a.a0+0 b.a0+0
        system well
        advance 1
        started a
        see pending b.a0+0 | processing a.a1+6
        history a
    """),
    a_claim_that_cannot_be_read_just_now_goes_back_and_keeps_its_attempt=H(
        """
        enqueue a
        disk unreadable
        start
        see pending a.a0+0
        advance 3
        see pending a.a0+0
        disk well
        advance 1
        see processing a.a1+4
        history a
    """
    ),
    what_runs_goes_on=H("""
        enqueue a
        system full
        enqueue b
        end a 0
        see pending b.a0+0 | completed a.a1+0
        advance 60
        system well
        advance 1
        started a b
    """),
    it_is_seen_for_as_long_as_it_lasts=H("""
        enqueue a
        system full
        start
        advance 3
        trouble no room
        system well
        advance 1
        started a
        trouble
    """),
    it_is_tried_again_once_a_second=H("""
        enqueue a
        system full
        start
        asleep 1
        advance 3.5
        asleep 0.5
    """),
)
def test_no_room_for_a_process(history, spool, clock):
    replay(history, spool, clock)


def test_that_there_is_no_room_is_said_once_a_minute(spool, clock, caplog):
    replay(H("enqueue a\nsystem full\nstart\nadvance 150"), spool, clock)
    assert caplog.text.count("no room; trying again each second") == 3


def test_who_asks_a_worker_to_stop_is_told_of_what_the_disk_does_not_take(spool, clock, caplog):
    caplog.set_level("INFO")
    steps = "enqueue a, disk full, end a 0, advance 2, ask stop, advance 2, stays"
    replay(H(steps.replace(", ", "\n")), spool, clock)
    assert "0 running; a second signal gives 1 up that cannot be recorded yet" in caplog.text


@table(
    set_back_an_hour_it_starts_nothing_early_and_loses_nothing=H("""
        enqueue a
        enqueue b at=10
        clock -3600
        advance 10
        see pending b.a0+10 | processing a.a1+0
        end a 0
        see pending b.a0+10 | completed a.a1-3590
        advance 3599
        see pending b.a0+10 | completed a.a1-3590
        advance 2
        see processing b.a1+10 | completed a.a1-3590
    """),
    set_back_a_retry_waits_from_the_end_of_its_run=H("""
        enqueue a
        clock -3600
        end a 1
        see failed a.a1-3598
        advance 2
        see processing a.a2-3598
    """),
    what_was_known_to_be_due_is_not_due_any_more=H("""
        enqueue busy
        advance 5
        enqueue a
        clock -3600
        end busy 0
        advance 1
        started busy
        advance 3600
        started busy a
    """),
    set_back_it_still_stops_at_once=H("""
        enqueue a
        clock -3600
        signal
        end a 0
        left
    """),
    set_forward_it_starts_what_has_become_due_within_a_second=H("""
        enqueue a at=3600
        advance 5
        clock 3600
        advance 1
        see processing a.a1+3606
    """),
    set_forward_a_retry_comes_early_and_only_once=H("""
        enqueue a
        end a 1
        clock 3600
        advance 1
        see processing a.a2+3601
        clock -3600
        advance 5
        started a a
        end a 0
        see completed a.a2+6
    """),
    set_to_and_fro_the_second_signal_still_counts_by_real_seconds=H("""
        enqueue a
        clock -3600
        signal
        clock 7200
        signal
        asked a
        advance 1.5
        signal
        asked a interrupted
        end a signal 15
        left
    """),
)
def test_the_wall_clock_is_set(history, spool, clock):
    replay(history, spool, clock)


@table(
    a_file_that_does_not_parse_leaves_the_last_good_settings_in_force=H("""
        config {"max_retries": 0, "durability": "none"}
        start
        config {"max_retries": 5,
        advance 1
        enqueue a
        end a 1
        see dead a.a1+1
    """),
    a_wrong_value_does_too=H("""
        config {"max_retries": 0, "durability": "none"}
        start
        config {"max_retries": "many"}
        advance 1
        enqueue a
        end a 1
        see dead a.a1+1
    """),
    a_format_that_is_not_known_does_too=H("""
        config {"max_retries": 0, "durability": "none"}
        start
        config {"format": 2, "max_retries": 5}
        advance 30
        enqueue a
        end a 1
        see dead a.a1+30
    """),
    what_is_mended_counts_again=H("""
        config {"max_retries": 0, "durability": "none"}
        start
        config {
        advance 1
        config {"max_retries": 1, "durability": "none"}
        advance 1
        enqueue a
        end a 1
        see failed a.a1+4
    """),
    no_file_means_the_defaults=H("""
        config {"max_retries": 0, "durability": "none"}
        start
        rm config.json
        advance 1
        enqueue a
        end a 1
        see failed a.a1+3
    """),
    what_is_no_file_at_all_leaves_the_last_good_settings_in_force=H("""
        config {"max_retries": 0, "durability": "none"}
        start
        mkdir config.json
        advance 10
        enqueue a
        end a 1
        see dead a.a1+10
    """),
)
def test_configuration(history, spool, clock):
    replay(history, spool, clock)


@table(
    it_ends_what_runs_and_writes_nothing=H("""
        enqueue a
        enqueue b
        rmdir worker
        advance 1
        asked a lost
        see pending b.a0+0 | processing a.a1+0
        history a
        end a signal 15
        lost
        see pending b.a0+0 | processing a.a1+0
        history a
    """),
    it_waits_for_the_end_of_what_it_ends=H(
        """
        enqueue a
        enqueue b
        rmdir worker
        advance 1
        end a signal 15
        stays
        end b signal 9
        lost
    """,
        count=2,
    ),
    with_nothing_running_it_stops_at_once=H("""
        rmdir worker
        advance 0.99
        stays
        advance 0.02
        lost
    """),
    an_outcome_in_hand_is_not_written_either=H("""
        enqueue a
        rmdir worker
        end a 0
        lost
        see processing a.a1+0
        history a
    """),
)
def test_the_workers_directory_is_removed(history, spool, clock):
    replay(history, spool, clock)


@table(
    a_claim_in_its_own_name_that_it_does_not_know_is_recovered=H("""
        touch paused
        enqueue a
        start
        claimed unknowingly a
        rm paused
        advance 1
        history a worker lost
        see processing a.a2+1
    """),
    the_claims_of_the_dead_are_taken_over_and_run_again=H("""
        enqueue a
        other claims a
        start
        advance 5
        see processing a.a1+0
        other dies
        advance 1
        see processing a.a2+6
        history a worker lost
        end a 0
        see completed a.a2+6
        history a worker lost, exit 0
    """),
    a_job_that_has_no_attempt_left_when_its_worker_dies_is_dead=H("""
        enqueue a max_retries=0
        other claims a
        start
        other dies
        advance 1
        see dead a.a1+1
        history a worker lost
        started
    """),
    a_file_in_processing_that_names_no_worker_goes_back=H("""
        put processing/20261124T020646123456Z.p5.a0.a.json
        start
        see processing a.a1+0
    """),
    a_taken_over_claim_waits_too_while_outcomes_cannot_be_written=H("""
        enqueue a
        other claims a
        disk full
        start
        other dies
        advance 5
        see processing a.a1+0
        disk well
        advance 1
        see processing a.a2+6
        history a worker lost
    """),
    what_lies_about_in_workers_does_no_harm=H("""
        put workers/README
        put workers/some-1-worker
        enqueue a
        advance 1
        end a 0
        see completed a.a1+1
        advance 10
        enqueue b
        see processing b.a1+11 | completed a.a1+1
    """),
)
def test_recovery(history, spool, clock):
    replay(history, spool, clock)


@table(
    a_link_in_the_place_of_its_log=H(
        """
        enqueue a
        enqueue b
        odd log a
        end a 1
        end b 0
        see failed a.a1+2 | completed b.a1+0
        history a exit 1
    """,
        count=2,
    ),
)
def test_a_command_that_meddles_is_recorded_all_the_same(history, spool, clock):
    replay(history, spool, clock)


def test_one_cancel_request_cancels_one_run(spool, clock):
    """It is gone with the run that it ended: a retry runs."""
    history = """
        enqueue a
        ask cancel.a
        asked a cancelled
        end a signal 15
        requests
        retry a
        see processing a.a1+0
        asked a
        end a 0
        see completed a.a1+0
        history a cancelled, exit 0
    """
    replay(H(history), spool, clock)


def test_a_configuration_that_cannot_be_read_is_said_once(spool, clock, caplog, monkeypatch):
    monkeypatch.setattr(logs.logger, "propagate", True)
    replay(H("mkdir config.json\nadvance 30\nenqueue a\nadvance 30"), spool, clock)
    said = [record.getMessage() for record in caplog.records]
    assert sum("config.json" in line for line in said) == 1


def test_a_format_that_is_not_known_is_said_once(spool, clock, caplog, monkeypatch):
    monkeypatch.setattr(logs.logger, "propagate", True)
    replay(
        H('start\nconfig {"format": 2}\nadvance 90\nenqueue a\nend a 0\nadvance 9'), spool, clock
    )
    said = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert said == [
        "this spool has format 2, and this spoolq knows 1 only; "
        "the last good settings stay in force"
    ]


def _refuse(*_, **__):
    raise PermissionError(errno.EACCES, "Permission denied")


@pytest.mark.parametrize(
    "where, name",
    [(Recovery, "look"), (Recovery, "sweep"), (Lease, "requests"), (SpoolDir, "reopen_replaced")],
    ids=lambda value: getattr(value, "__name__", value),
)
def test_trouble_with_something_else_holds_off_no_claim(spool, clock, monkeypatch, where, name):
    monkeypatch.setattr(where, name, _refuse)
    history = """
        enqueue a
        start
        end a 1
        enqueue b
        end b 0
        advance 3
        see processing a.a2+2 | completed b.a1+0
        end a 0
        advance 30
        started a b a
        stays
    """
    replay(H(history), spool, clock)


def test_a_directory_of_its_own_that_cannot_be_seen_just_now_ends_no_worker(
    spool, clock, monkeypatch
):
    monkeypatch.setattr(Lease, "is_ours", _refuse)
    replay(H("enqueue a\nadvance 5\nasked a\nend a 0\nadvance 5\nstays"), spool, clock)


def test_a_lock_that_is_a_directory_stops_nobody(spool, clock):
    os.makedirs(os.path.join(spool.path, "workers", "foo-1-abc", "lock"))
    history = """
        enqueue a
        other claims a
        enqueue b
        start
        other dies
        end b 0
        advance 3
        see processing a.a2+1 | completed b.a1+0
    """
    replay(H(history, count=2), spool, clock)


def _claims_nothing_bad(monkeypatch, refuses=lambda: True):
    """Refuse to claim the job `bad`, as the kernel does with an immutable file."""
    real = SpoolDir.claim

    def claim(self, filename, *rest):
        if ".bad." in filename and refuses():
            raise PermissionError(errno.EPERM, "Operation not permitted")
        return real(self, filename, *rest)

    monkeypatch.setattr(SpoolDir, "claim", claim)


def test_a_job_that_may_not_be_claimed_waits_and_the_others_run(spool, clock, monkeypatch):
    _claims_nothing_bad(monkeypatch)
    history = """
        enqueue bad priority=9
        enqueue good
        start
        see pending bad.a0+0 | processing good.a1+0
        end good 0
        enqueue more
        advance 30
        end more 0
        see pending bad.a0+0 | completed good.a1+0 more.a1+30
    """
    replay(H(history), spool, clock)


def test_an_end_that_the_disk_does_not_confirm_is_told_with_a_doubt(
    spool, clock, caplog, monkeypatch
):
    """A power cut may undo it then, and who reads the log would take it for a promise."""
    monkeypatch.setattr(logs.logger, "propagate", True)
    caplog.set_level("INFO", "spoolq")
    history = "enqueue a\ndisk unsynced\nend a 0\nenqueue b\ndisk well\nadvance 2\nend b 0"
    replay(H(history), spool, clock)
    ends = [record for record in caplog.records if " completed: " in record.getMessage()]
    assert [record.levelname for record in ends] == ["WARNING", "INFO"]
    assert "the disk does not confirm it" in ends[0].getMessage()


def test_a_job_on_a_bad_sector_waits_and_the_others_run(spool, clock, caplog, monkeypatch):
    """Found by a disk that failed in one place: no other job ran while that one was next."""
    monkeypatch.setattr(logs.logger, "propagate", True)
    real = Dir.open_file

    def open_file(self, name):
        if ".bad" in name:
            raise OSError(errno.EIO, "Input/output error")
        return real(self, name)

    monkeypatch.setattr(Dir, "open_file", open_file)
    history = """
        enqueue bad priority=9
        enqueue good
        start
        advance 2
        see pending bad.a0+0 | processing good.a1+1
        end good 0
        enqueue more
        advance 30
        end more 0
        see pending bad.a0+0 | completed good.a1+2 more.a1+32
    """
    replay(H(history), spool, clock)
    said = [record.getMessage() for record in caplog.records]
    assert sum("Input/output error" in line for line in said) == 1


def test_a_job_that_may_not_be_claimed_is_said_once(spool, clock, caplog, monkeypatch):
    monkeypatch.setattr(logs.logger, "propagate", True)
    _claims_nothing_bad(monkeypatch)
    replay(H("enqueue bad\nstart\nadvance 60"), spool, clock)
    said = [record.getMessage() for record in caplog.records]
    assert sum("Operation not permitted" in line for line in said) == 1


def test_a_job_that_may_be_claimed_again_runs_within_a_second(spool, clock, monkeypatch):
    mended = clock.monotonic() + 5
    _claims_nothing_bad(monkeypatch, lambda: clock.monotonic() < mended)
    replay(H("enqueue bad\nadvance 4.9\nstarted\nadvance 1.2\nstarted bad"), spool, clock)


def test_a_retry_that_could_not_be_moved_runs_a_second_later(spool, clock, monkeypatch):
    real = SpoolDir.promote
    refused = []

    def promote(self, *args):
        if not refused:
            refused.append(True)
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(self, *args)

    monkeypatch.setattr(SpoolDir, "promote", promote)
    history = """
        enqueue a
        end a 1
        advance 3.1
        see processing a.a2+3
    """
    replay(H(history), spool, clock)
    assert refused


def test_a_look_at_pending_that_fails_half_way_is_taken_again_a_second_later(
    spool, clock, monkeypatch
):
    real = Dir.entries
    refused = []

    def entries(self):
        found = list(real(self))
        if self.path.endswith("pending") and not refused:
            refused.append(True)
            yield found[0]
            raise OSError(errno.EIO, "Input/output error")
        yield from found

    monkeypatch.setattr(Dir, "entries", entries)
    history = """
        enqueue a
        enqueue b
        start
        started
        advance 1
        started a b
    """
    replay(H(history, count=2), spool, clock)
    assert refused


def test_a_filesystem_in_trouble_is_said_once_a_minute(spool, clock, caplog, monkeypatch):
    monkeypatch.setattr(logs.logger, "propagate", True)
    replay(H("disk full\nenqueue a\nend a 0\nadvance 300"), spool, clock)
    said = [record.getMessage() for record in caplog.records if "cannot be" in record.getMessage()]
    assert 1 <= len(said) <= 6


def test_what_ran_is_told_by_attempt_and_what_came_of_it(spool, clock, caplog, monkeypatch):
    monkeypatch.setattr(logs.logger, "propagate", True)
    caplog.set_level("INFO", "spoolq")
    replay(H("enqueue a\nadvance 1.5\nend a 1"), spool, clock)
    said = [record.getMessage() for record in caplog.records]
    assert said == ["a attempt 1 of 4: a", "a failed: exit 1 after 1.5 s"]


def test_steps_that_are_refused_in_turn_are_said_once_a_minute_each(
    spool, clock, caplog, monkeypatch
):
    def refuse(what):
        def refusal(*_, **__):
            raise OSError(errno.EIO, f"Input/output error: {what}")

        return refusal

    monkeypatch.setattr(logs.logger, "propagate", True)
    monkeypatch.setattr(Recovery, "look", refuse("processing"))
    monkeypatch.setattr(Lease, "requests", refuse("workers"))
    replay(H("start\nadvance 300\nstays"), spool, clock)
    said = [record.getMessage() for record in caplog.records if "Input" in record.getMessage()]
    assert 2 <= len(said) <= 12


def test_an_outcome_that_a_worker_gives_up_is_told(spool, clock, caplog, monkeypatch):
    monkeypatch.setattr(logs.logger, "propagate", True)
    replay(H("enqueue a\ndisk full\nend a 0\nask stop.now\nleft"), spool, clock)
    said = [record.getMessage() for record in caplog.records]
    assert any(text.startswith("a: its end (exit 0") for text in said)

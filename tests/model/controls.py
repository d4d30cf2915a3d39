"""The negative controls: each takes one rule out, and a scenario must find what is wrong then.

A control of the model names the scenario, how the finding begins, and the plainer rule; without a
plainer rule the scenario itself does what the format forbids.
"""

from typing import Any, Dict, NamedTuple


class Control(NamedTuple):
    """One rule taken out."""

    scenario: str
    finds: str
    plainer: Dict[str, Any] = {}


CONTROLS: Dict[str, Control] = {
    # ---- workers among themselves
    "a worker is seen before it is locked": Control(
        "start_beside_sweep", "I2", {"start": "locked-in-place"}
    ),
    "a claim is identified by its attempt alone": Control(
        "requeued_by_hand", "E2", {"identify_by": "attempt"}
    ),
    "an interrupted claim is identified by its attempt alone": Control(
        "stop_now_twice", "E2", {"identify_by": "attempt"}
    ),
    "recovery records over the dead worker's claim": Control(
        "two_recoverers", "I1", {"recovery": "in-place"}
    ),
    "an outcome is made in tmp": Control("worker_directory_removed", "I1", {"record_in": "tmp"}),
    "a session alone is ended": Control("command_leaves_helper", "E1", {"end_of_run": "session"}),
    "nothing is ended": Control("command_sheds_descriptors", "I2", {"end_of_run": "nothing"}),
    "a sweep lists the claims before it probes": Control(
        "command_sheds_cookie", "I2", {"sweep": "lists-before-probe"}
    ),
    "a directory without a lock is not removed": Control(
        "worker_directory_removed", "I1", {"fence": False}
    ),
    "the winner of a takeover does not read again": Control(
        "worker_directory_removed", "I8", {"reread": False}
    ),
    "who lost its directory makes it again": Control(
        "worker_directory_removed", "I1", {"directory_gone": "made-again"}
    ),
    "a claim that its worker did not hear of is left": Control(
        "claim_whose_reply_is_lost", "E1", {"unknown_own": "left"}
    ),
    "link and unlink between state directories": Control(
        "two_workers_two_kills", "I1", {"rename_new": "link-unlink"}
    ),
    "link and unlink in adoption": Control(
        "one_drop_two_adopters", "I1", {"rename_new": "link-unlink"}
    ),
    # ---- workers of several hosts
    "a free lock of another kernel's worker is enough": Control(
        "locks_lost_elsewhere", "I2", {"lease": "ignored"}
    ),
    "a lease is not waited for": Control("host_cut_off", "I2", {"lease": "ignored"}),
    "a missing directory is not waited for": Control(
        "directory_removed_elsewhere", "I2", {"missing": "at-once"}
    ),
    "a claim is taken over before its worker's directory is removed": Control(
        "host_cut_off", "I1", {"removal": "after"}
    ),
    "a claim from before its guard acted is started": Control(
        "host_cut_off_at_its_claim", "I2", {"starts": "whatever"}
    ),
    # ---- workers and people
    "an interrupted run counts as a failure": Control("stop_now", "E3", {"interrupted": "counts"}),
    "a cancel request is deleted after the move": Control(
        "cancelled_job_is_retried", "E6", {"request_deleted": "after-move"}
    ),
    "a takeover does not carry the cancel request": Control(
        "cancel_request_outlives_everyone", "E5", {"request_carried": False}
    ),
    "a claim that changes a job is recovered as lost": Control(
        "cancel_of_job_for_tomorrow", "I3", {"change": "lost"}
    ),
    "a half-written file that was to be changed is recovered as lost": Control(
        "half_written_file_is_cancelled", "I7", {"change": "lost"}
    ),
    "a half-written file is given back without takeover": Control(
        "half_written_file_and_removed_directory", "I1", {"give_back": "directly"}
    ),
    "a claim that changes a job is given back without takeover": Control(
        "command_line_whose_directory_is_removed", "I1", {"give_back": "directly"}
    ),
    # ---- how jobs come in
    "a drop's name alone is its id": Control(
        "same_name_dropped_twice", "I4", {"dropped_id": "stem"}
    ),
    "ids of drops are given without a lock": Control(
        "two_drops_one_id", "I4", {"ids_locked": False}
    ),
    "ids are given to enqueue without a lock": Control(
        "enqueued_beside_a_drop_of_one_id", "I4", {"ids_locked": False}
    ),
    "a drop is adopted whether its id is taken or not": Control(
        "two_drops_one_id", "I4", {"looks_for_id": 0}
    ),
    "a single look for an id": Control("drop_of_an_id_that_moves", "I4", {"looks_for_id": 1}),
    # ---- what waits for others, and keys
    "what a job waits for is noted when it is published": Control(
        "one_waits_for_two", "W1", {"waits_made": "after"}
    ),
    "the files of what is waited for are looked at first": Control(
        "one_waits_for_two", "W1", {"waits_looked": "files-first", "let_go": "as-seen"}
    ),
    "a job is let go as it was seen": Control(
        "two_look_at_one_that_waits", "W1", {"let_go": "as-seen"}
    ),
    "a job is let go that was not there when its files were looked at": Control(
        "one_waits_for_two", "W1", {"let_go": "at-files"}
    ),
    "the files go of a job that could not be ended": Control(
        "one_waits_for_two", "W1", {"ended": "unseen"}
    ),
    "what is in the making is swept without a lock": Control(
        "a_batch_beside_a_look", "W", {"swept": "unlocked"}
    ),
    "a key is made when its job is published": Control(
        "two_ask_for_one_key", "K1", {"key_made": "after"}
    ),
    "keys are given without a lock": Control("two_ask_for_one_key", "K1", {"ids_locked": False}),
    "keys are tidied without a lock": Control("two_ask_for_one_key", "K1", {"swept": "unlocked"}),
    # ---- what the format forbids
    "an edit in pending": Control("edited_where_it_waits", "I1"),
    "a cancel is recorded where the job waits": Control("cancelled_where_it_waits", "I1"),
    "a cancel moves before it records": Control("cancelled_by_moving_first", "I1"),
    "a claimed job is taken away by hand": Control("taken_out_of_processing", "I1"),
}

#: Limits that the documentation names: what is found there is not to be mended.
LIMITS: Dict[str, Control] = {
    "what a killed worker of a host that is cut off has left runs on": Control(
        "killed_worker_of_a_host_cut_off", "I2"
    ),
    "what a failed run left behind lives on beside the retry": Control(
        "daemon_left_by_a_failed_run", "I2"
    ),
    "an id whose job goes around once a look is given again": Control(
        "id_missed_by_every_look", "I4"
    ),
}

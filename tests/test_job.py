"""What a job is, how it is stored, and what follows the end of a run."""

import json
from datetime import datetime, timedelta, timezone

import pytest

from spoolq import instants, job
from spoolq.config import Settings
from spoolq.errors import InvalidJob
from spoolq.job import CANCELLED, INTERRUPTED, LOST, Job, Policy

STAMP = "20261124T020646123456Z"
STARTED = "2026-11-24T02:06:46.123456Z"
FINISHED = "2026-11-24T02:06:50.000000Z"
POLICY = Policy(max_retries=3, backoff_base=2, backoff_max=86_400, backoff_jitter=0)
CREATED = datetime(2026, 11, 24, tzinfo=timezone.utc)


def entry(**given):
    return {"attempt": 1, "started_at": STARTED, "finished_at": FINISHED, **given}


def test_only_what_was_given_is_stored():
    assert json.loads(Job({"command": "true"}).to_bytes()) == {"command": "true"}


def test_fields_keep_their_order_and_unknown_ones_are_kept():
    given = {"note": 1, "command": "true", "zeta": None, "name": "n"}
    assert list(json.loads(Job(given).to_bytes())) == list(given)


def test_what_is_derived_is_accepted_and_never_stored():
    given = {"command": "true", "state": "dead", "attempts": 4, "not_before": 1, "updated_at": 2}
    assert Job(given).fields == {"command": "true"}


def test_a_fault_in_a_file_has_its_line_and_column():
    with pytest.raises(InvalidJob) as caught:
        Job.from_bytes(b'{\n  "command": "true",\n  "priority": true\n}')
    error = caught.value
    assert (error.line, error.column, error.field) == (3, 15, "priority")


def test_a_missing_command_is_a_fault_of_the_whole_object():
    with pytest.raises(InvalidJob) as caught:
        Job.from_bytes(b' {"comand": "true"}')
    assert (caught.value.line, caught.value.column, caught.value.field) == (1, 2, None)
    assert "comand" in caught.value.hint


def test_a_file_of_more_than_a_mebibyte_is_refused_unread():
    def of(size):
        frame = b'{"command":"true","x":""}'
        return frame[:-2] + b"x" * (size - len(frame)) + b'"}'

    assert Job.from_bytes(of(job.MAX_GIVEN))
    with pytest.raises(InvalidJob, match="1024 KiB"):
        Job.from_bytes(of(job.MAX_GIVEN + 1))


def test_a_job_that_would_be_too_large_to_read_is_not_written():
    with pytest.raises(InvalidJob, match="1024 KiB"):
        Job({"command": "true", "x": "x" * job.MAX_GIVEN}).to_bytes()


def test_an_entry_is_measured_a_few_times_however_long_the_history_is(monkeypatch):
    measured = []
    real = job._size
    monkeypatch.setattr(job, "_size", lambda entry: measured.append(entry) or real(entry))
    many = [{"attempt": 1, "error": "x" * 20}] * 50_000
    record = Job({"command": "true", "history": many}).with_entry({"attempt": 2}, CREATED)
    assert len(measured) <= 3 * len(many)
    assert len(record.to_bytes()) <= 2 * job.MAX_HISTORY
    assert record.history[-1] == {"attempt": 2}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", "\udcff", {1, 2}, b"x"])
def test_what_json_cannot_say_is_not_written(value):
    with pytest.raises(InvalidJob, match="cannot be written|is not UTF-8"):
        Job({"command": "true", "x": value}).to_bytes()


def test_what_was_written_is_read_as_it_was():
    given = {
        "command": ["a", "\x1b[31m", "ü"],
        "run_at": 1795543606.25,
        "env": {"A": "b\nc"},
        "history": [entry(exit_code=1)],
    }
    assert Job.from_bytes(Job(given).to_bytes()).fields == given


def test_priority_is_five_where_absent():
    assert Job({"command": "true"}).priority == 5
    assert Job({"command": "true", "priority": 9.0}).priority == 9


def test_run_at_is_an_instant_in_either_spelling():
    at = datetime(2026, 11, 24, 17, tzinfo=timezone.utc)
    assert Job({"command": "true"}).run_at is None
    assert Job({"command": "true", "run_at": "2026-11-24T18:00:00+01:00"}).run_at == at
    assert Job({"command": "true", "run_at": at.timestamp()}).run_at == at


def test_unknown_fields_are_named_with_what_they_may_have_meant():
    given = {"command": "true", "max_retrys": 2, "zzzzzz": 1}
    assert Job(given).unknown_fields() == {"max_retrys": "max_retries", "zzzzzz": None}


def test_the_first_record_stores_when_the_job_was_made():
    made = Job({"command": "true"})
    recorded = made.with_entry(entry(exit_code=0), CREATED)
    assert recorded.fields["created_at"] == "2026-11-24T00:00:00.000000Z"
    again = recorded.with_entry(entry(exit_code=0), CREATED + timedelta(days=1))
    assert again.fields["created_at"] == recorded.fields["created_at"]
    assert len(again.history) == 2
    assert made.history == []


def test_a_full_history_drops_the_output_of_old_runs_and_never_a_run():
    made = Job({"command": "true"})
    for number in range(1, 16):
        run = entry(attempt=number, exit_code=1, output="x" * 100_000)
        made = made.with_entry(run, CREATED)
        assert len(made.to_bytes()) <= job.MAX_FILE
        assert [one["attempt"] for one in made.history] == list(range(1, number + 1))
        assert made.history[-1] == run
    assert "output" not in made.history[0]
    assert "output" in made.history[-2]


def test_a_record_never_fails_on_an_old_entry_and_stays_readable():
    made = Job({"command": "x" * 100_000, "history": [{"attempt": 1, "note": "n" * 900_000}]})
    made = made.with_entry(entry(attempt=2, exit_code=1, output="o" * 4096), CREATED)
    again = Job.from_bytes(made.to_bytes(), job.MAX_FILE)
    assert again.history[-1]["attempt"] == 2


def test_where_bare_runs_do_not_fit_the_oldest_go():
    runs = [entry(attempt=number, note="n" * 1000) for number in range(1, 2000)]
    made = Job.__new__(Job)
    made.fields = {"command": "true", "history": runs}
    recorded = made.with_entry(entry(attempt=2000, exit_code=0), CREATED)
    attempts = [one["attempt"] for one in recorded.history]
    assert attempts[-1] == 2000
    assert attempts == list(range(attempts[0], 2001))
    assert len(recorded.to_bytes()) <= job.MAX_FILE


def test_a_claim_is_recorded_when_attempt_and_time_are_its_own():
    made = Job({"command": "true", "history": [entry(exit_code=0)]})
    assert made.recorded(1, STAMP) == entry(exit_code=0)
    assert made.recorded(2, STAMP) is None
    assert made.recorded(1, "20261124T020646123457Z") is None
    assert Job({"command": "true"}).recorded(1, STAMP) is None


def test_only_the_last_run_can_be_the_claims():
    made = Job({"command": "true", "history": [entry(exit_code=0), entry(attempt=2)]})
    assert made.recorded(1, STAMP) is None


def test_success_is_exit_zero_and_no_error():
    assert job.succeeded(entry(exit_code=0))
    assert not job.succeeded(entry(exit_code=0, error="timed out after 3 s"))
    assert not job.succeeded(entry(exit_code=127))
    assert not job.succeeded(entry(signal=9))


@pytest.mark.parametrize(("attempt", "wait"), [(1, 2), (2, 4), (3, 8), (10, 1024), (20, 86_400)])
def test_the_wait_doubles_from_two_seconds_and_is_bounded(attempt, wait):
    assert job.backoff(attempt, POLICY, 0.0) == wait


@pytest.mark.parametrize(("base", "wait"), [(0, 0), (1, 1), (0.5, 0.125), (86_400, 86_400)])
def test_the_base_is_raised_to_the_attempt(base, wait):
    assert job.backoff(3, POLICY._replace(backoff_base=base), 0.0) == wait


def test_no_attempt_is_too_many_for_the_bound():
    assert job.backoff(999_999, POLICY, 0.0) == 86_400


def test_jitter_adds_its_share_and_stays_within_the_bound():
    policy = POLICY._replace(backoff_jitter=0.5)
    assert job.backoff(3, policy, 0.0) == 8
    assert job.backoff(3, policy, 0.5) == 10
    assert job.backoff(3, policy, 1.0) == 12
    assert job.backoff(30, policy, 1.0) == 86_400


@pytest.mark.parametrize(
    ("end", "attempt", "state", "wait", "attempts"),
    [
        ({"exit_code": 0}, 1, "completed", 0, 1),
        ({"exit_code": 0}, 4, "completed", 0, 4),
        ({"exit_code": 1}, 1, "failed", 2, 1),
        ({"exit_code": 127}, 2, "failed", 4, 2),
        ({"signal": 9}, 3, "failed", 8, 3),
        ({"exit_code": 1}, 4, "dead", 0, 4),
        ({"signal": 9, "error": "timed out after 3 s"}, 1, "failed", 2, 1),
        ({"exit_code": 0, "error": "timed out after 3 s"}, 1, "failed", 2, 1),
        ({"error": LOST}, 1, "failed", 0, 1),
        ({"error": LOST}, 4, "dead", 0, 4),
        ({"error": CANCELLED}, 1, "dead", 0, 1),
        ({"exit_code": 0, "error": CANCELLED}, 1, "dead", 0, 1),
    ],
)
def test_where_a_job_goes_after_a_run(end, attempt, state, wait, attempts):
    place = job.next_place(entry(**end), attempt, POLICY)
    finished = instants.from_rfc3339(FINISHED)
    assert place == (state, finished + timedelta(seconds=wait), attempts)


def test_a_job_runs_at_most_one_more_time_than_its_retries():
    states = [job.next_place(entry(exit_code=1), n, POLICY)[0] for n in range(1, 6)]
    assert states == ["failed", "failed", "failed", "dead", "dead"]
    assert job.next_place(entry(exit_code=1), 1, POLICY._replace(max_retries=0))[0] == "dead"


def test_an_interrupted_run_goes_back_as_if_it_had_never_been_claimed():
    waited = "2026-11-24T01:00:00.000000Z"
    end = entry(error=INTERRUPTED, not_before=waited)
    assert job.next_place(end, 2, POLICY) == ("pending", instants.from_rfc3339(waited), 1)
    assert job.next_place(entry(error=INTERRUPTED), 0, POLICY)[2] == 0


def test_the_place_depends_on_the_record_alone():
    end = entry(exit_code=1)
    assert job.next_place(end, 1, POLICY) == job.next_place(json.loads(json.dumps(end)), 1, POLICY)


@pytest.mark.parametrize(
    ("given", "code", "state"),
    [
        ({"success_on": [3]}, 3, "completed"),
        ({"success_on": [3]}, 0, "completed"),
        ({"success_on": [3]}, 4, "failed"),
        ({"dead_on": [100]}, 100, "dead"),
        ({"dead_on": [100]}, 1, "failed"),
        ({"retry_on": [75, 1]}, 1, "failed"),
        ({"retry_on": [75, 1]}, 2, "dead"),
        ({"retry_on": [1], "dead_on": [1]}, 1, "dead"),
        ({"success_on": [3], "dead_on": [3]}, 3, "completed"),
    ],
)
def test_a_job_says_what_its_exit_codes_mean(given, code, state):
    told = Job({"command": "x", **given})
    end = entry(exit_code=code)
    job.judge(end, told)
    assert job.next_place(end, 1, Settings().policy(told))[0] == state
    assert job.succeeded(end) is (state == "completed")
    assert (job.went_wrong(end) is None) is (state == "completed")


@pytest.mark.parametrize(
    "end",
    [{"signal": 9}, {"signal": 15, "error": "timed out after 3 s"}, {"error": LOST}],
)
def test_exit_codes_say_nothing_of_a_run_that_did_not_end_by_itself(end):
    policy = POLICY._replace(retry_on=[1], dead_on=[0, 143])
    assert job.next_place(entry(**end), 1, policy)[0] == "failed"


def test_a_code_of_a_run_that_was_ended_is_no_success():
    end = entry(exit_code=3, error="timed out after 3 s")
    job.judge(end, Job({"command": "x", "success_on": [3]}))
    assert not job.succeeded(end)


LATER = instants.later(instants.from_rfc3339(FINISHED), 500)


@pytest.mark.parametrize(
    ("code", "attempt", "place"),
    [
        (1, 1, ("failed", LATER, 1)),
        (75, 1, ("failed", LATER, 0)),
        (75, 4, ("failed", LATER, 3)),
        (1, 4, ("dead", instants.from_rfc3339(FINISHED), 4)),
    ],
)
def test_a_run_that_asks_for_its_time_gets_it(code, attempt, place):
    end = entry(exit_code=code)
    job.wish(end, Job({"command": "x"}), LATER)
    assert job.next_place(end, attempt, POLICY) == place


def test_a_run_that_could_not_even_try_uses_an_attempt_when_it_has_said_so_too_often():
    told = Job({"command": "x", "history": [entry(exit_code=75, deferred=True)] * 99})
    for is_deferred in (True, False):
        end = entry(exit_code=75)
        job.wish(end, told, LATER)
        assert end.get("deferred", False) is is_deferred
        told = told.with_entry(end, LATER)
    assert job.next_place(end, 4, POLICY)[0] == "dead"


def test_an_exit_code_that_is_final_is_so_whatever_the_run_asked_for():
    end = entry(exit_code=100)
    job.wish(end, Job({"command": "x"}), LATER)
    assert job.next_place(end, 1, POLICY._replace(dead_on=[100]))[0] == "dead"

"""What Prometheus is told of a spool."""

import builtins
import shutil
import subprocess

import pytest

from spoolq import control, instants, metrics
from spoolq.census import Census
from spoolq.errors import SpoolqError
from tests import given

parser = pytest.importorskip("prometheus_client.parser")


@pytest.fixture
def tell(spool, clock):
    """Return what is told, as value by name and labels (that of the spool left out)."""

    def look(**how):
        text = metrics.exposition(Census(spool, clock.monotonic), now=clock(), **how)
        found = {}
        for family in parser.text_string_to_metric_families(text.decode("utf-8")):
            for sample in family.samples:
                assert sample.name.startswith("spoolq_")
                assert sample.labels.pop("spool") == spool.path
                key = (
                    sample.name[len("spoolq_") :],
                    *(text for _, text in sorted(sample.labels.items())),
                )
                assert key not in found, "told twice"
                found[key] = sample.value
        return found

    return look


@pytest.fixture
def ended(spool, clock):
    """Put a job that has ended into the spool, so many seconds before the clock's now."""

    def put(job_id, *runs, state="completed", before=0.0, waited=2.0, tags=()):
        end = instants.later(clock(), -before)
        history = [
            {
                "attempt": number,
                "worker": "w-1-x",
                "started_at": instants.to_rfc3339(instants.later(end, -took)),
                "finished_at": instants.to_rfc3339(end),
                **how,
            }
            for number, (took, how) in enumerate(runs, 1)
        ]
        first = runs[0][0] if runs else 0
        created_at = instants.to_rfc3339(instants.later(end, -first - waited))
        name = given.named(clock, job_id, attempt=len(runs), wait=-before)
        given.job(spool, state, name, created_at=created_at, history=history, tags=list(tags))
        return name

    return put


WELL, BADLY = {"exit_code": 0}, {"exit_code": 1}


def test_an_empty_spool_has_every_gauge_at_nothing(tell):
    found = tell()
    assert found["jobs", "dead"] == found["workers",] == found["slots",] == found["paused",] == 0
    assert found["oldest_due_age_seconds",] == found["longest_running_seconds",] == 0
    assert ("next_due_timestamp_seconds",) not in found
    assert found["recent_wait_seconds_bucket", "+Inf"] == 0


def test_jobs_are_told_by_state_and_what_is_no_job_apart(spool, clock, tell):
    for state in ("pending", "failed", "completed", "completed", "dead"):
        given.job(spool, state, given.named(clock, f"j{len(given.everything(spool))}"))
    given.write(spool, "pending", "notes.txt", "?")
    found = tell()
    states = ("pending", "processing", "failed", "completed", "dead")
    assert [found["jobs", state] for state in states] == [1, 0, 1, 2, 1]
    assert found["ignored_entries",] == 1


def test_what_is_due_longest_is_told_and_what_is_due_next(spool, clock, tell):
    given.job(spool, "pending", given.named(clock, "old", wait=-90))
    given.job(spool, "pending", given.named(clock, "now"))
    given.job(spool, "pending", given.named(clock, "later", wait=60))
    given.job(spool, "failed", given.named(clock, "retry", wait=30))
    found = tell()
    assert found["due_jobs",] == 2
    assert found["oldest_due_age_seconds",] == 90
    assert found["next_due_timestamp_seconds",] == pytest.approx(clock().timestamp() + 30)


def test_a_dropped_file_is_due_since_it_is_there(spool, clock, tell):
    given.write(spool, "pending", "drop.json", '{"command": "true"}')
    clock.set_wall(instants.later(instants.now(), 3600))
    found = tell()
    assert found["due_jobs",] == 1
    assert 3590 < found["oldest_due_age_seconds",] < 3700


def test_workers_and_their_slots_are_told_and_dead_ones_apart(spool, clock, tell):
    alive, dead = given.worker(spool), given.worker(spool)
    for own, job_id in ((alive, "a"), (dead, "b")):
        given.claim(spool, own, given.job(spool, "pending", given.named(clock, job_id)), clock)
    given.die(dead)
    alive.show_trouble("outcomes", "No space left on device")
    clock.advance(10)
    found = tell()
    assert [found[what,] for what in ("workers", "workers_lost", "workers_in_trouble")] == [1, 1, 1]
    assert (found["slots",], found["slots_busy",]) == (1, 1)
    assert 10 < found["longest_running_seconds",] < 10.1
    assert found["recent_started_runs",] == 2
    alive.leave()


@pytest.mark.parametrize("count", ['"many"', "true", "-4", "1e9", "null", "[]"])
def test_a_count_that_is_none_is_no_slot(spool, tell, count):
    own = given.worker(spool)
    with open(f"{own.dir.path}/worker.json", "w", encoding="utf-8") as card:
        card.write(f'{{"count": {count}}}')
    assert (tell()["workers",], tell()["slots",]) == (1, 0)
    own.leave()


def test_a_paused_spool_says_so(spool, tell):
    given.write(spool, ".", "paused", "")
    assert tell()["paused",] == 1


def test_what_ended_in_the_last_hour_is_told_and_what_ended_before_is_not(ended, tell):
    ended("a", (1, WELL), before=10)
    ended("b", (1, BADLY), state="dead", before=3599.5)
    ended("c", (1, WELL), before=3601)
    found = tell()
    assert (found["recent_ended_jobs", "completed"], found["recent_ended_jobs", "dead"]) == (1, 1)
    assert (found["recent_read_jobs",], found["recent_seconds",]) == (2, 3600)
    assert (found["jobs", "completed"], found["recent_started_runs",]) == (2, 1)


def test_removing_what_ended_before_the_last_hour_changes_nothing_of_it(spool, ended, tell):
    """What counters made of files would get wrong: a purge is no restart."""
    old = ended("old", (1, WELL), before=7200)
    ended("new", (1, WELL))
    before = tell()
    spool.remove("completed", str(old))
    after = tell()
    assert {key for key in before if before[key] != after[key]} == {("jobs", "completed")}


def test_runs_are_told_by_how_they_ended(ended, tell):
    lost, cancelled = {"error": "worker lost"}, {"error": "cancelled", "signal": 15}
    ended("a", (1, BADLY), (1, {"signal": 9}), (1, lost), (1, WELL))
    ended("b", (1, {"error": "timed out after 3 s"}), (1, cancelled), state="dead")
    ended("c", (1, {"error": "interrupted"}), (1, {"error": "cannot start: no"}), state="dead")
    found = tell()
    words = ("succeeded", "failed", "timed_out", "cancelled", "interrupted", "lost")
    assert [found["recent_runs", word] for word in words] == [1, 3, 1, 1, 1, 1]
    assert found["recent_started_runs",] == 8


def test_waits_runs_and_attempts_are_told_as_histograms(ended, tell):
    ended("a", (0.02, WELL), waited=2)
    ended("b", (20, BADLY), (40, WELL), waited=400)
    found = tell()
    waits = [found["recent_wait_seconds_bucket", le] for le in ("1.0", "3.0", "900.0", "+Inf")]
    assert waits == [0, 1, 1 + 1, 2]
    assert found["recent_wait_seconds_sum",] == pytest.approx(402)
    runs = [found["recent_run_seconds_bucket", le] for le in ("0.01", "0.03", "30.0", "60.0")]
    assert runs == [0, 1, 2, 3]
    assert found["recent_run_seconds_count",] == 3
    assert [found["recent_attempts_bucket", le] for le in ("1.0", "2.0")] == [1, 2]


def test_of_many_the_newest_are_read_and_the_time_of_those_is_told(ended, tell, monkeypatch):
    monkeypatch.setattr(metrics, "MOST_READ", 3)
    for number in range(10):
        ended(f"j{number}", (1, WELL), before=10 * number)
    found = tell()
    assert found["recent_ended_jobs", "completed"] == 10
    assert (found["recent_read_jobs",], found["recent_seconds",]) == (3, 20)
    assert found["recent_run_seconds_count",] == 3


def test_tags_are_told_the_most_frequent_first_and_within_a_bound(ended, tell):
    ended("a", (1, WELL), tags=["mail", "x"])
    ended("b", (1, BADLY), state="dead", tags=["mail", "y"])
    found = tell(max_tags=1)
    assert found["recent_tag_jobs", "completed", "mail"] == 1
    assert found["recent_tag_jobs", "dead", "mail"] == 1
    assert ("recent_tag_jobs", "completed", "x") not in found
    assert found["recent_tags_left_out",] == 2


def test_the_tags_that_are_named_are_told_and_no_others(ended, tell):
    ended("a", (1, WELL), tags=["mail", "x"])
    found = tell(tags=["x", "never", "x"])
    told = {key[1:]: value for key, value in found.items() if key[0] == "recent_tag_jobs"}
    assert told == {
        ("completed", "x"): 1,
        ("dead", "x"): 0,
        ("completed", "never"): 0,
        ("dead", "never"): 0,
    }
    assert found["recent_tags_left_out",] == 1


HOSTILE = ['"} 1\nspoolq_up 1', "\x1b[2J", "a\\", "\u202egnp.exe", "{", "# HELP", "a\tb"]


def test_a_hostile_tag_makes_no_line_and_moves_no_cursor(spool, clock, ended, tell):
    ended("a", (1, WELL), tags=HOSTILE)
    text = metrics.exposition(Census(spool, clock.monotonic), now=clock()).decode("utf-8")
    assert all(line.isprintable() for line in text.splitlines())
    ours = ("spoolq_", "# HELP spoolq_", "# TYPE spoolq_")
    assert all(line.startswith(ours) for line in text.splitlines())
    found = tell()
    assert sum(key[0] == "recent_tag_jobs" for key in found) == 2 * len(HOSTILE)
    assert ("up",) not in found


def test_two_tags_that_look_the_same_are_one(ended, tell):
    ended("a", (1, WELL), tags=["\x1b", "\\x1b"])
    assert tell()["recent_tag_jobs", "completed", "\\x1b"] == 1


def test_a_file_that_is_no_job_is_counted_and_told_no_further(spool, clock, tell):
    given.write(spool, "dead", str(given.named(clock, "bad")), "{")
    found = tell()
    assert (found["recent_ended_jobs", "dead"], found["recent_read_jobs",]) == (1, 0)


@pytest.mark.parametrize(
    "stamp", ["z" * 22, "0" * 22, "20261399T000000000000Z", "é" * 22, " " * 22]
)
def test_a_name_that_only_looks_like_one_of_a_job_has_no_time(spool, clock, ended, tell, stamp):
    for state in ("pending", "failed", "completed", "dead"):
        given.write(spool, state, f"{stamp}.p5.a0.x.json", '{"command": "true"}')
    given.write(spool, "processing", f"{stamp}.p5.a0.x@w-1-x.0.json", '{"command": "true"}')
    given.job(spool, "pending", given.named(clock, "due", wait=-5))
    given.job(spool, "failed", given.named(clock, "retry", wait=5))
    ended("well", (1, WELL))
    found = tell()
    assert found["oldest_due_age_seconds",] == 5
    assert found["next_due_timestamp_seconds",] == clock().timestamp() + 5
    assert found["longest_running_seconds",] == 0
    assert found["recent_read_jobs",] == 1


def test_what_ends_in_the_future_is_told_without_a_negative_time(ended, tell):
    ended("a", (1, WELL), before=-9999, waited=-5)
    found = tell()
    assert found["recent_ended_jobs", "completed"] == 1
    assert found["recent_wait_seconds_sum",] == 0
    assert found["recent_seconds",] > 0


def test_without_its_library_it_says_what_to_install(spool, monkeypatch):
    real = builtins.__import__

    def without(name, *args, **kwargs):
        if name.startswith("prometheus_client"):
            raise ImportError(name)
        return real(name, *args, **kwargs)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(SpoolqError, match="prometheus_client") as caught:
        metrics.exposition(Census(spool))
    assert caught.value.hint == "pip install 'spoolq[metrics]'"


def test_nothing_is_told_of_the_process_and_nothing_is_left_registered(tell):
    from prometheus_client import REGISTRY

    tell()  # looks that every name is one of ours
    assert not any(name.startswith("spoolq") for name in REGISTRY._names_to_collectors)


@pytest.mark.skipif(shutil.which("promtool") is None, reason="there is no promtool here")
def test_promtool_finds_nothing_to_complain_of(spool, clock, ended):
    ended("a", (1, WELL), tags=HOSTILE)
    text = metrics.exposition(Census(spool, clock.monotonic), now=clock())
    done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_a_job_that_was_cancelled_while_it_waited_has_not_run(spool, clock, tell):
    given.job(spool, "pending", given.named(clock, "a", wait=3600.0))
    control.cancel(spool, "a", clock=clock)
    found = tell()
    assert found["recent_ended_jobs", "dead"] == 1
    assert found["recent_started_runs",] == 0
    assert found["recent_runs", "cancelled"] == 0
    assert found["recent_run_seconds_count",] == 0

"""What is in a spool: states, look-ups and derived fields; looking changes nothing."""

import json
import os
import random
from datetime import timedelta

import pytest

from spoolq import instants, lease, roster, views
from spoolq.config import Settings
from spoolq.errors import Ambiguous, NotFound
from spoolq.fsio import Dir
from spoolq.job import MAX_GIVEN
from spoolq.layout import LOOK_ORDER
from spoolq.spool import SpoolDir
from tests import given

SETTINGS = Settings()
STATES = ("pending", "processing", "failed", "completed", "dead")


def put_one_in_each(spool, clock):
    for number, state in enumerate(STATES):
        name = given.named(clock, f"in-{state}", wait=number)
        if state == "processing":
            name = name._replace(worker="w-1-x", slot="0")
        given.job(spool, state, name, tags=[state, "all"])


def ids(jobs):
    return [view.id for view in jobs]


# --- counts ---------------------------------------------------------------------------------------


def test_counts_tell_jobs_of_each_state_and_what_is_ignored(spool, clock):
    put_one_in_each(spool, clock)
    given.write(spool, "dead", "bad.json", "{")
    given.write(spool, "pending", "notes.txt", "")
    given.write(spool, "pending", ".hidden.json", "{}")
    given.write(spool, "completed", ".gitignore", "*")
    assert views.counts(spool) == {
        "pending": 1,
        "processing": 1,
        "failed": 1,
        "completed": 1,
        "dead": 2,
        "ignored": 2,
    }


# --- one job --------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", STATES)
def test_a_job_is_found_in_every_state(spool, clock, state):
    put_one_in_each(spool, clock)
    view = views.find(spool, f"in-{state}")
    assert (view.state, view.id, view.problem) == (state, f"in-{state}", None)
    assert view.path == os.path.join(spool.path, state, view.filename)


def test_what_does_not_exist_is_not_found(spool):
    with pytest.raises(NotFound, match="no job 'j1'"):
        views.find(spool, "j1")


@pytest.mark.parametrize("state", ["dead", "pending"])
def test_a_file_that_is_no_job_is_found_by_its_name(spool, state):
    given.write(spool, state, "bad one.json", '{"command": 3}')
    view = views.find(spool, "bad one.json")
    assert (view.id, view.name, view.job) == ("bad one.json", None, None)
    assert "line 1, column 13, field 'command'" in view.error


def test_no_name_leads_out_of_the_spool(spool):
    given.write(spool, "dead", "x.json", "{")
    for name in ("../dead/x.json", "/etc/x.json", "../config.json"):
        with pytest.raises(NotFound):
            views.find(spool, name)


def test_a_job_that_moves_between_its_name_and_its_file_is_looked_up_again(
    spool, clock, monkeypatch
):
    name = given.job(spool, "failed", given.named(clock, attempt=1))
    real = SpoolDir.locate

    def locate(self, wanted):
        found = real(self, wanted)
        spool.promote(str(name), name)
        return found

    monkeypatch.setattr(SpoolDir, "locate", locate)
    assert views.find(spool, "j1").state == "pending"


def test_a_file_that_goes_between_two_looks_is_gone(spool, clock):
    assert views.look(spool, "pending", str(given.named(clock)), SETTINGS) is None


@pytest.mark.parametrize(
    "make, says",
    [
        (lambda path: os.mkdir(path), "not a file but a directory"),
        (lambda path: os.mkfifo(path), "not a file but a FIFO"),
        (lambda path: os.symlink("/etc/passwd", path), "not a file but a symbolic link"),
    ],
    ids=["directory", "FIFO", "link"],
)
def test_what_is_no_file_is_shown_with_its_reason_and_never_opened(spool, make, says):
    make(os.path.join(spool.path, "dead", "x.json"))
    view = views.find(spool, "x.json")
    assert view.error == says
    assert view.as_dict()["error"] == says


@pytest.mark.parametrize("state", ["pending", "dead"])
def test_a_drop_larger_than_a_worker_takes_is_shown_as_no_job(spool, state):
    start, end = '{"command": "true", "note": "', '"}'
    for size, problem in ((MAX_GIVEN, False), (MAX_GIVEN + 1, True)):
        given.write(spool, state, "x.json", start + "x" * (size - len(start + end)) + end)
        view = views.look(spool, state, "x.json", SETTINGS)
        assert (view.problem is not None, view.job is None) == (problem, problem)
    assert "larger than 1024 KiB" in str(view.problem)


def test_the_history_of_a_job_does_not_count_against_the_size_of_a_drop(spool, clock):
    name = given.named(clock, attempt=1)
    entry = {"attempt": 1, "finished_at": "2026-11-24T02:06:46Z", "output": "x" * MAX_GIVEN}
    given.job(spool, "dead", name, history=[entry])
    view = views.look(spool, "dead", str(name), SETTINGS)
    assert view.problem is None
    assert len(view.job.history) == 1


# --- what is derived ------------------------------------------------------------------------------


def test_what_is_derived_is_in_the_output_and_never_on_disk(spool, clock):
    name = given.named(clock, attempt=2, priority=7, wait=60)
    run = given.entry(name._replace(worker="w", slot="0"), clock, exit_code=3)
    given.job(spool, "failed", name, history=[run], tags=["t"], note="own", max_retries=5)
    before = given.content(spool, "failed", str(name))
    shown = views.find(spool, "j1").as_dict()
    assert given.content(spool, "failed", str(name)) == before
    assert shown["state"] == "failed"
    assert (shown["attempts"], shown["max_retries"], shown["priority"]) == (2, 5, 7)
    assert shown["not_before"] == instants.to_rfc3339(clock() + timedelta(seconds=60))
    assert (shown["exit_code"], shown["error"]) == (3, "exit code 3")
    assert (shown["note"], shown["tags"], shown["history"]) == ("own", ["t"], [run])
    assert {"state", "attempts", "not_before", "updated_at"}.isdisjoint(json.loads(before))
    json.dumps(shown)


@pytest.mark.parametrize("state", ["processing", "completed", "dead"])
def test_only_a_waiting_job_has_a_time_before_which_it_does_not_run(spool, clock, state):
    put_one_in_each(spool, clock)
    assert views.find(spool, f"in-{state}").as_dict()["not_before"] is None


def test_a_default_is_looked_up_when_it_is_shown(spool, clock):
    given.job(spool, "pending", given.named(clock))
    assert views.find(spool, "j1").max_retries == 3
    given.write(spool, "", "config.json", '{"format": 1, "max_retries": 9}')
    assert views.find(spool, "j1").max_retries == 9


def test_a_wrong_configuration_is_warned_of_and_the_defaults_hold(spool):
    given.write(spool, "", "config.json", '{"format": 1, "max_retries": "many"}')
    settings, warnings = views.settings_of(spool)
    assert settings == Settings()
    assert "max_retries" in warnings[0]


@pytest.mark.parametrize(
    "run, error",
    [
        ({"exit_code": 0}, None),
        ({"exit_code": 7}, "exit code 7"),
        ({"signal": 9}, "killed by signal 9"),
        ({"exit_code": 1, "error": "timed out after 3 s"}, "timed out after 3 s"),
        (None, None),
    ],
)
def test_an_error_is_told_in_words(spool, clock, run, error):
    given.job(spool, "completed", given.named(clock), history=[run] if run else [])
    assert views.find(spool, "j1").error == error


def test_a_job_without_created_at_was_made_when_its_file_was_written(spool, clock):
    name = given.job(spool, "pending", given.named(clock, "a"))
    os.utime(os.path.join(spool.path, "pending", str(name)), (1000, 1000))
    assert views.find(spool, "a").created_at == instants.from_epoch(1000)
    given.job(spool, "pending", given.named(clock, "b"), created_at="2031-01-01T01:00:00+01:00")
    assert views.find(spool, "b").as_dict()["created_at"] == "2031-01-01T00:00:00.000000Z"


# --- lists ----------------------------------------------------------------------------------------


def test_jobs_are_listed_newest_first(spool, clock):
    put_one_in_each(spool, clock)
    assert ids(views.jobs(spool)) == [f"in-{state}" for state in reversed(STATES)]


def test_each_job_is_read_once_for_a_list_by_tag(spool, clock, monkeypatch):
    """Though pending/ is looked at twice, for what moves meanwhile."""
    for number in range(5):
        given.job(spool, "pending", given.named(clock, f"j{number}"), tags=["other"])
    given.job(spool, "pending", given.named(clock, "wanted"), tags=["this"])
    read = []
    real = Dir.read
    monkeypatch.setattr(
        Dir, "read", lambda self, name, limit: read.append(name) or real(self, name, limit)
    )
    assert ids(views.jobs(spool, tag="this")) == ["wanted"]
    assert len([name for name in read if name.endswith(".json") and "Z.p" in name]) == 6


def test_a_list_can_be_of_one_state_of_a_tag_and_of_a_length(spool, clock):
    put_one_in_each(spool, clock)
    assert ids(views.jobs(spool, state="failed")) == ["in-failed"]
    assert ids(views.jobs(spool, tag="pending")) == ["in-pending"]
    assert ids(views.jobs(spool, limit=2)) == ["in-dead", "in-completed"]
    assert ids(views.jobs(spool, tag="all", limit=3)) == ["in-dead", "in-completed", "in-failed"]
    assert ids(views.jobs(spool, tag="none")) == []
    assert ids(views.jobs(spool, limit=0)) == []


def test_files_that_are_no_jobs_are_listed_by_their_names(spool):
    given.write(spool, "dead", "bad.json", "{")
    given.write(spool, "dead", "worse.json", "[")
    assert sorted(ids(views.jobs(spool))) == ["bad.json", "worse.json"]


def test_a_job_that_moves_during_a_list_is_listed_once(spool, clock, monkeypatch):
    name = given.job(spool, "failed", given.named(clock, attempt=1))
    real = Dir.scan

    def scan(directory):
        found = list(real(directory))
        if os.path.basename(directory.path) == "failed":
            spool.promote(str(name), name)
        return iter(found)

    monkeypatch.setattr(Dir, "scan", scan)
    assert [(view.id, view.state) for view in views.jobs(spool)] == [("j1", "pending")]


# --- what a person means --------------------------------------------------------------------------


def test_a_unique_beginning_of_an_id_will_do(spool, clock):
    for job_id in ("abc1", "abd2", "abd"):
        given.job(spool, "pending", given.named(clock, job_id))
    assert views.resolve(spool, "abc") == "abc1"
    assert views.resolve(spool, "abd") == "abd"  # an id, though another begins with it
    with pytest.raises(Ambiguous, match="3 ids begin with 'ab': abc1, abd, abd2"):
        views.resolve(spool, "ab")
    with pytest.raises(NotFound):
        views.resolve(spool, "x")


def test_one_job_seen_twice_is_not_ambiguous(spool, clock):
    given.job(spool, "pending", given.named(clock, "abc"))
    assert views.resolve(spool, "a") == "abc"


def test_the_newest_are_the_first_of_all_of_them(spool, clock):
    chance = random.Random(7)
    for number in range(120):
        state = chance.choice(["pending", "failed", "completed", "dead"])
        wait = chance.uniform(-1e6, 1e6)
        given.job(spool, state, given.named(clock, f"j{number}", wait=wait))
    for filename in ("a.json", "0.json", "20300101T000000000000Z.json", "20300101 x.json"):
        given.write(spool, "pending", filename, "{}")
    given.write(spool, "dead", "20200101T000000000000Z.json", "{}")
    given.write(spool, "dead", "~.json.bak", "")
    every = [view.filename for view in views.jobs(spool)]
    assert len(every) == 125
    for limit in (0, 1, 2, 5, 39, 41, 123, 125, 200):
        assert [view.filename for view in views.jobs(spool, limit=limit)] == every[:limit]


def test_last_is_what_was_enqueued_last_else_the_newest(spool, clock):
    with pytest.raises(NotFound, match="no job in .* yet"):
        views.resolve(spool, "last")
    given.job(spool, "pending", given.named(clock, "old"))
    given.job(spool, "failed", given.named(clock, "new", wait=5))
    assert views.resolve(spool, "last") == "new"
    given.write(spool, "tmp", ".last", "old")
    assert views.resolve(spool, "last") == "old"
    for noted in ("gone", "../x", "\xff", "last"):
        given.write(spool, "tmp", ".last", noted)
        assert views.resolve(spool, "last") == "new"


@pytest.mark.parametrize("text", ["abc", "ab", "bad.json"])
def test_a_job_that_moves_during_one_look_is_found_by_the_second(spool, clock, monkeypatch, text):
    given.job(spool, "completed", given.named(clock, "abc"))
    given.write(spool, "dead", "bad.json", "{")
    looks = []
    real = Dir.scan

    def scan(self):
        looks.append(self.path)
        return iter(()) if len(looks) <= len(LOOK_ORDER) else real(self)

    monkeypatch.setattr(Dir, "scan", scan)
    assert views.resolve(spool, text) == ("abc" if text == "ab" else text)


# --- workers --------------------------------------------------------------------------------------


def test_workers_are_shown_with_what_they_run_and_whether_they_live(spool, clock):
    alive, dead = given.worker(spool), given.worker(spool)
    given.claim(spool, alive, given.job(spool, "pending", given.named(clock, "a")), clock, "1")
    given.claim(spool, dead, given.job(spool, "pending", given.named(clock, "b")), clock)
    given.die(dead)
    shown = {view.name: view.as_dict() for view in roster.workers(spool)}
    assert (shown[alive.name]["alive"], shown[dead.name]["alive"]) == (True, False)
    (run,) = shown[alive.name]["running"]
    assert (run["id"], run["attempt"], run["slot"]) == ("a", 1, "1")
    assert shown[alive.name]["pid"] == os.getpid()
    json.dumps(shown)


def test_a_run_that_has_ended_and_waits_for_the_disk_does_not_run(spool, clock):
    own = given.worker(spool)
    for number, job_id in enumerate(("ended", "runs")):
        name = given.job(spool, "pending", given.named(clock, job_id))
        given.claim(spool, own, name, clock, str(number))
    given.write(spool, f"workers/{own.name}", "0.outcome", "{}")
    (view,) = roster.workers(spool)
    assert [claim.id for claim in view.running] == ["runs"]
    given.die(own)  # all of its claims are there to be taken over
    (view,) = roster.workers(spool)
    assert {claim.id for claim in view.running} == {"ended", "runs"}


def test_a_run_that_ends_during_the_look_does_not_run(spool, clock, monkeypatch):
    own = given.worker(spool)
    given.claim(spool, own, given.job(spool, "pending", given.named(clock)), clock)
    probe = lease.probe

    def ends_now(*what):
        given.write(spool, f"workers/{own.name}", "0.outcome", "{}")
        return probe(*what)

    monkeypatch.setattr(lease, "probe", ends_now)
    (view,) = roster.workers(spool)
    assert view.running == ()


def test_a_worker_without_a_directory_is_shown_while_it_has_claims(spool, clock):
    name = given.named(clock)._replace(worker="gone-1-x", slot="0")
    given.job(spool, "processing", name)
    (view,) = roster.workers(spool)
    assert (view.name, view.alive, view.card) == ("gone-1-x", False, {})


def test_looking_disturbs_no_worker(spool):
    """A probe takes the lock shared for an instant, and two who look do not see each other."""
    own = given.worker(spool)
    for _ in range(20):
        assert [view.alive for view in roster.workers(spool)] == [True]
    assert own.is_ours()

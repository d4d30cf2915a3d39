"""A tag is paused by a file; jobs with it wait, others go on."""

import json
import os
from pathlib import Path

import pytest

from spoolq import pauses, roster
from spoolq.aside import Aside
from spoolq.config import Settings
from spoolq.job import Job
from spoolq.names import Name
from tests import given
from tests.conftest import entries, wait_until

ODD = ["night", "a/b", "50%", "%2F", ".", "..", "zwei Wörter", "tab\there", "x" * 64, "/" * 64]


@pytest.mark.parametrize("tag", ODD)
def test_every_tag_has_a_file_and_the_file_tells_the_tag(spool, tag):
    assert pauses.pause(spool, tag)
    assert not pauses.pause(spool, tag)
    assert pauses.paused_tags(spool) == {tag}
    assert [entry for entry in os.listdir(spool.path) if entry.startswith("paused.")]
    assert pauses.resume(spool, tag)
    assert not pauses.resume(spool, tag)
    assert pauses.paused_tags(spool) == frozenset()


def test_touch_and_rm_do_the_same(spool):
    path = Path(spool.path, "paused.night")
    path.touch()
    assert pauses.paused_tags(spool) == {"night"}
    path.unlink()
    assert pauses.paused_tags(spool) == frozenset()


def test_the_whole_spool_is_another_matter(spool):
    Path(spool.path, "paused").touch()
    Path(spool.path, "paused.").touch()
    assert pauses.paused_tags(spool) == frozenset()


# --- what is set aside ----------------------------------------------------------------------------


@pytest.fixture
def aside(spool, clock):
    return Aside(spool, clock.monotonic)


def put(spool, clock, job_id, *tags):
    clock.advance(0.001)
    return given.job(spool, "pending", given.named(clock, job_id), tags=[*tags])


def test_jobs_with_a_paused_tag_are_set_aside_until_it_goes_on(aside, spool, clock):
    night, day = put(spool, clock, "j1", "night", "x"), put(spool, clock, "j2", "day")
    assert not aside.pause(frozenset({"night"}))
    assert aside.admit(str(night), night) is None
    assert aside.admit(str(day), day) == ()
    assert not aside.is_idle()
    assert aside.back(Settings()) == []
    assert not aside.pause(frozenset({"night", "day"}))
    assert aside.pause(frozenset({"day"}))
    assert aside.back(Settings()) == [str(night)]
    assert aside.admit(str(night), night) == ()


def test_a_worker_of_a_tag_is_idle_beside_jobs_of_others(spool, clock):
    aside = Aside(spool, clock.monotonic, ["night"])
    night, day = put(spool, clock, "j1", "x", "night"), put(spool, clock, "j2", "day")
    plain = put(spool, clock, "j3")
    assert aside.admit(str(day), day) is None
    assert aside.admit(str(plain), plain) is None
    assert aside.is_idle()
    assert aside.admit(str(night), night) == ()
    assert not aside.suits(Job({"command": "x", "tags": ["day"]}), ())
    assert aside.suits(Job({"command": "x", "tags": ["day", "night"]}), ())


def test_a_worker_of_a_tag_reads_the_jobs_of_others_once(spool, clock, monkeypatch):
    aside = Aside(spool, clock.monotonic, ["night"])
    day = put(spool, clock, "j1", "day")
    assert aside.admit(str(day), day) is None
    inode = os.stat(os.path.join(spool.path, "pending", str(day))).st_ino
    monkeypatch.setattr(spool.dir("pending"), "read", None)
    assert aside.stays(str(day), inode)
    aside.keep({str(day)})
    assert aside.back(Settings()) == []


def test_what_waits_for_a_retry_or_runs_elsewhere_concerns_a_worker_by_its_tag(spool, clock):
    aside = Aside(spool, clock.monotonic, ["night"])
    day = given.job(spool, "failed", given.named(clock, "j1"), tags=["day"])
    failed = spool.dir("failed")
    assert not aside.concerns(failed, [str(day), "gone.json"])
    assert Aside(spool, clock.monotonic).concerns(failed, [str(day)])
    night = given.job(spool, "failed", given.named(clock, "j2"), tags=["night"])
    assert aside.concerns(failed, [str(day), str(night)])


# --- with workers ---------------------------------------------------------------------------------


def ids(spool, state):
    return {name.split(".")[3] for name in entries(spool, state)}


def test_workers_go_on_with_what_is_not_paused_and_then_with_the_rest(spool, run_cli, start_worker):
    run_cli("pause", "--tag", "night")
    run_cli("enqueue", "--id", "n1", "--tag", "night", "--priority", "9", "true")
    run_cli("enqueue", "--id", "d1", "true")
    worker = start_worker("--drain")
    wait_until(lambda: ids(spool, "completed") == {"d1"}, "the other job")
    assert ids(spool, "pending") == {"n1"}
    status = json.loads(run_cli("status", "--json").stdout)
    assert status["paused_tags"] == ["night"]
    assert "paused tags: night" in run_cli("status").stdout
    assert "spoolq resume --tag night" in run_cli("show", "n1").stdout
    assert worker.poll() is None  # it is due
    run_cli("resume", "--tag", "night")
    assert worker.wait(60) == 0
    assert ids(spool, "completed") == {"d1", "n1"}


def test_a_tag_that_is_paused_while_a_worker_runs_is_noticed(spool, run_cli, start_worker):
    start_worker()
    Path(spool.path, "paused.night").touch()

    def waits():
        job_id = run_cli("enqueue", "--tag", "night", "true").stdout.strip()
        waited = run_cli("wait", job_id, "--timeout", "1s", check=False)
        assert waited.returncode in (0, 75)
        return job_id if waited.returncode else None

    job_id = wait_until(waits, "the pause")
    assert job_id in ids(spool, "pending")
    assert "spoolq resume --tag night" in run_cli("show", job_id).stdout
    Path(spool.path, "paused.night").unlink()
    run_cli("wait", job_id, "--timeout", "60s")


def test_a_worker_of_tags_runs_those_alone_and_leaves_when_they_are_done(
    spool, run_cli, start_worker
):
    for number, tag in enumerate(("video", "audio", "mail")):
        run_cli("enqueue", "--id", f"j{number}", "--tag", tag, "true")
    run_cli("enqueue", "--id", "plain", "true")
    later = Name("20990101T000000000000Z", 5, 1, "other")
    given.job(spool, "failed", later, tags=["mail"])
    worker = start_worker("--tag", "video", "--tag", "audio", "--drain")
    assert worker.wait(60) == 0
    assert ids(spool, "completed") == {"j0", "j1"}
    assert ids(spool, "pending") == {"j2", "plain"}
    assert entries(spool, "failed") == [str(later)]


def test_who_is_shown_as_a_worker_is_shown_with_its_tags(spool, run_cli, start_worker):
    start_worker("--tag", "video", "--tag", "a b")
    assert "only with tag video or a b" in run_cli("status").stdout
    (view,) = json.loads(run_cli("worker", "list", "--json").stdout)
    assert view["tags"] == ["video", "a b"]
    assert "of those tagged video, a b" in Path(spool.path, ".worker-0.log").read_text()


def test_as_many_tags_are_told_as_there_is_room_for():
    assert roster.told_tags(["a", "b"]) == ["a", "b"]
    assert roster.told_tags(["ü" * 60] * 3) == []
    assert len(roster.told_tags([f"tag{number}" for number in range(100)])) < 100


@pytest.mark.parametrize("verb", ["list", "wait", "cancel", "hold", "release", "retry"])
def test_the_verbs_of_a_batch_take_a_tag(run_cli, verb):
    assert "--tag" in run_cli(verb, "--help").stdout

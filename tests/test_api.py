"""The Python front door: what is stored, what is returned, and what is raised."""

import errno
import json
import os
import threading
from datetime import datetime, timedelta, timezone

import pytest

import spoolq
from spoolq import Spool, config, fsio, names
from spoolq.errors import (
    Busy,
    IdTaken,
    InvalidJob,
    InvalidSetting,
    NoSpool,
    NotFound,
    OutcomeUnknown,
    StorageFull,
    WrongState,
)
from spoolq.layout import LOOK_ORDER
from spoolq.spool import SpoolDir
from tests import given
from tests.faults.loop.seam import Plan, Seam
from tests.users import ROOT


@pytest.fixture
def queue(spool):
    with Spool(spool.path) as found:
        yield found


def stored(queue, job_id):
    view = queue.get(job_id)
    return json.loads(given.content(queue.dir, view.state, view.filename))


def complete(queue, clock, job_id):
    """Run a job to a success, as a worker does."""
    own = given.worker(queue.dir)
    claim = given.claim(queue.dir, own, queue.get(job_id).name, clock)
    queue.dir.finish(own.dir, [given.record(queue.dir, claim, clock, exit_code=0)])
    own.leave()


# --- opening --------------------------------------------------------------------------------------


def test_a_spool_is_made_only_where_that_is_asked_for(tmp_path):
    path = str(tmp_path / "new")
    with pytest.raises(NoSpool):
        Spool(path)
    assert not os.path.exists(path)
    with Spool(path, create=True) as queue:
        assert queue.counts()["pending"] == 0
    with Spool(path, create=True) as again:
        assert again.path == path
    assert repr(again) == f"Spool({path!r})"


def test_the_default_spool_is_that_of_the_environment(monkeypatch, spool):
    monkeypatch.setenv("SPOOLQ_SPOOL", spool.path)
    with Spool() as queue:
        assert queue.path == spool.path


def test_the_front_door_is_the_package(queue):
    assert spoolq.Spool is Spool


# --- enqueue --------------------------------------------------------------------------------------


def test_an_enqueued_job_waits_whole_under_its_id(queue):
    job_id = queue.enqueue("echo hello", tags=["a"], max_retries=5)
    view = queue.get(job_id)
    assert (view.state, view.attempts, view.job.command) == ("pending", 0, "echo hello")
    assert names.is_id(job_id)
    assert len(job_id) == 13


def test_only_what_was_given_is_stored(queue):
    job_id = queue.enqueue("echo")
    assert set(stored(queue, job_id)) == {"command", "created_at"}


def test_words_are_kept_as_words(queue):
    for command in (["echo", "a b"], ("echo", "a b")):
        assert stored(queue, queue.enqueue(command))["command"] == ["echo", "a b"]


def test_an_aware_datetime_will_do_as_a_time(queue):
    at = datetime.now(timezone.utc) + timedelta(days=2)
    job_id = queue.enqueue("echo", run_at=at)
    assert queue.get(job_id).not_before == at


def test_priority_goes_into_the_name(queue):
    assert queue.get(queue.enqueue("echo", priority=9)).name.priority == 9


def test_a_batch_keeps_its_order_and_the_order_of_its_names(queue):
    ids = queue.enqueue_many([f"echo {number}" for number in range(50)])
    waiting = sorted(queue.dir.dir("pending").list())
    assert [names.parse(filename).id for filename in waiting] == ids
    assert [stored(queue, job_id)["command"] for job_id in ids[:3]] == [
        "echo 0",
        "echo 1",
        "echo 2",
    ]


def test_a_batch_of_nothing_is_nothing(queue):
    assert queue.enqueue_many([]) == []
    assert queue.dir.dir("tmp").list() == []


def test_a_batch_may_mix_commands_and_objects_and_be_a_stream(queue):
    jobs = (job for job in ["echo a", {"command": ["echo", "b"], "id": "b"}])
    assert queue.enqueue_many(jobs)[1] == "b"


@pytest.mark.parametrize(
    "bad, path",
    [
        ({"command": ""}, ("command",)),
        ({"command": "a", "priority": True}, ("priority",)),
        ({"command": "a", "env": {"A": 1}}, ("env", "A")),
        ({"command": "a", "timeout": float("nan")}, ("timeout",)),
        ({"command": "a", "id": "-x"}, ("id",)),
        ({"comand": "a"}, ()),
    ],
)
def test_a_batch_with_a_bad_job_publishes_none_and_says_which(queue, bad, path):
    with pytest.raises(InvalidJob) as caught:
        queue.enqueue_many(["echo good", bad, "echo good"])
    assert (caught.value.index, caught.value.path) == (1, path)
    assert queue.counts()["pending"] == 0
    assert queue.dir.dir("tmp").list() == []


def test_a_value_that_json_cannot_say_is_refused(queue):
    for extra in ({"note": {1, 2}}, {"note": float("inf")}, {"note": "\ud800"}):
        with pytest.raises(InvalidJob):
            queue.enqueue_many([{"command": "echo", **extra}])
    assert queue.counts()["pending"] == 0


def test_a_keyword_that_is_no_field_is_refused_with_the_one_that_was_meant(queue):
    with pytest.raises(TypeError, match="did you mean 'priority'"):
        queue.enqueue("echo", priorty=9)
    assert queue.counts()["pending"] == 0


def test_a_run_at_without_a_time_zone_is_refused(queue):
    with pytest.raises(InvalidJob, match="time zone"):
        queue.enqueue("echo", run_at=datetime(2030, 1, 1))  # noqa: DTZ001


def test_one_id_twice_in_a_batch_is_refused(queue):
    jobs = [{"command": "a", "id": "x"}, {"command": "b", "id": "x"}]
    with pytest.raises(InvalidJob, match="two jobs of this batch") as caught:
        queue.enqueue_many(jobs)
    assert caught.value.index == 1
    assert queue.counts()["pending"] == 0


def test_an_id_that_exists_is_refused_even_when_its_job_has_ended(queue, clock):
    queue.enqueue("echo", id="mine")
    complete(queue, clock, "mine")
    with pytest.raises(IdTaken, match="'mine' already; it is completed"):
        queue.enqueue("echo", id="mine")
    assert queue.counts()["pending"] == 0


def test_a_full_disk_is_said_and_nothing_is_enqueued(queue):
    seam = Seam(Plan(2, "error", errno.ENOSPC))
    with seam.installed(), pytest.raises(StorageFull):
        seam.armed = True
        queue.enqueue("echo")
    assert queue.counts()["pending"] == 0


def test_an_outcome_that_is_not_known_names_the_id(queue):
    seam = Seam(Plan(5, "error"))
    with seam.installed(), pytest.raises(OutcomeUnknown) as caught:
        seam.armed = True
        queue.enqueue("echo")
    (job_id,) = caught.value.ids
    assert queue.get(job_id).state == "pending"


@pytest.mark.parametrize("at", range(6, 10))
@pytest.mark.parametrize("how", ["error", "errors"])
def test_an_id_is_returned_though_nobody_can_remember_that_it_was_the_last(queue, at, how):
    """What follows the acknowledgement is a convenience; its failure hides no id."""
    seam = Seam(Plan(at, how))
    with seam.installed():
        seam.armed = True
        job_id = queue.enqueue("echo")
    assert queue.get(job_id).state == "pending"


@ROOT
def test_what_root_enqueues_belongs_to_the_spools_owner(tmp_path):
    path = str(tmp_path / "theirs")
    SpoolDir.create(path).close()
    for place, _, _ in os.walk(path):
        os.chown(place, 12345, 12345)
    with Spool(path) as queue:
        view = queue.get(queue.enqueue("echo"))
    assert (os.stat(view.path).st_uid, os.stat(view.path).st_gid) == (12345, 12345)


# --- look and wait --------------------------------------------------------------------------------


def test_last_is_the_job_enqueued_last(queue):
    queue.enqueue("echo one", run_at="2031-01-01T00:00:00Z")
    job_id = queue.enqueue_many(["echo two", "echo three"])[-1]
    assert queue.get("last").id == job_id
    assert queue.get(job_id[:6]).id == job_id


@pytest.mark.parametrize("kind", ["hard link", "symbolic link", "FIFO"])
def test_what_somebody_put_where_the_last_id_is_noted_is_not_written_to(queue, tmp_path, kind):
    other = tmp_path / "other"
    other.write_text("precious")
    noted = os.path.join(queue.path, "tmp", ".last")
    if kind == "hard link":
        os.link(other, noted)
    elif kind == "symbolic link":
        os.symlink(other, noted)
    else:
        os.mkfifo(noted)
    job_id = queue.enqueue("echo", run_at="2020-01-01T00:00:00Z")
    queue.enqueue_many([{"command": "true", "id": "last-one", "run_at": "2019-01-01T00:00:00Z"}])
    assert other.read_text() == "precious"
    assert queue.get("last").id == "last-one" != job_id


def test_settings_that_could_not_be_read_once_are_read_again(queue, monkeypatch):
    queue.dir.write_config(config.write({"max_retries": 7}))
    real = queue.dir.config_bytes
    monkeypatch.setattr(queue.dir, "config_bytes", refuse_to_read)
    assert queue.settings == config.Settings()
    monkeypatch.setattr(queue.dir, "config_bytes", real)
    assert queue.settings.max_retries == 7


def refuse_to_read():
    raise InvalidSetting("config.json cannot be read: Too many open files")


def test_lists_and_counts_agree(queue):
    queue.enqueue_many(["a", {"command": "b", "tags": ["t"]}, "c"])
    assert len(list(queue.list())) == queue.counts()["pending"] == 3
    assert [view.job.command for view in queue.list(tag="t")] == ["b"]
    assert len(list(queue.list(state="pending", limit=2))) == 2


def test_a_state_that_does_not_exist_cannot_be_listed(queue):
    with pytest.raises(ValueError, match="'done' is not one of pending"):
        queue.list("done")


def test_waiting_returns_the_jobs_in_the_order_asked_for_when_all_have_ended(queue, clock):
    ids = queue.enqueue_many(["a", "b"])
    complete(queue, clock, ids[1])
    got = []
    waiting = threading.Thread(target=lambda: got.extend(queue.wait(ids, timeout=60)))
    waiting.start()
    complete(queue, clock, ids[0])
    waiting.join(60)
    assert [(view.id, view.state) for view in got] == [(job_id, "completed") for job_id in ids]


def test_waiting_for_one_job_twice_is_waiting_for_it(queue, clock):
    job_id = queue.enqueue("a")
    complete(queue, clock, job_id)
    assert [view.id for view in queue.wait([job_id, job_id])] == [job_id, job_id]


def test_waiting_gives_up_after_its_timeout(queue):
    job_id = queue.enqueue("a")
    with pytest.raises(TimeoutError, match="1 of 1 jobs have not ended"):
        queue.wait([job_id], timeout=0)


def test_waiting_for_many_jobs_costs_as_many_listings_as_for_one(queue, monkeypatch):
    ids = queue.enqueue_many(["a"] * 200)
    listings = []
    real = fsio.Dir.scan
    monkeypatch.setattr(fsio.Dir, "scan", lambda self: listings.append(self.path) or real(self))
    with pytest.raises(TimeoutError, match="200 of 200 jobs have not ended"):
        queue.wait(ids, timeout=0)
    assert 1 <= len(listings) <= 4 * len(LOOK_ORDER)


def test_nobody_waits_for_what_does_not_exist(queue):
    with pytest.raises(NotFound):
        queue.wait(["nothing"])


# --- act ------------------------------------------------------------------------------------------


def test_a_job_can_be_cancelled_by_a_beginning_of_its_id(queue):
    job_id = queue.enqueue("a")
    assert queue.cancel(job_id[:5]).state == "dead"
    with pytest.raises(WrongState):
        queue.cancel(job_id)


def test_who_cancels_with_a_timeout_does_not_wait_longer_for_the_worker(queue, clock):
    job_id = queue.enqueue("a")
    own = given.worker(queue.dir)
    given.claim(queue.dir, own, queue.get(job_id).name, clock)
    with pytest.raises(Busy, match="is to be cancelled, and still processing"):
        queue.cancel(job_id, timeout=0.1)
    assert own.requests() == [f"cancel.{job_id}"]


def test_a_dead_job_can_be_retried(queue):
    job_id = queue.enqueue("a")
    queue.cancel(job_id)
    queue.retry(job_id)
    view = queue.get(job_id)
    assert (view.state, view.attempts) == ("pending", 0)


def test_workers_are_told(queue):
    own = given.worker(queue.dir)
    assert [view.name for view in queue.workers()] == [own.name]

"""One job for a key: of all that ask, one waits or runs at a time, through every crash."""

import json
import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spoolq import admission, control, keys, lease, names, views
from spoolq.api import Spool
from spoolq.chores import Beside
from spoolq.config import Settings
from spoolq.errors import InvalidJob, KeyTaken, SpoolqError
from spoolq.keyring import Keyring
from spoolq.spool import SpoolDir
from tests.conftest import entries, environment, wait_until

SETTINGS = Settings()


@pytest.fixture
def api(spool):
    with Spool(spool.path) as opened:
        yield opened


@pytest.fixture
def keyring(spool, clock):
    spool.root.make_dir("keys")
    own = lease.Lease.start(spool, {"count": 1})
    yield Keyring(Beside(spool, own, None, clock, clock.monotonic))
    own.leave()


def in_keys(spool):
    path = os.path.join(spool.path, "keys")
    return sorted(os.listdir(path)) if os.path.isdir(path) else []


def move(spool, job_id, state):
    """Move a job as `mv` does."""
    view = views.find(spool, job_id)
    name = view.name.waiting()
    os.rename(view.path, os.path.join(spool.path, state, str(name)))


# --- skip, replace, error -------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["pending", "failed", "processing"])
def test_a_key_is_taken_as_long_as_its_job_waits_or_runs(spool, api, state):
    first = api.enqueue("true", key="nightly")
    if state == "processing":
        own = lease.Lease.start(spool, {})
        view = views.find(spool, first)
        spool.claim(view.filename, view.name, view.name.stamp, own.name, "0")
    else:
        move(spool, first, state)
    skipped = []
    assert api.enqueue_many([{"command": "false", "key": "nightly"}], on_skip=skipped.append) == [
        first
    ]
    assert skipped == [first]
    with pytest.raises(KeyTaken, match="has the key 'nightly', and") as caught:
        api.enqueue("false", key="nightly", if_queued="error")
    assert (caught.value.job_id, caught.value.state) == (first, state)
    assert keys.holder(spool, "nightly") == first
    if state == "processing":
        own.leave()


@pytest.mark.parametrize("state", ["completed", "dead"])
@pytest.mark.parametrize("if_queued", ["skip", "replace", "error"])
def test_a_key_is_free_when_its_job_has_ended(spool, api, state, if_queued):
    first = api.enqueue("true", key="nightly")
    move(spool, first, state)
    second = api.enqueue("true", key="nightly", if_queued=if_queued)
    assert second != first
    assert keys.holder(spool, "nightly") == second


def test_what_waits_is_replaced_and_cancelled(spool, api):
    first = api.enqueue("true", key="nightly")
    second = api.enqueue("false", key="nightly", if_queued="replace")
    assert views.find(spool, first).error == "cancelled"
    assert [view.id for view in api.list("pending")] == [second]


@pytest.mark.parametrize(
    "batch",
    [
        [{"key": "k", "after": ["nobody"]}],
        [{"key": "k", "id": "new", "after": ["old"]}],
        [{"key": "k"}, {"key": "k"}],
        [{"key": "k"}, {"after": ["nobody"]}],
        [{"key": "k"}, {"id": "old"}],
        [{"key": "k", "id": "b", "after": ["c"]}, {"id": "c", "after": ["b"]}],
    ],
    ids=["unknown", "replaced", "twice", "other line", "id", "circle"],
)
def test_nothing_is_cancelled_for_what_is_refused(spool, api, batch):
    api.enqueue("true", id="old", key="k")
    with pytest.raises(SpoolqError):
        api.enqueue_many([{"command": "true", **fields} for fields in batch], if_queued="replace")
    assert views.find(spool, "old").state == "pending"
    assert keys.holder(spool, "k") == "old"


def test_what_runs_is_not_replaced(spool, api):
    first = api.enqueue("true", key="nightly")
    own = lease.Lease.start(spool, {})
    view = views.find(spool, first)
    spool.claim(view.filename, view.name, view.name.stamp, own.name, "0")
    with pytest.raises(KeyTaken, match="and runs"):
        api.enqueue("false", key="nightly", if_queued="replace")
    assert views.find(spool, first).state == "processing"
    own.leave()


def test_of_a_batch_one_job_has_a_key_and_the_others_are_skipped(spool, api):
    batch = [{"command": f"echo {n}", "key": "k" if n < 3 else f"k{n}"} for n in range(5)]
    ids = api.enqueue_many(batch)
    assert ids[0] == ids[1] == ids[2]
    assert len(set(ids)) == len(entries(spool, "pending")) == 3
    with pytest.raises(InvalidJob, match="two jobs of this batch have this key"):
        api.enqueue_many([{"command": "x", "key": "n"}] * 2, if_queued="replace")


def test_an_unknown_policy_is_refused(api):
    with pytest.raises(ValueError, match="skip, replace or error"):
        api.enqueue("true", key="k", if_queued="maybe")


# --- names of files -------------------------------------------------------------------------------


@given(st.text(min_size=1, max_size=60))
def test_a_key_is_the_name_of_a_plain_file_or_refused(key):
    from spoolq.fields import check

    try:
        check({"command": "x", "key": key})
    except InvalidJob:
        return
    name = names.of_key(key)
    assert "/" not in name
    assert not name.startswith(".")
    assert 0 < len(os.fsencode(name)) <= names.LONGEST_KEY


@given(st.text(max_size=20), st.text(max_size=20))
def test_two_keys_are_never_one_file(one, other):
    try:
        assert (names.of_key(one) == names.of_key(other)) == (one == other)
    except UnicodeEncodeError:
        pass  # no JSON file holds it


@pytest.mark.parametrize("key", ["", "x" * 201, "ü" * 67, "a\0b", 7, "\ud800"])
def test_a_key_that_no_file_can_have_is_refused(api, key):
    with pytest.raises(InvalidJob, match="key"):
        api.enqueue("true", key=key)


@pytest.mark.parametrize("key", ["..", ".", "/etc/passwd", "a b", "http://x/?y=1", "%2F"])
def test_odd_keys_stay_in_their_directory(spool, api, key):
    job_id = api.enqueue("true", key=key)
    assert len(in_keys(spool)) == 1
    assert keys.holder(spool, key) == job_id
    assert api.enqueue("true", key=key) == job_id


@pytest.mark.parametrize("content", [b"", b"../../etc/passwd\n", b"\xff", b"x" * 1000])
def test_what_stands_in_the_place_of_a_key_and_is_none_is_replaced(spool, api, content):
    os.mkdir(os.path.join(spool.path, "keys"))
    with open(os.path.join(spool.path, "keys", "k"), "wb") as file:
        file.write(content)
    job_id = api.enqueue("true", key="k")
    assert keys.holder(spool, "k") == job_id


@pytest.mark.parametrize("make", [os.mkdir, os.mkfifo, lambda path: os.symlink("/dev/null", path)])
def test_what_is_no_file_in_the_place_of_a_key_is_put_away(spool, api, make):
    os.mkdir(os.path.join(spool.path, "keys"))
    make(os.path.join(spool.path, "keys", "k"))
    job_id = api.enqueue("true", key="k")
    assert keys.holder(spool, "k") == job_id


# --- again, dropped, left behind ------------------------------------------------------------------


def test_a_dead_job_is_not_retried_while_another_has_its_key(spool, api):
    first = api.enqueue("true", key="k")
    move(spool, first, "dead")
    second = api.enqueue("true", key="k")
    with pytest.raises(KeyTaken, match=second):
        control.retry(spool, first)
    move(spool, second, "completed")
    control.retry(spool, first)
    assert keys.holder(spool, "k") == first


def test_of_two_drops_with_one_key_one_runs_and_one_says_why_not(spool, run_cli):
    for name in ("one", "two"):
        job_file = os.path.join(spool.path, "pending", f"{name}.json")
        with open(job_file, "w", encoding="ascii") as file:
            json.dump({"command": "sleep 0.1", "key": "k"}, file)
    told = run_cli("worker", "start", "--drain").stderr
    assert "has the key 'k'" in told
    assert [len(entries(spool, place)) for place in ("completed", "dead")] == [1, 1]
    assert "it is a job now; dlq retry takes it in" in run_cli("dlq", "list").stdout


def test_a_key_whose_job_never_came_is_free_and_is_swept(spool, api, clock, keyring):
    keys.take(spool, {"k": "never", "other": "came-not"}, "full")
    job_id = api.enqueue("true", key="k")
    assert keys.holder(spool, "k") == job_id
    clock.advance(60)
    keyring.look(SETTINGS)
    assert in_keys(spool) == ["k"]


def test_a_key_whose_job_is_being_published_stays(spool, clock, keyring, monkeypatch):
    real = SpoolDir.publish

    def slow(self, files, durability="full"):
        clock.advance(60)
        keyring.look(SETTINGS)
        assert in_keys(spool) == ["k"]
        real(self, files, durability)

    monkeypatch.setattr(SpoolDir, "publish", slow)
    with Spool(spool.path) as opened:
        opened.enqueue("true", key="k")
    clock.advance(60)
    keyring.look(SETTINGS)
    assert in_keys(spool) == ["k"]


def test_without_the_lock_the_key_of_a_job_that_is_being_published_would_go(
    spool, clock, keyring, monkeypatch
):
    """The control of the test above: what it guards against is real."""
    from contextlib import nullcontext

    real = SpoolDir.publish
    seen = []

    def slow(self, files, durability="full"):
        clock.advance(60)
        monkeypatch.setattr(admission, "held", lambda *_, **__: nullcontext())
        keyring.look(SETTINGS)
        seen.append(in_keys(spool))
        real(self, files, durability)

    monkeypatch.setattr(SpoolDir, "publish", slow)
    with Spool(spool.path) as opened:
        opened.enqueue("true", key="k")
    assert seen == [[]]


def test_a_refused_batch_leaves_no_key(spool, api, monkeypatch):
    def full(*_, **__):
        raise OSError(28, "No space left on device")

    with pytest.raises(InvalidJob):
        api.enqueue_many([{"command": "x", "key": "k"}, {"command": "y", "after": ["nobody"]}])
    assert in_keys(spool) == []
    monkeypatch.setattr(type(spool.dir("tmp")), "publish", full)
    with pytest.raises(Exception, match="No space"):
        api.enqueue("true", key="k")
    monkeypatch.undo()
    assert in_keys(spool) == []


# --- many at once ---------------------------------------------------------------------------------

_ASK = """
import sys
from spoolq import Spool, keys
if sys.argv[3] == "blind":
    keys.holder = lambda spool, key: None
spool = Spool(sys.argv[1])
for _ in range(60):
    print(spool.enqueue(sys.argv[2], key="k"))
"""


@pytest.mark.parametrize("who", ["seeing", "blind"])
def test_of_many_who_ask_at_once_one_job_waits_or_runs_at_a_time(
    spool, start_worker, tmp_path, who
):
    """Its control: those who do not look who has a key meet one another."""
    room, met = tmp_path / "room", tmp_path / "met"
    command = f"mkdir {room} || echo met >> {met}; sleep 0.02; rmdir {room} || true"
    start_worker("--count", "4")
    askers = [
        subprocess.Popen(
            [sys.executable, "-c", _ASK, spool.path, command, who],
            stdout=subprocess.PIPE,
            text=True,
            env=environment(),
        )
        for _ in range(4)
    ]
    told = [asker.communicate(timeout=60)[0].split() for asker in askers]
    assert [asker.returncode for asker in askers] == [0] * 4
    wait_until(lambda: not any(entries(spool, place) for place in ("pending", "processing")))
    with Spool(spool.path) as api:
        ran = {view.id for view in api.list("completed")}
    assert ran == {job_id for some in told for job_id in some}
    assert met.exists() == (who == "blind")
    if who == "seeing":
        assert 1 < len(ran) < 240
        wait_until(lambda: in_keys(spool) == [])

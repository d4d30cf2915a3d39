"""How many runs at a time, changed while a worker lives."""

import os

import pytest

from spoolq import lease, requests, roster, steering
from spoolq.errors import BadInput, Busy, NotFound
from tests import given
from tests.conftest import entries, wait_until


class Resizable:
    """An executor that remembers what it was asked."""

    def __init__(self):
        self.most = []

    def resize(self, most):
        self.most.append(most)


@pytest.fixture
def own(spool):
    own = given.worker(spool)
    yield own
    own.leave()


def ask(own, *names):
    for name in names:
        own.dir.write(name, b"", sync=False)
    return list(names)


def test_a_request_is_removed_when_worker_json_says_the_number(spool, own):
    executor = Resizable()
    requests.resize(own, executor, ask(own, "count.7"))
    assert executor.most == [7]
    assert lease.read_card(spool, own.name)["count"] == 7
    assert own.requests() == []


def test_of_several_requests_the_newest_counts(spool, own):
    executor = Resizable()
    names = ask(own, "count.9", "count.2")
    for at, name in enumerate(names):
        os.utime(os.path.join(own.dir.path, name), (1000 + at, 1000 + at))
    requests.resize(own, executor, names)
    assert executor.most == [2]
    assert own.requests() == []


@pytest.mark.parametrize("name", ["count.0", "count.", "count.x", "count.10001", "count.07"])
def test_what_is_no_number_is_removed_and_changes_nothing(own, name):
    executor = Resizable()
    requests.resize(own, executor, ask(own, name))
    assert executor.most == []
    assert own.requests() == []


def test_a_directory_in_its_place_is_put_away(own):
    own.dir.make_dir("count.3")
    requests.resize(own, Resizable(), ["count.3"])
    assert own.requests() == []


def test_an_executor_without_a_number_is_left_as_it_is(spool, own, caplog):
    requests.resize(own, object(), ask(own, "count.3"))
    assert lease.read_card(spool, own.name)["count"] == 1
    assert own.requests() == []
    assert "no such number" in caplog.text


def test_a_request_stays_until_worker_json_can_say_it(own, monkeypatch):
    monkeypatch.setattr(own, "show", lambda **facts: False)
    requests.resize(own, Resizable(), ask(own, "count.3"))
    assert own.requests() == ["count.3"]


def test_what_was_remembered_and_is_gone_changes_nothing(own):
    executor = Resizable()
    requests.resize(own, executor, ["count.3"])
    assert executor.most == []


# --- who asks -------------------------------------------------------------------------------------


def test_a_worker_that_does_not_answer_is_told_of(spool, own, monkeypatch):
    monkeypatch.setattr(steering, "_ANSWER", 0.1)
    with pytest.raises(Busy, match="has not answered yet"):
        steering.resize(spool, [], 3)


def test_a_worker_that_has_no_number_is_told_of(spool, own, monkeypatch):
    monkeypatch.setattr(steering, "_asks", lambda *args: False)
    with pytest.raises(BadInput, match="its executor has no such number"):
        steering.resize(spool, [own.name], 3)


def test_one_that_runs_no_jobs_is_refused_by_name_and_passed_over_else(spool):
    own = lease.Lease.start(spool, {"count": 0})
    with pytest.raises(BadInput, match="runs no jobs"):
        steering.resize(spool, [own.name], 3)
    assert steering.resize(spool, [], 3) == {}
    own.leave()


def test_a_worker_that_is_not_there_is_not_asked(spool):
    with pytest.raises(NotFound):
        steering.resize(spool, ["web1"], 3)


# --- a real worker --------------------------------------------------------------------------------


def running(spool, count):
    wait_until(lambda: len(entries(spool, "processing")) == count, f"{count} at a time")


@pytest.mark.parametrize("executor", ["local", "python"])
def test_a_living_worker_runs_more_at_once_and_fewer_when_they_have_ended(
    spool, run_cli, start_worker, tmp_path, executor
):
    gate = tmp_path / "gate"
    lines = "".join(f"until [ -e {gate}.{n} ]; do sleep 0.02; done\n" for n in range(6))
    run_cli("enqueue", "-", stdin=lines)
    start_worker("--executor", executor)
    running(spool, 1)
    done = run_cli("worker", "set", "--count", "4")
    assert "runs 4 at a time (before: 1)" in done.stderr
    running(spool, 4)
    run_cli("worker", "set", "-n", "2")
    assert [view.card["count"] for view in roster.workers(spool) if view.stays] == [2]
    assert len(entries(spool, "processing")) == 4  # what runs goes on
    for n in range(3):
        (tmp_path / f"gate.{n}").touch()
    wait_until(lambda: len(entries(spool, "completed")) == 3, "three ends")
    running(spool, 2)
    for n in range(3, 6):
        (tmp_path / f"gate.{n}").touch()
    wait_until(lambda: len(entries(spool, "completed")) == 6, "all ends")


def test_a_person_may_touch_the_request(spool, start_worker):
    start_worker()
    (name,) = spool.dir("workers").list()
    open(os.path.join(spool.path, "workers", name, "count.5"), "w").close()
    wait_until(lambda: lease.read_card(spool, name).get("count") == 5, "the number")


def test_warm_processes_are_as_many_as_there_are_runs(spool, run_cli, start_worker, tmp_path):
    if not os.path.isdir("/proc"):
        pytest.skip("the executor python needs Linux")
    worker = start_worker("--executor", "python", "--count", "3")
    (name,) = spool.dir("workers").list()

    def warm():
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                with open(f"/proc/{pid}/stat") as file:
                    parent = int(file.read().rsplit(")", 1)[1].split()[1])
            except OSError:
                continue
            found.append((int(pid), parent))
        zygotes = [pid for pid, parent in found if parent == worker.pid]
        return [pid for pid, parent in found if parent in zygotes]

    wait_until(lambda: len(warm()) == 3, "three warm processes")
    run_cli("worker", "set", "--count", "1")
    wait_until(lambda: len(warm()) == 1, "one")
    run_cli("worker", "set", "--count", "2")
    wait_until(lambda: len(warm()) == 2, "two")

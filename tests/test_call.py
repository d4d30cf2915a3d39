"""Calls of Python as jobs: enqueued, made by `python -m spoolq.call`, and what came of them."""

import json
import os
import re
import subprocess
import sys
from datetime import datetime, timedelta, timezone

import pytest

from spoolq import Spool, call, callables, instants, wishes
from spoolq.errors import Busy, InvalidJob, JobFailed, NotFound, WrongState
from tests.conftest import environment, wait_until

SHOP = """
import os, sys
from spoolq import task
from spoolq.call import Defer, Retry

def add(one, two=0):
    print("adding", one, two)
    return one + two

def nothing(): pass
def ground(value): raise ZeroDivisionError(value)
def pair(): return 1, 2
def large(size): return "x" * size
def leave(code): sys.exit(code)
def later(): raise Retry("not yet", after=3600)
def patient(): raise Defer(after=3600)
def forgetful():
    os.environ.clear()
    os.chdir("/")
    return "kept"
def refuse():
    from spoolq.errors import InvalidJob
    raise InvalidJob("mine", path=("result",))

@task(max_retries=7, tags=["mail"])
def send(to, copies=1):
    return [to] * copies
"""


@pytest.fixture
def shop(tmp_path):
    """A directory with a module of functions, in which a worker is started."""
    place = tmp_path / "shop"
    place.mkdir()
    (place / "shop.py").write_text(SHOP)
    return place


@pytest.fixture
def front(spool):
    with Spool(spool.path) as front:
        yield front


@pytest.fixture
def made(front, run_cli, shop):
    """Enqueue a call, let a worker drain the spool, and return the job."""

    def made(target, *args, _job=None, **kwargs):
        job_id = front.enqueue_call(f"shop:{target}", *args, _job=_job, **kwargs)
        run_cli("worker", "start", "--drain", cwd=shop)
        return front.get(job_id)

    return made


ONCE = {"max_retries": 0}


# --- what is enqueued -----------------------------------------------------------------------------


def test_a_call_is_an_ordinary_job_file(front):
    job_id = front.enqueue_call("shop:add", 1, _job={"timeout": 60, "tags": ["x"]}, two=2)
    with open(front.get(job_id).path) as file:
        fields = json.load(file)
    del fields["created_at"]
    assert fields == {
        "command": [sys.executable, "-m", "spoolq.call"],
        "call": {"target": "shop:add", "args": [1], "kwargs": {"two": 2}},
        "timeout": 60,
        "tags": ["x"],
        "dead_on": [65],
    }


def test_an_argument_may_have_any_name(front):
    names = {"self": 1, "target": 2, "args": 3, "spool": 4, "id": 5}
    view = front.get(front.enqueue_call("shop:add", **names))
    assert view.job.call["kwargs"] == names
    assert view.id != "5"


@pytest.mark.parametrize(
    ("args", "job", "error", "words"),
    [
        (((1, 2),), {}, InvalidJob, r"call\.args\[0\].*a tuple"),
        ((float("nan"),), {}, InvalidJob, "nan is no number"),
        ((), {"timeout": -1}, InvalidJob, "timeout"),
        ((), {"timout": 1}, TypeError, "no field 'timout'; did you mean 'timeout'"),
        ((), {"command": "true"}, TypeError, "no field 'command'"),
        ((), {"call": {}}, TypeError, "no field 'call'"),
    ],
)
def test_what_is_wrong_is_refused_and_nothing_is_enqueued(front, args, job, error, words):
    with pytest.raises(error, match=words):
        front.enqueue_call("shop:add", *args, _job=job)
    assert front.list() == []


def test_a_function_that_no_worker_could_find_is_not_enqueued(front):
    with pytest.raises(InvalidJob, match="cannot be found by its name"):
        front.enqueue_call(lambda: 1)
    assert front.list() == []


# --- how it goes ----------------------------------------------------------------------------------


def test_a_call_is_made_and_its_result_kept(made, front):
    view = made("add", 1, two=2)
    assert view.state == "completed"
    assert view.result() == front.result(view.id) == 3
    assert view.last_run["result"] == 3
    assert front.dir.dir("logs").list() != []


def test_a_call_that_returns_nothing_has_none_as_its_result(made):
    view = made("nothing")
    assert (view.state, view.result()) == ("completed", None)
    assert "result" not in view.last_run


def test_a_call_that_raises_fails_with_its_traceback_and_is_tried_again(made, front):
    view = made("ground", "to dust", _job={"max_retries": 1, "backoff_base": 0})
    assert (view.state, view.attempts, len(view.job.history)) == ("dead", 2, 2)
    with pytest.raises(
        JobFailed, match="exit code 1, after 2 runs.*ZeroDivisionError: to dust"
    ) as no:
        view.result()
    assert no.value.output.startswith("Traceback (most recent call last)")
    assert "spoolq" not in no.value.output  # how it came to be called says nothing
    with pytest.raises(JobFailed):
        front.result(view.id)


@pytest.mark.parametrize(
    ("target", "args", "words"),
    [
        ("nowhere", (), "AttributeError"),
        ("ground", (), "TypeError"),
        ("refuse", (), "InvalidJob"),
        ("leave", ("so long",), "so long"),
    ],
)
def test_why_a_call_failed_is_its_last_line(made, target, args, words):
    view = made(target, *args, _job=ONCE)
    with pytest.raises(JobFailed, match=words):
        view.result()
    assert view.last_run["exit_code"] == 1


def test_a_module_that_is_not_there_is_told(front, run_cli):
    job_id = front.enqueue_call("no_such.module:f", _job=ONCE)
    run_cli("worker", "start", "--drain")
    with pytest.raises(JobFailed, match="ModuleNotFoundError: No module named 'no_such'") as no:
        front.result(job_id)
    assert "importlib" not in no.value.output


@pytest.mark.parametrize(("code", "state"), [(0, "completed"), (None, "completed"), (7, "dead")])
def test_a_call_may_leave_with_an_exit_code(made, code, state):
    view = made("leave", code, _job=ONCE)
    assert (view.state, view.last_run["exit_code"]) == (state, code or 0)


@pytest.mark.parametrize(
    ("target", "args", "words"),
    [("pair", (), "a tuple would not come back"), ("large", (65536,), "65550 bytes of JSON")],
)
def test_a_result_that_cannot_be_kept_fails_the_job_at_once(made, target, args, words):
    view = made(target, *args)
    assert (view.state, view.last_run["exit_code"]) == ("dead", callables.NOT_PLAIN)
    assert len(view.job.history) == 1
    with pytest.raises(JobFailed, match=words):
        view.result()


def test_the_longest_result_is_kept(made):
    size = wishes.MOST_RESULT - len('{"result": ""}')
    assert made("large", size).result() == "x" * size


def test_a_call_may_ask_for_the_time_of_its_retry(front, start_worker, shop):
    before = instants.now()
    ids = [
        front.enqueue_call("shop:later"),
        front.enqueue_call("shop:patient", _job={"max_retries": 0}),
    ]
    start_worker(cwd=shop)
    wait_until(lambda: len(front.list("failed")) == 2, "both failures")
    later, deferred = map(front.get, ids)
    assert (later.attempts, deferred.attempts) == (1, 0)  # what could not be tried uses none
    for one in (later, deferred):
        assert one.not_before > before + timedelta(seconds=3590)
    assert "Retry: not yet" in later.last_run["output"]


@pytest.mark.parametrize(
    ("after", "wish"),
    [
        (90, "90.000000"),
        (0.5, "0.500000"),
        (-3, "0.000000"),
        (timedelta(minutes=1), "60.000000"),
        (datetime(2030, 1, 1, tzinfo=timezone.utc), "2030-01-01T00:00:00.000000Z"),
    ],
)
def test_a_retry_is_asked_for_in_seconds_or_by_a_time(after, wish):
    assert call.Retry(after=after).wish == wish


def test_a_time_without_a_zone_is_refused():
    with pytest.raises(ValueError, match="time zone"):
        call.Retry(after=datetime(2030, 1, 1))  # noqa: DTZ001


def test_a_call_that_changes_its_environment_still_leaves_its_result(made):
    assert made("forgetful").result() == "kept"


def test_no_result_is_left_in_the_workers_directory(front, start_worker, shop):
    start_worker(cwd=shop)
    for number in range(3):
        assert front.result(front.enqueue_call("shop:add", number), timeout=60) == number
    (worker,) = front.workers()
    left = os.listdir(os.path.join(front.path, "workers", worker.name))
    assert [name for name in left if name.endswith(".result")] == []


def test_a_command_has_no_variable_for_a_result(front, run_cli):
    job_id = front.enqueue('test -z "$SPOOLQ_RESULT"')
    run_cli("worker", "start", "--drain")
    assert front.get(job_id).state == "completed"


def test_who_starts_it_by_hand_is_told_what_it_is():
    done = subprocess.run(
        [sys.executable, "-m", "spoolq.call"], capture_output=True, text=True, env=environment()
    )
    assert done.returncode == 66
    assert "is started by a worker" in done.stderr


# --- the result -----------------------------------------------------------------------------------


def test_a_result_is_waited_for(front, start_worker, shop):
    job_id = front.enqueue_call("shop:add", 20, two=22)
    with pytest.raises(Busy, match="has not ended: it is pending"):
        front.result(job_id, timeout=0)
    start_worker(cwd=shop)
    assert front.result(job_id, timeout=60) == 42


def test_a_call_that_will_be_tried_again_has_not_ended(front, start_worker, shop):
    job_id = front.enqueue_call("shop:ground", 1, _job={"backoff_base": 1000})
    start_worker(cwd=shop)
    wait_until(lambda: front.get(job_id).state == "failed", "the failure")
    with pytest.raises(Busy, match="it is failed"):
        front.result(job_id, timeout=0)


def test_a_command_has_no_result_and_is_not_waited_for(front):
    with pytest.raises(WrongState, match="runs a command"):
        front.result(front.enqueue("true"))


def test_a_cancelled_call_has_failed(front):
    job_id = front.enqueue_call("shop:add", 1)
    front.cancel(job_id)
    with pytest.raises(JobFailed, match="cancelled"):
        front.result(job_id)


def test_a_call_that_is_not_there_has_no_result(front):
    with pytest.raises(NotFound):
        front.result("nothing")


@pytest.mark.parametrize(
    "text",
    ["", "nonsense", "[1]", '{"result": NaN}', "{}", '{"result": ' + "[" * 50 + "]" * 50 + "}"]
    + ['{"result": "' + "x" * wishes.MOST_RESULT + '"}'],
)
def test_what_a_call_has_put_in_place_of_its_result_is_none(front, run_cli, tmp_path, text):
    (tmp_path / "text").write_text(text)
    (tmp_path / "liar.py").write_text(
        "import os, shutil\ndef lie(): shutil.copy('text', os.environ['SPOOLQ_RESULT'])\n"
    )
    job_id = front.enqueue_call("liar:lie")
    run_cli("worker", "start", "--drain", cwd=tmp_path)
    assert front.result(job_id) is None
    assert "result" not in front.get(job_id).last_run


# --- what people see ------------------------------------------------------------------------------


def test_a_call_is_shown_as_a_call(made, run_cli):
    view = made("send", "a\x1b[2Jb", copies=2)
    for verb in (["show", view.id], ["list"]):
        shown = run_cli(*verb).stdout
        assert "shop:send('a\\x1b[2Jb', copies=2)" in shown
        assert "spoolq.call" not in shown
        assert "\x1b" not in shown
    assert re.search(r"returned +\[", run_cli("show", view.id).stdout)


def test_a_copy_of_a_call_is_a_call(made, front, run_cli, shop):
    view = made("add", 2, two=3)
    copy = run_cli("enqueue", "--like", view.id, cwd=shop).stdout.strip()
    run_cli("worker", "start", "--drain", cwd=shop)
    assert front.result(copy) == 5

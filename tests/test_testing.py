"""Testing: calls run at once or are noted, and no spool is needed."""

import contextvars
import threading

import pytest

from spoolq import Spool, testing
from spoolq.call import Retry
from spoolq.errors import Busy, InvalidJob, NoSpool, NotFound
from tests import test_tasks

sent = []


def deliver(to, at=None):
    sent.append((to, at))
    return len(to)


def pair():
    return 1, 2


def later():
    raise Retry("not yet", after=1)


@pytest.fixture(autouse=True)
def _nothing_sent():
    sent.clear()
    yield
    assert not testing.is_testing(), "a test left testing on"


@pytest.fixture
def nowhere(tmp_path):
    """The path of a spool that is not there, nor is to be."""
    path = tmp_path / "none"
    yield str(path)
    assert not path.exists()


def test_a_call_runs_at_once_without_a_spool(nowhere):
    with testing.set_testing(True) as calls:
        spool = Spool(nowhere, create=True)
        job_id = spool.enqueue_call(deliver, "a@b", at=[1], _job={"id": "mine", "tags": ["t"]})
        assert sent == [("a@b", [1])]
        assert spool.result(job_id) == 3
    (one,) = calls
    assert one[:4] == ("mine", f"{__name__}:deliver", ["a@b"], {"at": [1]})
    assert one.job["tags"] == ["t"]


def test_a_call_may_be_noted_alone(nowhere):
    with testing.set_testing(True, run=False) as calls, Spool(nowhere) as spool:
        first = spool.enqueue_call("not.there:at_all", 1)
        second = test_tasks.send.enqueue(spool, "a@b")
        assert [one.id for one in calls] == [first, second]
        assert calls[0].target == "not.there:at_all"
        assert calls[1].job["max_retries"] == 7
        with pytest.raises(Busy):
            spool.result(first)
        with pytest.raises(NotFound):
            spool.result("another")
    assert len(calls[:1]) == 1


@pytest.mark.parametrize(
    ("function", "args", "error"),
    [(deliver, (3,), TypeError), (pair, (), InvalidJob), (later, (), Retry)],
)
def test_what_a_call_raises_comes_out_where_it_was_enqueued(nowhere, function, args, error):
    with testing.set_testing(True), pytest.raises(error):
        Spool(nowhere).enqueue_call(function, *args)


@pytest.mark.parametrize("run", [True, False])
def test_what_would_be_refused_is_refused(nowhere, run):
    with testing.set_testing(True, run=run) as calls:
        for args, job in [(((1,),), {}), ((), {"timeout": -1})]:
            with pytest.raises(InvalidJob):
                Spool(nowhere).enqueue_call(deliver, *args, _job=job)
    assert sent == []
    assert len(calls) == 0


def test_what_the_caller_changes_afterwards_is_not_noted(nowhere):
    at = [1]
    with testing.set_testing(True) as calls:
        Spool(nowhere).enqueue_call(deliver, "a", at=at)
    at.append(2)
    assert calls[0].kwargs == {"at": [1]}
    assert sent == [("a", [1])]


def test_what_needs_a_spool_says_that_there_is_none(nowhere):
    with testing.set_testing(True), pytest.raises(NoSpool):
        Spool(nowhere).enqueue("true")


def test_it_is_off_unless_it_was_asked_for(spool, nowhere):
    with pytest.raises(NoSpool):
        Spool(nowhere)
    with Spool(spool.path) as front:
        front.enqueue_call(deliver, "a")
        assert sent == []
        assert len(front.list()) == 1


def test_it_can_be_turned_on_and_off(spool):
    with Spool(spool.path) as front:
        testing.set_testing(True)
        try:
            front.enqueue_call(deliver, "a")
        finally:
            testing.set_testing(False)
        assert sent == [("a", None)]
        front.enqueue_call(deliver, "b")
        assert (len(sent), len(front.list())) == (1, 1)


def test_the_outer_testing_goes_on_after_the_inner_one(nowhere):
    with testing.set_testing(True, run=False) as outer:
        with testing.set_testing(True, run=False) as inner:
            Spool(nowhere).enqueue_call(deliver, "in")
        Spool(nowhere).enqueue_call(deliver, "out")
    assert [[one.args for one in calls] for calls in (outer, inner)] == [[["out"]], [["in"]]]


def test_another_context_is_not_in_testing():
    seen = []
    with testing.set_testing(True):
        thread = threading.Thread(
            target=contextvars.Context().run, args=(lambda: seen.append(testing.is_testing()),)
        )
        thread.start()
        thread.join()
        assert testing.is_testing()
    assert seen == [False]

"""`@task`: functions that bring the fields of their jobs along."""

import pytest

from spoolq import Spool, task
from spoolq.errors import InvalidJob


@task
def plain(one):
    """Return it."""
    return [one]


@task(max_retries=7, tags=["mail"])
def send(to, copies=1):
    return [to] * copies


@pytest.fixture
def front(spool):
    with Spool(spool.path) as front:
        yield front


def test_a_task_runs_inline_as_the_function_that_it_is():
    assert plain(1) == [1]
    assert send("a", copies=2) == ["a", "a"]
    assert (plain.__name__, plain.__doc__) == ("plain", "Return it.")


def test_a_task_is_enqueued_with_its_fields(front):
    job = front.get(send.enqueue(front, "a@b", copies=2)).job
    assert job.call == {"target": f"{__name__}:send", "args": ["a@b"], "kwargs": {"copies": 2}}
    assert (job.fields["max_retries"], job.fields["tags"]) == (7, ["mail"])


def test_fields_of_one_job_count_more_than_the_tasks(front):
    job = front.get(send.enqueue(front, "a@b", _job={"max_retries": 1, "id": "one"})).job
    assert (job.fields["max_retries"], job.fields["tags"]) == (1, ["mail"])
    assert front.get("one").job.fields == job.fields


def test_a_task_may_be_given_to_enqueue_call(front):
    job = front.get(front.enqueue_call(send, "a@b")).job
    assert job.fields["max_retries"] == 7


def test_a_function_may_take_what_is_called_spool(front):
    job = front.get(plain.enqueue(front, spool=1, self=2)).job
    assert job.call["kwargs"] == {"spool": 1, "self": 2}


def test_a_task_that_no_worker_could_find_is_refused_where_it_is_made():
    with pytest.raises(InvalidJob, match="cannot be found by its name"):

        @task
        def nested():
            pass


@pytest.mark.parametrize(
    ("fields", "error"),
    [({"max_retry": 1}, TypeError), ({"command": "x"}, TypeError), ({"timeout": 0}, InvalidJob)],
)
def test_a_wrong_field_is_refused_where_the_task_is_made(fields, error):
    with pytest.raises(error):
        task(**fields)(test_a_wrong_field_is_refused_where_the_task_is_made)

"""What people see of limits."""

import json

import pytest

from spoolq import Spool, instants
from spoolq.cli import tables
from spoolq.tokens import Tokens

LIMITS = '{"gpu": 2, "net": 4}'


@pytest.fixture
def limited(spoolq):
    spoolq("config", "set", "limits", LIMITS)


def test_limits_are_set_as_json_and_read_back(spoolq, limited):
    assert json.loads(spoolq("config", "get", "limits").out) == json.loads(LIMITS)
    assert json.loads(spoolq("config", "list", "--json").out)["limits"] == json.loads(LIMITS)


@pytest.mark.parametrize("value", ["7", '{"gpu": -1}', '{"gpu": 1.5}', '{"g u": 1}', '{"gpu":'])
def test_what_is_no_limit_is_refused(spoolq, value):
    assert "limits must be" in spoolq("config", "set", "limits", value, code=2).err


def test_enqueue_warns_of_a_job_that_needs_more_than_there_is(spoolq, limited):
    said = spoolq("enqueue", "--needs", "gpu=3", "true").err
    assert "it needs gpu=3, and the limit is 2: it waits until that is raised" in said
    assert spoolq("enqueue", "--needs", "gpu=2", "true").err == ""
    lines = b'{"command": "x", "needs": {"gpu": 5}}\n' * 3
    assert spoolq("enqueue", "-", stdin=lines).err.count("it needs") == 1


def test_show_says_what_a_job_waits_for(spoolq, limited, spool, start_worker):
    (job_id,) = spoolq("enqueue", "--needs", "gpu=2", "--hold", "true").ids
    (large,) = spoolq("enqueue", "--needs", "gpu=9", "true").ids
    start_worker()
    assert "in use" not in spoolq("show", job_id).out
    assert Tokens(spool).take((("gpu", 1),), {"gpu": 2})
    spoolq("release", job_id)
    assert "when there is what it needs: 1 of 2 gpu in use" in spoolq("show", job_id).out
    assert "it needs gpu=9, and the limit is 2" in spoolq("show", large).out


def test_a_table_says_of_a_job_that_it_needs_too_much(spoolq, limited, spool):
    (large,) = spoolq("enqueue", "--needs", "gpu=9", "true").ids
    (small,) = spoolq("enqueue", "--needs", "gpu=1", "true").ids
    with Spool(spool.path) as opened:
        now = instants.now()
        assert tables.when(opened.get(large), now).strip() == "needs too much"
        assert tables.when(opened.get(small), now) == "due"

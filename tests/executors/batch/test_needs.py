"""What a job asks of a batch system."""

import pytest

from spoolq.config import Settings
from spoolq.errors import BadInput
from spoolq.executors.batch import needs
from spoolq.job import Job


def job(**fields):
    return Job({"command": "true", **fields})


@pytest.mark.parametrize(
    ("given", "asked"),
    [
        ({"gpu": 1}, {"gpus": 1}),
        ({"cpus": 1.5, "memory": 1e9}, {"cpus": 2, "memory": 10**9}),
        ({"mem.GB": 0.5}, {"memory": 2**29}),
        ({"GPU": 2, "cpu": 4}, {"gpus": 2, "cpus": 4}),
    ],
)
def test_needs_become_amounts(given, asked):
    assert needs.amounts(job(needs=given)) == (asked, "")
    assert needs.amounts(job()) == ({}, "")


def test_a_need_that_is_not_known_is_refused_with_those_that_are():
    asked, fault = needs.amounts(job(needs={"licence": 1}))
    assert asked == {}
    assert "'licence'" in fault
    assert "gpu" in fault


def test_a_need_under_two_names_is_refused():
    assert "twice" in needs.amounts(job(needs={"gpu": 1, "gpus": 1}))[1]


def test_the_time_limit_leaves_the_timeout_the_first_word():
    settings = Settings(grace=5)
    assert needs.walltime(job(timeout=100), settings, 3600) > 105
    assert needs.walltime(job(), settings, 3600) == 3600
    assert needs.walltime(job(), settings, None) is None
    assert needs.walltime(job(), Settings(timeout=10), None) > 15


def test_durations_are_read_or_refused():
    assert needs.duration({"walltime": "90"}, "walltime", None) == 90
    assert needs.duration({"walltime": "2d"}, "walltime", None) == 172_800
    assert needs.duration({}, "poll", 10.0) == 10
    for text in ("", "0", "1w", "-3", "1.5h"):
        with pytest.raises(BadInput, match="poll"):
            needs.duration({"poll": text}, "poll", 10.0)

"""How random ids look is told from a dozen of them."""

import os
import time
import uuid

import pytest

from spoolq import names
from spoolq.conformance import ids


def version_7(number):
    """Return what a UUID of version 7 is: a time that rises, then random bits."""
    return f"{1_790_000_000_000 + 3 * number:012x}{os.urandom(10).hex()}"


@pytest.mark.parametrize(
    "make",
    [lambda n: names.new_id(), lambda n: uuid.uuid4().hex, version_7],
    ids=["spoolq's", "UUID 4", "UUID 7"],
)
def test_random_ids_are_seen_to_be(make):
    assert list(ids.judge([make(number) for number in range(ids.FEWEST)])) == []


@pytest.mark.parametrize(
    "make",
    [
        lambda n: f"job-{n:06}",
        lambda n: f"{time.time_ns() + n}",
        lambda n: f"{4000 + 2 * n}-{1_790_000_000_123_456 + 61_234 * n}",
        lambda n: f"web1-{1_790_000_000 + n}-{os.urandom(3).hex()}",
        lambda n: os.urandom(4).hex(),
    ],
    ids=["a counter", "a time", "a process and a time", "24 bits", "32 bits"],
)
def test_ids_that_can_be_guessed_are_seen_to_be(make):
    made = [make(number) for number in range(ids.FEWEST)]
    assert [broken.rule for broken in ids.judge(made)] == ["random"]


def test_an_id_that_comes_again_is_named():
    (broken,) = ids.judge(["a1", "b2", "a1"])
    assert (broken.rule, "'a1' was told 2 times" in broken.seen) == ("unique", True)

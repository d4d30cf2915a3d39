"""The short power campaign, where root and user-mode Linux are there, and its parts everywhere.

With CI=true, or SPOOLQ_TEST_INSTALL=1, root lets it install the packages that it needs.
"""

import os

import pytest

from tests.conftest import CAMPAIGNS, NOT_ASKED_FOR

from . import dmlog, machine, plan
from .dmlog import Entry, State

# Read now: each test is kept from SPOOLQ_ variables.
_MAY_INSTALL = os.environ.get("CI") == "true" or os.environ.get("SPOOLQ_TEST_INSTALL") == "1"


@pytest.fixture(scope="module")
def line():
    """What the short campaign says, once for all tests of it."""
    if not CAMPAIGNS:
        pytest.skip(NOT_ASKED_FOR)
    if machine.missing() and _MAY_INSTALL and os.geteuid() == 0:
        machine.install()
    if machine.missing():
        pytest.skip(f"no power can be cut here: {machine.missing()}")
    return plan.perform(plan.short(machine.FILESYSTEMS))


def test_no_power_cut_breaks_a_promise(line):
    """300 states and more of ext4, xfs and btrfs: each recovers, and nothing promised is lost."""
    assert line.get("failed", []) == []
    assert line.get("examples", []) == []
    assert line["violations"] == 0
    assert line["total"] >= 300


@pytest.mark.parametrize(
    "rule", ["no-file-sync", "no-directory-sync", "no-record-sync", "no-waits-sync"]
)
def test_a_spoolq_without_one_sync_is_caught(line, rule):
    """A negative control: the same states and the same judge find what that sync is for."""
    caught = [name for name, found in line["controls"].items() if found]
    assert [name for name in caught if name.endswith(rule)]


def test_states_are_every_prefix_and_every_told_moment():
    """Two writes in flight before a flush: none, one or both are there; each mark is a moment."""
    log = [
        Entry(0, b"before", True),
        Entry(0, b"", False, "1"),
        Entry(0, b"a", False),
        Entry(8, b"b", False),
        Entry(16, b"c", True),
        Entry(0, b"", False, "2"),
        Entry(0, b"", False, "end"),
        Entry(24, b"after", True),
    ]
    assert dmlog.states(log, 0, 0) == [
        State(1, (), 1),
        State(1, (2,), 1),
        State(1, (2, 3), 1),
        State(5, (), 2),
    ]


def test_random_subsets_keep_what_a_prefix_never_has():
    """A disk may keep the later of two writes and lose the earlier."""
    log = [Entry(0, b"", False, "1"), Entry(0, b"a", False), Entry(8, b"b", False)]
    log += [Entry(16, b"c", True), Entry(0, b"", False, "end")]
    assert State(0, (2,), 1) in dmlog.states(log, 20, 0)


def test_every_control_is_a_rule_of_the_worse_spoolq():
    """Long campaigns try each rule on each filesystem, short ones each rule somewhere."""
    rules = {"no-file-sync", "no-directory-sync", "no-record-sync", "no-waits-sync"}
    rules |= {"no-whole-sync"}
    short = {task.discipline for task in plan.short(machine.FILESYSTEMS) if task.until_caught}
    long = [task for task in plan.long(machine.FILESYSTEMS) if task.until_caught]
    assert short == rules
    assert {task.discipline for task in long} == rules | {"no-whole-sync-before"}
    assert len(long) == (len(rules) + 1) * len(machine.FILESYSTEMS)

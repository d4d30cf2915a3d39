"""The fault loop as tests: one for each operation, and one for each rule that may be broken.

`python -m tests.faults.loop` runs the same and prints what was tried.
"""

import pytest

from spoolq.errors import StorageFailed

from . import campaign, controls
from .operations import OPERATIONS
from .seam import Died, Plan, Seam

# A child of a process with threads may only do what these children do: work on files, and end.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda operation: operation.name)
def test_nothing_is_lost_whichever_call_fails_or_is_the_last(operation):
    """For every n: fail, or die at, the n-th call; reboot, recover, run: every invariant holds."""
    tries = campaign.try_all([operation])
    wrong = [f"{done.way} at {done.at}: {text}" for done in tries for text in done.wrong]
    assert wrong == []
    assert {done.way for done in tries} == set(campaign.WAYS)
    for way in campaign.WAYS:
        numbers = [done.at for done in tries if done.way == way]
        assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("control", controls.CONTROLS, ids=lambda control: control.name)
def test_a_spoolq_that_breaks_a_rule_is_caught(control):
    """A negative control: with the rule broken, the same loop finds violations."""
    assert controls.caught(control) > 0


def test_the_seam_fails_at_the_planned_call_alone(spool):
    """`error` fails once: what comes after passes, cleaning up included."""
    seam = Seam(Plan(2, "error"))
    with seam.installed(), pytest.raises(StorageFailed):
        seam.armed = True
        spool.write_config(b"{}\n")
    assert spool.dir("tmp").list() == []


def test_the_seam_dies_after_the_effect_of_the_planned_call(spool):
    """`die after` leaves the effect of the call behind."""
    seam = Seam(Plan(1, "die after"))
    with seam.installed(), pytest.raises(Died):
        seam.armed = True
        spool.write_config(b"{}\n")
    assert [entry for entry in spool.dir("tmp").list() if entry.startswith("config.json.")]


def test_the_seam_refuses_from_the_planned_call_on(spool):
    """`errors` never lets anything pass again, cleaning up included."""
    seam = Seam(Plan(2, "errors"))
    with seam.installed(), pytest.raises(StorageFailed):
        seam.armed = True
        spool.write_config(b"{}\n")
    assert [entry for entry in spool.dir("tmp").list() if entry.startswith("config.json.")]

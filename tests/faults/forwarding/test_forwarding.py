"""The fault loop of forwarding as tests; the storms where campaigns are asked for."""

import pytest

from tests.conftest import CAMPAIGNS, NOT_ASKED_FOR

from ..cases import demand, perform
from .looping import CASES as LOOP
from .storm import CASES as STORM

# A child of a process with threads may only do what these children do: work on files, and end.
pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")


@pytest.mark.parametrize("case", LOOP, ids=lambda case: case.name)
def test_no_job_is_in_two_spools_whichever_call_fails_or_is_the_last(case):
    """For every n: fail, or die at, the n-th call of either side; recover; settle."""
    demand(perform(case))


@pytest.mark.skipif(not CAMPAIGNS, reason=NOT_ASKED_FOR)
@pytest.mark.parametrize("case", STORM, ids=lambda case: case.name)
def test_a_storm_of_forwarders(case):
    """Each job arrives once, whoever is killed when; a control is caught."""
    demand(perform(case))

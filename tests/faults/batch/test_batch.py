"""The short campaign on Slurm as tests, where campaigns are asked for."""

import pytest

from tests.conftest import CAMPAIGNS, NOT_ASKED_FOR

from ..cases import demand, perform
from . import CASES


@pytest.mark.skipif(not CAMPAIGNS, reason=NOT_ASKED_FOR)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_slurm_under_fire(case):
    """Each job runs once, whoever is killed meanwhile; a control is caught."""
    demand(perform(case))

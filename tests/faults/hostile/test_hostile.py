"""The short form of the hostile campaign as tests, where campaigns are asked for."""

import pytest

from tests.conftest import CAMPAIGNS, NOT_ASKED_FOR

from ..cases import demand, perform
from . import CASES


@pytest.mark.skipif(not CAMPAIGNS, reason=NOT_ASKED_FOR)
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_hostile(case):
    """The others run, nothing is followed, lost or shown raw; a control is caught."""
    demand(perform(case))

"""The short form as tests; the cases that take long only where campaigns are asked for."""

import pytest

from tests.conftest import CAMPAIGNS, NOT_ASKED_FOR

from ..cases import demand, perform
from . import CASES, changing, linking, lists, racing

_LONG = [*racing.CASES, *lists.CASES, *changing.CASES, *linking.CASES]


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_permissions(case):
    """Nobody else's command runs, and nothing outside the spool changes; a control is caught."""
    if (case in _LONG or case.name.startswith("umask")) and not CAMPAIGNS:
        pytest.skip(NOT_ASKED_FOR)
    demand(perform(case))

"""What the tests of the live view share."""

import pytest

from spoolq import api


@pytest.fixture
def front(spool):
    with api.Spool(spool.path) as opened:
        yield opened

"""A storm of kills in its short form."""

import pytest

from tests.conftest import CAMPAIGNS, NOT_ASKED_FOR
from tests.executors.dask.storm import Storm


@pytest.mark.skipif(not CAMPAIGNS, reason=NOT_ASKED_FOR)
def test_in_a_storm_of_kills_no_job_is_lost_and_none_runs_twice_at_once(tmp_path):
    storm = Storm(tmp_path, seed=6, jobs=60)
    try:
        assert storm.run(seconds=20, patience=90) == []
    finally:
        storm.stop()
    assert sum(storm.count.values()) >= 3

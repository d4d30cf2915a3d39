"""The short form as a test, where campaigns are asked for: a process with its own network."""

import json
import subprocess
import sys

import pytest

from tests.conftest import CAMPAIGNS, NOT_ASKED_FOR, REPOSITORY


@pytest.mark.skipif(not CAMPAIGNS, reason=NOT_ASKED_FOR)
def test_no_host_that_dies_or_is_cut_off_loses_a_job_or_makes_one_run_beside_itself():
    """Every case holds, and every control is caught; what cannot be tried here says so."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.hosts", "--short"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    if not told["cases"]:
        pytest.skip(f"no hosts can be started here: {told['skipped']}")

"""The short form as a test, where campaigns are asked for: a process of its own, for its mounts."""

import json
import subprocess
import sys

import pytest

from tests.conftest import CAMPAIGNS, NOT_ASKED_FOR, REPOSITORY


@pytest.mark.skipif(not CAMPAIGNS, reason=NOT_ASKED_FOR)
def test_no_disk_loses_a_job_or_makes_one_run_anew():
    """Every case holds, and every control is caught."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.storage", "--short"],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["cases"] > 0

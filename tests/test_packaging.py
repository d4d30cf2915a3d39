"""What a release is made of fits together; .ci/release-check builds one."""

import configparser
import json
import math
import os
import re
import shlex

import pytest

import spoolq
from spoolq.cli import times, workers
from spoolq.config import Settings
from spoolq.units import MARGIN
from tests.conftest import REPOSITORY

WORKFLOW = REPOSITORY / ".github" / "workflows" / "ci.yml"
ONLY_A_CLONE = pytest.mark.skipif(not WORKFLOW.exists(), reason="a source distribution has none")


def test_the_changelog_begins_with_this_version():
    text = (REPOSITORY / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(r"^## \[?([^]\s]+)", text, re.MULTILINE).group(1) == spoolq.__version__


def test_every_extra_that_a_hint_names_is_there():
    setup = configparser.ConfigParser()
    setup.read(REPOSITORY / "setup.cfg", encoding="utf-8")
    known = set(setup["options.extras_require"])
    hinted = {
        extra
        for path in (REPOSITORY / "spoolq").rglob("*.py")
        for extra in re.findall(r"spoolq\[(\w+)\]", path.read_text(encoding="utf-8"))
    }
    assert "metrics" in hinted
    assert hinted <= known


@ONLY_A_CLONE
def test_the_workflow_runs_what_is_there():
    yaml = pytest.importorskip("yaml")
    jobs = yaml.safe_load(WORKFLOW.read_text(encoding="utf-8"))["jobs"]
    assert set(jobs) == {"linux", "macos", "windows"}
    commands = [step["run"] for job in jobs.values() for step in job["steps"] if "run" in step]
    named = {word for line in commands for word in shlex.split(line) if word.endswith(".py")}
    assert ".ci/run" in commands
    assert os.access(REPOSITORY / ".ci" / "run", os.X_OK)
    assert [name for name in named if not (REPOSITORY / name).exists()] == []
    assert len(named) > 3


def test_the_container_starts_a_worker_that_has_time_to_stop():
    """No container is built here: there is nothing that could."""
    text = (REPOSITORY / "docs" / "container" / "Containerfile").read_text(encoding="utf-8")
    words = [
        word
        for instruction in ("ENTRYPOINT", "CMD")
        for word in json.loads(re.search(rf"^{instruction} (.*)$", text, re.MULTILINE).group(1))
    ]
    assert words[:5] == ["tini", "--", "spoolq", "worker", "start"]
    with workers.start.make_context("start", words[5:]) as ctx:
        seconds = times.duration(ctx.params["stop_within"])
    enough = math.ceil(seconds + Settings().grace + MARGIN)
    page = (REPOSITORY / "docs" / "systemd.md").read_text(encoding="utf-8")
    for place in (text, page):
        assert f"--stop-timeout {enough} " in place

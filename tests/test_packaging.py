"""What a release is made of fits together; .ci/release-check builds one."""

import configparser
import os
import re
import shlex

import pytest

import spoolq
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

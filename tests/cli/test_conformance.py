"""What the check of a producer prints, and how it ends."""

import json
import subprocess
import sys

import pytest

from tests.conformance.test_controls import BROKEN
from tests.conftest import DEADLINE, environment

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="producers are checked on POSIX")


def check(*arguments):
    """Run the check to its end."""
    return subprocess.run(
        [sys.executable, "-m", "spoolq.conformance", *arguments],
        capture_output=True,
        text=True,
        env=environment(),
        timeout=2 * DEADLINE,
    )


def test_a_broken_rule_is_told_in_words_with_where_it_stands():
    done = check("--no-strace", sys.executable, "-I", "-S", BROKEN, "stripped")
    assert done.returncode == 4
    assert "broken    command\n" in done.stdout
    assert "became another\n" in done.stdout
    assert "see   docs/spool-format.md#the-job-file\n" in done.stdout
    assert done.stdout.endswith("1 rule is broken: command\n")
    assert "not tried: system calls" in done.stderr


def test_json_has_every_rule_and_the_same_exit_code():
    done = check("--no-strace", "--json", sys.executable, "-I", "-S", BROKEN, "notes it")
    found = json.loads(done.stdout)
    assert done.returncode == 4
    assert found["conforms"] is False
    assert found["rules"]["nothing-else"]["state"] == "broken"
    assert found["rules"]["synced"]["state"] == "not seen"
    assert found["rules"]["command"] == {"state": "kept", "seen": [], "stands": "The job file"}


def test_what_a_producer_prints_is_harmless_when_it_is_shown(tmp_path):
    hostile = tmp_path / "hostile"
    hostile.write_text("#!/bin/sh\nprintf '\\033]0;gone\\007' >&2\nexit 3\n")
    hostile.chmod(0o700)
    done = check("--no-strace", str(hostile))
    assert done.returncode == 4
    assert "\x1b" not in done.stdout + done.stderr
    assert "ended with 3 where nothing was wrong" in done.stdout


@pytest.mark.parametrize(
    "arguments, words",
    [
        ([], "name the program that submits jobs"),
        (["no-such-program"], "there is no program 'no-such-program'"),
        (["--no-such-option", "x"], "there is no option '--no-such-option'"),
    ],
)
def test_a_wrong_command_line_is_answered_in_words(arguments, words):
    done = check(*arguments)
    assert done.returncode == 2
    assert done.stdout == ""
    assert words in done.stderr
    assert "hint: " in done.stderr


def test_the_help_has_two_examples_and_says_how_it_ends():
    done = check("--help")
    assert done.returncode == 0
    assert done.stdout.count("\n  python -m spoolq.conformance ") >= 2
    assert "with 4 where one is" in " ".join(done.stdout.split())

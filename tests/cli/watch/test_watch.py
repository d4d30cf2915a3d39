"""`spoolq watch` where there is no terminal, and `--once`."""

import re
import subprocess
import sys

import pytest

from tests import given
from tests.conftest import REPOSITORY, environment


def test_without_a_terminal_it_says_what_to_do(spoolq):
    refused = spoolq("watch", code=2)
    assert "needs a terminal" in refused.err
    assert "hint: one picture without a terminal:  spoolq watch --once" in refused.err
    assert refused.out == ""


def test_without_a_spool_it_says_how_to_make_one(spoolq, tmp_path):
    assert "spoolq init" in spoolq("watch", "--once", code=1, spool_path=tmp_path).err


def test_once_prints_one_plain_picture(run_cli, spool, clock):
    for state in ("pending", "dead", "completed"):
        for number in range(12):
            given.job(spool, state, given.named(clock, f"{state[:4]}{number}", wait=number))
    done = run_cli("watch", "--once")
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    assert "pending 12   processing 0   failed 0   completed 12   dead 12\n" in done.stdout
    assert "NEXT 10 of 12\n pend0" in done.stdout
    assert "quit" not in done.stdout


@pytest.mark.parametrize(("columns", "widest"), [("50", 50), ("", 80), ("200", 200), ("1", 1)])
def test_once_is_as_wide_as_columns_says(run_cli, spool, clock, columns, widest):
    given.job(spool, "pending", given.named(clock, "x"), command="echo " + "x" * 500)
    lines = run_cli("watch", "--once", env={"COLUMNS": columns}).stdout.splitlines()
    assert max(map(len, lines)) == widest


def test_once_shows_what_the_filter_lets_through(run_cli, spool, clock):
    given.job(spool, "pending", given.named(clock, "apple"))
    given.job(spool, "dead", given.named(clock, "pear"))
    shown = run_cli("watch", "--once", "--filter", "PEA").stdout
    assert " pear " in shown
    assert "apple" not in shown
    assert "Esc" not in shown


def test_once_has_colours_where_they_are_asked_for(run_cli, spool, clock):
    given.job(spool, "dead", given.named(clock, "x"))
    assert "\x1b[31m1\x1b[0m" in run_cli("--color", "always", "watch", "--once").stdout


@pytest.mark.parametrize(
    "env",
    [
        {"PYTHONIOENCODING": "ascii"},
        {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"},
    ],
)
def test_once_is_drawn_in_the_characters_that_the_output_has(run_cli, spool, clock, env):
    given.job(spool, "completed", given.named(clock, "x", 1), command="echo 日本")
    given.job(spool, "dead", given.named(clock, "y", 1), command="echo " + "y" * 99)
    lines = run_cli("watch", "--once", env=env).stdout.splitlines()
    assert re.fullmatch(r"[_#]+  2 ended in .*|_+  none ended in .*", lines[2])
    assert max(map(len, lines)) == 80
    assert any(line.endswith("echo ????") for line in lines)
    assert any(line.endswith("yyy~") for line in lines)
    assert "\\u" not in "".join(lines)


def test_hostile_jobs_are_shown_as_text(run_cli, spool, clock):
    given.job(spool, "pending", given.named(clock, "x"), command="\x1b[2J\u202e\u2066 \x07")
    given.write(spool, "dead", "\x1b]0;x\x07\n.json", "{")
    shown = run_cli("watch", "--once").stdout
    assert "\\x1b[2J\\u202e\\u2066 \\x07" in shown
    assert "\\x1b]0;x\\x07\\n.json" in shown
    assert all(line.isprintable() for line in shown.splitlines())


def test_a_picture_needs_little_of_rich_and_nothing_of_watchdog():
    """Of rich the widths of characters alone: its console would cost four times as much."""
    code = (
        "import sys; from spoolq.cli.watch import board, frame\n"
        "print(*(name for name in ('rich.console', 'rich.live', 'watchdog', 'rich.cells') "
        "if name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=REPOSITORY,
        env=environment(),
    )
    assert done.stdout == "rich.cells\n"

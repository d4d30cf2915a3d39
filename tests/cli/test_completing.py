"""Completion in real shells: what is offered, described, quick, and harmless."""

import os
import select
import shutil
import subprocess
import sys
import time

import pytest

from tests.conftest import DEADLINE, environment

pty = pytest.importorskip("pty")

MANY = 100_000
HOSTILE = (
    "echo $(touch pwned) `touch pwned` %F{red}\\n\"'; touch pwned #\nsecond, line:\ttab\x1b[31m"
)


def needs(shell):
    return pytest.mark.skipif(shutil.which(shell) is None, reason=f"no {shell} here")


@pytest.fixture
def home(tmp_path, spool):
    """A directory with `spoolq` on the PATH, and the environment that finds it."""
    place = tmp_path / "home"
    place.mkdir()
    program = place / "spoolq"
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m spoolq "$@"\n')
    program.chmod(0o755)
    path = f"{place}{os.pathsep}{os.environ['PATH']}"
    return place, environment(PATH=path, SPOOLQ_SPOOL=spool.path, HOME=str(place), TERM="dumb")


@pytest.fixture
def bash(home):
    """Return what bash offers for a line that has been typed up to here."""
    place, variables = home
    code = """
        source <(spoolq completion bash)
        COMP_LINE=$1; COMP_POINT=${#1}; eval "set -- $1"
        COMP_WORDS=("$@"); [[ $COMP_LINE == *" " ]] && COMP_WORDS+=("")
        COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); compopt() { printf 'compopt %s\\n' "$*"; }
        complete -p spoolq | grep -q -- '-F _spoolq_completion' || exit 9
        _spoolq_completion spoolq
        printf '%s\\n' "${COMPREPLY[@]}"
    """

    def offered(line):
        done = subprocess.run(
            ["bash", "--norc", "-c", code, "bash", line],
            capture_output=True, text=True, env=variables, cwd=place, timeout=DEADLINE,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        return done.stdout.split()

    return offered


@pytest.fixture
def fish(home):
    """Return what fish offers, with its descriptions."""
    place, variables = home

    def offered(line):
        done = subprocess.run(
            ["fish", "--no-config", "-c",
             "spoolq completion fish | source; complete -C $argv[1]", line],
            capture_output=True, text=True, env=variables, cwd=place, timeout=DEADLINE,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        return dict(line.partition("\t")[::2] for line in done.stdout.splitlines())

    return offered


@pytest.fixture
def zsh(home):
    """Type a line and a tab into a real zsh; return its screen once `words` are there."""
    place, variables = home
    parent, child = pty.openpty()
    subprocess.run(["stty", "cols", "200", "rows", "50", "-echo"], stdin=child, check=True)
    process = subprocess.Popen(
        ["zsh", "-f", "-i"], stdin=child, stdout=child, stderr=child,
        env=variables, cwd=place, start_new_session=True,
    )  # fmt: skip
    os.close(child)

    def until(words):
        text, deadline = "", time.monotonic() + DEADLINE
        while words not in text:
            assert time.monotonic() < deadline, f"no {words!r} in {text!r}"
            if select.select([parent], [], [], 0.1)[0]:
                text += os.read(parent, 65536).decode("utf-8", "replace")
        return text

    def offered(line, words):
        setup = 'PS1=; autoload -U compinit; compinit -D -u; eval "$(spoolq completion zsh)"'
        os.write(parent, f"{setup}; LISTMAX=1000; echo rea''dy\n".encode())
        until("ready")
        os.write(parent, f"{line}\t".encode())
        return until(words)

    yield offered
    process.kill()
    process.wait()
    os.close(parent)


# --- what is offered ------------------------------------------------------------------------------


@needs("bash")
def test_bash_offers_verbs_options_states_keys_ids_and_workers(bash, spoolq, start_worker):
    for job_id in ("night-1", "night-2", "day"):
        spoolq("enqueue", "--id", job_id, "--in", "1h", "true")
    assert bash("spoolq enq") == ["enqueue"]
    assert bash("spoolq dlq ") == ["list", "purge", "retry"]
    assert bash("spoolq list --sta") == ["--state"]
    assert bash("spoolq list --state p") == ["pending", "processing"]
    assert bash("spoolq config set max") == ["max_retries", "max_log"]
    assert bash("spoolq show night") == ["night-2", "night-1"]
    assert bash("spoolq completion ") == ["bash", "zsh", "fish"]
    assert bash("spoolq show nothing") == []
    assert bash("spoolq --color al") == ["always"]
    start_worker()
    (worker,) = bash("spoolq worker stop ")
    assert worker.partition("-")[0] != ""
    assert bash("spoolq enqueue ./f") == ["compopt", "-o", "default"]


@needs("bash")
def test_only_jobs_with_which_it_can_be_done_are_offered(bash, spoolq):
    spoolq("enqueue", "--id", "waits", "true")
    spoolq("enqueue", "--id", "dead", "true")
    spoolq("cancel", "dead")
    assert bash("spoolq cancel ") == ["waits"]
    assert bash("spoolq retry ") == bash("spoolq dlq retry ") == ["dead"]
    assert sorted(bash("spoolq logs ")) == ["dead", "waits"]


@needs("bash")
def test_the_spool_that_is_typed_is_the_one_that_is_looked_at(bash, spoolq, spool, tmp_path):
    spoolq("enqueue", "--id", "here", "true")
    spoolq("enqueue", "--id", "there", "true", spool_path=tmp_path / "other")
    assert bash("spoolq show ") == ["here"]
    assert bash(f"spoolq --spool {tmp_path}/other show ") == ["there"]
    assert bash(f"spoolq show --spool {tmp_path}/other ") == ["there"]
    assert bash(f"spoolq --spool {tmp_path}/nowhere show ") == []


@needs("fish")
def test_fish_describes_what_it_offers(fish, spoolq, start_worker):
    spoolq("enqueue", "--id", "b-old", "--name", "the, first", "echo one, two")
    spoolq("enqueue", "--id", "a-new", "--in", "1h", "echo two")
    assert fish("spoolq show ") == {
        "a-new": "pending: echo two",
        "b-old": "pending: the, first: echo one, two",
    }
    assert list(fish("spoolq show ")) == ["a-new", "b-old"]
    assert fish("spoolq stat") == {"status": "Say what waits, runs and has ended, and who works."}
    assert fish("spoolq config get max_r") == {"max_retries": "retries after the first attempt"}
    start_worker("--count", "2")
    assert list(fish("spoolq worker stop ").values()) in (["0 of 2 busy"], ["1 of 2 busy"])


@needs("zsh")
def test_zsh_describes_what_it_offers(zsh, spoolq):
    spoolq("enqueue", "--id", "night-1", "echo one")
    spoolq("enqueue", "--id", "night-2", "--in", "1h", "echo two")
    text = zsh("spoolq show night-", "pending: echo one")
    assert "night-2" in text and "-- pending: echo two" in text


# --- harmless -------------------------------------------------------------------------------------


@pytest.fixture
def hostile(spoolq, spool):
    """A spool whose names and commands would do something if a shell read them."""
    spoolq("enqueue", "--id", "evil-1", HOSTILE)
    spoolq("enqueue", "--id", "evil-2", "--name", HOSTILE, "true")
    for name in (
        "$(touch pwned).json",
        "20261124T020646123456Z.p5.a0.evil;touch pwned.json",
        "20261124T020646123456Z.p5.a0.evil$(touch pwned).json",
        "20261124T020646123456Z.p5.a0.evil\nplain,x.json",
    ):
        with open(os.path.join(spool.path, "pending", name), "w") as file:
            file.write('{"command": "true"}')


@needs("bash")
def test_hostile_names_and_commands_do_nothing_in_bash(bash, hostile, home):
    assert sorted(bash("spoolq show ev")) == ["evil-1", "evil-2"]
    assert not (home[0] / "pwned").exists()


@needs("fish")
def test_hostile_names_and_commands_do_nothing_in_fish(fish, hostile, home):
    found = fish("spoolq show ev")
    assert sorted(found) == ["evil-1", "evil-2"]
    assert "\x1b" not in str(found)
    assert not (home[0] / "pwned").exists()


@needs("zsh")
def test_hostile_names_and_commands_do_nothing_in_zsh(zsh, hostile, home):
    text = zsh("spoolq show evil-", "$(touch pwned)")
    assert "evil-1" in text and "plain,x" not in text
    assert "\x1b[31m" not in text
    assert not (home[0] / "pwned").exists()


# --- quick ----------------------------------------------------------------------------------------


@needs("bash")
def test_ids_of_a_hundred_thousand_jobs_are_the_newest_hundred(bash, spool):
    for number in range(MANY):
        name = f"20260101T000000{number:06}Z.p5.a0.job-{number}.json"
        with open(os.path.join(spool.path, "completed", name), "w") as file:
            file.write('{"command": "true"}')
    found = bash("spoolq show ")
    assert found[:2] == [f"job-{MANY - 1}", f"job-{MANY - 2}"]
    assert len(found) == 100
    assert bash("spoolq show job-4711") == [
        f"job-{number}" for number in (*range(47119, 47109, -1), 4711)
    ]
    began = time.monotonic()
    bash("spoolq list --sta")
    without = time.monotonic() - began
    began = time.monotonic()
    bash("spoolq show ")
    assert time.monotonic() - began < 10 * without + 1  # nothing but names is read of them all


def test_verbs_are_offered_without_importing_any(run_cli):
    code = (
        "import sys; from spoolq.cli import main; main.run([]);"
        "print(*(name for name in sys.modules if name.startswith('spoolq.cli.')), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True,
        env=environment(_SPOOLQ_COMPLETE="bash_complete", COMP_WORDS="spoolq ", COMP_CWORD="1"),
    )  # fmt: skip
    assert "plain,enqueue" in done.stdout
    assert "spoolq.cli.jobs" not in done.stderr

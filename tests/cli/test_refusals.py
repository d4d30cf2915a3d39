"""Wrong command lines, tried one after the other: words, an exit code, and what to do instead."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import click
import pytest

from spoolq.cli import refusals, verbs
from tests.cli.test_main import commands
from tests.conftest import DEADLINE, environment

# What is typed, split at blanks where it is text; the exit code; what has to be said.
TABLE = [
    # the program
    ("--bogus", 2, "there is no option '--bogus'"),
    ("-x", 2, "there is no option '-x'"),
    ("statsu", 2, "did you mean 'status'?"),
    ("STATUS", 2, "did you mean 'status'?"),
    ([""], 2, "an empty text names no verb"),
    ("help", 2, "spoolq --help"),
    ("ps", 2, "spoolq status"),
    ("kill x", 2, "spoolq cancel"),
    ("start", 2, "spoolq worker start"),
    ("--color blue status", 2, "--color: 'blue' is not auto, always or never"),
    ("--color", 2, "--color needs a value"),
    ("--spool", 2, "--spool needs a value"),
    (["--spool", "", "status"], 2, "is a variable of the shell empty?"),
    ("--spool FILE status", 2, "a spool is a directory, and this is a file"),
    ("--spool /nowhere/at/all status", 1, "spoolq init /nowhere/at/all"),
    ("--spool /nowhere/at/all doctor", 1, "spoolq init /nowhere/at/all"),
    ("--spool FILE/x status", 1, "spoolq init"),
    ("--spool FILE/x enqueue true", 1, "is a file, and no directory"),
    ("status --jsn", 2, "did you mean '--json'?"),
    ("status --json=x", 2, "--json takes no value"),
    ("status k3v9", 2, "spoolq show k3v9"),
    # enqueue and run
    ("enqueue", 2, "what is to be run?"),
    (["enqueue", ""], 2, "is empty"),
    ("enqueue --prio 3 true", 2, "did you mean '--priority'?"),
    ("enqueue --priority 11 true", 2, "--priority: 11 is not from 0 to 9"),
    ("enqueue --priority x true", 2, "--priority: 'x' is not a whole number"),
    ("enqueue --priority", 2, "--priority needs a value: 9 goes first"),
    ("enqueue --max-retries -1 true", 2, "--max-retries: -1 is not from 0 to 100000"),
    ("enqueue --backoff-base x true", 2, "--backoff-base: 'x' is not a number"),
    ("enqueue --backoff-base -1 true", 2, "--backoff-base: must be from 0 to 86400"),
    ("enqueue --backoff-base nan true", 2, "--backoff-base: must be from 0 to 86400"),
    ("enqueue --timeout x true", 2, "--timeout: 'x' is not a duration"),
    ("enqueue --timeout 0 true", 2, "--timeout: must be from 0.001 to 315360000"),
    ("enqueue --in x true", 2, "--in: 'x' is not a duration"),
    ("enqueue --at x true", 2, "--at: 'x' is not a time"),
    ("enqueue --at 2020-01-01 true", 2, "is past: it was 2020-01-01"),
    ("enqueue --at 18:00 --in 3 true", 2, "--at and --in both say when"),
    ("enqueue --env NO_SUCH_VARIABLE true", 2, "there is no such variable here"),
    ("enqueue --env =x true", 2, "the variable has no name"),
    (["enqueue", "--env", "", "true"], 2, "the variable has no name"),
    (["enqueue", "--cwd", "", "true"], 2, "--cwd: a directory must have 1 to 4095 characters"),
    (["enqueue", "--id", "a b", "true"], 2, "--id: must be 1 to 64 of A-Z a-z 0-9 _ -"),
    ("enqueue --id last true", 2, "--id: must be 1 to 64"),
    ("enqueue --id here true", 1, "choose another id, or leave it out"),
    (["enqueue", "--tag", "", "true"], 2, "--tag: a tag must have 1 to 64 characters"),
    (["enqueue", "--name", "", "true"], 2, "--name: a name must have 1 to 256 characters"),
    ("enqueue --like nope", 1, "there is no job 'nope'"),
    ("enqueue --like bad.json", 1, "bad.json is no job: line 1, column 30"),
    (["enqueue", "sleep 5", "--priority", "9"], 2, "spoolq enqueue --priority 9 'sleep 5'"),
    (["enqueue", '{"command": 1}'], 2, "column 13, field 'command': must be text"),
    (["enqueue", '{"comand": "x"}'], 2, "did you mean it by 'comand'?"),
    (["enqueue", '{"command": "x", "priority": 99}'], 2, "field 'priority': must be from 0 to 9"),
    (["enqueue", "--env", "A=1", '{"command": "x", "env": {"B": 1}}'], 2, "field 'env.B'"),
    (["enqueue", "{command: x}"], 2, "not JSON"),
    (["enqueue", '{"command": "x"'], 2, "not JSON"),
    (["enqueue", "{ a; b; }"], 2, "spoolq enqueue sh -c"),
    (["enqueue", "[1]"], 2, "a job is a JSON object, not a list"),
    (["enqueue", '{"command": "x"}', "y"], 2, "after a JSON object only further ones"),
    (["enqueue", "--id", "x", '{"command": "a"}', '{"command": "b"}'], 2, "--id names one job"),
    ("enqueue - x", 2, "- reads jobs from stdin and stands alone"),
    ("enqueue --stream true", 2, "spoolq enqueue --stream -"),
    ("run", 2, "spoolq run 'echo hello'"),
    ("run - x", 2, "- reads jobs from stdin and stands alone"),
    # a tag of a shell's variable that is not set must not mean all
    *(
        ([*verb.split(), "--tag", ""], 2, "--tag names no tag")
        for verb in (
            *("list", "wait", "cancel", "retry", "hold", "release", "export"),
            *("pause", "resume", "worker start"),
        )
    ),
    (["worker", "start", "--limit-command", ""], 2, "--limit-command names no command"),
    # one job, and several
    ("list --state bogus", 2, "the states are pending, processing"),
    ("list --state pendng", 2, "did you mean 'pending'?"),
    ("list --state", 2, "--state needs a value: only these: pending"),
    ("list --limit 0", 2, "--limit: 0 is less than 1"),
    ("list --limit x", 2, "--limit: 'x' is not a whole number"),
    ("list failed", 2, "spoolq list --state failed"),
    ("list k3v9", 2, "spoolq show k3v9"),
    ("show nope", 1, "there is no job 'nope'"),
    ("show heer", 1, "did you mean 'here'?"),
    ("show bad", 1, "did you mean 'bad.json'?"),
    (["show", ""], 1, "an empty text names no job"),
    ("show a b", 2, "'b' is one argument too many"),
    ("logs nope", 1, "there is no job 'nope'"),
    ("logs --attempt 9 here", 1, "has had no attempt 9"),
    ("logs --attempt x here", 2, "--attempt: 'x' is not a whole number"),
    ("logs -f --json here", 2, "--json is one document"),
    ("wait nope", 1, "there is no job 'nope'"),
    ("wait --timeout x", 2, "--timeout: 'x' is not a duration"),
    ("wait --tag nope", 1, "no job has the tag 'nope'"),
    ("wait --tag t here", 2, "give one of them"),
    ("cancel", 2, "give ids, or a tag"),
    ("cancel nope", 1, "there is no job 'nope'"),
    ("cancel gone", 1, "only waiting and running jobs can be cancelled"),
    ("retry", 2, "give ids, or a tag"),
    ("retry here", 1, "spoolq enqueue --like here"),
    ("retry bad.json", 1, "mend the file, then retry it"),
    ("dlq lst", 2, "did you mean 'list'?"),
    ("dlq list --limit x", 2, "--limit: 'x' is not a whole number"),
    ("dlq retry", 2, "give ids, or --all"),
    ("dlq retry --all here", 2, "give ids, or --all"),
    ("dlq retry here", 1, "only failed or dead jobs can be retried"),
    ("dlq purge", 2, "say it with --yes"),
    ("dlq purge --older-than x --yes", 2, "--older-than: 'x' is not a duration"),
    # workers
    ("worker strat", 2, "did you mean 'start'?"),
    ("worker start --count 0", 2, "--count: 0 is not from 1 to 10000"),
    ("worker start -n x", 2, "--count: 'x' is not a whole number"),
    ("worker start --stop-within x", 2, "--stop-within: 'x' is not a duration"),
    ("worker start --log-format jsn", 2, "did you mean 'json'?"),
    ("worker start extra", 2, "'extra' is one argument too many"),
    ("worker stop nope", 1, "no worker 'nope' is alive"),
    ("worker list x", 2, "'x' is one argument too many"),
    # the spool
    ("config lst", 2, "did you mean 'list'?"),
    ("config max-retries 5", 2, "spoolq config set max_retries 5"),
    ("config max_retries=5", 2, "spoolq config set max_retries 5"),
    ("config max_retries", 2, "spoolq config get max_retries"),
    ("config get", 2, "KEY is missing"),
    ("config get maxretries", 2, "did you mean 'max_retries'?"),
    ("config get bogus", 2, "the settings are max_retries"),
    ("config set", 2, "KEY is missing"),
    ("config set max_retries", 2, "VALUE is missing"),
    ("config set max_retries=5", 2, "spoolq config set max_retries 5"),
    ("config set max_retries x", 2, "max_retries must be a number"),
    ("config set max_retries -1", 2, "max_retries must be from 0 to 100000"),
    ("config set max_retries 1 2", 2, "'2' is one argument too many"),
    ("config set durability soon", 2, "must be one of"),
    ("config set group no-such-group", 2, "must be the name of a group"),
    ("config unset bogus", 2, "the settings are"),
    ("pause x", 2, "'x' is one argument too many"),
    ("resume --now", 2, "there is no option '--now'"),
    ("purge", 2, "say it with --yes"),
    ("purge --state pending", 2, "only completed and dead ones are removed"),
    ("purge --state complete", 2, "did you mean 'completed'?"),
    ("purge --older-than x", 2, "--older-than: 'x' is not a duration"),
    ("init FILE", 2, "is a file, and a spool is a directory"),
    ("init FILE/x", 1, "is a file, and no directory"),
    ("init --group no-such-group x", 2, "must be the name of a group"),
    ("init a b", 2, "'b' is one argument too many"),
    ("doctor --repiar", 2, "did you mean '--repair'?"),
    ("demo --keeep", 2, "did you mean '--keep'?"),
    ("completion", 2, "bash|zsh|fish is missing"),
    ("completion bsh", 2, "did you mean 'bash'?"),
    ("completion powershell", 2, "the shells are bash, zsh, fish"),
]


def judge(done, code, words, what):
    """Say what is wrong with the answer to a wrong command line; "" if nothing is."""
    lines = done.stderr.splitlines()
    faults = []
    if done.returncode != code:
        faults.append(f"exit code {done.returncode}, not {code}")
    if done.stdout:
        faults.append("there is something on stdout")
    if "Traceback" in done.stderr:
        faults.append("a traceback")
    if not any(line.startswith("Error: ") for line in lines):
        faults.append("no error is told")
    if not lines or not lines[-1].startswith("hint: "):
        faults.append("no hint at the end")
    if words not in done.stderr:
        faults.append(f"nothing of {words!r}")
    return f"{what}: {', '.join(faults)}: {done.stderr}" if faults else ""


def test_each_wrong_command_line_is_answered_with_what_to_do(spoolq, spool, tmp_path):
    """All through the real program, as somebody types them into a script."""
    file = tmp_path / "file"
    file.touch()
    spoolq("enqueue", "--id", "here", "true")
    spoolq("enqueue", "--id", "gone", "true")
    spoolq("cancel", "gone")
    with open(os.path.join(spool.path, "dead", "bad.json"), "w") as bad:
        bad.write('{"command": "x", "priority": 99}')
    variables = environment(SPOOLQ_SPOOL=spool.path)

    def attempt(row):
        typed, code, words = row
        args = typed.split() if isinstance(typed, str) else typed
        done = subprocess.run(
            [sys.executable, "-m", "spoolq", *(arg.replace("FILE", str(file)) for arg in args)],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, env=variables,
            cwd=tmp_path, timeout=DEADLINE,
        )  # fmt: skip
        return judge(done, code, words, typed)

    with ThreadPoolExecutor(2) as pool:
        faults = [fault for fault in pool.map(attempt, TABLE) if fault]
    assert not faults, "\n".join(faults)


def test_an_environment_that_names_a_file_is_told_of(run_cli, tmp_path):
    file = tmp_path / "file"
    file.touch()
    command = [sys.executable, "-m", "spoolq", "status"]
    done = subprocess.run(
        command, env=environment(SPOOLQ_SPOOL=str(file)), capture_output=True, text=True
    )
    assert not judge(done, 1, "name a directory with --spool or $SPOOLQ_SPOOL", "SPOOLQ_SPOOL")


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("{", 1, "not JSON"),
        ('{"format": 99}', 1, "update spoolq"),
        ('{"max_retries": "x"}', 1, "max_retries must be a number"),
    ],
)
def test_settings_that_are_wrong_are_told_of_with_their_file(spoolq, spool, text, code, words):
    path = os.path.join(spool.path, "config.json")
    with open(path, "w") as file:
        file.write(text)
    for verb in ("worker start --drain", "config get timeout"):
        err = spoolq(*verb.split(), code=code).err
        assert words in err
        assert f"  file  {path}\n" in err
        assert err.splitlines()[-1].startswith("hint: ")


def test_a_directory_that_is_missing_can_be_made_anew(spoolq, spool):
    os.rmdir(os.path.join(spool.path, "tmp"))
    for verb in ("worker start --drain", "enqueue true"):
        assert "spoolq doctor --repair makes it anew" in spoolq(*verb.split(), code=1).err


@pytest.mark.parametrize(
    ("lines", "words"),
    [
        (b'true\n{"command": 1}\n', "line 2, column 13, field 'command'"),
        (b"true\n\xff\n", "line 2, column 1: not UTF-8"),
        (b'{"command": "x"\n', "line 1, column 16: not JSON"),
        (b"\xef\xbb\xbftrue\n", "line 1: begins with a byte order mark"),
    ],
)
def test_a_wrong_line_of_stdin_is_told_of_with_what_to_do(spoolq, lines, words):
    for args in (("-",), ("--stream", "-")):
        err = spoolq("enqueue", *args, code=1, stdin=lines).err
        assert words in err
        assert err.splitlines()[-1].startswith("hint: ")


# --- every verb, every option -------------------------------------------------------------------


def options():
    """Each option of each verb."""
    return [
        (words, param)
        for words, command in commands()
        for param in command.params
        if isinstance(param, click.Option) and not param.hidden
    ]


def refused(spoolq, *args):
    done = spoolq(*args, code=2)
    lines = done.err.splitlines()
    assert done.out == ""
    assert lines[0].startswith("Error: "), done.err
    assert lines[-1].startswith("hint: "), done.err
    return done.err


@pytest.mark.parametrize(
    ("words", "option"),
    options(),
    ids=lambda value: value.opts[-1] if isinstance(value, click.Option) else " ".join(value),
)
def test_an_option_without_its_value_or_with_one_too_many_says_so(spoolq, words, option):
    name = max(option.opts, key=len)
    if option.is_flag:
        assert f"{name} takes no value" in refused(spoolq, *words, f"{name}=x")
    else:
        assert f"{name} needs a value" in refused(spoolq, *words, name)


@pytest.mark.parametrize(("words", "command"), commands(), ids=lambda value: str(value))
def test_every_verb_refuses_an_option_that_is_not_there(spoolq, words, command):
    err = refused(spoolq, *words, "--jsoon")
    assert "there is no option '--jsoon'" in err
    assert f"hint: spoolq {' '.join(words)} --help" in err
    known = any("--json" in param.opts for param in command.params)
    assert ("did you mean '--json'?" in err) == known


def test_words_of_other_programs_lead_to_verbs_that_are_there():
    from spoolq.cli.main import cli

    known = dict(commands())
    with click.Context(cli, info_name="spoolq") as ctx:
        for word, meant in refusals.SYNONYMS.items():
            assert cli.get_command(ctx, word) is None, f"{word} is a verb"
            verb = tuple(part for part in meant.split() if not part.startswith("-"))
            assert verb == () or verb in known


def test_usage_is_shown_where_it_helps(spoolq):
    assert "  usage  spoolq show [OPTIONS] [ID]\n" in spoolq("show", "--bogus", code=2).err
    assert "usage" not in spoolq("list", "--limit", "x", code=2).err


def test_a_wrong_word_of_few_is_answered_with_all():
    with pytest.raises(click.BadParameter, match="'c' is not a, b or x"):
        verbs.OneOf(["a", "b", "x"]).convert("c", None, None)

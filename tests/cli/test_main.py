"""The error boundary: words, exit codes, and never a traceback for what a user can cause."""

import os
import shlex
import signal
import subprocess
import sys

import click
import pytest

import spoolq as package
from spoolq import api
from spoolq.cli import main
from spoolq.errors import Busy, StorageFull
from tests.conftest import entries, environment


def buffered():
    """An environment without what makes Python take a half-written text for a whole one."""
    return {key: value for key, value in environment().items() if key != "PYTHONUNBUFFERED"}


def popen(*args):
    return subprocess.Popen(
        [sys.executable, "-m", "spoolq", *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=buffered(),
    )


def test_an_error_says_what_happened_where_and_what_to_do(run_cli, spool):
    run_cli("enqueue", "--id", "k3v9", "true")
    done = run_cli("retry", "k3v9", check=False)
    (name,) = entries(spool, "pending")
    assert done.returncode == 1
    assert done.stdout == ""
    assert done.stderr == (
        "Error: job k3v9 is pending; only failed or dead jobs can be retried.\n"
        f"  file  {spool.path}/pending/{name}\n"
        "hint: run a copy of it:  spoolq enqueue --like k3v9\n"
    )


def test_a_usage_error_shows_the_usage_and_exits_with_2(run_cli):
    done = run_cli("config", "get", check=False)
    assert done.returncode == 2
    assert done.stderr == (
        "Error: KEY is missing\n"
        "  usage  spoolq config get [OPTIONS] KEY\n"
        "hint: spoolq config get --help\n"
    )


@pytest.mark.parametrize(
    ("args", "meant"),
    [
        (("statsu",), "'status'"),
        (("enque", "x"), "'enqueue'"),
        (("dlq", "lst"), "'list'"),
        (("worker", "strat"), "'start'"),
        (("list", "--state", "pendng"), "'pending'"),
        (("purge", "--state", "complete"), "'completed'"),
        (("config", "get", "maxretries"), "'max_retries'"),
        (("completion", "bsh"), "'bash'"),
    ],
)
def test_a_wrong_word_is_answered_with_the_one_that_was_meant(spoolq, args, meant):
    assert f"did you mean {meant}?" in spoolq(*args, code=2).err


def test_a_misspelt_id_is_answered_with_the_one_that_was_meant(spoolq):
    spoolq("enqueue", "--id", "nightly-backup", "true")
    done = spoolq("show", "nigthly", code=1)
    assert "there is no job 'nigthly'" in done.err
    assert "did you mean 'nightly-backup'?" in done.err


@pytest.mark.parametrize("verb", ["list", "status", "show", "logs", "wait", "pause", "config list"])
def test_a_spool_that_is_not_there_is_not_made_by_looking(spoolq, tmp_path, verb):
    done = spoolq(*verb.split(), code=1, spool_path=tmp_path / "nowhere")
    assert "there is no spool at" in done.err
    assert not (tmp_path / "nowhere").exists()


def test_try_again_is_75(spoolq, monkeypatch):
    def raising(error):
        def fail(*_):
            raise error

        return fail

    monkeypatch.setattr(api.Spool, "counts", raising(Busy("somebody is at it")))
    assert "somebody is at it" in spoolq("status", code=75).err
    monkeypatch.setattr(api.Spool, "counts", raising(StorageFull("full", hint="free some")))
    assert "hint: free some" in spoolq("status", code=75).err
    monkeypatch.setattr(api.Spool, "counts", raising(OSError(28, "No space left", "x")))
    assert "No space left: x" in spoolq("status", code=75).err


def test_what_the_system_refuses_of_a_descriptor_is_an_error_too(spoolq, monkeypatch):
    """Found on btrfs on a disk that failed: it names a number where others name a path."""

    def fail(*_):
        raise OSError(5, "Input/output error", 7)

    monkeypatch.setattr(api.Spool, "counts", fail)
    done = spoolq("status", code=1)
    assert done.err.splitlines()[0] == "Error: Input/output error"


def test_what_the_system_refuses_is_an_error_without_a_traceback(spoolq, monkeypatch):
    def fail(*_):
        raise OSError(5, "Input/output error", "/some\x1bwhere")

    monkeypatch.setattr(api.Spool, "counts", fail)
    done = spoolq("status", code=1)
    assert done.err == (
        "Error: Input/output error: /some\\x1bwhere\n"
        "hint: the disk fails, or its filesystem has shut down: dmesg says why\n"
    )


def test_a_bug_is_3_with_its_traceback(spoolq, monkeypatch):
    def fail(*_):
        raise ZeroDivisionError("by zero\x1b[2J")

    monkeypatch.setattr(api.Spool, "counts", fail)
    done = spoolq("status", code=3)
    assert "Traceback" in done.err
    assert "this is a bug in spoolq" in done.err
    assert "\x1b" not in done.err


def test_a_reader_that_has_gone_is_no_error(spool, spoolq):
    spoolq("enqueue", "-", stdin=b"true\n" * 2000)
    process = popen("--spool", spool.path, "list", "--json")
    process.stdout.readline()
    process.stdout.close()
    assert process.stderr.read() == b""
    assert process.wait() == 141
    process.stderr.close()


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")
def test_output_that_cannot_be_written_is_an_error(spool, spoolq):
    spoolq("enqueue", "true")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "spoolq", "--spool", spool.path, "list"],
            stdout=full,
            stderr=subprocess.PIPE,
            env=buffered(),
        )
    assert done.returncode == 75
    assert done.stderr.startswith(b"Error: No space left on device")
    assert b"Traceback" not in done.stderr


def test_closed_streams_are_no_reason_to_fail(spool):
    for closed in (">&-", "2>&-", ">&- 2>&-", "<&-"):
        command = f"{sys.executable} -m spoolq --spool {spool.path} enqueue true {closed}"
        assert subprocess.run(["sh", "-c", command], env=environment()).returncode == 0
    assert len(entries(spool, "pending")) == 4


def test_ctrl_c_is_130_and_quiet(spool, spoolq):
    spoolq("enqueue", "true")
    process = popen("--spool", spool.path, "wait")
    assert b"no worker" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate()
    assert (process.returncode, out, err) == (130, b"", b"")


def test_a_directory_that_is_gone_is_told_of(tmp_path):
    gone = tmp_path / "gone"
    gone.mkdir()
    command = f"rmdir ../gone; {sys.executable} -m spoolq status"
    done = subprocess.run(
        ["sh", "-c", command], cwd=str(gone), capture_output=True, env=environment(), check=False
    )
    assert done.returncode == 1
    assert b"the directory that you are in is gone" in done.stderr


def test_python_m_is_the_same_program(run_cli):
    done = run_cli("--version")
    assert done.stdout == f"spoolq, version {package.__version__}\n"


def test_a_group_without_a_verb_shows_its_help_and_is_a_usage_error(spoolq):
    for group in ("worker", "dlq", "config"):
        done = spoolq(group, code=2)
        assert done.out == ""
        assert "Commands:" in done.err


# --- help -----------------------------------------------------------------------------------------


def commands():
    """Every verb with its words."""
    with click.Context(main.cli, info_name="spoolq") as ctx:
        found = []
        for name in main.cli.list_commands(ctx):
            command = main.cli.get_command(ctx, name)
            found.append(((name,), command))
            if isinstance(command, click.Group):
                found += [((name, sub), inner) for sub, inner in command.commands.items()]
    return found


@pytest.mark.parametrize(("words", "command"), commands(), ids=lambda value: str(value))
def test_every_verb_has_a_sentence_and_an_example(spoolq, words, command):
    text = spoolq(*words, "--help").out
    first = command.help.splitlines()[0]
    assert first.endswith(".") and len(first) < 80
    assert first in " ".join(text.split())
    assert isinstance(command, click.Group) or f"spoolq {' '.join(words)}" in command.help


def examples(command):
    """The lines of the help that show how the verb is called."""
    blocks = command.help.split("\b\n")[1:]
    lines = (line.strip() for block in blocks for line in block.split("\n\n")[0].splitlines())
    return [line for line in lines if line]


def calls(line):
    """The arguments of each spoolq in a line for the shell."""
    words = shlex.shlex(line, posix=True, punctuation_chars="|&;()<>")
    words.whitespace_split = True
    found, previous, inside = [], "", False
    for word in words:  # what follows a # is left out
        if word == "spoolq":
            inside = True
            found.append(["x"] if previous == "xargs" else [])
        elif set(word) <= set("|&;()<>"):
            inside = False
        elif inside:
            found[-1].append(word)
        previous = word
    return [[*args[1:], "x"] if args[:1] == ["x"] else args for args in found]


def parse(args):
    """Read arguments as the program does, and run nothing."""
    with main.cli.make_context("spoolq", ["status"]) as ctx:
        command = main.cli
        while isinstance(command, click.Group) and args:
            name, command, args = command.resolve_command(ctx, args)
            if not isinstance(command, click.Group):
                command.make_context(name, list(args), parent=ctx).close()


@pytest.mark.parametrize(
    ("words", "command"), [((), main.cli), *commands()], ids=lambda value: str(value)
)
def test_every_help_has_two_examples_that_can_be_typed(words, command):
    lines = examples(command)
    assert len(lines) >= 2
    for line in lines:
        found = calls(line.replace('"$(', "( ").replace(')"', " )"))
        assert found, line
        for args in found:
            parse(args)
    assert any(tuple(args[: len(words)]) == words for line in lines for args in calls(line))


def test_an_example_that_cannot_be_typed_is_noticed():
    with pytest.raises(click.UsageError):
        parse(["list", "--sate", "failed"])
    with pytest.raises(click.UsageError):
        parse(["config", "shw"])


def test_the_help_says_of_each_verb_what_the_verb_says(spoolq):
    text = spoolq("--help").out
    for words, command in commands():
        if len(words) == 1:
            line = main._VERBS[words[0]][1]
            assert line in text
            assert command.help.splitlines()[0].startswith(line.rstrip("."))


def test_the_help_imports_no_verb():
    code = (
        "import sys; from spoolq.cli import main; main.run(['--help']);"
        "print(*(name for name in sys.modules if name.startswith('spoolq.cli.')), file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True
    )
    assert sorted(done.stderr.split()) == [
        "spoolq.cli.columns",
        "spoolq.cli.main",
        "spoolq.cli.render",
        "spoolq.cli.verbs",
    ]


def test_enqueue_pays_for_nothing_that_it_does_not_use(spool):
    heavy = "rich portalocker watchdog subprocess logging selectors socket asyncio".split()
    code = (
        "import sys; from spoolq.cli import main; "
        f"main.run(['--spool', {spool.path!r}, 'enqueue', 'true']);"
        f"print([name for name in {heavy!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, env=environment(), check=True
    )
    assert done.stderr.strip() == "[]"


def test_a_worker_imports_no_redis_where_there_is_one(run_cli, tmp_path):
    """portalocker brings it along where it is installed, for four fifths of its own cost."""
    (tmp_path / "redis").mkdir()
    (tmp_path / "redis" / "__init__.py").write_text("raise SystemExit('redis was imported')\n")
    path = os.pathsep.join([environment()["PYTHONPATH"], str(tmp_path)])
    run_cli("enqueue", "true", env={"PYTHONPATH": path})
    done = run_cli("worker", "start", "--drain", env={"PYTHONPATH": path})
    assert "completed" in done.stderr

"""`run` of many: all output, grouped, the number that died, and a worker that comes and goes."""

import json
import os
import signal
import subprocess
import sys

import pytest

from spoolq.api import Spool
from spoolq.cli import together
from spoolq.errors import SpoolqError
from tests.conftest import entries, environment, wait_until

LAST_WORDS = r"import sys; sys.stderr.write('the last but one\nthe last\n'); sys.exit(3)"


@pytest.fixture(autouse=True)
def _in_a_directory_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)


def states(spool):
    return {
        state: len(entries(spool, state))
        for state in ("pending", "processing", "completed", "dead")
    }


def workers(spool):
    return spool.dir("workers").list()


def run_lines(run_cli, *options, lines, **how):
    return run_cli("run", *options, "-", stdin="".join(f"{line}\n" for line in lines), **how)


def test_each_output_is_printed_whole_when_the_job_has_ended(run_cli, spool):
    lines = [f"echo begin {n}; sleep 0.{n}; printf 'end {n}'" for n in (4, 2, 0)]
    done = run_lines(run_cli, "-j", "3", lines=lines)
    assert done.stdout == "begin 0\nend 0\nbegin 2\nend 2\nbegin 4\nend 4\n"
    assert workers(spool) == []


def test_as_many_run_at_a_time_as_were_asked_for(run_cli, tmp_path):
    (tmp_path / "now").mkdir()
    line = "touch now/$$; ls now | wc -l >>seen; sleep 0.1; rm now/$$"
    run_lines(run_cli, "-j", "2", lines=[line] * 6)
    assert max(int(text) for text in (tmp_path / "seen").read_text().split()) == 2


def test_the_exit_code_is_how_many_died_and_each_is_told_of(run_cli, spool):
    lines = ["exit 3", "echo good", "false"]
    done = run_lines(run_cli, "-j", "2", "--max-retries", "0", lines=lines, check=False)
    assert (done.returncode, done.stdout) == (2, "good\n")
    assert "is dead: exit code 3: exit 3" in done.stderr
    assert "1 of 3 completed" in done.stderr


def test_no_exit_code_is_above_101(run_cli):
    done = run_lines(run_cli, "-j", "8", "--max-retries", "0", lines=["false"] * 105, check=False)
    assert done.returncode == 101


def test_without_j_it_waits_for_the_workers_there_are(run_cli, start_worker, spool):
    start_worker("--count", "2")
    done = run_cli("run", '{"command": "echo 1", "tags": ["own"]}', '{"command": "echo 2"}')
    assert sorted(done.stdout.split()) == ["1", "2"]
    jobs = json.loads(run_cli("list", "--json").stdout)
    made = {job["tags"][-1] for job in jobs}
    assert len(made) == 1
    assert [job["tags"] for job in jobs if "1" in job["command"]][0][0] == "own"


def test_a_given_tag_is_the_tag_of_the_batch(run_cli):
    run_lines(run_cli, "-j", "1", "--tag=-night", lines=["true", "true"])
    jobs = json.loads(run_cli("list", "--tag=-night", "--json").stdout)
    assert [job["tags"] for job in jobs] == [["-night"], ["-night"]]


def test_its_worker_leaves_the_other_jobs_of_the_spool_alone(run_cli, spool):
    run_cli("enqueue", "--id", "other", "true")
    run_lines(run_cli, "-j", "4", lines=["true", "true"])
    assert states(spool) == {"pending": 1, "processing": 0, "completed": 2, "dead": 0}


def test_halt_cancels_the_rest(run_cli, spool):
    lines = ["false", *["sleep 100"] * 5]
    options = ["-j", "2", "--max-retries", "0", "--halt", "now,fail=1"]
    done = run_lines(run_cli, *options, lines=lines, check=False)
    assert done.returncode == 6
    assert "halted: cancelling" in done.stderr
    assert states(spool)["dead"] == 6


def test_retries_are_waited_for_and_the_last_run_is_printed(run_cli):
    line = "echo try $SPOOLQ_ATTEMPT; test $SPOOLQ_ATTEMPT = 2"
    done = run_lines(run_cli, "-j", "1", "--backoff-base", "0", lines=[line])
    assert done.stdout == "try 2\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_ctrl_c_and_the_like_let_go_of_the_jobs_which_go_on(spool, number):
    process = subprocess.Popen(
        [sys.executable, "-m", "spoolq", "--spool", spool.path, "run", "-j", "1", "-"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment(),
        start_new_session=True,
    )
    process.stdin.write("while [ ! -e go ]; do sleep 0.02; done\necho second\n")
    process.stdin.close()
    process.stdin = None
    wait_until(lambda: entries(spool, "processing"), "the first")
    os.killpg(process.pid, number)  # as a terminal does
    _, said = process.communicate()
    assert process.returncode == 128 + number
    assert "let go of 2 jobs, which go on, by worker process" in said
    assert "spoolq cancel --tag run-" in said
    open("go", "w").close()
    wait_until(lambda: states(spool)["completed"] == 2, "their end")
    wait_until(lambda: not workers(spool), "the worker's leave")


def test_a_worker_that_cannot_begin_is_told_of(run_cli, spool):
    os.chmod(spool.path, 0o777)
    done = run_lines(run_cli, "-j", "1", lines=["true"], check=False)
    assert done.returncode == 1
    assert "the worker has gone" in done.stderr
    assert "chmod" in done.stderr


def test_what_a_worker_said_last_is_told_however_much_it_had_said(spool, monkeypatch):
    monkeypatch.setattr(
        together, "_PROGRAM", f"import sys; sys.stderr.write('x\\n' * 1_000_000); {LAST_WORDS}"
    )
    crew = together._Crew(Spool(spool.path), "tag", 1)
    try:
        wait_until(crew.has_left, "its end")
        with pytest.raises(SpoolqError) as told:
            crew.check()
    finally:
        crew.stop()
    assert told.value.hint == "it said:  the last but one; the last"


def test_a_worker_that_leaves_before_the_jobs_have_ended_is_told_of(run_cli, spool, tmp_path):
    said = tmp_path / "said"
    lines = 'while [ ! -e go ]; do sleep 0.02; done\n{"id": "second", "command": "true"}\n'
    words = [sys.executable, "-m", "spoolq", "--spool", spool.path, "run", "-j", "1", "-"]
    with open(said, "w") as stderr:
        process = subprocess.Popen(words, stdin=subprocess.PIPE, stderr=stderr, env=environment())
    with process:
        process.stdin.write(lines.encode())
        process.stdin.close()
        wait_until(lambda: entries(spool, "processing"), "the first")
        run_cli("hold", "second")
        open("go", "w").close()
        try:
            wait_until(lambda: "its worker has left" in said.read_text(), "a word of it")
        finally:
            run_cli("release", "second")
            run_cli("worker", "start", "--drain")
    assert "1 job waits for another:  spoolq worker start --tag run-" in said.read_text()
    assert process.returncode == 0


def test_a_module_where_it_is_called_is_not_taken_for_one_of_ours(run_cli, tmp_path, spool):
    (tmp_path / "click.py").write_text(f"open({str(tmp_path / 'taken')!r}, 'w')\n")
    words = [sys.executable, "-c", "import sys; sys.path.pop(0); import spoolq.__main__"]
    words += ["--spool", spool.path, "run", "-j", "1", "-"]
    subprocess.run(words, input=b"true\n", env=environment(), check=True, timeout=60)
    assert not (tmp_path / "taken").exists()


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["-j", "0", "true"], "0 is not from 1 to"),
        (["-j", "2", "--in", "10m", "true"], "many jobs are run now"),
        (["--halt", "sometimes", "true"], "says not when to halt"),
        (["--id", "a", "-j", "2", "-"], "--id names one job"),
    ],
)
def test_what_cannot_be_meant_is_refused(run_cli, words, why):
    done = run_cli("run", *words, check=False)
    assert done.returncode == 2
    assert why in done.stderr


def test_nothing_to_run_is_done_at_once(run_cli):
    assert run_lines(run_cli, "-j", "4", lines=[]).stdout == ""

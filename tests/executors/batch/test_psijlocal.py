"""All of it without a batch system: processes of this machine in place of batch jobs."""

import json
import os
from pathlib import Path

import pytest

from tests.conftest import entries, wait_until
from tests.leftovers import is_alive


@pytest.fixture
def start(start_worker, psij):
    return lambda *args: start_worker("--executor", "psijlocal", "-o", "poll=1s", *args)


@pytest.fixture
def jobs(run_cli):
    return lambda: {job["id"]: job for job in json.loads(run_cli("list", "--json").stdout)}


def enqueue(run_cli, command, *options):
    return run_cli("enqueue", "--max-retries", "0", *options, command).stdout.strip()


def test_jobs_end_as_they_would_here(start, run_cli, jobs):
    good = enqueue(run_cli, "echo $SPOOLQ_JOB_ID; echo oops >&2")
    bad = enqueue(run_cli, "exit 3")
    late = enqueue(run_cli, "sleep 100", "--timeout", "0.3")
    assert start("--drain").wait(60) == 0
    found = jobs()
    assert found[good]["state"] == "completed"
    assert run_cli("logs", good).stdout == f"{good}\noops\n"
    assert found[bad]["exit_code"] == 3
    assert "timed out" in found[late]["error"]


def test_a_directory_is_kept_from_attempt_to_attempt(start, run_cli, spool):
    command = 'ls "$SPOOLQ_WORKDIR"; touch "$SPOOLQ_WORKDIR/seen$SPOOLQ_ATTEMPT"; test -e '
    command += '"$SPOOLQ_WORKDIR/seen2"'
    run_cli("enqueue", "--id", "a", "--workdir", "--backoff-base", "0.1", command)
    assert start("--drain").wait(60) == 0
    assert run_cli("logs", "a").stdout == "seen1\n"
    assert not os.path.exists(os.path.join(spool.path, "work", "a"))


def test_a_run_survives_its_worker(start, run_cli, jobs, spool, tmp_path):
    note = tmp_path / "note"
    job = enqueue(run_cli, f"echo start >> {note}; sleep 2; echo end >> {note}; exit 7")
    first = start()
    wait_until(note.exists, "the start")
    first.kill()
    first.wait()
    assert start("--drain").wait(60) == 0
    assert jobs()[job]["exit_code"] == 7
    assert jobs()[job]["attempts"] == 1
    assert note.read_text() == "start\nend\n"


def test_the_tickets_of_jobs_that_are_done_are_swept(start, run_cli, jobs, spool, tmp_path):
    tickets = Path(spool.path) / "tickets"
    tickets.mkdir(mode=0o700)
    left = tickets / "old.a1.20261124T020646123456Z.ended"
    left.write_text("{}")
    start()
    wait_until(lambda: not left.exists(), "the sweep")


def test_cancel_ends_a_run_whole(start, run_cli, jobs):
    job = enqueue(run_cli, "setsid sleep 1000 & echo $!; wait")
    start()
    pid = wait_until(lambda: run_cli("logs", job, check=False).stdout.strip(), "the command")
    run_cli("cancel", job)
    assert jobs()[job]["error"] == "cancelled"
    assert not is_alive(int(pid))


def test_stop_now_gives_the_jobs_back(start, run_cli, spool):
    enqueue(run_cli, "sleep 1000")
    worker = start()
    wait_until(lambda: entries(spool, "processing"), "the claim")
    run_cli("worker", "stop", "--now")
    assert worker.wait(60) == 0
    assert len(entries(spool, "pending")) == 1


def test_a_worker_of_this_machine_settles_what_is_here_alone(run_cli, psij):
    done = run_cli(
        "worker", "start", "--executor", "psijlocal", "-o", "host=elsewhere", check=False
    )
    assert done.returncode == 1 or done.returncode == 2
    assert "this machine is not elsewhere" in done.stderr


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("psijlocal", "-o", "poll=often"), "poll=often is no duration"),
        (("lsf",), "-o walltime=1h"),
        (("slurm", "-o", "queu=x"), "queue"),
    ],
)
def test_a_wrong_option_is_refused_with_what_to_do(run_cli, psij, options, said):
    done = run_cli("worker", "start", "--executor", *options, check=False)
    assert done.returncode in (1, 2)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_without_psij_the_line_that_installs_it_is_told(run_cli, tmp_path):
    (tmp_path / "hidden").mkdir()
    (tmp_path / "hidden" / "psij.py").write_text("raise ImportError('hidden')\n")
    here = f"{tmp_path / 'hidden'}:{os.getcwd()}"
    done = run_cli(
        "worker", "start", "--executor", "psijlocal", check=False, env={"PYTHONPATH": here}
    )
    assert "pip install 'spoolq[psij]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_path_that_psijs_scripts_cannot_name_is_refused(run_cli, psij, tmp_path):
    odd = tmp_path / "it's here"
    run_cli("init", str(odd), spool_path=odd)
    done = run_cli("worker", "start", "--executor", "slurm", spool_path=odd, check=False)
    assert "cannot name this spool" in done.stderr
    assert "Traceback" not in done.stderr

"""A command says whether a job may start; whatever it does, the loop goes on."""

import os
import time
from pathlib import Path

import pytest

from spoolq import permit as module
from spoolq.permit import Permit
from tests.conftest import wait_until
from tests.leftovers import is_alive


@pytest.fixture
def ask(monkeypatch):
    """Return what asks a command until it has answered; True if a job may start."""
    monkeypatch.setattr(module, "_PAUSE", 0.05)
    made = []

    def ask(command, **how):
        wakes = []
        permit = Permit(
            command, lambda: wakes.append(1), time.monotonic, {"PATH": os.environ["PATH"]}, **how
        )
        permit.wakes = wakes
        made.append(permit)
        assert not permit.is_given()
        assert permit.patience() is not None
        wait_until(lambda: wakes, "its end")
        return permit

    yield ask
    for permit in made:
        permit.close()


def test_without_a_command_every_job_may_start():
    permit = Permit()
    assert permit.is_given()
    assert permit.patience() is None


def test_exit_code_0_lets_one_job_start(ask):
    permit = ask("exit 0")
    assert permit.is_given()
    assert permit.is_given()  # until it is used
    permit.used()
    assert not permit.is_given()


def test_what_it_said_a_moment_ago_is_not_good_for_ever(ask, monkeypatch):
    monkeypatch.setattr(module, "_GOOD_FOR", -1.0)
    assert not ask("exit 0").is_given()


def test_exit_code_1_lets_it_wait_and_is_asked_again_after_a_while(ask, tmp_path, caplog):
    permit = ask(f"echo >>{tmp_path}/asked; test -e {tmp_path}/go || exit 1")
    assert not permit.is_given()
    assert permit.patience() > 0
    (tmp_path / "go").touch()
    wait_until(permit.is_given, "the permit")
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("command", "told"), [("exit 2", "exit code 2"), ("kill -9 $$", "killed by signal 9")]
)
def test_whatever_else_it_does_counts_as_wait_and_is_told_of_once(ask, caplog, command, told):
    permit = ask(command)
    assert not permit.is_given()
    wait_until(lambda: permit.is_given() or len(permit.wakes) > 2, "another answer")
    assert caplog.text.count(f"limit command: {told}; that counts as: wait") == 1


def test_one_that_cannot_be_started_counts_as_wait(caplog):
    permit = Permit("true", lambda: None, time.monotonic, {}, shell="/no/such/shell")
    assert not permit.is_given()
    assert "cannot be started" in caplog.text
    assert permit.patience() > 0


def test_one_that_hangs_is_ended_with_all_that_it_started(monkeypatch, tmp_path, caplog):
    monkeypatch.setattr(module, "PATIENCE", 0.3)
    wakes = []
    permit = Permit(
        f"sleep 1000 & echo $! >{tmp_path}/pid; wait",
        lambda: wakes.append(1),
        time.monotonic,
        {"PATH": os.environ["PATH"]},
    )
    assert not permit.is_given()
    pid = int(
        wait_until(
            lambda: Path(tmp_path, "pid").exists() and Path(tmp_path, "pid").read_text(), "it"
        )
    )
    wait_until(lambda: permit.patience() in (0.0, None), "its time")
    assert not permit.is_given()
    assert permit.patience() is None  # nothing spins until it is gone
    wait_until(lambda: wakes and not permit.is_given(), "its end")
    assert "it took longer than 0.3 s" in caplog.text
    wait_until(lambda: not is_alive(pid), "the end of what it started")


def test_it_is_asked_for_each_job_and_not_where_there_is_none(
    spool, run_cli, start_worker, tmp_path
):
    start_worker("--count", "2", "--limit-command", f"echo $SPOOLQ_SPOOL >>{tmp_path}/asked")
    for _ in range(3):
        run_cli("enqueue", "true")
    run_cli("wait")
    asked = (tmp_path / "asked").read_text().splitlines()
    assert asked == [spool.path] * 3


def test_nothing_starts_while_it_says_wait(spool, run_cli, start_worker, tmp_path):
    job_id = run_cli("enqueue", f"test -e {tmp_path}/go").stdout.strip()
    worker = start_worker("--drain", "--limit-command", f"echo >>{tmp_path}/n; ls {tmp_path}/go")
    wait_until((tmp_path / "n").exists, "the question")
    assert len(spool.dir("pending").list()) == 1
    (tmp_path / "go").touch()
    assert worker.wait(60) == 0
    assert '"completed"' in run_cli("show", job_id, "--json").stdout


def test_a_job_waits_with_its_token_free_for_others(spool, run_cli, start_worker, tmp_path):
    from spoolq.tokens import Tokens

    run_cli("config", "set", "limits", '{"gpu": 1}')
    run_cli("enqueue", "--needs", "gpu=1", "true")
    start_worker("--limit-command", f"echo >>{tmp_path}/n; exit 1")
    wait_until((tmp_path / "n").exists, "the question")
    tokens = Tokens(spool)
    wait_until(lambda: tokens.take((("gpu", 1),), {"gpu": 1}), "the token")

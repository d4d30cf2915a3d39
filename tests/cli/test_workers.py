"""`worker start`, `stop` and `list`, and the signals."""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from spoolq.cli import serving
from spoolq.errors import StorageFailed
from tests.conftest import entries, environment, wait_until


def log_of(process):
    with open(process.log_path) as file:
        return file.read()


def running(spool, count=1):
    wait_until(lambda: len(entries(spool, "processing")) == count, f"{count} jobs running")


@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_signal_lets_the_worker_finish_what_runs_and_leave(spool, spoolq, start_worker, name):
    spoolq("enqueue", "-", stdin=b"sleep 0.5\nsleep 0.5\n")
    worker = start_worker()
    running(spool)
    worker.send_signal(getattr(signal, name))
    assert worker.wait() == 0
    assert len(entries(spool, "completed")) == 1
    assert len(entries(spool, "pending")) == 1
    assert spool.dir("workers").list() == []


def test_a_worker_under_nohup_does_not_heed_hup(spool, spoolq):
    process = subprocess.Popen(
        [sys.executable, "-m", "spoolq", "--spool", spool.path, "worker", "start"],
        stderr=subprocess.DEVNULL,
        env=environment(),
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )
    wait_until(lambda: spool.dir("workers").list(), "the worker's directory")
    process.send_signal(signal.SIGHUP)
    spoolq("enqueue", "true")
    wait_until(lambda: entries(spool, "completed"), "the job")
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 0


def test_a_worker_whose_parent_ignored_sigchld_sees_exit_codes(spool, spoolq):
    """The kernel keeps no exit code for who ignores SIGCHLD, and an exec keeps it ignored."""
    spoolq("enqueue", "--max-retries", "0", "exit 3")
    subprocess.run(
        [sys.executable, "-m", "spoolq", "--spool", spool.path, "worker", "start", "--drain"],
        check=True,
        stderr=subprocess.DEVNULL,
        env=environment(),
        preexec_fn=lambda: signal.signal(signal.SIGCHLD, signal.SIG_IGN),
    )
    assert (entries(spool, "completed"), len(entries(spool, "dead"))) == ([], 1)


@pytest.mark.parametrize("where", [None, "/"])
def test_a_command_inherits_nothing_that_its_worker_has_inherited(spool, spoolq, tmp_path, where):
    (tmp_path / "secret").touch()
    secret = os.open(str(tmp_path / "secret"), os.O_RDONLY)
    at = ["--cwd", where] if where else []
    spoolq("enqueue", *at, "--", "ls", "-l", "/proc/self/fd")
    try:
        subprocess.run(
            [sys.executable, "-m", "spoolq", "--spool", spool.path, "worker", "start", "--drain"],
            check=True,
            stderr=subprocess.DEVNULL,
            env=environment(),
            pass_fds=(secret,),
        )
    finally:
        os.close(secret)
    (log,) = Path(spool.path, "logs").iterdir()
    targets = [line.rsplit(" -> ")[1] for line in log.read_text().splitlines() if "->" in line]
    ours = ["/dev/null", str(log), str(log)]
    others = [target for target in targets if not target.startswith("/proc/")]
    assert sorted(others)[:3] == sorted(ours)
    assert [os.path.basename(target) for target in sorted(others)[3:]] == ["0.lock"]


def test_a_second_signal_a_second_later_ends_the_runs(spool, spoolq, start_worker):
    spoolq("enqueue", "--id", "x", "exec sleep 100")
    worker = start_worker()
    running(spool)
    worker.send_signal(signal.SIGINT)
    wait_until(lambda: "stopping" in log_of(worker), "the first signal heeded")

    def again():
        worker.send_signal(signal.SIGINT)
        try:
            return worker.wait(0.2) == 0
        except subprocess.TimeoutExpired:
            return False

    wait_until(again, "the end of the worker")
    (name,) = entries(spool, "pending")
    assert ".a0.x.json" in name


def test_stop_waits_until_the_worker_has_left(spool, spoolq, start_worker):
    spoolq("enqueue", "sleep 0.5")
    worker = start_worker()
    running(spool)
    done = spoolq("worker", "stop")
    assert done.out == ""
    assert "asked to finish what it runs and leave" in done.err
    assert "has left" in done.err
    assert len(entries(spool, "completed")) == 1
    assert worker.wait() == 0


def test_stop_now_ends_the_runs(spool, spoolq, start_worker):
    spoolq("enqueue", "exec sleep 100")
    worker = start_worker()
    running(spool)
    spoolq("worker", "stop", "--now")
    assert worker.wait() == 0
    assert len(entries(spool, "pending")) == 1


def test_stop_takes_the_beginning_of_a_name(spool, spoolq, start_worker):
    first, second = start_worker(), start_worker()
    (name,) = (name for name in spool.dir("workers").list() if f"-{first.pid}-" in name)
    spoolq("worker", "stop", name[:-2])
    assert first.wait() == 0
    assert second.poll() is None
    assert "no worker 'nobody' is alive" in spoolq("worker", "stop", "nobody", code=1).err


def test_stop_without_a_worker_says_so_and_is_no_error(spoolq, spool):
    assert spoolq("worker", "stop").err == f"no worker runs on {spool.path}\n"


def test_a_worker_that_is_misspelt_is_guessed(spoolq, start_worker):
    start_worker()
    (name,) = (view["name"] for view in json.loads(spoolq("worker", "list", "--json").out))
    err = spoolq("worker", "stop", name[:-1] + "!", code=1).err
    assert f"did you mean {name!r}?" in err


def test_list_shows_workers_slots_and_runs(spool, spoolq, start_worker):
    assert json.loads(spoolq("worker", "list", "--json").out) == []
    spoolq("enqueue", "--id", "x", "exec sleep 100")
    worker = start_worker("--count", "3")
    running(spool)
    (found,) = json.loads(spoolq("worker", "list", "--json").out)
    assert (found["pid"], found["count"], found["alive"]) == (worker.pid, 3, True)
    assert [run["id"] for run in found["running"]] == ["x"]
    text = spoolq("worker", "list").out
    assert " 1/3 " in text
    assert "x attempt 1 of 4, for " in text
    spoolq("worker", "stop", "--now")


def test_list_shows_a_dead_worker_that_still_has_jobs(spool, spoolq, start_worker):
    spoolq("enqueue", "exec sleep 100")
    worker = start_worker()
    running(spool)
    worker.kill()
    worker.wait()
    # A child between vfork and exec holds its parent's lock for an instant more.
    wait_until(lambda: not json.loads(spoolq("worker", "list", "--json").out)[0]["alive"])
    assert "gone; the next worker takes its jobs over" in spoolq("worker", "list").out
    assert "is gone" in json.loads(spoolq("status", "--json").out)["warnings"][0]
    spoolq("cancel", entries(spool, "processing")[0].split(".")[3].partition("@")[0])


def test_start_makes_a_spool_that_is_not_there(run_cli, tmp_path):
    done = run_cli("worker", "start", "--drain", spool_path=tmp_path / "new")
    assert done.stderr.startswith(f"made a spool at {tmp_path}/new\n")
    assert done.stdout == ""


def test_drain_leaves_a_job_that_is_scheduled_for_later(spool, spoolq, start_worker):
    spoolq("enqueue", "--in", "1h", "true")
    spoolq("enqueue", "--max-retries", "1", "--backoff-base", "0", "[ $SPOOLQ_ATTEMPT = 2 ]")
    assert start_worker("--drain").wait() == 0
    assert len(entries(spool, "completed")) == 1
    assert len(entries(spool, "pending")) == 1


def test_a_stop_takes_no_longer_than_it_may(spool, spoolq, start_worker):
    spoolq("enqueue", "--id", "long", "sleep 600")
    worker = start_worker("--stop-within", "0.1s")
    wait_until(lambda: entries(spool, "processing"))
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    assert [name.split(".")[2:4] for name in entries(spool, "pending")] == [["a0", "long"]]


def test_a_time_to_stop_within_that_is_none_is_refused(spoolq):
    assert "--stop-within" in spoolq("worker", "start", "--help").out
    spoolq("worker", "start", "--stop-within", "soon", code=2)


def test_what_a_worker_says_can_be_an_object_a_line(spool, spoolq, run_cli):
    spoolq("enqueue", "--id", "bad", "--max-retries", "1", "--backoff-base", "0", "exit 3")
    said = run_cli("worker", "start", "--drain", "--log-format", "json").stderr.splitlines()
    lines = [json.loads(line) for line in said]
    runs = [(line["action"], line["job"], line["attempt"]) for line in lines if "job" in line]
    assert sorted(runs) == [
        ("dead", "bad", 2),
        ("failed", "bad", 1),
        ("started", "bad", 1),
        ("started", "bad", 2),
    ]
    assert all(line["level"] == "info" and line["message"] for line in lines)


@pytest.mark.parametrize("count", ["0", "-1", "many", "1.5"])
def test_a_count_that_is_none_is_refused(spoolq, count):
    spoolq("worker", "start", "--count", count, code=2)


def test_a_spool_that_others_may_write_to_is_refused(run_cli, spool):
    os.chmod(spool.path, 0o777)
    done = run_cli("worker", "start", "--drain", check=False)
    assert done.returncode == 1
    assert f"hint: chmod go-w {spool.path}" in done.stderr


def test_a_wrong_setting_keeps_a_worker_from_starting(run_cli, spool):
    with open(os.path.join(spool.path, "config.json"), "w") as file:
        file.write('{"grace": -1}')
    done = run_cli("worker", "start", "--drain", check=False)
    assert done.returncode == 1
    assert "Error: grace must be from 0 to 86400" in done.stderr


def test_a_spool_on_two_filesystems_is_refused(spool):
    class Elsewhere:
        path = "/mnt/spool/tmp"

        def stat(self):
            info = list(os.stat("/"))
            info[2] += 1
            return os.stat_result(info)

    spool._dirs["tmp"] = Elsewhere()
    try:
        with pytest.raises(StorageFailed, match="/mnt/spool/tmp is on another filesystem"):
            serving.require_one_filesystem(spool)
    finally:
        del spool._dirs["tmp"]
    serving.require_one_filesystem(spool)


def test_a_worker_whose_directory_is_removed_ends_its_runs_and_exits_with_1(
    spool, spoolq, start_worker
):
    spoolq("enqueue", "exec sleep 100")
    worker = start_worker()
    running(spool)
    (name,) = spool.dir("workers").list()
    directory = spool.dir("workers").sub(name)
    for entry in directory.list():
        directory.unlink(entry)
    directory.close()
    spool.dir("workers").rmdir(name)
    assert worker.wait() == 1
    assert "was removed" in log_of(worker)
    assert "Traceback" not in log_of(worker)


def test_a_worker_goes_on_when_nobody_reads_its_log(spool, spoolq):
    process = subprocess.Popen(
        [sys.executable, "-m", "spoolq", "--spool", spool.path, "worker", "start"],
        stderr=subprocess.PIPE,
        env=environment(),
    )
    process.stderr.readline()
    process.stderr.close()
    spoolq("enqueue", "-", stdin=b"true\n" * 3)
    wait_until(lambda: len(entries(spool, "completed")) == 3, "three jobs")
    process.send_signal(signal.SIGTERM)
    assert process.wait() == 0

"""Commands give way, to other sessions too; spoolq itself keeps its own value."""

import errno
import os
import subprocess
import time
from pathlib import Path

import pytest

from spoolq import platform
from spoolq.errors import BadInput
from spoolq.executors import niceness
from spoolq.executors.niceness import Niceness
from tests.conftest import wait_until
from tests.users import NUMBER, ROOT, run_as

if not platform.WINDOWS:
    import resource  # noqa: F401 - before a test becomes a user who cannot import it

pytestmark = pytest.mark.skipif(platform.WINDOWS, reason="Windows knows no nice values")
SETTING = Path("/proc/sys/kernel/sched_autogroup_enabled")
AUTOGROUPS = pytest.mark.skipif(
    not SETTING.exists() or SETTING.read_text().strip() != "1",
    reason="this kernel schedules no sessions as one",
)


def own():
    return os.getpriority(os.PRIO_PROCESS, 0)


def autogroup(pid):
    """The value of a process's autogroup; None if it is in none: no session since the boot is."""
    words = Path(f"/proc/{pid}/autogroup").read_text().split()
    return int(words[-1]) if words else None


@pytest.fixture
def sleepers():
    started = []

    def start():
        process = subprocess.Popen(["sleep", "60"], start_new_session=True)
        started.append(process)
        return process.pid

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_a_process_has_the_value_and_who_gave_it_keeps_its_own(sleepers):
    before = own()
    nice = Niceness(19)
    pid = sleepers()
    nice.give(pid)
    assert os.getpriority(os.PRIO_PROCESS, pid) == 19
    assert own() == before


@AUTOGROUPS
def test_the_autogroup_of_its_session_has_it_too(sleepers):
    before = autogroup(os.getpid())
    nice = Niceness(12)
    pid = sleepers()
    nice.give(pid)
    wait_until(lambda: nice.push_on() or autogroup(pid) == 12, "the autogroup's value")
    assert autogroup(os.getpid()) == before


@AUTOGROUPS
@ROOT
def test_what_the_kernel_puts_off_is_tried_again():
    """It takes one value in a tenth of a second from who is not root."""

    def several():
        started = [subprocess.Popen(["sleep", "60"], start_new_session=True) for _ in range(4)]
        pids = [process.pid for process in started]
        nice = Niceness(7)
        for pid in pids:
            nice.give(pid)
        at_once = [autogroup(pid) for pid in pids]
        deadline = time.monotonic() + 30
        while nice.patience() is not None and time.monotonic() < deadline:
            time.sleep(nice.patience())
            nice.push_on()
        found = [autogroup(pid) for pid in pids]
        for process in started:
            process.kill()
            process.wait()
        return [at_once, found]

    at_once, found = run_as(several, NUMBER, NUMBER)
    assert at_once.count(7) < 4
    assert found == [7] * 4


def test_one_that_has_ended_holds_up_none(monkeypatch, sleepers):
    monkeypatch.setattr(niceness, "_has_autogroups", lambda: True)
    nice = Niceness(5)
    gone = subprocess.Popen(["true"], start_new_session=True)
    gone.wait()
    nice.give(gone.pid)
    assert nice.patience() is None


def test_one_that_is_forgotten_gets_nothing(monkeypatch):
    written = []

    def put_off(path, *args, **kwargs):
        written.append(path)
        raise BlockingIOError(errno.EAGAIN, "later")

    monkeypatch.setattr(niceness, "_has_autogroups", lambda: True)
    monkeypatch.setattr(niceness.os, "setpriority", lambda *args: None)
    monkeypatch.setitem(niceness.__dict__, "open", put_off)
    nice = Niceness(5)
    nice.give(4711)
    assert nice.patience() == 0.1
    nice.forget(4711)
    nice.forget(4711)
    nice.push_on()
    assert written == ["/proc/4711/autogroup"]
    assert nice.patience() is None


@ROOT
def test_a_value_below_one_s_own_is_refused_to_who_may_not_give_it():
    def refused():
        try:
            Niceness(own() - 1)
        except BadInput as error:
            return [str(error), error.hint]
        return None

    text, hint = run_as(refused, NUMBER, NUMBER)
    assert "takes rights that it has not" in text
    assert f"--nice {own()} or more" in hint


@ROOT
def test_root_may_give_any():
    Niceness(-5)


# --- the command line -----------------------------------------------------------------------------


def test_the_commands_are_as_nice_as_asked_for_from_their_first_moment(spool, run_cli):
    """Fifty at once, on however few processors: one that had it later would be seen."""
    ids = run_cli("enqueue", "-", stdin="nice\n" * 50).stdout.split()
    run_cli("worker", "start", "--drain", "--count", "50", "--nice", "11")
    logs = Path(spool.path, "logs")
    found = [log.read_text() for log in logs.iterdir()]
    assert found == ["11\n"] * len(ids)


def test_what_a_command_starts_is_too(spool, run_cli):
    run_cli("enqueue", "--id", "a", "setsid --wait nice; (nice) & wait")
    run_cli("worker", "start", "--drain", "--nice", "11")
    assert run_cli("logs", "a").stdout.split() == ["11", "11"]


def test_who_starts_them_keeps_its_own_value(spool, run_cli, start_worker):
    run_cli("enqueue", "sleep 60")
    worker = start_worker("--nice", "11")
    wait_until(lambda: spool.dir("processing").list(), "the run")
    assert os.getpriority(os.PRIO_PROCESS, worker.pid) == own()
    run_cli("worker", "stop", "--now")


def test_without_it_they_have_the_worker_s(spool, run_cli):
    run_cli("enqueue", "--id", "a", "nice")
    run_cli("worker", "start", "--drain")
    assert run_cli("logs", "a").stdout.split() == [str(own())]


@pytest.mark.skipif(not platform.LINUX, reason="the executor python needs Linux")
def test_calls_in_warm_processes_are_too(spool, run_cli, tmp_path):
    from spoolq.api import Spool

    (tmp_path / "polite.py").write_text(
        "import os\ndef value():\n    return os.getpriority(os.PRIO_PROCESS, 0)\n"
    )
    with Spool(spool.path) as queue:
        ids = [queue.enqueue_call("polite:value") for _ in range(2)]
    run_cli(
        "worker", "start", "--executor", "python", "--nice", "9", "--drain", cwd=str(tmp_path)
    )  # fmt: skip
    with Spool(spool.path) as queue:
        assert queue.result(ids[1]) == 9


def test_a_value_that_is_none_is_refused(spool, run_cli):
    done = run_cli("worker", "start", "--nice", "20", check=False)
    assert done.returncode == 2
    assert "20 is not from -20 to 19" in done.stderr


def test_it_is_refused_where_the_commands_run_elsewhere(spool, run_cli):
    done = run_cli(
        "worker", "start", "--executor", "dask", "--address", "tcp://nowhere:1", "--nice", "5",
        check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "--nice is for commands of this machine" in done.stderr

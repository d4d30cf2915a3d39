"""Commands as child processes, real ones."""

import errno
import os
import signal
import stat
import threading
import time

import pytest

from spoolq import config, instants, lease, logs, names, platform
from spoolq.bell import Bell
from spoolq.executors import Context, NotNow, Run, spawning
from spoolq.executors.local import LocalExecutor
from spoolq.job import Job
from spoolq.processes import Marks, find
from tests.conftest import wait_until
from tests.leftovers import (
    SHED,
    command,
    end_quietly,
    is_alive,
    no_descriptor_left,
    pid_in,
    state_of,
)


class Bench:
    """An executor with all that it needs, and runs for it."""

    def __init__(self, spool):
        self.spool = spool
        self.lease = lease.Lease.start(spool, {})
        self.bell = Bell()
        self.executor = self.new_executor()
        self.pids = []
        self._runs = {}

    def new_executor(self, spawn=spawning.start, **environment):
        variables = {**os.environ, **environment}
        context = Context(
            self.spool, self.lease.name, 1, self.bell, variables, instants.now, time.monotonic
        )
        return LocalExecutor(context, spawn)

    def run(self, command, settings=None, **fields):
        """Make a run of a command."""
        return self.run_of({"command": command, **fields}, settings)

    def run_of(self, fields, settings=None):
        """Make a run of a job, in a slot that nothing holds."""
        number = 0
        while True:
            slot = self.lease.take_slot(str(number))
            if slot is not None:
                break
            number += 1
        stamp = instants.to_stamp(instants.now())
        waited = names.Name(stamp, 5, 0, names.new_id())
        claim = names.Name(stamp, 5, 1, waited.id, self.lease.name, str(number))
        job = Job(fields)
        settings = config.read(config.write(settings or {}))[0]
        return Run(claim, waited, job, instants.now(), slot, settings)

    def start(self, command, settings=None, **fields):
        run = self.run(command, settings, **fields)
        self.submit(run)
        return run

    def submit(self, run):
        self.executor.submit(run)
        self._runs[run.claim] = run

    def outcomes(self):
        """Return the ends that are told; a run is told as ended once, and after it began."""
        ended = self.executor.outcomes()
        for one in ended:
            del self._runs[one.run.claim]
        return ended

    def running(self):
        return tuple(self._runs.values())

    def await_end(self, run):
        """Wait as the worker does and return how the run ended; its slot is let go."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for ended in self.outcomes():
                os.close(ended.run.slot)
                if ended.run == run:
                    return ended
            patience = self.executor.patience()
            self.bell.wait(5 if patience is None else patience)
        raise AssertionError("the run does not end")

    def end_of(self, command, settings=None, **fields):
        return self.await_end(self.start(command, settings, **fields))

    def log(self, run):
        """Return what the run has printed, None if there is no log."""
        try:
            return self.spool.dir("logs").read(str(logs.log_name(run.claim)), 1 << 20)[0].decode()
        except FileNotFoundError:
            return None

    def output_of(self, command, settings=None, **fields):
        ended = self.end_of(command, settings, **fields)
        assert ended.exit_code == 0, (ended, self.log(ended.run))
        return self.log(ended.run)

    def close(self):
        for run in self.running():
            self.executor.cancel(run.claim, "the test is over")
        while self.running():
            for ended in self.outcomes():
                os.close(ended.run.slot)
            self.bell.wait(self.executor.patience() or 0)
        self.lease.leave()
        self.bell.close()


@pytest.fixture
def bench(spool):
    bench = Bench(spool)
    yield bench
    bench.close()


# --- what runs ------------------------------------------------------------------------------------


@pytest.mark.skipif(not platform.LINUX, reason="elsewhere nothing is loaded late")
def test_what_moves_a_claim_is_loaded_before_descriptors_run_out(bench, monkeypatch):
    """Else a claim that cannot be read for want of one cannot be given back, and counts as lost."""
    monkeypatch.setattr(platform, "_libc", None)
    bench.new_executor()
    assert platform._libc is not None


def test_a_text_goes_to_the_shell(bench):
    assert bench.output_of("echo one && echo $((1 + 1)) | cat") == "one\n2\n"


def test_words_are_run_as_they_are(bench):
    words = ["printf", "%s|", "a b", "$HOME", "*", ";", ""]
    assert bench.output_of(words) == "a b|$HOME|*|;||"


def test_another_shell_can_be_set(bench, tmp_path):
    shell = tmp_path / "shell"
    shell.write_text('#!/bin/sh\necho "$0 $1 $2" | sed "s:.*/::"\n')
    shell.chmod(0o700)
    assert bench.output_of("x y", {"shell": str(shell)}) == "shell -c x y\n"


def test_a_command_leads_a_session_of_its_own(bench):
    pid, session, group = bench.output_of("awk '{print $1, $6, $5}' /proc/$$/stat").split()
    assert pid == session == group


def test_a_command_that_opens_the_terminal_fails_instead_of_stopping(bench):
    ended = bench.end_of("exec 2>/dev/null </dev/tty")
    assert ended.exit_code not in (0, None)


def test_standard_input_is_empty(bench):
    assert bench.output_of("readlink /proc/self/fd/0; cat") == "/dev/null\n"


def test_both_streams_go_to_one_log_in_order(bench):
    text = "for i in 1 2 3; do echo out $i; echo err $i >&2; done"
    assert bench.output_of(text) == "out 1\nerr 1\nout 2\nerr 2\nout 3\nerr 3\n"


def test_a_run_that_prints_nothing_leaves_no_log(bench):
    assert bench.log(bench.end_of("exit 3").run) is None
    assert bench.spool.dir("logs").list() == []


def test_a_log_can_be_read_while_the_command_runs(bench):
    run = bench.start("echo begun; exec sleep 1000")
    wait_until(lambda: bench.log(run) == "begun\n", "the output")
    assert bench.running() == (run,)


def test_a_log_is_for_its_owner_alone(bench):
    run = bench.end_of("umask 0; echo x").run
    info = bench.spool.dir("logs").stat(str(logs.log_name(run.claim)))
    assert stat.S_IMODE(info.st_mode) == 0o600


def test_a_command_knows_what_it_is(bench):
    run = bench.start(
        'for v in JOB_ID ATTEMPT SPOOL WORKER CLAIM; do eval echo "\\$SPOOLQ_$v"; done'
    )
    bench.await_end(run)
    claim = run.claim
    told = [claim.id, "1", bench.spool.path, claim.worker, str(claim)]
    assert bench.log(run).split() == told


def test_the_workers_variables_then_the_jobs_then_ours_are_seen(bench):
    bench.executor = bench.new_executor(A="worker", B="worker", SPOOLQ_JOB_ID="worker")
    env = {"B": "job", "C": "j o b", "SPOOLQ_JOB_ID": "job", "SPOOLQ_CLAIM": "job"}
    run = bench.start('echo "$A,$B,$C,$SPOOLQ_JOB_ID,$SPOOLQ_CLAIM"', env=env)
    bench.await_end(run)
    assert bench.log(run) == f"worker,job,j o b,{run.claim.id},{run.claim}\n"


def test_a_command_runs_in_its_directory(bench, tmp_path):
    assert bench.output_of("pwd -P", cwd=str(tmp_path)) == f"{os.path.realpath(tmp_path)}\n"


def test_a_worker_stays_where_it_is_whatever_directory_its_commands_run_in(bench, tmp_path):
    here = os.getcwd()
    bench.await_end(bench.start("true", cwd=str(tmp_path)))
    bench.await_end(bench.start("true", cwd=str(tmp_path / "none")))
    bench.await_end(bench.start([str(tmp_path / "no program")], cwd=str(tmp_path)))
    assert os.getcwd() == here


def test_a_command_inherits_its_slots_lock_and_nothing_else(bench):
    run = bench.start(["ls", "-l", "/proc/self/fd"])
    bench.await_end(run)
    callables = [line.rsplit(" -> ", 1)[1] for line in bench.log(run).splitlines() if "->" in line]
    log = os.path.join(bench.spool.dir("logs").path, str(logs.log_name(run.claim)))
    lock = os.path.join(bench.lease.dir.path, f"{run.claim.slot}.lock")
    others = [target for target in callables if not target.startswith("/proc/")]
    assert sorted(others) == sorted(["/dev/null", log, log, lock])


def test_a_slots_file_says_who_leads_the_run(bench):
    run = bench.start("echo $$; exec sleep 1000")
    wait_until(lambda: bench.log(run), "the output")
    note = lease.read_slot(bench.spool, bench.lease.name, run.claim.slot, str(run.claim))
    assert note["pid"] == int(bench.log(run))
    assert note["boot"] == platform.boot_id()
    assert lease.read_slot(bench.spool, bench.lease.name, run.claim.slot, "another") == {}


# --- how it ends ----------------------------------------------------------------------------------


@pytest.mark.parametrize("code", [0, 1, 126, 127, 255])
def test_an_exit_code_is_told(bench, code):
    ended = bench.end_of(f"exit {code}")
    assert (ended.exit_code, ended.signal, ended.error) == (code, None, None)


def test_a_command_that_the_shell_does_not_find_exits_127(bench):
    ended = bench.end_of("foobar123")
    assert (ended.exit_code, ended.error) == (127, None)
    assert "foobar123" in bench.log(ended.run)


def test_a_signal_is_told(bench):
    ended = bench.end_of("kill -KILL $$")
    assert (ended.exit_code, ended.signal, ended.error) == (None, signal.SIGKILL, None)


def test_the_end_of_a_run_is_told_once(bench):
    run = bench.start("exit 0")
    bench.await_end(run)
    assert bench.outcomes() == []
    assert bench.running() == ()


def test_many_runs_are_told_each_as_it_ends(bench):
    runs = {bench.start(f"exit {code}").claim: code for code in range(20)}
    told = {}
    while bench.running():
        for ended in bench.outcomes():
            told[ended.run.claim] = ended.exit_code
            os.close(ended.run.slot)
        bench.bell.wait(5 if bench.running() else 0)
    assert told == runs


def test_a_program_that_is_not_there_is_127(bench):
    ended = bench.end_of(["/no/such/program"])
    assert ended.exit_code == 127
    assert ended.error == "cannot start: the program '/no/such/program': No such file or directory"
    assert bench.spool.dir("logs").list() == []


def test_a_program_that_may_not_be_run_is_126(bench, tmp_path):
    program = tmp_path / "program"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o600)
    ended = bench.end_of([str(program)])
    assert ended.exit_code == 126
    assert str(program) in ended.error and "Permission denied" in ended.error


def test_a_file_that_is_no_program_is_126(bench, tmp_path):
    program = tmp_path / "program"
    program.write_bytes(b"\0\1\2")
    program.chmod(0o700)
    ended = bench.end_of([str(program)])
    assert (ended.exit_code, ended.signal) == (126, None)
    assert "cannot start" in ended.error


def test_a_directory_that_is_not_there_is_named(bench, tmp_path):
    gone = str(tmp_path / "gone")
    ended = bench.end_of("true", cwd=gone)
    assert ended.exit_code not in (0, None)
    assert ended.error == f"cannot start: its directory {gone!r}: No such file or directory"


def test_a_directory_that_is_a_file_is_named(bench, tmp_path):
    place = tmp_path / "file"
    place.write_text("")
    ended = bench.end_of("true", cwd=str(place))
    assert ended.exit_code not in (0, None)
    assert f"its directory {str(place)!r}: Not a directory" in ended.error


def test_more_words_than_the_system_takes_are_a_failure_of_the_job(bench):
    run = bench.run(["true", "x" * 100_000])
    run.job.fields["command"] = ["true", *["x" * 100_000] * 40]
    bench.submit(run)
    ended = bench.await_end(run)
    assert ended.exit_code == 126
    assert "Argument list too long" in ended.error


def test_a_run_that_cannot_start_counts_as_running_until_it_is_told(bench):
    """Else the worker would take its claim for one that it does not know, and recover it."""
    run = bench.start(["/no/such/program"])
    assert bench.running() == (run,)
    assert bench.executor.patience() == 0
    bench.await_end(run)
    assert bench.running() == ()


# --- no room --------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", ["EAGAIN", "ENOMEM", "EMFILE", "ENFILE"])
def test_no_room_for_a_process_is_not_the_jobs_fault(bench, code):
    def refuse(*_, **__):
        raise OSError(getattr(errno, code), os.strerror(getattr(errno, code)))

    bench.executor = bench.new_executor(refuse)
    run = bench.run("true")
    with pytest.raises(NotNow):
        bench.submit(run)
    assert bench.running() == ()
    assert bench.outcomes() == []
    assert bench.spool.dir("logs").list() == []
    os.close(run.slot)


def test_no_room_for_a_log_is_not_the_jobs_fault(bench, monkeypatch):
    def refuse(_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(bench.spool.dir("logs"), "create", refuse)
    run = bench.run("true")
    with pytest.raises(NotNow, match="No space left"):
        bench.submit(run)
    assert bench.running() == ()
    os.close(run.slot)


def test_a_full_disk_may_leave_the_slots_file_empty_and_the_command_runs(bench, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(lease, "write_slot", refuse)
    assert bench.output_of("echo x") == "x\n"


# --- ending it ------------------------------------------------------------------------------------


def test_a_run_is_ended_by_term_and_told_with_the_reason(bench):
    run = bench.start("exec sleep 1000")
    bench.executor.cancel(run.claim, "cancelled")
    ended = bench.await_end(run)
    assert (ended.exit_code, ended.signal, ended.error) == (None, signal.SIGTERM, "cancelled")


def test_the_first_reason_counts(bench):
    run = bench.start("exec sleep 1000")
    bench.executor.cancel(run.claim, "interrupted")
    bench.executor.cancel(run.claim, "cancelled")
    assert bench.await_end(run).error == "interrupted"


def test_to_end_what_has_ended_changes_nothing(bench):
    run = bench.start("exit 0")
    bench.await_end(run)
    bench.executor.cancel(run.claim, "cancelled")
    assert bench.outcomes() == []


def test_a_command_that_has_ended_by_itself_is_told_so_though_nobody_has_looked_yet(bench):
    """Else a job that is interrupted just after its end would run again."""
    run = bench.start("exit 0")
    pid = bench.executor._children[run.claim].process.pid
    wait_until(lambda: not is_alive(pid), "its end")
    bench.executor.cancel(run.claim, "interrupted")
    ended = bench.await_end(run)
    assert (ended.exit_code, ended.error) == (0, None)


def test_a_command_gets_one_term_and_may_tidy_up(bench):
    run = bench.start(
        "n=0; trap 'n=$((n + 1)); echo term $n' TERM; echo ready; "
        "while [ $n -eq 0 ]; do sleep 0.01; done; for i in 1 2 3 4 5; do sleep 0.1; done; exit 7",
        {"grace": 60},
    )
    wait_until(lambda: bench.log(run) == "ready\n", "the command")
    bench.executor.cancel(run.claim, "cancelled")
    ended = bench.await_end(run)
    # Its sleeps are ended as well, each by a TERM of its own.
    assert (ended.exit_code, ended.error) == (7, "cancelled")
    assert [line for line in bench.log(run).split("\n") if "term" in line] == ["term 1"]


def test_a_command_that_ignores_term_is_killed_after_the_grace(bench):
    run = bench.start("trap '' TERM; echo ready; while :; do sleep 1000; done", {"grace": 0.2})
    wait_until(lambda: bench.log(run) == "ready\n", "the command")
    begun = time.monotonic()
    bench.executor.cancel(run.claim, "cancelled")
    ended = bench.await_end(run)
    assert (ended.signal, ended.error) == (signal.SIGKILL, "cancelled")
    assert time.monotonic() - begun >= 0.2


def test_a_stopped_command_is_continued_to_hear_its_end(bench):
    run = bench.start("kill -STOP $$; exit 9", {"grace": 60})
    pid = bench.executor._children[run.claim].process.pid
    wait_until(lambda: state_of(pid) == "T", "the stop")
    bench.executor.cancel(run.claim, "cancelled")
    assert bench.await_end(run).signal == signal.SIGTERM


def test_a_timeout_ends_the_whole_session(bench, tmp_path):
    marks = tmp_path / "pids"
    run = bench.start(
        f"sleep 1000 & echo $! >> {marks}; (sleep 1000; true) & echo $! >> {marks}; "
        f"echo $$ >> {marks}; wait",
        timeout=0.5,
    )
    ended = bench.await_end(run)
    assert ended.error == "timed out after 0.5 s"
    pids = [int(line) for line in marks.read_text().split()]
    assert len(pids) == 3
    assert [pid for pid in pids if is_alive(pid)] == []


def test_a_timeout_of_the_settings_counts_for_a_job_without_one(bench):
    assert bench.end_of("exec sleep 1000", {"timeout": 0.1}).error == "timed out after 0.1 s"


def test_a_command_that_prints_more_than_max_log_is_ended_whole(bench, tmp_path):
    run = bench.start(f"echo $$ > {tmp_path}/pid; yes", {"max_log": 10_000})
    ended = bench.await_end(run)
    assert (ended.error, ended.signal) == ("printed more than max_log, 10000 bytes", signal.SIGTERM)
    assert not is_alive(int((tmp_path / "pid").read_text()))


def test_a_command_that_prints_as_much_as_it_may_is_left_alone(bench):
    assert bench.end_of("printf %0100d 0; sleep 1.5", {"max_log": 100}).exit_code == 0


def test_a_timeout_counts_beside_max_log(bench):
    ended = bench.end_of("exec sleep 1000", {"max_log": 100, "timeout": 0.1})
    assert ended.error == "timed out after 0.1 s"


def test_a_command_within_its_timeout_is_left_alone(bench):
    ended = bench.end_of("exit 4", {"timeout": 30})
    assert (ended.exit_code, ended.error) == (4, None)


@pytest.mark.parametrize("shed", SHED.values(), ids=SHED)
@pytest.mark.parametrize("deaf", [False, True], ids=["that_hears_TERM", "that_ignores_TERM"])
def test_what_a_run_has_left_is_ended_with_it(bench, tmp_path, shed, deaf):
    place = tmp_path / "pid"
    run = bench.start(command(place, *shed, deaf=deaf), {"grace": 0.2 if deaf else 60})
    child = pid_in(place)
    assert is_alive(child)
    bench.executor.cancel(run.claim, "interrupted")
    ended = bench.await_end(run)
    assert not is_alive(child)
    assert ended.error == "interrupted"


def test_only_what_belongs_to_the_run_is_ended(bench, tmp_path):
    other = bench.start(command(tmp_path / "other"), {"grace": 60})
    run = bench.start(command(tmp_path / "run"), {"grace": 60})
    pids = [pid_in(tmp_path / "other"), pid_in(tmp_path / "run")]
    bench.executor.cancel(run.claim, "cancelled")
    bench.await_end(run)
    assert [is_alive(pid) for pid in pids] == [True, False]
    assert bench.running() == (other,)


@pytest.mark.parametrize("leader", [True, False], ids=["its_leader_lives", "its_leader_is_gone"])
def test_a_run_is_not_over_while_nobody_can_look_for_what_is_left(bench, tmp_path, leader):
    run = bench.start(command(tmp_path / "pid", deaf=True), {"grace": 0.1})
    child = pid_in(tmp_path / "pid")
    bench.executor.cancel(run.claim, "cancelled")
    if not leader:
        pid = bench.executor._children[run.claim].process.pid
        os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not is_alive(pid), "its end")
    with no_descriptor_left():
        for _ in range(3):
            assert bench.outcomes() == []
            patience = bench.executor.patience()
            assert patience > 0
            bench.bell.wait(patience)
    assert bench.running() == (run,)
    assert is_alive(child)
    bench.await_end(run)
    assert not is_alive(child)


def test_who_waits_for_a_child_that_ignores_term_does_not_spin_when_the_leader_is_gone(
    bench, tmp_path, monkeypatch
):
    run = bench.start(command(tmp_path / "pid", deaf=True), {"grace": 1})
    child = pid_in(tmp_path / "pid")
    waits = []
    real = bench.bell.wait
    monkeypatch.setattr(bench.bell, "wait", lambda seconds: waits.append(seconds) or real(seconds))
    bench.executor.cancel(run.claim, "cancelled")
    assert bench.await_end(run).error == "cancelled"
    assert not is_alive(child)
    assert 1 < len(waits) < 30


# --- an end that does not ring --------------------------------------------------------------------


def _no_watch(bench, patch):
    def refuse(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    patch.setattr(bench.bell, "watch", refuse)


def _no_thread(bench, patch):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    patch.setattr(platform, "pidfd_open", lambda pid: None)
    patch.setattr(threading.Thread, "start", refuse)


def _no_pidfd(bench, patch):
    def refuse(_):
        raise OSError(errno.EMFILE, "Too many open files")

    patch.setattr(platform, "pidfd_open", refuse)


@pytest.mark.parametrize("spoil", [_no_watch, _no_thread, _no_pidfd], ids=lambda f: f.__name__)
def test_a_run_whose_end_cannot_ring_is_started_and_its_end_is_seen_a_round_later(
    bench, monkeypatch, tmp_path, spoil
):
    bench.end_of("true")
    before = sorted(os.listdir("/proc/self/fd"))
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    with monkeypatch.context() as patch:
        spoil(bench, patch)
        run = bench.start(f"read x < {gate}; exit 3")
    assert bench.running() == (run,)
    assert bench.outcomes() == []
    gate.write_text("go\n")
    (ended,) = wait_until(bench.outcomes, "its end")
    assert (ended.run, ended.exit_code, ended.error) == (run, 3, None)
    os.close(run.slot)
    assert sorted(os.listdir("/proc/self/fd")) == before


# --- daemons --------------------------------------------------------------------------------------


def test_a_daemon_does_not_delay_the_end_of_a_command_that_ended_by_itself(bench, tmp_path):
    run = bench.start(command(tmp_path / "pid", "session", stays=False))
    ended = bench.await_end(run)
    child = pid_in(tmp_path / "pid")
    try:
        assert (ended.exit_code, ended.error) == (0, None)
        assert is_alive(child)
    finally:
        end_quietly(child)


def test_a_slots_name_is_not_used_again_while_a_daemon_holds_it(bench, tmp_path):
    run = bench.start(command(tmp_path / "pid", "session", "environment", stays=False))
    bench.await_end(run)
    child = pid_in(tmp_path / "pid")
    try:
        assert bench.lease.take_slot(run.claim.slot) is None
        assert bench.run("true").claim.slot != run.claim.slot
    finally:
        end_quietly(child)
    slot = wait_until(lambda: bench.lease.take_slot(run.claim.slot), "the slot")
    os.close(slot)


def test_a_daemon_of_an_older_run_is_not_ended_with_the_next_one(bench, tmp_path):
    bench.await_end(bench.start(command(tmp_path / "pid", stays=False)))
    child = pid_in(tmp_path / "pid")
    try:
        run = bench.start("exec sleep 1000")
        bench.executor.cancel(run.claim, "cancelled")
        bench.await_end(run)
        assert is_alive(child)
    finally:
        end_quietly(child)


# --- without pidfd --------------------------------------------------------------------------------


@pytest.fixture
def no_pidfd(monkeypatch):
    """A system, or a Python, that has no pidfd: a thread waits for each child."""
    monkeypatch.setattr(platform, "pidfd_open", lambda pid: None)


def test_without_pidfd_the_bell_rings_when_a_command_ends(bench, no_pidfd):
    ended = bench.end_of("exit 5")
    assert ended.exit_code == 5


def test_without_pidfd_the_sleeper_is_woken_by_the_end_and_not_by_time(bench, no_pidfd, tmp_path):
    gate = tmp_path / "gate"
    os.mkfifo(gate)
    run = bench.start(f"read x < {gate}")
    gate.write_text("go\n")
    begun = time.monotonic()
    while not bench.outcomes():
        assert time.monotonic() - begun < 30
        bench.bell.wait(60)
    os.close(run.slot)


def test_without_pidfd_a_run_is_ended_whole(bench, no_pidfd, tmp_path):
    run = bench.start(command(tmp_path / "pid", "session"), {"grace": 60})
    child = pid_in(tmp_path / "pid")
    bench.executor.cancel(run.claim, "cancelled")
    assert bench.await_end(run).error == "cancelled"
    assert not is_alive(child)


def test_nothing_is_left_open_when_a_run_has_ended(bench):
    bench.end_of("true")
    before = sorted(os.listdir("/proc/self/fd"))
    for _ in range(3):
        bench.end_of("echo x")
        bench.end_of(["/no/such/program"])
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_nothing_of_an_ended_run_can_be_found(bench):
    run = bench.start("sleep 1000 & sleep 1000 & wait", {"grace": 60})
    marks = Marks(str(run.claim))
    wait_until(lambda: len(find(marks)) == 3, "the processes")
    bench.executor.cancel(run.claim, "cancelled")
    bench.await_end(run)
    assert find(marks) == []

"""What is killed, stopped or cut off: nothing runs on for long, and nothing twice at once."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from spoolq import names
from spoolq.executors import Fate
from spoolq.job import LOST
from spoolq.processes import Marks, find
from tests.conftest import environment, wait_until
from tests.executors.dask.clusters import children_of
from tests.leftovers import SESSION, command, is_alive, pid_in


def left_of(run):
    """Return what is left of a run on this machine."""
    return find(Marks(str(run.claim)))


def is_gone(run):
    return not left_of(run)


@pytest.fixture
def bench(own_cluster, new_bench):
    """A bench on a cluster of two workers, one of them with a nanny."""
    own_cluster.start_scheduler()
    own_cluster.add(nanny=True)
    own_cluster.add()
    bench = new_bench(own_cluster.address, lease_seconds=3)
    wait_until(lambda: bench.executor.capacity() == 2, "both Dask workers")
    return bench


def workers_of(runs):
    """Return which process started the command of each of these runs."""
    found = []
    for run in runs:
        left = wait_until(lambda run=run: left_of(run), "the command")
        pids = {process.pid for process in left}
        (parent,) = {parent_of(pid) for pid in pids} - pids
        found.append(parent)
    return found


def parent_of(pid):
    stat = Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
    return int(stat.rpartition(")")[2].split()[1])


# --- a Dask worker --------------------------------------------------------------------------------


def test_a_killed_workers_command_ends_and_its_run_is_told_lost(bench, tmp_path):
    runs = [bench.start(command(tmp_path / f"pid{n}", SESSION)) for n in range(2)]
    pids = [pid_in(tmp_path / f"pid{n}") for n in range(2)]
    for victim in workers_of(runs):
        os.kill(victim, signal.SIGKILL)
    for run, pid in zip(runs, pids):
        assert bench.await_end(run).error == LOST
        assert is_gone(run) and not is_alive(pid)


def test_a_run_is_told_lost_only_when_nothing_of_it_is_left(bench, tmp_path):
    """The command ignores TERM, so it lives for as long as the warden is patient."""
    run = bench.start(command(tmp_path / "pid", deaf=True))
    pid = pid_in(tmp_path / "pid")
    os.kill(workers_of([run])[0], signal.SIGKILL)
    assert is_alive(pid)
    assert bench.await_end(run).error == LOST
    assert not is_alive(pid)


def test_a_killed_nannys_worker_leaves_no_command(bench, own_cluster, tmp_path):
    runs = [bench.start(command(tmp_path / f"pid{n}")) for n in range(2)]
    nanny = next(one for one in own_cluster.workers if one.has_nanny)
    by = workers_of(runs)
    assert by.count(nanny.pid) == 0
    nanny.kill()
    lost = runs[by.index(next(pid for pid in by if pid != own_cluster.workers[1].pid))]
    assert bench.await_end(lost).error == LOST
    assert is_gone(lost)


def test_a_stopped_workers_command_ends_within_its_lease(bench, own_cluster, tmp_path):
    """No connection breaks, nobody is told, and the process cannot do it itself."""
    runs = [bench.start(command(tmp_path / f"pid{n}", SESSION)) for n in range(2)]
    plain = own_cluster.workers[1]
    run = runs[workers_of(runs).index(plain.pid)]
    plain.send_signal(signal.SIGSTOP)
    begun = time.monotonic()
    wait_until(lambda: is_gone(run), "the end of the command")
    assert time.monotonic() - begun < 30
    plain.send_signal(signal.SIGCONT)
    assert bench.await_end(run).error == LOST


def test_a_killed_worker_and_its_killed_warden_leave_no_command(bench, own_cluster, tmp_path):
    """Whoever else is there ends it: what is left is looked for on the whole machine."""
    runs = [bench.start(command(tmp_path / f"pid{n}")) for n in range(2)]
    plain = own_cluster.workers[1]
    run = runs[workers_of(runs).index(plain.pid)]
    for pid in children_of(plain.pid):
        if b"warden" in Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)
    plain.kill()
    assert bench.await_end(run).error == LOST
    assert is_gone(run)


def test_a_killed_warden_is_started_anew_and_knows_all(bench, own_cluster, tmp_path):
    runs = [bench.start(command(tmp_path / f"pid{n}")) for n in range(2)]
    plain = own_cluster.workers[1]
    run = runs[workers_of(runs).index(plain.pid)]

    def warden():
        for pid in children_of(plain.pid):
            if b"warden" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return pid
        return None

    first = wait_until(warden, "a warden")
    os.kill(first, signal.SIGKILL)
    wait_until(lambda: warden() not in (None, first), "another warden")
    plain.kill()
    wait_until(lambda: is_gone(run), "the end of the command")


def test_an_attempt_never_starts_twice_even_where_dask_would_run_it_again(bench, tmp_path):
    """By default Dask runs a killed worker's task again, on another one: that may not start it."""
    run = bench.start(f"echo begun >> {tmp_path}/begun; exec sleep 1000")
    os.kill(workers_of([run])[0], signal.SIGKILL)
    assert bench.await_end(run).error == LOST
    assert bench.end_of("exit 0").exit_code == 0
    assert (tmp_path / "begun").read_text() == "begun\n"


# --- the scheduler --------------------------------------------------------------------------------


def test_a_killed_schedulers_commands_end_and_their_runs_are_told_lost(
    bench, own_cluster, tmp_path
):
    runs = [bench.start(command(tmp_path / f"pid{n}", SESSION)) for n in range(2)]
    pids = [pid_in(tmp_path / f"pid{n}") for n in range(2)]
    own_cluster.kill_scheduler()
    for run, pid in zip(runs, pids):
        assert bench.await_end(run).error == LOST
        assert is_gone(run) and not is_alive(pid)
    assert bench.executor.capacity() == 0


def test_a_scheduler_that_is_started_anew_is_found(bench, own_cluster):
    own_cluster.kill_scheduler()
    wait_until(lambda: bench.executor.capacity() == 0, "the loss of the scheduler")
    own_cluster.start_scheduler()
    own_cluster.add()
    assert bench.end_of("exit 3").exit_code == 3


def test_a_stopped_schedulers_commands_end_within_their_lease(bench, own_cluster, tmp_path):
    run = bench.start(command(tmp_path / "pid", SESSION))
    pid_in(tmp_path / "pid")
    own_cluster.scheduler.send_signal(signal.SIGSTOP)
    wait_until(lambda: is_gone(run), "the end of the command")
    own_cluster.scheduler.send_signal(signal.SIGCONT)
    assert bench.await_end(run).error == LOST


# --- spoolq's own worker --------------------------------------------------------------------------


@pytest.fixture
def start_spoolq(spool, own_cluster):
    """Start `spoolq worker start --executor dask` as a process."""
    started = []

    def start():
        where = ["-o", f"address={own_cluster.address}", "-o", "lease=3"]
        process = subprocess.Popen(
            [sys.executable, "-m", "spoolq", "--spool", spool.path, "worker", "start"]
            + ["--executor", "dask", *where],
            stdin=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=environment(),
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def claims(spool):
    return [names.parse(entry) for entry in spool.dir("processing").list() if names.is_job(entry)]


def test_a_killed_spoolqs_command_ends_and_the_next_one_runs_the_job(
    spool, own_cluster, start_spoolq, run_cli, tmp_path
):
    own_cluster.start(workers=1)
    script = f"[ -e {tmp_path}/begun ] && exit 0; touch {tmp_path}/begun; exec sleep 1000"
    run_cli("enqueue", "--", "sh", "-c", script)
    first = start_spoolq()
    wait_until(lambda: (tmp_path / "begun").exists(), "the command")
    (claim,) = claims(spool)
    first.kill()
    first.wait()
    wait_until(lambda: not find(Marks(str(claim))), "the end of the command")
    start_spoolq()
    wait_until(lambda: len(spool.dir("completed").list()) == 1, "the job's end")
    (done,) = [names.parse(entry) for entry in spool.dir("completed").list()]
    assert (done.id, done.attempt) == (claim.id, 2)


def test_a_stopped_spoolqs_command_ends_within_its_lease(
    spool, own_cluster, start_spoolq, run_cli, tmp_path
):
    """Its connection stays open, so Dask alone would let it run for ever."""
    own_cluster.start(workers=1)
    run_cli("enqueue", f"touch {tmp_path}/begun; exec sleep 1000")
    spoolq = start_spoolq()
    wait_until(lambda: (tmp_path / "begun").exists(), "the command")
    (claim,) = claims(spool)
    spoolq.send_signal(signal.SIGSTOP)
    wait_until(lambda: not find(Marks(str(claim))), "the end of the command")
    spoolq.send_signal(signal.SIGCONT)
    wait_until(lambda: any(one.attempt == 2 for one in claims(spool)), "the next attempt")


def test_a_dead_spoolqs_run_is_over_only_when_nothing_of_it_is_left(
    own_cluster, spool, new_bench, tmp_path
):
    own_cluster.start(workers=1)
    first, second = [new_bench(own_cluster.address, lease_seconds=3) for _ in range(2)]
    run = first.start(command(tmp_path / "pid", deaf=True), {"grace": 3})
    pid = pid_in(tmp_path / "pid")
    wait_until(second.executor.capacity, "the second executor")
    first.executor.close()  # as a kill does, it closes the connection
    fates = []

    def is_over():
        lives = is_alive(pid)
        fates.append((second.executor.fate(run.claim, {}), lives))
        return fates[-1][0] is Fate.OVER

    wait_until(is_over, "the fate")
    assert (Fate.OVER, True) not in fates and (Fate.UNKNOWN, True) in fates


# --- a cluster of this machine --------------------------------------------------------------------


def test_a_job_runs_on_a_cluster_of_this_machine_in_the_workers_directory(spool, run_cli, tmp_path):
    (spool.dir("pending")).write("dropped.json", b'{"command": "pwd; sleep 0.01"}', sync=False)
    local = ["worker", "start", "--executor", "dask", "--local", "1", "--drain"]
    done = run_cli(*local, cwd=str(tmp_path))
    assert len(spool.dir("completed").list()) == 1
    (log,) = spool.dir("logs").list()
    assert spool.dir("logs").read(log, 1000)[0].decode() == f"{tmp_path}\n"
    assert "distributed" not in done.stderr and done.stdout == ""


def test_ctrl_c_lets_what_runs_on_a_cluster_of_this_machine_finish(spool, run_cli, tmp_path):
    run_cli("enqueue", f"touch {tmp_path}/begun; while [ ! -e {tmp_path}/go ]; do sleep 0.1; done")
    worker = subprocess.Popen(
        [sys.executable, "-m", "spoolq", "--spool", spool.path, "worker", "start"]
        + ["--executor", "dask", "--local", "1"],
        stderr=subprocess.DEVNULL,
        env=environment(),
        start_new_session=True,  # a group of its own, as a terminal gives it
    )
    try:
        wait_until(lambda: (tmp_path / "begun").exists(), "the command")
        os.killpg(worker.pid, signal.SIGINT)
        (tmp_path / "go").touch()
        assert worker.wait(timeout=60) == 0
        assert len(spool.dir("completed").list()) == 1
    finally:
        worker.kill()
        worker.wait()

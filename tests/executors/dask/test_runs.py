"""What a command gets and what is told of its end, on a real Dask worker."""

import os
import subprocess
import sys

import pytest

from spoolq.executors.dask.attempt import HEAD, TAIL
from spoolq.processes import Marks, find
from tests.conftest import wait_until
from tests.leftovers import ENVIRONMENT, SESSION, command, is_alive, pid_in

# --- what runs ------------------------------------------------------------------------------------


def test_a_text_goes_to_the_shell_and_its_output_into_the_spools_log(bench):
    assert bench.output_of("echo one; echo two >&2; echo $((1 + 2)) | cat") == "one\ntwo\n3\n"


def test_words_are_run_as_they_are(bench):
    words = ["printf", "%s|", "a b", "$HOME", "*", ";", ""]
    assert bench.output_of(words) == "a b|$HOME|*|;||"


def test_words_that_are_keys_of_tasks_are_left_alone(bench):
    first = bench.start("exit 0")
    words = ["printf", "%s|", f"spoolq-{first.claim}", str(first.claim)]
    assert bench.output_of(words) == f"spoolq-{first.claim}|{first.claim}|"


def test_a_command_knows_what_it_is_and_has_the_jobs_variables(bench):
    names = ["SPOOLQ_" + name for name in ("JOB_ID", "ATTEMPT", "SPOOL", "WORKER", "CLAIM")]
    told = " ".join(f'"${name}"' for name in [*names, "MINE"])
    run = bench.start(f"printf '%s\\n' {told}", env={"MINE": "yes"})
    assert bench.await_end(run).exit_code == 0
    claim = run.claim
    expected = [claim.id, "1", bench.spool.path, claim.worker, str(claim), "yes"]
    assert bench.log(run).split() == expected


def test_a_command_leads_a_session_in_its_directory_and_reads_nothing(bench, tmp_path):
    text = "awk '{print $1, $6}' /proc/$$/stat; pwd; cat"
    pid, session, where = bench.output_of(text, cwd=str(tmp_path)).split()
    assert (pid, where) == (session, str(tmp_path))


def test_a_directory_of_one_command_is_none_of_anothers(bench, tmp_path):
    runs = [bench.start("sleep 0.2; pwd", cwd=str(tmp_path)) for _ in range(2)]
    elsewhere = bench.start("sleep 0.1; pwd")
    for run in runs:
        bench.await_end(run)
        assert bench.log(run).strip() == str(tmp_path)
    assert bench.await_end(elsewhere) and bench.log(elsewhere).strip() != str(tmp_path)


def test_a_log_can_be_read_while_the_command_runs_and_none_is_left_of_silence(bench):
    run = bench.start("echo begun; exec sleep 1000")
    wait_until(lambda: bench.log(run) == "begun\n", "the output")
    assert bench.log(bench.end_of("exit 3").run) is None
    bench.executor.cancel(run.claim, "the test is over")
    bench.await_end(run)


# --- how it ends ----------------------------------------------------------------------------------


def test_an_exit_code_and_a_signal_are_told(bench):
    ended = bench.end_of("exit 3")
    assert (ended.exit_code, ended.signal, ended.error) == (3, None, None)
    ended = bench.end_of("kill -KILL $$")
    assert (ended.exit_code, ended.signal, ended.error) == (None, 9, None)


def test_what_cannot_be_started_says_why(bench, tmp_path):
    ended = bench.end_of([str(tmp_path / "nonsuch")])
    assert ended.exit_code == 127 and "nonsuch" in ended.error
    ended = bench.end_of("true", cwd=str(tmp_path / "nowhere"))
    assert ended.exit_code == 127 and "its directory" in ended.error


@pytest.mark.parametrize("shed", [(), (SESSION,), (ENVIRONMENT,)], ids=str)
def test_a_timeout_ends_all_of_a_command(bench, tmp_path, shed):
    ended = bench.end_of(command(tmp_path / "pid", *shed), timeout=0.5)
    assert ended.error == "timed out after 0.5 s"
    assert not is_alive(pid_in(tmp_path / "pid"))


def test_what_ignores_term_is_killed_after_the_grace(bench, tmp_path):
    ended = bench.end_of(command(tmp_path / "pid", deaf=True), {"grace": 0.3}, timeout=0.5)
    assert ended.error == "timed out after 0.5 s"
    assert not is_alive(pid_in(tmp_path / "pid"))


def test_what_prints_too_much_is_ended(bench):
    ended = bench.end_of("yes", {"max_log": 10_000})
    assert ended.error == "printed more than max_log, 10000 bytes"


def test_a_cancelled_run_is_ended_with_all_of_it(bench, tmp_path):
    run = bench.start(command(tmp_path / "pid", SESSION))
    pid = pid_in(tmp_path / "pid")
    bench.executor.cancel(run.claim, "cancelled")
    bench.executor.cancel(run.claim, "again")
    ended = bench.await_end(run)
    assert (ended.signal, ended.error) == (15, "cancelled")
    assert not is_alive(pid) and not find(Marks(str(run.claim)))


def test_a_run_that_is_cancelled_before_it_starts_never_does(bench, tmp_path):
    hogs = [bench.start("exec sleep 1000") for _ in range(4)]
    late = bench.run(f"touch {tmp_path}/ran")
    bench.executor.submit(late)
    bench.runs[late.claim] = late
    bench.executor.cancel(late.claim, "cancelled")
    assert bench.await_end(late).error == "cancelled"
    for hog in hogs:
        bench.executor.cancel(hog.claim, "the test is over")
        bench.await_end(hog)
    assert bench.end_of("exit 0").exit_code == 0
    assert not os.path.exists(tmp_path / "ran")


def test_a_jobs_priority_is_its_tasks(bench, cluster):
    from distributed import Client

    runs = [bench.start("exec sleep 1000", priority=priority) for priority in (1, 9)]
    with Client(cluster.address, set_as_default=False) as client:

        def priorities(dask_scheduler):
            return {key: task.priority[0] for key, task in dask_scheduler.tasks.items()}

        keys = [f"spoolq-{run.claim}" for run in runs]
        wait_until(lambda: set(keys) <= set(client.run_on_scheduler(priorities)), "the tasks")
        found = client.run_on_scheduler(priorities)
        assert found[keys[1]] < found[keys[0]]  # Dask keeps them so that the least is first
    for run in runs:
        bench.executor.cancel(run.claim, "the test is over")
        bench.await_end(run)


# --- out of sight ---------------------------------------------------------------------------------


@pytest.fixture
def blind(own_cluster, spool, new_bench):
    """A bench whose one Dask worker sees another directory in the place of the spool."""
    try:
        subprocess.run(["unshare", "--mount", "true"], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("no mounts of its own can be had here: unshare --mount needs root")
    own_cluster.start_scheduler()
    own_cluster.add(threads=1, hidden=spool.path)
    return new_bench(own_cluster.address)


def test_where_the_spool_is_out_of_sight_the_output_comes_back(blind):
    assert blind.output_of("echo one; echo two >&2") == "one\ntwo\n"
    assert blind.log(blind.end_of("exit 3").run) is None


def test_of_much_output_that_comes_back_head_and_tail_are_kept(blind):
    count = (HEAD + TAIL) // 7 + 10_000
    text = blind.output_of(f"seq 1000000 {1000000 + count}")
    assert text.startswith("1000000\n1000001\n")
    assert text.endswith(f"{1000000 + count}\n")
    assert "bytes are left out here" in text
    assert len(text) < HEAD + TAIL + 100


def test_another_spool_of_the_same_path_is_not_written_into(own_cluster, spool, new_bench):
    """The claim is what proves that it is the same: here there is a spool, and not that claim."""
    own_cluster.start(workers=1)
    bench = new_bench(own_cluster.address)
    run = bench.run("echo seen")
    bench.spool.dir("processing").discard(str(run.claim))
    wait_until(lambda: bench.executor.capacity(), "the Dask worker")
    bench.executor.submit(run)
    bench.runs[run.claim] = run
    assert bench.await_end(run).exit_code == 0
    assert bench.log(run) == "seen\n"  # written by the executor: it came back


def test_nothing_of_dask_is_imported_before_an_executor_is_made():
    code = (
        "import sys, spoolq.executors.dask\n"
        "sys.exit(any(name in sys.modules for name in ('dask', 'distributed', 'asyncio')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

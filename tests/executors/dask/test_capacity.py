"""As many claims as Dask workers have threads, and no more, as these come and go."""

import itertools

import pytest

from spoolq import names
from spoolq.executors import NoRoom, NotNow
from tests.conftest import wait_until


def test_capacity_follows_the_dask_workers(own_cluster, new_bench):
    own_cluster.start(workers=1, threads=2)
    bench = new_bench(own_cluster.address)
    limited = new_bench(own_cluster.address, most=3)
    wait_until(lambda: bench.executor.capacity() == 2, "the first Dask worker")
    second = own_cluster.add(threads=3)
    wait_until(lambda: bench.executor.capacity() == 5, "the second one")
    wait_until(lambda: limited.executor.capacity() == 3, "the limit")
    second.kill()
    wait_until(lambda: bench.executor.capacity() == 2, "the loss of the second one")


def test_out_of_reach_nothing_is_begun(new_bench):
    bench = new_bench("tcp://127.0.0.1:1")
    assert bench.executor.capacity() == 0
    with pytest.raises(NotNow):
        bench.executor.submit(bench.run("exit 0"))


def test_needs_are_dasks_resources(own_cluster, new_bench):
    own_cluster.start_scheduler()
    own_cluster.add(threads=2)
    with_gpu = own_cluster.add(threads=2, resources="gpu=1")
    bench = new_bench(own_cluster.address)
    wait_until(lambda: bench.executor.capacity() == 4, "both Dask workers")
    first = bench.start("echo $PPID; exec sleep 1000", needs={"gpu": 1})
    with pytest.raises(NoRoom, match="not free"):
        bench.executor.submit(bench.run("exit 0", needs={"gpu": 1}))
    with pytest.raises(NoRoom, match="no Dask worker has tape=1"):
        bench.executor.submit(bench.run("exit 0", needs={"tape": 1}))
    assert bench.end_of("exit 3").exit_code == 3  # what needs nothing is not held up
    wait_until(lambda: bench.log(first), "the output")
    assert int(bench.log(first)) == with_gpu.pid
    bench.executor.cancel(first.claim, "cancelled")
    bench.await_end(first)
    assert bench.end_of("exit 4", needs={"gpu": 1}).exit_code == 4


@pytest.fixture
def without(tmp_path):
    """A directory in which there is no spoolq to be found."""
    (tmp_path / "without" / "spoolq").mkdir(parents=True)
    module = tmp_path / "without" / "spoolq" / "__init__.py"
    module.write_text("raise ImportError('no spoolq here')\n")
    return str(tmp_path / "without")


def test_a_scheduler_without_spoolq_is_said_and_sent_nothing(
    own_cluster, new_bench, without, caplog
):
    own_cluster.start_scheduler(path=without)
    own_cluster.add()
    bench = new_bench(own_cluster.address)
    wait_until(lambda: "it has no spoolq" in caplog.text, "the complaint")
    assert bench.executor.capacity() == 0


def test_a_dask_worker_without_spoolq_gets_nothing(own_cluster, new_bench, without, caplog):
    own_cluster.start_scheduler()
    own_cluster.add(threads=3, path=without)
    own_cluster.add(threads=1)
    bench = new_bench(own_cluster.address)
    wait_until(lambda: "has no spoolq" in caplog.text, "the complaint")
    wait_until(lambda: bench.executor.capacity() == 1, "the other one")
    for _ in range(5):
        assert bench.end_of("exit 3").exit_code == 3


def test_claims_never_exceed_what_the_dask_workers_take(spool, own_cluster, start_worker, run_cli):
    own_cluster.start(workers=2, threads=2)
    for _ in range(12):
        run_cli("enqueue", "--", "sleep", "0.3")
    start_worker("--executor", "dask", "--address", own_cluster.address)
    slots = set()

    def all_done():
        found = [names.parse(one) for one in spool.dir("processing").list() if "@" in one]
        slots.add(len(found))
        assert all(one.slot.startswith("dask_") for one in found)
        return len(spool.dir("completed").list()) == 12

    wait_until(all_done, "the end of all jobs")
    # A freed slot is filled before its run is recorded: a claim may be of the one or of the other.
    assert 4 <= max(slots) <= 8


def test_a_directory_is_kept_from_attempt_to_attempt(spool, own_cluster, start_worker, run_cli):
    own_cluster.start(workers=1, threads=1)
    command = 'ls "$SPOOLQ_WORKDIR"; touch "$SPOOLQ_WORKDIR/seen$SPOOLQ_ATTEMPT"; test -e '
    command += '"$SPOOLQ_WORKDIR/seen2"'
    run_cli("enqueue", "--id", "a", "--workdir", "--backoff-base", "0.1", command)
    start_worker("--executor", "dask", "--address", own_cluster.address)
    wait_until(lambda: spool.dir("completed").list(), "the end of the job")
    assert run_cli("logs", "a").stdout == "seen1\n"


def test_a_living_worker_takes_fewer_at_a_time(spool, own_cluster, start_worker, run_cli, tmp_path):
    own_cluster.start(workers=1, threads=3)
    start_worker("--executor", "dask", "--address", own_cluster.address)
    run_cli("worker", "set", "--count", "2")
    told = tmp_path / "told"
    run_cli("enqueue", "-", stdin=f"echo + >>{told}; sleep 0.5; echo - >>{told}\n" * 5)
    wait_until(lambda: len(spool.dir("completed").list()) == 5, "the end of all jobs")
    steps = (1 if line == "+" else -1 for line in told.read_text().split())
    assert max(itertools.accumulate(steps)) == 2


def test_an_option_of_the_command_line_is_a_word_of_its_own(run_cli):
    done = run_cli("worker", "start", "--address", "tcp://a:1", check=False)
    assert "'local' has no option 'address'" in done.stderr

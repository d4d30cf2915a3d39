"""Each safeguard, and what happens without it: else nobody knows that it is needed."""

import os
import signal

import pytest

from spoolq.executors.dask.doubts import Doubts
from spoolq.job import LOST
from tests.conftest import wait_until
from tests.leftovers import command, is_alive, pid_in

BROKEN = "tests.executors.dask.broken"


@pytest.fixture
def victims():
    """Pids of commands that may be left."""
    pids = []
    yield pids
    for pid in pids:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            pass


@pytest.mark.parametrize("preload, starts", [(None, 1), (f"{BROKEN}.no_fence", 2)])
def test_without_the_fence_dask_starts_an_attempt_again(
    own_cluster, new_bench, tmp_path, victims, preload, starts
):
    def begun():
        path = tmp_path / "begun"
        return list(map(int, path.read_text().split())) if path.exists() else []

    own_cluster.start_scheduler()
    first = own_cluster.add(preload=preload)
    bench = new_bench(own_cluster.address, lease_seconds=3)
    bench.start(f"echo $$ >> {tmp_path}/begun; exec sleep 1000")
    wait_until(begun, "the first start")
    own_cluster.add(preload=preload)
    wait_until(lambda: bench.executor.capacity() == 2, "the second Dask worker")
    first.kill()
    if starts == 1:
        wait_until(lambda: bench.listen() or not bench.runs, "the end")
    else:
        wait_until(lambda: len(begun()) > 1, "a second start")
        assert all(map(is_alive, begun()))  # both at once
    victims += begun()
    assert len(victims) == starts


@pytest.mark.parametrize("preload", [None, f"{BROKEN}.no_warden"])
def test_without_the_warden_a_killed_workers_command_lives_on(
    own_cluster, new_bench, tmp_path, victims, preload
):
    """There is no other Dask worker here, which would look for what is left."""
    own_cluster.start_scheduler()
    worker = own_cluster.add(preload=preload)
    bench = new_bench(own_cluster.address, lease_seconds=3)
    run = bench.start(command(tmp_path / "pid"))
    victims.append(pid_in(tmp_path / "pid"))
    worker.kill()
    assert bench.await_end(run).error == LOST
    assert is_alive(victims[0]) == (preload is not None)


@pytest.mark.parametrize("is_doubted", [True, False])
def test_without_the_doubt_a_run_is_told_lost_while_it_lives(
    own_cluster, new_bench, tmp_path, victims, monkeypatch, is_doubted
):
    async def at_once(self, client, survey, claims):
        return self._forget(list(claims))

    if not is_doubted:
        monkeypatch.setattr(Doubts, "look", at_once)
        monkeypatch.setattr(Doubts, "settled", lambda self: self._forget(self.claims()))
    own_cluster.start(workers=2)
    bench = new_bench(own_cluster.address, lease_seconds=3)
    wait_until(lambda: bench.executor.capacity() == 2, "both Dask workers")
    run = bench.start(command(tmp_path / "pid", deaf=True))
    victims.append(pid_in(tmp_path / "pid"))
    own_cluster.kill_scheduler()
    assert bench.await_end(run).error == LOST
    assert is_alive(victims[0]) != is_doubted

"""What is asked of jobs that workers of other hosts run."""

import pytest

from spoolq import control
from spoolq.errors import Busy
from tests import given
from tests.hosts import elsewhere


def claimed_elsewhere(spool, clock, **how):
    """Return the worker of another host, out of reach, and its claim."""
    worker = elsewhere(spool, **how)
    return worker, given.claim(
        spool, worker, given.job(spool, "pending", given.named(clock)), clock
    )


def test_a_running_job_of_a_host_out_of_reach_is_asked_of_its_worker(shared_spool, clock):
    worker, claim = claimed_elsewhere(shared_spool, clock)
    with pytest.raises(Busy, match="still processing"):
        control.cancel(shared_spool, "j1", clock, timeout=0.2)
    assert worker.dir.has("cancel.j1")
    assert given.everything(shared_spool) == [("processing", str(claim))]


def test_whoever_waits_for_a_cancel_takes_the_job_over_when_the_lease_is_over(shared_spool, clock):
    worker, _ = claimed_elsewhere(shared_spool, clock, renews=0.3)
    view = control.cancel(shared_spool, "j1", clock)
    assert (view.state, view.error) == ("dead", "cancelled")
    assert worker.name not in shared_spool.dir("workers").list()


def test_a_repair_that_has_just_begun_to_look_takes_no_other_host_for_dead(shared_spool, clock):
    _, claim = claimed_elsewhere(shared_spool, clock, renews=0.3)
    control.recover_now(shared_spool, clock, sweep=True)
    assert given.everything(shared_spool) == [("processing", str(claim))]

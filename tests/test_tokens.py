"""Tokens are files, held by locks: all that is needed or none, and never more than the limit."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from spoolq import lease, names, tokens
from spoolq.job import Job
from spoolq.tokens import Tokens, in_use, needs_of, too_much
from tests.conftest import environment, wait_until

LIMITS = {"gpu": 2, "net": 1}


def told(taken):
    return [token.name for token in taken]


@pytest.fixture
def crews(spool):
    """Two who know nothing of each other."""
    return Tokens(spool), Tokens(spool)


def test_what_is_limited_is_counted_in_whole_tokens_and_in_one_order():
    job = Job({"command": "x", "needs": {"net": 0.25, "gpu": 1.5, "tape": 1}})
    assert needs_of(job, LIMITS) == (("gpu", 2), ("net", 1))
    assert needs_of(job, {}) == ()
    assert needs_of(Job({"command": "x"}), LIMITS) == ()


def test_one_has_a_token_at_a_time_whoever_asks(crews, spool):
    one, other = crews
    held = one.take((("net", 1),), LIMITS)
    assert told(held) == ["net.0"]
    assert other.take((("net", 1),), LIMITS) is None
    assert one.take((("net", 1),), LIMITS) is None
    assert in_use(spool, LIMITS) == {"gpu": 0, "net": 1}
    assert one.let_go(held) == {"net"}
    assert told(other.take((("net", 1),), LIMITS)) == ["net.0"]


def test_who_cannot_have_all_takes_nothing(crews, spool):
    one, other = crews
    net = one.take((("net", 1),), LIMITS)
    assert other.take((("gpu", 2), ("net", 1)), LIMITS) is None
    assert in_use(spool, LIMITS) == {"gpu": 0, "net": 1}
    one.let_go(net)
    assert told(other.take((("gpu", 2), ("net", 1)), LIMITS)) == ["gpu.0", "gpu.1", "net.0"]


def test_there_is_never_more_than_the_limit(crews):
    one, other = crews
    assert one.take((("gpu", 3),), LIMITS) is None
    assert one.take((("gpu", 1),), {"gpu": 0}) is None
    assert too_much((("gpu", 3), ("net", 1)), LIMITS) == ["it needs gpu=3, and the limit is 2"]
    assert one.take((("gpu", 1),), LIMITS)
    assert other.take((("gpu", 1),), LIMITS)
    assert other.take((("gpu", 1),), LIMITS) is None


def test_what_is_held_from_a_higher_limit_counts(crews):
    one, other = crews
    first, second, third = (one.take((("gpu", 1),), {"gpu": 3}) for _ in range(3))
    one.let_go(first)
    one.let_go(second)
    assert told(third) == ["gpu.2"]
    assert other.take((("gpu", 2),), {"gpu": 2}) is None
    assert told(other.take((("gpu", 1),), {"gpu": 2})) == ["gpu.0"]
    assert other.take((("gpu", 1),), {"gpu": 2}) is None
    one.let_go(third)
    assert other.take((("gpu", 1),), {"gpu": 2})


def test_names_that_begin_alike_are_different_limits(crews, spool):
    one, other = crews
    limits = {"a": 1, "a.0": 2}
    assert told(one.take((("a.0", 2),), limits)) == ["a.0.0", "a.0.1"]
    assert told(other.take((("a", 1),), limits)) == ["a.0"]
    assert in_use(spool, limits) == {"a": 1, "a.0": 2}


def test_what_is_no_file_is_no_token_and_nothing_is_followed(crews, spool, tmp_path):
    one, _ = crews
    one.let_go(one.take((("gpu", 2),), LIMITS))
    limits = Path(spool.path, "limits")
    (limits / "gpu.0").unlink()
    (limits / "gpu.0").symlink_to(tmp_path / "elsewhere")
    (limits / "gpu.1").unlink()
    (limits / "gpu.1").mkdir()
    assert one.take((("gpu", 1),), LIMITS) is None
    assert not (tmp_path / "elsewhere").exists()
    assert in_use(spool, LIMITS) == {"gpu": 0, "net": 0}


def test_the_directory_may_be_removed_and_is_made_again(crews, spool):
    one, _ = crews
    one.let_go(one.take((("gpu", 1),), LIMITS))
    Path(spool.path, "limits", "gpu.0").unlink()
    Path(spool.path, "limits").rmdir()
    assert one.take((("gpu", 1),), LIMITS)
    assert (Path(spool.path, "limits").stat().st_mode & 0o777) == 0o700


def test_a_token_is_free_when_its_holder_is_killed(crews, spool):
    code = (
        "import sys, time; from spoolq.spool import SpoolDir; from spoolq.tokens import Tokens\n"
        "held = Tokens(SpoolDir.open(sys.argv[1])).take((('net', 1),), {'net': 1})\n"
        "print(held[0].name, flush=True); time.sleep(1000)"
    )
    holder = subprocess.Popen(
        [sys.executable, "-c", code, spool.path], stdout=subprocess.PIPE, env=environment()
    )
    with holder:
        assert holder.stdout.readline() == b"net.0\n"
        assert crews[0].take((("net", 1),), LIMITS) is None
        holder.kill()
    assert crews[0].take((("net", 1),), LIMITS)


# --- with workers ---------------------------------------------------------------------------------

PEAK = """
n=$(ls {0} | wc -l); touch {0}/$$; n=$(ls {0} | wc -l); echo $n >>{1}; sleep 0.05; rm {0}/$$
"""


def limited(run_cli, limits):
    run_cli("config", "set", "limits", limits)
    run_cli("config", "set", "durability", "none")


def test_no_more_run_at_a_time_than_there_are_tokens_however_many_workers(
    spool, run_cli, start_worker, tmp_path
):
    limited(run_cli, '{"gpu": 2}')
    (tmp_path / "now").mkdir()
    command = PEAK.format(tmp_path / "now", tmp_path / "seen").strip()
    run_cli("enqueue", "--needs", "gpu=1", "-", stdin=f"{command}\n" * 30)
    workers = [start_worker("--count", "4", "--drain") for _ in range(3)]
    for worker in workers:
        assert worker.wait(60) == 0
    seen = [int(line) for line in (tmp_path / "seen").read_text().split()]
    assert len(seen) == 30
    assert max(seen) <= 2


def test_without_a_limit_more_run_at_a_time(spool, run_cli, start_worker, tmp_path):
    """The control of the test above."""
    limited(run_cli, '{"net": 2}')
    (tmp_path / "now").mkdir()
    command = PEAK.format(tmp_path / "now", tmp_path / "seen").strip()
    run_cli("enqueue", "--needs", "gpu=1", "-", stdin=f"{command}\n" * 30)
    assert start_worker("--count", "8", "--drain").wait(60) == 0
    assert max(int(line) for line in (tmp_path / "seen").read_text().split()) > 2


def test_a_command_knows_which_tokens_it_has(spool, run_cli, start_worker):
    limited(run_cli, '{"gpu": 2, "net": 1}')
    job_id = run_cli(
        "enqueue", "--needs", "net=1", "--needs", "gpu=2", f"echo ${tokens.VARIABLE}"
    ).stdout.strip()
    plain = run_cli("enqueue", f"echo none: ${tokens.VARIABLE}").stdout.strip()
    assert start_worker("--drain").wait(60) == 0
    assert run_cli("logs", job_id).stdout == "gpu.0 gpu.1 net.0\n"
    assert run_cli("logs", plain).stdout == "none:\n"


def test_what_a_killed_worker_has_left_running_keeps_its_token(
    spool, run_cli, start_worker, tmp_path
):
    limited(run_cli, '{"gpu": 1}')
    run_cli("config", "set", "orphans", "wait")
    run_cli("enqueue", "--needs", "gpu=1", f"touch {tmp_path}/runs; exec sleep 1000")
    worker = start_worker()
    wait_until((tmp_path / "runs").exists, "the run")
    (owner,) = spool.dir("workers").list()
    (claim,) = spool.dir("processing").list()
    pid = wait_until(lambda: lease.read_slot(spool, owner, "0", claim).get("pid"), "its process")
    worker.send_signal(signal.SIGKILL)
    worker.wait()
    assert in_use(spool, {"gpu": 1}) == {"gpu": 1}
    os.kill(pid, signal.SIGKILL)
    wait_until(lambda: in_use(spool, {"gpu": 1}) == {"gpu": 0}, "the token")


@pytest.mark.skipif(shutil.which("flock") is None, reason="no flock, which tells of an overlap")
@pytest.mark.parametrize("need", ["gpu", "tape"])
def test_workers_that_are_killed_never_let_two_have_one_token(
    spool, run_cli, start_worker, tmp_path, need
):
    """Each kill hits who runs one, and leaves a command that does not end at once.

    Where nothing limits them, two do run at a time: the control.
    """
    limited(run_cli, '{"gpu": 1}')
    run_cli("config", "set", "grace", "1")
    line = f"trap '' TERM; flock -n {tmp_path}/one sleep 0.4 || echo >>{tmp_path}/overlaps"
    job = {"command": line, "needs": {need: 1}, "max_retries": 100, "backoff_base": 0}
    run_cli("enqueue", "-", stdin=(json.dumps(job) + "\n") * 12)
    workers = {worker.pid: worker for worker in (start_worker("--count", "2") for _ in range(3))}

    def holder():
        claims = [names.parse(name) for name in spool.dir("processing").list()]
        return next((int(claim.worker.split("-")[-2]) for claim in claims if claim.worker), None)

    def is_over():
        return len(spool.dir("completed").list()) == 12

    killed = 0
    while killed < 4:
        found = wait_until(lambda: workers.keys() & {holder()} or is_over(), "a run")
        if found is True:  # on a busy machine all may have run before the fourth
            break
        victim = workers.pop(found.pop())
        victim.kill()
        victim.wait()
        killed += 1
        fresh = start_worker("--count", "2")
        workers[fresh.pid] = fresh
    wait_until(is_over, "all")
    assert killed
    assert (tmp_path / "overlaps").exists() == (need == "tape")
    assert in_use(spool, {"gpu": 1}) == {"gpu": 0}


def test_a_daemon_that_a_command_leaves_behind_keeps_no_token(
    spool, run_cli, start_worker, tmp_path
):
    limited(run_cli, '{"gpu": 1}')
    daemon = f"setsid sleep 1000 >/dev/null 2>&1 & echo $! >{tmp_path}/pid"
    first = run_cli("enqueue", "--needs", "gpu=1", daemon).stdout.strip()
    run_cli("enqueue", "--needs", "gpu=1", "true")
    try:
        assert start_worker("--drain").wait(60) == 0
        assert len(spool.dir("completed").list()) == 2
        pid = int((tmp_path / "pid").read_text())
        held = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
        assert any(path.endswith("limits/gpu.0") for path in held), first
        assert in_use(spool, {"gpu": 1}) == {"gpu": 0}
    finally:
        os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)

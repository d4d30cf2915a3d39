"""Real workers that are killed, stopped and asked to leave, with real commands."""

import json
import os
import shlex
import shutil
import signal
import subprocess
import sys
import time

import pytest

from spoolq import Spool, config, control, names
from spoolq.errors import Busy
from spoolq.job import MAX_FILE, Job
from tests.conftest import entries, environment, wait_until
from tests.leftovers import SHED, command, end_quietly, is_alive, pid_in


@pytest.fixture
def queue(spool):
    """The spool by its front door."""
    with Spool(spool.path) as queue:
        yield queue


def settings(spool, **values):
    """Set these, and no syncs: a kill needs none, and the disk is shared."""
    spool.write_config(config.write({"durability": "none", **values}))


@pytest.fixture(autouse=True)
def _no_syncs(spool):
    settings(spool)


def claims(spool):
    return [names.parse(entry) for entry in entries(spool, "processing")]


def worker_of(process, spool):
    """Return the name under which a process is a worker."""
    (name,) = [n for n in spool.dir("workers").list() if f"-{process.pid}-" in n]
    return name


def runs(spool, job_id):
    """Return what a job's file tells of its runs, in words."""
    state, filename = spool.locate([job_id])[job_id]
    job = Job.from_bytes(spool.dir(state).read(filename, MAX_FILE)[0], MAX_FILE)
    return [entry.get("error") or entry.get("exit_code", "a signal") for entry in job.history]


def await_state(spool, job_id, state):
    def there():
        return spool.locate([job_id]).get(job_id, ("", ""))[0] == state

    wait_until(there, f"{job_id} in {state}/")
    (name,) = [names.parse(e) for e in entries(spool, state) if names.parse(e).id == job_id]
    return name


def kill(process):
    process.kill()
    process.wait()


def said(process, text):
    """Say whether a worker's log has a text."""
    with open(process.log_path, encoding="utf-8") as file:
        return text in file.read()


def first_run_hangs(then="exit 0"):
    """A command that never ends in its first attempt."""
    return f"if [ $SPOOLQ_ATTEMPT = 1 ]; then exec sleep 1000; fi; {then}"


def waits_for(gate, then="exit 0"):
    return f"while [ ! -e {gate} ]; do sleep 0.02; done; {then}"


# --- killed ---------------------------------------------------------------------------------------


def test_the_jobs_of_a_killed_worker_are_taken_over_by_the_others_once(
    queue, spool, start_worker, run_cli
):
    workers = {worker_of(w, spool): w for w in (start_worker("-n", "2") for _ in range(3))}
    ids = [queue.enqueue(first_run_hangs()) for _ in range(2)]
    wait_until(lambda: len(claims(spool)) == 2, "two claims")
    victim = claims(spool)[0].worker
    orphans = [claim.id for claim in claims(spool) if claim.worker == victim]
    kill(workers.pop(victim))
    for job_id in orphans:
        assert await_state(spool, job_id, "completed").attempt == 2
        assert runs(spool, job_id) == ["worker lost", 0]
    wait_until(lambda: not spool.dir("workers").has(victim), "the sweep")
    assert {claim.id for claim in claims(spool)} == set(ids) - set(orphans)
    run_cli("worker", "stop", "--now")


def test_the_next_worker_to_start_takes_over_what_a_killed_one_left(queue, spool, start_worker):
    job_id = queue.enqueue(first_run_hangs())
    first = start_worker()
    wait_until(lambda: claims(spool), "the claim")
    kill(first)
    assert claims(spool)[0].id == job_id
    second = start_worker("--drain")
    assert second.wait(60) == 0
    assert await_state(spool, job_id, "completed").attempt == 2
    assert runs(spool, job_id) == ["worker lost", 0]
    assert spool.dir("workers").list() == []


def test_a_job_that_kills_its_worker_is_dead_after_all_its_attempts(queue, spool, start_worker):
    job_id = queue.enqueue("kill -9 $PPID; exec sleep 1000", max_retries=2)
    good = queue.enqueue("true", priority=0)
    started = 0
    while not entries(spool, "dead"):
        worker = start_worker("--drain")
        started += 1
        assert started <= 4
        worker.wait(60)
    assert await_state(spool, job_id, "dead").attempt == 3
    assert runs(spool, job_id) == ["worker lost"] * 3
    await_state(spool, good, "completed")


_DIES = """
import os, sys
import spoolq.claiming, spoolq.recovery, spoolq.spool, spoolq.worker
from spoolq.cli.main import main

def die(*_, **__):
    os.kill(os.getpid(), 9)

def die_if(real):
    def call(*args, **kwargs):
        result = real(*args, **kwargs)
        if result:
            die()
        return result
    return call

{patch}
sys.argv = ["spoolq", "--spool", sys.argv[1], "worker", "start"]
main()
"""


def patched(spool, patch):
    """Run a worker whose code has been changed, to its end."""
    script = _DIES.format(patch=patch)
    return subprocess.run(
        [sys.executable, "-c", script, spool.path],
        env=environment(),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=60,
    )


def dies(spool, patch):
    """Run a worker that kills itself at a point of its work."""
    done = patched(spool, patch)
    assert done.returncode == -signal.SIGKILL, done.stderr.decode()


def test_a_worker_killed_after_the_claim_has_used_up_an_attempt(
    queue, spool, start_worker, tmp_path
):
    job_id = queue.enqueue(f"echo run >> {tmp_path}/ran")
    dies(spool, "spoolq.claiming.read_job = die")
    assert start_worker("--drain").wait(60) == 0
    assert await_state(spool, job_id, "completed").attempt == 2
    assert runs(spool, job_id) == ["worker lost", 0]
    assert (tmp_path / "ran").read_text() == "run\n"


@pytest.mark.parametrize("code, state", [(0, "completed"), (1, "dead")])
def test_a_recorded_outcome_is_finished_and_does_not_run_again(
    queue, spool, start_worker, tmp_path, code, state
):
    job_id = queue.enqueue(f"echo run >> {tmp_path}/ran; exit {code}", max_retries=0)
    dies(spool, "spoolq.spool.SpoolDir.finish_move = die")
    assert len(claims(spool)) == 1
    assert start_worker("--drain").wait(60) == 0
    assert await_state(spool, job_id, state).attempt == 1
    assert runs(spool, job_id) == [code]
    assert (tmp_path / "ran").read_text() == "run\n"


def test_who_is_killed_after_a_takeover_leaves_it_to_the_next(queue, spool, start_worker, tmp_path):
    job_id = queue.enqueue(f"echo run >> {tmp_path}/ran", max_retries=1)
    dies(spool, "spoolq.claiming.read_job = die")
    dies(spool, "spoolq.recovery.Recovery.look = die_if(spoolq.recovery.Recovery.look)")
    (claim,) = claims(spool)
    assert claim.id == job_id
    assert start_worker("--drain").wait(60) == 0
    assert await_state(spool, job_id, "completed").attempt == 2
    assert runs(spool, job_id) == ["worker lost", 0]


# --- what is left of its runs ---------------------------------------------------------------------


def leaves(place, *shed, **how):
    """A command that leaves a child in its first attempt and looks for it in the second."""
    first = " ".join(shlex.quote(word) for word in command(place, *shed, **how))
    look = f"grep '^State:' /proc/$(cat {place})/status 2>/dev/null"
    return f"if [ $SPOOLQ_ATTEMPT = 1 ]; then exec {first}; fi; {look} | grep -v '[ZX] ('; true"


@pytest.mark.parametrize("shed", [(), *SHED.values()], ids=["nothing", *SHED])
def test_what_is_left_of_a_run_is_ended_before_the_job_runs_again_if_it_has_shed(
    queue, spool, start_worker, tmp_path, run_cli, shed
):
    settings(spool, grace=60)
    place = tmp_path / "pid"
    job_id = queue.enqueue(leaves(place, *shed))
    worker = start_worker()
    child = pid_in(place)
    kill(worker)
    assert is_alive(child)
    assert start_worker("--drain").wait(60) == 0
    await_state(spool, job_id, "completed")
    assert not is_alive(child)
    assert runs(spool, job_id) == ["worker lost", 0]
    assert [entry for entry in spool.dir("logs").list() if ".a2." in entry] == []


def test_what_ignores_term_is_killed_after_the_grace(queue, spool, start_worker, tmp_path):
    settings(spool, grace=0.5)
    place = tmp_path / "pid"
    job_id = queue.enqueue(leaves(place, "session", "environment", deaf=True))
    worker = start_worker()
    child = pid_in(place)
    kill(worker)
    assert start_worker("--drain").wait(60) == 0
    await_state(spool, job_id, "completed")
    assert not is_alive(child)


_GIVES_UP = """
real = spoolq.worker.Worker.turn

def turn(self):
    if os.path.exists({place!r}):
        raise RuntimeError("a bug of ours")
    return real(self)

spoolq.worker.Worker.turn = turn
"""


@pytest.mark.parametrize("shed", [(), *SHED.values()], ids=["nothing", *SHED])
def test_what_a_worker_leaves_that_gives_up_is_ended_before_the_job_runs_again_if_it_has_shed(
    queue, spool, start_worker, tmp_path, shed
):
    """It leaves without a word for recovery but its directory: the slot's lock and who leads."""
    settings(spool, grace=60)
    place = tmp_path / "pid"
    job_id = queue.enqueue(leaves(place, *shed))
    done = patched(spool, _GIVES_UP.format(place=str(place)))
    assert done.returncode == 3, done.stderr.decode()
    child = pid_in(place)
    assert is_alive(child)
    assert start_worker("--drain").wait(60) == 0
    await_state(spool, job_id, "completed")
    assert not is_alive(child)
    assert runs(spool, job_id) == ["worker lost", 0]
    assert [entry for entry in spool.dir("logs").list() if ".a2." in entry] == []
    assert spool.dir("workers").list() == []


def test_orphans_wait_lets_the_command_end_by_itself_before_the_job_runs_again(
    queue, spool, start_worker, tmp_path
):
    settings(spool, orphans="wait")
    told, gate = tmp_path / "told", tmp_path / "gate"
    say = f"echo begin $SPOOLQ_ATTEMPT >> {told}; "
    job_id = queue.enqueue(say + waits_for(gate, f"echo end $SPOOLQ_ATTEMPT >> {told}"))
    worker = start_worker()
    wait_until(told.exists, "the command")
    kill(worker)
    second = start_worker("--drain")
    wait_until(lambda: said(second, "waiting for it"), "the second worker's look")
    assert told.read_text() == "begin 1\n"
    gate.write_text("")
    assert second.wait(60) == 0
    await_state(spool, job_id, "completed")
    assert told.read_text() == "begin 1\nend 1\nbegin 2\nend 2\n"


def test_a_daemon_of_a_completed_job_is_left_alone(queue, spool, start_worker, tmp_path):
    place = tmp_path / "pid"
    job_id = queue.enqueue(command(place, "session", stays=False))
    worker = start_worker()
    await_state(spool, job_id, "completed")
    child = pid_in(place)
    try:
        kill(worker)
        queue.enqueue("true")
        assert start_worker("--drain").wait(60) == 0
        assert is_alive(child)
    finally:
        end_quietly(child)


# --- not dead -------------------------------------------------------------------------------------


def test_a_stopped_worker_is_not_taken_for_dead(queue, spool, start_worker, tmp_path):
    gate = tmp_path / "gate"
    job_id = queue.enqueue(waits_for(gate))
    stopped = start_worker()
    wait_until(lambda: claims(spool), "the claim")
    stopped.send_signal(signal.SIGSTOP)
    try:
        other = start_worker()
        # By then the other has looked at all claims, at least twice.
        later = queue.enqueue("true", run_at=time.time() + 2.5)
        await_state(spool, later, "completed")
        assert [(claim.id, claim.attempt) for claim in claims(spool)] == [(job_id, 1)]
        assert claims(spool)[0].worker == worker_of(stopped, spool)
        assert other.poll() is None
        gate.write_text("")
    finally:
        stopped.send_signal(signal.SIGCONT)
    await_state(spool, job_id, "completed")
    assert runs(spool, job_id) == [0]


def test_a_worker_whose_directory_is_removed_ends_its_runs_and_fails(
    queue, spool, start_worker, tmp_path
):
    place = tmp_path / "pid"
    job_id = queue.enqueue(leaves(place, "session"))
    worker = start_worker()
    child = pid_in(place)
    shutil.rmtree(os.path.join(spool.path, "workers", worker_of(worker, spool)))
    assert worker.wait(60) == 1
    assert not is_alive(child)
    assert runs(spool, job_id) == []
    assert start_worker("--drain").wait(60) == 0
    assert runs(spool, job_id) == ["worker lost", 0]


def test_directories_that_are_removed_and_made_anew_are_used_by_a_worker_that_is_idle(
    spool, start_worker, run_cli
):
    worker = start_worker()
    run_cli("run", "true")
    replaced = ("pending", "failed", "completed", "logs")
    for name in replaced:
        shutil.rmtree(os.path.join(spool.path, name))
        os.mkdir(os.path.join(spool.path, name), 0o700)
    for name in replaced:
        wait_until(lambda name=name: said(worker, f"{name}/ is another directory"), name)
    flaky = "echo attempt $SPOOLQ_ATTEMPT; [ $SPOOLQ_ATTEMPT = 2 ]"
    done = run_cli("run", "--max-retries", "1", "--backoff-base", "0.1", flaky)
    assert done.stdout == "attempt 1\nattempt 2\n"
    found = {name: os.listdir(os.path.join(spool.path, name)) for name in replaced}
    assert [len(found[name]) for name in replaced] == [0, 0, 1, 2]
    assert worker.poll() is None


def test_a_directory_where_a_lock_should_be_stops_nobody(queue, spool, start_worker):
    os.makedirs(os.path.join(spool.path, "workers", "foo-1-abc", "lock"))
    job_id = queue.enqueue(first_run_hangs())
    first = start_worker()
    wait_until(lambda: claims(spool), "the claim")
    kill(first)
    assert start_worker("--drain").wait(60) == 0
    await_state(spool, job_id, "completed")


# --- cancel ---------------------------------------------------------------------------------------


def test_who_cancels_what_a_stopped_worker_runs_is_told_and_may_give_up(queue, spool, start_worker):
    job_id = queue.enqueue("exec sleep 1000")
    worker = start_worker()
    wait_until(lambda: claims(spool), "the claim")
    worker.send_signal(signal.SIGSTOP)
    told = []
    try:
        with pytest.raises(Busy, match="still processing"):
            control.cancel(spool, job_id, timeout=1.2, on_wait=told.append)
        assert [view.id for view in told] == [job_id]
        assert len(claims(spool)) == 1
    finally:
        worker.send_signal(signal.SIGCONT)
    await_state(spool, job_id, "dead")
    assert runs(spool, job_id) == ["cancelled"]


def test_a_job_of_a_killed_worker_can_be_cancelled_with_no_worker_there(
    queue, spool, start_worker, run_cli, tmp_path
):
    place = tmp_path / "pid"
    job_id = queue.enqueue(leaves(place, "session"))
    worker = start_worker()
    child = pid_in(place)
    kill(worker)
    run_cli("cancel", job_id)
    await_state(spool, job_id, "dead")
    assert not is_alive(child)
    assert runs(spool, job_id)[-1] == "cancelled"


def test_a_request_to_cancel_that_a_killed_worker_did_not_heed_is_honoured(
    queue, spool, start_worker
):
    job_id = queue.enqueue("exec sleep 1000")
    worker = start_worker()
    wait_until(lambda: claims(spool), "the claim")
    worker.send_signal(signal.SIGSTOP)
    directory = spool.dir("workers").sub(worker_of(worker, spool))
    directory.write(f"cancel.{job_id}", b"", sync=False)
    directory.close()
    kill(worker)
    assert start_worker("--drain").wait(60) == 0
    await_state(spool, job_id, "dead")
    assert runs(spool, job_id) == ["cancelled"]


# --- several at work ------------------------------------------------------------------------------


def exclusive(place):
    """A command that tells of its run, and of another of the same job beside it."""
    return (
        f"exec 9>{place}/lock.$SPOOLQ_JOB_ID; "
        f"flock -n 9 || echo $SPOOLQ_JOB_ID >> {place}/overlaps; "
        f"echo $SPOOLQ_JOB_ID >> {place}/ran"
    )


def ran(place):
    return sorted((place / "ran").read_text().split())


def test_several_workers_run_many_jobs_and_none_twice(queue, spool, start_worker, tmp_path):
    workers = [start_worker("-n", "3") for _ in range(3)]
    ids = queue.enqueue_many([{"command": exclusive(tmp_path)} for _ in range(300)])
    wait_until(lambda: len(entries(spool, "completed")) == 300, "all jobs")
    assert ran(tmp_path) == sorted(ids)
    assert not (tmp_path / "overlaps").exists()
    by = {runs["worker"] for runs in histories(spool, "completed")}
    assert by == {worker_of(worker, spool) for worker in workers}


def histories(spool, state):
    for entry in entries(spool, state):
        data = spool.dir(state).read(entry, MAX_FILE)[0]
        yield from json.loads(data)["history"]


def test_with_workers_killed_meanwhile_all_jobs_run_and_never_one_beside_itself(
    queue, spool, start_worker, tmp_path
):
    victims = [start_worker("-n", "2") for _ in range(2)]
    start_worker("-n", "2")
    text = exclusive(tmp_path) + "; sleep 0.05"
    ids = queue.enqueue_many([{"command": text} for _ in range(80)])
    for number, victim in enumerate(victims, 1):
        wait_until(lambda n=number: len(entries(spool, "completed")) > n * 10, "some jobs")
        name = worker_of(victim, spool)
        wait_until(lambda w=name: any(c.worker == w for c in claims(spool)), "a claim of it")
        kill(victim)
    wait_until(lambda: len(entries(spool, "completed")) == 80, "all jobs")
    assert not (tmp_path / "overlaps").exists()
    assert set(ran(tmp_path)) == set(ids)
    lost = [run for run in histories(spool, "completed") if run.get("error") == "worker lost"]
    assert len(ran(tmp_path)) <= 80 + len(lost)


# --- asked to leave -------------------------------------------------------------------------------


@pytest.fixture
def busy(queue, spool, start_worker, tmp_path):
    """A worker in the middle of a job that ends when the gate is there, and one more that waits."""

    def start(start=start_worker):
        busy.ids = [queue.enqueue(waits_for(busy.gate)), queue.enqueue("true")]
        worker = start()
        wait_until(lambda: claims(spool), "the claim")
        return worker

    busy = start
    busy.gate = tmp_path / "gate"
    return busy


@pytest.mark.parametrize("how", ["SIGTERM", "SIGINT", "SIGHUP", "worker stop"])
def test_asked_to_stop_a_worker_finishes_what_runs_and_takes_nothing_new(busy, spool, run_cli, how):
    worker = busy()
    asker = None
    if how.startswith("SIG"):
        worker.send_signal(getattr(signal, how))
    else:
        asker = subprocess.Popen(
            [sys.executable, "-m", "spoolq", "--spool", spool.path, *how.split()],
            env=environment(),
            stderr=subprocess.DEVNULL,
        )
    wait_until(lambda: said(worker, "stopping"), "the answer")
    assert worker.poll() is None
    assert asker is None or asker.poll() is None
    busy.gate.write_text("")
    assert worker.wait(60) == 0
    assert asker is None or asker.wait(60) == 0
    first, second = busy.ids
    await_state(spool, first, "completed")
    await_state(spool, second, "pending")
    assert spool.dir("workers").list() == []


def test_a_second_signal_ends_what_runs_and_the_job_waits_as_before(busy, spool):
    worker = busy()
    claim = claims(spool)[0]
    worker.send_signal(signal.SIGTERM)
    wait_until(lambda: said(worker, "stopping"), "the answer")
    begun = time.monotonic()
    wait_until(lambda: time.monotonic() - begun > 1.1, "a second later")
    worker.send_signal(signal.SIGTERM)
    assert worker.wait(60) == 0
    first, second = busy.ids
    name = await_state(spool, first, "pending")
    assert (name.attempt, name.id) == (0, claim.id)
    assert name.stamp < claim.stamp  # the time at which it was enqueued, not claimed
    assert runs(spool, first) == ["interrupted"]


def test_stop_now_ends_what_runs_whole(queue, spool, start_worker, run_cli, tmp_path):
    place = tmp_path / "pid"
    job_id = queue.enqueue(leaves(place, "session"))
    before = entries(spool, "pending")
    worker = start_worker()
    child = pid_in(place)
    run_cli("worker", "stop", "--now")
    assert worker.wait(60) == 0
    assert not is_alive(child)
    assert entries(spool, "pending") == before
    assert runs(spool, job_id) == ["interrupted"]


def test_a_hangup_that_is_ignored_as_under_nohup_is_ignored(busy, spool, tmp_path):
    def start_under_nohup():
        log = open(tmp_path / "log", "w")
        words = [sys.executable, "-m", "spoolq", "--spool", spool.path, "worker", "start"]
        process = subprocess.Popen(
            ["sh", "-c", 'trap "" HUP; exec "$@"', "sh", *words],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=environment(),
        )
        log.close()
        process.log_path = log.name
        return process

    worker = busy(start_under_nohup)
    try:
        worker.send_signal(signal.SIGHUP)
        busy.gate.write_text("")
        for job_id in busy.ids:
            await_state(spool, job_id, "completed")
        assert not said(worker, "stopping")
        worker.send_signal(signal.SIGTERM)
        assert worker.wait(60) == 0
    finally:
        worker.kill()
        worker.wait()


def test_what_a_stopped_worker_put_back_runs_in_the_next_one(busy, spool, start_worker, run_cli):
    worker = busy()
    run_cli("worker", "stop", "--now")
    assert worker.wait(60) == 0
    busy.gate.write_text("")
    assert start_worker("--drain").wait(60) == 0
    first, second = busy.ids
    assert await_state(spool, first, "completed").attempt == 1
    assert runs(spool, first) == ["interrupted", 0]
    assert runs(spool, second) == [0]

"""Tickets: one alone starts a run, or makes sure that nobody does."""

import os
import threading

import pytest

from spoolq import locks
from spoolq.executors.batch.tickets import State, Tickets, stem
from spoolq.names import Name
from tests.conftest import wait_until

TICKET = "k3v9.a1.20261124T020646123456Z"
ME = {"host": "node7", "pid": 4711, "native": "99"}


@pytest.fixture
def tickets(spool):
    return Tickets(spool)


def test_a_ticket_is_named_as_its_claim_is_whatever_worker_has_it():
    claim = Name("20261124T020646123456Z", 5, 1, "k3v9", "web-1-abc", "slurm_0")
    assert stem(claim) == TICKET
    assert stem(claim._replace(worker="web-2-xyz", slot="slurm_4")) == TICKET


def test_a_ticket_is_started_once(tickets):
    tickets.write(TICKET, {"job": "x"})
    started = tickets.start(TICKET, ME)
    assert started.facts == {"job": "x"}
    assert tickets.starter(TICKET) == ME
    assert tickets.look(TICKET) is State.STARTED
    assert tickets.start(TICKET, ME) is None
    os.close(started.lock)


def test_of_many_who_start_a_ticket_one_wins(tickets):
    tickets.write(TICKET, {})
    won = []
    threads = [
        threading.Thread(target=lambda: won.append(tickets.start(TICKET, ME))) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [one is not None for one in won].count(True) == 1


def test_a_forbidden_ticket_never_starts(tickets):
    tickets.write(TICKET, {})
    assert tickets.forbid(TICKET) is State.VOID
    assert tickets.start(TICKET, ME) is None
    assert tickets.forbid(TICKET) is State.VOID


def test_a_started_ticket_cannot_be_forbidden(tickets):
    tickets.write(TICKET, {})
    started = tickets.start(TICKET, ME)
    assert tickets.forbid(TICKET) is State.STARTED
    assert tickets.look(TICKET) is State.STARTED
    os.close(started.lock)


def test_a_claim_without_a_ticket_is_over(tickets):
    assert tickets.forbid(TICKET) is State.VOID
    assert tickets.look(TICKET) is State.VOID
    assert tickets.start(TICKET, ME) is None


def test_a_ticket_is_locked_before_it_is_started(tickets, monkeypatch):
    tickets.write(TICKET, {})
    seen = []

    def rename(name, target, new_name):
        descriptor = tickets._dir.open_lock(name)
        seen.append(locks.try_lock(descriptor, shared=True))
        os.close(descriptor)
        os.rename(name, new_name, src_dir_fd=tickets._dir.fd, dst_dir_fd=target.fd)

    monkeypatch.setattr(tickets._dir, "rename", rename)
    started = tickets.start(TICKET, ME)
    assert seen == [False]
    assert tickets.is_held(TICKET)
    os.close(started.lock)
    assert not tickets.is_held(TICKET)


def test_a_ticket_that_is_forbidden_while_it_is_locked_does_not_start(tickets, monkeypatch):
    tickets.write(TICKET, {})
    monkeypatch.setattr(
        "spoolq.executors.batch.tickets._locked",
        lambda descriptor: tickets.forbid(TICKET) is State.VOID,
    )
    assert tickets.start(TICKET, ME) is None
    assert tickets.look(TICKET) is State.VOID


def test_a_ticket_without_locks_is_started_by_the_rename_alone(tickets, monkeypatch):
    def no_locks(descriptor, shared=False):
        raise OSError(37, "no locks available")

    monkeypatch.setattr(locks, "try_lock", no_locks)
    tickets.write(TICKET, {})
    assert tickets.start(TICKET, ME) is not None
    assert tickets.start(TICKET, ME) is None
    assert not tickets.is_held(TICKET)


def test_a_look_sees_a_ticket_that_moves_on(tickets, monkeypatch):
    tickets.write(TICKET, {})
    has = tickets._dir.has

    def moving(name):
        found = has(name)
        if name.endswith(".ready"):
            tickets._dir.rename(f"{TICKET}.ready", tickets._dir, f"{TICKET}.started")
        return found

    monkeypatch.setattr(tickets._dir, "has", moving)
    assert tickets.look(TICKET) is State.STARTED


def test_an_end_is_kept_whole_and_synced(tickets, monkeypatch):
    synced = []
    monkeypatch.setattr("spoolq.fsio.sync_data", synced.append)
    tickets.write(TICKET, {})
    assert synced == []
    os.close(tickets.start(TICKET, ME).lock)
    tickets.finish(TICKET, {"exit_code": 3})
    assert len(synced) == 1
    assert tickets.look(TICKET) is State.ENDED
    assert tickets.end(TICKET) == {"exit_code": 3}
    assert tickets.all() == {TICKET: State.ENDED}


def test_an_end_that_broke_off_is_written_anew(tickets):
    tickets.write(TICKET, {})
    os.close(tickets.start(TICKET, ME).lock)
    tickets._dir.write(f"{TICKET}.making", b"{half", sync=False)
    tickets.finish(TICKET, {"exit_code": 0})
    assert tickets.end(TICKET) == {"exit_code": 0}


def test_what_is_no_end_is_none(tickets):
    tickets._dir.write(f"{TICKET}.ended", b"[1]", sync=False)
    assert tickets.end(TICKET) == {}
    os.mkfifo(os.path.join(tickets.path, "x.a1.20261124T020646123456Z.ended"))
    assert tickets.end("x.a1.20261124T020646123456Z") == {}


def test_a_ticket_is_swept_at_the_second_look(tickets, spool):
    tickets.write(TICKET, {})
    mine = "mine.a1.20261124T020646123456Z"
    tickets.write(mine, {})
    stranger = os.path.join(tickets.path, "notes.txt")
    open(stranger, "w").close()
    claim = "20261124T020646123456Z.p5.a1.mine@web-1-abc.slurm_0.json"
    os.close(spool.dir("processing").create(claim))
    tickets.sweep()
    assert tickets.look(TICKET) is State.READY
    tickets.sweep()
    assert tickets.look(TICKET) is State.NONE
    assert tickets.look(mine) is State.READY
    assert os.path.exists(stranger)


def test_a_ticket_that_waits_for_a_lock_gets_it(tickets):
    tickets.write(TICKET, {})
    descriptor = tickets._dir.open_lock(f"{TICKET}.ready")
    assert locks.try_lock(descriptor)
    won = []
    thread = threading.Thread(target=lambda: won.append(tickets.start(TICKET, ME)))
    thread.start()
    assert not won
    os.close(descriptor)
    wait_until(lambda: won, "the start")
    assert won[0] is not None
    os.close(won[0].lock)
    thread.join()

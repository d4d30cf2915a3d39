"""The one place where a worker sleeps."""

import os
import signal
import threading

import pytest

from spoolq.bell import Bell


@pytest.fixture
def bell():
    made = Bell()
    yield made
    made.close()


def test_a_rung_bell_ends_the_sleep(bell):
    bell.ring()
    bell.wait(None)
    assert bell.rang()


def test_it_rang_once_however_often_it_was_rung(bell):
    for _ in range(3):
        bell.ring()
    bell.wait(None)
    assert bell.rang()
    assert not bell.rang()
    bell.wait(0)
    assert not bell.rang()


def test_who_is_woken_for_what_it_asked_for_does_not_take_it_for_a_ring(bell):
    bell.wake()
    bell.wait(None)
    assert not bell.rang()
    bell.wake()
    bell.ring()
    bell.wake()
    bell.wait(None)
    assert bell.rang()


def test_a_silent_bell_sleeps_no_longer_than_asked(bell):
    bell.wait(0)
    assert not bell.rang()


def test_another_thread_may_ring(bell):
    ringer = threading.Thread(target=bell.ring)
    ringer.start()
    bell.wait(None)
    ringer.join()
    assert bell.rang()


def test_ringing_faster_than_anyone_listens_does_no_harm(bell):
    for _ in range(100_000):
        bell.ring()
    bell.wait(None)
    assert bell.rang()
    bell.wait(0)
    assert not bell.rang()


def test_a_readable_descriptor_ends_the_sleep_and_is_told(bell):
    reading, writing = os.pipe()
    told = []
    bell.watch(reading, lambda: told.append("readable"))
    os.write(writing, b"x")
    bell.wait(None)
    assert told == ["readable"]
    assert not bell.rang()
    bell.forget(reading)
    bell.wait(0)
    assert told == ["readable"]
    os.close(reading)
    os.close(writing)


def test_a_bell_and_a_descriptor_may_be_ready_at_once(bell):
    reading, writing = os.pipe()
    told = []
    bell.watch(reading, lambda: told.append("readable"))
    os.close(writing)
    bell.ring()
    bell.wait(None)
    assert told == ["readable"]
    assert bell.rang()
    bell.forget(reading)
    os.close(reading)


@pytest.mark.skipif(not hasattr(signal, "SIGUSR1"), reason="there is no such signal")
def test_a_signal_with_a_handler_rings(bell):
    before = signal.signal(signal.SIGUSR1, lambda *_: None)
    waker = signal.set_wakeup_fd(-1)
    try:
        bell.rings_on_signals()
        os.kill(os.getpid(), signal.SIGUSR1)
        bell.wait(None)
        assert bell.rang()
    finally:
        signal.set_wakeup_fd(waker)
        signal.signal(signal.SIGUSR1, before)


def test_ringing_a_bell_that_is_gone_is_harmless():
    bell = Bell()
    bell.close()
    bell.ring()


def test_what_is_told_is_heard_once_and_in_order(bell):
    for name in ("a", "b", "c"):
        bell.tell(name)
    bell.wait(None)
    assert (bell.told(), bell.told(), bell.rang()) == (["a", "b", "c"], [], False)
    bell.tell("d")
    bell.wait(None)
    assert bell.told() == ["d"]


def test_of_many_that_are_told_in_a_row_the_first_wakes_for_them_all(bell, monkeypatch):
    """Each wake is a system call of watchdog's thread, whose queue must not grow meanwhile."""
    sent = []
    monkeypatch.setattr(bell, "_send", sent.append)
    for number in range(1000):
        bell.tell(str(number))
    assert len(sent) == 1


def test_what_is_told_while_the_sleeper_asks_is_heard(bell):
    """A thread tells names while the loop sleeps and asks: none may be left with nobody awake."""
    wanted, heard = 20_000, []
    teller = threading.Thread(target=lambda: [bell.tell(str(n)) for n in range(wanted)])
    teller.start()
    while len(heard) < wanted:
        bell.wait(600)
        told = bell.told()
        heard += told
    teller.join()
    assert heard == [str(number) for number in range(wanted)]

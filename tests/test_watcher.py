"""File events ring the bell; what breaks them is mended, or said once."""

import errno
import os
import shutil
import threading
import time

import pytest

from spoolq import logs, platform, watcher
from spoolq.watcher import Watcher
from tests.conftest import DEADLINE, wait_until

pytestmark = pytest.mark.skipif(not platform.LINUX, reason="inotify")


class Rings:
    """Counts rings, and waits for the next."""

    def __init__(self):
        self._condition = threading.Condition()
        self.count = 0
        self.told = []

    def __call__(self):
        with self._condition:
            self.count += 1
            self._condition.notify_all()

    def tell(self, filename):
        self.told.append(filename)
        self()

    def after(self, action):
        """Do something and return the seconds until the next ring."""
        with self._condition:
            before = self.count
            begun = time.monotonic()
            action()
            rang = self._condition.wait_for(lambda: self.count > before, DEADLINE)
            assert rang, "nothing rang"
            return time.monotonic() - begun

    def quiet(self):
        """Wait until what was under way has rung."""
        with self._condition:
            while self._condition.wait(0.2):
                pass


@pytest.fixture(autouse=True)
def _warnings_are_seen(monkeypatch):
    monkeypatch.setattr(logs.logger, "propagate", True)


@pytest.fixture
def rings():
    return Rings()


@pytest.fixture
def pending(tmp_path):
    (tmp_path / "tmp").mkdir()
    (tmp_path / "processing").mkdir()
    place = tmp_path / "pending"
    place.mkdir()
    return place


@pytest.fixture
def watching(pending, rings):
    watching = Watcher(str(pending), rings, rings.tell)
    watching.start()
    yield watching
    watching.stop()


def new_file(pending, name):
    path = pending.parent / "tmp" / name
    path.write_text("x")
    return path


def arrive(pending, name):
    os.rename(new_file(pending, name), pending / name)


# --- what rings -----------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["rename", "link", "create", "link_to_nowhere", "directory"])
def test_an_arrival_rings(pending, rings, watching, how):
    made = new_file(pending, "x")
    actions = {
        "rename": lambda: os.rename(made, pending / "x"),
        "link": lambda: os.link(made, pending / "x"),
        "create": lambda: (pending / "x").write_text("y"),
        "link_to_nowhere": lambda: os.symlink("nowhere", pending / "x"),
        "directory": lambda: (pending / "x").mkdir(),
    }
    rings.after(actions[how])


def test_the_end_of_a_write_rings(pending, rings, watching):
    with open(pending / "x", "w") as file:
        file.write("half")
        file.flush()
        rings.quiet()
        rings.after(file.close)


def test_each_of_many_arrivals_rings(pending, rings, watching):
    for number in range(20):
        rings.after(lambda number=number: arrive(pending, f"x{number}"))


# --- a claim does not delay what comes after it ---------------------------------------------------


def delay_after_claims(pending, rings):
    """Return the shortest time from an arrival right after a claim to its ring, of a few."""
    delays = []
    for number in range(3):
        arrive(pending, f"claimed{number}")
        rings.quiet()

        def claim_and_arrive(number=number):
            os.rename(pending / f"claimed{number}", pending.parent / "processing" / f"x{number}")
            arrive(pending, f"next{number}")

        delays.append(rings.after(claim_and_arrive))
        rings.quiet()
    return min(delays)


def test_a_claim_does_not_hold_up_the_ring_for_what_arrives_next(pending, rings, monkeypatch):
    """Beside it, in the same run, the plain observer: it waits for the move's other half."""
    ours = Watcher(str(pending), rings, rings.tell)
    ours.start()
    with_ours = delay_after_claims(pending, rings)
    ours.stop()
    for directory in (pending, pending.parent / "processing"):
        for entry in directory.iterdir():
            entry.unlink()
    monkeypatch.setattr(watcher, "_arrivals_observer", lambda arrived: None)
    plain = Watcher(str(pending), rings, rings.tell)
    plain.start()
    with_plain = delay_after_claims(pending, rings)
    plain.stop()
    assert with_plain > 3 * with_ours, (with_plain, with_ours)


def test_a_claim_does_not_ring(pending, rings, watching):
    arrive(pending, "x")
    rings.quiet()
    before = rings.count
    os.rename(pending / "x", pending.parent / "processing" / "x")
    rings.after(lambda: arrive(pending, "y"))
    rings.quiet()
    assert rings.count - before <= 2  # of the arrival alone


# --- what breaks ----------------------------------------------------------------------------------


def test_a_directory_that_was_replaced_is_watched_anew(pending, rings, watching):
    os.rename(pending, pending.parent / "old")
    pending.mkdir()
    rings.after(watching.check)  # something may have arrived meanwhile
    rings.quiet()
    rings.after(lambda: arrive(pending, "x"))


def test_a_directory_that_was_removed_and_made_again_is_watched_anew(pending, rings, watching):
    shutil.rmtree(pending)
    pending.mkdir()
    rings.quiet()
    rings.after(watching.check)
    rings.quiet()
    rings.after(lambda: arrive(pending, "x"))


def test_a_dead_emitter_is_replaced(pending, rings, watching):
    emitter = next(iter(watching._observer.emitters))
    emitter.stop()
    emitter.join(DEADLINE)
    wait_until(lambda: not emitter.is_alive(), "its end")
    rings.after(watching.check)
    rings.quiet()
    rings.after(lambda: arrive(pending, "x"))


def test_a_dead_observer_is_replaced(pending, rings, watching):
    observer = watching._observer
    observer.stop()
    observer.join(DEADLINE)
    rings.after(watching.check)
    rings.quiet()
    rings.after(lambda: arrive(pending, "x"))


def test_a_look_at_what_works_changes_nothing(pending, rings, watching):
    observer = watching._observer
    for _ in range(3):
        watching.check()
    assert watching._observer is observer
    assert rings.count == 0


def test_nothing_rings_after_the_end(pending, rings, watching):
    watching.stop()
    arrive(pending, "x")
    rings.quiet()
    assert rings.count == 0
    watching.stop()


# --- where there are no events --------------------------------------------------------------------


@pytest.mark.parametrize("code", [errno.EMFILE, errno.ENOSPC])
def test_a_limit_of_inotify_is_said_once_and_the_worker_polls(
    pending, rings, caplog, monkeypatch, code
):
    def refuse(*_):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(watcher, "_observe", refuse)
    watching = Watcher(str(pending), rings, rings.tell)
    for _ in range(3):
        watching.start()
        watching.check()
    watching.stop()
    warnings = [record.getMessage() for record in caplog.records]
    assert len(warnings) == 1
    assert os.strerror(code) in warnings[0] and "once a second" in warnings[0]


def test_a_network_filesystem_is_not_watched_and_that_is_said(pending, rings, caplog, monkeypatch):
    monkeypatch.setattr(platform, "network_filesystem", lambda path: "nfs4")
    watching = Watcher(str(pending), rings, rings.tell)
    watching.start()
    watching.check()
    assert ["nfs4" in record.getMessage() for record in caplog.records] == [True]
    arrive(pending, "x")
    rings.quiet()
    assert rings.count == 0


def test_a_directory_that_is_not_there_is_no_reason_to_fail(tmp_path, rings, caplog):
    watching = Watcher(str(tmp_path / "gone"), rings, rings.tell)
    watching.start()
    watching.check()
    watching.stop()
    assert len(caplog.records) == 1


def test_where_the_subclass_cannot_be_made_the_plain_observer_serves(pending, rings, monkeypatch):
    monkeypatch.setattr(watcher, "_arrivals_observer", lambda arrived: None)
    watching = Watcher(str(pending), rings, rings.tell)
    watching.start()
    rings.after(lambda: arrive(pending, "x"))
    watching.stop()

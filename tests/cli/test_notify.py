"""What a worker tells its service manager."""

import os
import socket

import pytest

from spoolq import notify
from tests.conftest import wait_until


class Manager:
    """A service manager that listens."""

    def __init__(self, address):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(address)
        self.socket.setblocking(False)
        self.told = []

    def hear(self):
        while True:
            try:
                self.told.append(self.socket.recv(100).decode("ascii"))
            except BlockingIOError:
                return self.told


@pytest.fixture
def manager(tmp_path):
    found = Manager(str(tmp_path / "notify"))
    yield found
    found.socket.close()


def test_a_worker_says_that_it_is_ready_lives_and_leaves(manager, tmp_path, spool, start_worker):
    worker = start_worker(env={"NOTIFY_SOCKET": str(tmp_path / "notify")})
    wait_until(lambda: manager.hear()[:1] == ["READY=1"])
    assert len(os.listdir(os.path.join(spool.path, "workers"))) == 1
    wait_until(lambda: manager.hear().count("WATCHDOG=1") > 1)
    worker.terminate()
    wait_until(lambda: (manager.hear(), worker.poll())[1] is not None)
    assert worker.returncode == 0
    assert manager.hear()[-1] == "STOPPING=1"


def test_no_command_speaks_in_the_name_of_its_worker(tmp_path, spoolq, start_worker):
    told = {"NOTIFY_SOCKET": "/nowhere", "WATCHDOG_USEC": "1000000", "WATCHDOG_PID": "1"}
    job_id = spoolq("enqueue", "env").out.strip()
    assert start_worker("--drain", env=told).wait(60) == 0
    printed = spoolq("logs", job_id).out
    assert "SPOOLQ_JOB_ID=" in printed
    assert not any(name in printed for name in told)


@pytest.mark.skipif(not os.path.exists("/proc"), reason="abstract sockets are Linux's alone")
def test_an_abstract_address_is_heard_too():
    address = f"spoolq-test-{os.getpid()}"
    manager = Manager("\0" + address)
    notify.teller({"NOTIFY_SOCKET": "@" + address})(notify.READY)
    assert manager.hear() == ["READY=1"]
    manager.socket.close()


@pytest.mark.parametrize("address", ["", "vsock:2:1234", "relative", "/nowhere/at/all", "/a\0b"])
def test_a_manager_that_is_not_there_is_told_nothing(address):
    notify.teller({"NOTIFY_SOCKET": address})(notify.READY)


def test_a_manager_that_does_not_listen_holds_up_nothing(tmp_path):
    manager = Manager(str(tmp_path / "notify"))
    tell = notify.teller({"NOTIFY_SOCKET": str(tmp_path / "notify")})
    for _ in range(10_000):
        tell(notify.ALIVE)
    assert manager.hear()
    manager.socket.close()

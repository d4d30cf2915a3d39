"""A Dask cluster of real processes, any of which may be killed at any moment."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

from tests.conftest import REPOSITORY, environment, wait_until


def free_port():
    """Return a port of this machine that nothing listens on."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


class Cluster:
    """A scheduler and workers, each with a log in `directory`."""

    def __init__(self, directory):
        self.directory = Path(directory)
        self.directory.mkdir(exist_ok=True)
        self.port = free_port()
        self.address = f"tcp://127.0.0.1:{self.port}"
        self.scheduler = None
        self.workers = []
        self._count = 0

    def start(self, workers=1, **options):
        """Start the scheduler, and so many workers with options of `add`."""
        self.start_scheduler()
        for _ in range(workers):
            self.add(**options)
        return self

    def start_scheduler(self, path=""):
        """Start a scheduler, where the last one was; `path` is as for `add`."""
        listens = ["--host", "127.0.0.1", "--port", str(self.port), "--no-dashboard"]
        self.scheduler = self._process("scheduler", *listens, path=path)
        wait_until(lambda: self._is_there() or self.scheduler.poll() is not None, "a scheduler")
        assert self.scheduler.poll() is None, "the scheduler has ended"

    def add(self, threads=1, nanny=False, resources=None, hidden=None, preload=None, path=""):
        """Start a worker.

        Args:
            resources: as Dask wants them: gpu=1.
            hidden: a directory in the place of which it sees an empty one.
            preload: a module that it imports first.
            path: a directory in which it finds modules before all others.
        """
        options = ["--nthreads", str(threads), "--no-dashboard", "--host", "127.0.0.1"]
        options += ["--nanny" if nanny else "--no-nanny", "--death-timeout", "60"]
        options += ["--local-directory", str(self.directory)]
        options += ["--resources", resources] if resources else []
        options += ["--preload", preload] if preload else []
        worker = self._process("worker", self.address, *options, hidden=hidden, path=path)
        worker.has_nanny = nanny
        self.workers.append(worker)
        return worker

    def kill_scheduler(self):
        """Kill the scheduler, as kill -9 does."""
        self.scheduler.kill()
        self.scheduler.wait()

    def stop(self):
        """Kill all of it."""
        for process in [*self.workers, self.scheduler]:
            if process is not None and process.poll() is None:
                for pid in [process.pid, *children_of(process.pid)]:
                    try:
                        os.kill(pid, signal.SIGKILL)
                    except ProcessLookupError:
                        pass
                process.wait()

    def _is_there(self):
        with socket.socket() as asked:
            return asked.connect_ex(("127.0.0.1", self.port)) == 0

    def _process(self, what, *options, hidden=None, path=""):
        self._count += 1
        with open(self.directory / f"{what}.{self._count}.log", "wb") as log:
            words = [sys.executable, "-m", "dask", what, *options]
            if hidden is not None:
                covered = 'mount -t tmpfs none "$0" && exec "$@"'
                words = ["unshare", "--mount", "sh", "-c", covered, str(hidden), *words]
            return subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=environment(PYTHONPATH=os.pathsep.join(filter(None, [path, str(REPOSITORY)]))),
                cwd=self.directory,
            )


def children_of(pid):
    """Return the children of a process: of a nanny, its worker and what helps that."""
    try:
        tasks = os.listdir(f"/proc/{pid}/task")
    except FileNotFoundError:
        return []
    found = []
    for task in tasks:
        try:
            text = Path(f"/proc/{pid}/task/{task}/children").read_text(encoding="ascii")
        except (FileNotFoundError, ProcessLookupError):
            continue
        found += [int(word) for word in text.split()]
    return found

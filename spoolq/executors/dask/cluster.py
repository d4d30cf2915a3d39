"""A Dask cluster of this machine, for `--local N`: a scheduler and N worker processes.

It is a process of its own, so that its event loop does not share the worker's interpreter, and in a
session of its own, so that Ctrl+C, which lets what runs finish, does not end it. It says where its
scheduler listens, and leaves when whoever started it is gone.
"""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from typing import Dict, Optional

from spoolq import config
from spoolq.processes import COOKIE


class Local:
    """A cluster of so many processes, started when it is first needed, and when it has died."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._process: Optional[subprocess.Popen[bytes]] = None
        self._address = ""

    def where(self) -> Dict[str, str]:
        """Return where its scheduler is, as a client wants to be told.

        Raises:
            OSError: it did not start.
        """
        if self._process is None or self._process.poll() is not None:
            self.close()
            self._start()
        return {"address": self._address}

    def close(self) -> None:
        """Let it go, and wait until it is gone."""
        process, self._process = self._process, None
        if process is not None:
            assert process.stdin is not None and process.stdout is not None
            process.stdin.close()
            process.wait()
            process.stdout.close()

    def _start(self) -> None:
        environment = {name: text for name, text in config.environment().items() if name != COOKIE}
        environment["DASK_LOGGING__DISTRIBUTED"] = "critical"  # the worker says what matters
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, sys.path))
        self._process = subprocess.Popen(
            [sys.executable, "-m", __name__, str(self._count)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            start_new_session=True,
            env=environment,
        )
        assert self._process.stdout is not None
        self._address = self._process.stdout.readline().decode("ascii").strip()
        if not self._address:
            raise OSError("the local cluster did not start; why it has said above")


async def _serve(count: int) -> None:
    from distributed import LocalCluster

    async with LocalCluster(
        n_workers=count,
        threads_per_worker=1,
        processes=True,
        asynchronous=True,
        dashboard_address=None,
        host="127.0.0.1",
        silence_logs=True,
    ) as cluster:
        os.write(1, cluster.scheduler_address.encode("ascii") + b"\n")
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, sys.stdin.buffer.read)


if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    asyncio.run(_serve(int(sys.argv[1])))

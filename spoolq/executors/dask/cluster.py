"""A Dask cluster of this machine, for `--local N`: a scheduler and N worker processes.

It is a process of its own, so that its event loop does not share the worker's interpreter, and in a
session of its own, so that Ctrl+C, which lets what runs finish, does not end it. It says where its
scheduler listens, and leaves when whoever started it is gone.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import subprocess
import sys
from typing import Dict, Optional

from spoolq.executors.dask import beside


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
        # Of what Dask would say, the worker itself says what matters.
        quiet = {"DASK_LOGGING__DISTRIBUTED": "critical"}
        words = [str(self._count), os.getcwd()]
        self._process = beside.start(__name__, *words, output=subprocess.PIPE, **quiet)
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
        dashboard_address="127.0.0.1:0",
        host="127.0.0.1",
        silence_logs=logging.CRITICAL,
    ) as cluster:
        os.write(1, cluster.scheduler_address.encode("ascii") + b"\n")
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(None, sys.stdin.buffer.read)


if __name__ == "__main__":
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    os.chdir(sys.argv[2])  # where commands run whose jobs do not say where
    asyncio.run(_serve(int(sys.argv[1])))

"""Starts a module of spoolq's as a process that lives as long as whoever started it.

It reads from a pipe that closes when that one is gone. It is in a session of its own, where no
Ctrl+C reaches it, and carries no claim, where its starter was started by a job itself.
"""

from __future__ import annotations

import os
import subprocess
import sys

from spoolq import config
from spoolq.processes import COOKIE


def start(module: str, *arguments: str, output: int, **variables: str) -> subprocess.Popen[bytes]:
    """Start a module with arguments, and variables over those of this process."""
    inherited = {name: text for name, text in config.environment().items() if name != COOKIE}
    path = {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=output,
        bufsize=0,
        cwd="/",
        env={**inherited, **path, **variables},
        start_new_session=True,
    )

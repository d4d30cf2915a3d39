"""Where faulty things are done, and by whom: in memory, and by a child that may die."""

import json
import os
import shutil
import subprocess
import tempfile
import traceback
from typing import Any, Callable, List

_DEAD = 77


def scratch() -> str:
    """Return where spools are made: in memory where the system has such a place, for speed."""
    memory = "/dev/shm"
    return memory if os.access(memory, os.W_OK | os.X_OK) else tempfile.gettempdir()


def install(*packages: str) -> None:
    """Install Debian's packages where root may and was asked to: SPOOLQ_TEST_INSTALL=1."""
    if os.environ.get("SPOOLQ_TEST_INSTALL") != "1" or shutil.which("apt-get") is None:
        return
    quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for words in (["update"], ["install", "-y", "--no-install-recommends", *packages]):
        # Of several campaigns that install at a time each waits for its turn.
        apt = ["flock", os.path.join(tempfile.gettempdir(), "spoolq-apt"), "apt-get", "-qq"]
        subprocess.run([*apt, *words], env=quiet, stdout=subprocess.DEVNULL)


def in_child(work: Callable[[Callable[..., None], Callable[[], None]], None]) -> List[List[Any]]:
    """Run `work(tell, die)` in a child; return what it told until it ended or died."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            os.close(reader)

            def tell(*event: Any) -> None:
                os.write(writer, (json.dumps(event) + "\n").encode("utf-8"))

            try:
                work(tell, lambda: os._exit(_DEAD))
            except BaseException:
                tell("crashed", traceback.format_exc())
            code = 0
        finally:
            os._exit(code)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        lines = pipe.read().splitlines()
    _, status = os.waitpid(pid, 0)
    events = [json.loads(line) for line in lines]
    if os.WEXITSTATUS(status) == _DEAD:
        events.append(["died"])
    return events

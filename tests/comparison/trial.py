"""Tries a cell: types its lines into a shell, in a directory of its own, and looks at what came.

A trial ends within a bound, and takes everything that it has started along: whatever is in its
directory, or has its mark in the environment, is killed, however far it went. That is for Linux.
"""

import contextlib
import importlib.util
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple, Tuple

from tests.comparison.cells import Cell, Tool

#: Seconds for one trial.
BOUND = 60.0
#: Trials type in here, whatever it is called in truth.
PLACE = "/tmp/trial"
#: Where the Python that runs this is, likewise.
VENV = "/tmp/venv/bin"
_MARK = "SPOOLQ_COMPARISON"
#: What trials may call besides; docs/features.md says what these do.
_HELPERS = f"""
until_so() {{ # COMMAND...: wait until it succeeds, for ten seconds at most, or $within
    local n; for n in $(seq ${{within:-10}}0); do "$@" >/dev/null 2>&1 && return; sleep 0.1; done
    echo "gave up waiting for: $*"; return 1; }}
_own() {{ {{ grep -lz "^{_MARK}=${_MARK}$" /proc/[0-9]*/environ
          find /proc/[0-9]* -maxdepth 1 -name cwd -lname "$HOME*"
       }} 2>/dev/null | cut -d/ -f3 | sort -u; }}
kill_everything() {{ # kill -9 all that the trial has started
    local pid; for pid in $(_own); do [ $pid = $$ ] || kill -9 $pid 2>/dev/null; done
    sleep 0.2; }}
alive() {{ # PATTERN: the commands of this trial that live and are of that pattern
    local pid; for pid in $(_own); do tr '\\0' ' ' 2>/dev/null </proc/$pid/cmdline; echo; done |
        sed 's/ $//' | grep -xE "$1"; }}
"""


class Outcome(NamedTuple):
    """What came of a trial: what was printed, and what of it was missing if it does not hold."""

    printed: str
    missing: List[str]

    @property
    def holds(self) -> bool:
        return not self.missing


def lacking(tool: Tool) -> List[str]:
    """Return the programs and modules of Python that the tool needs and that are not here."""
    here = os.path.dirname(sys.executable)
    path = os.pathsep.join((here, os.environ.get("PATH", os.defpath)))
    return [
        need
        for need in tool.needs
        if not shutil.which(need, path=path) and not importlib.util.find_spec(need)
    ]


def version(tool: Tool) -> str:
    """Return what the tool says its version is."""
    with place() as (where, environment):
        words = ["bash", "-c", tool.version]
        found = subprocess.run(
            words, cwd=where, env=environment, capture_output=True, text=True, timeout=BOUND
        )
    return found.stdout.strip()


def attempt(tool: Tool, cell: Cell) -> Outcome:
    """Try a cell and return what came of it."""
    with place() as (where, environment):
        before = f"{{\n:\n{tool.before}\n}} >before.log 2>&1\n"
        printed = _type(f"{_HELPERS}{before}{cell.run}\n", where, environment, cell.takes or BOUND)
    missing = [pattern for pattern in cell.shows if not re.search(pattern, printed, re.M)]
    printed = printed.replace(where, PLACE).replace(os.path.dirname(sys.executable), VENV)
    return Outcome(printed, missing)


@contextlib.contextmanager
def place() -> Iterator[Tuple[str, Dict[str, str]]]:
    """Give a directory and an environment to try something in; end what was started there."""
    mark = uuid.uuid4().hex
    where = os.path.realpath(tempfile.mkdtemp(prefix="trial-"))
    # Beside the Python that runs this are the programs of what is installed for it.
    path = os.pathsep.join((os.path.dirname(sys.executable), os.defpath))
    environment = {
        **{"PATH": path, "HOME": where, "TMPDIR": where, "PYTHONPATH": where, _MARK: mark},
        **{
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            "COLUMNS": "100",
            "MANWIDTH": "100",
            "SHELL": "/bin/bash",
        },
    }
    try:
        yield where, environment
    finally:
        _end(where, mark)
        shutil.rmtree(where, ignore_errors=True)


def _type(script: str, where: str, environment: Dict[str, str], bound: float) -> str:
    # Into a file: what is left running would hold a pipe open.
    with tempfile.TemporaryFile() as output:
        shell = subprocess.Popen(
            ["bash", "-c", script],
            cwd=where,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            shell.wait(bound)
            late = ""
        except subprocess.TimeoutExpired:
            late = f"(ended after {bound:.0f} seconds)\n"
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()
        output.seek(0)
        return output.read().decode("utf-8", "replace") + late


def _end(where: str, mark: str) -> None:
    """Kill all that is in this directory, or has this mark, until there is nothing."""
    for _ in range(50):
        found = [
            entry for entry in os.listdir("/proc") if entry.isdigit() and _is_of(entry, where, mark)
        ]
        for pid in found:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
        if not found:
            return
        time.sleep(0.02)


def _is_of(pid: str, where: str, mark: str) -> bool:
    # Redis writes its title over its environment, but stays where it is.
    try:
        variables = Path("/proc", pid, "environ").read_bytes().split(b"\0")
        place = os.readlink(f"/proc/{pid}/cwd")
    except OSError:  # it has ended
        return False
    return f"{_MARK}={mark}".encode() in variables or place.startswith(where)

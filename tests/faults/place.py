"""A spool, and the notes of its jobs, beside the program as a process of its own.

A job's command notes its start and its end in a file of the job, under a lock of its own that it
holds all the while, so that a second run beside it shows.
"""

import json
import os
import subprocess
import sys
import time
from typing import Any, Callable, Dict, List, Mapping, NamedTuple, Sequence

DEADLINE = 20.0
REPOSITORY = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
#: The binary itself: of a shim that is a script, the script's calls would be counted.
PROGRAM = [sys.executable, "-m", "spoolq"]
SETTINGS = {"format": 1, "backoff_base": 0.05, "settle": 0.2, "grace": 0.5}
_TWIN = 'exec 9>>"$R/$SPOOLQ_JOB_ID.lock"; flock -n 9 || echo overlap >>"$R/$SPOOLQ_JOB_ID.runs"; '
_START = 'echo "start $SPOOLQ_ATTEMPT" >>"$R/$SPOOLQ_JOB_ID.runs"; '
_END = 'echo end >>"$R/$SPOOLQ_JOB_ID.runs"'


def body(what: str = "") -> str:
    """Return a command that notes its runs and does `what` in between."""
    return _TWIN + _START + what + _END


def job(job_id: str, what: str = "sleep 0.01; ", **fields: Any) -> str:
    """Return a job as a line of JSON."""
    return json.dumps({"command": body(what), "id": job_id, **fields})


def environment(runs: str, first: str = "") -> Dict[str, str]:
    """Return the environment of every spoolq that is started here.

    Args:
        runs: where jobs note their runs.
        first: a directory that comes first in PYTHONPATH: a worse spoolq.
    """
    kept = {key: value for key, value in os.environ.items() if not key.startswith("SPOOLQ_")}
    path = ":".join(filter(None, (first, REPOSITORY)))
    return {**kept, "PYTHONPATH": path, "NO_COLOR": "1", "R": runs}


class Place(NamedTuple):
    """A spool and the notes of its jobs, in a directory that can be copied."""

    top: str
    first: str = ""  # a directory that comes first in PYTHONPATH: a worse spoolq
    variables: Mapping[str, str] = {}  # more of the environment

    @property
    def spool(self) -> str:
        return os.path.join(self.top, "spool")

    @property
    def runs(self) -> str:
        return os.path.join(self.top, "runs")

    def make(self, **settings: Any) -> None:
        """Make the spool, with waits that are short, and the directory for the notes."""
        self.spoolq("init")
        os.mkdir(self.runs)
        with open(os.path.join(self.spool, "config.json"), "w", encoding="ascii") as file:
            json.dump({**SETTINGS, **settings}, file, indent=2)

    def spoiled(self, text: str) -> "Place":
        """Return the same place for a worse spoolq: each Python there first runs this text."""
        first = os.path.join(self.top, "first")
        os.makedirs(first, exist_ok=True)
        with open(os.path.join(first, "sitecustomize.py"), "w", encoding="ascii") as file:
            file.write(text)
        return self._replace(first=first)

    def environment(self) -> Dict[str, str]:
        return {**environment(self.runs, self.first), **self.variables}

    def command(self, *arguments: str) -> List[str]:
        return [*PROGRAM, "--spool", self.spool, *arguments]

    def spoolq(self, *arguments: str, stdin: str = "", check: bool = True) -> Any:
        """Run spoolq, untraced, to its end."""
        done = subprocess.run(
            self.command(*arguments),
            input=stdin,
            capture_output=True,
            text=True,
            env=self.environment(),
            timeout=DEADLINE,
        )
        if check and done.returncode:
            raise AssertionError(f"{arguments} exited {done.returncode}: {done.stderr}")
        return done

    def enqueue(self, jobs: Sequence[str]) -> List[str]:
        """Enqueue jobs, lines of JSON or commands, and return the ids that were told."""
        said: str = self.spoolq("enqueue", "-", stdin="".join(f"{line}\n" for line in jobs)).stdout
        return said.split()

    def start(
        self, *arguments: str, log: str = "beside.log", within: Sequence[str] = ()
    ) -> "subprocess.Popen[bytes]":
        """Start spoolq beside what is tried; what it says goes to a file in `top`.

        Args:
            within: words of a command that runs the one that follows.
        """
        with open(os.path.join(self.top, log), "ab") as file:
            return subprocess.Popen(
                [*within, *self.command(*arguments)],
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=file,
                env=self.environment(),
                start_new_session=True,
            )

    def said(self, log: str = "beside.log") -> str:
        """Return what those that were started have said."""
        try:
            with open(os.path.join(self.top, log), encoding="utf-8", errors="replace") as file:
                return file.read()
        except FileNotFoundError:
            return ""

    def noted(self, job_id: str) -> List[str]:
        """Return the notes of a job's runs."""
        try:
            with open(os.path.join(self.runs, job_id + ".runs"), encoding="ascii") as file:
                return file.read().splitlines()
        except FileNotFoundError:
            return []

    def names(self, state: str) -> List[str]:
        """Return what is in one of the spool's directories, hidden files aside."""
        return [entry for entry in os.listdir(os.path.join(self.spool, state)) if entry[0] != "."]


def wait_for(condition: Callable[[], Any], seconds: float = 20.0) -> bool:
    """Wait for a condition, and say whether it came."""
    until = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > until:
            return False
        time.sleep(0.02)
    return True


def age(tmp: str) -> None:
    """Make litter old enough to be swept."""
    then = time.time() - 3 * 86_400
    for directory, names, files in os.walk(tmp, topdown=False):
        for name in (*names, *files):
            os.utime(os.path.join(directory, name), (then, then), follow_symlinks=False)

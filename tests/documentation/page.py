"""One page, from top to bottom, as a newcomer types it: in a home, with spools of its own.

The paths that pages name (/srv, /opt/spoolq, /home/me …) are in a temporary directory. Programs
that pages use and no test should (ffmpeg, sendmail …) are replaced by `stand-ins`, which write
down with what words they were called.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Dict, Iterator, List, NamedTuple

from spoolq.job import Job
from tests.conftest import REPOSITORY, environment
from tests.documentation import blocks
from tests.documentation.blocks import Block, Typed
from tests.documentation.compare import Bindings, plain
from tests.documentation.terminal import Terminal

PATIENCE = 120.0  # seconds that one command may take on a busy machine
STAND_INS = Path(__file__).parent / "stand-ins"
LOOK = re.compile(
    r"(?:ls|cat|spoolq(?: --spool \S+)?(?: (?:status|list|show|logs|dlq list|worker list)\b.*)?$)"
)
NODE = "var/lib/prometheus/node-exporter"
PLACES = re.compile(
    r"(?<![\w.$}/-])/(srv|opt/spoolq|home/me|var/backups|var/lib/prometheus)\b(?!/\.)"
)


class Went(NamedTuple):
    """What became of a command of a page."""

    typed: Typed
    printed: str
    fault: str


class Place:
    """A temporary machine: a home, the paths that pages name, and the programs that they call."""

    def __init__(self, root: str) -> None:
        self.root = root
        self.home = os.path.join(root, "home", "me")
        self.calls = os.path.join(root, "calls")
        for directory in ("home/me", "srv", "opt/spoolq/bin", "var/backups", "tools", NODE):
            os.makedirs(os.path.join(root, directory))
        clean = {
            name: value
            for name, value in environment().items()
            if not name.startswith(("SPOOLQ_", "XDG_", "PYTHON", "COV_", "LC_"))
        }
        places = [self._of("opt/spoolq/bin"), self._of("tools"), "/usr/local/bin:/usr/bin:/bin"]
        self.path = os.pathsep.join(places)
        own = {"HOME": self.home, "PATH": self.path, "TERM": "xterm", "LANG": "C.UTF-8"}
        self.env = {**clean, **own}
        run = f"exec env PYTHONPATH={REPOSITORY} {shlex.quote(sys.executable)}"
        self._program("opt/spoolq/bin/spoolq", f'{run} -m spoolq "$@"')
        for name in ("python", "python3"):
            self._program(f"tools/{name}", f'{run} "$@"')
        for stand_in in STAND_INS.iterdir():
            script = stand_in.read_text(encoding="utf-8").split("\n", 1)[1]
            note = f'printf "%s\\n" "{stand_in.name} $*" >> {self.calls}'
            self._program(f"tools/{stand_in.name}", f"{note}\n{script}")
        self.run("spoolq", "init", self._of("srv/spool"))
        shutil.copytree(REPOSITORY / "docs" / "producers", self._of("srv/producers"))

    def _of(self, path: str) -> str:
        return os.path.join(self.root, path)

    def _program(self, path: str, script: str) -> None:
        with open(self._of(path), "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\n{script}\n")
        os.chmod(self._of(path), 0o755)

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """Run a program of this place to its end."""
        return subprocess.run(
            [shutil.which(words[0], path=self.path) or words[0], *words[1:]],
            cwd=self.home,
            env=self.env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=2 * PATIENCE,
        )

    def stop(self, spool: str) -> None:
        """Let the workers of a spool leave, if there are any."""
        if os.listdir(os.path.join(spool, "workers")):
            self.run("spoolq", "--spool", spool, "worker", "stop", "--now")

    def here(self, text: str) -> str:
        """Return text of a page with the paths that they have here."""
        return PLACES.sub(lambda match: f"{self.root}/{match.group(1)}", text)

    def told(self, text: str) -> str:
        """Return what was printed with the paths that pages name."""
        return text.replace(self.root, "")

    def spools(self) -> List[str]:
        """Return every spool that the page has made."""
        return [str(path.parent) for path in Path(self.root).rglob("config.json")]


@contextmanager
def place() -> Iterator[Place]:
    """Make a place, and leave no worker, no shell and no file of it behind."""
    root = os.path.realpath(tempfile.mkdtemp(prefix="docs-"))
    made = Place(root)
    try:
        yield made
    finally:
        for spool in made.spools():
            made.stop(spool)
        shutil.rmtree(root, ignore_errors=True)


class Reader:
    """Types a page into its terminals, block by block, and compares."""

    def __init__(self, made: Place) -> None:
        self.place = made
        self.bindings = Bindings()
        self._first = Terminal(made.home, made.env)
        self._second: Dict[str, Terminal] = {}

    def close(self) -> None:
        for terminal in [self._first, *self._second.values()]:
            terminal.close()

    def block(self, block: Block) -> List[Went]:
        """Do what a block says; return what became of each command."""
        if "file" in block.told:
            self._write(block.told["file"], block.text)
        if "file" in block.told and block.language not in (*blocks.SHELL, *blocks.PROGRAMS):
            return []
        if block.language == "json":
            Job.from_bytes(block.text.encode())
            return []
        if "crontab" in block.told:
            return [self._cron(line) for line in block.text.splitlines() if line[:1] not in "#"]
        if "file" in block.told:
            return []  # a later block runs it
        if "second terminal" in block.told:
            if not self._second:
                self._second["2"] = Terminal(self._first.cwd, self.place.env)
            return [self._aside(self._second["2"], each) for each in block.typed()]
        return self._typed(block)

    def _typed(self, block: Block) -> List[Went]:
        found = []
        commands = block.typed()
        for index, each in enumerate(commands):
            asked = commands[index + 1 : index + 2]
            may_fail = bool(asked) and asked[0].command == "echo $?"
            wanted = int(block.told.get("exits", 0)) if index == len(commands) - 1 else 0
            deadline = time.monotonic() + PATIENCE
            while True:
                self._first.type(self._command(block, each))
                code = self._first.read(PATIENCE)
                printed = self._printed(self._first)
                if code is None:
                    return [*found, Went(each, printed, f"did not end within {PATIENCE:g} s")]
                fault = f"exits {code}" if code != wanted and not may_fail else ""
                if block.language == "console" and not fault:
                    fault = self.bindings.fault(each.command, each.expected, printed) or ""
                # Who only looks, looks again: a worker needs its moment.
                if not fault or not LOOK.match(each.command) or time.monotonic() > deadline:
                    found.append(Went(each, printed, fault))
                    break
        return found

    def _command(self, block: Block, typed: Typed) -> str:
        command = self.bindings.command(self.place.here(typed.command))
        if block.language in blocks.PROGRAMS:
            name = f".block.{block.language}"
            self._write(name, typed.command)
            return f"{blocks.PROGRAMS[block.language]} {name}"
        return command

    def _printed(self, terminal: Terminal) -> str:
        return self.place.told(plain(terminal.shown))

    def _write(self, name: str, text: str) -> None:
        path = os.path.join(self._first.cwd, self.place.here(name))
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as file:
            file.write(self.place.here(text))
        if text.startswith("#!"):
            os.chmod(path, 0o755)

    def _aside(self, terminal: Terminal, each: Typed) -> Went:
        """Type into another terminal; go on when it shows what the page says."""
        deadline = time.monotonic() + PATIENCE
        if terminal.busy and terminal.read(PATIENCE) is None:
            return Went(each, self._printed(terminal), "what ran there before has not ended")
        terminal.type(self.bindings.command(self.place.here(each.command)))
        while True:
            ended = terminal.read(0.05) is not None
            printed = self._printed(terminal)
            fault = self.bindings.fault(each.command, each.expected, printed)
            if not fault or ended or time.monotonic() > deadline:
                return Went(each, printed, fault or "")

    def _cron(self, line: str) -> Went:
        """Run a line of a crontab with as little around it as cron gives."""
        command = line.split(None, 5)[5].replace("\\%", "%")
        env = ["env", "-i", f"HOME={self.place.home}", "LOGNAME=me", "SHELL=/bin/sh"]
        path = f"PATH={self.place._of('tools')}:/usr/bin:/bin"
        done = self.place.run(*env, path, "/bin/sh", "-c", self.place.here(command))
        fault = f"exits {done.returncode}" if done.returncode else ""
        printed = self.place.told(done.stdout)
        return Went(Typed(0, line, []), printed, fault or ("cron would mail it" if printed else ""))


def left(made: Place) -> List[str]:
    """Run what the page has left waiting, in short; return the jobs that died, and why."""
    died = []
    for spool in made.spools():
        made.stop(spool)
        waiting = [*os.listdir(f"{spool}/pending"), *os.listdir(f"{spool}/failed")]
        if waiting:
            with suppress(FileNotFoundError):
                os.unlink(f"{spool}/paused")
            with open(f"{spool}/config.json", "w", encoding="utf-8") as file:
                json.dump({"format": 1, "backoff_base": 0.01, "settle": 0.1}, file)
            made.run("spoolq", "--spool", spool, "worker", "start", "--count", "4", "--drain")
        if os.listdir(f"{spool}/dead"):
            told = made.run("spoolq", "--spool", spool, "list", "--state", "dead", "--json").stdout
            for job in json.loads(told):
                if job["error"] != "cancelled":
                    died.append(made.told(f"{job['id']}: {job['error']}: {job['command']}"))
    return died

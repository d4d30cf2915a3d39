"""An executor whose runs outlive their worker: the next one finds them again.

The engine is as plain as can be: a shell that is left to itself, and a directory for each run.

    DIR/<claim>/        made by the shell, before it runs the command: so it runs once, or never
    DIR/<claim>/pid     of the shell
    DIR/<claim>/end     the exit code, when the command has ended
"""

import os
import shutil
import signal
import subprocess
from pathlib import Path

from spoolq import lease, logs
from spoolq.errors import BadInput
from spoolq.executors import Ended, Fate, NotNow, command

OPTIONS = {"dir": "where the runs are kept, on this machine"}

#: mkdir is the ticket: of all who try, one makes it.
_SHELL = """
mkdir "$0" && echo $$ >"$0/pid" || exit 0
"$@"
echo $? >"$0/new" && mv "$0/new" "$0/end"
"""


def identity(options):
    """Return what tells one such executor from another."""
    if "dir" not in options:
        raise BadInput("the executor detached needs a directory", hint="-o dir=/var/tmp/runs")
    return {"dir": os.path.abspath(options["dir"])}


def make(context, options):
    """Make the executor."""
    return Detached(context, Path(identity(options)["dir"]))


class Detached:
    def __init__(self, context, home):
        home.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._context = context
        self._home = home
        self._runs = {}  # the claim as it is now: the run, and the directory of the run
        self._errors = {}

    def capacity(self):
        return self._context.most or 1

    def submit(self, run):
        room = self._home / str(run.claim)
        log = self._context.spool.dir("logs").create(str(logs.log_name(run.claim)))
        try:
            subprocess.Popen(
                ["/bin/sh", "-c", _SHELL, str(room), *command.words(run)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=run.job.fields.get("cwd"),
                env={
                    **self._context.environment,
                    **command.variables(run, self._context.spool.path),
                },
                start_new_session=True,
            )
        except OSError as error:
            raise NotNow(f"no shell can be started: {error}") from error
        finally:
            os.close(log)
        lease.write_note(run.slot, {"claim": str(run.claim), "run": str(run.claim)})
        self._runs[run.claim] = run, room

    def outcomes(self):
        ended = []
        for claim, (run, room) in list(self._runs.items()):
            code = _read(room / "end")
            error = self._errors.get(claim) if code is None else None
            if code is None and (error is None or _is_alive(room)):
                continue
            ended.append(Ended(run, self._context.clock(), exit_code=code, error=error))
            shutil.rmtree(room, ignore_errors=True)
            self._errors.pop(claim, None)
            del self._runs[claim]
        return ended

    def cancel(self, claim, error):
        _, room = self._runs[claim]
        self._errors.setdefault(claim, error)
        leader = _read(room / "pid")
        if leader is not None and _is_alive(room):
            os.killpg(leader, signal.SIGKILL)  # what has a session of its own escapes it

    def patience(self):
        return 0.05 if self._runs else None  # nothing rings: look again soon

    def fate(self, claim, note):
        room = self._home / str(note.get("run", claim))
        try:
            room.mkdir()  # the ticket: this run cannot begin any more
            return Fate.OVER
        except FileExistsError:
            pass
        if _read(room / "end") is not None or _is_alive(room):
            return Fate.ALIVE
        return Fate.UNKNOWN if _read(room / "pid") is None else Fate.OVER

    def reattach(self, run, note):
        self._runs[run.claim] = run, self._home / note["run"]

    def close(self):
        pass


def _read(path):
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None


def _is_alive(room):
    leader = _read(room / "pid")
    if leader is None:
        return False
    try:
        os.waitpid(leader, os.WNOHANG)  # our own child, perhaps: let it go
    except ChildProcessError:
        pass
    try:
        os.kill(leader, 0)
    except ProcessLookupError:
        return False
    return True

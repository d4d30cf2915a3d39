"""Programs in hooks/ that a worker runs when it has moved a job on, as git runs its own.

`hooks/on-dead` and the others hold up no job: the loop looks into a set of names and puts what is
to be told into a queue that has bounds; a few threads run the programs. What is beyond the bounds,
or waits when the worker is killed, is not told: a hook hears of a change at most once.

Who may write a hook is judged each time, right before it runs, as the spool itself is: a worker
runs nothing that somebody else could have changed.
"""

from __future__ import annotations

import errno
import json
import math
import os
import stat
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import Any, Callable, Dict, FrozenSet, Iterator, Mapping, NamedTuple, Optional

from spoolq import child, config, instants, logs, names, notify, platform, trust, views
from spoolq.chores import Beside, Chore
from spoolq.config import Settings
from spoolq.errors import BadInput, SpoolqError, UnsafeSpool
from spoolq.glance import Remembered
from spoolq.job import MAX_FILE, Job
from spoolq.layout import words
from spoolq.logs import logger
from spoolq.names import Name
from spoolq.processes import COOKIE
from spoolq.spool import Record, SpoolDir
from spoolq.text import printable, shell_word
from spoolq.views import JobView

DIRECTORY = "hooks"
DRAINED = "on-drained"
HOOKS = ("on-completed", "on-failed", "on-dead", DRAINED)
AT_A_TIME = 4
MOST_WAITING = 1000  # calls of hooks, and
MOST_BYTES = 16 * 1024 * 1024  # of the jobs that they are about
_SHOWN = 300  # characters of what a hook that failed has printed

_OF_A_JOB = ("SPOOLQ_JOB_ID", "SPOOLQ_ATTEMPT", "SPOOLQ_STATE", COOKIE)


class _Call(NamedTuple):
    """A hook that is to run: `given` makes what it reads, in the thread that runs it."""

    hook: str
    about: str
    given: Callable[[], Optional[Any]]
    variables: Mapping[str, str]
    size: int
    event: Mapping[str, Any]


class Hooks(Chore):
    """The hooks of one worker's spool."""

    def __init__(self, beside: Beside) -> None:
        self._beside = beside
        self._spool = beside.spool
        self._path = os.path.realpath(beside.spool.path)
        self._there = Remembered(
            lambda: present(beside.spool),
            lambda: beside.spool.root.stat(DIRECTORY),
            beside.monotonic,
        )
        self._hooks: FrozenSet[str] = frozenset()
        self._settings = Settings()
        self._environment = {
            name: value
            for name, value in notify.without(config.environment()).items()
            if name not in _OF_A_JOB
        }
        self._pool = ThreadPoolExecutor(AT_A_TIME, "hook")
        self._lock = threading.Lock()
        self._waiting, self._bytes, self._dropped = 0, 0, 0
        self._refused: Dict[str, str] = {}  # hooks that are not run, and why
        self._has_moved = False  # a job since the last look
        self._may_be_drained = False
        self._closes_at = math.inf

    # --- the loop's half --------------------------------------------------------------------------

    def look(self, settings: Settings) -> bool:
        """See which hooks there are, and whether all is done."""
        self._settings = settings
        self._hooks = self._there()
        self._tell_of_dropped()
        if self._has_moved:
            self._has_moved, self._may_be_drained = False, True
        elif self._may_be_drained and not self._waiting:  # that of all comes last
            self._may_be_drained = False
            if DRAINED in self._hooks:
                self._put(self._drained())
        return False

    def moved(self, record: Record, name: Name, settings: Settings) -> bool:
        """Put the hook of the job's new state into the queue, if there is one."""
        self._has_moved = True
        hook = f"on-{record.state}"
        if hook in self._hooks:
            at = self._beside.clock()
            self._put(
                _Call(
                    hook,
                    name.id,
                    lambda: view_of(self._spool, record, name, at, settings).as_dict(),
                    {
                        "SPOOLQ_JOB_ID": name.id,
                        "SPOOLQ_ATTEMPT": str(record.claim.attempt),
                        "SPOOLQ_STATE": record.state,
                    },
                    len(record.data),
                    logs.about(record.claim, "hook"),
                )
            )
        return False

    def close(self) -> None:
        """Run what waits, within the time that one hook has."""
        self._closes_at = self._beside.monotonic() + self._settings.hook_timeout
        if self._waiting:
            logger.debug("hooks that run before the worker leaves: %d", self._waiting)
        self._pool.shutdown(wait=True)
        if DRAINED in self._hooks and (self._has_moved or self._may_be_drained):
            self._take(self._drained())
        self._tell_of_dropped()

    def _drained(self) -> _Call:
        return _Call(DRAINED, "all is done", self._counts_if_drained, {}, 0, {})

    def _put(self, call: _Call) -> None:
        with self._lock:
            if self._waiting >= MOST_WAITING or self._bytes + call.size > MOST_BYTES:
                self._dropped += 1
                return
            self._waiting += 1
            self._bytes += call.size
        try:
            self._pool.submit(self._take_next, call)
        except RuntimeError:
            pass  # no thread can be started just now: it is in the queue of those that there are

    def _tell_of_dropped(self) -> None:
        with self._lock:
            dropped, self._dropped = self._dropped, 0
        if dropped:
            logger.warning("hooks are slower than jobs end; calls that were left out: %d", dropped)

    # --- the threads' half ------------------------------------------------------------------------

    def _take(self, call: _Call) -> None:
        """Run a hook; whatever goes wrong is said, and no reason to end the thread."""
        try:
            if self._beside.monotonic() < self._closes_at:
                self._run(call)
            else:
                with self._lock:
                    self._dropped += 1
        except (OSError, SpoolqError, ValueError) as error:
            logger.warning("hooks/%s cannot be run: %s", call.hook, _why(error), extra=call.event)
        except Exception:
            logger.exception("hooks/%s cannot be run", call.hook)

    def _take_next(self, call: _Call) -> None:
        self._take(call)
        with self._lock:
            self._waiting -= 1
            self._bytes -= call.size

    def _run(self, call: _Call) -> None:
        path = self._judged(call.hook)
        if path is None:
            return
        given = call.given()
        if given is None:
            return
        late_at = self._beside.monotonic() + self._settings.hook_timeout
        done = child.run(
            [path],
            (json.dumps(given, indent=2) + "\n").encode("ascii"),
            environment={
                **self._environment,
                "SPOOLQ_SPOOL": self._spool.path,
                "SPOOLQ_HOOK": call.hook,
                "SPOOLQ_WORKER": self._beside.own.name,
                **call.variables,
            },
            cwd=self._path,
            deadline=lambda: min(late_at, self._closes_at),
            grace=self._settings.grace,
            monotonic=self._beside.monotonic,
        )
        if done.code or done.ended:
            how = f"ended, since {done.ended}" if done.ended else done.went
            printed = f": {printable(done.output[-_SHOWN:])}" if done.output else ""
            logger.warning(
                "hooks/%s (%s): %s%s", call.hook, call.about, how, printed, extra=call.event
            )

    def _judged(self, hook: str) -> Optional[str]:
        """Return the program of a hook, None if it is not to run; and say why, once.

        Raises:
            OSError: it is gone, or cannot be seen.
        """
        refused: Optional[SpoolqError] = None
        found = None
        try:
            # RACE: what led to the spool may lead elsewhere by now
            # (test_a_hook_behind_a_link_that_leads_elsewhere_now_is_not_run).
            if not os.path.samestat(os.stat(self._path), self._spool.root.stat()):
                raise UnsafeSpool(f"{self._path} is another directory now", hint="start it anew")
            user = platform.effective_user()
            found = program(self._path, hook, self._settings.group, user)
        except (UnsafeSpool, BadInput) as error:
            refused = error
        with self._lock:
            said, self._refused[hook] = self._refused.get(hook, ""), str(refused or "")
        if refused is not None and said != str(refused):
            logger.warning("hooks/%s is not run: %s; %s", hook, refused, refused.hint)
        return found

    def _counts_if_drained(self) -> Optional[Dict[str, Any]]:
        """Return the numbers of `status`; None if there is something to do after all."""
        if not is_drained(self._spool, self._beside.clock()):
            return None
        return {**views.counts(self._spool), "spool": self._spool.path}


def _why(error: Exception) -> str:
    """Return why a hook cannot be run; what names no interpreter is called missing by exec(2)."""
    is_unknown = isinstance(error, OSError) and error.errno in (errno.ENOENT, errno.ENOEXEC)
    if is_unknown and os.path.exists(getattr(error, "filename", None) or ""):
        return f"{words(error)}; its first line has to name a program, as #!/bin/sh"
    return words(error)


def present(spool: SpoolDir) -> FrozenSet[str]:
    """Return the names of the hooks that there are.

    Raises:
        OSError: hooks/ is no directory, or cannot be read.
    """
    try:
        directory = spool.root.sub(DIRECTORY)
    except FileNotFoundError:
        return frozenset()
    try:
        return frozenset(HOOKS).intersection(directory.list())
    finally:
        directory.close()


def program(path: str, hook: str, group: Optional[str], user: int) -> str:
    """Return the program that a worker of `user` runs for a hook: where a link leads, at last.

    What leads there by another way may lead elsewhere a moment later, so this path is to be run.

    Args:
        path: the spool, without links in it.

    Raises:
        UnsafeSpool: somebody else could change it.
        BadInput: it is no program.
        OSError: it is not there.
    """
    place = os.path.join(path, DIRECTORY, hook)
    target = os.path.realpath(place)
    info = os.stat(target)
    if not stat.S_ISREG(info.st_mode):
        raise BadInput(f"{place} is no file", hint="a program, or a link to one, belongs there")
    if not info.st_mode & 0o111:
        raise BadInput(f"{place} is not executable", hint=f"chmod u+x {shell_word(place)}")
    for unsafe in _unsafe(path, target, group, user):
        raise unsafe
    return target


def _unsafe(path: str, target: str, group: Optional[str], user: int) -> Iterator[SpoolqError]:
    inside = target.startswith(os.path.join(path, DIRECTORY, ""))
    inner = [DIRECTORY, os.path.relpath(target, path)] if inside else [DIRECTORY]
    for _, refused in trust.refusals(path, inner, group, user):
        yield refused
    if not inside:
        for _, refused in trust.refusals(target, (), None, user):
            yield refused


def view_of(
    spool: SpoolDir, record: Record, name: Name, at: datetime, settings: Settings
) -> JobView:
    """Return a job as it was moved on: by now it may be somewhere else.

    Raises:
        InvalidJob: which no record is.
    """
    path = os.path.join(spool.path, record.state, str(name))
    job = Job.from_bytes(record.data, MAX_FILE)
    return JobView(record.state, str(name), path, name, job, None, at, at, settings)


def is_drained(spool: SpoolDir, now: datetime) -> bool:
    """Say whether nothing runs, is due, or waits for a retry, as `worker start --drain` has it."""
    running = filter(names.is_job, spool.dir("processing").scan())
    if not all(map(names.is_on_its_way, running)):
        return False
    failed = map(names.parse, spool.dir("failed").scan())
    if any(name is not None and not names.is_held(name.stamp) for name in failed):
        return False
    stamp = instants.to_stamp(now)
    for filename in filter(names.is_job, spool.dir("pending").scan()):
        name = names.parse(filename)
        if name is None or name.stamp <= stamp:
            return False
    return True

"""The Python front door: a spool to enqueue into, to look at and to act on.

    from spoolq import Spool

    spool = Spool("spool", create=True)
    job_id = spool.enqueue("make report", tags=["nightly"], max_retries=5)
    job = spool.wait([job_id])[0]
    print(job.state, job.last_run.get("exit_code"))

`spoolq` re-exports it, and imports it on first use.
"""

from __future__ import annotations

import os
import sys
import time
from datetime import datetime
from typing import Any, Callable, Dict, Iterable, List, Mapping, Optional, Sequence, Set, Union

from spoolq import callables, config, instants, lease, names, roster, strictjson, views
from spoolq.errors import InvalidJob, InvalidSetting
from spoolq.fields import CHECKED_WHOLE, DECIDED, require_known
from spoolq.fsio import write_all
from spoolq.glance import Remembered
from spoolq.job import Job
from spoolq.layout import STATES
from spoolq.names import Name
from spoolq.roster import WorkerView
from spoolq.spool import SpoolDir
from spoolq.tasks import Task
from spoolq.views import JobView

Command = Union[str, Sequence[str]]

_SHORTEST_POLL, _LONGEST_POLL = 0.005, 0.25


class Spool:
    """A job queue that is a directory."""

    def __init__(self, path: Optional[str] = None, *, create: bool = False) -> None:
        """Open a spool.

        Args:
            path: the directory; where absent, `$SPOOLQ_SPOOL`, ./spool if this user made it, or
                the user's own spool.
            create: make it if it is not there.

        Raises:
            NoSpool: there is none, and `create` is False.
        """
        self.path = os.path.abspath(path or config.default_spool(os.getcwd()))
        self._create = create
        self._dir: Optional[SpoolDir] = None
        if _testing() is None:  # a test needs no spool, until it does more than to enqueue calls
            self._dir = self._open()
        self._config = Remembered(
            lambda: config.read(self.dir.config_bytes())[0],
            lambda: self.dir.root.stat(config.FILE),
            time.monotonic,
        )

    @property
    def dir(self) -> SpoolDir:
        """The spool's directories."""
        if self._dir is None:
            self._dir = self._open()
        return self._dir

    def _open(self) -> SpoolDir:
        missing = not os.path.isdir(os.path.join(self.path, "pending"))
        make = self._create and missing
        return SpoolDir.create(self.path) if make else SpoolDir.open(self.path)

    def __repr__(self) -> str:
        return f"Spool({self.path!r})"

    def __enter__(self) -> Spool:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let the spool's directories go."""
        if self._dir is not None:
            self._dir.close()

    @property
    def settings(self) -> config.Settings:
        """The settings in force; the defaults where config.json is wrong."""
        try:
            return self._config()
        except InvalidSetting:
            return config.Settings()

    # --- enqueue ----------------------------------------------------------------------------------

    def enqueue(self, command: Command, *, if_queued: str = "skip", **fields: Any) -> str:
        """Enqueue one command and return its id, when it would survive a power cut.

        Args:
            command: text for the shell, or a list of words run without one.
            if_queued: what is done where a job with the same `key` waits or runs: `skip` this one
                and return the id of that one; `replace` it, unless it runs; or raise an `error`.
            fields: any field of a job file: id, key, after, priority, run_at (an aware datetime
                too), max_retries, backoff_base, timeout (seconds), needs, cwd, env, name, tags.

        Raises:
            TypeError: there is no such field; a mapping for `enqueue_many` may have others.
            InvalidJob: a field is wrong, or a job that it names in `after` does not exist.
            IdTaken: a job with this id exists, in any state.
            KeyTaken: a job with this key waits or runs, and is neither to be skipped nor replaced.
            StorageFull, StorageFailed: it was not enqueued.
            OutcomeUnknown: it was, but the last sync failed.
        """
        require_known(fields)
        return self.enqueue_many([{**fields, "command": command}], if_queued=if_queued)[0]

    def enqueue_call(
        self,
        target: Union[str, Task, Callable[..., Any]],
        /,
        *args: Any,
        _job: Optional[Mapping[str, Any]] = None,
        **kwargs: Any,
    ) -> str:
        """Enqueue a call of a Python function and return the job's id, as `enqueue` does.

        Args:
            target: "package.module:function", or the function itself, which has to be found by its
                name. A text is not looked up here: the worker need not have what this program has.
            args, kwargs: what it is called with: text, numbers, booleans, None, and lists and dicts
                of them. What JSON would bring back as something else is refused.
            _job: fields of the job, such as `{"max_retries": 5, "timeout": 60}`.

        Raises:
            InvalidJob: the target or an argument is wrong; `field` says which.
            TypeError, IdTaken, StorageFull, StorageFailed, OutcomeUnknown: as `enqueue`.
        """
        of_task = target.job if isinstance(target, Task) else {}
        fields = {**of_task, **(_job or {})}
        require_known(fields, but=("command", "call"))
        call = {"target": callables.name_of(target), "args": [*args], "kwargs": kwargs}
        callables.check(call)  # before anything is copied, or runs
        # To call it again would bring the same: what it returned cannot be kept.
        made = {
            "dead_on": [callables.NOT_PLAIN],
            **fields,
            "command": callables.command(),
            "call": call,
        }
        testing = _testing()
        return self.enqueue_many([made])[0] if testing is None else testing.take(made)

    def enqueue_many(
        self,
        jobs: Iterable[Union[str, Mapping[str, Any]]],
        *,
        if_queued: str = "skip",
        on_skip: Callable[[str], None] = lambda job_id: None,
    ) -> List[str]:
        """Enqueue many jobs with shared syncs and return their ids in order.

        All are checked before any is published; they keep their order. They may wait for each
        other, by ids that are given to them.

        Args:
            jobs: objects with the fields of a job file, or commands for the shell.
            if_queued: as for `enqueue`.
            on_skip: told the id of the one that is there, for each job that is skipped.

        Raises:
            InvalidJob: a field is wrong; `index` says in which job, from 0.
            IdTaken, KeyTaken, StorageFull, StorageFailed, OutcomeUnknown: as `enqueue`.
        """
        if if_queued not in ("skip", "replace", "error"):
            raise ValueError(f"if_queued is skip, replace or error, not {if_queued!r}")
        files: Dict[Name, bytes] = {}
        decided: Dict[Name, Job] = {}  # of which something has to be decided
        given: Set[str] = set()
        last = ""
        for index, job in enumerate(jobs):
            fields = {"command": job} if isinstance(job, str) else dict(job)
            try:
                name, made, data = _prepare(fields, last)
                if "id" in fields:
                    if name.id in given:
                        raise InvalidJob("two jobs of this batch have this id", path=("id",))
                    given.add(name.id)
            except InvalidJob as error:
                error.index = index
                raise
            if fields.get("run_at") is None:
                last = name.stamp
            files[name] = data
            if not made.fields.keys().isdisjoint(DECIDED):
                decided[name] = made
        if not files:
            return []
        ids = [name.id for name in files]
        if decided:
            skipped = self._publish_decided(files, decided, if_queued)
            for job_id in skipped.values():
                on_skip(job_id)
            ids = [skipped.get(job_id, job_id) for job_id in ids]
        else:
            self.dir.publish(files, self.settings.durability)
        self._note_last(ids[-1])
        return ids

    def _publish_decided(
        self, files: Mapping[Name, bytes], decided: Mapping[Name, Job], if_queued: str
    ) -> Dict[str, str]:
        from spoolq import admission

        def cancel(job_id: str) -> None:
            from spoolq import control

            control.cancel_waiting(self.dir, job_id)

        return admission.publish(
            self.dir, files, decided, self.settings.durability, if_queued=if_queued, cancel=cancel
        )

    def _note_last(self, job_id: str) -> None:
        """Remember what `last` means; a convenience, so its failure is no failure."""
        try:
            tmp = self.dir.dir("tmp")
            try:
                # In its place: ext4 writes out at once what replaces another file, and the next
                # enqueue would wait for that.
                descriptor = lease.open_own(tmp, views.LAST, strict=True)
            except OSError:  # not there yet; or a link, a FIFO, the file of a snapshot
                tmp.tidy(views.LAST)
                descriptor = tmp.create(views.LAST)
            try:
                write_all(descriptor, job_id.encode("ascii").ljust(names.MAX_ID))
            finally:
                os.close(descriptor)
        except OSError:
            pass

    # --- look -------------------------------------------------------------------------------------

    def get(self, job_id: str) -> JobView:
        """Return a job by its id, a unique beginning of it, or "last".

        Raises:
            NotFound: there is none.
            Ambiguous: several ids begin so.
        """
        return views.find(self.dir, views.resolve(self.dir, job_id))

    def list(
        self,
        state: Optional[str] = None,
        tag: Optional[str] = None,
        limit: Optional[int] = None,
    ) -> List[JobView]:
        """Return jobs, the newest first.

        Raises:
            ValueError: there is no such state.
        """
        if state is not None and state not in STATES:
            raise ValueError(f"{state!r} is not one of {', '.join(STATES)}")
        return [*views.jobs(self.dir, state=state, tag=tag, limit=limit)]

    def counts(self) -> Dict[str, int]:
        """Return the number of jobs in each state, and of ignored entries."""
        return views.counts(self.dir)

    def workers(self) -> List[WorkerView]:
        """Return the workers of this spool."""
        return roster.workers(self.dir)

    def wait(self, job_ids: Iterable[str], timeout: Optional[float] = None) -> List[JobView]:
        """Wait until jobs are completed or dead and return them, in the order given.

        Raises:
            NotFound: one of them does not exist.
            TimeoutError: they have not ended within `timeout` seconds.
        """
        wanted = list(job_ids)
        deadline = None if timeout is None else time.monotonic() + timeout
        ended: Dict[str, JobView] = {}
        pause = _SHORTEST_POLL
        while True:
            left = [job_id for job_id in wanted if job_id not in ended]
            for job_id, state in views.states_of(self.dir, left).items():
                if state not in ("completed", "dead"):
                    continue
                view = views.find(self.dir, job_id)
                if view.state == state:  # else it has been retried meanwhile
                    ended[job_id] = view
                    pause = _SHORTEST_POLL
            if len(ended) == len(set(wanted)):
                return [ended[job_id] for job_id in wanted]
            if deadline is not None and time.monotonic() > deadline:
                missing = len(set(wanted)) - len(ended)
                raise TimeoutError(f"{missing} of {len(set(wanted))} jobs have not ended")
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_POLL)

    def result(self, job_id: str, timeout: Optional[float] = None) -> Any:
        """Wait for a call of Python and return what it has returned.

        Args:
            timeout: seconds to wait, 0 not at all; None: as long as it takes.

        Raises:
            Busy: it has not ended within `timeout`.
            JobFailed: it is dead; `output` is what it printed last, the traceback for instance.
            NotFound, Ambiguous: as `get`.
            WrongState: it is no call.
        """
        testing = _testing()
        if testing is not None and self._dir is None:
            return testing.result(job_id)
        view = self.get(job_id)
        if view.job is not None and view.job.call is not None:
            try:
                view = self.wait([view.id], timeout)[0]
            except TimeoutError:
                view = self.get(view.id)
        return view.result()

    # --- act --------------------------------------------------------------------------------------

    def cancel(self, job_id: str, timeout: Optional[float] = None) -> JobView:
        """Cancel a waiting or running job and return it when it has ended.

        Args:
            timeout: seconds to wait for the worker that runs it; None: as long as it takes.

        Raises:
            Busy: it has been asked for, and has not happened within `timeout`.
            NotFound, Ambiguous: as `get`.
            WrongState: it had ended before.
        """
        from spoolq import control

        return control.cancel(self.dir, views.resolve(self.dir, job_id), timeout=timeout)

    def retry(self, job_id: str) -> None:
        """Let a failed job run now, or a dead one anew with all its attempts.

        Raises:
            NotFound, Ambiguous: as `get`.
            WrongState: it is neither failed nor dead.
            InvalidJob: it is no job, and has not been mended.
        """
        from spoolq import control

        control.retry(self.dir, views.resolve(self.dir, job_id))


def _testing() -> Any:
    """Return the testing that is on in this context; who has not imported it has none."""
    testing = sys.modules.get("spoolq.testing")
    return None if testing is None else testing.current()


def _prepare(fields: Dict[str, Any], behind: str) -> tuple[Name, Job, bytes]:
    """Return name, job and bytes of a new job, which goes behind the stamp `behind`."""
    for name in ("command", "tags", "after", "after_any"):
        if isinstance(fields.get(name), tuple):
            fields[name] = [*fields[name]]
    run_at = fields.get("run_at")
    if isinstance(run_at, datetime):
        if run_at.tzinfo is None:
            raise InvalidJob("has no time zone", path=("run_at",))
        fields["run_at"] = instants.to_rfc3339(run_at)
    job = Job(fields)
    stamp = now = instants.to_stamp(instants.now())
    job.fields.setdefault("created_at", instants.stamp_to_rfc3339(now))
    if job.run_at is not None:
        stamp = instants.to_stamp(job.run_at)
    elif stamp <= behind:
        stamp = instants.to_stamp(instants.later(instants.from_stamp(behind), 1e-6))
    data = job.to_bytes()
    if not fields.keys() <= CHECKED_WHOLE:
        strictjson.parse_object(data)  # Python can hold what no job can: 2**64, keys of any type
    return Name(stamp, job.priority, 0, fields.get("id") or names.new_id()), job, data

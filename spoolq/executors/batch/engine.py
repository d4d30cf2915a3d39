"""The batch system itself, by way of PSI/J: submit, ask what became of jobs, cancel.

Everything here may take long and is called by one thread, the courier's. PSI/J writes the scripts
and knows the commands of each system. It does not watch the jobs: its own polling takes a status
line that it does not know, or a controller that is restarted, for the failure of every job.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import subprocess
import threading
from datetime import timedelta
from typing import Any, Dict, List, Mapping, NamedTuple, Optional

from spoolq.errors import BadInput, SpoolqError
from spoolq.fsio import Dir

LOCAL = "psijlocal"
#: What each is called at PSI/J.
SYSTEMS = {
    "slurm": "slurm",
    "pbs": "pbs",
    "pbsclassic": "pbs_classic",
    "lsf": "lsf",
    "cobalt": "cobalt",
    LOCAL: "local",
}
INSTALL = "pip install 'spoolq[psij]'"
_NEVER = 10**8  # seconds: PSI/J's thread sleeps
_PATIENCE = 60.0  # seconds for a command that asks the batch system
_STRAY_AGE = 7 * 86_400.0
#: A refusal with one of these words has nothing to do with the job.
_PASSING = ("contact", "connect", "timed out", "temporar", "unavailable", "limit", "resources busy")
# Source: squeue(1), JOB STATE CODES: the job is no more, and does not come again by itself.
_SLURM_ENDED = frozenset("BF CA CD DL F NF OOM PR RV TO".split())
# Source: squeue(1), JOB REASON CODES: of a job that waits for its turn.
_SLURM_WAITS = frozenset("None Priority Resources BeginTime Cleaning Prolog".split())


class Refused(SpoolqError):
    """The batch system did not take a job; `lasting` if it would never take this one."""

    def __init__(self, message: str, *, lasting: bool = False) -> None:
        super().__init__(message)
        self.lasting = lasting


class Silent(SpoolqError):
    """The batch system does not answer."""


class Order(NamedTuple):
    """One job for the batch system; amounts are None where nothing is asked for."""

    name: str
    words: List[str]
    stderr: str
    cpus: Optional[int] = None
    gpus: Optional[int] = None
    memory: Optional[int] = None  # bytes
    walltime: Optional[float] = None  # seconds
    is_special: bool = False  # the job itself asks for something that can be refused


class Seen(NamedTuple):
    """What the batch system says of one job; texts are empty where it says nothing."""

    name: str = ""
    over: str = ""  # how it ended; nothing while it has not
    stuck: str = ""  # why it waits, where that may be for ever


class Answer:
    """What the batch system says of its jobs, by their native ids.

    A controller that was killed gives ids away again, so a job is ours only if its name is.
    """

    def __init__(self, seen: Mapping[str, Seen]) -> None:
        self._seen = seen
        self._by_name = {one.name: native for native, one in seen.items() if not one.over}

    def of(self, native: str, name: str) -> Optional[Seen]:
        """Return what is said of a job; None if it is forgotten, or never was."""
        seen = self._seen.get(native)
        return seen if seen is not None and seen.name in ("", name) else None

    def alive(self, name: str, *natives: Optional[str]) -> str:
        """Return the first of these jobs that is not over, else one of this name; or nothing."""
        for native in natives:
            seen = self.of(native or "", name)
            if native and seen is not None and not seen.over:
                return native
        return self._by_name.get(name, "")


class Engine:
    """One batch system."""

    def __init__(self, kind: str, place: str, options: Mapping[str, str]) -> None:
        """Load PSI/J; its files go to `place`, which the compute nodes see too.

        Raises:
            SpoolqError: PSI/J is not installed, or does not know the system.
        """
        self._kind = kind
        self._options = options
        self._psij = _import()
        self._executor = self._make(SYSTEMS[kind], place)
        self._place = os.path.join(place, SYSTEMS[kind])
        self._jobs: Dict[str, Any] = {}  # by native id: what PSI/J wants to cancel

    def submit(self, order: Order) -> str:
        """Submit a job and return the name that the batch system has given it.

        Raises:
            Refused: it was not taken, or nobody knows.
        """
        psij = self._psij
        resources = psij.ResourceSpecV1(
            cpu_cores_per_process=order.cpus,
            gpu_cores_per_process=order.gpus,
            memory=order.memory,
        )
        attributes = psij.JobAttributes(
            queue_name=self._options.get("queue"),
            account=self._options.get("account"),
            reservation_id=self._options.get("reservation"),
        )
        attributes.duration = None
        if order.walltime is not None:
            attributes.duration = timedelta(minutes=math.ceil(order.walltime / 60))
        if self._kind == "slurm":
            attributes.set_custom_attribute("slurm.job-name", order.name)
        job = psij.Job(
            psij.JobSpec(
                executable=order.words[0],
                arguments=order.words[1:],
                directory=os.path.dirname(order.stderr),
                name=order.name,
                stderr_path=order.stderr,
                resources=resources,
                attributes=attributes,
                launcher="single",
            )
        )
        try:
            self._executor.submit(job)
        except (psij.SubmitException, psij.InvalidJobException, OSError) as error:
            said = " ".join(str(error).split()) or type(error).__name__
            passing = isinstance(error, OSError) or any(one in said.lower() for one in _PASSING)
            raise Refused(said, lasting=not passing) from error
        native = str(job.native_id)
        self._jobs[native] = job
        return native

    def look(self, asked: Mapping[str, str]) -> Answer:
        """Ask for jobs, by their native ids, each with the name of its ticket.

        Raises:
            Silent: there is no answer.
        """
        if self._kind == LOCAL:
            return Answer({pid: Seen() for pid, ticket in asked.items() if _lives(pid, ticket)})
        if self._kind == "slurm":
            return self._look_at_slurm()
        if not asked:
            return Answer({})
        try:
            done = _run(self._executor.get_status_command(list(asked)))
            said = self._executor.parse_status_output(done.returncode, done.stdout + done.stderr)
        except Silent:
            raise
        except Exception as error:  # whatever PSI/J makes of words that it does not know
            raise Silent(f"its answer is not understood: {error}") from error
        return Answer(
            {id: Seen(over=one.state.name if one.final else "") for id, one in said.items()}
        )

    def cancel(self, native: str, name: str) -> None:
        """Ask for a job's end; one that is over already is left alone.

        Raises:
            Refused: it cannot be asked.
        """
        if self._kind == "slurm":  # by both, since ids are given away again
            try:
                done = _run(["scancel", "--quiet", f"--name={name}", native])
            except Silent as error:
                raise Refused(str(error)) from error
            if done.returncode != 0:
                raise Refused(" ".join(done.stderr.split()))
            return
        job = self._jobs.get(native) or self._attached(native)
        if job is None:
            return
        try:
            self._executor.cancel(job)
        except (self._psij.SubmitException, OSError, KeyError) as error:
            raise Refused(" ".join(str(error).split())) from error

    def forget(self, native: str) -> None:
        """Remove what PSI/J has left of a job that is over."""
        job = self._jobs.pop(native, None)
        left = [f"{native}{suffix}" for suffix in (".out", ".ec", ".nodefile")]
        self._tidy(left + ([f"{job.id}.job"] if job is not None else []))

    def sweep(self, now: float) -> None:
        """Remove what PSI/J has left of jobs whose worker died; `now` is the time of files."""
        try:
            strays = [entry.name for entry in os.scandir(self._place) if _is_old(entry, now)]
        except OSError:
            return  # nothing was submitted yet
        self._tidy(strays)

    # --- inside -----------------------------------------------------------------------------------

    def _make(self, name: str, place: str) -> Any:
        """Make PSI/J's executor; its thread that polls is put to sleep, and its jobs forgotten."""
        if self._kind == LOCAL:
            config = self._psij.JobExecutorConfig()
            config.work_directory = place
            with _signals_as_before():
                return self._psij.JobExecutor.get_instance(name, config=config)
        from psij.executors.batch.batch_scheduler_executor import BatchSchedulerExecutorConfig

        config = BatchSchedulerExecutorConfig(
            queue_polling_interval=_NEVER, initial_queue_polling_delay=_NEVER
        )
        config.work_directory = place
        executor: Any = self._psij.JobExecutor.get_instance(name, config=config)
        executor._queue_poll_thread.register_job = lambda job: None
        if self._kind == "slurm":
            # PSI/J cannot say it: its script gives each of Slurm's options a value.
            executor.get_submit_command = lambda job, script: [
                "sbatch",
                "--no-requeue",
                str(script.absolute()),
            ]
        return executor

    def _look_at_slurm(self) -> Answer:
        """Ask for all jobs of this user at once; PSI/J fails on reasons that it does not know."""
        done = _run(["squeue", "--me", "--noheader", "--states=all", "--format=%i|%t|%r|%j"])
        if done.returncode != 0:
            raise Silent(" ".join((done.stderr or done.stdout).split()))
        seen = {}
        for line in done.stdout.splitlines():
            native, state, reason, name = (line.split("|", 3) + [""] * 3)[:4]
            is_stuck = state == "PD" and reason not in _SLURM_WAITS
            over = state if state in _SLURM_ENDED else ""
            seen[native] = Seen(name, over, reason if is_stuck else "")
        return Answer(seen)

    def _attached(self, native: str) -> Any:
        job = self._psij.Job()
        try:
            self._executor.attach(job, native)
        except Exception:  # PSI/J's local one asks for the process, which may be gone
            return None
        return job

    def _tidy(self, files: List[str]) -> None:
        try:
            place = Dir.open(self._place)
        except OSError:
            return
        try:
            for name in files:
                place.tidy(name)
        finally:
            place.close()


def _import() -> Any:
    logging.getLogger("psij").addHandler(logging.NullHandler())
    logging.getLogger("psij").propagate = False  # it tells of every poll
    try:
        with _signals_as_before():
            import psij
    except ImportError as error:
        raise BadInput(f"PSI/J is not installed: {error}", hint=INSTALL) from error
    return psij


class _signals_as_before:
    """Keep PSI/J from taking the signal of children's ends for itself."""

    def __enter__(self) -> None:
        self._before = signal.getsignal(signal.SIGCHLD)

    def __exit__(self, *_: object) -> None:
        if threading.current_thread() is threading.main_thread():
            signal.signal(signal.SIGCHLD, self._before)


def _run(words: List[str]) -> subprocess.CompletedProcess[str]:
    try:
        return subprocess.run(words, capture_output=True, text=True, timeout=_PATIENCE)
    except subprocess.TimeoutExpired as error:
        raise Silent(f"{words[0]} has not answered for {_PATIENCE:g} s") from error
    except OSError as error:
        raise Silent(f"{words[0]}: {error.strerror}") from error


def _lives(pid: str, ticket: str) -> bool:
    """Say whether a process is what was started for a ticket: pids are used again."""
    import psutil

    try:
        return any(ticket in word for word in psutil.Process(int(pid)).cmdline())
    except (psutil.Error, ValueError):
        return False


def _is_old(entry: os.DirEntry[str], now: float) -> bool:
    try:
        return entry.is_file() and now - entry.stat().st_mtime > _STRAY_AGE
    except OSError:
        return False

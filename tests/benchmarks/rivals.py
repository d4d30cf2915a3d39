"""Queues that people use instead of spoolq, each run for real in its ordinary way.

Those in Python are found in the environment that runs this, the others on PATH. Their tasks are in
`tasks`; what they keep (Redis, SQLite, files) lies in the directory that is measured.
"""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Callable, Iterator, List

from tests.benchmarks.bench import clean_environment, until
from tests.benchmarks.contenders import (
    PARALLEL,
    XARGS,
    Contender,
    Ready,
    Start,
    group,
)

# --- queues without a library ---------------------------------------------------------------------


@contextlib.contextmanager
def _gate(place: str, cars: int) -> Iterator[List[str]]:
    """Give a command that waits, and a file that opens the gate for all who wait when written."""
    fifo = os.path.join(place, "gate")
    os.mkfifo(fifo)
    handle = os.open(fifo, os.O_RDWR)  # so that nobody waits in open()
    gate = [str(handle), f"read line < {fifo}"]
    try:
        yield gate
    finally:
        os.write(handle, b"\n" * cars)  # nobody is left waiting
        os.close(handle)


@contextlib.contextmanager
def task_spooler(place: str, commands: List[str]) -> Iterator[Start]:
    """tsp with two slots, both held up until all is enqueued."""
    variables = clean_environment(
        TS_SOCKET=os.path.join(place, "ts.sock"), TMPDIR=place, TS_SLOTS="2", TS_MAXCONN="2000"
    )

    def tsp(*words: str) -> None:
        subprocess.run(["tsp", *words], env=variables, check=True, stdout=subprocess.DEVNULL)

    with _gate(place, 2) as (handle, wait):
        try:
            tsp("-S", "2")
            for command in (wait, wait, *commands):
                tsp("-n", "sh", "-c", command)

            def start() -> List["subprocess.Popen[bytes]"]:
                os.write(int(handle), b"\n\n")
                return []

            yield start
        finally:
            subprocess.run(["tsp", "-K"], env=variables, stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def nq(place: str, commands: List[str]) -> Iterator[Start]:
    """Two queues, as nq runs one job at a time in each; both held up until all is enqueued."""
    queues = [os.path.join(place, name) for name in ("q0", "q1")]

    def put(number: int, command: str) -> None:
        subprocess.run(
            ["nq", "-q", "sh", "-c", command],
            env=clean_environment(NQDIR=queues[number % 2]),
            check=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )

    with _gate(place, 2) as (handle, wait):
        try:
            for number, command in enumerate([wait, wait, *commands]):
                put(number, command)

            def start() -> List["subprocess.Popen[bytes]"]:
                os.write(int(handle), b"\n\n")
                return []

            yield start
        finally:
            _end_nq(queues)


def _end_nq(queues: List[str]) -> None:
    """Kill what waits in these queues: each job's file is named after its process."""
    marks = [b"NQDIR=" + os.fsencode(queue) for queue in queues]
    names = [name for queue in queues if os.path.isdir(queue) for name in os.listdir(queue)]
    for pid in {name.rpartition(".")[2] for name in names if name.lstrip(".").startswith(",")}:
        try:
            variables = Path("/proc", pid, "environ").read_bytes().split(b"\0")
            if any(mark in variables for mark in marks):
                os.kill(int(pid), signal.SIGKILL)
        except (OSError, ValueError):  # it has ended
            continue


# --- queues in Python -----------------------------------------------------------------------------


_ENQUEUE = """
import sys
from tests.benchmarks import tasks
commands = sys.stdin.read().splitlines()
"""


def _enqueue(queue: str, place: str, commands: List[str], put: str) -> None:
    """Enqueue in a process of its own, with the rival's module for this place."""
    program = f"{_ENQUEUE}{put}"
    subprocess.run(
        [sys.executable, "-c", program],
        input="\n".join(commands),
        text=True,
        check=True,
        env=clean_environment(BENCH_QUEUE=queue, BENCH_PLACE=place),
    )


@contextlib.contextmanager
def _redis(place: str) -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
    """Run a Redis that is as durable as Redis can be: each write is appended and synced."""
    socket = os.path.join(place, "redis.sock")
    settings = f"port 0 unixsocket {socket} dir {place} appendonly yes appendfsync always"
    words = [f"--{word}" if index % 2 == 0 else word for index, word in enumerate(settings.split())]
    with group() as start:
        start("redis-server", *words, "--save", "")
        until(lambda: os.path.exists(socket), "redis-server's socket")
        yield start


def huey(queue: str, kind: str) -> Ready:
    """Return how huey gets ready: two workers that are threads or processes."""

    @contextlib.contextmanager
    def ready(place: str, commands: List[str]) -> Iterator[Start]:
        with _redis(place) if queue == "huey-redis" else group() as start:
            _enqueue(queue, place, commands, "for line in commands: tasks.task(line)")
            consumer = ["-m", "huey.bin.huey_consumer", "tests.benchmarks.tasks.queue"]
            variables = {"BENCH_QUEUE": queue, "BENCH_PLACE": place}
            yield lambda: [
                start(sys.executable, *consumer, "-w", "2", "-k", kind, "-q", "-n", env=variables)
            ]

    return ready


def rq(worker: str, function: str = "shell") -> Ready:
    """Return how rq gets ready: its own pool of two workers of a class.

    Each of the commands is what a function of `tasks` is called with.
    """

    @contextlib.contextmanager
    def ready(place: str, commands: List[str]) -> Iterator[Start]:
        url = f"unix://{place}/redis.sock"
        put = (
            "import redis, rq\n"
            f"queue = rq.Queue(connection=redis.Redis.from_url({url!r}))\n"
            f"queue.enqueue_many([queue.prepare_data(tasks.{function}, args=(line,), result_ttl=0)"
            " for line in commands])"
        )
        with _redis(place) as start:
            _enqueue("rq", place, commands, put)
            pool = ["-m", "rq.cli", "worker-pool", "-n", "2", "-w", worker, "-q", "--url", url]
            yield lambda: [start(sys.executable, *pool, cwd=place)]

    return ready


@contextlib.contextmanager
def celery(place: str, commands: List[str]) -> Iterator[Start]:
    """Celery with two processes in its own pool, its settings else as they come."""
    with _redis(place) as start:
        _enqueue("celery", place, commands, "for line in commands: tasks.task.delay(line)")
        words = "-m celery -A tests.benchmarks.tasks:app worker -c 2 -P prefork -l CRITICAL".split()
        quiet = "--without-gossip --without-mingle --without-heartbeat".split()
        variables = {"BENCH_QUEUE": "celery", "BENCH_PLACE": place}
        yield lambda: [start(sys.executable, *words, *quiet, cwd=place, env=variables)]


_WAITING, _UNSYNCED = "the jobs that wait", "the jobs that wait; not synced"
_HUEY = {
    "huey-file": _UNSYNCED,
    "huey-sqlite": _UNSYNCED,
    "huey-sqlite-fsync": _WAITING,
    "huey-redis": _WAITING,
}

RIVALS = [
    XARGS,
    PARALLEL,
    Contender("tsp -S 2", "queue", "nothing", task_spooler, programs=["tsp"], at_most=500),
    Contender("nq, two queues", "queue", "nothing", nq, programs=["nq"], at_most=500),
    *[
        Contender(
            f"{queue} ({kind})",
            "queue",
            keeps,
            huey(queue, kind),
            keeps == _WAITING,
            ["redis-server"] * (queue == "huey-redis"),
            ["huey", "redis"] if queue == "huey-redis" else ["huey"],
        )
        for queue, keeps in _HUEY.items()
        for kind in ("thread", "process")
    ],
    Contender(
        "rq worker-pool -n 2 (SimpleWorker)",
        "queue",
        _WAITING,
        rq("rq.worker.SimpleWorker"),
        True,
        ["redis-server"],
        ["rq", "redis"],
    ),
    Contender(
        "rq worker-pool -n 2 (its default)",
        "queue",
        _WAITING,
        rq("rq.worker.Worker"),
        True,
        ["redis-server"],
        ["rq", "redis"],
        at_most=500,
    ),
    Contender(
        "celery -c 2 (prefork)",
        "queue",
        _WAITING,
        celery,
        True,
        ["redis-server"],
        ["celery", "redis"],
    ),
]

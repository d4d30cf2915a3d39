"""The tasks of queues in Python: one runs a command, one marks a file. Workers import this module.

Which queue it is, and where, comes in by the environment, as the rivals' own command lines want a
module. Only one queue is made, so that only its library is imported.
"""

import os

_QUEUE = os.environ.get("BENCH_QUEUE", "")
_PLACE = os.environ.get("BENCH_PLACE", "")


def shell(command: str) -> None:
    """Run a command with `sh -c`; no result is kept."""
    if os.system(command) != 0:
        raise OSError(command)


def mark(path: str) -> None:
    """Add a byte to a file; no result is kept."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    os.write(descriptor, b"x")
    os.close(descriptor)


def _huey():  # type: ignore[no-untyped-def]
    import huey

    common = {"name": "bench", "results": False}
    if _QUEUE == "huey-file":
        return huey.FileHuey(path=os.path.join(_PLACE, "huey"), **common)
    if _QUEUE == "huey-redis":
        return huey.RedisHuey(url=f"unix://{_PLACE}/redis.sock", **common)
    path = os.path.join(_PLACE, "huey.db")
    return huey.SqliteHuey(filename=path, fsync=_QUEUE == "huey-sqlite-fsync", **common)


if _QUEUE.startswith("huey"):
    queue = _huey()
    task = queue.task()(shell)
elif _QUEUE == "celery":
    import celery

    app = celery.Celery("bench", broker=f"redis+socket://{_PLACE}/redis.sock")
    app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)
    task = app.task(name="shell")(shell)

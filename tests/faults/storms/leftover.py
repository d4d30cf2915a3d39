"""A command that leaves a child which sheds marks: ``leftover.py LOCK NOTES SECONDS [SHED...]``.

The child holds a lock of its own, and notes an overlap if an older one still holds it: then two
attempts of one job run at once. It ends by itself after some seconds.
"""

import fcntl
import os
import signal
import sys
import time


def main() -> None:
    """Fork the child, and stay as long as it."""
    lock, notes, seconds, *shed = sys.argv[1:]
    until = time.monotonic() + float(seconds)
    if "deaf" in shed:
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)
    if os.fork() == 0:
        if "session" in shed:
            os.setsid()
        if "descriptors" in shed:
            os.closerange(0, 256)
        if "environment" in shed:
            rest = [word for word in shed if word == "deaf"]
            words = [sys.executable, "-S", __file__, lock, notes, seconds, "child", *rest]
            os.execve(sys.executable, words, {})
        stay(lock, notes, until)
    while time.monotonic() < until:
        time.sleep(0.05)


def stay(lock: str, notes: str, until: float) -> None:
    """Hold the lock until the time is over."""
    descriptor = os.open(lock, os.O_CREAT | os.O_RDWR, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        with open(notes, "a", encoding="ascii") as file:
            file.write("overlap\n")
    while time.monotonic() < until:
        time.sleep(0.05)
    os._exit(0)


if __name__ == "__main__":
    if "child" in sys.argv:
        stay(sys.argv[1], sys.argv[2], time.monotonic() + float(sys.argv[3]))
    main()

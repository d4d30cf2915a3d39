"""What `spoolq watch` costs: its share of a core, from /proc/PID/stat, over a minute each.

    python -m tests.benchmarks.watching               a minute each, 100,000 jobs
    python -m tests.benchmarks.watching 10 1000       ten seconds each, 1000 jobs

At rest, while a job runs that prints, and while one worker drains trivial jobs as fast as it can,
with the many jobs in pending/, in completed/, or half in each.
"""

import os
import pty
import signal
import subprocess
import sys
import tempfile
import threading
import time

from spoolq import Spool
from tests.benchmarks import fill
from tests.conftest import environment

_SETTLED = 5.0  # seconds after its start, which do not count
_HERTZ = os.sysconf("SC_CLK_TCK")


class Watch:
    """A live view on a terminal of 100 by 30 that nobody looks at."""

    def __init__(self, spool):
        self._parent, child = pty.openpty()
        subprocess.run(["stty", "cols", "100", "rows", "30"], stdin=child, check=True)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "spoolq", "--spool", spool, "watch"],
            stdin=child,
            stdout=child,
            stderr=child,
            env=environment(TERM="xterm"),
            start_new_session=True,
        )
        os.close(child)
        self.written = 0
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self):
        try:
            while True:
                self.written += len(os.read(self._parent, 65536))
        except OSError:
            pass

    def _of_proc(self, name, key):
        with open(f"/proc/{self.process.pid}/{name}") as file:
            lines = dict(line.split(":", 1) for line in file)
        return int(lines[key].split()[0])

    def now(self):
        with open(f"/proc/{self.process.pid}/stat") as file:
            fields = file.read().rsplit(")", 1)[1].split()
        ticks = sum(map(int, fields[11:13]))
        sleeps = self._of_proc("status", "voluntary_ctxt_switches")
        return time.monotonic(), ticks / _HERTZ, sleeps, self.written

    def settle(self):
        """Wait until it has slept for some seconds without waking up."""
        before = None
        while before != self._of_proc("status", "voluntary_ctxt_switches"):
            before = self._of_proc("status", "voluntary_ctxt_switches")
            time.sleep(2 * _SETTLED)

    def over(self, seconds, what, rests):
        time.sleep(_SETTLED)
        if rests:
            self.settle()
        before = self.now()
        time.sleep(seconds)
        lasted, used, sleeps, written = (b - a for a, b in zip(before, self.now()))
        memory = self._of_proc("status", "VmRSS") / 1024
        print(
            f"{what}: {used / lasted * 100:.2f} % of a core, {sleeps / lasted:.1f} wake-ups/s, "
            f"{written / lasted / 1000:.1f} kB/s written, {memory:.0f} MB",
            flush=True,
        )

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(30)
        os.close(self._parent)


def worker(spool):
    return subprocess.Popen(
        [sys.executable, "-m", "spoolq", "--spool", spool, "worker", "start", "--count", "2"],
        env=environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def scene(seconds, what, *, pending=0, completed=0, commands=(), works=False, rests=False):
    """Measure a view of a spool with so many jobs."""
    with tempfile.TemporaryDirectory() as place:
        path = fill.make(os.path.join(place, "spool"))
        fill.fill(path, "true", pending=pending, completed=completed)
        for command in commands:
            with Spool(path) as spool:
                spool.enqueue(command)
        process = worker(path) if works else None
        watch = Watch(path)
        try:
            before = len(os.listdir(os.path.join(path, "completed")))
            watch.over(seconds, what, rests)
            ended = len(os.listdir(os.path.join(path, "completed"))) - before
            if ended:
                print(f"    meanwhile {ended} jobs ended, {ended / (seconds + _SETTLED):.0f}/s")
        finally:
            watch.stop()
            if process is not None:
                stop = [sys.executable, "-m", "spoolq", "--spool", path, "worker", "stop", "--now"]
                subprocess.run(stop, env=environment(), capture_output=True, check=True)
                process.wait(30)


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 60.0
    many = int(sys.argv[2]) if len(sys.argv) > 2 else 100_000
    half = many // 2
    # Directories that changed at most an instant before they were read are read once more.
    scene(
        seconds,
        f"at rest, {many} completed, {many} pending",
        pending=many,
        completed=many,
        rests=True,
    )
    scene(
        seconds,
        "one job runs and prints ten lines a second",
        commands=[f"for i in $(seq {int(seconds + 60) * 10}); do echo $i; sleep 0.1; done"],
        works=True,
    )
    scene(seconds, f"jobs move, {many} pending", pending=many, works=True)
    scene(seconds, f"jobs move, {many} completed", pending=half, completed=many, works=True)
    scene(seconds, f"jobs move, {half} in each", pending=half, completed=half, works=True)


if __name__ == "__main__":
    main()

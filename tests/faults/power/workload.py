"""Runs in the guest: a real producer and a real worker, and a mark for all that they tell anyone.

It is run by its path and imports nothing of the tests: all that it shares with the host is how a
job's contents follow from its name (`contents`), so that the judge knows what whole means.
"""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

_ENDED = re.compile(r" INFO +(?P<id>[A-Za-z0-9_-]+) (?P<state>completed|dead): exit")
_HERE = os.path.dirname(os.path.abspath(__file__))


def contents(name):
    """Return the fields of the job of this name: `kind-round-number-size-end`.

    Each link of a `chain` but the first waits for the one before it.
    """
    kind, turn, number, size, end = name.split("-")
    fields = {"command": ["true"] if end == "ok" else "exit 3", "name": name, "max_retries": 0}
    if end == "again":
        fields.update(max_retries=1, backoff_base=0.2)
    if kind == "chain":
        fields["id"] = name
        if int(number):
            fields["after"] = [f"{kind}-{turn}-{int(number) - 1}-{size}-{end}"]
    if int(size):
        fields["env"] = {"PAD": (name * (int(size) // len(name) + 1))[: int(size)]}
    return fields


class Marker:
    """Tells the host what was promised: by the console what, by a mark in the log when."""

    def __init__(self, logged):
        self._logged = logged
        self._number = 0
        self._lock = threading.Lock()

    def __call__(self, kind, items):
        """Note that `items` were told to somebody; it must be called after that, never before."""
        with self._lock:
            self._number += 1
            text = json.dumps({"mark": self._number, "kind": kind, "items": items})
            os.write(1, f"MARK {text}\n".encode())
            if self._logged:
                command = ["dmsetup", "message", "log", "0", "mark", str(self._number)]
                subprocess.run(command, check=True)


class Guest:
    """The spool on the disk under test, with its producer, its worker and its dropper."""

    def __init__(self, path, discipline, marker):
        self.path = path
        self.mark = marker
        self._rule = discipline if discipline.startswith("no-") else ""
        self._durability = "full" if self._rule else discipline
        self._program = [sys.executable, "-m", "spoolq"]
        if self._rule:
            self._program = [sys.executable, os.path.join(_HERE, "broken.py"), self._rule]
        self._program += ["--spool", path]

    def make(self):
        """Make the spool, all of it on the disk, before anything is promised."""
        if not os.path.isdir(self.path):
            subprocess.run([*self._program, "init"], check=True, stdout=subprocess.DEVNULL)
            words = ["config", "set", "durability", self._durability]
            subprocess.run([*self._program, *words], check=True, stdout=subprocess.DEVNULL)
        os.makedirs(os.path.join(os.path.dirname(self.path), "outside"), exist_ok=True)
        os.sync()

    def enqueue(self, jobs):
        """Enqueue jobs of these names as one batch; an id that was printed is a promise."""
        lines = "".join(json.dumps(contents(name)) + "\n" for name in jobs)
        words = ["enqueue", "-"]
        if len(jobs) == 1:
            words, lines = ["enqueue", lines.strip()], ""
        done = subprocess.run(
            [*self._program, *words], input=lines, stdout=subprocess.PIPE, check=True, text=True
        )
        ids = done.stdout.split()
        assert len(ids) == len(jobs), done.stdout
        self.mark("acknowledged", dict(zip(ids, jobs)))

    def drop(self, name):
        """Drop a file as the format advises: written and synced beside, moved in, synced."""
        outside = os.path.join(os.path.dirname(self.path), "outside", name)
        with open(outside, "w", encoding="utf-8") as file:
            json.dump(contents(name), file)
            file.flush()
            os.fsync(file.fileno())
        os.rename(outside, os.path.join(self.path, "pending", f"{name}.json"))
        descriptor = os.open(os.path.join(self.path, "pending"), os.O_RDONLY)
        os.fsync(descriptor)
        os.close(descriptor)
        self.mark("dropped", {name: name})

    def worker(self, *options):
        """Start a worker whose log is followed: what it says has ended is a promise too."""
        process = subprocess.Popen(
            [*self._program, "worker", "start", "--count", "2", *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        thread = threading.Thread(target=self._follow, args=(process,))
        thread.start()
        return process, thread

    def _follow(self, process):
        for line in process.stdout:
            found = _ENDED.search(line)
            if found:
                self.mark("ended", {found["id"]: found["state"]})
            elif " INFO " not in line:
                os.write(1, f"WORKER {line}".encode())


def _names(kind, turn, count):
    sizes = (0, 300, 3000, 0, 9000, 1500)
    ends = ("ok", "ok", "ok", "fail", "ok", "again", "ok")
    return [
        f"{kind}-{turn}-{n}-{sizes[(n + turn) % 6]}-{ends[(n + turn) % 7]}" for n in range(count)
    ]


def neighbour(path, gone):
    """Write and sync a file of one's own on the same disk, as other programs do, all the time.

    What a filesystem has not been asked to keep yet may go to the disk with that, and only half.
    """
    descriptor = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    while not gone.wait(0.02):
        os.pwrite(descriptor, os.urandom(8), 0)
        os.fsync(descriptor)
    os.close(descriptor)


def one_round(guest, turn, batch):
    """One job, a chain, three, a drop, `batch` more; a worker beside, killed every other round."""
    process, thread = guest.worker()
    guest.enqueue(_names("single", turn, 1))
    guest.enqueue([f"chain-{turn}-{number}-300-ok" for number in range(3)])
    guest.enqueue(_names("three", turn, 3))
    guest.drop(f"drop-{turn}-0-3000-ok")
    if batch:
        guest.enqueue(_names("batch", turn, batch))
    guest.drop(f"drop-{turn}-1-100-ok")
    if turn % 2:
        time.sleep(0.1)
        process.kill()
    else:
        process.send_signal(signal.SIGTERM)
    process.wait()
    thread.join()
    process, thread = guest.worker("--drain")
    process.wait()
    thread.join()


def main():
    """Play the rounds that the kernel's command line asks for; 0 rounds are endless."""
    logged = os.environ["POWER_DISK"] == "log"
    guest = Guest(sys.argv[1], os.environ["POWER_DISCIPLINE"], Marker(logged))
    guest.make()
    guest.mark("ready", {})
    rounds, turn = int(os.environ["POWER_ROUNDS"]), int(os.environ["POWER_TURN"])
    last = turn + rounds
    gone = threading.Event()
    other = threading.Thread(target=neighbour, args=(guest.path + ".neighbour", gone))
    if int(os.environ["POWER_NEIGHBOUR"]):
        other.start()
    while not rounds or turn < last:
        one_round(guest, turn, int(os.environ["POWER_BATCH"]))
        turn += 1
    gone.set()
    if other.is_alive():
        other.join()


if __name__ == "__main__":
    main()

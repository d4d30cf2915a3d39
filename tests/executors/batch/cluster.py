"""A real Slurm of one node for tests: controller, node and munge of its own, in one directory.

Its ports and its munge are its own, so it disturbs no other Slurm of the machine. It starts in some
two seconds; `restart` ends a daemon, by TERM or by KILL, and starts it anew.
"""

import os
import shutil
import signal
import socket
import subprocess
import time
from pathlib import Path

PROGRAMS = ("munged", "munge", "slurmctld", "slurmd", "sbatch", "squeue")
INSTALL = "apt-get install --no-install-recommends slurmctld slurmd slurm-client munge"

_CONF = """\
ClusterName=spoolq
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmdPort={ports[1]}
AuthType=auth/munge
AuthInfo=socket={place}/munge/socket
SlurmUser=root
StateSaveLocation={place}/state
SlurmdSpoolDir={place}/spool
SlurmctldPidFile={place}/slurmctld.pid
SlurmdPidFile={place}/slurmd.pid
SlurmctldLogFile={place}/slurmctld.log
SlurmdLogFile={place}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerParameters=sched_min_interval=50000,sched_interval=1,bf_interval=1
ReturnToService=2
KillWait=5
MinJobAge={min_job_age}
GresTypes=gpu
NodeName={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory=1000 Gres=gpu:2 State=UNKNOWN
PartitionName=p Nodes=ALL Default=YES MaxTime=INFINITE OverSubscribe=FORCE:{share} State=UP
"""


def why_not():
    """Why no Slurm can be started here; "" if one can."""
    missing = [name for name in PROGRAMS if _program(name) is None]
    if missing:
        return f"{', '.join(missing)} not installed: {INSTALL}"
    if os.geteuid() != 0:
        return "slurmd starts jobs as their users, so it has to be started by root"
    return ""


def _program(name):
    return shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")


def _free_ports(count):
    taken = [socket.socket() for _ in range(count)]
    for one in taken:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in taken]
    for one in taken:
        one.close()
    return ports


class Slurm:
    """One controller and one node, on which `share` jobs use a core at once."""

    def __init__(self, place, share=4, min_job_age=300):
        self.place = Path(place)
        self.conf = self.place / "slurm.conf"
        self.environment = {"SLURM_CONF": str(self.conf)}
        host = socket.gethostname().split(".")[0]
        for name in ("state", "spool", "munge"):
            (self.place / name).mkdir(parents=True)
        self.conf.write_text(
            _CONF.format(
                host=host,
                place=self.place,
                ports=_free_ports(2),
                cpus=os.cpu_count(),
                share=share,
                min_job_age=min_job_age,
            )
        )
        for number in range(2):
            (self.place / f"gpu{number}").touch()
        (self.place / "gres.conf").write_text(f"Name=gpu File={self.place}/gpu[0-1]\n")
        self._host = host

    def start(self):
        munge = self.place / "munge"
        (munge / "key").write_bytes(os.urandom(128))
        (munge / "key").chmod(0o600)
        self._munged = subprocess.Popen(
            [_program("munged"), "--foreground", "--force", f"--socket={munge}/socket"]
            + [f"--key-file={munge}/key", f"--pid-file={munge}/pid", f"--seed-file={munge}/seed"]
            + [f"--log-file={munge}/log"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        self._wait(lambda: (munge / "socket").exists(), "munged")
        self.begin("slurmctld")
        self.begin("slurmd")
        self._wait(lambda: "idle" in self.run("sinfo", "-h", "-o", "%T", check=False), "the node")
        return self

    def begin(self, daemon):
        extra = ["-N", self._host] if daemon == "slurmd" else []
        subprocess.run(
            [_program(daemon), "-f", str(self.conf), *extra],
            check=True,
            timeout=30,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )

    def end(self, daemon, number=signal.SIGTERM):
        """End a daemon and wait until it has."""
        try:
            pid = int((self.place / f"{daemon}.pid").read_text())
            os.kill(pid, number)
        except (FileNotFoundError, ValueError, ProcessLookupError):
            return
        self._wait(lambda: not Path(f"/proc/{pid}").exists(), f"the end of {daemon}")

    def restart(self, daemon, number=signal.SIGTERM):
        self.end(daemon, number)
        self.begin(daemon)

    def resume(self):
        """Take the node into use again, which Slurm may drain after its controller was killed."""
        if "drain" in self.run("sinfo", "-h", "-o", "%T", check=False):
            self.run("scontrol", "update", f"nodename={self._host}", "state=resume", check=False)

    def stop(self):
        if self.conf.exists():
            self.run("scancel", "--me", check=False)
        for daemon in ("slurmd", "slurmctld"):
            self.end(daemon)
        self._munged.terminate()
        self._munged.wait(10)

    def run(self, *words, check=True):
        """What one of Slurm's commands prints."""
        done = subprocess.run(
            words,
            capture_output=True,
            text=True,
            timeout=60,
            env={**os.environ, **self.environment},
        )
        if check and done.returncode != 0:
            raise AssertionError(f"{words}: {done.stderr}")
        return done.stdout

    def jobs(self):
        """The state of each job that Slurm still knows, by its number."""
        lines = self.run("squeue", "-h", "-t", "all", "-o", "%i %t").splitlines()
        return dict(line.split() for line in lines)

    def _wait(self, condition, what):
        deadline = time.monotonic() + 60
        while not condition():
            if time.monotonic() > deadline:
                logs = "\n".join(path.read_text()[-2000:] for path in self.place.glob("*.log"))
                raise AssertionError(f"{what} did not come true:\n{logs}")
            time.sleep(0.05)

"""Hosts that share one directory over NFS: a server and its clients, guests on their own bridge.

All of it is in the network and mount namespaces of this process, and goes with it.
"""

import itertools
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Dict, Iterable, List, Optional, Sequence

from .. import uml
from ..apart import install
from ..cases import Bench
from ..place import REPOSITORY, SETTINGS, Place, wait_for
from .consoles import Consoles, Sign, Told
from .relay import Relay

APART = "SPOOLQ_OWN_NETWORK"  # says that this process has a network and mounts of its own
HERE = Path(__file__).resolve().parent
#: Debian's packages, and a program by which each is known.
PACKAGES = {
    "user-mode-linux": "linux.uml",
    "nfs-kernel-server": "rpc.nfsd",
    "nfs-common": "mount.nfs4",
    "iproute2": "ip",
    "e2fsprogs": "mkfs.ext4",
    "kmod": "modprobe",
}
#: Seconds: of spoolq's lease, and of the server's (in guest_init.sh): so long it keeps the locks
#: of a client that it does not hear of.
LEASE = 8.0
SERVERS_LEASE = 10.0
WITNESS = f"sh {HERE}/witness.sh"
SPOOL = "/mnt/nfs/spool"
_SERVED = "/mnt/disk/export/spool"
_CASE = "/mnt/case"  # where a guest sees the directory of the case
_numbers = itertools.count(1)


def unable() -> Optional[str]:
    """Say why there can be no such hosts here, or None."""
    if not sys.platform.startswith("linux"):
        return "user-mode Linux runs on Linux alone"
    if os.geteuid() != 0:
        return "guests on a bridge, and mounts, need root"
    absent = [name for name, program in PACKAGES.items() if not uml.find(program)]
    if absent:
        return f"these packages are not installed: {' '.join(absent)}"
    if not os.path.isdir(uml.MODULES):
        return "there are no modules for user-mode Linux"
    for device in ("/dev/net/tun", "/dev/loop-control"):
        if not os.path.exists(device):
            return f"there is no {device}"
    if os.environ.get(APART) != "1":
        return "not in a network of its own: run python -m tests.faults.hosts"
    return None


def go_apart(module: str) -> None:
    """Run this program anew in a network and with mounts of its own, if that can be."""
    if os.geteuid() != 0 or os.environ.get(APART) == "1" or not uml.find("unshare"):
        return
    install(*PACKAGES, "sshfs", "openssh-sftp-server")
    os.environ[APART] = "1"
    words = ["unshare", "--net", "--mount", "--propagation", "private", "--pid", "--mount-proc"]
    words += ["--fork", "--kill-child"]  # no guest outlives it, not even one that stands still
    os.execvp("unshare", [*words, sys.executable, "-m", module, *sys.argv[1:]])


class Host:
    """A guest that can be told to do something, and harmed."""

    def __init__(self, cluster: "Cluster", name: str, number: int, hostname: str) -> None:
        self.name = name
        self.ip = f"10.7.{cluster.number}.{number}"
        self.tap = f"tap{cluster.number}x{number}"
        # The same after each boot: the others remember it for a minute.
        self._mac = f"fe:fd:0a:07:{cluster.number % 256:02x}:{number:02x}"
        self._cluster = cluster
        self._hostname = hostname
        self._tasks = itertools.count(1)
        self.process: Optional[subprocess.Popen[bytes]] = None
        uml.run("ip", "tuntap", "add", self.tap, "mode", "tap")
        uml.run("ip", "link", "set", self.tap, "master", cluster.bridge, "up")

    def boot(self, role: str, disks: Sequence[str] = ()) -> None:
        """Start it, or start it anew."""
        top = self._cluster.top
        facts = {"role": role, "ip": self.ip, "hostname": self._hostname}
        facts["identity"] = self.name if self._cluster.are_known_apart else ""
        facts = {**facts, "python": sys.executable, "path": self._cluster.path, "case": top}
        consoles = self._cluster.consoles
        before = len(consoles.said.get(self.name, ()))
        self.process = uml.boot(
            str(HERE / "guest_init.sh"),
            top,
            facts,
            memory="192M",
            disks=disks,
            network=f"{self.tap},{self._mac}",
            is_told=True,
        )
        consoles.add(self.name, self.process)
        if not wait_for(lambda: "UP" in consoles.said[self.name][before:], 60):
            raise OSError(f"{self.name} does not boot: {consoles.said[self.name][-15:]}")

    def tell(self, command: str) -> Told:
        """Let it run a command beside whatever else it does."""
        number = next(self._tasks)
        told = self._cluster.consoles.told(self.name, number)
        line = f"{number} {command}\n".encode()
        assert len(line) < 4000, "a terminal's line has its bounds"
        assert self.process is not None and self.process.stdin is not None
        self.process.stdin.write(line)
        return told

    def do(self, command: str, seconds: float = 60.0) -> List[str]:
        """Let it run a command to its end, in success, and return what it says."""
        told = self.tell(command)
        if not wait_for(lambda: told.code is not None, seconds) or told.code != 0:
            how = "does not end" if told.code is None else f"ends with {told.code}"
            raise OSError(f"{self.name}: {command[:200]}: {how}: {told.text[-1500:]}")
        return told.lines

    def spoolq(self, *words: str) -> Told:
        """Let it run spoolq."""
        return self.tell("spoolq " + shlex.join(words))

    def worker(self, *words: str) -> Told:
        """Let it run a worker."""
        return self.spoolq("worker", "start", *words)

    def enqueue(self, jobs: Iterable[Dict[str, Any]]) -> Told:
        """Let it enqueue jobs; the ids that it says are those that were acknowledged."""
        name = f"{self.name}-{next(self._tasks)}.jobs"
        with open(os.path.join(self._cluster.top, name), "w", encoding="ascii") as file:
            file.writelines(json.dumps(job) + "\n" for job in jobs)
        return self.tell(f"spoolq enqueue - <{_CASE}/{name}")

    def mount(self, options: str = "") -> None:
        """Mount what the server exports, by NFSv4.2 unless the options say another."""
        source, relay = f"{self._cluster.server.ip}:/", self._cluster.relay
        words = [options if "vers=" in options else f"vers=4.2,{options}".rstrip(",")]
        if relay is not None:
            source, words = f"10.7.{self._cluster.number}.254:/", [*words, f"port={relay.port}"]
        if "vers=3" in options:
            source += "mnt/disk/export"
        self.do(f"mount -t nfs -o {','.join(words)} {source} /mnt/nfs")

    def cut_off(self) -> None:
        """Take it from the network; its console stays."""
        uml.run("ip", "link", "set", self.tap, "down")

    def reconnect(self) -> None:
        """Give it back to the network."""
        uml.run("ip", "link", "set", self.tap, "up")

    def freeze(self) -> None:
        """Let it stand still, as a machine whose processor stops."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def _signal(self, number: int) -> None:
        assert self.process is not None
        os.kill(self.process.pid, number)  # its kernel: no process of it gets far without

    def kill(self) -> None:
        """Take its power."""
        if self.process is not None:
            uml.cut(self.process)
            assert self.process.stdin is not None
            self.process.stdin.close()


class Cluster:
    """A server and some hosts; its spool is `bench.place.spool` once all is over.

    Args:
        hosts: how many.
        options: of their mounts.
        settings: of the spool, beside those of all campaigns.
        hostnames: of each host in turn; its own name unless given.
        role: of the server: `server3` speaks NFSv3 too.
        are_known_apart: whether the server can tell hosts of one hostname apart.
        is_relayed: whether the hosts reach the server through `relay`.
    """

    def __init__(
        self,
        bench: Bench,
        hosts: int = 2,
        options: str = "",
        hostnames: Sequence[str] = (),
        role: str = "server",
        is_relayed: bool = False,
        are_known_apart: bool = True,
        **settings: Any,
    ) -> None:
        self.bench = bench
        self.number = next(_numbers)
        self.bridge = f"br{self.number}"
        self.consoles = Consoles()
        self.top = bench.place.top
        worse = f"{_CASE}/{os.path.basename(bench.place.first)}" if bench.place.first else ""
        self.path = ":".join(filter(None, (worse, REPOSITORY)))
        self.disk = os.path.join(self.top, "server.img")
        self.settings = {**SETTINGS, "lease": LEASE, **settings}
        self._options = options
        self._role = role
        self.are_known_apart = are_known_apart
        self._is_relayed = is_relayed
        self.relay: Optional[Relay] = None
        self._everyone: List[Host] = []
        self._names = [f"host{number}" for number in range(1, hosts + 1)]
        self._hostnames = [*hostnames, *self._names[len(hostnames) :]]

    def __enter__(self) -> "Cluster":
        uml.run("ip", "link", "set", "lo", "up")
        uml.run("ip", "link", "add", self.bridge, "type", "bridge")
        uml.run("ip", "address", "add", f"10.7.{self.number}.254/24", "dev", self.bridge)
        uml.run("ip", "link", "set", self.bridge, "up")
        uml.run("truncate", "-s", "128M", self.disk)
        uml.run("mkfs.ext4", "-q", "-F", "-m", "0", "-N", "40000", self.disk)
        try:
            self.server = self._add("server", 1, "server")
            self.hosts = [
                self._add(name, 11 + n, hostname)
                for n, (name, hostname) in enumerate(zip(self._names, self._hostnames))
            ]
            self._boot_all()
            if self._is_relayed:
                self.relay = Relay(f"10.7.{self.number}.254", self.server.ip)
            for host in self.hosts:
                host.mount(self._options)
            self._make_spool()
        except BaseException:
            self.__exit__()
            raise
        return self

    def _add(self, name: str, number: int, hostname: str) -> Host:
        host = Host(self, name, number, hostname)
        self._everyone.append(host)
        return host

    def _boot_all(self) -> None:
        with ThreadPoolExecutor(len(self._everyone)) as pool:
            boots = [pool.submit(host.boot, "client") for host in self.hosts]
            self.server.boot(self._role, [self.disk])
            for boot in boots:
                boot.result()

    def _make_spool(self) -> None:
        with open(os.path.join(self.top, "config.json"), "w", encoding="ascii") as file:
            json.dump(self.settings, file, indent=2)
        self.hosts[0].do(f"spoolq init && cp {_CASE}/config.json {SPOOL}/")

    def __exit__(self, *_: object) -> None:
        for host in self._everyone:
            host.kill()
        if self.relay is not None:
            self.relay.close()
        self.consoles.close()
        for device in (*(host.tap for host in self._everyone), self.bridge):
            subprocess.run(["ip", "link", "delete", device], stderr=subprocess.DEVNULL)
        disk = os.path.join(self.top, "disk")
        subprocess.run(["umount", "--lazy", disk], stderr=subprocess.DEVNULL)

    @property
    def signs(self) -> List[Sign]:
        """The signs of life of all runs, so far."""
        return [*self.consoles.signs]

    def quiet_for(self) -> float:
        """Return the seconds since the last sign of life of any run."""
        signs = self.signs
        return time.monotonic() - signs[-1].at if signs else 0.0

    def names(self, state: str) -> List[str]:
        """Return what is in one of the spool's directories, as the server has it."""
        return self.server.do(f"ls {_SERVED}/{state}")

    def completed(self, number: int, seconds: float = 60.0) -> bool:
        """Wait until so many jobs have completed, and note if they do not."""
        said: List[int] = []

        def are_there() -> bool:
            said.append(len(self.names("completed")))
            return said[-1] >= number

        came = wait_for(are_there, seconds)
        return self.bench.check(came, f"of {number} jobs {said[-1]} are completed: {self.tail()}")

    def tail(self) -> str:
        """Return the last words of all, for who has to find out."""
        return json.dumps([self.consoles.last_words(host.name) for host in self.hosts])

    def restart_server(self) -> None:
        """Cut the server's power, and boot it anew with the disk that it had."""
        self.server.kill()
        self.server.boot(self._role, [self.disk])

    def close_spool(self) -> None:
        """End all guests, and mount the server's disk where the judge looks."""
        self.server.do("sync")
        for host in self._everyone:
            host.kill()
        disk = os.path.join(self.top, "disk")
        os.mkdir(disk)
        uml.run("mount", "-o", "loop", self.disk, disk)
        self.bench.place = Place(os.path.join(disk, "export"))

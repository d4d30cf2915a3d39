"""Guests: user-mode Linux, whose root is this machine's, read-only, by hostfs.

A guest is an ordinary process in a session of its own: killed whole, it is a machine without power.
"""

import os
import select
import shutil
import signal
import subprocess
import time
from typing import Any, Iterator, Mapping, Optional, Sequence

MODULES = "/usr/lib/uml/modules"
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def find(program: str) -> Optional[str]:
    """Return where a program is, sbin included, whatever PATH says."""
    return shutil.which(program, path=_SYSTEM_PATH)


def run(*words: str) -> None:
    """Run a tool, quietly, to success."""
    done = subprocess.run(
        words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env={"PATH": _SYSTEM_PATH}
    )
    if done.returncode:
        raise OSError(f"{' '.join(words)}: {done.stdout.decode(errors='replace').strip()}")


def boot(
    init: str,
    directory: str,
    facts: Mapping[str, Any],
    *,
    memory: str,
    disks: Sequence[str] = (),
    network: str = "",
    is_told: bool = False,
) -> "subprocess.Popen[bytes]":
    """Start a guest; what it writes to its console comes by a pipe.

    Args:
        directory: where the guest's own files go.
        facts: what its init is told: `spool.NAME=fact` on the kernel's command line.
        memory: as the kernel is told: 256M.
        disks: images, in the order of ubda, ubdb …
        network: what is its eth0, as the kernel is told: a tap device, and its own address.
        is_told: whether it reads lines from its console too, by another pipe.
    """
    for fact in facts.values():
        assert " " not in str(fact), f"the guest's kernel cannot be told {fact}"
    words = [find("linux.uml") or "linux.uml", f"mem={memory}", "root=/dev/root", "ro"]
    words += ["rootfstype=hostfs", "hostfs=/", f"init={init}", "con=null", "quiet"]
    words += ["con0=fd:0,fd:1" if is_told else "con0=null,fd:1", f"uml_dir={directory}/"]
    words += [f"ubd{number}={image}" for number, image in enumerate(disks)]
    words += [f"eth0=tuntap,{network}"] if network else []
    words += [f"spool.{key.upper()}={fact}" for key, fact in facts.items()]
    return subprocess.Popen(
        words,
        stdin=subprocess.PIPE if is_told else subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        env={"PATH": _SYSTEM_PATH, "HOME": directory, "TMPDIR": directory},
        bufsize=0,
    )


def cut(process: "subprocess.Popen[bytes]") -> None:
    """Cut the power: the guest's page cache is gone, what its disk has is kept."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        pass
    process.wait()


def lines(process: "subprocess.Popen[bytes]", seconds: float) -> Iterator[str]:
    """Yield what a guest says, until it ends or the time is up."""
    end, buffer = time.monotonic() + seconds, b""
    assert process.stdout is not None
    while True:
        left = end - time.monotonic()
        if left <= 0 or not select.select([process.stdout], [], [], left)[0]:
            return
        data = os.read(process.stdout.fileno(), 65536)
        if not data:
            return
        *whole, buffer = (buffer + data).split(b"\n")
        yield from (line.decode(errors="replace").strip() for line in whole)

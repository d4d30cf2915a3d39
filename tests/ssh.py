"""Ways to another machine that is this one: a stand-in for ssh, and a real sshd of our own."""

import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from contextlib import contextmanager

from tests.conftest import REPOSITORY

PROGRAM = f"env PYTHONPATH={shlex.quote(str(REPOSITORY))} {shlex.quote(sys.executable)} -m spoolq"
_PRIVILEGES = "/run/sshd"

#: As ssh does, it goes to the home directory of the other side and gives the command to a shell.
_STAND_IN = """\
#!/bin/sh
printf '%s\\n' "$*" >> {log}
while [ "$1" != -- ]; do shift; done
shift 2
cd {home} || exit 255
{before}
exec /bin/sh -c "$1"
"""


def stand_in(top, before="", name="ssh"):
    """Make a stand-in for ssh in a directory; its other side is `home` there.

    Args:
        before: shell commands that come before the command from over here.

    Returns:
        Its path; what it was called with is in `ssh.log` beside it.
    """
    home = top / "home"
    home.mkdir(exist_ok=True)
    path = top / name
    path.write_text(
        _STAND_IN.format(
            log=shlex.quote(str(top / "ssh.log")), home=shlex.quote(str(home)), before=before
        )
    )
    path.chmod(0o755)
    return str(path)


def why_no_sshd():
    """Return why no sshd can be had here, or None."""
    if sys.platform == "win32":
        return "no sshd of Debian's on Windows"
    missing = [name for name in ("sshd", "ssh", "ssh-keygen") if _find(name) is None]
    if missing:
        return f"no {', '.join(missing)} here: apt-get install openssh-server openssh-client"
    if os.geteuid() == 0 and not os.path.isdir(os.path.dirname(_PRIVILEGES)):
        return f"{_PRIVILEGES}, which sshd wants, cannot be made"
    return None


def _find(name):
    return shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin")


@contextmanager
def sshd(top):
    """Run an sshd of our own on the loopback; give the words of an ssh that reaches it.

    Raises:
        RuntimeError: it does not start; its text says what it said.
    """
    for name in ("host", "user"):
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(top / name)]
        subprocess.run(words, check=True)
    (top / "authorized").write_text((top / "user.pub").read_text())
    (top / "authorized").chmod(0o600)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    config = top / "sshd_config"
    config.write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {top}/host\nPidFile none\nUsePAM no\n"
        f"AuthorizedKeysFile {top}/authorized\nStrictModes no\nPermitRootLogin yes\n"
        "PasswordAuthentication no\n"
    )
    if os.geteuid() == 0:
        os.makedirs(_PRIVILEGES, exist_ok=True)  # as its own unit does
    log = open(top / "sshd.log", "w+")
    server = subprocess.Popen(
        [_find("sshd"), "-D", "-e", "-f", str(config)], stdin=subprocess.DEVNULL, stderr=log
    )
    try:
        deadline = time.monotonic() + 20
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if server.poll() is not None or time.monotonic() > deadline:
                log.seek(0)
                raise RuntimeError(f"sshd does not start: {log.read()}")
            time.sleep(0.05)
        yield (
            f"ssh -F /dev/null -p {port} -i {shlex.quote(str(top / 'user'))} "
            f"-o UserKnownHostsFile={shlex.quote(str(top / 'known'))} "
            "-o StrictHostKeyChecking=no -o LogLevel=ERROR"
        )
    finally:
        server.terminate()
        server.wait(20)
        log.close()

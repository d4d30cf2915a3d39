"""Where jobs are forwarded to: other spools, by a path or by ssh, and which job goes to which.

A target is written as for scp and git: `/srv/spool` and `../spool` are here, `host:spool`,
`user@host:/srv/spool` and `ssh://user@host:2222/srv/spool` are elsewhere, by the user's own ssh.
No shell of this machine reads any of it, and the shell over there gets it quoted.

Among several targets a job goes by rendezvous hashing: where the hash of target and key together
is the highest. So a target more takes over its own share alone, and a target less gives up only
its own. Source: Thaler and Ravishankar, "A Name-Based Mapping Scheme for Rendezvous" (1996).
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import sys
from typing import List, NamedTuple, Optional, Sequence
from urllib.parse import urlsplit

from spoolq import names, platform
from spoolq.errors import BadInput
from spoolq.job import Job
from spoolq.names import Name

SSH = "ssh"
PROGRAM = "spoolq"
#: What every ssh is told: ask nothing, run nothing but the command, and find a dead line out.
_QUIETLY = (
    "-T",
    *("-o", "BatchMode=yes"),
    *("-o", "ConnectTimeout=15"),
    *("-o", "ServerAliveInterval=15"),
    *("-o", "ServerAliveCountMax=3"),
)
_REMOTE = re.compile(r"((?:[^/:@\[\]]+@)?(?:\[[^/\[\]]+\]|[^/:@\[\]]+)):(.*)", re.DOTALL)
_HELP = "a path, host:path, user@host:path or ssh://user@host:port/path"


class Target(NamedTuple):
    """A spool to forward to.

    `text` is what it is called everywhere, and what tells it from others; `host` is what ssh takes,
    empty for a spool on this machine; an empty `path` is the default spool over there.
    """

    text: str
    path: str
    host: str = ""
    port: Optional[int] = None

    @property
    def mark(self) -> str:
        """What the slots of the claims on their way there begin with."""
        return names.mark_of(self.text)


def parse(text: str, here: str) -> Target:
    """Return the target that a person means; paths on this machine start from `here`.

    Raises:
        BadInput: it cannot be one.
    """
    if not text or not text.isprintable():
        raise BadInput(f"{text!r} names no target", hint=_HELP)
    if text.startswith("ssh://"):
        return _from_url(text)
    match = _REMOTE.fullmatch(text)
    is_drive = platform.WINDOWS and text[1:2] == ":"
    if match is None or is_drive or text.startswith("/"):
        path = os.path.abspath(os.path.join(here, text))
        return Target(path, path)
    host, path = match.groups()
    return Target(text, _from_home(path), _plain(host.replace("[", "").replace("]", ""), text))


def _from_url(text: str) -> Target:
    try:
        parts = urlsplit(text)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise BadInput(f"{text!r} names no target: {error}", hint=_HELP) from None
    if parts.password is not None or parts.query or parts.fragment:
        raise BadInput(
            f"{text!r} names no target: ssh takes no password there, nor ? or #", hint=_HELP
        )
    if parts.username:
        host = f"{parts.username}@{host}"
    path = _from_home(parts.path[1:] if parts.path.startswith("/~") else parts.path.rstrip("/"))
    return Target(text, path, _plain(host, text), port)


def _from_home(path: str) -> str:
    """Return a path on the other machine; one from the home directory needs no ~ there."""
    if path == "~" or path.startswith("~/"):
        return path[2:] or "."
    return path


def _plain(host: str, text: str) -> str:
    """Refuse a host that ssh would take for an option, or that is none."""
    if not host or host.endswith("@") or host.startswith("-") or re.search(r"\s", host):
        raise BadInput(f"{text!r} names no host that ssh could go to", hint=_HELP)
    return host


def command(
    target: Target,
    *,
    ssh: Sequence[str] = (SSH,),
    program: Sequence[str] = (PROGRAM,),
    create: bool = False,
) -> List[str]:
    """Return the words of the process that takes jobs in at a target.

    Args:
        ssh: the words of the user's ssh.
        program: the words that start spoolq on the other machine.
        create: make the spool there where there is none.
    """
    verb = ["receive", *(["--create"] if create else [])]
    where = ["--spool", target.path] if target.path else []
    if not target.host:
        return [sys.executable, "-m", "spoolq", *where, *verb]
    port = [] if target.port is None else ["-p", str(target.port)]
    there = " ".join(map(shlex.quote, [*program, *where, *verb]))
    return [*ssh, *_QUIETLY, *port, "--", target.host, there]


# --- which job goes where -------------------------------------------------------------------------


class Share:
    """Which job goes to which of several targets.

    By `id`, by `name`, or by `tag:PREFIX`: the first tag that begins so. What has no such key goes
    by its id. With `tag`, only jobs that have this tag go anywhere.
    """

    def __init__(
        self, targets: Sequence[Target], by: str = "id", tag: Optional[str] = None
    ) -> None:
        """Check `by`.

        Raises:
            BadInput: there is no such key.
        """
        if by not in ("id", "name") and not (by.startswith("tag:") and by != "tag:"):
            raise BadInput(f"no job can be told by {by!r}", hint="id, name or tag:PREFIX")
        self._targets = targets
        self._by = by
        self._tag = tag
        #: Whether the file has to be read, or its name says enough.
        self.reads = tag is not None or (by != "id" and len(targets) > 1)

    def is_for(self, target: Target, name: Name, job: Optional[Job]) -> bool:
        """Say whether a job goes to a target; `job` is needed where `reads` says so."""
        fields = job.fields if job is not None else {}
        if self._tag is not None and self._tag not in fields.get("tags", ()):
            return False
        if len(self._targets) < 2:
            return True
        return chosen(self._targets, self._key(name, job)) == target

    def _key(self, name: Name, job: Optional[Job]) -> str:
        fields = job.fields if job is not None else {}
        if self._by == "name":
            return str(fields.get("name") or name.id)
        prefix = self._by[len("tag:") :] if self._by != "id" else ""
        tags = (tag for tag in fields.get("tags", ()) if prefix and tag.startswith(prefix))
        return next(tags, name.id)


def chosen(targets: Sequence[Target], key: str) -> Target:
    """Return the one of several targets that a key belongs to, in whatever order they are."""

    def weight(target: Target) -> bytes:
        text = f"{target.text}\0{key}".encode("utf-8", "surrogatepass")
        return hashlib.sha256(text).digest()

    return max(targets, key=weight)

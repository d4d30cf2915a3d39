"""What a look at a spool can find: data, so that a program can act on it as well as a person."""

from __future__ import annotations

from typing import Any, Callable, Dict, NamedTuple, Optional

PROBLEM, NOTE = "problem", "note"


class Finding(NamedTuple):
    """One thing that was found; `code` is stable, the words are for people.

    `path` is relative to the spool for what is in it. `mend` puts it right and loses nothing;
    where there is none, `fix` is for a person alone. `repaired` says that it has been done.
    """

    code: str
    severity: str
    path: str
    what: str
    fix: str
    repaired: bool = False
    mend: Optional[Callable[[], None]] = None

    def as_dict(self) -> Dict[str, Any]:
        """Return it as JSON has it."""
        fields = self._asdict()
        del fields["mend"]
        return fields


def problem(
    code: str, path: str, what: str, fix: str, mend: Optional[Callable[[], None]] = None
) -> Finding:
    """Return something that is wrong: jobs do not run, or may be lost, or others may meddle."""
    return Finding(code, PROBLEM, path, what, fix, mend=mend)


def note(
    code: str, path: str, what: str, fix: str, mend: Optional[Callable[[], None]] = None
) -> Finding:
    """Return something to know that does no harm."""
    return Finding(code, NOTE, path, what, fix, mend=mend)


#: Every code and what it means; the command line's documentation has the same table.
CODES: Dict[str, str] = {
    "unsafe": "somebody else can put commands into the spool, or into a directory above it",
    "missing": "a directory of the spool is not there",
    "not-a-directory": "a link or a file stands where a directory belongs",
    "no-access": "the owner, or the group that may submit, cannot use a directory",
    "readable": "everybody can read the jobs, with what is in their environment",
    "other-filesystem": "a directory is on another filesystem than the spool",
    "config": "config.json cannot be read, or a value in it is wrong",
    "unknown-setting": "a key of config.json that means nothing",
    "format": "the spool is of a format that this spoolq does not know; nothing is repaired",
    "foreign-file": "a job file that the worker may not trust, or cannot read",
    "unparseable": "a file that is no job",
    "schedule": "a schedule of which nothing is enqueued",
    "ignored": "entries beside the jobs that are not looked at",
    "doubled-id": "two jobs have one id",
    "stray": "a file in processing/ names no worker",
    "orphan": "a claim whose worker is gone",
    "on-its-way": "a job may be in another spool, and who sent it is gone",
    "unfinished-move": "a job whose outcome is recorded, or which is published, and not yet moved",
    "dead-worker": "what a worker left that is gone",
    "unknown-worker": "what lies in workers/ cannot be told alive or dead",
    "worker-trouble": "a worker cannot write what it must",
    "litter": "what died in the making: old files in tmp/, bells in pending/",
    "log-without-job": "logs of jobs that are not there any more",
    "work-without-job": "directories in work/ of jobs that are over",
    "hook": "a program in hooks/ that no worker runs",
    "paused": "jobs are due, and workers take nothing new",
    "no-worker": "jobs are due, and no worker is there",
    "overdue": "a retry is long due, and the workers leave it",
    "far-future": "a job is not due for more than ten years",
    "clock-skew": "the filesystem's clock is not this machine's",
    "network-filesystem": "other hosts may share it; their events do not arrive",
    "local-locks": "locks stay within each host: one host alone may run workers",
    "out-of-reach": "a worker of another host is not heard of; it is taken over after its lease",
    "locks": "locks do not exclude",
    "rename": "the filesystem lacks a rename that replaces nothing",
    "sync": "a directory cannot be synced",
    "no-events": "workers learn of new jobs once a second only",
    "inotify-limit": "little is left of what this user may watch",
    "low-space": "little space, or few inodes, are left",
    "not-yours": "only the spool's owner may repair it",
    "not-repaired": "a repair was tried and failed",
    "check-failed": "something could not be looked at",
}

"""The units by which systemd runs a spool's workers, as texts; nothing here writes a file.

    spoolq.service            a worker that stays
    spoolq-drain.path         starts spoolq-drain.service when pending/ changes
    spoolq-drain.timer        starts it each minute where anything waits: what was scheduled for
                              later, was left by a worker that was killed, or came at the moment
                              in which the last one left and nobody watched
    spoolq-drain.service      a worker that leaves when the work is done
    spoolq-purge.timer        starts spoolq-purge.service each night
    spoolq-purge.service      removes completed jobs that are old enough

A worker's commands are in its control group. So a stop asks the worker alone (KillMode=mixed): it
ends them itself, writes down how, and leaves before TimeoutStopSec. Whatever would confine the
worker would confine the commands too, of which nothing is known here: NoNewPrivileges, and all that
implies it, breaks sudo and sendmail. Only the purge, which runs none, is confined.

Source: systemd.service(5), systemd.path(5), systemd.exec(5), systemd.syntax(7).
"""

from __future__ import annotations

import hashlib
import math
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from spoolq.errors import BadInput

#: Seconds that a worker has beyond what it was given to stop: for its disk, mostly.
MARGIN = 30

_HEAD = """\
# Written by: spoolq systemd install.  To change it, add to it:  systemctl edit {name}
# Changed here it is left alone from then on: its sha256 below this line was {sha256}
"""
_SPOOL = "RequiresMountsFor="
_ENV = "/usr/bin/env"
_PLAIN = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789/._-+=:@,")


class Wanted(NamedTuple):
    """What the units are to do; durations in seconds.

    `program` is the spoolq to run, as words; `run_as` the user of a system's unit, None where the
    units are a user's own; `grace` what the spool's settings give a command between TERM and KILL.
    """

    name: str
    program: Sequence[str]
    spool: str
    run_as: Optional[str]
    slots: int
    stop_within: float
    grace: float
    log_format: str
    keep: str

    @property
    def timeout(self) -> int:
        """Return the seconds after which a stop is a kill."""
        return math.ceil(self.stop_within + self.grace + MARGIN)


def units(wanted: Wanted) -> Dict[str, str]:
    """Return the text of every unit by its file name.

    Raises:
        BadInput: the path of the spool or of the program cannot be written in a unit.
    """
    for text in (*wanted.program, wanted.spool):
        _require_writable(text)
    base = wanted.name
    texts = {
        f"{base}.service": _worker(wanted),
        f"{base}-drain.service": _drain(wanted),
        f"{base}-drain.path": _path(wanted),
        f"{base}-drain.timer": _drain_timer(wanted),
        f"{base}-purge.service": _purge(wanted),
        f"{base}-purge.timer": _purge_timer(wanted),
    }
    return {name: _signed(name, text) for name, text in texts.items()}


def is_as_written(text: str) -> bool:
    """Say whether a unit is one of ours, and as it was written."""
    *head, body = text.split("\n", 2)
    written_by, changed_here = (line.split("{")[0] for line in _HEAD.splitlines())
    return (
        len(head) == 2 and head[0].startswith(written_by) and head[1] == changed_here + _sum(body)
    )


def spool_in(text: str) -> str:
    """Return which spool a unit is for, as it is spelled there; "" where it does not say."""
    return next((line[len(_SPOOL) :] for line in text.splitlines() if line.startswith(_SPOOL)), "")


# --- spelling -------------------------------------------------------------------------------------


def word(text: str) -> str:
    """Return text as one word of a setting that takes words: quoted, `%` no specifier."""
    plain = text.replace("%", "%%")
    if text and _PLAIN.issuperset(text):
        return plain
    return '"' + plain.replace("\\", "\\\\").replace('"', '\\"') + '"'


def rest(text: str) -> str:
    """Return text as all of a setting that takes one path: `%` no specifier, and no quotes."""
    return text.replace("%", "%%")


def command(words: Sequence[str]) -> str:
    """Return a command line whose program is run with these words, as they are.

    `$` is doubled, but not in the program's path, where systemd looks for no variable; since it
    does so in the name that the program is given, `env` stands before one with a `$`.
    """
    program, *others = [_ENV, *words] if "$" in words[0] else words
    return " ".join([word(program), *(word(text).replace("$", "$$") for text in others)])


def _require_writable(text: str) -> None:
    try:
        text.encode("utf-8")
        writable = text.isprintable() and text == text.strip()
    except UnicodeEncodeError:
        writable = False
    if not writable:
        raise BadInput(
            f"{text!r} cannot be written in a unit of systemd",
            hint="a path without control characters, and without blanks at its ends, can",
        )


def _sum(body: str) -> str:
    return hashlib.sha256(body.encode("utf-8")).hexdigest()


def _signed(name: str, body: str) -> str:
    return _HEAD.format(name=name, sha256=_sum(body)) + body


_Section = Tuple[str, List[Tuple[str, str]]]


def _unit(*sections: _Section) -> str:
    return "\n".join(
        f"[{head}]\n" + "".join(f"{key}={value}\n" for key, value in settings)
        for head, settings in sections
    )


# --- the units ------------------------------------------------------------------------------------


def _about(wanted: Wanted, what: str) -> List[Tuple[str, str]]:
    return [
        ("Description", f"spoolq: {what} {rest(wanted.spool)}"),
        ("RequiresMountsFor", word(wanted.spool)),
    ]


def _run_as(wanted: Wanted) -> List[Tuple[str, str]]:
    return [("User", wanted.run_as)] if wanted.run_as is not None else []


def _start(wanted: Wanted, *more: str) -> List[Tuple[str, str]]:
    """Return the settings of a service that is a worker."""
    words = [*wanted.program, "--spool", wanted.spool, "worker", "start"]
    words += ["--count", str(wanted.slots), "--stop-within", f"{math.ceil(wanted.stop_within)}s"]
    words += ["--log-format", wanted.log_format, *more]
    return [
        ("Type", "notify"),
        ("WatchdogSec", "60"),
        *_run_as(wanted),
        ("ExecStart", command(words)),
        ("KillMode", "mixed"),
        ("TimeoutStopSec", str(wanted.timeout)),
        # A job that the kernel kills for its memory fails alone.
        ("OOMPolicy", "continue"),
    ]


def _worker(wanted: Wanted) -> str:
    target = "multi-user.target" if wanted.run_as is not None else "default.target"
    # A command line that is wrong stays wrong; a disk that is not there yet may come.
    restart = [("Restart", "on-failure"), ("RestartSec", "10"), ("RestartPreventExitStatus", "2")]
    return _unit(
        ("Unit", _about(wanted, "a worker on")),
        ("Service", [*_start(wanted), *restart]),
        ("Install", [("WantedBy", target)]),
    )


def _drain(wanted: Wanted) -> str:
    # Any of them: what waits, and what a worker that was killed has left. An empty spool then costs
    # no process. A burst of arrivals is no reason to give up, as the default of 5 in 10 s is.
    some = [
        ("ConditionDirectoryNotEmpty", f"|{rest(wanted.spool)}/{state}")
        for state in ("pending", "processing", "failed", "schedules")
    ]
    return _unit(
        ("Unit", [*_about(wanted, "do the work of"), *some, ("StartLimitIntervalSec", "0")]),
        ("Service", _start(wanted, "--drain")),
    )


def _path(wanted: Wanted) -> str:
    # Not DirectoryNotEmpty: a job for tomorrow would start workers all day, as fast as they leave.
    return _unit(
        ("Unit", _about(wanted, "wait for jobs in")),
        ("Path", [("PathChanged", f"{rest(wanted.spool)}/pending")]),
        ("Install", [("WantedBy", "paths.target")]),
    )


def _drain_timer(wanted: Wanted) -> str:
    # By the calendar: a timer that counts from the last run stands still after a condition failed.
    return _unit(
        ("Unit", _about(wanted, "look each minute for what is due in")),
        ("Timer", [("OnCalendar", "minutely"), ("AccuracySec", "5s")]),
        ("Install", [("WantedBy", "timers.target")]),
    )


def _purge(wanted: Wanted) -> str:
    words = [*wanted.program, "--spool", wanted.spool, "purge"]
    words += ["--state", "completed", "--older-than", wanted.keep]
    # A user's manager may not do the rest.
    confined = [("NoNewPrivileges", "yes")]
    if wanted.run_as is not None:
        confined += [
            ("ProtectSystem", "strict"),
            ("ProtectHome", "read-only"),
            ("ReadWritePaths", word(wanted.spool)),
            ("PrivateNetwork", "yes"),
            ("ProtectKernelTunables", "yes"),
            ("ProtectControlGroups", "yes"),
            ("RestrictSUIDSGID", "yes"),
        ]
    return _unit(
        ("Unit", _about(wanted, f"remove what was completed {wanted.keep} ago from")),
        (
            "Service",
            [
                ("Type", "oneshot"),
                *_run_as(wanted),
                ("ExecStart", command(words)),
                ("Nice", "10"),
                *confined,
            ],
        ),
    )


def _purge_timer(wanted: Wanted) -> str:
    return _unit(
        ("Unit", _about(wanted, "each night, remove old jobs from")),
        (
            "Timer",
            [("OnCalendar", "daily"), ("RandomizedDelaySec", "1h"), ("Persistent", "yes")],
        ),
        ("Install", [("WantedBy", "timers.target")]),
    )

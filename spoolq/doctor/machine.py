"""The filesystem and the machine: what works there is found out by trying, in tmp/."""

from __future__ import annotations

import os
import sys
import threading
import time
from typing import Any, Callable, Dict, Iterator, Optional, Tuple

from spoolq import lease, locks, names, platform
from spoolq.doctor.finding import Finding, note, problem
from spoolq.doctor.patient import Patient
from spoolq.errors import SpoolqError
from spoolq.fsio import Dir
from spoolq.neighbours import others_at_work, why_locks_are_local
from spoolq.watcher import Watcher

Facts = Dict[str, Any]
Trial = Callable[[Dir, Facts], Iterator[Finding]]

CLOCK_SKEW = 2.0
FREE_BYTES = 64 * 1024 * 1024
FREE_INODES = 1000
EVENT_WITHIN = 5.0  # seconds that an event may take on a busy machine
_LIMITS = "/proc/sys/fs/inotify"
_LIBRARIES = ("click", "portalocker", "watchdog", "rich")


def versions() -> Facts:
    """Return what runs here."""
    from importlib.metadata import PackageNotFoundError, version

    # By way of sys.modules: an import would be one of the front door, which is above this.
    package = sys.modules["spoolq"]
    found: Facts = {"spoolq": package.__version__, "python": sys.version.split()[0]}
    for library in _LIBRARIES:
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            found[library] = None
    if hasattr(os, "uname"):
        found["kernel"] = f"{os.uname().sysname} {os.uname().release}"
    else:
        found["kernel"] = sys.platform
    return found


def trials(patient: Patient, facts: Facts) -> Iterator[Finding]:
    """Try in a directory of tmp/ what spoolq relies on."""
    tmp = patient.spool.dir("tmp")
    name = f"doctor-{names.random_text(8)}"
    tmp.make_dir(name)
    try:
        room = tmp.sub(name)
        room.path = os.path.join(tmp.path, name)
        try:
            for trial in (_clock, _locks, _rename, _sync, _events):
                try:
                    yield from trial(room, facts)
                except (OSError, SpoolqError) as error:
                    what = f"the trial of {trial.__name__.strip('_')} failed: {error}"
                    yield problem("check-failed", "tmp", what, "look at this filesystem")
        finally:
            room.close()
    finally:
        lease.clear(tmp, name, tmp)


def _clock(room: Dir, facts: Facts) -> Iterator[Finding]:
    before = time.time()
    descriptor = room.create("clock")
    try:
        changed = os.fstat(descriptor).st_mtime
    finally:
        os.close(descriptor)
    skew = changed - min(max(changed, before), time.time())
    facts["clock_skew"] = round(skew, 3)
    if abs(skew) > CLOCK_SKEW:
        yield problem(
            "clock-skew",
            "tmp",
            f"a new file is {abs(skew):.1f} s {'ahead of' if skew > 0 else 'behind'} the clock",
            "set the clocks of this machine and of the file server by NTP",
        )


def _locks(room: Dir, facts: Facts) -> Iterator[Finding]:
    first = room.create("lock")
    second = room.open_lock("lock")
    try:
        facts["locks"] = False
        facts["locks"] = locks.try_lock(first) and not locks.try_lock(second)
        reason = "two descriptors can lock one file"
    except OSError as error:
        reason = error.strerror or str(error)
    finally:
        os.close(first)
        os.close(second)
    if not facts["locks"]:
        what = f"locks do not exclude here ({reason}): one job could run twice at the same time"
        yield problem("locks", "tmp", what, "move the spool to a local filesystem")


def _rename(room: Dir, facts: Facts) -> Iterator[Finding]:
    for name in ("one", "two"):
        os.close(room.create(name))
    at = (room.fd, room.fd) if room.fd >= 0 else (None, None)
    facts["rename_noreplace"] = False
    try:
        if platform.rename_noreplace(room.name("one"), room.name("two"), *at):
            what = "a rename that must replace nothing has replaced a file: a job could be lost"
            yield problem("rename", "tmp", what, "move the spool to another filesystem")
            return
    except FileExistsError:
        # Linux sees by itself that a name is taken; it asks the filesystem only where it is free.
        facts["rename_noreplace"] = platform.rename_noreplace(
            room.name("one"), room.name("three"), *at
        )
        if facts["rename_noreplace"]:
            return
    try:
        room.publish("one", room, "three")
    except OSError as error:
        what = f"neither renames that replace nothing nor hard links work: {error.strerror}"
        yield problem("rename", "tmp", what, "move the spool to another filesystem")
        return
    what = "renames that replace nothing do not work here; hard links and a look before stand in"
    yield note("rename", "tmp", what, "a local filesystem on Linux has them")


def _sync(room: Dir, facts: Facts) -> Iterator[Finding]:
    facts["directory_sync"] = False
    try:
        room.sync()
        facts["directory_sync"] = platform.can_sync_directories()
    except OSError as error:
        what = f"a directory cannot be synced: {error.strerror}; a power cut may lose jobs"
        yield problem("sync", "tmp", what, "move the spool to another filesystem")


def _events(room: Dir, facts: Facts) -> Iterator[Finding]:
    heard = threading.Event()
    watcher = Watcher(room.path, heard.set, lambda filename: heard.set())
    try:
        watcher.start()
        watching = watcher.watches
        if watching:
            os.close(room.create("event"))
        facts["events"] = watching and heard.wait(EVENT_WITHIN)
    finally:
        watcher.stop()
    if not facts["events"]:
        what = "file events do not arrive here: workers look once a second instead"
        yield note("no-events", "tmp", what, "see inotify-limit, or move the spool to a local disk")


def filesystem(patient: Patient, facts: Facts) -> Iterator[Finding]:
    """Find a network filesystem, and one that is nearly full."""
    facts["filesystem"] = platform.filesystem(patient.path)
    network = platform.network_filesystem(patient.path)
    if network is not None:
        why = facts["locks_are_local"] = why_locks_are_local(patient.path)
        others = others_at_work(patient.spool) if why else {}
        if others:
            worker, host = min(others.items())
            what = f"{why}, and {worker} of {host} works here: start no worker on this host"
            yield problem("local-locks", "", what, "let one host alone run workers, or use NFSv4")
        elif why:
            what = f"{why}: let the workers of one host alone use it"
            yield note("local-locks", "", what, "several hosts need NFSv4 with its locks on")
        else:
            what = (
                f"it is on {network}, where no events of other hosts arrive: looks come each second"
            )
            yield note(
                "network-filesystem", "", what, "nothing: workers of several hosts may use it"
            )
    if not hasattr(os, "statvfs"):
        return
    info = os.statvfs(patient.path)
    facts["free_bytes"] = info.f_bavail * info.f_frsize
    facts["free_inodes"] = info.f_favail if info.f_files else None
    if facts["free_bytes"] < FREE_BYTES:
        what = f"{facts['free_bytes'] // 1024} KiB are free on its filesystem"
        yield problem("low-space", "", what, "free some space: spoolq purge --older-than 7d")
    if facts["free_inodes"] is not None and facts["free_inodes"] < FREE_INODES:
        what = f"{facts['free_inodes']} inodes are free on its filesystem: each job needs one"
        yield problem("low-space", "", what, "remove files: spoolq purge --older-than 7d")


def inotify(patient: Patient, facts: Facts) -> Iterator[Finding]:
    """Find out how much of what this user may watch is used."""
    limits = {key: _limit(key) for key in ("max_user_instances", "max_user_watches")}
    if None in limits.values():
        return  # no Linux, or no inotify in it
    used = dict(zip(limits, _in_use()))
    facts["inotify"] = {**limits, **{f"used{key[8:]}": used[key] for key in limits}}
    for key, limit in limits.items():
        if limit is not None and used[key] >= 0.9 * limit:
            yield note(
                "inotify-limit",
                os.path.join(_LIMITS, key),
                f"this user has used {used[key]} of {limit}; a worker needs one, and polls without",
                f"sysctl fs.inotify.{key}={2 * limit}",
            )


def _limit(key: str) -> Optional[int]:
    try:
        with open(os.path.join(_LIMITS, key), encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def _in_use() -> Tuple[int, int]:
    """Return the instances and watches of this user's processes. Source: proc(5), fdinfo."""
    instances = watches = 0
    for process in filter(str.isdigit, os.listdir("/proc")):
        try:
            if os.stat(f"/proc/{process}").st_uid != platform.effective_user():
                continue
            for descriptor in os.listdir(f"/proc/{process}/fd"):
                if os.readlink(f"/proc/{process}/fd/{descriptor}") != "anon_inode:inotify":
                    continue
                instances += 1
                with open(f"/proc/{process}/fdinfo/{descriptor}", encoding="ascii") as file:
                    watches += sum(line.startswith("inotify ") for line in file)
        except OSError:
            continue  # it has ended, or is not ours to see
    return instances, watches

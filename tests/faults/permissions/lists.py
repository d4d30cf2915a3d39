"""Access control lists: whom else they let write, behind a mode that looks harmless.

The group bits of the mode are a list's mask then, and the group is the owner's private one, so the
mode alone says that nobody else may write.
"""

import json
import os
import pwd
import shutil
import subprocess
from functools import partial
from typing import List, Optional

from .. import apart
from ..cases import Bench, Case
from ..place import Place
from . import people
from .people import OTHER, Person, drop, ground, group

_BLIND = "from spoolq import rights\nrights.acl_lets_others = lambda *all, **more: False\n"
_CARELESS = "from spoolq import trust\ntrust.may_be_changed = lambda *all: False\n"
_WITH_A_GROUP = "backup"  # a user of every Debian whose group has nobody else in it


def _unable() -> Optional[str]:
    if people.unable():
        return people.unable()
    if shutil.which("setfacl") is None:
        apart.install("acl")
    if shutil.which("setfacl") is None:
        return "there is no setfacl: install Debian's acl, or set SPOOLQ_TEST_INSTALL=1 as root"
    if _WITH_A_GROUP not in {entry.pw_name for entry in pwd.getpwall()}:
        return f"there is no user {_WITH_A_GROUP}"
    probe = os.path.join(apart.scratch(), f"spoolq-acl-{os.getpid()}")
    os.mkdir(probe)
    done = subprocess.run(["setfacl", "-m", f"u:{OTHER}:r", probe], stderr=subprocess.PIPE)
    os.rmdir(probe)
    return "no access control lists on this filesystem" if done.returncode else None


def _give(path: str, *entries: str) -> None:
    for entry in entries:
        subprocess.run(["setfacl", "-m", entry, path], check=True)


def _start(bench: Bench, spoiled: str, uid: int) -> Place:
    place = ground(bench, uid)
    if spoiled:
        bench.place = place = place.spoiled(spoiled)
    return place


def _directories(bench: Bench, shared: bool, spoiled: str = "") -> None:
    """Let a list name somebody who may write: refused, mended as told; others do no harm."""
    user = pwd.getpwnam(_WITH_A_GROUP)
    _start(bench, spoiled, user.pw_uid)
    name, games = group()
    above = os.path.join(bench.place.top, "above")
    spool = os.path.join(above, "spool")
    os.mkdir(above)
    os.chown(above, user.pw_uid, user.pw_gid)
    groups = [user.pw_gid, games] if shared else [user.pw_gid]
    owner = Person(bench, user.pw_uid, 0o022, groups)
    owner.must("init", *(["--group", name] if shared else []), spool=spool)
    inner = [os.path.join(spool, entry) for entry in ("pending", "failed", "workers")]
    stranger = f"u:{OTHER}:"
    refused = [[f"{stranger}rwx"], [f"{stranger}w"], ["g:daemon:rwx"]]
    refused.append([f"{stranger}x", f"d:{stranger}rw"])
    taken = [[f"{stranger}rx"], [f"u:{user.pw_uid}:rwx", "u:0:rwx"], [f"g:{user.pw_gid}:rwx"]]
    taken.append([f"{stranger}rwx", "m::rx"])
    # The group of the spool may write in it; without one, nobody but the owner can enter it.
    inside = [f"g:{games}:rwx"] if shared else [f"d:{stranger}rwx"]
    for path in (above, spool, *inner) if bench.long else (above, inner[0]):
        before = os.stat(path).st_mode & 0o7777
        if spoiled and bench.wrong:
            return
        for entries in refused:
            if path == above and entries[-1].startswith("d:"):
                continue  # what is made above is not the spool's
            _give(path, *entries)
            bench.count("lists")
            done = owner.spoolq("worker", "start", "--drain", spool=spool)
            told = [line for line in done.stderr.splitlines() if "setfacl -" in line]
            bench.check(
                done.returncode == 1 and path in done.stderr and told,
                f"{path} with {entries}: not refused, {done.returncode} {done.stderr}",
            )
            for line in told:
                os.system("setfacl" + line.split("setfacl", 1)[1])
            done = owner.spoolq("worker", "start", "--drain", spool=spool)
            bench.check(done.returncode == 0, f"{entries} not mended as told: {done.stderr}")
            _clear(path, before)
        for entries in taken if path == above else [*taken, inside]:
            _give(path, *entries)
            bench.count("lists")
            done = owner.spoolq("worker", "start", "--drain", spool=spool)
            bench.check(done.returncode == 0, f"{path} with {entries}: refused, {done.stderr}")
            _clear(path, before)


def _clear(path: str, mode: int) -> None:
    subprocess.run(["setfacl", "-bk", path], check=True)
    os.chmod(path, mode)


def _inherited(bench: Bench) -> None:
    """Make and use a spool where lists are inherited: nobody gets a right by that."""
    user = pwd.getpwnam(_WITH_A_GROUP)
    _start(bench, "", user.pw_uid)
    above = os.path.join(bench.place.top, "above")
    os.mkdir(above, 0o755)
    os.chown(above, user.pw_uid, user.pw_gid)
    _give(above, f"d:u:{OTHER}:rwx", "d:o::rwx")
    spool = os.path.join(above, "new", "spool")
    owner = Person(bench, user.pw_uid, 0o000, [user.pw_gid])
    owner.must("enqueue", "--", "true", spool=spool)
    owner.must("enqueue", '{"command": "false", "max_retries": 0}', spool=spool)
    other = Person(bench, OTHER)
    for verb in (["enqueue", "--", "true"], ["status"]):
        done = other.spoolq(*verb, spool=spool)
        bench.check(done.returncode in (1, 2), f"{verb} by a list that was inherited: {done}")
    done = owner.spoolq("worker", "start", "--drain", spool=spool)
    made = os.stat(os.path.dirname(spool)).st_mode & 0o777
    bench.check(done.returncode == 0, f"its own new/ ({made:o}) is refused: {done.stderr}")
    bench.check(len(os.listdir(os.path.join(spool, "completed"))) == 1, "it did not run")
    for directory, names, files in os.walk(spool):
        for entry in (*names, *files):
            mode = os.stat(os.path.join(directory, entry)).st_mode
            bench.check(not mode & 0o077, f"{directory}/{entry} has the mode {mode:o}")
    bench.count("lists", 2)


def _files(bench: Bench, spoiled: str = "") -> None:
    """Open the directories for all to look into: a file that others can change does not run."""
    user = pwd.getpwnam(_WITH_A_GROUP)
    place = _start(bench, spoiled, user.pw_uid)
    owner = Person(bench, user.pw_uid, 0o022, [user.pw_gid])
    owner.must("init")
    owner.must("config", "set", "settle", "0.2")
    for path in (place.spool, *(os.path.join(place.spool, s) for s in ("pending", "processing"))):
        os.chmod(path, 0o755)
    games = group()[1]
    good: List[str] = []
    bad: List[str] = []
    for name, mode, gid, entries, runs in (
        ("plain", 0o644, user.pw_gid, [], True),
        ("private", 0o664, user.pw_gid, [], True),
        ("listed", 0o644, user.pw_gid, [f"u:{OTHER}:r"], True),
        ("masked", 0o644, user.pw_gid, [f"u:{OTHER}:rw", "m::r"], True),
        ("everybody", 0o666, user.pw_gid, [], False),
        ("members", 0o664, games, [], False),
        ("named", 0o644, user.pw_gid, [f"u:{OTHER}:rw"], False),
        ("group", 0o644, user.pw_gid, [f"g:{games}:rw"], False),
    ):
        for filename in (f"{name}.json", f"20200101T000000000000Z.p5.a0.{name}-formed.json"):
            made = os.path.join(place.spool, "tmp", "made")
            drop(os.path.join(place.spool, "tmp"), "made", f"echo >{place.runs}/{name}", OTHER)
            with open(made, "w", encoding="ascii") as file:
                json.dump({"command": f"echo >{place.runs}/{filename}"}, file)
            os.chown(made, user.pw_uid, gid)
            os.chmod(made, mode)
            if entries:
                _give(made, *entries)
            os.rename(made, os.path.join(place.spool, "pending", filename))
            (good if runs else bad).append(filename)
            bench.count("files")
    done = owner.spoolq("worker", "start", "--drain")
    bench.check(done.returncode == 0, f"the worker left with {done.returncode}: {done.stderr}")
    ran = sorted(os.listdir(place.runs))
    bench.check(ran == sorted(good), f"ran {ran}, and should {sorted(good)}")
    dead = os.listdir(os.path.join(place.spool, "dead"))
    bench.check(sorted(dead) == sorted(bad), f"dead/ holds {dead}, and should {bad}")
    bench.check(
        "can be written by others" in done.stderr, f"it did not say why: {done.stderr[-600:]}"
    )


CASES = [
    Case("lists on a user's directories", partial(_directories, shared=False), _unable),
    Case(
        "lists on a group's directories",
        partial(_directories, shared=True),
        _unable,
        is_long=True,
    ),
    Case("lists that are inherited", _inherited, _unable),
    Case("files that others can change do not run", _files, _unable),
    Case(
        "control: lists are not looked at",
        partial(_directories, shared=False, spoiled=_BLIND),
        _unable,
        expects=r"rwx'\]: not refused",
    ),
    Case(
        "control: files that others can change run",
        partial(_files, spoiled=_CARELESS),
        _unable,
        expects="^ran .*everybody.*, and should",
    ),
]

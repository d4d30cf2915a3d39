"""Who is refused, and told why; what modes and owners spoolq's own files get."""

import os
from functools import partial
from typing import Dict, List

from ..cases import Bench, Case
from .people import OTHER, OWNER, Person, drop, ground, group, unable, write

_FORM = "20200101T000000000000Z.p5.a0.{}.json"
_TRUST_NOTHING_LESS = "from spoolq import trust\ntrust.trusts = lambda info, group: True\n"
_TRUST_ANY_PATH = "from spoolq import trust\ntrust.refusals = lambda *all: iter(())\n"


def _files(spool: str) -> Dict[str, os.stat_result]:
    found = {}
    for directory, names, files in os.walk(spool):
        for name in (*names, *files):
            path = os.path.join(directory, name)
            found[os.path.relpath(path, spool)] = os.lstat(path)
    return found


def _mine_and_theirs(worker: int, bench: Bench, spoiled: str = "") -> None:
    """Drop files of another user, of any mode, beside the worker's own."""
    place = ground(bench, worker)
    if spoiled:
        bench.place = place = place.spoiled(spoiled)
    owner = Person(bench, worker)
    owner.must("init")
    write(os.path.join(place.spool, "config.json"), '{"format": 1, "settle": 0.2}', worker)
    for mode in (0o600, 0o640, 0o644, 0o664, 0o666, 0o755, 0o4755):
        name = f"m{mode:o}"
        note = f"echo ran >>{place.runs}/"
        for state in ("pending", "failed"):
            into = os.path.join(place.spool, state)
            drop(into, _FORM.format(f"{state}-{name}"), f"{note}theirs-{state}-{name}", OTHER, mode)
        into = os.path.join(place.spool, "processing")
        claim = _FORM.format(f"claimed-{name}")[:-5] + "@gone-1-abcdef.0.json"
        drop(into, claim, f"{note}theirs-claimed-{name}", OTHER, mode)
        into = os.path.join(place.spool, "pending")
        drop(into, f"their-{name}.json", f"{note}theirs-dropped-{name}", OTHER, mode)
        drop(into, f"own-{name}.json", f"{note}own-{name}", worker, mode)
        bench.count("files of others", 4)
    for where in ("dead", "workers", "tmp", "logs", "completed"):
        write(os.path.join(place.spool, where, "stranger"), "{}", OTHER, 0o666)
    done = owner.spoolq("worker", "start", "--drain")
    bench.check(done.returncode == 0, f"the worker left with {done.returncode}: {done.stderr}")
    ran = sorted(os.listdir(place.runs))
    bench.check(not [name for name in ran if "theirs" in name], f"files of another ran: {ran}")
    bench.check(len([name for name in ran if "own-" in name]) == 7, f"of ours ran only {ran}")
    for state in ("pending", "failed", "processing"):
        left = place.names(state)
        bench.check(not left, f"{state}/ still holds {left}")
    if worker == 0:
        bench.check("belongs to user" in done.stderr, f"it did not say why: {done.stderr}")
    for verb in (["status"], ["list"], ["dlq", "list"], ["purge", "--yes"]):
        owner.must(*verb)


def _parents(bench: Bench, spoiled: str = "") -> None:
    """Open the spool, a directory of it or one above to others: refused, then mended as told."""
    place = ground(bench, 0)
    if spoiled:
        bench.place = place = place.spoiled(spoiled)
    above = os.path.join(place.top, "above")
    os.mkdir(above)
    os.chown(above, OWNER, OWNER)
    spool = os.path.join(above, "spool")
    owner = Person(bench, OWNER)
    owner.must("init", spool=spool)
    games = group()[1]
    for path in (above, spool, *(os.path.join(spool, name) for name in ("pending", "workers"))):
        before = os.stat(path).st_mode & 0o7777
        for mode, gid, user in (
            (0o777, OWNER, OWNER),
            (0o775, games, OWNER),
            (0o2770, games, OWNER),
            (0o755, OWNER, OTHER),
        ):
            os.chown(path, user, gid)
            os.chmod(path, mode)
            bench.count("open places")
            done = owner.spoolq("worker", "start", "--drain", spool=spool)
            said = done.stderr
            bench.check(
                done.returncode == 1 and path in said, f"{path} {mode:o} {user}: not refused {said}"
            )
            if spoiled and bench.wrong:
                return  # the control is caught
            bench.check(
                "chown" in said if user != OWNER else "chmod g" in said, f"no remedy: {said}"
            )
            if user == OWNER:
                for line in said.splitlines():
                    if "chmod g" in line:
                        os.system("chmod" + line.split("chmod", 1)[1])
                done = owner.spoolq("worker", "start", "--drain", spool=spool)
                bench.check(done.returncode == 0, f"not mended as told: {done.stderr}")
            os.chown(path, OWNER, OWNER)
            os.chmod(path, before)
    os.chown(above, 0, 0)
    os.chmod(above, 0o1777)
    done = owner.spoolq("worker", "start", "--drain", spool=spool)
    bench.check(done.returncode == 0, f"a sticky directory above was refused: {done.stderr}")
    link = os.path.join(above, "link")
    os.symlink(spool, link)
    os.lchown(link, OTHER, OTHER)
    done = owner.spoolq("worker", "start", "--drain", spool=link)
    bench.check(done.returncode == 0, f"a link to a safe spool was refused: {done.stderr}")


def _strangers_spool(bench: Bench) -> None:
    """Each verb, of root on a user's spool and of a user on root's: done, or words."""
    place = ground(bench)
    owner, root, other = Person(bench, OWNER), Person(bench, 0, 0o077), Person(bench, OTHER)
    owner.must("init")
    job_id = root.must("enqueue", "--id", "byroot", "--", "true").stdout.strip()
    root.must("enqueue", "--id", "gone", "--", "true")
    root.must("cancel", "gone")
    for verb in (["status"], ["list"], ["show", job_id], ["pause"], ["resume"], ["dlq", "list"]):
        root.must(*verb)
    root.must("config", "set", "settle", "0.2")
    done = root.spoolq("worker", "start", "--drain")
    bench.check(
        done.returncode == 1 and "belongs to user" in done.stderr,
        f"root worked on a user's spool: {done.stderr}",
    )
    bad = {name for name, info in _files(place.spool).items() if info.st_uid != OWNER}
    bench.check(not bad, f"root left files that the owner does not own: {bad}")
    owner.must("worker", "start", "--drain")
    bench.check(
        [name for name in place.names("completed") if job_id in name], "root's job did not run"
    )
    roots = os.path.join(place.top, "roots")
    root.must("init", spool=roots)
    for spool, person in ((roots, owner), (place.spool, other)):
        before = _files(spool)
        for verb in (
            ["status"],
            ["list"],
            ["enqueue", "--", "true"],
            ["worker", "start", "--drain"],
            ["cancel", "byroot"],
            ["purge", "--yes"],
            ["pause"],
            ["init"],
            ["dlq", "list"],
            ["config", "set", "settle", "1"],
        ):
            done = person.spoolq(*verb, spool=spool)
            bench.check(
                done.returncode in (1, 2)
                and ("not readable" in done.stderr or "ermission" in done.stderr),
                f"{verb} of {person.uid} on another's spool: {done.returncode} {done.stderr}",
            )
        bench.check(set(_files(spool)) == set(before), f"a stranger changed {spool}")


def _modes(umask: int, shared: bool, bench: Bench) -> None:
    """Make and use a spool under an umask: exact modes, and the command has the umask as it was."""
    place = ground(bench)
    name, gid = group()
    who = Person(bench, OWNER, umask, [gid] if shared else ())
    who.must("init", *(["--group", name] if shared else []))
    submitter = Person(bench, OTHER, umask, [gid]) if shared else who
    for number in range(3):
        submitter.must("enqueue", "--", "sh", "-c", f"umask >&2; umask >>{place.runs}/{number}")
    submitter.must("enqueue", '{"command": "false", "max_attempts": 1}')
    who.must("worker", "start", "--drain")
    file_mode, directory_mode = (0o660, 0o2770) if shared else (0o600, 0o700)
    for path, info in {**_files(place.spool), ".": os.lstat(place.spool)}.items():
        want = directory_mode if os.path.isdir(os.path.join(place.spool, path)) else file_mode
        mode = info.st_mode & 0o7777
        bench.count("modes")
        bench.check(mode == want, f"{path} has mode {mode:o} under umask {umask:o}")
        bench.check(not shared or info.st_gid == gid, f"{path} is of group {info.st_gid}")
    logs = os.path.join(place.spool, "logs")
    printed: List[str] = []
    for entry in os.listdir(logs):
        with open(os.path.join(logs, entry), encoding="ascii") as file:
            printed += file.read().split()
    bench.check(printed == [f"{umask:04o}"] * 3, f"commands had the umasks {printed}")
    if shared:
        outsider = Person(bench, OWNER + 9, umask)
        done = outsider.spoolq("enqueue", "--", "true")
        bench.check(done.returncode in (1, 2), "who is no member of the group submitted a job")


CASES = [
    Case("root runs no files of others", partial(_mine_and_theirs, 0), unable),
    Case("a user runs no files of others", partial(_mine_and_theirs, OWNER), unable),
    Case("places that others may write are refused", _parents, unable),
    Case("root and users on each other's spools", _strangers_spool, unable),
    *(
        Case(
            f"umask {umask:o}, {'a group' if shared else 'one user'}",
            partial(_modes, umask, shared),
            unable,
        )
        for umask in (0, 0o077, 0o777)
        for shared in (False, True)
    ),
    Case(
        "control: files of everybody are trusted",
        partial(_mine_and_theirs, 0, spoiled=_TRUST_NOTHING_LESS),
        unable,
        expects="^files of another ran: .*theirs-",
    ),
    Case(
        "control: any place is trusted",
        partial(_parents, spoiled=_TRUST_ANY_PATH),
        unable,
        expects="777 .*: not refused",
    ),
]

"""A worker's identity: a directory with a lock in it, alive while the lock is held.

    workers/web1-4121-x7f3kq/
        lock            held from before the directory can be seen until the process ends
        worker.json     who this is, for people and for `worker list`
        0.lock 1.lock   one for each slot in use: held by the run, inherited by its command
        0.outcome       the end of a run, in the making
        stop            requests of others: stop, stop.now, cancel.ID, count.N

Death is noticed without clocks: the kernel frees the locks. `lock` is close-on-exec, so it tells of
the worker; a slot's lock is inherited, so it tells of what is left of a run.
"""

from __future__ import annotations

import errno
import json
import os
import stat
from typing import Any, Dict, List, Mapping, NoReturn, Optional, Set, Tuple

from spoolq import locks, names, platform
from spoolq.errors import InvalidJob
from spoolq.fsio import Dir, read_all, write_all
from spoolq.layout import put_away, translated
from spoolq.spool import OUTCOME, SpoolDir

LOCK = "lock"
CARD = "worker.json"
#: Errors that say that what stands in the place of a lock is none.
NO_LOCK = frozenset({errno.ELOOP, errno.EISDIR, errno.ENXIO, errno.EMLINK})
_NOTE_SIZE = 512
_LONGEST_TROUBLE = 200  # of each step that is refused
CARD_SIZE = 1024  # written at full length, so that it can be changed on a full disk


def _card_bytes(card: Dict[str, Any]) -> bytes:
    return json.dumps(card).encode("utf-8")[: CARD_SIZE - 1].ljust(CARD_SIZE - 1) + b"\n"


def slot_lock(slot: str) -> str:
    """Return the name of a slot's lock file."""
    return f"{slot}.lock"


class Lease:
    """The right to claim jobs under a name, until it is left or the process ends."""

    def __init__(self, spool: SpoolDir, name: str, directory: Dir, lock: int) -> None:
        self.spool = spool
        self.name = name
        self.dir = directory
        self.card: Dict[str, Any] = {}
        self._troubles: Dict[str, str] = {}
        self._lock = lock
        self.inode = directory.stat().st_ino

    @classmethod
    def start(cls, spool: SpoolDir, card: Dict[str, Any], renews: float = 0) -> Lease:
        """Become a worker: make the directory in tmp/, lock it, then show it.

        So no one ever sees a living worker unlocked. `card` is what `worker list` shows beside
        the process itself. Where other hosts share the spool, who runs jobs `renews` its lease of
        so many seconds (`heartbeat`).
        """
        import socket  # here alone: enqueue imports this module and needs no host

        name = names.new_worker(socket.gethostname(), os.getpid())
        with translated(spool.path):
            tmp = spool.dir("tmp")
            tmp.make_dir(name)
            directory = tmp.sub(name)
            lock = -1
            try:
                lock = directory.create(LOCK)
                if not locks.try_lock(lock):
                    raise OSError(37, "the lock of a new file is held: do locks work here?", LOCK)
                lease = cls(spool, name, directory, lock)
                lease.card = {
                    "pid": os.getpid(),
                    "host": socket.gethostname(),
                    "boot": platform.boot_id(),
                    **({"lease": renews} if renews else {}),
                    **card,
                }
                directory.write(CARD, _card_bytes(lease.card), sync=False)
                # RACE: a sweeper looks only into workers/, where a directory appears with its lock
                # held (test_a_worker_that_starts_is_never_taken_for_dead).
                tmp.rename(name, spool.dir("workers"), name)
            except BaseException:
                if lock >= 0:
                    os.close(lock)
                directory.close()
                raise  # what was made is litter in tmp/
            directory.path = os.path.join(spool.dir("workers").path, name)
        return lease

    def show_trouble(self, step: str, trouble: str) -> None:
        """Let worker.json say what keeps the worker from a step, or that nothing does any more.

        It is written over in place, which a full disk allows; where none of it can be, there is
        still the log.
        """
        # Escaped it would take six bytes for a character, and worker.json keeps its size.
        text = trouble.encode("ascii", "backslashreplace").decode("ascii")[:_LONGEST_TROUBLE]
        if self._troubles.get(step, "") == text:
            return
        troubles = {**self._troubles, step: text}
        if self.show(trouble="; ".join(filter(None, troubles.values()))):
            self._troubles = troubles  # else it is tried again as long as there is trouble

    def show(self, **facts: Any) -> bool:
        """Let worker.json say something else of this worker; False where it cannot just now."""
        card = {**self.card, **facts}
        try:
            descriptor = open_own(self.dir, CARD)
            try:
                write_all(descriptor, _card_bytes(card))
            finally:
                os.close(descriptor)
        except OSError:
            return False
        self.card = card
        return True

    def is_ours(self) -> bool:
        """Say whether the spool and workers/W are still the directories of the start.

        Raises:
            OSError: it cannot be seen just now.
        """
        try:
            here = self.spool.dir("workers").stat(self.name).st_ino == self.inode
            return here and os.path.samestat(os.stat(self.spool.path), self.spool.root.stat())
        except (FileNotFoundError, NotADirectoryError):
            return False

    def reopen(self) -> None:
        """Open this worker's directory to it again, which a command may have shut."""
        try:
            _open_to_its_owner(self.dir)
        except OSError:
            pass  # what cannot be written in it then says why

    def take_slot(self, slot: str) -> Optional[int]:
        """Lock a slot with a fresh descriptor; None if something of an older run still holds it."""
        try:
            descriptor = open_own(self.dir, slot_lock(slot))
        except FileNotFoundError:
            descriptor = self.dir.create(slot_lock(slot))
        except OSError as error:
            if error.errno in NO_LOCK:  # put there by somebody: another slot will do
                return None
            raise
        return locks.taken(descriptor)

    def requests(self) -> List[str]:
        """Return what others ask of this worker."""
        return list(filter(is_request, self.dir.list()))

    def leave(self) -> None:
        """Stop being a worker: remove the directory, then let its lock go.

        With a claim left (a worker that gives up) all stays: recovery needs the slots' locks and
        the requests. What cannot be removed is left for the next sweep.
        """
        has_gone = self._has_gone()
        os.close(self._lock)
        self.dir.close()
        if not has_gone and self.spool.is_shared:
            self._has_gone()  # on NFS what was open stayed, under another name, until now

    def _has_gone(self) -> bool:
        try:
            if self.is_ours() and not self.spool.has_claims_of(self.name):
                clear(self.spool.dir("workers"), self.name, self.spool.dir("tmp"))
            return True
        except OSError:
            return False  # the next sweep removes what is left: its lock is free from now on


def is_request(entry: str) -> bool:
    """Say whether a file in a worker's directory asks it for something."""
    return entry in ("stop", "stop.now") or entry.startswith(("cancel.", "count."))


def open_own(directory: Dir, name: str, *, strict: bool = False) -> int:
    """Open a file of spoolq's own, to be written over in its place.

    Args:
        strict: refuse a second name, and what is no file, even where only the owner may write.

    RACE: a member of the spool's group may have put a hard link there, to a file of the owner's
    that lies elsewhere (test_no_file_outside_is_written_through_a_hard_link).

    Raises:
        OSError: EMLINK where it is a second name; it is not there, or something else.
    """
    descriptor = directory.open_lock(name)
    if strict or directory.file_mode & 0o060:
        info = os.fstat(descriptor)
        if info.st_nlink > 1 or not stat.S_ISREG(info.st_mode):
            os.close(descriptor)
            raise OSError(errno.EMLINK, "it is a hard link to another file, or none", name)
    return descriptor


def write_slot(descriptor: int, claim: str, pid: int, started: float, boot: str) -> None:
    """Write into a slot's file, just opened, who leads the run of which claim, and its start."""
    # As json.dumps would: there is nothing in these texts to escape.
    text = f'{{"claim": "{claim}", "pid": {pid}, "started": {started}, "boot": "{boot}"}}\n'
    write_all(descriptor, text.encode("ascii").ljust(_NOTE_SIZE))


def write_note(descriptor: int, facts: Mapping[str, Any]) -> None:
    """Write into a slot's file how a run elsewhere is found again; "claim" is among the facts.

    Raises:
        OSError: it is too long, or the disk refuses it.
    """
    data = json.dumps(dict(facts)).encode("utf-8")
    if len(data) >= CARD_SIZE:
        raise OSError(errno.EFBIG, "the note of a run is too long")
    os.lseek(descriptor, 0, os.SEEK_SET)
    write_all(descriptor, data.ljust(CARD_SIZE - 1) + b"\n")


def read_slot(spool: SpoolDir, worker: str, slot: str, claim: str) -> Dict[str, Any]:
    """Return what a slot's file says of this claim's run; {} where it says nothing."""
    return _read_json(spool, worker, slot_lock(slot), claim=claim)


def read_card(spool: SpoolDir, worker: str) -> Dict[str, Any]:
    """Return what a worker's worker.json says; {} where it says nothing."""
    return _read_json(spool, worker, CARD)


def look_at_card(spool: SpoolDir, worker: str) -> Tuple[Dict[str, Any], Tuple[int, ...]]:
    """Return what a worker.json says, and what it looks like: each beat changes that.

    ({}, ()) where the worker has no directory. It is opened, so that a network filesystem asks its
    server.

    Raises:
        OSError: it cannot be seen just now.
    """
    try:
        directory = room(spool, worker)
    except (FileNotFoundError, NotADirectoryError):
        return {}, ()
    try:
        return _read_from(directory, CARD)
    except FileNotFoundError:
        return {}, (0,)
    finally:
        directory.close()


def _read_json(spool: SpoolDir, worker: str, filename: str, **must_have: str) -> Dict[str, Any]:
    try:
        directory = room(spool, worker)
    except OSError:
        return {}
    try:
        value = _read_from(directory, filename)[0]
    except OSError:
        return {}
    finally:
        directory.close()
    return {} if any(value.get(k) != v for k, v in must_have.items()) else value


def _read_from(directory: Dir, filename: str) -> Tuple[Dict[str, Any], Tuple[int, ...]]:
    """Return the object in a file, {} where it is half-written or foreign, and its looks."""
    try:
        descriptor = directory.open_file(filename)
    except InvalidJob:
        return {}, ()
    try:
        info = os.fstat(descriptor)
        value = json.loads(read_all(descriptor, CARD_SIZE), parse_constant=_no_number)
    except ValueError:
        value = {}
    finally:
        os.close(descriptor)
    looks = (info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
    return value if isinstance(value, dict) else {}, looks


def _no_number(word: str) -> NoReturn:
    raise ValueError(f"{word} is no number of JSON, and not equal to itself")


def ended_slots(spool: SpoolDir, worker: str) -> Set[str]:
    """Return the slots of a worker whose run has ended and waits for the disk."""
    try:
        directory = room(spool, worker)
    except OSError:
        return set()
    try:
        entries = directory.list()
    except OSError:
        return set()
    finally:
        directory.close()
    return {entry[: -len(OUTCOME)] for entry in entries if entry.endswith(OUTCOME)}


def room(spool: SpoolDir, worker: str, *, to_write: bool = False) -> Dir:
    """Open a worker's directory, even if a command has shut it to its own user.

    Who only looks, changes its rights where nothing could be seen in it.

    Raises:
        OSError: it is not there, no directory, or not this user's.
    """
    return _entered(spool.dir("workers"), worker, 0o700 if to_write else 0o500)


def _entered(parent: Dir, name: str, rights: int = 0o700) -> Dir:
    try:
        directory = parent.sub(name)
    except PermissionError:
        if platform.WINDOWS:
            raise
        platform.change_mode(parent.name(name), 0o700, parent.fd if parent.fd >= 0 else None)
        directory = parent.sub(name)
        platform.own_directory(directory.fd, directory.file_mode, None)
    try:
        _open_to_its_owner(directory, rights)
    except BaseException:
        directory.close()
        raise
    return directory


def _open_to_its_owner(directory: Dir, rights: int = 0o700) -> None:
    """Give the owner of a directory what a command has taken: to read, write and enter it."""
    if directory.fd >= 0 and os.fstat(directory.fd).st_mode & rights != rights:
        platform.own_directory(directory.fd, directory.file_mode, None)


def probe(spool: SpoolDir, worker: str, filename: str = LOCK) -> str:
    """Say whether a lock is "held", "free" or "missing", without disturbing it.

    The probe takes a shared lock, so two who look at once do not see each other. "held" may be
    false for an instant (a sibling between vfork and exec); "free" is never false.
    """
    try:
        directory = room(spool, worker)
    except (FileNotFoundError, NotADirectoryError):  # whatever somebody put there is no worker
        return "missing"
    try:
        descriptor = directory.open_lock(filename)
    except FileNotFoundError:
        return "missing"
    finally:
        directory.close()
    try:
        return "free" if locks.try_lock(descriptor, shared=True) else "held"
    finally:
        os.close(descriptor)


def clear(parent: Dir, name: str, tmp: Dir) -> None:
    """Remove a directory and the files in it: a worker's, with the requests to it.

    A directory in it, which a command has made there, goes to `tmp`, where litter is swept. What
    cannot be removed holds up nothing that can.

    Raises:
        OSError: it is not there, or something stays, or has come into it meanwhile.
    """
    directory = _entered(parent, name)
    failure: Optional[OSError] = None
    try:
        for entry in directory.list():
            try:
                put_away(directory, entry, tmp)
            except OSError as error:
                failure = failure or error
    finally:
        directory.close()
    if failure is not None:
        raise failure
    parent.rmdir(name)

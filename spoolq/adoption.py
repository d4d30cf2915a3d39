"""Dropped files become jobs: any program may put a file with a new name into pending/.

A file that is a job gets a name of the form by one rename. One that does not parse is left alone
while somebody has it open for writing and until it has stood still for `settle` seconds of this
worker's own clock; then it goes to dead/, byte for byte. What is not a regular file goes there at
once and is never opened. No bad file stops or slows the others.
"""

from __future__ import annotations

import os
from datetime import datetime
from typing import Callable, Dict, Iterable, List, NamedTuple, Optional, Set, Tuple

from spoolq import admission, dependencies, instants, names, platform, trust
from spoolq.config import Settings
from spoolq.errors import Busy, IdTaken, InvalidJob, KeyTaken, SpoolqError, StorageFailed
from spoolq.fsio import Dir, read_all
from spoolq.job import MAX_FILE, MAX_GIVEN, Job
from spoolq.logs import logger
from spoolq.names import Name
from spoolq.spool import SpoolDir

_MANY = 1000  # files of which it is remembered what was said
_PAUSE = 1.0  # seconds after which a file that could not be looked at is looked at again


class _Doubt(NamedTuple):
    """A file that does not parse: what it looked like, and since when it has stood still."""

    size: int
    mtime_ns: int
    since: float


class _Drop(NamedTuple):
    """A dropped file of which something has to be decided before it is a job."""

    filename: str
    asked: admission.Asked


class Unreadable(InvalidJob):
    """A file that is no job now, and may become one while somebody writes it."""

    def __init__(self, reason: InvalidJob, size: int, mtime_ns: int, has_writer: bool) -> None:
        super().__init__(str(reason), hint=reason.hint)
        self.size = size
        self.mtime_ns = mtime_ns
        self.has_writer = has_writer


def read_job(
    directory: Dir, filename: str, settings: Settings, limit: int = MAX_FILE
) -> Tuple[Job, datetime]:
    """Read a job file that anybody may have put there.

    Returns:
        The job and the instant of its file's last change.

    Raises:
        FileNotFoundError: it is gone.
        Unreadable: it does not parse, or not yet.
        InvalidJob: it is not a regular file, or comes from somebody who may run nothing here.
    """
    try:
        descriptor = directory.open_file(filename)
    except PermissionError as error:
        info = directory.stat(filename)  # a copy may get its mode when it is whole
        reason = InvalidJob(f"cannot be read: {error.strerror}")
        raise Unreadable(reason, info.st_size, info.st_mtime_ns, has_writer=False) from None
    try:
        info = require_trusted(directory, descriptor, settings.group)
        try:
            job = Job.from_bytes(read_all(descriptor, limit), limit)
        except InvalidJob as error:
            info = os.fstat(descriptor)
            raise Unreadable(
                error, info.st_size, info.st_mtime_ns, platform.has_writer(descriptor)
            ) from None
        return job, instants.of_file(info.st_mtime_ns)
    finally:
        os.close(descriptor)


def require_trusted(directory: Dir, descriptor: int, group: Optional[str]) -> os.stat_result:
    """Return what an open file is that says what is to be run.

    Raises:
        InvalidJob: it comes from somebody who may run nothing here, or such a one can change it.
    """
    info = os.fstat(descriptor)
    # Root, who recovers a claim on a user's spool, judges a file as that user's worker does.
    ours = directory.owner is not None and directory.owner[0] == info.st_uid
    if not (ours or trust.trusts(info, group)):
        raise InvalidJob(f"belongs to user {info.st_uid}, who may not run commands here")
    place = (directory.fd, directory.stat()) if info.st_mode & 0o022 else None
    if place is not None and trust.may_be_changed(descriptor, info, *place, group):
        raise InvalidJob("can be written by others, who may not run commands here")
    return info


class Intake:
    """The files in pending/ that are not, or not yet, jobs in the form."""

    def __init__(
        self,
        spool: SpoolDir,
        clock: Callable[[], datetime],
        monotonic: Callable[[], float],
    ) -> None:
        self._spool = spool
        self._clock = clock
        self._monotonic = monotonic
        self._doubts: Dict[str, _Doubt] = {}
        # Since when, and whether merely because somebody is at work.
        self._put_off: Dict[str, Tuple[float, bool]] = {}
        self._said: Dict[str, str] = {}  # what was said to be in the way of which file

    def doubts(self) -> Set[str]:
        """Return the files that do not parse, or cannot be dealt with, and are watched."""
        return {*self._doubts, *self._put_off}

    def is_idle(self) -> bool:
        """Say whether nothing is watched that may yet become a job soon."""
        return not self._doubts and not any(busy for _, busy in self._put_off.values())

    def ripe(self, settings: Settings) -> List[str]:
        """Return the watched files that have stood still for long enough to be judged.

        Those that could not be looked at a second ago are returned as well.
        """
        now = self._monotonic()
        return [
            filename
            for filename, doubt in self._doubts.items()
            if now - doubt.since >= settings.settle
        ] + [filename for filename, (since, *_) in self._put_off.items() if now - since >= _PAUSE]

    def patience(self, settings: Settings) -> Optional[float]:
        """Return the seconds until a file is worth another look, or None."""
        now = self._monotonic()
        waits = [doubt.since + settings.settle - now for doubt in self._doubts.values()]
        waits += [since + _PAUSE - now for since, *_ in self._put_off.values()]
        return max(min(waits), 0.05) if waits else None

    def admit(self, filenames: Iterable[str], settings: Settings) -> List[str]:
        """Look at files of pending/ and return the names under which jobs can be claimed now."""
        ready: List[str] = []
        decided: List[_Drop] = []
        for filename in filenames:
            if self._is_unchanged(filename, settings):
                continue
            formed = names.parse(filename)
            limit = MAX_FILE if formed else MAX_GIVEN
            try:
                job, changed_at = read_job(self._spool.dir("pending"), filename, settings, limit)
            except FileNotFoundError:
                self._forget(filename)
            except Unreadable as error:
                self.doubt(filename, error, settings)
            except InvalidJob as error:
                self._bury(filename, error)
            except OSError as error:
                self.put_off(filename, error)
            else:
                if formed:
                    self._forget(filename)
                    ready.append(filename)
                    continue
                name = self._name(filename, job, changed_at)
                _warn_of_strangers(job, name)
                if admission.concerns(job):
                    decided.append(_Drop(filename, admission.Asked(name, job)))
                elif self._adopt(filename, name):
                    ready.append(str(name))
        return ready + self._admit_decided(decided, settings)

    def doubt(self, filename: str, error: Unreadable, settings: Settings) -> None:
        """Watch a file that does not parse, and bury it when it has stood still for long enough."""
        now = self._monotonic()
        self._put_off.pop(filename, None)
        seen = self._doubts.get(filename)
        still = seen is not None and (seen.size, seen.mtime_ns) == (error.size, error.mtime_ns)
        if not still or error.has_writer or seen is None:
            self._doubts[filename] = _Doubt(error.size, error.mtime_ns, now)
        elif now - seen.since >= settings.settle:
            self._bury(filename, error)

    def put_off(self, filename: str, error: Exception) -> None:
        """Put a file off that cannot be dealt with just now, so that the others get their turn."""
        self._doubts.pop(filename, None)
        reason = getattr(error, "strerror", None) or str(error)
        busy = isinstance(error, Busy)
        if self._said.get(filename) != reason and not busy:
            if len(self._said) > _MANY:
                self._said.clear()
            self._said[filename] = reason
            logger.warning("pending/%s: %s; trying again", filename, reason)
        self._put_off[filename] = (self._monotonic(), busy)

    # --- inside -----------------------------------------------------------------------------------

    def _is_unchanged(self, filename: str, settings: Settings) -> bool:
        """Say whether a watched file need not be read again yet."""
        if filename in self._put_off:
            return self._monotonic() - self._put_off[filename][0] < _PAUSE
        seen = self._doubts.get(filename)
        if seen is None or self._monotonic() - seen.since >= settings.settle:
            return False
        try:
            info = self._spool.dir("pending").stat(filename)
        except OSError:
            return False
        return (info.st_size, info.st_mtime_ns) == (seen.size, seen.mtime_ns)

    def _name(self, filename: str, job: Job, changed_at: datetime) -> Name:
        instant = job.run_at or min(changed_at, self._clock())
        job_id = job.fields.get("id") or names.id_from_stem(filename)
        return Name(instants.to_stamp(instant), job.priority, 0, job_id)

    def _admit_decided(self, drops: List[_Drop], settings: Settings) -> List[str]:
        """Adopt drops of which something has to be decided: whether their id is free, for instance.

        RACE: two workers could find one id free at once, so this is done under the lock that
        `enqueue --id` takes (test_two_drops_with_one_id_run_once).
        """
        if not drops:
            return []
        ready: List[str] = []
        left = {drop.filename: drop for drop in drops}
        try:
            with admission.held(self._spool, patience=0):
                gate = admission.Gate(self._spool, [drop.asked for drop in drops])
                for step in (gate.judge, gate.judge_waits):
                    for drop in [*left.values()]:
                        try:
                            step(drop.asked)
                        except (InvalidJob, IdTaken, KeyTaken) as error:
                            del left[drop.filename]
                            self._refuse(drop, error, settings)
                self._refuse_circles(gate, left)
                gate.make(settings.durability)
                for drop in [*left.values()]:
                    name = gate.name(drop.asked.name)
                    if self._adopt(drop.filename, name):
                        ready.append(str(name))
                    del left[drop.filename]
        except (SpoolqError, OSError) as error:
            for filename in left:
                self.put_off(filename, error)
        return ready

    def _refuse_circles(self, gate: admission.Gate, left: Dict[str, _Drop]) -> None:
        """Bury drops that wait for each other, so that the others are let in."""
        while True:
            try:
                return gate.refuse_circles()
            except dependencies.Circle as circle:
                for drop in [*left.values()]:
                    if drop.asked.name.id in circle.jobs:
                        del left[drop.filename]
                        gate.withdraw(drop.asked)
                        self._bury(drop.filename, circle)

    def _refuse(self, drop: _Drop, error: SpoolqError, settings: Settings) -> None:
        """Bury what is refused; what it waits for may be about to be dropped itself."""
        if isinstance(error, dependencies.Unknown):
            try:
                info = self._spool.dir("pending").stat(drop.filename)
            except OSError:
                self._forget(drop.filename)
                return
            seen = Unreadable(error, info.st_size, info.st_mtime_ns, has_writer=False)
            self.doubt(drop.filename, seen, settings)
        else:
            if isinstance(error, IdTaken):
                error = admission.taken_of_file()
            self._bury(drop.filename, error)

    def _adopt(self, filename: str, name: Name) -> bool:
        try:
            adopted = self._spool.adopt(filename, name)
        except OSError as error:
            self.put_off(filename, error)
            return False
        self._forget(filename)
        return adopted

    def _forget(self, filename: str) -> None:
        self._doubts.pop(filename, None)
        self._put_off.pop(filename, None)

    def _bury(self, filename: str, reason: SpoolqError) -> None:
        try:
            buried = self._spool.bury("pending", filename, filename)
        except (OSError, StorageFailed) as error:
            self.put_off(filename, error)
            return
        self._forget(filename)
        if buried is not None:
            logger.warning("no job, now dead/%s: %s", buried, reason)


def _warn_of_strangers(job: Job, name: Name) -> None:
    for field, meant in job.unknown_fields().items():
        hint = f"; did you mean {meant!r}?" if meant else ""
        logger.warning("%s: the field %r means nothing to spoolq%s", name.id, field, hint)

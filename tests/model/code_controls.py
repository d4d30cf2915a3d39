"""Negative controls of rules that no model of renames can hold: of times, links and syncs.

Each is a worse piece of the code and a judge that finds nothing wrong with the code as it is, and
something with the worse one.
"""

import os
from datetime import timedelta
from typing import Any, Callable, Dict, NamedTuple, Tuple

from spoolq import adoption, fsio, job, outcomes, platform, recovery
from spoolq.adoption import Intake
from spoolq.config import Settings
from spoolq.errors import InvalidJob
from tests import given
from tests.histories import History, replay
from tests.recording import Recording

Judge = Callable[[Any, Any, Any], None]  # of a spool, a clock and a monkeypatch


class CodeControl(NamedTuple):
    """One rule taken out of the code, and who finds out."""

    judge: Judge
    worse: Tuple[Tuple[Any, str, Any], ...]


# ---- judges


def waits_from_its_end(spool: Any, clock: Any, monkeypatch: Any) -> None:
    """A job that ran for a minute and failed waits for its backoff, counted from then."""
    history = """
        enqueue a
        advance 60
        end a 1
        see failed a.a1+62
        advance 1.9
        see failed a.a1+62
    """
    replay(History(history), spool, clock)


def leaves_what_is_being_written(spool: Any, clock: Any, monkeypatch: Any) -> None:
    """A drop that is copied with an old time, while somebody sets the wall clock, becomes a job."""
    intake = Intake(spool, clock, clock.monotonic)
    path = given.write(spool, "pending", "x.json", '{"command": ')
    os.utime(path, (1, 1))
    assert intake.admit(["x.json"], Settings()) == []
    clock.set_wall(clock() + timedelta(days=1))
    assert intake.admit(["x.json"], Settings()) == []
    assert spool.dir("dead").list() == []
    given.write(spool, "pending", "x.json", '{"command": "echo whole"}')
    assert len(intake.admit(["x.json"], Settings())) == 1


def takes_a_second_link(spool: Any, clock: Any, monkeypatch: Any) -> None:
    """A drop that was linked into pending/, its first name not yet gone, becomes a job."""
    intake = Intake(spool, clock, clock.monotonic)
    path = given.write(spool, "tmp", "x", '{"command": "echo linked"}')
    os.link(path, os.path.join(spool.path, "pending", "x.json"))
    assert len(intake.admit(["x.json"], Settings())) == 1


def _syncs(spool: Any, clock: Any, monkeypatch: Any, durability: str) -> "list[str]":
    """Finish a job; return which calls of sync and of rename came, in order."""
    own = given.worker(spool)
    claim = given.claim(spool, own, given.job(spool, "pending", given.named(clock)), clock)
    end = given.record(spool, claim, clock, exit_code=0)
    recording = Recording(monkeypatch)
    spool.finish(own.dir, [end], durability)
    own.leave()
    return [name for name, *_ in recording.journal if "sync" in name or "rename" in name]


def syncs_the_record_first(spool: Any, clock: Any, monkeypatch: Any) -> None:
    """With `accept` the data of a record is synced before it is renamed over the job."""
    calls = _syncs(spool, clock, monkeypatch, "accept")
    assert calls.index("rename") > 0 and "sync" in calls[0], calls


def syncs_all_of_btrfs(spool: Any, clock: Any, monkeypatch: Any) -> None:
    """On btrfs the whole filesystem is synced after the move, and no directory alone."""
    monkeypatch.setattr(platform, "is_btrfs", lambda descriptor: True)
    calls = _syncs(spool, clock, monkeypatch, "full")
    assert calls[-1] == "sync_filesystem" and "fsync" not in calls, calls


def syncs_all_of_btrfs_with_accept(spool: Any, clock: Any, monkeypatch: Any) -> None:
    """On btrfs `accept` is as `full`."""
    monkeypatch.setattr(platform, "is_btrfs", lambda descriptor: True)
    calls = _syncs(spool, clock, monkeypatch, "accept")
    assert calls[-1] == "sync_filesystem", calls


# ---- the worse code


def _from_its_start(
    entry: job.Entry, attempt: int, policy: job.Policy, chance: float = 0.0
) -> Tuple[str, Any, int]:
    begun = {**entry, "finished_at": entry["started_at"]}
    return job.next_place(begun, attempt, policy, chance)


def _by_the_files_time(
    self: Intake, filename: str, error: adoption.Unreadable, settings: Settings
) -> None:
    if self._clock().timestamp() - error.mtime_ns / 1e9 >= settings.settle:
        self._bury(filename, error)


def _refuses_a_second_link(directory: fsio.Dir, filename: str, *args: Any) -> Any:
    if directory.stat(filename).st_nlink > 1:
        raise InvalidJob("has a second name")
    return _READ_JOB(directory, filename, *args)


_READ_JOB = adoption.read_job


def _syncs_names_alone(self: fsio.Dir, *, names: bool = True) -> None:
    self.sync()


def _as_elsewhere(self: fsio.Dir, *, names: bool = True) -> None:
    if names:
        _SYNC_MOVES(self)


_SYNC_MOVES = fsio.Dir.sync_moves

CODE_CONTROLS: Dict[str, CodeControl] = {
    "backoff counts from the start": CodeControl(
        waits_from_its_end,
        tuple((module, "next_place", _from_its_start) for module in (outcomes, recovery)),
    ),
    "a file stands still by its own time": CodeControl(
        leaves_what_is_being_written, ((Intake, "doubt", _by_the_files_time),)
    ),
    "a second hard link is refused": CodeControl(
        takes_a_second_link, ((adoption, "read_job", _refuses_a_second_link),)
    ),
    "accept leaves out the sync of a record's data": CodeControl(
        syncs_the_record_first, ((fsio, "sync_data", lambda descriptor: None),)
    ),
    "btrfs is synced as other filesystems are": CodeControl(
        syncs_all_of_btrfs, ((fsio.Dir, "sync_moves", _syncs_names_alone),)
    ),
    "accept on btrfs is as elsewhere": CodeControl(
        syncs_all_of_btrfs_with_accept, ((fsio.Dir, "sync_moves", _as_elsewhere),)
    ),
}

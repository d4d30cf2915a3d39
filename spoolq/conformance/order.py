"""The order of a producer's steps, judged: made, written, synced, published, synced, told."""

from __future__ import annotations

import os
from typing import Dict, Iterator, List, NamedTuple, Optional, Sequence

from spoolq.conformance.calls import MADE, NAMED, SYNCED, SYNCED_ALL, TOLD, WROTE, Step


class Broken(NamedTuple):
    """A rule that is broken, and how that was seen."""

    rule: str
    seen: str


class _File:
    """A file from its making on, under whatever names."""

    def __init__(self, made: Step) -> None:
        self.made = made
        self.dirty = True
        self.published = False


class _Order:
    """What has happened so far, and what was wrong with it."""

    def __init__(self, spool: str) -> None:
        self._tmp = os.path.join(spool, "tmp")
        self._pending = os.path.join(spool, "pending")
        self._files: Dict[str, _File] = {}
        self._told = False
        self._published: Optional[str] = None
        self._unsynced_name: Optional[str] = None
        self.wrong: List[Broken] = []

    def take(self, step: Step) -> None:
        """Go on by one step."""
        if step.kind == MADE:
            self._make(step)
        elif step.kind == WROTE:
            self._write(step)
        elif step.kind == SYNCED:
            if step.path == self._pending:
                self._unsynced_name = None
            elif step.path in self._files:
                self._files[step.path].dirty = False
        elif step.kind == SYNCED_ALL:
            self._unsynced_name = None
            for file in self._files.values():
                file.dirty = False
        elif step.kind == NAMED:
            self._name(step)
        elif step.kind == TOLD:
            self._tell()

    def end(self) -> None:
        """Judge what was never done."""
        if self._told and self._published is None:
            self._break("told-last", "an id is told, and nothing is ever published")
        elif self._unsynced_name:
            self._break("directory-synced", f"{self._unsynced_name}, and pending/ is never synced")
        if not self._told:
            self._judge_in_place()

    def _make(self, step: Step) -> None:
        self._files[step.path] = file = _File(step)
        if self._is_job(step.path):
            how = f"{step.call} makes {self._short(step.path)} itself"
            self._break("whole", how)
            if "O_EXCL" not in step.flags:
                self._break("no-replace", f"{how}, and would empty a file of that name")
            file.published = True
            self._published = self._published or step.path
            self._unsynced_name = how

    def _write(self, step: Step) -> None:
        file = self._files.get(step.path)
        if file is None or any(flag in file.made.flags for flag in ("O_SYNC", "O_DSYNC")):
            return
        file.dirty = True
        if file.published and not self._is_job(file.made.path):
            self._break("untouched", f"{step.call} to {self._short(step.path)} after that")

    def _name(self, step: Step) -> None:
        file = self._files.get(step.path)
        if file is not None:
            self._files[step.target] = file
        if not self._is_job(step.target):
            return
        how = f"{step.call} makes {self._short(step.target)}"
        self._published = self._published or step.target
        self._unsynced_name = how
        if step.call.startswith("rename") and "RENAME_NOREPLACE" not in step.flags:
            self._break("no-replace", f"{how}, and would replace a file of that name")
        self._judge_origin(file, step)
        if file is not None:
            if file.dirty:
                self._break("synced", f"{how} before the data is synced")
            file.published = True

    def _judge_origin(self, file: Optional[_File], step: Step) -> None:
        if file is None or os.path.dirname(file.made.path) != self._tmp:
            origin = self._short(step.path if file is None else file.made.path)
            self._break("exclusive", f"{origin} was not made in tmp/")
        elif "O_TMPFILE" in file.made.flags:
            self._break("exclusive", "made without a name (O_TMPFILE), which is lost on btrfs")
        elif "O_EXCL" not in file.made.flags:
            self._break("exclusive", f"{self._short(file.made.path)} is opened without O_EXCL")

    def _judge_in_place(self) -> None:
        """Judge what was made in pending/ itself, which is to be synced before it is told."""
        for path, file in self._files.items():
            if self._is_job(file.made.path) and file.dirty:
                self._break("synced", f"{self._short(path)} is not synced when its id is told")

    def _tell(self) -> None:
        if self._told:
            return
        self._told = True
        self._judge_in_place()
        if self._published is None:
            self._break("told-last", "the id is printed before the job is published")
        elif self._unsynced_name:
            self._break(
                "directory-synced",
                f"{self._unsynced_name}, and the id is printed before pending/ is synced",
            )
            self._unsynced_name = None

    def _is_job(self, path: str) -> bool:
        name = os.path.basename(path)
        return os.path.dirname(path) == self._pending and name[:1] != "."

    def _short(self, path: str) -> str:
        above = os.path.dirname(self._pending) + os.sep
        return path[len(above) :] if path.startswith(above) else path

    def _break(self, rule: str, seen: str) -> None:
        self.wrong.append(Broken(rule, seen))


def judge(spool: str, steps: Sequence[Step]) -> Iterator[Broken]:
    """Yield the rules that the order of a producer's steps breaks."""
    order = _Order(spool)
    for step in steps:
        order.take(step)
    order.end()
    yield from order.wrong

"""Takes what was exported into a spool: each job into its state, once, durably.

All lines are read before any is published, and then in batches, as `enqueue` does it: written and
synced in tmp/, renamed under the lock on the ids, the directories synced. What has an id that is
there already is passed over, or a key that another job has; so to import twice is harmless, and
that is how an import goes on that was killed. A job that ran where it comes from waits here, its
attempt used up.
"""

from __future__ import annotations

from typing import (
    BinaryIO,
    Callable,
    Container,
    Dict,
    Iterator,
    List,
    NamedTuple,
    Sequence,
    Set,
    Tuple,
)

from spoolq import admission, dependencies, keys, lines, names
from spoolq.errors import BadInput, InvalidJob, KeyTaken
from spoolq.fsio import write_together
from spoolq.job import Job
from spoolq.layout import translated
from spoolq.lines import Line
from spoolq.spool import SpoolDir

_MOST = 25_000  # in a batch: who looks for ids reads all names of the spool
_MOST_BYTES = 32 * 1024 * 1024


class Tally(NamedTuple):
    """What became of the lines."""

    imported: int = 0
    there: int = 0

    def plus(self, imported: int, there: int) -> Tally:
        """Return it with more."""
        return Tally(self.imported + imported, self.there + there)


def checked(source: BinaryIO, on_line: Callable[[], None] = lambda: None) -> int:
    """Read all lines of an export; return how many there are.

    Raises:
        BadInput: one is no line of an export, or two have one id; it says which, and where in it.
    """
    seen: Dict[str, int] = {}
    for number, data in _numbered(source):
        try:
            line = lines.read(data)
        except InvalidJob as error:
            raise _placed(error, number) from None
        key = line.id if line.name else f"{line.state}/{line.filename}"
        first = seen.setdefault(key, number)
        if first != number:
            raise BadInput(f"line {number}: job {line.id!r} is in line {first} as well")
        on_line()
    return len(seen)


def _numbered(source: BinaryIO) -> Iterator[Tuple[int, bytes]]:
    number = 0
    while True:
        data = source.readline(lines.LONGEST + 2)
        if not data:
            return
        number += 1
        if data.strip():
            yield number, data.rstrip(b"\r\n")


def _placed(error: InvalidJob, number: int) -> BadInput:
    if error.line is None:
        return BadInput(f"line {number}: {error.reason}", hint=error.hint)
    return InvalidJob(
        error.reason, path=error.path, line=number, column=error.column, hint=error.hint
    )


def take_in(
    spool: SpoolDir,
    source: BinaryIO,
    durability: str,
    on_line: Callable[[], None] = lambda: None,
) -> Tally:
    """Publish the jobs of an export that was checked; those that wait for others at last.

    Args:
        source: can be read twice.

    Raises:
        Busy: somebody else holds the ids for longer than seconds.
        StorageFull, StorageFailed: those of the batches before are there; import again goes on.
    """
    tally, waiting, start = Tally(), 0, source.tell()
    for batch, waits in _batches(source, on_line, waiting=False):
        waiting += waits
        if batch:
            with translated(spool.path), admission.held(spool):
                tally = tally.plus(*_publish(spool, batch, durability))
    if waiting:
        source.seek(start)
        # RACE: between two batches a job that waits for one of the next would be taken for one
        # that waits for nobody (test_a_chain_in_two_batches_is_imported_as_it_was).
        with translated(spool.path), admission.held(spool):
            for batch, _ in _batches(source, on_line, waiting=True):
                tally = tally.plus(*_publish(spool, batch, durability))
    return tally


def _batches(
    source: BinaryIO, on_line: Callable[[], None], *, waiting: bool
) -> Iterator[Tuple[List[Line], int]]:
    """Yield the lines of jobs that wait for others, or all but those, and how many were left."""
    batch: List[Line] = []
    size = left = 0
    for _, data in _numbered(source):
        line = _settled(lines.read(data))
        if bool(line.waits) is not waiting:
            left += 1
            continue
        if batch and (len(batch) == _MOST or size + len(data) > _MOST_BYTES):
            yield batch, left
            batch, size, left = [], 0, 0
        batch.append(line)
        size += len(data)
        on_line()
    yield batch, left


def _settled(line: Line) -> Line:
    """Return where a line belongs here: what ran there waits, and has used its attempt up."""
    if line.state != "processing" or line.name is None:
        return line
    name = line.name.waiting()
    return line._replace(state="pending", filename=str(name), name=name)


def _publish(spool: SpoolDir, batch: Sequence[Line], durability: str) -> Tuple[int, int]:
    """Publish those that are not there; return how many that were, and how many are."""
    sync = durability != "none"
    tmp = spool.dir("tmp")
    places = spool.locate(line.name.id for line in batch if line.name)
    touched: Set[str] = {state for state, _ in places.values()}
    touched |= {line.state for line in batch}
    new: Dict[str, Line] = {}
    for line in _with_free_keys(spool, batch, places, durability):
        if line.name is None:
            name = names.random_text(13) + names.SUFFIX  # its own may be there twice
            is_there = spool.dir(line.state).has(line.filename)
        else:
            name, is_there = line.filename, line.name.id in places
        if not is_there:
            # CRASH: who was killed while he wrote this very job has left it in tmp/
            # (test_an_import_that_is_killed_anywhere_is_finished_by_another).
            tmp.discard(name)
            new[name] = line
    write_together(tmp, {name: line.data for name, line in new.items()}, sync=sync)
    waits = [wait for line in new.values() for wait in line.waits]
    if waits:
        dependencies.begin(spool, waits, durability)
    for name, line in new.items():
        tmp.publish(name, spool.dir(line.state), line.filename)
    if sync:
        # CRASH: what is there already may be there since one was killed before he synced it
        # (test_what_is_there_already_is_synced_before_it_is_passed_over).
        for state in sorted(touched):
            spool.dir(state).sync_moves()
    return len(new), len(batch) - len(new)


def _with_free_keys(
    spool: SpoolDir, batch: Sequence[Line], places: Container[str], durability: str
) -> List[Line]:
    """Return the lines but for those whose key another job has here; give the others theirs."""
    asked = {
        index: admission.Asked(line.name, Job(line.fields))
        for index, line in enumerate(batch)
        if line.name is not None and line.fields is not None and "key" in line.fields
        if line.state in keys.WAITING_OR_RUNNING and line.name.id not in places
    }
    if not asked:
        return [*batch]
    gate = admission.Gate(spool, [*asked.values()])
    refused = set()
    for index, one in asked.items():
        try:
            gate.judge(one, anew=True)
        except KeyTaken:
            refused.add(index)
    gate.make(durability)
    return [line for index, line in enumerate(batch) if index not in refused]

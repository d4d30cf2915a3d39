"""Takes what was exported into a spool: each job into its state, once, durably.

All lines are read before any is published, and then in batches, as `enqueue` does it: written and
synced in tmp/, renamed under the lock on the ids, the directories synced. What has an id that is
there already is passed over; so to import twice is harmless, and that is how an import goes on that
was killed. A job that ran where it comes from waits here, its attempt used up.
"""

from __future__ import annotations

from typing import BinaryIO, Callable, Dict, Iterator, List, NamedTuple, Sequence, Set, Tuple

from spoolq import lines, locks, names
from spoolq.errors import BadInput, InvalidJob
from spoolq.fsio import write_together
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
    spool: SpoolDir, source: BinaryIO, durability: str, on_line: Callable[[], None] = lambda: None
) -> Tally:
    """Publish the jobs of an export that was checked.

    Raises:
        Busy: somebody else holds the ids for longer than seconds.
        StorageFull, StorageFailed: those of the batches before are there; import again goes on.
    """
    tally = Tally()
    batch: List[Tuple[Line, bytes]] = []
    size = 0
    for _, data in _numbered(source):
        line = _settled(lines.read(data))
        content = line.data
        if batch and (len(batch) == _MOST or size + len(content) > _MOST_BYTES):
            tally = tally.plus(*_publish(spool, batch, durability))
            batch, size = [], 0
        batch.append((line, content))
        size += len(content)
        on_line()
    return tally.plus(*_publish(spool, batch, durability)) if batch else tally


def _settled(line: Line) -> Line:
    """Return where a line belongs here: what ran there waits, and has used its attempt up."""
    if line.state != "processing" or line.name is None:
        return line
    name = line.name.waiting()
    return line._replace(state="pending", filename=str(name), name=name)


def _publish(
    spool: SpoolDir, batch: Sequence[Tuple[Line, bytes]], durability: str
) -> Tuple[int, int]:
    """Publish those that are not there; return how many that were, and how many are."""
    sync = durability != "none"
    tmp = spool.dir("tmp")
    with translated(spool.path), locks.held(tmp, ".ids"):
        places = spool.locate(line.name.id for line, _ in batch if line.name)
        touched: Set[str] = {state for state, _ in places.values()}
        touched |= {line.state for line, _ in batch}
        new: Dict[str, Line] = {}
        files: Dict[str, bytes] = {}
        for line, content in batch:
            if line.name is None:
                name = names.random_text(13) + names.SUFFIX  # its own may be there twice
                is_there = spool.dir(line.state).has(line.filename)
            else:
                name, is_there = line.filename, line.name.id in places
            if not is_there:
                # CRASH: who was killed while he wrote this very job has left it in tmp/
                # (test_an_import_that_is_killed_anywhere_is_finished_by_another).
                tmp.discard(name)
                new[name], files[name] = line, content
        write_together(tmp, files, sync=sync)
        for name, line in new.items():
            tmp.publish(name, spool.dir(line.state), line.filename)
        if sync:
            # CRASH: what is there already may be there since one was killed before he synced it
            # (test_what_is_there_already_is_synced_before_it_is_passed_over).
            for state in sorted(touched):
                spool.dir(state).sync_moves()
    return len(new), len(batch) - len(new)

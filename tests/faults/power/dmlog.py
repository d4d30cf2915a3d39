"""The log of dm-log-writes, and every state of the disk that a power cut may have left.

A super block (magic, version, number of entries, sector size), then entries: sector, sectors,
flags, length of a mark's text, padded to a sector, then the data. Writes that were not flushed
enter the log only with the next flush, and a mark at once, so what stands before a mark had been
made durable when the mark was set.
"""

import random
import struct
from typing import BinaryIO, Iterator, List, NamedTuple, Sequence, Tuple

_MAGIC = 0x6A736677736872
_FLUSH, _FUA, _DISCARD, _MARK = 1, 2, 4, 8


class Entry(NamedTuple):
    """A write, or a mark where `mark` is not empty; discards are not applied, which loses nothing.

    `ends` says that all writes up to it are durable: a flush, or a forced write.
    """

    offset: int
    data: bytes
    ends: bool
    mark: str = ""


def entries(path: str) -> Iterator[Entry]:
    """Read a log."""
    with open(path, "rb") as file:
        magic, _, count, sector = struct.unpack("<QQQI", file.read(28))
        if magic != _MAGIC:
            raise ValueError(f"{path} is no log of dm-log-writes")
        file.seek(sector)
        for _ in range(count):
            head = file.read(sector)
            at, sectors, flags, length = struct.unpack("<QQQQ", head[:32])
            ends = bool(flags & (_FLUSH | _FUA))
            if flags & _MARK:
                yield Entry(0, b"", False, head[32 : 32 + length].rstrip(b"\0").decode())
            elif flags & _DISCARD:
                yield Entry(0, b"", ends)
            else:
                yield Entry(at * sector, file.read(sectors * sector), ends)


class State(NamedTuple):
    """A disk after a power cut: all up to `durable`, and of what was in flight the `kept`.

    `told` marks had been set by then.
    """

    durable: int
    kept: Tuple[int, ...]
    told: int


def states(log: Sequence[Entry], subsets: int, seed: int) -> List[State]:
    """Return every state between the marks 'ready' (1) and 'end', each once, in order.

    For every window between flushes: every prefix of its writes, and `subsets` random subsets
    of them, since a disk keeps what was not flushed in any order.
    """
    chance = random.Random(seed)
    found: List[State] = []
    durable, window, told = 0, [], 0
    for number, entry in enumerate(log):
        if entry.mark:
            if entry.mark == "end":
                break
            told += 1
            found.append(State(durable, (), told))
            continue
        if entry.ends and told:
            found += [State(durable, tuple(window[:k]), told) for k in range(len(window) + 1)]
            for _ in range(subsets if len(window) > 1 else 0):
                kept = tuple(write for write in window if chance.random() < 0.5)
                found.append(State(durable, kept, told))
        window.append(number)
        if entry.ends:
            durable, window = number + 1, []
    return sorted(set(found))


def apply(file: BinaryIO, log: Sequence[Entry], numbers: Sequence[int]) -> None:
    """Write some of the log's entries to an image."""
    for number in numbers:
        if log[number].data:
            file.seek(log[number].offset)
            file.write(log[number].data)
    file.flush()

"""Whether ids come again, and whether they are random, as far as a few of them can show.

The time and process numbers rise from one id to the next, so a beginning counts for nothing as far
as it makes them rise (of a UUID version 7 the rest is enough), nor does what never changes. A hash
of the time looks random here: only reading the program tells.
"""

from __future__ import annotations

import math
from collections import Counter
from typing import Iterator, Sequence

from spoolq.conformance.order import Broken

FEWEST = 12  # ids that can be judged
_BITS = 40


def judge(ids: Sequence[str]) -> Iterator[Broken]:
    """Yield the rules that ids, in the order in which they were made, break."""
    again = [each for each, times in Counter(ids).items() if times > 1]
    if again:
        yield Broken("unique", f"the id {again[0]!r} was told {ids.count(again[0])} times")
    elif len(ids) >= FEWEST:
        bits = randomness(ids)
        if bits < _BITS:
            yield Broken("random", f"{bits:.0f} bits seem random, as in {ids[0]!r} and {ids[-1]!r}")


def randomness(ids: Sequence[str]) -> float:
    """Return how many bits of ids seem random, by how many characters there are in each place."""
    width = max(map(len, ids))
    return sum(
        math.log2(len({each[place : place + 1] for each in ids}))
        for place in range(_rising(ids, width), width)
    )


def _rising(ids: Sequence[str], width: int) -> int:
    """Return how long a beginning makes the ids rise; 0 where they do not."""
    for length in range(1, width + 1):
        heads = [each[:length] for each in ids]
        steps = list(zip(heads, heads[1:]))
        if all(before < after for before, after in steps):
            return length
        if any(before > after for before, after in steps):
            return 0
    return width

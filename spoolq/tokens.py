"""Tokens: of what a limit names there is so much, whichever workers run the jobs that need it.

    limits/
        gpu.0 gpu.1     one file for each token; who holds its lock has the token

A token is taken without waiting, and all that a job needs or nothing, so nobody waits for anybody
who waits. The command inherits it as it inherits its slot's lock: what a killed worker has left
running keeps its tokens until recovery has ended it, and the kernel frees them. The files are made
where they are missing, and never removed: a lock on a file without a name would exclude nobody.
"""

from __future__ import annotations

import math
import os
import re
from collections import Counter
from typing import Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

from spoolq import locks
from spoolq.fsio import Dir
from spoolq.job import Job
from spoolq.layout import Layout
from spoolq.lease import NO_LOCK

DIRECTORY = "limits"
#: How a command learns which tokens it has: "gpu.0 gpu.1".
VARIABLE = "SPOOLQ_TOKENS"

_INDEX = re.compile(r"(.+)\.(0|[1-9]\d{0,5})", re.ASCII)

#: What a job needs of what is limited, in whole tokens, in the order in which they are taken.
Needs = Tuple[Tuple[str, int], ...]
Limits = Mapping[str, int]


class Token(NamedTuple):
    """A token that is held: its name, and the descriptor that holds its lock."""

    name: str
    descriptor: int


def needs_of(job: Job, limits: Limits) -> Needs:
    """Return what a job needs of what is limited, rounded up to whole tokens."""
    if not limits or "needs" not in job.fields:
        return ()
    found = ((name, math.ceil(amount)) for name, amount in job.needs.items() if name in limits)
    return tuple(sorted(found))


def too_much(needs: Needs, limits: Limits) -> List[str]:
    """Return, in words, what is needed of which there is never so much."""
    return [
        f"it needs {name}={amount}, and the limit is {limits[name]}"
        for name, amount in needs
        if amount > limits[name]
    ]


class Tokens:
    """The tokens that one worker holds, and how it comes by them."""

    def __init__(self, spool: Layout) -> None:
        self._root = spool.root
        self._held: Counter[str] = Counter()  # of each limit
        self.lacking: Needs = ()  # what was not free when something was last asked for in vain

    def take(self, needs: Needs, limits: Limits) -> Optional[Tuple[Token, ...]]:
        """Take all of this, or None: something of it is not free.

        Raises:
            OSError: the disk refuses.
        """
        self.lacking = ()
        for need in needs:
            if self._held[need[0]] + need[1] > limits[need[0]]:
                self.lacking = (need,)
                return None  # as most often, and without asking the disk
        taken: List[Token] = []
        directory = _room(self._root)
        try:
            there = set(directory.list())
            for name, amount in needs:
                found = _free(directory, there, name, amount, limits[name])
                if found is None:
                    _unlock(taken)
                    self.lacking = ((name, amount),)
                    return None
                taken += found
        except BaseException:
            _unlock(taken)
            raise
        finally:
            directory.close()
        self._held.update(dict(needs))
        return tuple(taken)

    def let_go(self, tokens: Sequence[Token]) -> Set[str]:
        """Let tokens go; return the limits that they are of."""
        _unlock(tokens)
        names = [token.name.rpartition(".")[0] for token in tokens]
        self._held.subtract(names)
        return set(names)


def in_use(spool: Layout, limits: Limits) -> Dict[str, int]:
    """Return how many tokens of each limit somebody holds just now."""
    used = dict.fromkeys(limits, 0)
    try:
        directory = spool.root.sub(DIRECTORY)
    except (FileNotFoundError, NotADirectoryError):
        return used
    try:
        for entry in directory.list():
            match = _INDEX.fullmatch(entry)
            if match is not None and match.group(1) in used:
                used[match.group(1)] += _is_held(directory, entry)
    finally:
        directory.close()
    return used


# --- inside ---------------------------------------------------------------------------------------


def _room(root: Dir) -> Dir:
    """Open limits/; it is opened anew each time, so that nobody locks what has been removed."""
    try:
        return root.sub(DIRECTORY)
    except FileNotFoundError:
        pass
    try:
        root.make_dir(DIRECTORY)
    except FileExistsError:
        pass  # another worker was faster
    return root.sub(DIRECTORY)


def _free(
    directory: Dir, there: Iterable[str], name: str, amount: int, limit: int
) -> Optional[List[Token]]:
    """Lock so many tokens of a limit that are free; None if there are not as many.

    What is still held from when the limit was higher counts as well.
    """
    found: List[Token] = []
    wanted = amount + sum(
        _is_held(directory, entry)
        for entry in there
        if entry.startswith(name + ".") and _is_beyond(entry, name, limit)
    )
    for number in range(limit):
        if len(found) == wanted:
            break
        token = f"{name}.{number}"
        descriptor = _lock(directory, token, is_there=token in there)
        if descriptor is not None:
            found.append(Token(token, descriptor))
    enough = len(found) == wanted
    _unlock(found[amount:] if enough else found)
    return found[:amount] if enough else None


def _is_beyond(entry: str, name: str, limit: int) -> bool:
    match = _INDEX.fullmatch(entry)
    return match is not None and match.group(1) == name and int(match.group(2)) >= limit


def _lock(directory: Dir, name: str, *, is_there: bool) -> Optional[int]:
    try:
        descriptor = directory.open_lock(name) if is_there else directory.create(name)
    except FileExistsError:
        return _lock(directory, name, is_there=True)  # another worker was faster
    except FileNotFoundError:
        return None  # somebody removes it just now
    except OSError as error:
        if error.errno in NO_LOCK:  # put there by somebody, and no token
            return None
        raise
    return locks.taken(descriptor)


def _is_held(directory: Dir, name: str) -> bool:
    try:
        descriptor = directory.open_lock(name)
    except OSError:
        return False  # gone, or no token
    try:
        return not locks.try_lock(descriptor, shared=True)
    finally:
        os.close(descriptor)


def _unlock(tokens: Iterable[Token]) -> None:
    for token in tokens:
        # A slot's lock is let go by closing alone, since it is to tell of what is left of a run. A
        # token is for the run alone: when that has ended, a daemon that it left behind has the
        # descriptor still, and would keep the token for ever.
        locks.unlock(token.descriptor)
        locks.let_go(token.descriptor)

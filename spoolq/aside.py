"""Jobs that are due and have to wait: for tokens, for a tag that is paused, or for another worker.

What keeps a job from running here is in its file, not in its name. So a job is read once, and its
name is set aside with what it waits for: it is neither claimed nor read again until that has
changed, and holds up none behind it. Of those that need the same the first alone goes back into
the agenda when that is free, and takes its turn there; so ten thousand cost what one costs.

A name is forgotten when a look at pending/ does not find it with the file that was read, or an
event tells of it. Nothing is looked at, and nothing read but what is claimed anyway, as long as
nothing is set aside and no tag asked for.
"""

from __future__ import annotations

import heapq
from typing import (
    Callable,
    Collection,
    Dict,
    FrozenSet,
    Iterable,
    List,
    Optional,
    Sequence,
    Set,
    Tuple,
    Union,
)

from spoolq.config import Settings
from spoolq.errors import InvalidJob
from spoolq.fsio import Dir
from spoolq.job import MAX_FILE, Job
from spoolq.layout import words
from spoolq.logs import Complaints, logger
from spoolq.names import Name
from spoolq.spool import SpoolDir
from spoolq.tokens import DIRECTORY, Limits, Needs, Token, Tokens, needs_of, too_much

MOST = 500_000  # names that are held; what is due behind so many waits with them
AT_ONCE = 500  # files read before the runs get their turn again
_MOST_TOLD = 1000
_PAUSE = 1.0  # seconds after which it is looked whether others have let tokens go

#: Why a job waits that waits for no tokens.
PAUSED, OTHERS = "paused", "others"
_Why = Union[str, Needs]


class Aside:
    """What one worker has set aside.

    Args:
        tags: the worker runs jobs with one of these alone; none: all jobs.
        limited: whether limits are heeded; not by executors elsewhere, which have their own.
    """

    def __init__(
        self,
        spool: SpoolDir,
        monotonic: Callable[[], float],
        tags: Collection[str] = (),
        *,
        limited: bool = True,
    ) -> None:
        self._pending: Dir = spool.dir("pending")
        self._monotonic = monotonic
        self._tags = frozenset(tags)
        self._limited = limited
        self._tokens = Tokens(spool)
        self._limits: Limits = {}
        self._paused: FrozenSet[str] = frozenset()
        self.known: Dict[str, Tuple[int, _Why]] = {}  # by name: the file's inode, and why it waits
        self._lines: Dict[Needs, List[str]] = {}  # heaps of turns, by what they need
        self._back: List[str] = []  # to go back into the agenda
        self._freed: Set[str] = set()  # limits of which there may be more than a moment ago
        self._next_look = 0.0
        self._read_now = 0
        self._told: Set[str] = set()
        self._complain = Complaints(monotonic)
        self._foreign: Set[str] = set()  # names in other states of jobs that are not for us

    # --- for the agenda ---------------------------------------------------------------------------

    def back(self, settings: Settings) -> List[str]:
        """Return the names that are worth another try, to be put back into the agenda."""
        self._read_now = 0
        if self._limited and settings.limits != self._limits:
            self._limits = settings.limits
            self._return(lambda why: why not in (PAUSED, OTHERS))
        if self._lines:
            self._look_at_tokens()
        back, self._back = self._back, []
        return back

    def stays(self, filename: str, inode: int) -> bool:
        """Say whether a name that a look has found is set aside, and its file as it was read."""
        found = self.known.get(filename)
        return found is not None and found[0] == inode

    def keep(self, names: Set[str]) -> None:
        """Forget all names but those that a look has found as they were."""
        if len(names) < len(self.known):
            self.known = {name: found for name, found in self.known.items() if name in names}

    def forget(self, filename: str) -> None:
        """Take a file for new: something was told of it."""
        self.known.pop(filename, None)

    def is_behind(self) -> bool:
        """Say whether there was more to be read than was good at once."""
        return self._read_now >= AT_ONCE

    def is_full(self) -> bool:
        """Say whether nothing more can be set aside."""
        return len(self.known) >= MOST

    def is_idle(self) -> bool:
        """Say whether nothing that is set aside is this worker's to run."""
        return not self._back and all(why == OTHERS for _, why in self.known.values())

    def concerns(self, directory: Dir, filenames: Iterable[str]) -> bool:
        """Say whether one of these jobs in a directory is for this worker to run, by its tags."""
        return any(self._is_for_us(directory, filename) for filename in filenames)

    def _is_for_us(self, directory: Dir, filename: str) -> bool:
        if not self._tags:
            return True
        if filename in self._foreign:
            return False
        try:
            job = Job.from_bytes(directory.read(filename, MAX_FILE)[0], MAX_FILE)
        except FileNotFoundError:
            return False
        except (InvalidJob, OSError):
            return True  # nobody knows
        if not self._tags.isdisjoint(job.fields.get("tags", ())):
            return True
        if len(self._foreign) >= MOST:
            self._foreign.clear()
        self._foreign.add(filename)
        return False

    # --- for who claims ---------------------------------------------------------------------------

    def admit(self, filename: str, name: Name) -> Optional[Sequence[Token]]:
        """Return the tokens with which a job may be claimed; None: it has been set aside.

        It may need others than are returned, if its file has changed or was not worth a look.
        """
        if not (self._lines or self._paused or self._tags):
            return ()
        self._read_now += 1
        try:
            data, info = self._pending.read(filename, MAX_FILE)
            job = Job.from_bytes(data, MAX_FILE)
        except (InvalidJob, OSError):
            return ()  # the claim tells what is wrong with it
        return self.judge(job, filename, name, lambda: info.st_ino)

    def suits(self, job: Job, held: Sequence[Token]) -> bool:
        """Say whether a claimed job may run here with the tokens with which it was admitted."""
        if not (held or self._paused or self._tags or "needs" in job.fields):
            return True
        return self._why_not(job) is None and self._fits(job, held)

    def judge(
        self, job: Job, filename: str, name: Name, inode: Callable[[], int]
    ) -> Optional[Sequence[Token]]:
        """Return the tokens with which a job runs; None: it has been set aside.

        Args:
            filename: under which it waits, or is going to.
            inode: tells that of its file.
        """
        why: Optional[_Why] = self._why_not(job)
        if why is None:
            needs = needs_of(job, self._limits)
            if not needs:
                return ()
            turn = _turn(filename, name.priority)
            first = self._first(needs)
            if first is None or turn <= first:  # else others of its kind are before it
                tokens = self._take(needs)
                if tokens is not None:
                    self._freed.update(dict(needs))  # there may be enough for the next one too
                    return tokens
            heapq.heappush(self._lines.setdefault(needs, []), turn)
            self._tell(needs, name)
            why = needs
        self.known[filename] = (inode(), why)
        return None

    def let_go(self, tokens: Sequence[Token]) -> None:
        """Let tokens go; whoever waits for them here gets another try at once."""
        if tokens:
            self._freed |= self._tokens.let_go(tokens)

    def withdraw(self, tokens: Sequence[Token]) -> None:
        """Let tokens go that a job was admitted with and cannot use just now: it will come back."""
        if tokens:
            self._tokens.let_go(tokens)

    def pause(self, tags: FrozenSet[str]) -> bool:
        """Let jobs with these tags wait, and no others; True if some may go on."""
        goes_on = bool(self._paused - tags)
        self._paused = tags
        if goes_on:
            self._return(lambda why: why == PAUSED)
        return goes_on

    # --- inside -----------------------------------------------------------------------------------

    def _why_not(self, job: Job) -> Optional[str]:
        tags = job.fields.get("tags", ())
        if self._tags and self._tags.isdisjoint(tags):
            return OTHERS
        return None if self._paused.isdisjoint(tags) else PAUSED

    def _fits(self, job: Job, held: Sequence[Token]) -> bool:
        there: Dict[str, int] = {}
        for token in held:
            limit = token.name.rpartition(".")[0]
            there[limit] = there.get(limit, 0) + 1
        return there == dict(needs_of(job, self._limits))

    def _take(self, needs: Needs) -> Optional[Tuple[Token, ...]]:
        """Take tokens; where the disk refuses, it is said, and they are not free."""
        try:
            return self._tokens.take(needs, self._limits)
        except OSError as error:
            self._complain(f"no token of {DIRECTORY}/ can be taken: {words(error)}")
            return None

    def _tell(self, needs: Needs, name: Name) -> None:
        for what in too_much(needs, self._limits):
            if what not in self._told and len(self._told) < _MOST_TOLD:
                self._told.add(what)
                logger.warning("%s waits: %s", name.id, what)

    def _first(self, needs: Needs) -> Optional[str]:
        """Return the turn of the first that waits for this; None if none does any more."""
        line = self._lines.get(needs, [])
        while line and self._has_gone(line[0], needs):
            heapq.heappop(line)
        if not line:
            self._lines.pop(needs, None)
            return None
        return line[0]

    def _has_gone(self, turn: str, needs: Needs) -> bool:
        found = self.known.get(turn[1:])
        return found is None or found[1] != needs

    def _look_at_tokens(self) -> None:
        now = self._monotonic()
        is_time = now >= self._next_look
        if not (is_time or self._freed):
            return
        if is_time:
            self._next_look = now + _PAUSE
        freed, self._freed = self._freed, set()
        lacking: Dict[str, int] = {}  # of each limit the least that is known not to be free
        for needs in sorted(self._lines):
            if not (is_time or any(name in freed for name, _ in needs)):
                continue
            if any(amount >= lacking.get(name, amount + 1) for name, amount in needs):
                continue  # thousands that need different amounts cost what one costs
            first = self._first(needs)
            if first is None:
                continue
            tokens = self._take(needs)
            if tokens is None:
                lacking.update(self._tokens.lacking)
            else:
                self.withdraw(tokens)
                filename = first[1:]
                self.forget(filename)  # so it is read anew, and is in the agenda or here
                self._back.append(filename)

    def _return(self, which: Callable[[_Why], bool]) -> None:
        """Let all that wait for something be tried again."""
        names = [name for name, (_, why) in self.known.items() if which(why)]
        for name in names:
            self.forget(name)
        for needs in [*self._lines]:
            self._first(needs)  # which forgets a line that is empty
        self._back += names


def _turn(filename: str, priority: int) -> str:
    """Return what sorts as the turn of a job: its file name behind a digit."""
    return f"{9 - priority}{filename}"

"""The rules under which the protocol is explored, and the plainer ones that it has left behind.

Each field is one decision. Its default is the present rule; its other values are kept as negative
controls: the model must find what is wrong with them.
"""

from dataclasses import dataclass, replace
from typing import Any


@dataclass(frozen=True, eq=False)
class Rules:
    """The decisions of the protocol."""

    max_attempts: int = 2
    start: str = "renamed-in-locked"  # or "locked-in-place"
    identify_by: str = "claim"  # or "attempt"
    recovery: str = "takeover"  # or "in-place": record over the dead worker's claim
    record_in: str = "own"  # or "tmp"
    end_of_run: str = "all"  # or "session": spare what made its own; or "nothing"
    orphans: str = "end"  # or "wait": both are present rules, the second is a setting
    sweep: str = "lists-after-probe"  # or "lists-before-probe"
    fence: bool = True  # a claim without a worker's directory: make sure of that first
    rename_new: str = "atomic"  # or "link-unlink", the stand-in where NOREPLACE is lacking
    interrupted: str = "moves-back"  # or "counts": recovery takes it for a failure
    request_deleted: str = "before-move"  # and after the record; or "after-move"
    request_carried: bool = True  # the name of a claim taken over says that a cancel was asked for
    change: str = "goes-back"  # or "lost": the claim of a command line that died, see `names`
    give_back: str = "taken-over"  # or "directly": what ran nothing is not taken over first
    reread: bool = True  # the winner of a takeover reads the file again
    unknown_own: str = "recovered"  # a claim in one's own name, the reply lost; or "left"
    directory_gone: str = "all-lost"  # or "made-again", to write the outcome after all
    dropped_id: str = "made"  # of a drop that brings none; or "stem", its name alone
    lease: str = "waited-for"  # by another kernel's worker; or "ignored": a free lock is enough
    missing: str = "waited-for"  # its directory, for a lease; or "at-once": it has no worker
    removal: str = "first"  # of its directory, before the takeover; or "after" that
    starts: str = "unbroken"  # claims since whose making no guard has acted; or "whatever"
    looks_for_id: int = 2  # a listing misses what is on the move
    waits_made: str = "before"  # the files in after/, before their job is published; or "after"
    waits_looked: str = "jobs-first"  # and at the files then; or "files-first"
    let_go: str = "looks-again"  # at the job, then at its files; or "at-files" alone; or "as-seen"
    ended: str = "itself"  # before its files go, where what it waits for is dead; or "unseen"
    swept: str = "locked"  # what may be in the making, under tmp/.ids; or "unlocked"
    key_made: str = "before"  # its job is published; or "after"
    ids_locked: bool = True  # explicit ids are searched and published under tmp/.ids

    def but(self, **changes: Any) -> "Rules":
        """Return these rules with some decided otherwise."""
        return replace(self, **changes)


PRESENT = Rules()

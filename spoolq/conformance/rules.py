"""What a producer has to do, rule by rule, and what each rule prevents.

The table in docs/producers.md is made from this one. A rule's `seen` says what has to be there to
see it broken: where that is missing, the report says so and calls the rule not seen, never kept.
"""

from __future__ import annotations

from typing import Dict, NamedTuple

FILES = "files"  # what lies in the spool, and what was printed
CALLS = "calls"  # the system calls, as strace shows them
KILLS = "kills"  # what a killed producer leaves
DISK = "full disk"  # a filesystem of its own, which is full


class Rule(NamedTuple):
    """A rule, which failure it prevents, where the format has it, and how it is seen."""

    asks: str
    prevents: str
    stands: str  # the heading in docs/spool-format.md
    seen: str


RULES: Dict[str, Rule] = {
    "exclusive": Rule(
        "The file is made in `tmp/`, under a name of its own, by an exclusive create.",
        "Two producers that write into one file; a link that leads the data elsewhere; "
        "litter that nobody sweeps.",
        "Enqueue",
        CALLS,
    ),
    "private": Rule(
        "The file is the owner's alone (0600), in a group's spool the group's too (0660), "
        "whatever the umask.",
        "Secrets in `env` that others read; a job that others change, which goes to `dead/`; "
        "one that a group's worker cannot read.",
        "Layout",
        FILES,
    ),
    "synced": Rule(
        "The data is synced after the last write and before the job is published.",
        "A power cut that leaves a name with an empty or a torn file behind it.",
        "Enqueue",
        CALLS,
    ),
    "whole": Rule(
        "The job appears in `pending/` whole, by one link or rename; it is not written or copied "
        "there.",
        "Half a job, left by a kill, that is buried in `dead/` or, worse, runs.",
        "Enqueue",
        f"{CALLS}, {KILLS}",
    ),
    "no-replace": Rule(
        "Publishing never replaces what has the name already: a link, or `renameat2` with "
        "`RENAME_NOREPLACE`.",
        "A job that was acknowledged, and is overwritten by another of its name.",
        "Enqueue",
        CALLS,
    ),
    "untouched": Rule(
        "The file is not written any more once it is published.",
        "A worker that reads it in between; writes to a file that is the worker's by now.",
        "Principles",
        CALLS,
    ),
    "directory-synced": Rule(
        "`pending/` is synced after the job is published and before its id is told.",
        "A power cut that takes the name of an acknowledged job.",
        "Enqueue",
        CALLS,
    ),
    "told-last": Rule(
        "The id is told only when its job is in `pending/`.",
        "An acknowledged job that never was, where the producer is killed in between.",
        "Enqueue",
        f"{FILES}, {CALLS}, {KILLS}",
    ),
    "name": Rule(
        "The name is of the form with attempt 0, or plain: letters, digits, `_` and `-`, at most "
        "64, and `.json`.",
        "A file that is no job and is left alone, or a job under an id that nobody was told.",
        "Names",
        FILES,
    ),
    "time": Rule(
        "The time in a name of the form is now, in UTC.",
        "A job that waits for hours, or goes before all others, since the clock was a local one.",
        "Names",
        FILES,
    ),
    "json": Rule(
        "The file is a job by the format: one JSON object, in UTF-8, whatever the command holds.",
        "A job that goes to `dead/` because there was a quote in it.",
        "The job file",
        FILES,
    ),
    "command": Rule(
        "`command` is what was given, to the byte.",
        "Another command than the one that was meant.",
        "The job file",
        FILES,
    ),
    "id": Rule(
        "One line is printed: the id, or of a plain name its stem, with which the id begins.",
        "A job that its submitter cannot find again.",
        "Names",
        FILES,
    ),
    "unique": Rule(
        "No id and no name comes again, of many producers at the same time either.",
        "Two jobs that cannot be told apart: the second is refused, or goes to `dead/`.",
        "Names",
        FILES,
    ),
    "random": Rule(
        "A made id is random, not made of the time, a process number or a counter: the format "
        "has 65 random bits, and fewer than 40 that seem random are too few.",
        "Ids that meet, from another host or container with the same clock and numbers.",
        "Names",
        FILES,
    ),
    "tidy": Rule(
        "Nothing is left in `tmp/`, after an error neither.",
        "A directory that fills up; what is there is swept only after a day.",
        "Layout",
        FILES,
    ),
    "nothing-else": Rule(
        "Nothing else in the spool is made, changed or removed, of other producers neither.",
        "A producer that takes part in what belongs to the workers.",
        "Principles",
        FILES,
    ),
    "errors": Rule(
        "It ends with 0 if the job is there, else with another code and without an id, and "
        "no part of it is in `pending/`. What could not be synced is not synced again.",
        "A full disk, or a failed sync, that is told as success.",
        "Enqueue",
        f"{FILES}, {CALLS}, {DISK}",
    ),
}

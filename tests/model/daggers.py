"""Every rule of the format that is marked †, and the negative controls that show it necessary.

A row's excerpt is how the marked sentence ends, just before its †. A control is named by where it
is and what it is called there:

    model   `controls.CONTROLS`: the rule taken out of the model, and the scenario that catches it
    code    `code_controls.CODE_CONTROLS`: a worse piece of the code, and the judge that catches it
    loop    `tests.faults.loop.controls.CONTROLS`: the same, at every system call
    power   `tests.faults.power.broken.RULES`: a sync left out, found by power cuts
"""

from typing import Dict, Set, Tuple

from tests.faults.loop.controls import CONTROLS as LOOP
from tests.faults.power.broken import RULES as POWER

from .code_controls import CODE_CONTROLS
from .controls import CONTROLS

WHERE: Dict[str, Set[str]] = {
    "model": set(CONTROLS),
    "code": set(CODE_CONTROLS),
    "loop": {control.name for control in LOOP},
    "power": set(POWER),
}

DAGGERS: Dict[str, Tuple[str, ...]] = {
    "who wants to change a waiting job claims it first.": (
        "model: a cancel is recorded where the job waits",
        "model: a cancel moves before it records",
        "model: an edit in pending",
    ),
    "**a claim is identified by its whole file name**.": (
        "model: a claim is identified by its attempt alone",
        "model: an interrupted claim is identified by its attempt alone",
    ),
    "has been taken over and is to be recorded as that.": (
        "model: a claim that changes a job is recovered as lost",
        "model: a takeover does not carry the cancel request",
    ),
    "dropped: `<stem>-<made>`": ("model: a drop's name alone is its id",),
    "2, 4, 8 …, from `finished_at`": ("code: backoff counts from the start",),
    "for a moment the job would be in two states.": (
        "model: link and unlink between state directories",
        "model: link and unlink in adoption",
        "loop: a claim is a link and an unlink",
    ),
    "one `fsync` of the directory.": (
        "loop: a batch's data is not synced",
        "loop: a directory is not synced",
        "power: no-file-sync",
        "power: no-directory-sync",
    ),
    "under a lock on `tmp/.ids`; taken means refused.": (
        "model: ids are given to enqueue without a lock",
        "model: ids of drops are given without a lock",
    ),
    "an unsynced record renamed over a synced job destroys it.": (
        "code: accept leaves out the sync of a record's data",
        "power: no-record-sync",
    ),
    "a job that was not synced whole may come back in two states.": (
        "code: accept on btrfs is as elsewhere",
    ),
    "for `settle` seconds (2) of the worker's own clock": (
        "code: a file stands still by its own time",
    ),
    "two jobs of one id could not be told apart.": (
        "model: a drop is adopted whether its id is taken or not",
    ),
    "A second hard link is no reason to refuse.": ("code: a second hard link is refused",),
    "then renames the directory to `workers/W`": ("model: a worker is seen before it is locked",),
    "(a lost reply on NFS) recovers it.": (
        "model: a claim that its worker did not hear of is left",
    ),
    "before the rename and after the move.": (
        "code: btrfs is synced as other filesystems are",
        "power: no-whole-sync",
    ),
    "delete the request that asked for this end, if one did": (
        "model: a cancel request is deleted after the move",
    ),
    "W ends what it runs and writes nothing.": (
        "model: who lost its directory makes it again",
        "model: an outcome is made in tmp",
    ),
    "until that lock is free; only then does the file move.": (
        "model: nothing is ended",
        "model: a session alone is ended",
    ),
    "and, as `started_at`, the claim's time": (
        "model: an interrupted claim is identified by its attempt alone",
        "loop: a recorded outcome is not looked for",
    ),
    "a worker that lives without one can then record nothing more": (
        "model: a directory without a lock is not removed",
    ),
    "since the directory may be swept from now on.": (
        "model: a takeover does not carry the cancel request",
    ),
    "The winner reads the file again.": ("model: the winner of a takeover does not read again",),
    "60 seconds unless set) by the watcher's own monotonic clock": (
        "model: a free lock of another kernel's worker is enough",
        "model: a lease is not waited for",
    ),
    "is waited for as long, from when that was first seen": (
        "model: a missing directory is not waited for",
    ),
    "before any of its claims is taken over": (
        "model: a claim is taken over before its worker's directory is removed",
    ),
    "it is given back, if it is still this worker's.": (
        "model: a claim from before its guard acted is started",
    ),
    "listing `processing/` *after that*, no claim naming it.": (
        "model: a sweep lists the claims before it probes",
    ),
    '(`error: "cancelled"`) or puts it back.': (
        "model: a cancel is recorded where the job waits",
        "model: a cancel moves before it records",
    ),
    "put the job back as it was if the command line dies.": (
        "model: a claim that changes a job is recovered as lost",
        "model: a half-written file that was to be changed is recovered as lost",
    ),
    "move it to `dead/`, edit, move it back.": ("model: an edit in pending",),
    "a listing may miss a file on the move.": ("model: a single look for an id",),
    "and then publishes the job, all under the lock on `tmp/.ids`.": (
        "model: what a job waits for is noted when it is published",
        "loop: a job is published before it is noted what it waits for",
        "power: no-waits-sync",
    ),
    "A job of that time that is seen first, and after that none of its files,": (
        "model: the files of what is waited for are looked at first",
        "model: a job is let go as it was seen",
        "model: a job is let go that was not there when its files were looked at",
    ),
    "once it is there, and there alone, its files go.": (
        "model: the files go of a job that could not be ended",
    ),
    "for missing: a job may be about to be published.": (
        "model: what is in the making is swept without a lock",
    ),
    "before its job is published, under the lock on `tmp/.ids`.": (
        "model: a key is made when its job is published",
        "model: keys are given without a lock",
        "loop: a job is published before it has its key",
    ),
    "of keys that are nobody's, under the same lock.": ("model: keys are tidied without a lock",),
}

"""What a job is, its JSON, and what follows the end of a run.

Only what was given is stored; a default is looked up when it is needed, so a change of the
configuration acts on waiting jobs. The rules of the fields are in `fields`.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any, Dict, List, Mapping, NamedTuple, Optional, Sequence, Tuple

from spoolq import callables, instants, strictjson
from spoolq.errors import InvalidJob
from spoolq.fields import FIELDS, check
from spoolq.text import closest

#: A job as it is given; what spoolq writes may be longer by its history, up to MAX_FILE.
MAX_GIVEN = 1024 * 1024
MAX_HISTORY = 1024 * 1024
MAX_FILE = 8 * 1024 * 1024  # a given byte can take six when it is written so that it can be read

#: Derived from the file's name and place; accepted in what is given, never stored.
DERIVED = ("state", "attempts", "not_before", "updated_at")

CANCELLED = "cancelled"
INTERRUPTED = "interrupted"
LOST = "worker lost"
TEMPFAIL = 75  #: EX_TEMPFAIL of sysexits.h: try again later
MOST_DEFERRED = 100  # runs of a job that use no attempt, so that it ends one day
_WRONG = {"error", "signal"}
_MOST_OF_A_CHAR = 12  # bytes that it takes when it is escaped

Entry = Dict[str, Any]
Fields = Dict[str, Any]


class Job:
    """A job as its file says it: the fields that were given, checked, in their order."""

    __slots__ = ("fields",)

    def __init__(self, fields: Mapping[str, Any]) -> None:
        """Check `fields` and keep what is to be stored.

        Raises:
            InvalidJob: a rule is broken; `field` says where.
        """
        self.fields: Fields = {key: fields[key] for key in fields if key not in DERIVED}
        check(self.fields)

    @classmethod
    def from_bytes(cls, data: bytes, limit: int = MAX_GIVEN) -> Job:
        """Read a job file.

        Raises:
            InvalidJob: with line, column and field.
        """
        if len(data) > limit:
            raise InvalidJob(f"larger than {limit // 1024} KiB")
        text, fields = strictjson.parse_object(data)
        try:
            return cls(fields)
        except InvalidJob as error:
            line, column = strictjson.place(text, error.path)
            raise InvalidJob(
                error.reason, path=error.path, line=line, column=column, hint=error.hint
            ) from None

    def to_bytes(self) -> bytes:
        """Write the job file: one field a line.

        Raises:
            InvalidJob: it holds what JSON cannot say, or is larger than the format allows.
        """
        try:
            data = strictjson.dump_object(self.fields)
        except UnicodeEncodeError:
            raise InvalidJob("holds text that is not UTF-8, which a job file must be") from None
        except (ValueError, TypeError, RecursionError) as error:
            raise InvalidJob(f"cannot be written as JSON: {error}") from None
        if not self.history and len(data) > MAX_GIVEN:
            raise InvalidJob(f"larger than {MAX_GIVEN // 1024} KiB")
        return data

    @property
    def command(self) -> str | List[str]:
        """Text for the shell, or the words of a command."""
        command: str | List[str] = self.fields["command"]
        return command

    @property
    def call(self) -> Optional[Fields]:
        """The call of Python that its command makes, or None: the command is what runs."""
        return self.fields.get("call") if callables.makes_call(self.command) else None

    @property
    def typed(self) -> str:
        """The command as it could be typed into a shell, or the call that it makes."""
        if self.call is not None or isinstance(self.command, str):
            return self.line
        from shlex import quote

        return " ".join(map(quote, self.command))

    @property
    def line(self) -> str:
        """What runs, in a line: the command as it is, or the call that it makes."""
        if self.call is not None:
            return callables.spelled(self.call)
        return self.command if isinstance(self.command, str) else " ".join(self.command)

    @property
    def priority(self) -> int:
        """0 to 9, 9 first."""
        return int(self.fields.get("priority", 5))

    @property
    def run_at(self) -> Optional[datetime]:
        """The instant before which it must not run, or None."""
        value = self.fields.get("run_at")
        return None if value is None else read_instant(value)

    @property
    def needs(self) -> Dict[str, float]:
        """What it needs while it runs, by name and amount."""
        needs: Dict[str, float] = self.fields.get("needs", {})
        return needs

    @property
    def history(self) -> List[Entry]:
        """One entry for each run, the oldest first."""
        entries: List[Entry] = self.fields.get("history", [])
        return entries

    def unknown_fields(self) -> Dict[str, Optional[str]]:
        """Return the fields that the format does not know, each with the one it may have meant."""
        strangers = [key for key in self.fields if key not in FIELDS]
        return {key: closest(key, FIELDS) for key in strangers}

    def with_entry(self, entry: Entry, created_at: datetime) -> Job:
        """Return the job with one more run in its history, within the bound of the format.

        Output of old runs is dropped first; only where thousands of bare entries do not fit
        either do the oldest go. The newest entry always stays whole.
        """
        fields = dict(self.fields)
        fields.setdefault("created_at", instants.to_rfc3339(created_at))
        history = [*fields.pop("history", []), entry]
        fields["history"] = _within(history, MAX_HISTORY)
        job = Job.__new__(Job)  # checked already; a record must not fail on an old entry
        job.fields = fields
        return job

    def recorded(self, attempt: int, stamp: str) -> Optional[Entry]:
        """Return the last entry if it is the end of the run claimed at `stamp` as `attempt`."""
        if not self.history:
            return None
        last = self.history[-1]
        claimed_at = instants.stamp_to_rfc3339(stamp)
        same = last.get("attempt") == attempt and last.get("started_at") == claimed_at
        return last if same and "finished_at" in last else None


def _within(history: List[Entry], bound: int) -> List[Entry]:
    if len(history) == 1 and len(history[0].get("output", "")) * _MOST_OF_A_CHAR < bound // 2:
        return history  # as nearly always: none of it has to be measured
    total = sum(map(_size, history))
    for index in range(len(history) - 1):
        if total <= bound:
            return history
        entry = history[index]
        if "output" in entry:
            bare = {key: value for key, value in entry.items() if key != "output"}
            total += _size(bare) - _size(entry)
            history[index] = bare
    oldest = 0
    while oldest < len(history) - 1 and total > bound:
        total -= _size(history[oldest])
        oldest += 1
    return history[oldest:]


def _size(entry: Entry) -> int:
    return len(strictjson.dump_object(entry)) + 8


def read_instant(value: str | float) -> datetime:
    """Return the instant that a checked `run_at` names."""
    return instants.from_rfc3339(value) if isinstance(value, str) else instants.from_epoch(value)


# --- what follows a run ---------------------------------------------------------------------------


class Policy(NamedTuple):
    """What decides on a retry; durations in seconds.

    `dead_on` and `retry_on` are exit codes, None where the job names none.
    """

    max_retries: int
    backoff_base: float
    backoff_max: float
    backoff_jitter: float
    dead_on: Optional[Sequence[int]] = None
    retry_on: Optional[Sequence[int]] = None


def succeeded(entry: Entry) -> bool:
    """Say whether a recorded run was a success."""
    good = entry.get("exit_code") == 0 or entry.get("success", False)
    return bool(good) and "error" not in entry


def judge(entry: Entry, job: Job) -> None:
    """Say in the entry of a run whether an exit code other than 0 is a success of its job."""
    code = entry.get("exit_code")
    if code and "error" not in entry and code in job.fields.get("success_on", ()):
        entry["success"] = True


def wish(entry: Entry, job: Job, retry_at: datetime) -> None:
    """Say in the entry of a failed run when it wants to be tried again.

    Exit code 75 says that the job could not even try: that uses no attempt, MOST_DEFERRED times.
    """
    entry["retry_at"] = instants.to_rfc3339(retry_at)
    if entry.get("exit_code") == TEMPFAIL:
        deferred = sum(1 for run in job.history if run.get("deferred"))
        if deferred < MOST_DEFERRED:
            entry["deferred"] = True


def ran(entry: Entry) -> bool:
    """Say whether an entry tells of a run: who ends or forwards a waiting job writes one too."""
    waited = entry.get("error") == CANCELLED and "not_before" in entry
    elsewhere = "forwarded_to" in entry or "waited_for" in entry
    return not waited and not elsewhere and entry.get("attempt") != 0


def was_forwarded(entry: Entry) -> bool:
    """Say whether an entry tells that the job went to another spool, which has it from then on."""
    return "forwarded_to" in entry and "error" not in entry


def ended(entry: Entry) -> str:
    """Return how a recorded run ended, in words."""
    if "error" in entry:
        return str(entry["error"])
    if "forwarded_to" in entry:
        return f"forwarded to {entry['forwarded_to']}"
    if "signal" in entry:
        return f"killed by signal {entry['signal']}"
    return f"exit code {entry.get('exit_code', '?')}"


def went_wrong(entry: Entry) -> Optional[str]:
    """Return what went wrong in a recorded run, in words; None where nothing did."""
    good = entry.get("exit_code", 0) == 0 or entry.get("success", False)
    return None if good and not entry.keys() & _WRONG else ended(entry)


def backoff(attempt: int, policy: Policy, chance: float) -> float:
    """Return the seconds to wait after attempt `attempt` (from 1): base^n, bounded, with jitter.

    `chance` from 0 to 1 decides how much of the jitter is added.
    """
    try:
        wait = float(policy.backoff_base) ** attempt
    except OverflowError:
        wait = policy.backoff_max
    return min(wait * (1 + policy.backoff_jitter * chance), policy.backoff_max)


def next_place(
    entry: Entry, attempt: int, policy: Policy, chance: float = 0.0
) -> Tuple[str, datetime, int]:
    """Return where a job goes whose run ended as `entry` says: state, time and attempts.

    A pure function of the record, so that recovery finishes a move as its worker would have.
    A lost run waits for nothing: its worker is to blame, not the job. An interrupted one goes
    back as if it had never been claimed.
    """
    finished_at = instants.from_rfc3339(entry["finished_at"])
    error = entry.get("error")
    if succeeded(entry) or was_forwarded(entry):
        return "completed", finished_at, attempt
    if error == CANCELLED or "forwarded_to" in entry or "waited_for" in entry:
        return "dead", finished_at, attempt
    if error == INTERRUPTED:
        waited = entry.get("not_before", entry["started_at"])
        return "pending", instants.from_rfc3339(waited), max(attempt - 1, 0)
    wished = entry.get("retry_at")
    if entry.get("deferred") and wished is not None:
        return "failed", instants.from_rfc3339(wished), max(attempt - 1, 0)
    if attempt > policy.max_retries or _is_last(entry, policy):
        return "dead", finished_at, attempt
    if wished is not None:
        return "failed", instants.from_rfc3339(wished), attempt
    wait = 0.0 if error == LOST else backoff(attempt, policy, chance)
    return "failed", instants.later(finished_at, wait), attempt


def _is_last(entry: Entry, policy: Policy) -> bool:
    """Say whether a run's exit code rules out another; how spoolq ended a run never does."""
    code = entry.get("exit_code")
    if code is None or "error" in entry:
        return False
    if policy.dead_on is not None and code in policy.dead_on:
        return True
    return policy.retry_on is not None and code not in policy.retry_on

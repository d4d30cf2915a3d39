"""What must hold of a spool on disk, judged without a line of spoolq.

It has its own idea of a name and its own reading of JSON, so that a fault of spoolq's parsers
cannot hide itself. Each function returns sentences, one for each thing that is wrong.
"""

import json
import os
import re
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Set, Tuple

STATES = ("pending", "processing", "failed", "completed", "dead")

_FORM = re.compile(
    r"(?P<time>\d{8}T\d{12}Z)\.p(?P<priority>\d)\.a(?P<attempt>\d{1,6})"
    r"\.(?P<id>[A-Za-z0-9_][A-Za-z0-9_-]{0,63})(?P<owner>@[A-Za-z0-9_-]+\.[A-Za-z0-9_]+)?\.json"
)
_HELD = "99991231T000000000000Z"  # by a person, until a person releases it
_LOG = re.compile(r"(?P<id>[A-Za-z0-9_][A-Za-z0-9_-]{0,63})\.a\d{1,6}\.\d{8}T\d{12}Z\.log")


class Found(NamedTuple):
    """A job file: where it is, what its name says and what it holds."""

    state: str
    filename: str
    id: str
    attempt: int
    time: str
    fields: Dict[str, Any]

    @property
    def history(self) -> List[Dict[str, Any]]:
        return self.fields.get("history", [])

    @property
    def is_recorded(self) -> bool:
        """Say whether the end of this very claim stands in the file."""
        if not self.history:
            return False
        last = self.history[-1]
        return (last["attempt"], _digits(last["started_at"])) == (self.attempt, _digits(self.time))


class Snapshot(NamedTuple):
    """All jobs of a spool by their ids, the files that are no jobs, and what is wrong so far."""

    jobs: Dict[str, Found]
    strangers: Dict[Tuple[str, str], bytes]
    wrong: List[str]


def read(path: str, drops: Iterable[bytes] = ()) -> Snapshot:
    """Read a spool.

    Args:
        drops: what files may hold that were dropped and are no jobs, or not yet.
    """
    jobs: Dict[str, Found] = {}
    strangers: Dict[Tuple[str, str], bytes] = {}
    wrong: List[str] = []
    allowed = set(drops)
    for state in STATES:
        for filename in sorted(os.listdir(os.path.join(path, state))):
            if filename.startswith(".") or not filename.endswith(".json"):
                continue
            with open(os.path.join(path, state, filename), "rb") as file:
                data = file.read()
            found = _judge(state, filename, data)
            if isinstance(found, Found):
                if found.id in jobs:
                    wrong.append(f"{found.id} is in {jobs[found.id].state}/ and in {state}/")
                jobs[found.id] = found
            elif data in allowed and state in ("pending", "dead", "processing"):
                strangers[state, filename] = data
            else:
                wrong.append(f"{state}/{filename} {found}")
    return Snapshot(jobs, strangers, wrong)


def _judge(state: str, filename: str, data: bytes) -> Any:
    form = _FORM.fullmatch(filename)
    if form is None:
        return "has no name of the form"
    if bool(form["owner"]) != (state == "processing"):
        return "names an owner where none belongs, or none where one does"
    try:
        fields = json.loads(data.decode("utf-8"), object_pairs_hook=_once)
    except ValueError as error:
        return f"cannot be read: {error}"
    if not isinstance(fields, dict) or not fields.get("command"):
        return "holds no command"
    if not data.endswith(b"}\n") and not data.endswith(b"}"):
        return "is torn"
    return Found(state, filename, form["id"], int(form["attempt"]), form["time"], fields)


def _once(pairs: List[Tuple[str, Any]]) -> Dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError("a key stands twice")
    return dict(pairs)


def _digits(text: str) -> str:
    return re.sub(r"\D", "", text)


def lost(before: Snapshot, after: Snapshot, acknowledged: Set[str], gone: Set[str]) -> List[str]:
    """Say which jobs are missing, were changed, or lost a part of their history.

    Args:
        acknowledged: ids that a caller was told; they must be there as well.
        gone: ids that were to be removed for good.
    """
    wrong = []
    for job_id in sorted((acknowledged | set(before.jobs)) - set(after.jobs) - gone):
        wrong.append(f"{job_id} is lost")
    for job_id, old in before.jobs.items():
        new = after.jobs.get(job_id)
        if new is None:
            continue
        if new.history[: len(old.history)] != old.history:
            wrong.append(f"the history of {job_id} shrank or was rewritten")
        for key in set(old.fields) - {"history"}:
            if new.fields.get(key) != old.fields[key]:
                wrong.append(f"{key} of {job_id} changed")
    left = [_plain(data) for data in after.strangers.values()]
    left += [_as_dropped(job.fields) for job in after.jobs.values()]
    for (state, filename), data in before.strangers.items():
        if _plain(data) not in left:
            wrong.append(f"{state}/{filename}, which was dropped, is lost or changed")
    return wrong


def _as_dropped(fields: Dict[str, Any]) -> Dict[str, Any]:
    """Return a job's fields without those that spoolq writes."""
    return {key: value for key, value in fields.items() if key not in ("history", "created_at")}


def _plain(data: bytes) -> Any:
    try:
        return _as_dropped(json.loads(data))
    except ValueError:
        return data


def ill_lived(
    snapshot: Snapshot,
    forgiven: Iterable[str] = (),
    retries: int = 3,
    by_hand: Optional[Mapping[str, int]] = None,
) -> List[str]:
    """Say whose life breaks a rule: too many runs, a run after a success, an end without one.

    Args:
        forgiven: ids to which a `dlq retry` gave all attempts again.
        retries: the retries of a job that does not say it itself.
        by_hand: attempts that `mv dead/X pending/` gave, since all were given the last time.
    """
    wrong = []
    for job in snapshot.jobs.values():
        budget = 1 + job.fields.get("max_retries", retries)
        counted = [run for run in job.history if run.get("error") not in _UNCOUNTED]
        # A canceller that died leaves a lost claim that was no attempt.
        counted = [run for run in counted if run["attempt"] > 0]
        if job.attempt > budget + (by_hand or {}).get(job.id, 0) or (
            job.id not in forgiven and len(counted) > budget
        ):
            wrong.append(f"{job.id} ran {len(counted)} times and may {budget}")
        wins = [index for index, run in enumerate(job.history) if _won(run)]
        if wins and wins[0] != len(job.history) - 1:
            wrong.append(f"{job.id} ran again after it had succeeded")
        if job.state == "completed" and not wins:
            wrong.append(f"{job.id} is completed without a success")
        if wins and job.state not in ("completed", "processing"):
            wrong.append(f"{job.id} succeeded and is {job.state}")
        if job.state == "dead" and not job.history:
            wrong.append(f"{job.id} is dead and never ran")
        runs = [(run["attempt"], run["started_at"]) for run in job.history]
        if len(set(runs)) != len(runs):
            wrong.append(f"one run of {job.id} is recorded twice")
    return wrong


_UNCOUNTED = ("cancelled", "interrupted")


def _won(run: Dict[str, Any]) -> bool:
    return run.get("exit_code") == 0 and "error" not in run


def out_of_turn(snapshot: Snapshot) -> List[str]:
    """Say which jobs began before what they wait for had ended, or after it had failed."""
    wrong = []
    for job in snapshot.jobs.values():
        if job.state != "completed":
            continue
        for field in ("after", "after_any"):
            for other in job.fields.get(field, ()):
                before = snapshot.jobs.get(other)
                if before is None:
                    continue
                ended = before.history and _digits(before.history[-1]["finished_at"])
                if not ended or ended > _digits(job.history[-1]["started_at"]):
                    wrong.append(f"{job.id} began before {other} had ended")
                elif field == "after" and before.state == "dead":
                    wrong.append(f"{job.id} ran though {other} is dead")
    return wrong


def side_by_side(snapshot: Snapshot) -> List[str]:
    """Say which jobs of one key began before the one before had ended for good."""
    wrong = []
    runs: Dict[str, List[Tuple[str, str, str]]] = {}
    for job in snapshot.jobs.values():
        if "key" in job.fields and job.history:
            began, ended = job.history[0]["started_at"], job.history[-1]["finished_at"]
            runs.setdefault(job.fields["key"], []).append((_digits(began), _digits(ended), job.id))
    for key in runs.values():
        key.sort()
        for (_, ended, one), (began, _, other) in zip(key, key[1:]):
            if began < ended:
                wrong.append(f"{one} and {other} have one key, and ran beside one another")
    return wrong


def keyless(path: str, snapshot: Snapshot) -> List[str]:
    """Say which jobs that wait or run have a key that is not theirs."""
    wrong = []
    for job in snapshot.jobs.values():
        if job.state in ("completed", "dead") or "key" not in job.fields:
            continue
        try:
            with open(os.path.join(path, "keys", job.fields["key"]), encoding="ascii") as file:
                holder = file.read().strip()
        except OSError:
            holder = ""
        if holder != job.id:
            wrong.append(f"{job.id} is {job.state}, and its key is {holder or 'free'}")
    return wrong


def unsettled(path: str, snapshot: Snapshot) -> List[str]:
    """Say what is left in the making when everything has been recovered and run."""
    wrong = [
        f"{job.id} is still {job.state}"
        for job in snapshot.jobs.values()
        if job.state not in ("completed", "dead") and job.time != _HELD
    ]
    for place in ("tmp", "workers", "after", "keys"):
        there = os.path.join(path, place)
        for entry in os.listdir(there) if os.path.isdir(there) else ():
            if not entry.startswith("."):
                wrong.append(f"{place}/{entry} was left behind")
    return wrong


def litter(path: str, snapshot: Snapshot, gone: Iterable[str] = ()) -> List[str]:
    """Say what nobody will ever remove: bells that have rung, hidden files, logs without a job.

    Args:
        gone: ids that were removed for good, whose logs may have had to stay.
    """
    known = {*snapshot.jobs, *gone}
    wrong = []
    for entry in sorted(os.listdir(os.path.join(path, "pending"))):
        if entry.startswith(".bell-"):
            wrong.append(f"pending/{entry} was left behind")
    for entry in sorted(os.listdir(os.path.join(path, "tmp"))):
        if entry.startswith(".") and entry not in (".ids", ".last"):
            wrong.append(f"tmp/{entry} was left behind")
    for entry in sorted(os.listdir(os.path.join(path, "logs"))):
        form = _LOG.fullmatch(entry)
        if form is None or form["id"] not in known:
            wrong.append(f"logs/{entry} is the log of no job")
    return wrong


def told_too_early(path: str, trace: List[Dict[str, Any]]) -> List[str]:
    """Judge the order of writes, syncs and renames: what a power cut could take from the caller.

    A file must be synced after its last write and before it is renamed to where it counts; the
    directory that it was renamed into must be synced before anything is promised.
    """
    counts = {_inode(path, state): state for state in STATES}
    counts[os.stat(path).st_ino] = "the root"
    unsynced_files: Set[Optional[int]] = set()
    unsynced_names: Dict[Optional[int], int] = {}  # of which file, in which directory
    wrong = []
    for event in trace:
        call, inode = event["call"], event.get("ino")
        if call == "write":
            unsynced_files.add(inode)
        elif call in ("fsync", "fdatasync"):
            unsynced_files.discard(inode)
            unsynced_names = {k: v for k, v in unsynced_names.items() if v != inode}
        elif call == "sync_filesystem":
            unsynced_files.clear()
            unsynced_names.clear()
        elif "into" in event and event["into"] in counts:
            if inode in unsynced_files:
                wrong.append(f"{event['args'][0]} was renamed before it was synced")
            unsynced_names[inode] = event["into"]
        elif call == "promise":
            for directory in set(unsynced_names.values()):
                wrong.append(f"promised before {counts[directory]} was synced")
    return wrong


def _inode(path: str, name: str) -> int:
    return os.stat(os.path.join(path, name)).st_ino

"""What is tried at each call, and which tries make the short form."""

import zlib
from collections import defaultdict
from typing import Dict, Iterable, List, NamedTuple, Sequence, Tuple

from .tracing import RENAMES, SPAWNS, SYNCS, UNLINKS, Call, Trace, on_paths

BEFORE, AFTER = "killed before", "killed after"
ONCE, ON = "once", "from then on"
ZERO, LIMIT = "writes nothing once", "file size limit"

_STORAGE = ("EIO", "ENOSPC", "EDQUOT", "EACCES", "EROFS")
#: What each call may be refused with. A lasting EINTR is no fault but an endless loop by contract.
ERRORS: Dict[str, Sequence[str]] = {
    **dict.fromkeys((*RENAMES, "link", "linkat", "mkdir", "mkdirat"), _STORAGE),
    **dict.fromkeys(UNLINKS, ("EIO", "EACCES", "EROFS")),
    **dict.fromkeys(SYNCS, ("EIO", "ENOSPC", "EDQUOT", "EINTR")),
    "openat": (*_STORAGE, "EMFILE", "EINTR"),
    "write": ("EIO", "ENOSPC", "EDQUOT", "EINTR"),
    "close": ("EIO", "EINTR"),
    "flock": ("EIO", "ENOLCK", "EINTR"),
    "fchmod": ("EIO", "EPERM", "EROFS"),
    "ftruncate": ("EIO", "ENOSPC", "EINTR"),
    **dict.fromkeys(SPAWNS, ("EAGAIN", "ENOMEM")),
    "fadvise64": ("EIO",),
    "execve": ("EACCES", "ENOMEM", "EIO"),
}
_READ_ERRORS = ("EIO", "EACCES", "EMFILE", "EINTR")
#: These act on names; a lasting fault is kept to the spool by `-P`. The rest is by descriptor, of
#: files whose names are made on the way: there a lasting fault hits standard output and error too.
_BY_PATH = frozenset((*RENAMES, *UNLINKS, "openat", "mkdirat", "link", "linkat"))
_NEVER_LASTING = frozenset(("close", "write.print", *SPAWNS))
_LIMITS = (0, 1, 100, 300, 1023, 1024, 1100)


class Case(NamedTuple):
    """One try: an operation, what goes wrong, and at which call."""

    operation: str
    kind: str  # one of the six above
    error: str
    call: str
    number: int
    text: str  # the call as the first run made it
    options: Tuple[str, ...]  # of strace; PATHS stands for the -P options
    is_read: bool = False
    hits: Tuple[str, str] = ("", "")  # the call that strace hits, and its text

    def __str__(self) -> str:
        what = f"{self.error} {self.kind}".strip()
        return f"{self.operation}: {what} at {self.call} {self.number} ({self.text[:120]})"


PATHS = "PATHS"


def cases(operation: str, trace: Trace, *, spawns: bool) -> List[Case]:
    """Return everything that is tried with an operation.

    Where its scribe is a thread, that is what the thread calls: the rest is the same without it.
    """
    found: List[Case] = []
    calls = trace.beside or trace.calls
    befores = {(call.name, call.number) for call in calls}
    for call in calls:
        kill = f"inject={call.name}:signal=SIGKILL:when={call.number}"
        found.append(_case(operation, BEFORE, "", call, kill))
        name, number, text = call.after
        if name and (name, number) not in befores:
            # The death comes as the same thread enters its next call, of whatever kind: between
            # the two it only computes. Where that is a call of ours, the two tries are one.
            later = f"inject={name}:signal=SIGKILL:when={number}"
            case = _case(operation, AFTER, "", call, later, name)
            found.append(case._replace(hits=(name, text)))
        found += _refusals(operation, call)
    if trace.beside:
        return [case._replace(options=("-f", *case.options)) for case in found]
    if spawns:
        # The child's own exec, by its path, as the only thing that is traced in children.
        for error in ERRORS["execve"]:
            found.append(_exec(operation, ONCE, error, f"inject=execve:error={error}:when=1"))
            found.append(_exec(operation, ON, error, f"inject=execve:error={error}"))
        found.append(_exec(operation, BEFORE, "", "inject=execve:signal=SIGKILL:when=1"))
    for limit in _LIMITS:
        found.append(Case(operation, LIMIT, "", "write", limit, f"RLIMIT_FSIZE {limit}", ()))
    return found


def _case(operation: str, kind: str, error: str, call: Call, inject: str, name: str = "") -> Case:
    options = ("-e", f"trace={name or call.name}", "-e", inject)
    hit = (call.name, call.text)
    return Case(operation, kind, error, *call[:2], call.text, options, call.is_read, hit)


def _exec(operation: str, kind: str, error: str, inject: str) -> Case:
    options = ("-f", "-P", "/bin/sh", "-e", "trace=execve", "-e", inject)
    text = "the command's"
    return Case(operation, kind, error, "execve", 1, text, options, hits=("execve", text))


def _refusals(operation: str, call: Call) -> List[Case]:
    found = []
    prints = call.name == "write" and not call.place
    errors = _READ_ERRORS if call.name == "openat" and call.is_read else ERRORS.get(call.name, ())
    if call.name == "close" and call.is_read:
        errors = ()  # it was only read: nothing can be lost by its close
    for error in errors:
        once = f"inject={call.name}:error={error}:when={call.number}"
        found.append(_case(operation, ONCE, error, call, once))
        if error == "EINTR" or call.name in _NEVER_LASTING or prints:
            continue
        if call.name in _BY_PATH:
            if call.by_path:
                lasting = f"inject={call.name}:error={error}:when={call.by_path}+"
                case = _case(operation, ON, error, call, lasting)
                found.append(case._replace(options=(PATHS, *case.options)))
        else:
            lasting = f"inject={call.name}:error={error}:when={call.number}+"
            found.append(_case(operation, ON, error, call, lasting))
    if call.name == "write" and call.place:
        nothing = f"inject=write:retval=0:when={call.number}"
        found.append(_case(operation, ZERO, "", call, nothing))
    return found


def command_options(case: Case, spool: str) -> List[str]:
    """Return strace's options for a case on the spool at `spool`."""
    options: List[str] = []
    for option in case.options:
        options += on_paths(spool) if option == PATHS else [option]
    return options


def short(all_cases: Iterable[Case], most: int) -> List[Case]:
    """Choose about `most` cases, always the same: every operation with every kind, every error.

    Those come first that change something: an open for reading only fills what is left.
    """
    groups: Dict[Tuple[str, ...], List[Case]] = defaultdict(list)
    for case in all_cases:
        groups[case.operation, case.kind].append(case)
    for group in groups.values():
        group.sort(key=lambda case: (case.is_read, _shuffled(case)))
    chosen: List[Case] = []
    errors = set()
    calls = set()
    while len(chosen) < most and any(groups.values()):
        for group in groups.values():
            if not group:
                continue
            fresh = (
                case
                for case in group
                if (case.error, case.kind) not in errors or (case.operation, case.call) not in calls
            )
            case = next(fresh, group[0])
            group.remove(case)
            errors.add((case.error, case.kind))
            calls.add((case.operation, case.call))
            chosen.append(case)
            if len(chosen) >= most:
                break
    return chosen


def _shuffled(case: Case) -> int:
    key = f"{case.operation}/{case.kind}/{case.error}/{case.call}/{case.number}"
    return zlib.crc32(key.encode("ascii"))

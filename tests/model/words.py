"""The words in which the steps of the code and those of the model are compared.

A step is a tuple: what was done, to what, and of a rename whether the job's time stayed. A path is
said by what it is for: `processing a1 me.run` is the claim of a first attempt, for a run of whoever
acts here; `workers dead slot` is a slot's lock of a worker that is gone.
"""

from typing import Any, Callable, Iterable, List, Tuple

from .names import STATES

Step = Tuple[str, ...]

#: What only one side does, and why that makes no difference to the protocol.
LEFT_OUT = {
    "write, fsync, fdatasync, sync_filesystem": "power loss is replayed by tests/faults/power",
    "stat, read, list; in the model listdir, inodes, read, exists": "a look changes nothing",
    "spawn, thread, join, wait…, ended, processes_of, kill, now": "processes and time, not files",
    "worker.json": "tells people who a worker is; nothing is decided by it",
    "what begins with a dot in pending/": "a bell: it wakes those who watch, and may be missed",
    "the close of a worker's own lock": "its process ends there, which frees it in the model",
    "what did not succeed": "it changed nothing; whoever called goes on as after a look",
}


def word(path: str, parse: Callable[[str], Any], dead: str) -> str:
    """Say a path of the spool; "" where it is left out.

    Args:
        parse: reads a file name of the form, as the code or the model writes it.
        dead: the name of the worker that is gone, if there is one.
    """
    top, *rest = path.split("/")
    if not rest:
        return top
    if top in STATES or (top == "tmp" and parse(rest[0])):
        return _job(top, rest[0], parse, dead)
    if top == "workers" or (top == "tmp" and not rest[0].startswith(".")):
        whose = "dead" if rest[0] == dead else "me"
        return _of_a_worker(top, whose, rest[1] if len(rest) > 1 else "")
    return " ".join((top, *rest))


def _job(state: str, filename: str, parse: Callable[[str], Any], dead: str) -> str:
    if filename.startswith("."):
        return ""
    name = parse(filename)
    if name is None:
        return f"{state} drop"
    if not name.worker:
        return f"{state} a{name.attempt}"
    whose = "dead" if name.worker == dead else "me"
    kinds = [kind for kind in ("change", "lost", "cancel") if name.slot.startswith(kind)]
    return f"{state} a{name.attempt} {whose}.{kinds[0] if kinds else 'run'}"


def _of_a_worker(top: str, whose: str, entry: str) -> str:
    if entry == "worker.json":
        return ""
    if entry.endswith(".outcome"):
        entry = "outcome"
    elif entry.endswith(".lock"):
        entry = "slot"
    elif entry.startswith("cancel."):
        entry = "cancel"
    return " ".join(filter(None, (top, whose, entry)))


def moved(source: str, target: str, parse: Callable[[str], Any]) -> Tuple[str, ...]:
    """Say whether a job's time stays, where both names of a rename tell one."""
    old, new = (
        parse(path.rpartition("/")[2]) if path.split("/")[0] in (*STATES, "tmp") else None
        for path in (source, target)
    )
    if old is None or new is None:
        return ()
    return ("same time" if old[0] == new[0] else "new time",)


def in_order(steps: Iterable[Step]) -> List[Step]:
    """Sort what is removed from one directory in a row, for listings have no order."""
    ordered: List[Step] = []
    for step in steps:
        at = len(ordered)
        while at and step[0] == "unlink" == ordered[at - 1][0] and step < ordered[at - 1]:
            at -= 1
        ordered.insert(at, step)
    return ordered

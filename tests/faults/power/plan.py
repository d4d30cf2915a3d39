"""Which recordings make a campaign, short or long, and how their results are told in one line."""

from typing import Any, Dict, List, Sequence

from .broken import RULES
from .campaign import Result, Task, perform_apart
from .machine import FILESYSTEMS

LEVELS = ("full", "accept", "none")

#: Where a control is caught. ext4 writes a file's data out when it is renamed over another
#: (auto_da_alloc), and btrfs starts to, so a record's missing sync shows on xfs alone. The others
#: keep the order in which names come into directories; btrfs may keep one that was synced alone.
_CONTROLS = {
    "no-file-sync": FILESYSTEMS,
    "no-directory-sync": FILESYSTEMS,
    "no-record-sync": ("xfs",),
    "no-waits-sync": ("btrfs",),
    "no-whole-sync": ("btrfs",),
}


def short(filesystems: Sequence[str]) -> List[Task]:
    """Return about two minutes of work: `full` everywhere, all else somewhere."""
    tasks = [Task(fs, "full", quota=90, turn=1, real=30, neighbour=True) for fs in filesystems]
    for number, level in enumerate(LEVELS[1:]):
        fs = filesystems[number % len(filesystems)]
        tasks.append(Task(fs, level, quota=30, turn=0, real=15, batch=0))
    for number, (rule, where) in enumerate(_CONTROLS.items()):
        usable = [fs for fs in where if fs in filesystems]
        if usable:
            tasks.append(_control(usable[number % len(usable)], rule))
    return tasks


def long(filesystems: Sequence[str]) -> List[Task]:
    """Return all states of several recordings at every level, and every control everywhere."""
    tasks: List[Task] = []
    for fs in filesystems:
        tasks += [Task(fs, "full", turn=turn, subsets=6) for turn in range(3 if fs == "xfs" else 2)]
        tasks += [Task(fs, level, turn=1, subsets=6, real=100) for level in LEVELS[1:]]
        beside = [Task(fs, "full", quota=500, turn=turn, neighbour=True) for turn in range(2)]
        tasks += beside
    tasks += [_control(fs, rule) for rule in RULES for fs in filesystems]
    return tasks


def _control(filesystem: str, rule: str) -> Task:
    if not rule.startswith("no-whole-sync"):
        return Task(filesystem, rule, subsets=3, real=0, until_caught=True, batch=0)
    # What is to come back has to be on the disk for good: the sync of a batch does that. Without
    # the first of the two syncs it takes a neighbour, and shows in one state of seventy or so.
    beside = rule == "no-whole-sync-before"
    return Task(filesystem, rule, quota=1500, turn=1, real=0, until_caught=True, neighbour=beside)


def perform(tasks: Sequence[Task]) -> Dict[str, Any]:
    """Perform a campaign and return what it tried and found.

    `violations` counts states in which a promise was broken, `seen` states in which was lost what
    the level allows to be lost, `controls` whether a spoolq with a sync left out was noticed.
    """
    line: Dict[str, Any] = {"states": {}, "violations": 0, "controls": {}, "seen": {}}
    examples: List[str] = []
    total = 0
    for task, result in zip(tasks, perform_apart(tasks)):
        name = f"{task.filesystem} {task.discipline}"
        if result is None:
            line.setdefault("failed", []).append(name)
        elif task.until_caught:
            line["controls"][name] = bool(result.violations)
        else:
            _add(line, name, result)
            examples += [f"{name}: {text}" for text in result.examples]
            total += result.states
    line["total"] = total
    if examples:
        line["examples"] = examples[:10]
    return line


def _add(line: Dict[str, Any], name: str, result: Result) -> None:
    line["states"][name] = line["states"].get(name, 0) + result.states
    line["violations"] += result.violations
    sums = line["seen"].setdefault(name, {})
    for kind, count in result.seen.items():
        sums[kind] = sums.get(kind, 0) + count
    if not sums:
        del line["seen"][name]


def is_good(line: Dict[str, Any]) -> bool:
    """Say whether nothing was violated, all ran, and each rule's control was noticed somewhere."""
    rules = {name.split()[1] for name in line["controls"]}
    noticed = {name.split()[1] for name, caught in line["controls"].items() if caught}
    return not line["violations"] and "failed" not in line and rules == noticed

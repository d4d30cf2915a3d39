"""Writes docs/benchmarks.md and its plots from figures; the hand-written part is notes.md.

What the page says of the figures is computed from them, so a target that is not met says so.
"""

from pathlib import Path
from typing import Any, Dict, List

from tests.benchmarks import plots, tables, targets
from tests.conftest import REPOSITORY

DOCS = REPOSITORY / "docs"
NOTES = Path(__file__).with_name("notes.md")

_HEAD = """\
# Benchmarks

What spoolq costs, beside what else could be used, on one machine.
The figures are made by `python -m tests.benchmarks`, and so is this page.
Ratios say more than times: another machine has other times.
"""
_METHOD = """\
## Method

- Each part runs on a filesystem made for it, on a loop device.
- What is compared runs in turn, round by round, each round beginning with another.
- A figure is the median of all rounds, a ratio the median of the rounds' ratios.
- Before each measurement the filesystem is synced; its caches stay warm.
- spoolq has its defaults, `durability` `full` among them, where nothing else is said.
- CPU is the process's own, from `/proc`, without that of the commands that it runs.
- Every job is counted: a run in which a job ran twice, or not at all, gives no figure.
"""
#: Of each part: its title, and what was done, one sentence a line.
_PARTS: Dict[str, List[str]] = {
    "drain": [
        "Jobs done",
        "A job is `printf x >> FILE`, run by the shell, two at a time.",
        "All jobs are enqueued first; the time is from the start of the worker until all have run.",
        "The queues written in Python run it with `os.system`, the fastest that Python has.",
        "Redis appends and syncs each write (`appendonly yes`, `appendfsync always`).",
        "nq has two queues, since it runs one job at a time in each; its jobs and those of tsp are "
        "held up until all are enqueued.",
        "celery has two processes and its other settings as they come: a job is taken off the "
        "queue before it runs.",
        "The last column is what is left to run after a kill -9 of everything.",
    ],
    "calls": [
        "Calls of Python",
        "A call adds a byte to a file, in two processes: of `worker start --executor python "
        "--preload`, and of rq's own pool of two workers.",
        "All calls are enqueued first; the time is from the start of the worker until all were "
        "made, imports included.",
        "Redis appends and syncs each write (`appendonly yes`, `appendfsync always`); no result is "
        "kept by either.",
        "rq's default forks a process for each call, `SimpleWorker` makes it in the worker itself, "
        "which a crash takes along.",
    ],
    "limit": [
        "How near to xargs one loop can come",
        "A loop of Python that starts the same jobs two at a time, waits for them, and computes so "
        "long for each in the place of all that spoolq does.",
        "While it starts a job it stands still (`vfork`), and on two cores that the jobs fill it "
        "waits for its turn: so each microsecond counts nearly whole.",
    ],
    "enqueue": [
        "Enqueue",
        "The bare loops make the same system calls in Python, and nothing else.",
    ],
    "latency": [
        "Latency",
        "From the rename into `pending/` to the first instruction of the command; the start of "
        "the shell is in it.",
    ],
    "backlog": [
        "Large spools",
        "The rate of the first jobs, two slots, from the first to the last of them; and the time "
        "from the start of the worker to the first.",
    ],
    "idle": ["Idle", "A worker that has nothing to do, on a spool that is not empty."],
    "cold": [
        "Command line",
        "A process each time; on the large spools one job in ten is pending, the others completed.",
    ],
    "recovery": [
        "After a kill",
        "One job: of two workers the one that runs it is killed, and the other takes it over.",
        "Many: a worker that ran them all is killed, and the time is from the start of another.",
    ],
    "growth": [
        "What it grows with",
        "What one job costs, while something else becomes larger.",
    ],
    "micro": ["Beneath", "How long the worker is held up by what it does for each job."],
}


def write(document: Dict[str, Any], docs: Path = DOCS) -> None:
    """Write the page, and the plots beside it."""
    drawn = plots.draw(document["parts"], docs / "benchmarks")
    text = page(document, drawn, NOTES.read_text(encoding="utf-8"))
    (docs / "benchmarks.md").write_text(text, encoding="utf-8")


def page(document: Dict[str, Any], drawn: List[str], notes: str) -> str:
    """Return the page as Markdown."""
    parts: Dict[str, Any] = document["parts"]
    blocks = [_HEAD.rstrip()]
    if any(entry["quick"] for entries in parts.values() for entry in entries.values()):
        blocks.append(
            "**Some of this is of a quick run, which only tries that all of it runs: "
            "its figures mean nothing.**"
        )
    blocks.append("## Targets\n\n" + "\n".join(tables.targets(targets.judge(parts))))
    blocks.append("## Machine\n\n" + "\n".join(_machine(document["machine"], parts)))
    blocks.append(_METHOD.rstrip())
    for part, (title, *sentences) in _PARTS.items():
        if part in parts:
            blocks.append(f"## {title}\n\n" + "\n".join(sentences))
            blocks += [_plot(name) for name in drawn if _belongs(name, part)]
            blocks += _entries(part, parts[part])
    blocks.append(notes.strip())
    return "\n\n".join(blocks) + "\n"


def _belongs(plot: str, part: str) -> bool:
    return (plot == "drain") == (part == "drain") and part in ("drain", "growth")


def _plot(name: str) -> str:
    alt = {"drain": "Jobs a second of each"}
    alt.update({plot: f"By {x}" for plot, _, x, _, _ in plots.GROWTH})
    return f"![{alt[name]}](benchmarks/{name}.svg)"


def _entries(part: str, entries: Dict[str, Any]) -> List[str]:
    """Return the tables of a part, one for each filesystem, each named if there are several."""
    blocks = []
    for entry in entries.values():
        rounds = "1 round" if entry["rounds"] == 1 else f"{entry['rounds']} rounds"
        quick = ", quick" if entry["quick"] else ""
        blocks.append(f"On {entry['filesystem']}, {rounds}{quick}:")
        blocks.append("\n".join(tables.TABLES[part](entry["figures"])))
    return blocks


def _machine(machine: Dict[str, Any], parts: Dict[str, Any]) -> List[str]:
    entries = [entry for some in parts.values() for entry in some.values()]
    days = sorted({entry["measured_at"][:10] for entry in entries})
    commits = sorted({entry["commit"] for entry in entries if entry["commit"]})
    rows = [
        ["processor", f"{machine['cpu']}, {machine['cores']} cores"],
        ["memory", f"{machine['memory_gb']} GB"],
        ["Linux", machine["kernel"]],
        ["Python", machine["python"]],
        *[[name, said] for name, said in machine["versions"].items()],
    ]
    if days:
        rows.append(["measured", days[0] if len(days) == 1 else f"{days[0]} to {days[-1]}"])
    if commits:
        rows.append(["spoolq", ", ".join(commits)])
    return tables.table(["", ""], rows)

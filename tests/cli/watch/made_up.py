"""Scenes that nobody has to run jobs for."""

from spoolq.cli.watch.scene import KINDS, Crew, Detail, Rate, Row, Scene, Section

NOW = 1_800_000_000.0

HOSTILE = (
    "\x1b[2J\x1b]0;title\x07red",
    "\u202egnp.exe\u2066",
    "日本語のコマンド" * 20,
    "עברית ומשהו",
    "e\u0301\u0301\u0301\u0301\u0301" * 50,
    "\u2764\ufe0f 👨\u200d👩\u200d👧",
    "\r\n\t\x00\x9b31m",
    "\udcff\ud800",
    "x" * 500,
)


def row(kind, number, at=None):
    job_id = f"{kind[:4]}{number}"
    if at is None:
        at = NOW + number if kind in ("next", "retries") else NOW - number
    owner = f"web1-4121-x7f3kq.{number}" if kind == "running" else ""
    return Row(kind, f"{job_id}.json", job_id, at, 1, owner)


def scene(numbers=(0, 0, 0, 0, 0), *, text="echo hello", most=200, **fields):
    """Return a scene with so many jobs of each kind, and what they run."""
    sections = [
        Section(kind, [row(kind, n) for n in range(min(number, most))], number)
        for kind, number in zip(KINDS, numbers)
    ]

    def detail(row):
        failed = row.kind in ("retries", "dead")
        took = 1.5 if row.kind == "completed" else None
        tail = text if row.kind == "running" else ""
        return Detail(text, text if failed else "", "1/4", took, tail)

    counts = {KINDS[kind]: number for kind, number in zip(KINDS, numbers)}
    given = {
        "rate": Rate(1.0, tuple(range(60)), (0,) * 59 + (3,)),
        "crew": (Crew("web1-4121-x7f3kq", 1, 2, NOW - 90, True),),
        "due": numbers[1],
        **fields,
    }
    return Scene("/srv/spool", {**counts, "ignored": 0}, sections, detail, **given)

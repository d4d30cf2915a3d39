"""Writes docs/pictures/watch.svg, a picture of the live view: python docs/make_watch_picture.py

The scene is made up; how it is drawn is what `spoolq watch` does.
"""

import sys
from io import StringIO
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console  # noqa: E402
from rich.text import Text  # noqa: E402

from spoolq.cli.watch.desk import Desk  # noqa: E402
from spoolq.cli.watch.scene import KINDS, Crew, Detail, Rate, Row, Scene, Section  # noqa: E402

FILE = Path(__file__).resolve().parent / "pictures" / "watch.svg"
NOW = 1_795_543_200.0
COLUMNS, LINES = 110, 30

_WORKERS = ("web1-4121-x7f3kq", "web1-4380-m2p9dw")
_JOBS = {
    "running": [
        (
            "k3v9x2a7m4q1c",
            204,
            f"{_WORKERS[0]}.0",
            "1/4",
            "./transcode.sh talk-17.mov",
            "frame 5120",
        ),
        ("report-2026-11", 12, f"{_WORKERS[1]}.0", "2/4", "make report", "page 31 of 80"),
        ("q8t2m5x0c7z4n", 4, f"{_WORKERS[0]}.1", "1/4", "optipng img/0412.png", ""),
    ],
    "next": [
        ("urgent-fix", 2, "", "0/4", "./deploy.sh --hotfix", ""),
        ("b5n1r8w3y6k2j", 70, "", "0/4", "optipng img/0413.png", ""),
        ("nightly-backup", -27_000, "", "0/6", "restic backup /srv", ""),
    ],
    "retries": [("mail-7731", -3, "", "2/4", "./send.py 7731", "exit code 75")],
    "dead": [
        ("import-csv", 130, "", "4/4", "./import.py export.csv", "exit code 1"),
        ("h6d3f9s1a4g7p", 7_400, "", "1/1", "./fetch.sh news-feed", "timeout"),
    ],
    "completed": [
        ("w2e4r6t8y0u1i", 1, "", "1/4", "optipng img/0411.png", 1.4),
        ("z9x7c5v3b1n8m", 3, "", "1/4", "optipng img/0410.png", 1.1),
        ("a1s3d5f7g9h2j", 4, "", "1/4", "optipng img/0409.png", 2.0),
    ],
}
_NUMBERS = {"running": 3, "next": 1204, "retries": 1, "dead": 2, "completed": 98_790}
_ENDED = [3, 4, 2, 5, 6, 4, 3, 5, 7, 8, 6, 5, 4, 6, 8, 9, 7, 6, 5, 4] * 3

#: As rich has it, without the fonts that it would have fetched from elsewhere.
_FORMAT = """\
<svg class="rich-terminal" viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg"
     role="img" aria-label="spoolq watch, live in a terminal">
    <title>spoolq watch</title>
    <style>
    .{unique_id}-matrix {{
        font-family: Menlo, Consolas, "DejaVu Sans Mono", monospace;
        font-size: {char_height}px;
        line-height: {line_height}px;
    }}
    .{unique_id}-title {{ font-size: 18px; font-weight: bold; font-family: sans-serif; }}
    {styles}
    </style>
    <defs>
    <clipPath id="{unique_id}-clip-terminal">
      <rect x="0" y="0" width="{terminal_width}" height="{terminal_height}" />
    </clipPath>
    {lines}
    </defs>
    {chrome}
    <g transform="translate({terminal_x}, {terminal_y})"
       clip-path="url(#{unique_id}-clip-terminal)">
    {backgrounds}
    <g class="{unique_id}-matrix">
    {matrix}
    </g>
    </g>
</svg>
"""


def scene():
    """Return what the picture shows."""
    details = {}
    sections = []
    for kind, jobs in _JOBS.items():
        rows = []
        for job_id, age, owner, runs, command, more in jobs:
            row = Row(kind, job_id, job_id, NOW - age, 0, owner)
            ended = kind == "completed"
            details[row] = Detail(
                command,
                more if kind in ("retries", "dead") else "",
                runs,
                more if ended else None,
                more if kind == "running" else "",
            )
            rows.append(row)
        sections.append(Section(kind, rows, _NUMBERS[kind]))
    return Scene(
        "/srv/spool",
        {KINDS[kind]: number for kind, number in _NUMBERS.items()},
        sections,
        details.__getitem__,
        1203,
        Rate(1.0, _ENDED, [int(n in (21, 44)) for n in range(len(_ENDED))]),
        tuple(Crew(name, busy, 2, None, True) for name, busy in zip(_WORKERS, (2, 1))),
    )


def text():
    """Return what the file is to hold."""
    desk = Desk(None)
    desk.selected = "report-2026-11"
    desk.take(scene())
    console = Console(
        width=COLUMNS, record=True, file=StringIO(), force_terminal=True, legacy_windows=False
    )
    for line in desk.draw(COLUMNS, LINES, NOW):
        parts = [(span.text, span.style) for span in line]
        console.print(Text.assemble(*parts), no_wrap=True, overflow="crop", highlight=False)
    return console.export_svg(title="spoolq watch", code_format=_FORMAT, unique_id="watch")


if __name__ == "__main__":
    FILE.write_text(text(), encoding="utf-8")

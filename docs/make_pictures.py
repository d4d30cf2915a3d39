"""Draws docs/pictures/life-cycle.svg and crash-table.svg: python docs/make_pictures.py

The words of the crash table are those of docs/reliability.md. A test fails while the files differ
from what is drawn here. They bring their own background, so they can be read on a dark page and
on a light one, and follow the reader's preference.
"""

import re
import textwrap
from html import escape
from pathlib import Path

DOCS = Path(__file__).resolve().parent
PICTURES = DOCS / "pictures"

STYLE = """\
text { font: 14px system-ui, "DejaVu Sans", sans-serif; fill: var(--ink) }
.small { font-size: 12px; fill: var(--faint) }
.name { font-weight: 600; font-family: ui-monospace, "DejaVu Sans Mono", monospace }
.middle { text-anchor: middle }
.page { fill: var(--page); stroke: var(--line) }
.box { fill: var(--box); stroke: var(--line); stroke-width: 1.5 }
.way { fill: none; stroke: var(--faint); stroke-width: 1.5; marker-end: url(#tip) }
.tip { fill: var(--faint) }
.rule { stroke: var(--line) }
.pending { fill: #d9a400 } .processing { fill: #2b9eb3 } .failed { fill: #e07a3f }
.completed { fill: #3c9f5c } .dead { fill: #c8443c } .tmp { fill: #8a8f98 }
svg { --page: #ffffff; --box: #f6f7f9; --line: #d0d5dc; --ink: #1f2430; --faint: #5a6372 }
@media (prefers-color-scheme: dark) {
  svg { --page: #14171c; --box: #1e232b; --line: #3a414d; --ink: #e6e9ee; --faint: #a3acba }
}
"""


def svg(width, height, title, body):
    """Return a picture with its title, for who cannot see it, and its background."""
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" \
height="{height}" role="img" aria-label="{escape(title)}">
<title>{escape(title)}</title>
<style>
{STYLE}</style>
<defs><marker id="tip" markerWidth="9" markerHeight="8" refX="8" refY="4" orient="auto">\
<path class="tip" d="M0 0 L9 4 L0 8 z"/></marker></defs>
<rect class="page" x="0.5" y="0.5" width="{width - 1}" height="{height - 1}" rx="8"/>
{body}
</svg>
"""


def text(x, y, words, kind=""):
    """Return a line of text."""
    return f'<text x="{x}" y="{y}" class="{kind}">{escape(words)}</text>'


def life_cycle():
    """Return the five directories, and what moves a job between them."""
    parts = []

    def box(name, x, y, words):
        parts.append(f'<rect class="box" x="{x}" y="{y}" width="150" height="54" rx="6"/>')
        parts.append(f'<rect class="{name}" x="{x}" y="{y}" width="6" height="54" rx="3"/>')
        parts.append(text(x + 78, y + 23, f"{name}/", "name middle"))
        parts.append(text(x + 78, y + 42, words, "small middle"))

    def way(path, x, y, *lines):
        parts.append(f'<path class="way" d="{path}"/>')
        for number, line in enumerate(lines):
            parts.append(text(x, y + 15 * number, line, "small middle"))

    box("pending", 150, 130, "waits, now or later")
    box("processing", 410, 130, "a worker runs it")
    box("completed", 670, 130, "exit code 0")
    box("failed", 280, 24, "waits for its retry")
    box("dead", 540, 236, "until you decide")
    way("M24 157 H148", 84, 132, "enqueue,", "or drop a file")
    way("M300 157 H408", 354, 148, "claim")
    way("M560 157 H668", 614, 148, "exit code 0")
    way("M485 130 V51 H432", 530, 78, "failed,", "retries left")
    way("M280 51 H225 V128", 168, 78, "its time", "has come")
    way("M515 184 V263 H538", 596, 204, "failed, none left;", "or cancelled")
    way("M540 280 H225 V186", 376, 272, "dlq retry")
    parts.append(text(24, 308, "Each arrow is one rename.", "small"))
    title = (
        "The life of a job: pending, processing, then completed; or failed, and pending again "
        "when its time has come; or dead, until it is retried"
    )
    return svg(844, 324, title, "\n".join(parts))


#: Rows of the crash table, and the directory in which the job's file is found then.
ROWS = {
    "tmp written, not published": "tmp",
    "published": "pending",
    "slot lock, before the rename": "pending",
    "claim": "processing",
    "outcome written, not recorded": "processing",
    "outcome recorded": "processing",
    "moved": "completed",
    "retry due, moved": "pending",
    "cancellation recorded": "processing",
    "`dlq retry`, or the retry of a failed job, moved": "pending",
}
PLACES = ("tmp", "pending", "processing", "failed", "completed", "dead")


def told():
    """Return of each row of the crash table what happens after a crash there."""
    page = (DOCS / "reliability.md").read_text(encoding="utf-8")
    section = page.split("## Crash table", 1)[1].split("\n## ", 1)[0]
    rows = [line.strip("| ").split(" | ") for line in section.splitlines() if line[:1] == "|"]
    return {row[0]: row[2] for row in rows[2:]}


def crash_table():
    """Return where a job is found after a kill at each step, and what happens then."""
    what = told()
    parts = [text(20, 32, "killed right after", "small"), text(632, 32, "what happens", "small")]
    for number, name in enumerate(PLACES):
        parts.append(text(264 + 62 * number, 32 if number % 2 else 18, f"{name}/", "small middle"))
    y = 44
    for step, place in ROWS.items():
        plain = re.sub("`", "", step)
        left = textwrap.wrap(plain, 28)
        right = textwrap.wrap(what[step], 54)
        height = 16 * max(len(left), len(right)) + 14
        parts.append(f'<path class="rule" d="M16 {y} H984"/>')
        for number, line in enumerate(left):
            parts.append(text(20, y + 20 + 16 * number, line))
        for number, line in enumerate(right):
            parts.append(text(632, y + 20 + 16 * number, line, "small"))
        middle = y + height / 2
        for number, name in enumerate(PLACES):
            x = 264 + 62 * number
            if name == place:
                parts.append(f'<circle class="{name}" cx="{x}" cy="{middle}" r="8"/>')
            else:
                parts.append(f'<circle class="rule" cx="{x}" cy="{middle}" r="2" fill="none"/>')
        y += height
    title = "Where a job is found after a kill at each step, and what happens then"
    return svg(1000, y + 12, title, "\n".join(parts))


DRAWN = {"life-cycle.svg": life_cycle, "crash-table.svg": crash_table}


if __name__ == "__main__":
    PICTURES.mkdir(exist_ok=True)
    for name, draw in DRAWN.items():
        (PICTURES / name).write_text(draw(), encoding="utf-8")

"""Records the session of the README on a terminal: python docs/make_cast.py

It types the README's first console block into a real shell on a real terminal, and writes
docs/pictures/session.cast (asciinema, version 2: `asciinema play` shows it) and session.svg,
which shows the same in a browser, without any script. Needs pyte, of the `docs` extra.

Typing takes the time that a person takes and long waits are cut short, so the times of the cast
are for looking at; what is printed is what was printed.
"""

import argparse
import json
import os
import pty
import re
import select
import shutil
import subprocess
import sys
import tempfile
import time
from html import escape
from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple

DOCS = Path(__file__).resolve().parent
COLUMNS, ROWS = 92, 38
PROMPT = "\x1b[1;32m$\x1b[0m "
KEY, THINK, LONGEST = 0.045, 0.9, 1.2  # seconds: a key, before Enter's next, the longest wait
HOLD = 5.0  # seconds that the end stays, before it begins anew
MARK = b"\x1e"

Event = Tuple[float, str]


# --- the session ----------------------------------------------------------------------------------


def commands() -> List[str]:
    """Return what the README's first console block has people type."""
    block = re.search(r"```console\n(.*?)```", (DOCS.parent / "README.md").read_text("utf-8"), re.S)
    assert block is not None
    return [line[2:] for line in block.group(1).splitlines() if line.startswith("$ ")]


def _environment(home: str) -> Dict[str, str]:
    tools = os.path.join(home, ".tools")
    os.mkdir(tools)
    program = os.path.join(tools, "spoolq")
    with open(program, "w", encoding="utf-8") as file:
        file.write(f'#!/bin/sh\nPYTHONPATH={DOCS.parent} exec {sys.executable} -m spoolq "$@"\n')
    os.chmod(program, 0o755)
    return {
        "HOME": home,
        "PATH": f"{tools}:/usr/local/bin:/usr/bin:/bin",
        "TERM": "xterm-256color",
        "LANG": "C.UTF-8",
        "COLUMNS": str(COLUMNS),
    }


def record(typed: List[str]) -> List[Event]:
    """Type commands into a shell; return what its terminal was sent, and when.

    An id that is typed in part, as in the README, is that of the job which this run made in its
    place.
    """
    home = os.path.realpath(tempfile.mkdtemp(prefix="me-"))
    parent, child = pty.openpty()
    subprocess.run(["stty", "cols", str(COLUMNS), "rows", str(ROWS)], stdin=child, check=True)
    shell = subprocess.Popen(
        ["bash", "--norc", "--noprofile"],
        stdin=subprocess.PIPE,
        stdout=child,
        stderr=child,
        pass_fds=(child,),
        cwd=home,
        env=_environment(home),
        start_new_session=True,
    )
    assert shell.stdin is not None
    events: List[Event] = []
    ids: List[str] = []
    known: Dict[str, str] = {}
    now = 0.5
    try:
        for command in typed:
            here = _with_ids(command, ids, known)
            events.append((now, PROMPT))
            for key in here:
                now += KEY
                events.append((now, key))
            now += THINK / 3
            events.append((now, "\r\n"))
            shell.stdin.write(f"{{ {here}\n}} <&{child}; printf '\\036'\n".encode())
            shell.stdin.flush()
            printed = _until_done(parent, now)
            for at, data in printed:
                now = min(at, now + LONGEST)
                shown = data.replace(home, "/home/me")
                events.append((now, shown))
                if command.startswith("spoolq enqueue"):
                    ids += re.findall(r"^[0-9a-z]{13}\b", shown, re.M)
            now += THINK
        events.append((now, PROMPT))
    finally:
        shell.stdin.close()
        shell.wait(30)
        os.close(parent)
        os.close(child)
        shutil.rmtree(home)
    return [(round(at, 3), data) for at, data in events]


def _with_ids(command: str, ids: List[str], known: Dict[str, str]) -> str:
    """Return a command with the beginnings of this run's ids for those of the README."""
    readme = re.findall(r"^([0-9a-z]{13})$", (DOCS.parent / "README.md").read_text("utf-8"), re.M)
    known.update(zip(dict.fromkeys(readme), ids))
    for told, real in known.items():
        command = re.sub(rf"\b{told[:4]}\b", real[:4], command)
    return command


def _until_done(parent: int, start: float) -> List[Event]:
    """Return what comes until the command's end is marked, with times from `start` on."""
    began, found = time.monotonic(), []
    while True:
        if not select.select([parent], [], [], 60)[0]:
            raise TimeoutError("the session stands still")
        data = os.read(parent, 65536)
        text = data.replace(MARK, b"").decode("utf-8", "replace")
        if text:
            found.append((start + time.monotonic() - began, text))
        if MARK in data:
            return found


def cast(events: List[Event]) -> str:
    """Return the session in asciinema's format."""
    header = {
        "version": 2,
        "width": COLUMNS,
        "height": ROWS,
        "title": "spoolq",
        "env": {"SHELL": "/bin/bash", "TERM": "xterm-256color"},
    }
    lines = [json.dumps(header)]
    lines += [json.dumps([at, "o", data]) for at, data in events]
    return "\n".join(lines) + "\n"


# --- the picture ----------------------------------------------------------------------------------

LINE, CHAR, TOP, SIDE = 18.0, 8.43, 40, 16
COLORS = {
    "red": "#f47067",
    "green": "#57ab5a",
    "brown": "#daaa3f",
    "blue": "#6cb6ff",
    "magenta": "#dcbdfb",
    "cyan": "#56d4dd",
    "white": "#cdd3de",
    "black": "#7d8796",
}


class Shown(NamedTuple):
    """A row of the screen with this content, from one time to another."""

    row: int
    content: str
    since: float
    until: float


def shown(events: List[Event], end: float) -> List[Shown]:
    """Return what was on each row of the screen, and how long."""
    import pyte

    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.Stream(screen)
    found: List[Shown] = []
    current: Dict[int, Tuple[str, float]] = {}
    for at, data in events:
        stream.feed(data)
        for row in range(ROWS):
            content = _row(screen.buffer[row])
            before, since = current.get(row, ("", 0.0))
            if content != before:
                if before and at > since:
                    found.append(Shown(row, before, since, at))
                current[row] = (content, at)
    found += [Shown(row, text, since, end) for row, (text, since) in current.items() if text]
    return sorted(found, key=lambda each: (each.since, each.row))


def _row(cells) -> str:
    """Return a row of cells as SVG, or nothing where it is blank."""
    runs: List[Tuple[str, str]] = []
    for column in range(COLUMNS):
        cell = cells[column]
        color = COLORS.get(cell.fg, f"#{cell.fg}" if len(cell.fg) == 6 else "")
        style = (f' fill="{color}"' if color else "") + (' font-weight="bold"' if cell.bold else "")
        if runs and runs[-1][0] == style:
            runs[-1] = style, runs[-1][1] + cell.data
        else:
            runs.append((style, cell.data))
    while runs and not runs[-1][1].strip():
        runs.pop()
    spans = []
    for index, (style, words) in enumerate(runs):
        words = escape(words.rstrip() if index == len(runs) - 1 else words, quote=False)
        spans.append(f"<tspan{style}>{words}</tspan>" if style else words)
    return "".join(spans)


def svg(events: List[Event]) -> str:
    """Return the session as a picture that moves; the end of it where nothing may move."""
    end = events[-1][0] + HOLD
    width, height = round(2 * SIDE + COLUMNS * CHAR), round(TOP + ROWS * LINE + SIDE)
    rules, texts = [], []
    for number, each in enumerate(shown(events, end)):
        last = each.until >= end
        y = TOP + each.row * LINE + 13
        name = f"s{number}"
        place = f'class="{"l" if last else "h"} {name}" x="{SIDE}" y="{y:g}"'
        texts.append(f"<text {place}>{each.content}</text>")
        since, until = 100 * each.since / end, 100 * each.until / end
        stop = "" if last else f"{until:.3f}%,100%{{visibility:hidden}}"
        rules.append(
            f"@keyframes {name}{{0%,{max(since - 0.001, 0):.3f}%{{visibility:hidden}}"
            f"{since:.3f}%{{visibility:visible}}{stop}}}.{name}{{animation-name:{name}}}"
        )
    moving = "\n".join(rules)
    font = '14px ui-monospace,"DejaVu Sans Mono",Menlo,Consolas,monospace'
    way = "animation-iteration-count:infinite;animation-timing-function:step-end"
    return f"""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" \
height="{height}" role="img" aria-label="A session with spoolq">
<title>A session with spoolq</title>
<style>
text{{font:{font};fill:#cdd3de;white-space:pre}}
.h{{visibility:hidden}}
@media (prefers-reduced-motion:no-preference){{
.l,.h{{animation-duration:{end:.2f}s;{way}}}
{moving}
}}
</style>
<rect width="{width}" height="{height}" rx="8" fill="#1b1f27"/>
<circle cx="20" cy="18" r="5" fill="#f47067"/><circle cx="38" cy="18" r="5" fill="#daaa3f"/>\
<circle cx="56" cy="18" r="5" fill="#57ab5a"/>
{chr(10).join(texts)}
</svg>
"""


def main() -> None:
    """Write the cast and its picture."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--into", type=Path, default=DOCS / "pictures", help="the directory")
    into = parser.parse_args().into
    events = record(commands())
    (into / "session.cast").write_text(cast(events), encoding="utf-8")
    (into / "session.svg").write_text(svg(events), encoding="utf-8")


if __name__ == "__main__":
    main()

"""The picture: a scene becomes lines of cells. Pure; it asks nothing but the scene.

From top to bottom: the spool and who works on it, how many jobs are in each state, how many ended
lately, warnings; then the jobs by kind, each kind with its share of the room; at the bottom what
can be done. What there is no room for is left out, the least important first.
"""

from __future__ import annotations

from typing import Dict, Iterable, List, NamedTuple, Optional, Sequence, Tuple

from spoolq import instants, spans
from spoolq.cli import times
from spoolq.cli.render import STATE_STYLE
from spoolq.cli.watch import moments
from spoolq.cli.watch.lines import Line, Span, cut, cut_left, line, pad, padded, safe, width
from spoolq.cli.watch.scene import Rate, Row, Scene, Section

_BARS = "▁▂▃▄▅▆▇█"
_LETTERS = {"pending": "P", "processing": "R", "failed": "F", "completed": "C", "dead": "D"}
_MOST_WARNINGS = 3
_MOST_BARS = 60
#: Which kinds keep their rows where there is little room.
_IMPORTANCE = ("running", "retries", "dead", "next", "completed", "workers")
_NATURAL = 10  # rows of each kind where the picture is as long as it likes

_TITLES = {"next": "NEXT", "retries": "RETRIES"}


class Frame(NamedTuple):
    """A picture, and the rows in it that can be chosen."""

    lines: List[Line]
    rows: List[Row]


def draw(
    scene: Scene,
    columns: int,
    height: Optional[int],
    now: float,
    selected: Optional[str] = None,
    bottom: Sequence[Span] = (),
) -> Frame:
    """Draw a scene.

    Args:
        height: lines of the screen; None: as many as it takes, and no line at the bottom.
        selected: the id of the job that is chosen.
        bottom: what the last line says.
    """
    columns = max(columns, 1)
    top = [_title(scene, columns), _counts(scene, columns)]
    if height is None or height >= 8:
        top += [_rate(scene, columns)] + _warnings(scene, columns, height)
    room = None if height is None else max(height - len(top) - 1, 0)
    body, rows = _body(scene, columns, room, now, selected)
    if height is None:
        return Frame(top + body, rows)
    lines = (top + body)[: max(height - 1, 0)]
    lines += [Line()] * (height - 1 - len(lines))
    return Frame([*lines, line(columns, bottom)], rows)


# --- the top --------------------------------------------------------------------------------------


def _title(scene: Scene, columns: int) -> Line:
    alive = [crew for crew in scene.crew if crew.alive]
    busy, slots = sum(crew.busy for crew in alive), sum(crew.slots for crew in alive)
    many = f"{len(alive)} worker{'s' if len(alive) != 1 else ''}, {busy} of {slots} busy"
    crew = many if columns >= 60 else f"{busy}/{slots}"
    style = "cyan"
    if not alive:
        waits = scene.due or scene.counts.get("failed") or scene.counts.get("processing")
        crew, style = "no worker", "red" if waits else "dim"
    right = [Span(" "), Span(crew, style)]
    if scene.paused:
        right = [Span(" "), Span(" PAUSED ", "bold yellow reverse"), *right]
    room = columns - sum(width(span.text) for span in right)
    left = line(room, [Span("spoolq ", "bold"), Span(cut_left(safe(scene.path), room - 7))])
    return line(columns, [*padded(left, max(room, 0)), *right])


def _counts(scene: Scene, columns: int) -> Line:
    def told(names: Dict[str, str], gap: str, between: str) -> List[Span]:
        parts: List[Span] = []
        for state, name in names.items():
            number = scene.counts.get(state, 0)
            style = STATE_STYLE[state] if number else "dim"
            about = "≈" if state in scene.old else ""
            parts += [Span(name + gap, "dim"), Span(f"{about}{number}", style), Span(between)]
        if scene.counts.get("ignored"):
            parts += [Span("no jobs" + gap, "dim"), Span(str(scene.counts["ignored"]), "yellow")]
        return parts

    whole = told({state: state for state in _LETTERS}, " ", "   ")
    if sum(width(span.text) for span in whole) > columns:
        whole = told(_LETTERS, "", " ")
    return line(columns, whole)


def _rate(scene: Scene, columns: int) -> Line:
    rate = scene.rate
    told = _told_rate(scene) + (f"   {safe(scene.coming)}" if scene.coming else "")
    bars = _bars(rate, min(_MOST_BARS, columns - width(told) - 2))
    return line(columns, [*bars, Span("  " if bars else ""), Span(told, "dim")])


def _bars(rate: Rate, most: int) -> List[Span]:
    pairs = list(zip(rate.completed, rate.dead))[-most:] if most > 3 else []
    highest = max((good + bad for good, bad in pairs), default=0)
    found = []
    for good, bad in pairs:
        ended = good + bad
        level = -(-ended * (len(_BARS) - 1) // highest) if ended else 0
        style = "red" if bad else "green" if good else "dim"
        found.append(Span(_BARS[level], style))
    return found


def _told_rate(scene: Scene) -> str:
    rate = scene.rate
    period = spans.brief(rate.seconds * len(rate.completed))
    if not rate.total:
        return f"none ended in {period}"
    text = f"{rate.total} ended in {period}"
    speed = rate.per_second()
    if speed is None:
        return text
    if speed >= 1:
        text += f", {speed:.1f}/s" if speed < 100 else f", {speed:.0f}/s"
    else:
        text += f", {speed * 60:.1f}/min" if speed * 60 >= 1 else f", {speed * 3600:.1f}/h"
    if scene.due and any(crew.alive for crew in scene.crew):
        text += f": {scene.due} due take {spans.length(scene.due / speed)}"
    return text


def _warnings(scene: Scene, columns: int, height: Optional[int]) -> List[Line]:
    found = [*scene.warnings]
    most = len(found) if height is None else min(_MOST_WARNINGS, max((height - 6) // 4, 1))
    lines = [line(columns, [Span(f"! {safe(text)}", "yellow")]) for text in found[:most]]
    if scene.standing:
        lines.append(line(columns, [Span(safe("   ".join(scene.standing)), "dim")]))
    if scene.sought:
        words = [Span("filter: ", "dim"), Span(safe(scene.sought), "bold")]
        lines.append(line(columns, [*words, Span("  (Esc ends it)", "dim")] if height else words))
    return lines


# --- the jobs -------------------------------------------------------------------------------------


class _Block(NamedTuple):
    """What stands under one title."""

    kind: str
    size: int
    section: Optional[Section] = None


def _body(
    scene: Scene, columns: int, room: Optional[int], now: float, selected: Optional[str]
) -> Tuple[List[Line], List[Row]]:
    blocks = [_Block(s.kind, len(s.rows), s) for s in scene.sections if s.rows]
    if scene.crew:
        blocks.append(_Block("workers", len(scene.crew)))
    if not any(block.section for block in blocks):
        return _nothing(scene, columns), []
    shares = share({block.kind: block.size for block in blocks}, room)
    used = sum(shares.values()) + len(shares)
    gaps = room is None or (used + len(shares) <= room and len(shares) > 1)
    shown: List[Tuple[_Block, List[Row]]] = []
    for block in blocks:
        count = shares.get(block.kind, 0)
        rows = _window(block.section.rows, count, selected) if count and block.section else []
        if count:
            shown.append((block, rows))
    visible = [row for _, rows in shown for row in rows]
    table = _Table(scene, columns, now, visible, selected)
    lines: List[Line] = []
    for block, rows in shown:
        if gaps:
            lines.append(Line())
        if block.section is None:
            lines.append(_heading("WORKERS", shares["workers"], len(scene.crew), columns))
            lines += [table.worker(index) for index in range(shares["workers"])]
            continue
        title = _TITLES.get(block.kind, block.kind.upper())
        lines.append(_heading(title, len(rows), block.section.total, columns))
        lines += [table.row(row) for row in rows]
    return lines, visible


def share(sizes: Dict[str, int], room: Optional[int]) -> Dict[str, int]:
    """Return how many rows of each kind are shown, a title each besides.

    Each kind gets one row before any gets a second, in the order of importance.
    """
    if room is None:
        return {kind: min(size, _NATURAL) for kind, size in sizes.items()}
    given: Dict[str, int] = {}
    for kind in _IMPORTANCE:
        if sizes.get(kind) and room >= 2:
            given[kind] = 1
            room -= 2
    while room > 0 and any(given[kind] < sizes[kind] for kind in given):
        for kind in _IMPORTANCE:
            if kind in given and given[kind] < sizes[kind] and room > 0:
                given[kind] += 1
                room -= 1
    return given


def _window(rows: Sequence[Row], count: int, selected: Optional[str]) -> List[Row]:
    chosen = next((index for index, row in enumerate(rows) if row.id == selected), 0)
    first = max(chosen - count + 1, 0)
    return list(rows[first : first + count])


def _heading(title: str, shown: int, total: int, columns: int) -> Line:
    number = str(total) if shown == total else f"{shown} of {total}"
    return line(columns, [Span(title, "bold"), Span(f" {number}", "dim")])


class _Table:
    """Rows under each other, in columns that fit what is shown."""

    def __init__(
        self, scene: Scene, columns: int, now: float, rows: List[Row], selected: Optional[str]
    ) -> None:
        self._scene, self._columns, self._now, self._selected = scene, columns, now, selected
        details = {row: scene.detail(row) for row in rows}
        self._details = details
        self._times = {row: moments.of_row(row, now, brief=columns < 60) for row in rows}
        self._id = _at_most(map(_shown_id, rows), max(4, min(20, columns // 4)))
        self._time = _at_most(self._times.values(), 14)
        self._runs = _at_most((d.runs for d in details.values()), 9) if columns >= 60 else 0
        owners = [row.owner for row in rows]
        self._owner = _at_most(owners, min(32, columns // 5)) if columns >= 90 else 0

    def row(self, row: Row) -> Line:
        """Return the line of a job."""
        detail = self._details[row]
        mark = row.id == self._selected
        parts = [
            Span("▌" if mark else " ", "bold"),
            Span(pad(_shown_id(row), self._id) + " ", STATE_STYLE[row.state]),
            Span(pad(self._times[row], self._time) + " "),
        ]
        if self._runs:
            parts.append(Span(pad(safe(detail.runs), self._runs) + " ", "dim"))
        if self._owner and row.kind == "running":
            parts.append(Span(pad(cut_left(row.owner, self._owner), self._owner) + " ", "dim"))
        if detail.took is not None and self._columns >= 60:
            parts.append(Span(f"took {spans.length(detail.took)} ", "dim"))
        if detail.reason:
            parts.append(Span(f"[{cut(safe(detail.reason), 60)}] ", "red"))
        gone = not detail.command and not detail.reason  # since the look that the row is from
        parts.append(Span("has moved on", "dim") if gone else Span(safe(detail.command)))
        if detail.tail and self._columns >= 60:
            used = sum(width(span.text) for span in parts[:-1])
            half = (self._columns - used) * 3 // 5  # the output gets what the command leaves
            parts[-1] = Span(cut(parts[-1].text, max(half, 8)))
            parts.append(Span(f"  │ {safe(detail.tail)}", "dim"))
        found = line(self._columns, parts)
        return Line([Span(pad(found.plain, self._columns), "reverse")]) if mark else found

    def worker(self, index: int) -> Line:
        """Return the line of a worker."""
        crew = self._scene.crew[index]
        if not crew.alive:
            told = f"gone; {safe(crew.told or 'the next worker takes its jobs over')}"
            return line(self._columns, [Span(f" {crew.name}  "), Span(told, "red")])
        if crew.told:
            return line(self._columns, [Span(f" {crew.name}  "), Span(safe(crew.told), "dim")])
        since = ""
        if crew.since is not None:  # a clock's time, which needs no clock to stay true
            here = map(instants.from_epoch, (crew.since, self._now))
            since = f", since {times.short(*here)}"
        told = f"{crew.busy} of {crew.slots} busy{since}"
        return line(self._columns, [Span(f" {crew.name}  "), Span(told, "dim")])


def _shown_id(row: Row) -> str:
    return safe(row.id)


def _at_most(texts: Iterable[str], most: int) -> int:
    return min(max(map(width, texts), default=0), most)


def _nothing(scene: Scene, columns: int) -> List[Line]:
    """Return what is said where there is no job to show."""
    if scene.sought:
        words = [f"no job has '{safe(scene.sought)}' in its id, command, name, tags or state"]
    else:
        words = ["no jobs yet; in another terminal:", "", "  spoolq enqueue 'echo hello'"]
        if not any(crew.alive for crew in scene.crew):
            words.append("  spoolq worker start --count 2")
    return [Line(), *(line(columns, [Span(f" {text}", "dim")]) for text in words)]

"""What the person at the keys has chosen, what each key does, and what the last line says."""

from __future__ import annotations

from typing import Callable, Dict, List, Optional, Sequence

from spoolq.cli.watch import errands, frame, moments
from spoolq.cli.watch.board import Board
from spoolq.cli.watch.errands import Errands
from spoolq.cli.watch.follow import Follow
from spoolq.cli.watch.lines import Line, Span, fold, line, safe
from spoolq.cli.watch.scene import KINDS, Row, Scene

_LONGEST_FILTER = 100

_HELP = (
    ("up down, k j", "choose a job"),
    ("page up, page down", "go to the jobs of the kind above, below"),
    ("Enter, l", "follow its log; q or Esc comes back"),
    ("r", "retry it: a failed job now, a dead one anew"),
    ("c", "cancel it, after a y"),
    ("p", "pause: workers take nothing new; again to go on"),
    ("/", "filter by text in the id, command, name, tags or state"),
    ("Esc", "end the filter"),
    ("?", "this page; any key comes back"),
    ("q, Ctrl+C", "leave; the workers go on"),
)
_KEYS = (
    ("?", "help"),
    ("q", "quit"),
    ("Enter", "log"),
    ("r", "retry"),
    ("c", "cancel"),
    ("p", "pause"),
    ("/", "filter"),
)


class Desk:
    """The state of a view between two keys."""

    def __init__(self, errands: Errands) -> None:
        self._errands = errands
        self._note = ""
        self._help = False
        self._typing: Optional[str] = None  # the filter before it was changed
        self._asked: Optional[Row] = None  # whether to cancel this
        self._index = 0  # of the chosen row among all, for when its job has gone
        self._shown: List[Row] = []
        self.board: Optional[Board] = None
        self.scene: Optional[Scene] = None
        self.problem = ""
        self.follow: Optional[Follow] = None
        self.selected: Optional[str] = None
        self.sought = ""
        self.leaving = False
        self.asks_for_a_look = False

    # --- what there is to be seen -----------------------------------------------------------------

    def turn_to(self, board: Board) -> None:
        """Look at another spool from now on: what was said and asked was of the one before."""
        self.board, self.follow, self._asked, self._note = board, None, None, ""

    def take(self, scene: Scene) -> None:
        """Take a new scene; the choice stays with its job, else with its place."""
        self.scene, self.problem = scene, ""
        ids = [row.id for row in scene.rows]
        if self.selected in ids:
            self._index = ids.index(self.selected)
        elif ids:
            self._index = min(self._index, len(ids) - 1)
            # Nobody has chosen yet: then nothing is chosen before a key is pressed.
            self.selected = ids[self._index] if self.selected is not None else None
        else:
            self.selected = None

    def tell(self, note: str) -> None:
        """Say something in the last line, until the next key."""
        self._note = note

    def draw(self, columns: int, height: int, now: float) -> List[Line]:
        """Return the picture."""
        self._shown = []
        if self.problem or self.scene is None:
            return self._page(columns, height, [self.problem or "looking ..."])
        if self._help:
            wide = max(len(keys) for keys, _ in _HELP)
            return self._page(columns, height, [f"{k.ljust(wide)}  {what}" for k, what in _HELP])
        if self.follow is not None:
            return self.follow.draw(columns, height, now)
        picture = frame.draw(self.scene, columns, height, now, self.selected, self._bottom())
        self._shown = picture.rows
        return picture.lines

    def _page(self, columns: int, height: int, words: Sequence[str]) -> List[Line]:
        lines = [line(columns, [Span("spoolq watch", "bold")]), Line()]
        lines += [Line([Span(part)]) for text in words for part in fold(safe(text), columns)]
        lines = lines[: max(height - 1, 0)] + [Line()] * (height - 1 - len(lines))
        keys = [Span("q", "bold"), Span(" quit" if self.problem else " back", "dim")]
        return [*lines, line(columns, keys)]

    def logs(self) -> List[str]:
        """Return the logs whose growth is to be seen."""
        if self.board is None or self.problem:
            return []
        if self.follow is not None:
            return [self.follow.path] if self.follow.path else []
        return [path for path in map(self.board.log_path, self._shown) if path]

    def next_change(self, now: float) -> Optional[float]:
        """Return the seconds until the picture changes though nothing happens."""
        if self.scene is None or self.problem:
            return None
        if self.follow is not None:
            return 1.0 if self.follow.moves() else None
        found = [moments.next_change(self._shown, now)]
        rate = self.scene.rate
        if rate.total:
            found.append(rate.seconds - now % rate.seconds)
        return min((seconds for seconds in found if seconds is not None), default=None)

    def _bottom(self) -> List[Span]:
        if self._typing is not None:
            return [Span("/", "bold"), Span(safe(self.sought)), Span(" ", "reverse")]
        if self._asked is not None:
            question = f"cancel {safe(self._asked.id)}? y or n"
            return [Span(question, "bold yellow")]
        if self._note:
            return [Span(safe(self._note), "bold")]
        parts: List[Span] = []
        for key, word in _KEYS:
            paused = word == "pause" and self.scene is not None and self.scene.paused
            parts += [Span(key, "bold"), Span(f" {'resume' if paused else word}   ", "dim")]
        return parts

    # --- keys -------------------------------------------------------------------------------------

    def press(self, key: str) -> None:
        """Do what a key is for."""
        self._note = ""
        if self._typing is not None:
            self._type(key)
        elif self._asked is not None:
            row, self._asked = self._asked, None
            if key == "y":
                self._start(errands.cancel(row.id), f"{row.id}: being cancelled")
            else:
                self._note = "nothing was cancelled"
        elif self._help:
            self._help = False
        elif self.follow is not None and not self.problem:
            if key in ("q", "escape", "l", "backspace"):
                self.follow = None
        elif key == "q":
            self.leaving = True
        elif not self.problem:
            self._act(key)

    def _act(self, key: str) -> None:
        acts: Dict[str, Callable[[], None]] = {
            "down": lambda: self._move(1),
            "j": lambda: self._move(1),
            "up": lambda: self._move(-1),
            "k": lambda: self._move(-1),
            "home": lambda: self._choose(0),
            "g": lambda: self._choose(0),
            "end": lambda: self._choose(-1),
            "G": lambda: self._choose(-1),
            "page down": lambda: self._jump(1),
            "page up": lambda: self._jump(-1),
            "enter": self._open,
            "l": self._open,
            "r": self._retry,
            "c": self._ask_to_cancel,
            "p": lambda: self._start(errands.pause_or_resume, ""),
            "/": self._begin_filter,
            "escape": lambda: self._filter(""),
            "?": self._toggle_help,
        }
        acts.get(key, lambda: None)()

    def _rows(self) -> Sequence[Row]:
        return self.scene.rows if self.scene else ()

    def _chosen(self) -> Optional[Row]:
        found = next((row for row in self._rows() if row.id == self.selected), None)
        if found is None:
            self._note = "choose a job first, with the arrow keys" if self._rows() else "no job"
        return found

    def _choose(self, index: int) -> None:
        rows = self._rows()
        if rows:
            self._index = index % len(rows) if index < 0 else min(index, len(rows) - 1)
            self.selected = rows[self._index].id

    def _move(self, step: int) -> None:
        if self.selected is None:
            self._choose(0 if step > 0 else -1)
        else:
            self._choose(max(self._index + step, 0))

    def _jump(self, step: int) -> None:
        """Choose the first job of the next kind, or of this or the one before."""
        rows = self._rows()
        if not rows:
            return
        starts = [n for n, row in enumerate(rows) if n == 0 or rows[n - 1].kind != row.kind]
        if self.selected is None:
            self._choose(0)
        elif step > 0:
            self._choose(next((n for n in starts if n > self._index), len(rows) - 1))
        else:
            self._choose(max((n for n in starts if n < self._index), default=0))

    def _open(self) -> None:
        row = self._chosen()
        if row is not None and self.board is not None:
            self.follow = Follow(self.board, row.id)
            self.asks_for_a_look = True

    def _retry(self) -> None:
        row = self._chosen()
        if row is None:
            return
        if row.kind not in ("retries", "dead"):
            state = KINDS[row.kind]
            self._note = f"{row.id} is {state}; failed and dead jobs can be retried"
            return
        self._start(errands.retry(row.id), f"{row.id}: being retried")

    def _ask_to_cancel(self) -> None:
        row = self._chosen()
        if row is None:
            return
        if row.kind in ("dead", "completed"):
            self._note = f"{row.id} has ended; waiting and running jobs can be cancelled"
        else:
            self._asked = row

    def _start(self, act: errands.Act, note: str) -> None:
        started = self._errands.run(act)
        self._note = note if started else "wait a moment: the last thing is not done yet"

    def _toggle_help(self) -> None:
        self._help = True

    # --- the filter -------------------------------------------------------------------------------

    def _begin_filter(self) -> None:
        self._typing = self.sought

    def _filter(self, text: str) -> None:
        if text != self.sought:
            self.sought = text[:_LONGEST_FILTER]
            self.asks_for_a_look = True

    def _type(self, key: str) -> None:
        if key == "enter":
            self._typing = None
        elif key == "escape":
            before, self._typing = self._typing or "", None
            self._filter(before)
        elif key == "backspace":
            self._filter(self.sought[:-1])
        elif key == "erase":
            self._filter("")
        elif len(key) == 1:
            self._filter(self.sought + key)

"""The loop of the live view: sleep until something happens, look, draw.

What happens is a change in the spool, a key, a signal, or that a shown time says something else
by now. Looks and pictures follow changes only as fast as their own cost allows: after so much
processor time the view rests fifty times as long, however fast the jobs move. Where no events can
come, it looks once a second.
"""

from __future__ import annotations

import os
import signal
import time
from typing import Any, Callable, Dict, List, Optional, Tuple

from spoolq import api, names, platform
from spoolq.bell import Bell
from spoolq.cli.watch.board import Board
from spoolq.cli.watch.desk import Desk
from spoolq.cli.watch.errands import Errands
from spoolq.cli.watch.keys import Keys
from spoolq.cli.watch.screen import Screen
from spoolq.errors import SpoolqError
from spoolq.layout import STATES, storage_error
from spoolq.lookout import Lookout

_SHORTEST = 0.2  # seconds between two looks that follow events
_SHARE = 50
_LONGEST = 5.0  # seconds of rest, whatever a look has cost
_TICK = 1.0  # seconds: shown times change no faster, and where no events come it is looked so often
_HELD = 0.05  # seconds after which ESC is the key, and not the beginning of another
_MOST_WORKERS = 64  # whose troubles and deaths are waited for

_ENDING = ("SIGINT", "SIGTERM", "SIGHUP", "SIGQUIT")


class Viewer:
    """A live view of the spool at a path."""

    def __init__(self, spool: api.Spool, screen: Screen, sought: str) -> None:
        self._path = spool.path
        self._screen = screen
        self._bell = Bell()
        self._lookout = Lookout(spool.path, self._ring)
        self._errands = Errands(spool.path, self._bell.wake)
        self._keys = Keys()
        self._desk = Desk(self._errands)
        self._desk.sought = sought
        self._board: Optional[Board] = Board(spool)
        self._desk.board = self._board
        self._changed = True
        self._stale = True  # what is on the screen is not the picture of now
        self._resized = self._stopped = False
        self._resumed = True  # the terminal is to be taken
        self._ended_by: Optional[int] = None
        self._not_before = 0.0
        self._looked = self._drawn = self._drawn_at = 0.0  # the last by the clock on the wall
        self._behind_until: Optional[float] = None  # a directory that rests may have changed
        self._files: List[str] = []
        self._lives: Dict[str, Optional[int]] = {}  # of workers: what tells that they have ended
        self._before: Dict[int, Any] = {}

    def run(self) -> int:
        """View until a person or a signal ends it; return the exit code."""
        self._heed_signals()
        try:
            with self._screen:
                self._bell.watch(self._screen.descriptor, self._type)
                self._lookout.start()
                if self._lookout.descriptor is not None:
                    self._bell.watch(self._lookout.descriptor, self._lookout.hear)
                while not (self._ended_by or self._desk.leaving or self._screen.gone):
                    self._turn()
        finally:
            self._close()
        if self._screen.gone and not self._ended_by:
            return 128 + 1  # as SIGHUP has it
        return 128 + self._ended_by if self._ended_by else 0

    # --- a turn -----------------------------------------------------------------------------------

    def _turn(self) -> None:
        if self._stopped:
            self._stopped = False
            self._screen.suspend()
            self._resumed = True
        if self._resumed:
            self._resumed = False
            if not self._screen.take():
                self._resumed = True
                return  # a signal may have ended it
            self._changed = self._stale = True
        now = time.monotonic()
        if self._may_look(now):
            self._look()
        elif self._tick_in(now) == 0:
            self._advance()
        note = self._errands.result()
        if note is not None:
            self._desk.tell(note)
            self._changed = self._stale = True
        if self._resized:
            self._resized = False
            self._screen.forget()
            self._changed = self._stale = True  # a larger one has room for more of a log
        if self._stale:
            self._draw()
        held = self._keys.held
        self._bell.wait(self._sleep_for(time.monotonic()))
        if held and self._keys.held == held:
            self._press(self._keys.flush())  # nothing came: it was the key

    def _may_look(self, now: float) -> bool:
        if self._desk.asks_for_a_look:
            return True
        due = self._changed or (self._polls() and now - self._looked >= _TICK)
        if not due and self._board is not None:
            wait = self._waits_for_the_census(now)
            due = wait is not None and wait <= 0
        return due and now >= self._not_before

    def _sleep_for(self, now: float) -> Optional[float]:
        """Return the seconds until there is something to do though nothing happens."""
        found = [self._tick_in(now), self._waits_for_the_census(now)]
        if self._changed:
            found.append(self._not_before - now)
        if self._polls():
            found.append(max(self._looked + _TICK, self._not_before) - now)
        if self._keys.held:
            found.append(_HELD)
        if self._desk.asks_for_a_look or self._stale:
            found.append(0.0)
        soonest = min((seconds for seconds in found if seconds is not None), default=None)
        return None if soonest is None else max(soonest, 0.0)

    def _tick_in(self, now: float) -> Optional[float]:
        """Return the seconds until a shown time says something else; None if none does."""
        change = self._desk.next_change(self._drawn_at)
        return None if change is None else max(self._drawn + max(change, _TICK) - now, 0.0)

    def _advance(self) -> None:
        """Show what the last look saw as it is by now; nothing is looked at."""
        if self._board is not None:
            self._desk.take(self._board.scene(self._desk.sought))
        self._stale = True

    def _waits_for_the_census(self, now: float) -> Optional[float]:
        """Return the seconds until a large directory that moves may be read; None if all are."""
        if self._behind_until is None:
            return None
        return max(self._behind_until, self._not_before) - now

    def _polls(self) -> bool:
        """Say whether something may change that no event tells of."""
        return (
            self._board is None
            or self._lookout.trouble is not None
            or any(life is None for life in self._lives.values())
        )

    # --- looking ----------------------------------------------------------------------------------

    def _look(self) -> None:
        began = time.process_time()
        self._changed = self._desk.asks_for_a_look = False
        self._looked = time.monotonic()
        try:
            board = self._open()
            self._ask()
            board.look()
            self._desk.take(board.scene(self._desk.sought))
            if self._desk.follow is not None:
                columns, height = self._screen.size()
                self._desk.follow.look(columns * height)
            self._watch_lives(board)
            wait = board.wait()
            self._behind_until = self._looked + wait if wait > 0 else None
        except (SpoolqError, OSError) as error:
            self._lose(error)
        self._draw()
        cost = time.process_time() - began
        self._not_before = time.monotonic() + min(max(cost * _SHARE, _SHORTEST), _LONGEST)

    def _open(self) -> Board:
        """Return the board of the spool that is there now."""
        if self._board is not None:
            held = self._board.spool.dir
            here = os.path.samestat(os.stat(self._path), held.root.stat())
            if here and not held.reopen_replaced():
                return self._board
            self._shut()
        self._board = board = Board(api.Spool(self._path))
        self._desk.turn_to(board)
        return board

    def _lose(self, error: Exception) -> None:
        """Show what keeps the spool from being seen, and try again each second."""
        if not os.path.isdir(self._path):
            text = f"the spool at {self._path} is gone; it is shown again when it is there again"
        elif isinstance(error, OSError):
            shown = storage_error(error, self._path)
            text = f"{shown}; {shown.hint}" if shown.hint else str(shown)
        else:
            hint = getattr(error, "hint", None)
            text = f"{error}; {hint}" if hint else str(error)
        self._shut()
        self._desk.problem = text

    def _shut(self) -> None:
        if self._board is not None:
            self._board.spool.close()
        self._board = self._desk.board = None
        self._behind_until = None

    def _ask(self) -> None:
        """Ask for the next change, before the look that may see it already."""
        places = ["", *STATES, "workers"]
        cards = [os.path.join("workers", worker) for worker in self._lives]
        self._lookout.ask(
            [os.path.join(self._path, name) for name in places],
            [*self._files, *(os.path.join(self._path, name) for name in cards)],
        )

    def _watch_lives(self, board: Board) -> None:
        """Let the end of each worker's process ring; its lock is free by then."""
        alive = {view.name: view for view in board.workers[:_MOST_WORKERS] if view.alive}
        for worker in self._lives.keys() - alive.keys():
            self._forget_life(worker)
        for worker in alive.keys() - self._lives.keys():
            life = _life(worker, alive[worker].card)
            self._lives[worker] = life
            if life is not None:
                self._bell.watch(life, lambda worker=worker: self._died(worker))  # type: ignore[misc]
            self._changed = True  # between the look and now it may have died, or written

    def _died(self, worker: str) -> None:
        self._forget_life(worker)
        self._ring()

    def _forget_life(self, worker: str) -> None:
        life = self._lives.pop(worker, None)
        if life is not None:
            self._bell.forget(life)
            os.close(life)

    # --- drawing ----------------------------------------------------------------------------------

    def _draw(self) -> None:
        columns, height = self._screen.size()
        self._drawn, self._drawn_at = time.monotonic(), time.time()
        self._stale = False
        if self._lookout.trouble is not None and self._desk.scene is not None:
            note = f"no file events ({self._lookout.trouble}); looking once a second"
            scene = self._desk.scene
            if note not in scene.warnings:
                self._desk.scene = scene._replace(warnings=(*scene.warnings, note))
        try:
            lines = self._desk.draw(columns, height, self._drawn_at)
        except (SpoolqError, OSError) as error:  # a row's file is read when it is drawn
            self._lose(error)
            lines = self._desk.draw(columns, height, self._drawn_at)
        self._screen.show(lines)
        files = self._desk.logs()
        if files != self._files:
            self._files = files
            self._changed = True  # what is newly shown is to be asked for, and looked at once more

    # --- what happens -----------------------------------------------------------------------------

    def _ring(self) -> None:
        self._changed = True
        self._bell.wake()

    def _type(self) -> None:
        self._press(self._keys.feed(self._screen.read()))

    def _press(self, keys: List[str]) -> None:
        for key in keys:
            if key == "redraw":
                self._resized = True  # and nothing else: what is asked stays asked
                continue
            self._desk.press(key)
            self._stale = True

    def _heed_signals(self) -> None:
        acts: List[Tuple[str, Callable[[int, Any], None]]] = [
            *((name, self._end) for name in _ENDING),
            ("SIGTSTP", self._stop),
            ("SIGCONT", self._resume),
            ("SIGWINCH", self._resize),
        ]
        for name, act in acts:
            number = getattr(signal, name, None)
            if number is not None:
                self._before[number] = signal.signal(number, act)
        self._bell.rings_on_signals()

    def _end(self, number: int, _: Any) -> None:
        if self._ended_by is not None:
            raise KeyboardInterrupt  # it was asked for before, and something holds us up
        self._ended_by = number

    def _stop(self, _: int, __: Any) -> None:
        self._stopped = True

    def _resume(self, _: int, __: Any) -> None:
        self._resumed = True

    def _resize(self, _: int, __: Any) -> None:
        self._resized = True

    def _close(self) -> None:
        signal.set_wakeup_fd(-1)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._errands.finish()
        self._lookout.stop()
        for worker in list(self._lives):
            self._forget_life(worker)
        self._shut()
        self._bell.close()


def _life(worker: str, card: Dict[str, Any]) -> Optional[int]:
    """Return what becomes readable when a worker's process ends; None where nothing does."""
    import socket

    pid = card.get("pid")
    here = names.new_worker(socket.gethostname(), 0).split("-0-")[0]
    if not isinstance(pid, int) or not 0 < pid < 2**31 or not worker.startswith(f"{here}-{pid}-"):
        return None  # of another machine, or another container
    return platform.pidfd_open(pid)

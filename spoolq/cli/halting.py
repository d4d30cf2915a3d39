"""When a batch is not worth going on with: `--halt now,fail=1`, `--halt soon,fail=10%`."""

from __future__ import annotations

import re
from typing import List, NamedTuple, Sequence

from spoolq import api, control, views
from spoolq.cli import render
from spoolq.errors import BadInput, SpoolqError, WrongState

_FORM = re.compile(r"(now|soon),fail=(\d{1,9})(%?)", re.ASCII)


class Halt(NamedTuple):
    """After so many deaths, or such a part of all: end what waits, and with `now` what runs."""

    now: bool
    number: int
    is_share: bool

    @classmethod
    def read(cls, text: str) -> Halt:
        """Return what was typed.

        Raises:
            BadInput: it cannot be read.
        """
        match = _FORM.fullmatch(text.strip())
        if match is None or not int(match.group(2)) or (match.group(3) and int(match[2]) > 100):
            raise BadInput(
                f"{text!r} says not when to halt", hint="now,fail=1, soon,fail=3 or now,fail=10%"
            )
        return cls(match.group(1) == "now", int(match.group(2)), bool(match.group(3)))

    def is_due(self, dead: int, of_all: int) -> bool:
        """Say whether enough of a batch has died."""
        wanted = of_all * self.number / 100 if self.is_share else self.number
        return dead >= max(wanted, 1)


def end(spool: api.Spool, ids: Sequence[str], *, running: bool) -> None:
    """Cancel what waits of a batch, and what runs where that is asked for.

    Those who run are asked all at once, and nobody waits for their end here.
    """
    states = views.states_of(spool.dir, ids)
    waits: List[str] = [job_id for job_id in ids if states[job_id] in ("pending", "failed")]
    runs = [job_id for job_id in ids if states[job_id] == "processing"] if running else []
    render.say(f"halted: cancelling {len(waits)} that wait{f' and {len(runs)} that run' * running}")
    for job_id in (*waits, *runs):
        try:
            control.cancel(spool.dir, job_id, timeout=0 if job_id in runs else None)
        except WrongState:
            continue  # it has ended meanwhile
        except SpoolqError as error:
            if job_id not in runs:
                render.error(str(error), where=error.where, hint=error.hint)

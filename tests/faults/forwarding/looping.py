"""Both sides in one process: it dies at, or is refused, each of their file operations in turn.

After each death or end a worker recovers the source, without running anything: whatever it finds,
no job may be there and wait here. Then a fresh forwarder must bring all to an end.
"""

import os
import shutil
from contextlib import nullcontext
from typing import Any, Callable, ContextManager, List
from unittest import mock

from spoolq import control, packing, receiving
from spoolq.elsewhere import Elsewhere
from spoolq.errors import SpoolqError, Unreachable
from spoolq.spool import SpoolDir
from tests import forwarders

from ..apart import in_child
from ..cases import Bench, Case
from ..loop.campaign import WAYS
from ..loop.operations import put
from ..loop.seam import Seam
from . import judging

_JOBS = ("j1", "j2", "f1")
_MOST = 1000


def _prepare(here: str, there: str) -> None:
    with_jobs, other = SpoolDir.create(here), SpoolDir.create(there)
    put(with_jobs, "pending", "j1")
    put(with_jobs, "pending", "j2")
    put(with_jobs, "failed", "f1", 1)
    with_jobs.close()
    other.close()


def _left_on_the_way(here: str, there: str) -> None:
    """Leave what a killed forwarder leaves: one batch that has arrived, and was not answered."""
    _prepare(here, there)
    source, other = SpoolDir.open(here), SpoolDir.open(there)

    def work(tell: Callable[..., None], die: Callable[[], None]) -> None:
        way = forwarders.Direct(other, after=lambda lines: die())
        forwarders.forward(source, other, connection=way)

    in_child(work)
    source.close()
    other.close()


def _forward(here: str, there: str, plan: Any, lose: int, tell: Any, die: Any) -> None:
    """Forward in a child, with every counted call of both sides going as `plan` has it.

    The answers to the first `lose` batches are lost.
    """

    def last_words() -> None:
        tell("reached")
        die()

    seam = Seam(plan, last_words)
    lost: List[Any] = []

    def lose_answers(lines: Any) -> None:
        lost.append(lines)
        if len(lost) <= lose:
            raise Unreachable("the connection is lost")

    with seam.installed():
        source, other = SpoolDir.open(here), SpoolDir.open(there)
        for spool in (source, other):
            for name in ("tmp", "pending", "processing", "failed", "completed", "dead", "workers"):
                spool.dir(name)
        seam.armed = True
        try:
            forwarders.forward(
                source, other, connection=forwarders.Direct(other, after=lose_answers)
            )
        except SpoolqError as error:
            tell("refused", str(error))
        except OSError as error:
            tell("refused", str(error))
        seam.armed = False
        if seam.reached:
            tell("reached")


def _recover(here: str) -> None:
    """Recover as a worker at its start does, and look at what it may then run."""
    source = SpoolDir.open(here)
    try:
        control.recover_now(source, sweep=True)
    finally:
        source.close()


def _loop(
    bench: Bench,
    prepare: Callable[[str, str], None],
    *,
    lose: int = 0,
    ways: Any = tuple(WAYS),
    variant: Callable[[], ContextManager[Any]] = nullcontext,
) -> None:
    here, there = (os.path.join(bench.place.top, name) for name in ("here", "there"))
    for way in ways:
        for at in range(1, _MOST):
            prepare(here, there)
            with variant(), mock.patch("spoolq.forwarding._FIRST_PAUSE", 0.0):
                plan = WAYS[way]._replace(at=at)
                events = in_child(lambda t, d, p=plan: _forward(here, there, p, lose, t, d))
                wrong = [f"crashed: {e[1]}" for e in events if e[0] == "crashed"]
                wrong += judging.apart(judging.of_one(here), judging.of_one(there))
                _recover(here)
                wrong += judging.apart(judging.of_one(here), judging.of_one(there))
                wrong += _settle(here, there)
            bench.wrong += [f"{way} at {at}: {text}" for text in wrong]
            bench.count("tries")
            shutil.rmtree(here)
            shutil.rmtree(there)
            if not any(event[0] == "reached" for event in events):
                break
            if bench.wrong and variant is not nullcontext:
                return  # a control need not go on
        else:
            bench.wrong.append(f"{way}: it never passes untouched")


def _settle(here: str, there: str) -> List[str]:
    """Forward anew, undisturbed, and judge the end."""
    source, other = SpoolDir.open(here), SpoolDir.open(there)
    try:
        forwarders.forward(source, other)
        control.recover_now(source, sweep=True)
        left = source.dir("workers").list()
    except SpoolqError as error:
        return [f"what was left cannot be settled: {error}"]
    finally:
        source.close()
        other.close()
    wrong = [f"workers/{name} is left" for name in left]
    return wrong + judging.arrived(judging.of_one(here), judging.of_one(there), _JOBS)


def _undisturbed_but_for_calls(bench: Bench) -> None:
    _loop(bench, _prepare)


def _answers_lost(bench: Bench) -> None:
    _loop(bench, _prepare, lose=1, ways=("dies before", "dies after", "EIO once"))


def _after_a_death(bench: Bench) -> None:
    _loop(bench, _left_on_the_way)


# --- controls -------------------------------------------------------------------------------------


def _patched(target: Any, name: str, worse: Any) -> Callable[[], ContextManager[Any]]:
    return lambda: mock.patch.object(target, name, worse)


def _claims_are_given_back(bench: Bench) -> None:
    """A recovery that takes a claim on its way for one that changes a job."""
    real = SpoolDir.claim_to_change

    def as_a_change(self, state, filename, name, worker, slot="change"):
        return real(self, state, filename, name, worker)

    variant = _patched(SpoolDir, "claim_to_change", as_a_change)
    _loop(bench, _prepare, ways=("dies before",), variant=variant)


def _claims_are_lost_runs(bench: Bench) -> None:
    """A recovery that takes a claim on its way for a run of a lost worker."""
    variant = _patched(Elsewhere, "look", lambda self, claim: "")
    _loop(bench, _prepare, ways=("dies after",), variant=variant)


def _unanswered_waits_again(bench: Bench) -> None:
    """A forwarder that puts back what it has no answer to."""
    real = packing.Packing.sync

    def unsent(self):
        real(self)
        type(self).is_sent = property(lambda self: False, lambda self, value: None)

    variant = _patched(packing.Packing, "sync", unsent)
    _loop(bench, _prepare, lose=99, ways=("EIO once",), variant=variant)


def _told_before_it_is_there(bench: Bench) -> None:
    """A receiver that answers before it has published."""
    variant = _patched(
        receiving.Receiver, "take", lambda self, lines: [receiving.Answer("taken") for _ in lines]
    )
    _loop(bench, _prepare, ways=("dies before",), variant=variant)


CASES = [
    Case("each call of either side fails or is the last", _undisturbed_but_for_calls),
    Case("each call, and the answers are lost", _answers_lost),
    Case("each call of who settles what a dead one left", _after_a_death),
    Case(
        "recovery gives claims on their way back",
        _claims_are_given_back,
        expects="is there, and waits here in pending/",
    ),
    Case(
        "recovery takes claims on their way for lost runs",
        _claims_are_lost_runs,
        expects="is there, and waits here in failed/",
    ),
    Case(
        "what is not answered waits again",
        _unanswered_waits_again,
        expects="is there, and waits here in pending/",
    ),
    Case(
        "an answer comes before the publishing",
        _told_before_it_is_there,
        expects="counts as forwarded, and is not there",
    ),
]

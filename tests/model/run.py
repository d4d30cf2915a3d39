"""A run of a job: its command, what the command leaves behind, and how both are ended."""

from typing import NamedTuple

from . import calls
from .names import parse
from .routine import Steps
from .rules import Rules


class Command(NamedTuple):
    """How a command behaves."""

    result: str = "ok"
    helper: bool = False  # it starts a process in a session of its own, which lives on
    sheds_descriptors: bool = False
    sheds_cookie: bool = False


def command(me: str, run: str, slot: str, how: Command) -> Steps:
    """Run a command to its own end."""
    if how.sheds_descriptors:
        yield calls.close(slot)
    if how.helper:
        inherit = () if how.sheds_descriptors else (slot,)
        yield calls.spawn(f"helper of {run}", run, inherit, not how.sheds_cookie, helper)
    yield calls.ended(run, how.result)


def helper() -> Steps:
    """Live on until killed."""
    yield calls.wait_for_ever()


def start(run: str, slot: str, how: Command, trips: "int | None" = None) -> Steps:
    """Start a run that inherits its slot's lock; return its name.

    Args:
        trips: how often this worker's guard had acted before the claim, where hosts share the
            spool: if it has since, nothing is started, and the name is "".
    """
    name = f"command of {run}"
    cookie = not how.sheds_cookie
    spawning = calls.spawn(name, run, (slot,), cookie, command, name, run, slot, how)
    if trips is not None:
        return (yield calls.spawn_unbroken(trips, spawning))
    yield spawning
    return name


def left(run: str) -> Steps:
    """Return what is left of a run."""
    claim = parse(run)
    assert claim is not None
    return (yield calls.processes_of(run, f"workers/{claim.worker}/{claim.slot}.lock"))


def end(run: str, rules: Rules) -> Steps:
    """End everything of a run: look and kill until nothing is found any more."""
    claim = parse(run)
    assert claim is not None
    if rules.end_of_run == "nothing":
        return
    slot_file = f"workers/{claim.worker}/{claim.slot}.lock"
    while True:
        found = yield calls.processes_of(run, slot_file, rules.end_of_run == "session")
        if not found:
            return
        for process in found:
            yield calls.kill(process)

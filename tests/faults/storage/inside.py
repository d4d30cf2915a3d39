"""Runs in the guest: ``python -m tests.faults.storage.inside CASE [long|short]``, as its root."""

import sys

from ..cases import perform
from . import failing, quotas
from .guest import tell

CASES = [*failing.INSIDE, *quotas.INSIDE]


def main() -> None:
    """Perform the case that is named, with _ for a blank, and tell what came of it."""
    (case,) = (one for one in CASES if one.name.replace(" ", "_") == sys.argv[1])
    outcome = perform(case, "long" in sys.argv[2:])
    wrong = outcome.wrong + ([f"not tried: {outcome.skipped}"] if outcome.skipped else [])
    tell({"tried": outcome.tried, "wrong": wrong, "seconds": outcome.seconds})


if __name__ == "__main__":
    main()

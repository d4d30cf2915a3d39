"""Every rule of a producer is seen broken where it is broken, and where only it is."""

import os
import sys

import pytest

from spoolq import conformance
from spoolq.conformance import calls, fulldisk, looks
from spoolq.conformance.producer import Ground, Producer
from spoolq.conformance.rules import CALLS, DISK, RULES

BROKEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "broken.py")

#: Each fault, and the one rule that it breaks.
FAULTS = {
    "not exclusive": "exclusive",
    "made elsewhere": "exclusive",
    "writable by its group": "private",
    "its own alone in a group": "private",
    "no sync": "synced",
    "syncs after that": "synced",
    "in place": "whole",
    "slow, in place": "whole",
    "copies": "whole",
    "renames over": "no-replace",
    "replaces what is taken": "no-replace",
    "writes after that": "untouched",
    "name not synced": "directory-synced",
    "tells before the name is synced": "directory-synced",
    "tells first": "told-last",
    "time without its Z": "name",
    "no .json": "name",
    "an attempt already": "name",
    "local time": "time",
    "no escapes": "json",
    "half surrogates": "json",
    "stripped": "command",
    "tells a sentence": "id",
    "tells another id": "id",
    "constant id": "unique",
    "id of time and process": "random",
    "id of 32 bits": "random",
    "leaves its file": "tidy",
    "leaves its file after an error": "tidy",
    "notes it": "nothing-else",
    "does not look at writes": "errors",
    "does not look at its link": "errors",
    "syncs and does not look": "errors",
    "syncs once more": "errors",
    "ends with 1": "errors",
    "makes a spool": "errors",
}
#: Those that only a full disk shows, or only the system calls.
ON_A_FULL_DISK = ("leaves its file after an error", "does not look at writes")
IN_ITS_CALLS = (
    "not exclusive",
    "made elsewhere",
    "no sync",
    "syncs after that",
    "in place",
    "slow, in place",
    "copies",
    "renames over",
    "replaces what is taken",
    "does not look at its link",
    "writes after that",
    "name not synced",
    "tells before the name is synced",
    "syncs and does not look",
    "syncs once more",
)
#: Those that a kill shows as well, so that they are killed.
KILLED = ("", "slow, in place", "tells first")
WANTS = {DISK: fulldisk.unable, CALLS: calls.unable}

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="producers are checked on POSIX")


def examined(fault, **how):
    """Return what is said of a producer with this fault."""
    words = [sys.executable, "-I", "-S", BROKEN, fault]
    return conformance.examine(words, kills=7 if fault in KILLED else 0, **how)


def test_without_a_fault_no_rule_is_broken():
    report = examined("")
    assert report.broken == []
    assert {verdict.state for verdict in report.verdicts} <= {"kept", "not seen"}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_caught_by_the_rule_that_it_breaks_and_by_no_other(fault):
    wants = DISK if fault in ON_A_FULL_DISK else CALLS if fault in IN_ITS_CALLS else ""
    reason = WANTS[wants]() if wants else None
    if reason is not None:
        pytest.skip(reason)
    assert examined(fault).broken == [FAULTS[fault]]


def test_every_rule_is_broken_by_a_fault():
    assert set(FAULTS.values()) == set(RULES)


@pytest.mark.skipif(calls.unable() is not None, reason=str(calls.unable()))
@pytest.mark.parametrize("fault, rule", [("slow, in place", "whole"), ("tells first", "told-last")])
def test_a_kill_by_itself_shows_what_it_can(fault, rule, tmp_path):
    producer = Producer([sys.executable, "-I", "-S", BROKEN, fault])
    broken = list(looks.killed(producer, Ground(str(tmp_path)), most=None))
    assert {each.rule for each in broken} == {rule}
    assert all("killed after step" in each.seen for each in broken)


@pytest.mark.parametrize("fault", ["", "removes all there is", "publishes all there is"])
def test_who_takes_what_is_anothers_is_told_of(fault, tmp_path):
    producer = Producer([sys.executable, "-I", "-S", BROKEN, fault])
    broken = looks.with_others_there(producer, Ground(str(tmp_path)))
    assert {each.rule for each in broken} == ({"nothing-else"} if fault else set())


def test_without_strace_a_kill_at_random_shows_half_a_job(tmp_path):
    producer = Producer([sys.executable, "-I", "-S", BROKEN, "in place, for long"])
    broken = list(looks.killed_at_random(producer, Ground(str(tmp_path)), times=10))
    assert {each.rule for each in broken} == {"whole"}


def test_what_only_calls_show_is_not_seen_without_them():
    report = examined("no sync", trace=False)
    states = {verdict.rule: verdict.state for verdict in report.verdicts}
    assert report.broken == []
    assert {rule for rule, state in states.items() if state == "not seen"} == {
        name for name, rule in RULES.items() if rule.seen == CALLS
    }
    assert "system calls" in report.not_tried

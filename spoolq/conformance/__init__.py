"""A producer, a program that submits jobs by the spool format alone, checked against the format.

`python -m spoolq.conformance PROGRAM` runs it in fresh spools, many times: plainly, beside itself,
under strace, killed after each of its steps, with syncs that fail, with nothing to publish into,
and on a full disk. What cannot be done on a machine is said, and what only that would show is not
called kept. It does not read the program, and so says only what it has seen.
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Sequence, Tuple

from spoolq.conformance import calls, fulldisk, looks
from spoolq.conformance.order import Broken
from spoolq.conformance.producer import Producer, ground
from spoolq.conformance.rules import CALLS, RULES

_KILLS_IN_SHORT = 7


class Verdict(NamedTuple):
    """What is known of a rule: kept, broken or not seen; of the latter two, how or why."""

    rule: str
    state: str
    seen: Tuple[str, ...] = ()


class Report(NamedTuple):
    """The verdict on each rule, and what could not be tried, with the reason."""

    command: Tuple[str, ...]
    verdicts: Tuple[Verdict, ...]
    not_tried: Dict[str, str]

    @property
    def broken(self) -> List[str]:
        """The rules that were seen broken."""
        return [verdict.rule for verdict in self.verdicts if verdict.state == "broken"]

    def as_dict(self) -> Dict[str, Any]:
        """Return all of it, for JSON."""
        return {
            "command": list(self.command),
            "conforms": not self.broken,
            "rules": {
                verdict.rule: {
                    "state": verdict.state,
                    "seen": list(verdict.seen),
                    "stands": RULES[verdict.rule].stands,
                }
                for verdict in self.verdicts
            },
            "not_tried": self.not_tried,
        }


def examine(
    words: Sequence[str], *, long: bool = False, trace: bool = True, kills: int = _KILLS_IN_SHORT
) -> Report:
    """Check a producer.

    Args:
        words: its command line, with `{spool}` and `{command}` where they belong.
        long: kill it more often, and run it more often beside itself.
        trace: whether to use strace.
        kills: after how many of its last steps it is killed, unless `long`: then after all.

    Raises:
        BadInput: it cannot be started.
    """
    producer = Producer(words)
    no_calls = calls.unable() if trace else "strace is not to be used"
    no_full_disk = fulldisk.unable()
    broken: List[Broken] = []
    with ground() as place:
        broken += looks.at_all(producer, place)
        submits = not {"errors", "told-last"} & {each.rule for each in broken}
        if submits:
            broken += looks.plainly(producer, place, 3 if long else 1)
            broken += looks.together(producer, place, 10 if long else 1)
            broken += looks.with_others_there(producer, place)
            broken += looks.without_pending(producer, place)
            broken += looks.without_a_spool(producer, place)
            if no_calls is None:
                broken += looks.in_order(producer, place)
                broken += looks.killed(producer, place, None if long else kills)
                broken += looks.with_a_taken_name(producer, place)
                broken += looks.with_failing_syncs(producer, place)
            if no_calls is not None or long:
                broken += looks.killed_at_random(producer, place, 100 if long else 20)
            if no_full_disk is None:
                broken += fulldisk.on_a_full_disk(producer, place)
    not_tried = {}
    if no_calls is not None:
        not_tried["system calls"] = no_calls
    if no_full_disk is not None:
        not_tried["full disk"] = no_full_disk
    if not submits:
        not_tried = {"anything else": "it submits no job"}
    verdicts = tuple(_verdict(rule, broken, submits, no_calls) for rule in RULES)
    return Report(tuple(words), verdicts, not_tried)


def _verdict(
    rule: str, broken: Sequence[Broken], submits: bool, no_calls: Optional[str]
) -> Verdict:
    seen = tuple(dict.fromkeys(each.seen for each in broken if each.rule == rule))
    if seen:
        return Verdict(rule, "broken", seen)
    if no_calls is not None and RULES[rule].seen == CALLS:
        return Verdict(rule, "not seen", (no_calls,))
    return Verdict(rule, "kept" if submits else "not seen")

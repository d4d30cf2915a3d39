"""The looks at a producer: each runs it in fresh spools, one way or another, and judges.

A look yields the rules that were seen broken. The commands are harmless words that no worker is
there to run; what is in them is all that JSON, a shell or an encoding could stumble over.
"""

from __future__ import annotations

import os
import random
import shutil
from typing import Dict, Iterator, List, Optional

from spoolq import names
from spoolq.conformance import calls, contents, ids, order
from spoolq.conformance.order import Broken
from spoolq.conformance.producer import Ground, Producer, Ran
from spoolq.errors import InvalidJob
from spoolq.job import Job

#: Commands that are UTF-8 and have to arrive as they are, by what is hard in them.
COMMANDS: Dict[str, bytes] = {
    "words": b"echo hello",
    "quotes": b"echo \"it's\" '\"' `date` $HOME",
    "backslashes": b"printf 'a\\nb\\\\ \\u0041 \\' \\",
    "lines": b"echo one\necho two\n\ttrue\r\n:",
    "control characters": b"echo " + bytes(range(1, 32)) + b"\x7f.",
    "percent signs": b"echo %s %d %n 100%",
    "letters of the world": "echo grüße 日本語 Ωμέγα e\u0301 \u2028 \u202e \ufeff.".encode(),
    "beyond the first plane": "echo 🚀 𝄞 \U0010ffff.".encode(),
    "blanks around": b"  true  ",
    "JSON": b'{"command": ["false"]}, "x": [1]}',
    "an option": b"-n --help -- -e",
    "length": b"true " + b"0123456789abcde\\" * 6000,
}
_WHOLE = b'{"command": "true"}\n'
_LONG = COMMANDS["length"]
_SHORT = COMMANDS["words"]
#: Not UTF-8: to be refused, or replaced, but never to be written as they are.
_NO_TEXT = (b"echo \xff.", b"echo \xc0\xaf \xed\xa0\x80.")


def at_all(producer: Producer, ground: Ground) -> Iterator[Broken]:
    """Run it once, and see whether it submits a job at all."""
    spool = ground.spool()
    before = contents.outline(spool)
    ran = producer.run(spool, _SHORT)
    yield from contents.judge(spool, ran, _SHORT)
    yield from _beside(before, contents.outline(spool))


def plainly(producer: Producer, ground: Ground, rounds: int) -> Iterator[Broken]:
    """Run it with every command, each in a fresh spool, and look at the files."""
    told: List[str] = []
    for _ in range(rounds):
        for command in COMMANDS.values():
            spool = ground.spool()
            before = contents.outline(spool)
            ran = producer.run(spool, command)
            yield from contents.judge(spool, ran, command)
            yield from _beside(before, contents.outline(spool))
            told += [ran.told] if ran.code == 0 else []
            shutil.rmtree(spool, ignore_errors=True)
            if ran.code is None:
                return  # and so it would go on
    yield from ids.judge(told)
    spool = ground.spool(shared=True)
    yield from contents.judge(spool, producer.run(spool, _SHORT), _SHORT, shared=True)
    for command in _NO_TEXT:
        spool = ground.spool()
        ran = producer.run(spool, command)
        for entry in contents.jobs(spool):
            yield from _not_text(entry, command)
        if ran.code != 0:
            yield from _refused(spool, ran, f"a command that is not UTF-8, {command!r}")


def together(producer: Producer, ground: Ground, rounds: int) -> Iterator[Broken]:
    """Run many at the same time in one spool."""
    for _ in range(rounds):
        spool = ground.spool()
        started = [producer.start(spool, _SHORT) for _ in range(8)]
        all_ran = [running.ended() for running in started]
        failed = [ran for ran in all_ran if ran.code != 0]
        if failed:
            yield Broken("errors", f"beside others of its kind it failed: {failed[0].words}")
        told = [ran.told for ran in all_ran if ran.code == 0]
        yield from (broken for broken in ids.judge(told) if broken.rule == "unique")
        there = len(contents.jobs(spool))
        if len(set(told)) == len(told) != there:
            yield Broken("unique", f"{len(told)} ids were told at the same time, {there} are there")


def with_others_there(producer: Producer, ground: Ground) -> Iterator[Broken]:
    """Run it where another producer is writing a job, and has published one: both are to stay."""
    spool = ground.spool()
    others = {
        os.path.join(spool, directory, f"20260101T000000000000Z.p5.a0.{job_id}.json"): data
        for directory, job_id, data in (("tmp", "half", b'{"comm'), ("pending", "whole", _WHOLE))
    }
    for path, data in others.items():
        with open(path, "xb") as file:
            file.write(data)
    ran = producer.run(spool, _SHORT)
    for path, data in others.items():
        if not _holds(path, data):
            yield Broken("nothing-else", f"{os.path.relpath(path, spool)}, another's, was touched")
    there = len(contents.jobs(spool))
    if ran.code == 0 and there > 2:
        yield Broken("nothing-else", f"with another's job, pending/ holds {there} files")


def _holds(path: str, data: bytes) -> bool:
    try:
        with open(path, "rb") as file:
            return file.read() == data
    except OSError:
        return False


def in_order(producer: Producer, ground: Ground) -> Iterator[Broken]:
    """Look at the order of its system calls, once with a short and once with a long command."""
    for command in (_SHORT, _LONG):
        spool = ground.spool()
        ran, steps = calls.traced(producer, spool, command)
        yield from contents.judge(spool, ran, command)
        yield from order.judge(spool, steps)


def killed(producer: Producer, ground: Ground, most: Optional[int]) -> Iterator[Broken]:
    """Kill it after each of its steps, or after the last ones, `most` of them."""
    spool = ground.spool()
    steps = len(calls.traced(producer, spool, _LONG)[1]) if most != 0 else 0
    first = 1 if most is None else max(1, steps - most + 1)
    for number in range(first, steps + 1):
        spool = ground.spool()
        ran, step = calls.killed_after(producer, spool, _LONG, number)
        yield from _after_a_kill(spool, ran, f"killed after step {number}, {step or 'none'}")


def killed_at_random(producer: Producer, ground: Ground, times: int) -> Iterator[Broken]:
    """Kill it at random moments of its life, where no calls can be seen."""
    ran = producer.run(ground.spool(), _LONG)
    life = (ran.ended_at - ran.began_at).total_seconds()
    for _ in range(times):
        spool = ground.spool()
        running = producer.start(spool, _LONG)
        after = random.uniform(0, 1.1 * life)
        ran = running.ended(patience=after)
        yield from _after_a_kill(spool, ran, f"killed after {after * 1000:.1f} ms")


def without_pending(producer: Producer, ground: Ground) -> Iterator[Broken]:
    """Run it where nothing can be put into pending/, for root either: a file is in its place."""
    spool = ground.spool()
    os.rmdir(os.path.join(spool, "pending"))
    with open(os.path.join(spool, "pending"), "wb"):
        pass
    ran = producer.run(spool, _SHORT)
    yield from _refused(spool, ran, "nothing could be put into pending/")


def without_a_spool(producer: Producer, ground: Ground) -> Iterator[Broken]:
    """Run it in an empty directory, as where a disk is not mounted: no worker looks there."""
    spool = os.path.join(ground.top, "no-spool")
    os.mkdir(spool)
    ran = producer.run(spool, _SHORT)
    yield from _refused(spool, ran, "there was an empty directory and no spool")


def with_a_taken_name(producer: Producer, ground: Ground) -> Iterator[Broken]:
    """Let its name be taken when it publishes: it may fail or take another, but not replace."""
    spool = ground.spool()
    ran, steps = calls.traced(producer, spool, _SHORT, calls.TAKEN)
    for broken in order.judge(spool, steps):
        if broken.rule == "no-replace":
            yield Broken("no-replace", f"where the name was taken, {broken.seen}")
    if ran.code == 0 and not contents.jobs(spool):
        yield Broken("errors", f"the name was taken, and it {_ended(ran)}")


def with_failing_syncs(producer: Producer, ground: Ground) -> Iterator[Broken]:
    """Let its syncs fail: all, then all but the first of each of its processes, then that one."""
    for first, what in ((1, "every sync"), (2, "every sync but the first")):
        spool = ground.spool()
        ran = calls.with_failing_syncs(producer, spool, _SHORT, first)
        if ran is None:
            continue
        if ran.code == 0:
            yield Broken("errors", f"{what} failed, and it {_ended(ran)}")
        elif first == 1 and ran.out:
            yield Broken("told-last", f"{what} failed, and it {_ended(ran)}")
        yield from contents.left_in_tmp(spool)
    spool = ground.spool()
    ran, steps = calls.traced(producer, spool, _SHORT, calls.FIRST_SYNC)
    made = {step.path for step in steps if step.kind == calls.MADE}
    again = any(step.kind == calls.SYNCED and step.path in made for step in steps)
    if ran.code == 0 and len(made) == 1 and again:
        yield Broken("errors", f"a sync failed, it synced that file again, and it {_ended(ran)}")


def _beside(before: Dict[str, int], after: Dict[str, int]) -> Iterator[Broken]:
    changed = sorted(dict(before.items() ^ after.items()))
    if changed:
        yield Broken("nothing-else", f"{os.path.normpath(changed[0])} was made, changed or removed")


def _not_text(entry: contents.Entry, command: bytes) -> Iterator[Broken]:
    try:
        Job.from_bytes(entry.data)
    except InvalidJob as error:
        yield Broken("json", f"{command!r}, which is not UTF-8, became no job: {error}")


def _refused(spool: str, ran: Ran, what: str) -> Iterator[Broken]:
    """Judge a run that had to fail."""
    if ran.code == 0:
        yield Broken("errors", f"{what}, and it {_ended(ran)}")
    elif ran.out:
        yield Broken("told-last", f"{what}, and it {_ended(ran)}")
    elif contents.jobs(spool):
        yield Broken("errors", f"{what}, and pending/{contents.jobs(spool)[0].filename} is there")
    yield from contents.left_in_tmp(spool)


def _ended(ran: Ran) -> str:
    return f"ended with {ran.code} and printed {ran.told[:40]!r}"


def _after_a_kill(spool: str, ran: Ran, how: str) -> Iterator[Broken]:
    half = contents.torn(spool, {_LONG})
    if half is not None:
        yield Broken("whole", f"{how}, it left half a job: {half}")
    told = ran.out.endswith(b"\n") and names.is_id(ran.told)
    if told and half is None and not contents.jobs(spool):
        yield Broken("told-last", f"{how}, it had told {ran.told!r}, and no job is there")

"""The short form of the campaign as a test, its negative controls, and the tools' own tests.

`python -m tests.faults.syscalls` runs the same and prints what was tried.
"""

import argparse
import subprocess
import sys

import pytest

from tests.conftest import CAMPAIGNS, NOT_ASKED_FOR

from ..place import Place
from . import __main__ as command
from . import controls, plan, tracing

REASON = tracing.unable() if CAMPAIGNS else NOT_ASKED_FOR
needs_strace = pytest.mark.skipif(REASON is not None, reason=str(REASON))


@needs_strace
def test_nothing_is_lost_whichever_system_call_fails_or_is_the_last(capsys):
    """A sample of all tries, always the same: every operation with every kind of fault."""
    options = argparse.Namespace(
        only=None,
        kind=None,
        long=False,
        tries=None,
        part=None,
        seconds=None,
        plan=False,
        controls=False,
    )
    line = command.run(options)
    assert capsys.readouterr().err == ""
    assert line["violations"] == 0
    assert line["tries"] == command.SHORT
    assert line["not reached"] <= line["tries"] // 20
    assert all(plan.BEFORE in kinds for kinds in line["by operation"].values())
    assert set(line["by kind"]) == {
        plan.BEFORE,
        plan.AFTER,
        plan.ONCE,
        plan.ON,
        plan.ZERO,
        plan.LIMIT,
    }


@needs_strace
@pytest.mark.parametrize("control", controls.CONTROLS, ids=lambda control: control.name)
def test_a_worse_program_is_caught(control):
    """A negative control: with the rule broken, some tries find violations."""
    assert controls.caught(control) > 0


def test_a_trace_is_read_by_thread_and_by_place(tmp_path):
    """Calls are numbered by name in the main thread; what -P lets through is numbered apart."""
    lines = [
        '7 execve("/bin/python", ["python", "--spool", "/s"], 0x7 /* 9 vars */) = 0',
        '7 openat(AT_FDCWD</x>, "/lib/a.so", O_RDONLY) = 3</lib/a.so>',
        '7 openat(4</s/tmp>, "new", O_RDWR|O_CREAT|O_EXCL, 0600) = 5</s/tmp/new>',
        '8 write(9</s/logs/j1.log>, "x", 1) = 1',
        '7 write(5</s/tmp/new>, "{ ) = }", 7) = 7',
        "7 brk(NULL) = 0x1",
        '7 renameat(4</s/tmp>, "new", 6</s/pending>, "new") = 0',
        "7 exit_group(0) = ?",
    ]
    path = tmp_path / "strace"
    path.write_text("\n".join(lines) + "\n")
    trace = tracing.parse(str(path), "/s")
    seen = [(call.name, call.number, call.by_path, call.after[:2]) for call in trace.calls]
    assert seen == [
        ("openat", 2, 1, ("write", 1)),
        ("write", 1, 0, ("brk", 1)),
        ("renameat", 1, 1, ("exit_group", 1)),
        ("exit_group", 1, 0, ("", 0)),
    ]
    assert len(trace.strays) == 1
    assert trace.calls[2].place == ("tmp", "pending")


def test_a_scribe_is_read_by_its_own_numbers_and_followed(tmp_path):
    """Of the threads the one that syncs; the other's waking is not its own."""
    lines = [
        "7 fsync(4</s/pending>) = 0",
        '9 sendto(3<socket:[1]>, "!", 1, 0, NULL, 0) = 1',
        "8 fdatasync(5</s/workers/w/0.outcome> <unfinished ...>",
        "7 exit_group(0) = ?",
        "8 <... fdatasync resumed>) = 0",
        "8 fsync(6</s/completed>) = 0",
        '8 sendto(3<socket:[1]>, "", 1, 0, NULL, 0) = 1',
    ]
    path = tmp_path / "strace"
    path.write_text("\n".join(lines) + "\n")
    trace = tracing.parse(str(path), "/s")
    seen = [(call.name, call.number, call.after[:2], call.place) for call in trace.beside]
    assert seen == [
        ("fdatasync", 1, ("fsync", 1), ("workers",)),
        ("fsync", 1, ("sendto", 1), ("completed",)),
    ]
    assert trace.strays == []
    found = plan.cases("x", trace, spawns=True)
    assert {case.call for case in found} == {"fdatasync", "fsync"}
    assert all(case.options[0] == "-f" for case in found)
    kills = [(case.kind, case.hits[0]) for case in found if case.kind in (plan.BEFORE, plan.AFTER)]
    assert kills == [(plan.BEFORE, "fdatasync"), (plan.BEFORE, "fsync"), (plan.AFTER, "sendto")]


def test_a_call_that_is_refused_in_two_lines_is_known_by_its_first(tmp_path):
    """Where threads are followed, strace may tell of another one in between."""
    path = tmp_path / "strace"
    path.write_text(
        "8 fsync(6</s/dead> <unfinished ...>\n8 <... fsync resumed>) = -1 EIO (x) (INJECTED)\n"
    )
    assert [tracing.place(text) for text in tracing.hits(str(path), "fsync")] == [("dead",)]


def test_a_kill_after_a_call_that_is_a_kill_before_the_next_is_tried_once():
    """Between the rename and the exit nothing else is called: one state, one try."""
    calls = [
        tracing.Call("renameat", 1, 1, "4</s/tmp>", ("exit_group", 1, "0"), False),
        tracing.Call("exit_group", 1, 0, "0", ("", 0, ""), False),
    ]
    found = plan.cases("x", tracing.Trace(calls, [], 1), spawns=False)
    kills = [(case.kind, case.call) for case in found if case.kind in (plan.BEFORE, plan.AFTER)]
    assert kills == [(plan.BEFORE, "renameat"), (plan.BEFORE, "exit_group")]


def test_the_short_form_covers_every_operation_with_every_kind():
    """The choice is the same each time, and spread over all that there is."""
    call = tracing.Call("openat", 3, 1, '4</s/tmp>, "n", O_CREAT', ("read", 9, ""), False)
    trace = tracing.Trace([call], [], 1)
    found = [case for name in "abc" for case in plan.cases(name, trace, spawns=False)]
    chosen = plan.short(found, 15)
    assert chosen == plan.short(found, 15)
    groups = {(case.operation, case.kind) for case in found}
    assert {(case.operation, case.kind) for case in chosen} == groups


def test_a_log_line_that_cannot_be_written_is_lost_and_no_bug(tmp_path):
    """Found here: a worker whose standard error is on a full disk printed tracebacks to it."""
    place = Place(str(tmp_path))
    place.spoolq("init")
    with open("/dev/full", "wb", buffering=0) as full:
        done = subprocess.run(
            [sys.executable, "-c", _LOGS],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=place.environment(),
        )
    assert (done.returncode, done.stderr) == (0, "")


_LOGS = """
import sys
from spoolq import logs
logs.configure(open("/dev/full", "w", buffering=1))
logs.logger.error("nobody can read this")
sys.stdout = None
"""

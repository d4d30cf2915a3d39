"""Whose the terminal is: the view's in front, and the shell's while it is stopped or behind."""

import shutil
import sys

import pytest

from tests.cli.watch.terminal import Terminal
from tests.conftest import wait_until


@pytest.fixture
def shell(spool):
    """A shell with job control, in which $WATCH begins a view."""
    if shutil.which("bash") is None:
        pytest.skip("needs a shell with job control")
    command = f"{sys.executable} -m spoolq --spool {spool.path} watch"
    found = Terminal(
        [], program=["bash", "--norc", "--noprofile", "-i"], PS1="ready> ", WATCH=command
    )
    yield found.until("ready>")
    found.close()


def echoes(shell, word):
    """See that the shell has its terminal back as it was: what is typed is seen, and done."""
    shell.type(f"echo {word}$((1 + 1))\r").until(f"echo {word}$((1 + 1))", f"{word}2")


def test_ctrl_z_stops_and_fg_goes_on(shell, front):
    shell.type("$WATCH\r").until("no jobs yet")
    shell.type("\x1a").until("Stopped", "ready>", gone=["no jobs yet"])
    echoes(shell, "again")
    front.enqueue("true", id="meanwhile")
    shell.type("fg\r").until(" meanwhile", gone=["again"]).type("j").until("▌meanwhile")
    shell.type("q").until("ready>", gone=["meanwhile"])
    shell.type("echo code $?\r").until("code 0")


@pytest.mark.parametrize("times", [1, 2])
def test_in_the_background_it_waits_for_fg(shell, times):
    shell.type("$WATCH\r").until("no jobs yet").type("\x1a").until("Stopped", "ready>")
    for _ in range(times):
        shell.type("bg\r").until("WATCH &")
        wait_until(lambda: b"Stopped" in jobs(shell, "looked"), "its stop")
        shell.type("clear\r").until("ready>", gone=["Stopped"])
    shell.type("fg\r").until("no jobs yet").type("q").until("ready>", gone=["no jobs yet"])
    shell.type("echo code $?\r").until("code 0")
    echoes(shell, "well")


def test_begun_in_the_background_it_waits_for_fg(shell):
    shell.type("$WATCH &\r").until("ready>")
    wait_until(lambda: b"Stopped" in jobs(shell, "looked"), "its stop")
    assert b"\x1b[?1049h" not in shell.written
    shell.type("fg\r").until("no jobs yet").type("q").until("ready>", gone=["no jobs yet"])
    shell.type("echo code $?\r").until("code 0")
    echoes(shell, "well")


def test_it_can_be_ended_in_the_background(shell):
    shell.type("$WATCH &\r").until("ready>")
    wait_until(lambda: b"Stopped" in jobs(shell, "looked"), "its stop")
    shell.type("kill %1\r")
    wait_until(lambda: b"Exit 143" in jobs(shell, "looked"), "its end")
    assert b"Traceback" not in shell.written
    echoes(shell, "well")


def jobs(shell, word):
    """Return what a shell says of its jobs."""
    before = len(shell.written)
    shell.type(f'jobs; echo {word}""-\r')
    wait_until(lambda: shell.read() or f"{word}-".encode() in shell.written[before:], "jobs")
    while shell.read(0.1):
        pass
    return shell.written[before:]

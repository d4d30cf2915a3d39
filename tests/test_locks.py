"""Locks that the kernel frees when their holder dies."""

import errno
import os
import subprocess
import sys

import pytest

from spoolq import locks
from spoolq.errors import Busy
from spoolq.fsio import Dir
from tests.conftest import wait_until


@pytest.fixture
def directory(tmp_path):
    opened = Dir.open(str(tmp_path))
    yield opened
    opened.close()


def opened(directory, name="lock"):
    try:
        return directory.create(name)
    except FileExistsError:
        return directory.open_lock(name)


def test_a_lock_is_refused_while_another_descriptor_holds_it(directory):
    first, second = opened(directory), opened(directory)
    assert locks.try_lock(first)
    assert not locks.try_lock(second)
    os.close(first)
    assert locks.try_lock(second)
    os.close(second)


def test_taking_a_lock_again_by_its_own_descriptor_changes_nothing(directory):
    first, second = opened(directory), opened(directory)
    assert locks.try_lock(first)
    assert locks.try_lock(first)
    assert not locks.try_lock(second)
    os.close(first)
    os.close(second)


def test_closing_another_descriptor_of_the_file_lets_no_lock_go(directory):
    first, other, third = (opened(directory) for _ in range(3))
    assert locks.try_lock(first)
    os.close(other)  # what a POSIX record lock would not survive
    assert not locks.try_lock(third)
    os.close(first)
    os.close(third)


def test_shared_locks_live_beside_each_other_and_exclude_the_other_kind(directory):
    first, second, third = (opened(directory) for _ in range(3))
    assert locks.try_lock(first, shared=True)
    assert locks.try_lock(second, shared=True)
    assert not locks.try_lock(third)
    for descriptor in (first, second):
        os.close(descriptor)
    assert locks.try_lock(third)
    os.close(third)


def test_a_lock_that_cannot_work_is_an_error_and_no_answer(directory):
    descriptor = opened(directory)
    os.close(descriptor)
    with pytest.raises(OSError):
        locks.try_lock(descriptor)


@pytest.mark.skipif(sys.platform == "win32", reason="descriptors are inherited on POSIX alone")
def test_an_inherited_lock_is_held_until_the_heir_has_ended(directory):
    mine, look = opened(directory), opened(directory)
    assert locks.try_lock(mine)
    heir = subprocess.Popen(["cat"], stdin=subprocess.PIPE, pass_fds=(mine,))
    os.close(mine)
    try:
        assert not locks.try_lock(look)
    finally:
        heir.stdin.close()
        heir.wait()
    wait_until(lambda: locks.try_lock(look), "the lock of an heir that has ended")
    os.close(look)


def test_a_lock_is_free_after_its_holder_was_killed(directory):
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from spoolq import locks; from spoolq.fsio import Dir\n"
            "d = Dir.open(sys.argv[1]); print(locks.try_lock(d.create('lock')), flush=True)\n"
            "sys.stdin.read()",
            directory.path,
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    with holder:
        assert holder.stdout.readline() == b"True\n"
        look = opened(directory)
        assert not locks.try_lock(look)
        holder.kill()
        holder.wait()
        assert locks.try_lock(look)
        os.close(look)


def test_held_makes_its_file_and_leaves_it(directory):
    with locks.held(directory, ".ids"):
        assert directory.has(".ids")
    assert directory.has(".ids")


def test_held_excludes_whoever_else_asks_for_it(directory):
    with locks.held(directory, ".ids"):
        with pytest.raises(Busy, match=r"\.ids"):
            with locks.held(directory, ".ids", patience=0):
                raise AssertionError("two hold one lock")
    with locks.held(directory, ".ids", patience=0):
        pass


def test_held_waits_until_the_lock_is_free(directory, monkeypatch):
    other = opened(directory, ".ids")
    assert locks.try_lock(other)
    slept = []

    def sleep(seconds):
        slept.append(seconds)
        if len(slept) == 3:
            os.close(other)

    monkeypatch.setattr(locks.time, "sleep", sleep)
    with locks.held(directory, ".ids"):
        assert len(slept) == 3


def test_what_close_reports_of_a_lock_is_no_failure_of_what_was_done_under_it(
    directory, monkeypatch
):
    """Found by failing every system call: an id was there, and its caller was told of an error."""
    real = os.close

    def close(descriptor):
        real(descriptor)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with locks.held(directory, ".ids"):
        monkeypatch.setattr("spoolq.locks.os.close", close)
    monkeypatch.undo()
    with locks.held(directory, ".ids", patience=0):
        pass


def test_an_error_of_the_body_lets_the_lock_go(directory):
    with pytest.raises(KeyError):
        with locks.held(directory, ".ids"):
            raise KeyError
    with locks.held(directory, ".ids", patience=0):
        pass


def test_a_lock_is_taken_where_no_temporary_file_can_be_made(tmp_path):
    """Found on a full system disk: portalocker asks for a place that it then does not need."""
    text = """if True:
        import os, sys, tempfile
        def none(): raise FileNotFoundError(2, "No usable temporary directory found")
        tempfile._get_default_tempdir = none
        from spoolq import locks
        descriptor = os.open(sys.argv[1], os.O_CREAT | os.O_RDWR, 0o600)
        print(locks.try_lock(descriptor), tempfile.tempdir)
    """
    done = subprocess.run(
        [sys.executable, "-c", text, str(tmp_path / "lock")], capture_output=True, text=True
    )
    assert (done.stdout, done.stderr) == ("True None\n", "")


def test_closing_quietly_says_nothing_of_a_bad_descriptor():
    reading, writing = os.pipe()
    os.close(writing)
    locks.let_go(reading)
    locks.let_go(reading)

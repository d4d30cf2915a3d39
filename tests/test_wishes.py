"""What a running command tells its worker by files."""

import os
from datetime import timedelta

import pytest

from spoolq import instants, names, wishes
from tests.given import worker


@pytest.fixture
def told(spool, clock):
    """Let a run of a living worker write a wish; return what the worker makes of it."""
    own = worker(spool)
    claim = names.Name(instants.to_stamp(clock()), 5, 1, "a", own.name, "0")
    paths = wishes.variables(claim, spool.path)

    def tell(variable, content):
        with open(paths[variable], "wb") as file:
            file.write(content)
        if variable == wishes.PROGRESS:
            return wishes.progress(spool, claim)
        return wishes.retry_at(own.dir, claim, clock())

    tell.paths, tell.claim, tell.own = paths, claim, own
    yield tell
    own.leave()


@pytest.mark.parametrize(
    ("content", "percent", "text"),
    [
        (b"42", 42, ""),
        (b"42\n", 42, ""),
        (b" 0 % ", 0, ""),
        (b"100% done", 100, "done"),
        (b"33.5 frames 4 of 12\n", 33.5, "frames 4 of 12"),
        (b"7 \x1b[31mred", 7, "\\x1b[31mred"),
        (b"7 caf\xe9", 7, "caf\ufffd"),
        (b"7 two\nlines", 7, "two\\nlines"),
    ],
)
def test_progress_is_a_percentage_and_a_word(told, content, percent, text):
    assert told(wishes.PROGRESS, content) == (percent, text)


@pytest.mark.parametrize("content", [b"", b"soon", b"101", b"-1", b"1e3", b"7" + b"x" * 600, b"\0"])
def test_what_is_no_progress_says_nothing(told, content):
    progress = told(wishes.PROGRESS, content)
    assert progress is None or (progress.percent == 7 and len(progress.text) <= 256)


@pytest.mark.parametrize(
    ("content", "seconds"),
    [
        (b"90", 90),
        (b"0.5\n", 0.5),
        (b"0", 0),
        (b"999999999999", 366 * 86_400),
        (b"2026-11-24T02:08:46.123456Z", 120),
        (b"2000-01-01T00:00:00Z", 0),
        (b"9999-12-31T23:59:59Z", 366 * 86_400),
    ],
)
def test_a_retry_is_asked_for_in_seconds_or_by_a_time(told, clock, content, seconds):
    assert told(wishes.RETRY_AFTER, content) == clock() + timedelta(seconds=seconds)


@pytest.mark.parametrize(
    "content", [b"", b"soon", b"-5", b"nan", b"inf", b"1e3", b"\xff", b"x" * 999]
)
def test_what_is_no_time_asks_for_nothing(told, content):
    assert told(wishes.RETRY_AFTER, content) is None


def test_what_is_no_file_asks_for_nothing(told, spool, clock):
    for variable, path in told.paths.items():
        os.mkfifo(path)
        assert wishes.progress(spool, told.claim) is None, variable
        os.unlink(path)
        os.symlink("/etc/hostname", path)
        assert wishes.retry_at(told.own.dir, told.claim, clock()) is None
        os.unlink(path)
        os.mkdir(path)
        assert wishes.progress(spool, told.claim) is None
        os.rmdir(path)


def test_the_wishes_of_runs_that_are_over_are_left_ones(told):
    paths = [*told.paths.values(), wishes.result_path(told.claim, "/s")]
    entries = {os.path.basename(path) for path in paths}
    assert not any(wishes.is_left(entry, {told.claim: None}) for entry in entries)
    assert all(wishes.is_left(entry, {}) for entry in entries)
    others = ("lock", "worker.json", "0.lock", "0.outcome", "stop", "cancel.a")
    assert not any(wishes.is_left(entry, {}) for entry in others)


def test_a_result_is_taken_once_and_by_nothing_but_a_file(told, spool):
    path = wishes.result_path(told.claim, spool.path)
    assert wishes.take_result(told.own.dir, told.claim) == {}
    with open(path, "w") as file:
        file.write('{"result": [null], "more": 1}')
    assert wishes.take_result(told.own.dir, told.claim) == {"result": [None]}
    assert wishes.take_result(told.own.dir, told.claim) == {}
    os.symlink("/etc/hostname", path)
    assert wishes.take_result(told.own.dir, told.claim) == {}
    os.unlink(path)
    os.mkfifo(path)
    assert wishes.take_result(told.own.dir, told.claim) == {}

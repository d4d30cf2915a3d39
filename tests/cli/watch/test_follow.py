"""One job's output on a whole screen."""

import os

import pytest

from spoolq import api, logs
from spoolq.cli.watch.board import Board
from spoolq.cli.watch.follow import Follow
from tests import given


@pytest.fixture
def board(spool, clock):
    with api.Spool(spool.path) as opened:
        yield Board(opened, lambda: clock().timestamp(), clock.monotonic)


def write_log(spool, name, data):
    with open(os.path.join(spool.path, "logs", str(logs.log_name(name))), "ab") as file:
        file.write(data)


def shown(board, clock, follow, columns=40, height=8):
    clock.advance(60)
    board.look()
    follow.look(columns * height)
    lines = follow.draw(columns, height, clock().timestamp())
    assert len(lines) == height
    return [line.plain.rstrip() for line in lines]


def test_a_job_is_followed_through_its_states(spool, clock, board):
    name = given.job(spool, "pending", given.named(clock, "x"))
    follow = Follow(board, "x")
    assert shown(board, clock, follow) == [
        "x pending, attempt 0 of 4  echo x",
        "",
        " it has not run yet",
        "",
        "",
        "",
        "",
        "q back",
    ]
    assert follow.path is None
    own = given.worker(spool)
    claim = given.claim(spool, own, name, clock)
    found = shown(board, clock, follow, 60)
    assert found[0].startswith("x running for 1 m, attempt 1 of 4")
    assert found[2] == " nothing printed so far"
    write_log(spool, claim, b"one\ntwo \x1b[31mred\x1b[2J\n")
    assert shown(board, clock, follow)[1:3] == ["one", "two red\\x1b[2J"]
    assert os.path.exists(follow.path)
    report = spool.finish(own.dir, [given.record(spool, claim, clock, exit_code=3)], "none")
    assert report.error is None
    found = shown(board, clock, follow, 60)
    assert found[0] == "x failed, attempt 1 of 4 [exit code 3]  echo x"
    assert found[1] == "one"
    own.leave()


def test_of_much_output_the_end_is_shown(spool, clock, board):
    own = given.worker(spool)
    name = given.job(spool, "pending", given.named(clock, "x"))
    claim = given.claim(spool, own, name, clock)
    write_log(spool, claim, b"".join(b"line %d\n" % number for number in range(99_999)))
    found = shown(board, clock, Follow(board, "x"))
    assert found[1:-1] == [f"line {number}" for number in range(99_993, 99_999)]
    own.leave()


def test_a_long_line_goes_on_in_the_next_and_nothing_is_wider(spool, clock, board):
    own = given.worker(spool)
    name = given.job(spool, "pending", given.named(clock, "x"))
    claim = given.claim(spool, own, name, clock)
    write_log(spool, claim, "日本語".encode() * 10 + b"\tx\x00\r\nend")
    found = shown(board, clock, Follow(board, "x"), 20)
    assert found[1] == "日本語日本語日本語日"
    assert "end" in found
    own.leave()


def test_a_job_that_is_not_there_is_told_as_such(board, clock):
    found = shown(board, clock, Follow(board, "nope"))
    assert found[0] == "nope"
    assert found[2] == " the job is not to be seen any more"


@pytest.mark.parametrize("started_at", ["", "yesterday", 5, None, "2026-99-99T00:00:00Z"])
def test_a_history_that_makes_no_sense_does_no_harm(spool, clock, board, started_at):
    entry = {"attempt": "1", "started_at": started_at}
    given.job(spool, "dead", given.named(clock, "x", 1), history=[entry, {}])
    assert shown(board, clock, Follow(board, "x"))[0].startswith("x")


def test_what_is_no_job_is_told_to_be_none(spool, clock, board):
    os.mkfifo(os.path.join(spool.path, "pending", "fifo.json"))
    found = shown(board, clock, Follow(board, "fifo.json"), 60)
    assert found[0] == "fifo.json pending [not a file but a FIFO]"
    assert found[2] == " as it is, it is no job"

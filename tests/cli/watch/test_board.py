"""What a board sees of a real spool, and what it reads again."""

import json
import os
import time

import pytest

from spoolq import api, instants, lease, pauses, roster, scheduling, views
from spoolq.cli.watch import board as module
from spoolq.cli.watch.board import Board
from spoolq.cli.watch.scene import KINDS, Crew
from spoolq.tokens import Tokens
from tests import given


@pytest.fixture
def now(clock):
    return lambda: clock().timestamp()


@pytest.fixture
def board(spool, clock, now, monkeypatch):
    monkeypatch.setattr(instants, "now", clock)
    with api.Spool(spool.path) as opened:
        yield Board(opened, now, clock.monotonic)


class Ticking:
    """A clock by which everything takes its time."""

    now = 1000.0

    def __call__(self):
        self.now += 0.1
        return self.now


def seen(board, sought=""):
    """Return the ids of a new look's rows by kind."""
    board.look()
    return {s.kind: [row.id for row in s.rows] for s in board.scene(sought).sections if s.rows}


def ended(clock, code=0):
    at = instants.to_rfc3339(clock())
    return {
        "attempt": 1,
        "worker": "w-1-x",
        "started_at": at,
        "finished_at": at,
        "exit_code": code,
    }


def test_jobs_are_ordered_as_they_matter(spool, clock, board):
    own = given.worker(spool)
    for slot, (job_id, wait) in enumerate((("ran-first", -20), ("ran-next", -10))):
        name = given.job(spool, "pending", given.named(clock, job_id, wait=wait))
        given.claim(spool, own, name, clock, str(slot))
    given.job(spool, "pending", given.named(clock, "due", wait=-9))
    given.job(spool, "pending", given.named(clock, "urgent", wait=-1, priority=9))
    given.job(spool, "pending", given.named(clock, "later", wait=99, priority=9))
    given.write(spool, "pending", "drop.json", "{}")
    given.job(spool, "failed", given.named(clock, "soon", 1, wait=1))
    given.job(spool, "failed", given.named(clock, "not-soon", 1, wait=2))
    for state in ("dead", "completed"):
        given.job(spool, state, given.named(clock, f"{state}-before", 1, wait=-5))
        given.job(spool, state, given.named(clock, f"{state}-last", 1, wait=-4))
    given.write(spool, "dead", "bad.json", "{")
    assert seen(board) == {
        "running": ["ran-first", "ran-next"],
        "next": ["drop.json", "urgent", "due", "later"],
        "retries": ["soon", "not-soon"],
        "dead": ["dead-last", "dead-before", "bad.json"],
        "completed": ["completed-last", "completed-before"],
    }
    found = board.scene()
    assert found.due == 3
    assert found.counts == views.counts(spool)
    given.die(own)


def test_a_run_that_has_ended_and_waits_for_the_disk_is_no_row(spool, clock, board):
    own, dead = given.worker(spool), given.worker(spool)
    claims = [
        given.claim(
            spool, each, given.job(spool, "pending", given.named(clock, job_id)), clock, slot
        )
        for each, job_id, slot in (
            (own, "over", "0"),
            (own, "runs", "1"),
            (own, "too", "2"),
            (dead, "left", "0"),
        )
    ]
    for each, claim in ((own, claims[0]), (dead, claims[3])):
        open(os.path.join(each.dir.path, f"{claim.slot}{lease.OUTCOME}"), "w").close()
    given.die(dead)  # what it leaves is taken over, record or not
    assert seen(board) == {"running": ["runs", "too", "left"]}
    found = {crew.name: crew for crew in board.scene().crew}
    assert (found[own.name].busy, found[own.name].slots) == (1, 1)  # its card says: one slot
    given.die(own)
    assert seen(board) == {"running": ["over", "runs", "too", "left"]}


def test_drops_are_seen_however_many_jobs_wait(spool, clock, board, monkeypatch):
    monkeypatch.setattr(module, "_MOST", 3)
    for number in range(5):
        given.job(spool, "pending", given.named(clock, f"j{number}", wait=number - 9))
    given.write(spool, "pending", "report.json", "{}")
    assert seen(board) == {"next": ["report.json", "j0", "j1"]}
    assert seen(board, "report") == {"next": ["report.json"]}


def test_what_is_paused_and_in_use_is_told(spool, board):
    board.look()
    assert board.scene().standing == ()
    spool.write_config(b'{"limits": {"gpu": 2}}')
    held = Tokens(spool).take((("gpu", 1),), {"gpu": 2})
    pauses.pause(spool, "night")
    board.look()
    assert board.scene().standing == ("paused tags: night", "limits: gpu 1/2")
    assert held


def test_what_is_counted_has_a_row_in_every_state(spool, board):
    for state in ("pending", "processing", "failed", "completed", "dead"):
        os.symlink("/etc/hostname", os.path.join(spool.path, state, "l.json"))
    board.look()
    found = board.scene()
    assert {s.kind: s.total for s in found.sections} == dict.fromkeys(KINDS, 1)
    assert found.counts == views.counts(spool)
    for row in found.rows:
        assert board.detail(row).reason == "not a file but a symbolic link"


def test_rows_that_have_gone_are_left_out_while_a_large_directory_rests(spool, board, clock):
    taken = [
        given.job(spool, "pending", given.named(clock, f"j{number}", wait=number - 9))
        for number in range(5)
    ]
    board._census._monotonic = ticking = Ticking()
    assert seen(board)["next"] == ["j0", "j1", "j2", "j3", "j4"]
    for number in range(2):
        os.unlink(os.path.join(spool.path, "pending", str(taken[number])))
    given.job(spool, "pending", given.named(clock, "unseen", wait=-99))
    assert seen(board)["next"] == ["j2", "j3", "j4"]
    os.unlink(os.path.join(spool.path, "pending", str(taken[2])))
    assert seen(board)["next"] == ["j3", "j4"]
    assert seen(board, "j")["next"] == ["j3", "j4"]
    assert "pending" in board.scene().old
    ticking.now += 1e6
    assert seen(board)["next"] == ["unseen", "j3", "j4"]


def test_what_falls_due_is_due_without_a_look(spool, clock, board):
    given.job(spool, "pending", given.named(clock, "x", wait=5))
    board.look()
    assert board.scene().due == 0
    clock.advance(6)
    assert board.scene().due == 1


def test_of_a_job_its_command_and_what_went_wrong_are_told(spool, clock, board):
    fields = {"command": ["echo", "a b", "\x1b"], "name": "greet", "max_retries": 1}
    text = json.dumps({**fields, "history": [ended(clock, 3)]})
    given.write(spool, "dead", str(given.named(clock, "x", 2)), text)
    given.write(spool, "dead", "bad.json", '{"command": 5}')
    board.look()
    rows = {row.id: row for row in board.scene().rows}
    found = board.detail(rows["x"])
    assert found.command == "greet: echo 'a b' '\\x1b'"
    assert (found.reason, found.runs) == ("exit code 3", "2/2")
    assert "command" in board.detail(rows["bad.json"]).reason


def test_of_a_running_job_the_last_line_of_its_output_is_told(spool, clock, board):
    own = given.worker(spool)
    name = given.job(spool, "pending", given.named(clock, "x"))
    given.claim(spool, own, name, clock)
    board.look()
    (row,) = board.scene().rows
    assert row.owner == f"{own.name}.0"
    assert board.detail(row).tail == ""
    with open(board.log_path(row), "w") as log:
        log.write("one\ntwo\x1b[2J\n")
    board.look()
    assert board.detail(row).tail == "two\\x1b[2J"
    given.die(own)


def test_a_file_is_read_once_and_one_without_a_name_each_time(spool, clock, board, monkeypatch):
    given.job(spool, "completed", given.named(clock, "x", 1), history=[ended(clock)])
    given.write(spool, "dead", "bad.json", "{")
    board.look()
    reads = []
    real = views.look
    monkeypatch.setattr(views, "look", lambda *given: (reads.append(given[2]), real(*given))[1])
    for _ in range(3):
        for row in board.scene().rows:
            board.detail(row)
    assert (len(reads), reads.count("bad.json")) == (4, 3)


def test_a_job_that_has_gone_meanwhile_tells_nothing(spool, clock, board):
    name = given.job(spool, "completed", given.named(clock, "x", 1))
    board.look()
    (row,) = board.scene().rows
    os.unlink(os.path.join(spool.path, "completed", str(name)))
    assert board.detail(row).command == ""
    assert board.find("x") == ("completed", str(name))  # as of the last look
    clock.advance(99)
    board.look()
    assert board.find("x") is None


@pytest.mark.parametrize(
    ("sought", "ids"),
    [
        ("APPLE", ["apple"]),
        ("nightly", ["pear"]),
        ("juice", ["plum"]),
        ("dead", ["pear", "plum"]),
        ("no such thing", []),
        ("2026", []),  # as in every file name
    ],
)
def test_a_filter_looks_at_id_command_tags_and_state(spool, clock, board, sought, ids):
    given.job(spool, "pending", given.named(clock, "apple"))
    given.job(spool, "dead", given.named(clock, "pear", 1), tags=["Nightly"])
    given.job(spool, "dead", given.named(clock, "plum", 1), command="make JUICE")
    assert sorted(sum(seen(board, sought).values(), [])) == ids


def test_a_filter_finds_an_id_beyond_what_it_reads(spool, clock, board, monkeypatch):
    monkeypatch.setattr(module, "_SEARCHED", 2)
    for number in range(9):
        given.job(spool, "pending", given.named(clock, f"j{number}", wait=number), tags=["apples"])
    assert seen(board, "j8") == {"next": ["j8"]}
    assert seen(board, "apple") == {"next": ["j0", "j1"]}


def test_what_ended_is_told_by_the_shortest_stretches_that_tell_something(spool, clock, board):
    for number in range(30):
        given.job(spool, "completed", given.named(clock, f"c{number}", 1, wait=-100 - number))
    given.job(spool, "dead", given.named(clock, "d", 1, wait=-100))
    board.look()
    rate = board.scene().rate
    assert (rate.seconds, rate.total, sum(rate.dead)) == (10.0, 31, 1)
    clock.advance(86_400)
    assert board.scene().rate.seconds == 3600.0
    clock.advance(9 * 86_400)
    assert (board.scene().rate.total, board.scene().rate.per_second()) == (0, None)


def test_how_fast_jobs_end_is_told_of_the_newest_that_tell(spool, clock, board):
    for number in range(40):
        given.job(spool, "completed", given.named(clock, f"c{number}", 1, wait=-number / 4))
    board.look()
    assert board.scene().rate.per_second() == pytest.approx(4, abs=0.5)


def test_workers_are_told_of_and_what_troubles_them(spool, clock, board):
    own = given.worker(spool)
    own.show_trouble("claim", "disk full")
    dead = given.worker(spool)
    name = given.job(spool, "pending", given.named(clock, "x"))
    given.claim(spool, dead, name, clock)
    given.die(dead)
    board.look()
    found = board.scene()
    heirs = "the next worker takes its jobs over"
    assert sorted(found.crew) == sorted(
        [Crew(own.name, 0, 1, None, True), Crew(dead.name, 1, 1, None, False, heirs)]
    )
    assert found.warnings == (f"worker {own.name} is in trouble: disk full",)
    own.leave()


def test_a_card_that_says_nothing_of_use_is_no_reason_to_fail(spool, board):
    own = given.worker(spool)
    own.card = {"count": ["x"], "started_at": 5, "trouble": {"a": "\x1b"}}
    own.show_trouble("x", "y")
    board.look()
    (crew,) = board.scene().crew
    assert (crew.slots, crew.since) == (0, None)
    own.leave()


def test_workers_that_cannot_be_seen_are_a_warning(spool, board, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied", "workers")

    monkeypatch.setattr(roster, "workers", refuse)
    board.look()
    assert "the workers cannot be seen" in board.scene().warnings[0]


def test_that_the_spool_is_paused_is_seen(spool, board):
    board.look()
    assert not board.scene().paused
    spool.root.write("paused", b"", sync=False)
    board.look()
    assert board.scene().paused


def test_which_schedule_comes_next_is_told_and_read_again_when_that_may_differ(
    spool, clock, board, monkeypatch
):
    pytest.importorskip("cronsim", reason="the extra `schedule` is not installed")
    board.look()
    assert board.scene().coming == ""
    clock.set_wall(instants.from_epoch(time.time()))
    scheduling.add(spool, "hourly", {"cron": "0 * * * *", "job": {"command": "true"}})
    board.look()
    first = board.scene().coming
    assert first.startswith("schedule hourly at ")
    clock.advance(1)
    board.look()
    monkeypatch.setattr(module.schedules, "views", lambda *_: pytest.fail("it was read again"))
    clock.advance(1)
    board.look()
    monkeypatch.undo()
    clock.advance(3600)
    board.look()
    assert board.scene().coming not in ("", first)
    with open(os.path.join(spool.path, "schedules", "bad.json"), "w") as file:
        file.write("{}")
    board.look()
    assert "schedules/bad.json" in board.scene().warnings[-1]

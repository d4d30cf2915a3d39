"""What has to wait is set aside: it holds up nobody, costs nothing, and runs in its turn."""

import os
from pathlib import Path

import pytest

from spoolq.aside import Aside
from spoolq.config import Settings
from spoolq.job import Job
from spoolq.spool import SpoolDir
from spoolq.tokens import Tokens
from tests import given
from tests.conftest import wait_until
from tests.histories import History, replay
from tests.test_worker import table

ONE = {"limits": {"gpu": 1}}
TWO = {"limits": {"gpu": 2}}


def H(steps, **options):  # noqa: N802 - as in test_worker
    return History(steps, config=ONE, **options)


@table(
    what_waits_for_a_token_holds_up_none_behind_it=H(
        """
        enqueue a needs=gpu:1
        enqueue b needs=gpu:1
        enqueue c
        started a c
        """,
        count=3,
    ),
    the_next_one_starts_in_the_turn_that_frees_the_token=H(
        """
        enqueue a needs=gpu:1
        enqueue b needs=gpu:1
        end a 0
        started a b
        """,
        count=2,
    ),
    those_that_wait_go_by_priority_and_then_by_time=H(
        """
        enqueue a needs=gpu:1
        enqueue b needs=gpu:1
        advance 0.1
        enqueue c needs=gpu:1
        advance 0.1
        enqueue d needs=gpu:1 priority=9
        advance 0.1
        end a 0
        end d 0
        end b 0
        started a d b c
        """,
        count=2,
    ),
    a_token_that_somebody_else_lets_go_is_seen_within_a_second=H(
        """
        taken gpu 1
        enqueue a needs=gpu:1
        advance 5
        started
        taken
        advance 1.1
        started a
        """
    ),
    as_many_start_at_once_as_there_is_room_for=History(
        """
        taken gpu 2
        enqueue a needs=gpu:1
        enqueue b needs=gpu:1
        enqueue c needs=gpu:1
        advance 3
        started
        taken
        advance 1.1
        started a b
        """,
        config=TWO,
        count=3,
    ),
    a_worker_that_drains_waits_for_tokens_of_others=H(
        """
        taken gpu 1
        enqueue a needs=gpu:1
        start
        advance 5
        stays
        taken
        advance 1.1
        started a
        end a 0
        left
        """,
        drain=True,
    ),
    what_needs_more_than_there_is_waits_until_there_is_as_much=H(
        """
        enqueue a needs=gpu:2
        enqueue b needs=gpu:1
        started b
        end b 0
        advance 5
        started b
        config {"limits": {"gpu": 2}}
        advance 1.1
        started b a
        """,
        count=2,
    ),
    what_is_limited_no_more_starts=H(
        """
        taken gpu 1
        enqueue a needs=gpu:1
        enqueue b needs=gpu:1
        started
        config {}
        advance 1.1
        started a b
        """,
        count=2,
    ),
    what_no_limit_names_is_not_waited_for=H(
        """
        enqueue a needs=tape:7
        enqueue b needs=tape:7
        started a b
        """,
        count=2,
    ),
    a_job_that_fails_lets_its_token_go=H(
        """
        enqueue a needs=gpu:1
        enqueue b needs=gpu:1
        end a 1
        started a b
        """,
        count=2,
    ),
    a_job_that_cannot_be_started_lets_its_token_go=H(
        """
        lacks a
        enqueue a needs=gpu:1
        enqueue b needs=gpu:1
        started b
        lacks
        end b 0
        advance 1.1
        started b a
        """,
        count=2,
    ),
    a_job_that_was_removed_is_forgotten_and_the_next_takes_its_turn=H(
        """
        taken gpu 1
        enqueue a needs=gpu:1
        advance 0.1
        enqueue b needs=gpu:1
        advance 2
        other claims a
        taken
        advance 1.1
        started b
        """,
        count=2,
    ),
)
def test_who_waits_for_tokens(history, spool, clock):
    replay(history, spool, clock)


# --- what it costs --------------------------------------------------------------------------------


@pytest.fixture
def aside(spool, clock):
    return Aside(spool, clock.monotonic)


@pytest.fixture
def other(spool):
    """Somebody who has the token."""
    tokens = Tokens(spool)
    tokens.held = tokens.take((("gpu", 1),), ONE["limits"])
    return tokens


def set_aside(aside, spool, clock, job_id, **fields):
    name = given.job(
        spool, "pending", given.named(clock, job_id), **{"needs": {"gpu": 1}, **fields}
    )
    job = Job({"command": "x", "needs": {"gpu": 1}, **fields})
    inode = os.stat(os.path.join(spool.path, "pending", str(name))).st_ino
    assert aside.judge(job, str(name), name, lambda: inode) is None
    return name


SETTINGS = Settings(limits=ONE["limits"])


def test_who_comes_later_passes_nobody_who_waits_for_the_same(aside, other, spool, clock):
    """Though the token is free by now; the first of them takes its turn with the next look."""
    aside.back(SETTINGS)
    first = set_aside(aside, spool, clock, "j1")
    other.let_go(other.held)
    clock.advance(0.1)
    set_aside(aside, spool, clock, "j2")
    late = given.named(clock, "j3", priority=9)
    job = Job({"command": "x", "needs": {"gpu": 1}})
    (token,) = aside.judge(job, str(late), late, None)
    assert token.name == "gpu.0"
    aside.let_go([token])
    assert aside.back(SETTINGS) == [str(first)]


def test_nothing_is_read_where_nothing_waits(aside, spool, clock, monkeypatch):
    aside.back(SETTINGS)
    name = given.named(clock)
    monkeypatch.setattr(spool.dir("pending"), "read", None)
    assert aside.admit(str(name), name) == ()
    assert aside.suits(Job({"command": "x"}), ())


def test_a_thousand_that_wait_cost_one_look_at_a_token_a_second(
    aside, other, spool, clock, monkeypatch
):
    aside.back(SETTINGS)
    for number in range(1000):
        clock.advance(0.0001)
        set_aside(aside, spool, clock, f"j{number}")
    tries, reads = [], []
    take, read = aside._tokens.take, spool.dir("pending").read
    monkeypatch.setattr(aside._tokens, "take", lambda *args: tries.append(args) or take(*args))
    monkeypatch.setattr(spool.dir("pending"), "read", lambda *args: reads.append(args))
    for _ in range(10):
        clock.advance(1)
        assert aside.back(SETTINGS) == []
        assert aside.back(SETTINGS) == []
    assert len(tries) == 10
    assert reads == []
    monkeypatch.setattr(spool.dir("pending"), "read", read)
    other.let_go(other.held)
    clock.advance(1)
    (first,) = aside.back(SETTINGS)
    assert ".j0." in first


def test_a_hundred_amounts_cost_one_look_at_a_token_a_second(spool, clock, monkeypatch):
    limits = {"mem": 100}
    aside = Aside(spool, clock.monotonic)
    aside.back(Settings(limits=limits))
    other = Tokens(spool)
    held = other.take((("mem", 100),), limits)
    for amount in range(100, 0, -1):
        set_aside(aside, spool, clock, f"j{amount}", needs={"mem": amount})
    tries = []
    take = aside._tokens.take
    monkeypatch.setattr(aside._tokens, "take", lambda *args: tries.append(args) or take(*args))
    clock.advance(1)
    assert aside.back(Settings(limits=limits)) == []
    assert len(tries) == 1
    other.let_go(held)
    other.take((("mem", 97),), limits)
    clock.advance(1)
    back = aside.back(Settings(limits=limits))
    assert sorted(name.split(".")[3] for name in back) == ["j1", "j2", "j3"]
    assert len(tries) == 1 + 4


def test_ten_thousand_that_wait_are_not_claimed_again_and_again(
    spool, run_cli, start_worker, monkeypatch
):
    """Counted by their inodes' times: a rename changes them."""
    run_cli("config", "set", "limits", '{"gpu": 1}')
    run_cli("config", "set", "durability", "none")
    held = Tokens(spool).take((("gpu", 1),), ONE["limits"])
    line = '{"command": "true", "needs": {"gpu": 1}}\n'
    run_cli("enqueue", "-", stdin=line * 10_000)
    before = times(spool)
    start_worker("--count", "4")
    late = run_cli("enqueue", "true").stdout.strip()
    wait_until(lambda: run_cli("show", late, "--json").stdout.find('"completed"') > 0, "the last")
    after = times(spool)
    moved = sum(1 for name, changed in before.items() if after[name] != changed)
    assert (
        moved <= 1
    )  # the first, from which the worker learned that there is something to wait for
    assert held


def times(spool):
    return {
        entry.name: entry.stat().st_ctime_ns for entry in os.scandir(Path(spool.path, "pending"))
    }


# --- files that change meanwhile ------------------------------------------------------------------


def test_a_file_that_was_replaced_is_read_again(aside, other, spool, clock):
    aside.back(SETTINGS)
    name = set_aside(aside, spool, clock, "j1")
    path = Path(spool.path, "pending", str(name))
    assert aside.stays(str(name), path.stat().st_ino)
    path.with_name(".new").write_text('{"command": "echo j1"}')
    path.with_name(".new").rename(path)
    assert not aside.stays(str(name), path.stat().st_ino)
    aside.keep(set())
    assert aside.is_idle()
    assert aside.admit(str(name), name) == ()


def test_what_changed_between_the_look_and_the_claim_gets_what_it_needs_now(aside, spool, clock):
    aside.back(Settings(limits={"gpu": 1, "net": 1}))
    tokens = aside.judge(Job({"command": "x", "needs": {"gpu": 1}}), "a", given.named(clock), None)
    now = Job({"command": "x", "needs": {"net": 1}})
    assert not aside.suits(now, tokens)
    assert aside.suits(Job({"command": "x", "needs": {"gpu": 0.5}}), tokens)


def test_a_file_that_is_no_job_is_left_to_who_claims(aside, other, spool, clock):
    aside.back(SETTINGS)
    set_aside(aside, spool, clock, "j1")
    odd = given.named(clock, "odd")
    given.write(spool, "pending", str(odd), "{")
    assert aside.admit(str(odd), odd) == ()
    assert aside.admit("gone.json", odd) == ()


def test_where_no_token_can_be_taken_the_others_go_on(spool, run_cli, start_worker):
    run_cli("config", "set", "limits", '{"gpu": 1}')
    Path(spool.path, "limits").write_text("no directory")
    run_cli("enqueue", "--priority", "9", "--needs", "gpu=1", "true")
    late = run_cli("enqueue", "true").stdout.strip()
    start_worker()
    run_cli("wait", late, "--timeout", "60s")
    assert len(given.everything(spool)) == 2
    assert "no token of limits/ can be taken" in Path(spool.path, ".worker-0.log").read_text()
    Path(spool.path, "limits").unlink()
    run_cli("wait", "--timeout", "60s")


def test_who_can_never_run_is_told_of_once(aside, spool, clock, caplog):
    aside.back(SETTINGS)
    for job_id in ("a", "b"):
        clock.advance(1)
        set_aside(aside, spool, clock, job_id, needs={"gpu": 5})
    assert caplog.text.count("it needs gpu=5, and the limit is 1") == 1


def test_it_is_bounded_how_many_are_set_aside(aside, other, spool, clock, monkeypatch):
    from spoolq import aside as module

    monkeypatch.setattr(module, "MOST", 3)
    aside.back(SETTINGS)
    for number in range(3):
        assert not aside.is_full()
        set_aside(aside, spool, clock, f"j{number}")
    assert aside.is_full()


def test_limits_are_no_affair_of_executors_elsewhere(spool, clock):
    aside = Aside(spool, clock.monotonic, limited=False)
    aside.back(SETTINGS)
    assert (
        aside.judge(Job({"command": "x", "needs": {"gpu": 7}}), "a", given.named(clock), None) == ()
    )


def test_a_spool_of_no_limits_gets_no_directory_for_them(spool, run_cli, start_worker):
    run_cli("enqueue", "--needs", "gpu=1", "true")
    assert start_worker("--drain").wait(60) == 0
    assert not SpoolDir.open(spool.path).root.has("limits")

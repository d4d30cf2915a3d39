"""Many jobs at once: by their ids or their tag, and a batch that is not worth going on with."""

import json

import pytest

from spoolq.cli.halting import Halt
from spoolq.errors import BadInput
from tests.conftest import entries, wait_until


def states(spoolq):
    return {job["id"]: job["state"] for job in json.loads(spoolq("list", "--json").out)}


@pytest.fixture
def batch(spoolq):
    """Two jobs of a batch, and one of another."""
    spoolq("enqueue", "--id", "a", "--tag", "x", "true")
    spoolq("enqueue", "--id", "b", "--tag", "x", "--tag", "y", "true")
    spoolq("enqueue", "--id", "other", "--tag", "y", "true")


def test_hold_release_cancel_and_retry_take_all_with_a_tag(spool, spoolq, batch):
    assert spoolq("hold", "--tag", "x").err.count("held until") == 2
    assert [entry[:8] for entry in entries(spool, "pending")].count("99991231") == 2
    assert spoolq("release", "--tag", "x").err.count("released") == 2
    assert spoolq("cancel", "--tag", "x").err.count("cancelled") == 2
    assert states(spoolq) == {"a": "dead", "b": "dead", "other": "pending"}
    assert spoolq("retry", "--tag", "x").err.count("runs again") == 2
    assert set(states(spoolq).values()) == {"pending"}


def test_a_tag_whose_jobs_are_in_another_state_is_no_error(spoolq, batch):
    assert "nothing to retry has the tag 'x'" in spoolq("retry", "--tag", "x").err


@pytest.mark.parametrize("verb", ["hold", "release", "cancel", "retry"])
def test_ids_or_a_tag_are_needed_and_not_both(spoolq, batch, verb):
    assert "give ids, or a tag" in spoolq(verb, code=2).err
    assert "give ids, or a tag" in spoolq(verb, "a", "--tag", "x", code=2).err
    assert "no job has the tag 'z'" in spoolq(verb, "--tag", "z", code=1).err


# --- halt -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "dead", "of_all", "due"),
    [
        ("now,fail=1", 0, 10, False),
        ("now,fail=1", 1, 10, True),
        ("soon,fail=10%", 9, 100, False),
        ("soon,fail=10%", 10, 100, True),
        ("soon,fail=1%", 0, 10, False),
        ("soon,fail=1%", 1, 10, True),
        ("now,fail=100%", 10, 10, True),
    ],
)
def test_a_halt_is_due_after_so_many_deaths(text, dead, of_all, due):
    assert Halt.read(text).is_due(dead, of_all) is due


@pytest.mark.parametrize(
    "text", ["", "now", "now,fail=0", "later,fail=1", "now,fail=101%", "now,fail=-1"]
)
def test_a_halt_that_cannot_be_read_is_refused(spoolq, batch, text):
    with pytest.raises(BadInput):
        Halt.read(text)
    assert "says not when to halt" in spoolq("wait", "a", "--halt", text, code=2).err


def test_a_halt_needs_a_batch(spoolq, batch):
    assert "is about a batch" in spoolq("wait", "--halt", "now,fail=1", code=2).err


@pytest.mark.parametrize(("how", "running"), [("now", "cancelled"), ("soon", None)])
def test_a_halted_batch_ends_what_waits_and_now_what_runs(
    spool, spoolq, popen, start_worker, tmp_path, how, running
):
    gate = tmp_path / "gate"
    long = f"until [ -e {gate} ]; do sleep 0.02; done"
    spoolq("enqueue", "--tag", "x", "--id", "long", "--priority", "9", long)
    spoolq("enqueue", "--tag", "x", "--id", "bad", "--priority", "8", "--max-retries", "0", "false")
    spoolq("enqueue", "--tag", "x", "--id", "next", "--hold", "true")
    waiting = popen("wait", "--tag", "x", "--halt", f"{how},fail=1")
    start_worker("--count", "2")
    wait_until(lambda: states(spoolq)["next"] == "dead", "the halt")
    if how == "now":
        wait_until(lambda: states(spoolq)["long"] == "dead", "the end of what runs")
    gate.touch()
    _, err = waiting.communicate(timeout=60)
    assert waiting.returncode == 1
    assert "halted: cancelling 1 that wait" in err
    assert states(spoolq)["long"] == ("dead" if running else "completed")

"""`hold`, `release`, `set`, `edit`: what a person types, and what comes of it."""

import json
import os
import stat

import pytest

from tests.conftest import entries, wait_until


def shown(spoolq, job_id="a"):
    return json.loads(spoolq("show", "--json", job_id).out)


@pytest.fixture
def editor(tmp_path, monkeypatch):
    """Let $EDITOR be a shell script, which gets the file as $1."""
    monkeypatch.delenv("VISUAL", raising=False)

    def be(script):
        path = tmp_path / "my editor"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o700)
        monkeypatch.setenv("EDITOR", f"'{path}'")

    return be


def test_an_enqueued_job_that_is_held_waits_until_it_is_released(spool, spoolq, start_worker):
    spoolq("enqueue", "--id", "a", "--hold", "true")
    assert entries(spool, "pending")[0].startswith("99991231T")
    assert shown(spoolq)["held"] is True
    assert "held" in spoolq("list").out or "9999" in spoolq("list").out
    assert "spoolq release a" in spoolq("show", "a").out
    worker = start_worker("--drain")
    assert worker.wait() == 0
    assert len(entries(spool, "pending")) == 1
    assert "released" in spoolq("release", "a").err
    assert shown(spoolq)["held"] is False
    assert start_worker("--drain").wait() == 0
    assert len(entries(spool, "completed")) == 1


def test_a_living_worker_starts_what_is_released(spool, spoolq, start_worker):
    spoolq("enqueue", "--id", "a", "true")
    spoolq("hold", "a")
    start_worker()
    spoolq("enqueue", "--id", "b", "true")
    wait_until(lambda: entries(spool, "completed"), "the other job")
    spoolq("release", "a")
    wait_until(lambda: len(entries(spool, "completed")) == 2, "the released one")


def test_times_and_hold_exclude_each_other(spoolq):
    assert (
        "--at and --hold both say when"
        in spoolq("enqueue", "--at", "18:00", "--hold", "x", code=2).err
    )


def test_hold_of_many_tells_of_each_that_it_cannot_hold(spool, spoolq):
    spoolq("enqueue", "--id", "a", "x")
    done = spoolq("hold", "a", "nobody", code=1)
    assert "no job 'nobody'" in done.err
    assert shown(spoolq)["held"] is True


# --- set ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "stored"),
    [
        ("priority", "9", 9),
        ("timeout", "10m", 600),
        ("max-retries", "0", 0),
        ("tags", '["x", "y"]', ["x", "y"]),
        ("name", "my job", "my job"),
        ("name", "12", "12"),
        ("command", "true", "true"),
        ("command", '["ls", "-l"]', ["ls", "-l"]),
        ("needs", '{"gpu": 1}', {"gpu": 1}),
    ],
)
def test_set_changes_one_field(spoolq, field, value, stored):
    spoolq("enqueue", "--id", "a", "x")
    spoolq("set", "a", field, value)
    assert shown(spoolq)[field.replace("-", "_")] == stored


def test_a_setting_of_the_spool_is_answered_with_what_was_meant(spoolq):
    assert "spoolq config set max_retries 5" in spoolq("set", "max_retries", "5", code=2).err


def test_set_moves_a_job_in_time(spool, spoolq):
    spoolq("enqueue", "--id", "a", "x")
    assert "not before" in spoolq("set", "a", "run_at", "2099-01-01T00:00:00Z").err
    assert entries(spool, "pending")[0].startswith("20990101T000000")


def test_set_none_takes_a_field_away(spoolq):
    spoolq("enqueue", "--id", "a", "--name", "n", "--timeout", "5", "x")
    spoolq("set", "a", "timeout", "none")
    assert "timeout" not in shown(spoolq)
    assert shown(spoolq)["name"] == "n"


@pytest.mark.parametrize(
    ("field", "value", "words", "code"),
    [
        ("prio", "9", "no field of a job; did you mean 'priority'?", 2),
        ("id", "b", "is what the job is", 2),
        ("priority", "12", "from 0 to 9", 1),
        ("timeout", "soon", "is not a duration", 1),
        ("command", "none", "a job needs a 'command'", 1),
    ],
)
def test_a_wrong_set_changes_nothing_and_says_why(spool, spoolq, field, value, words, code):
    spoolq("enqueue", "--id", "a", "x")
    before = entries(spool, "pending"), shown(spoolq)["command"]
    assert words in spoolq("set", "a", field, value, code=code).err
    assert (entries(spool, "pending"), shown(spoolq)["command"]) == before


# --- edit -----------------------------------------------------------------------------------------


def test_edit_takes_what_the_editor_leaves(spoolq, editor):
    spoolq("enqueue", "--id", "a", "--priority", "3", "old command")
    editor("""sed -i 's/old command/new command/; s/"priority": 3/"priority": 8/' "$1" """)
    assert "a: changed" in spoolq("edit", "a").err
    job = shown(spoolq)
    assert (job["command"], job["priority"], job["id"]) == ("new command", 8, "a")


def test_an_edit_that_changes_nothing_says_so(spool, spoolq, editor):
    spoolq("enqueue", "--id", "a", "x")
    editor("true")
    before = entries(spool, "pending")
    assert "not changed" in spoolq("edit", "a").err
    assert entries(spool, "pending") == before


def test_what_is_refused_is_kept_where_it_can_be_mended(spoolq, editor, tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    spoolq("enqueue", "--id", "a", "x")
    editor("""printf '{\\n  "command": "y",\\n  "priority": 12\\n}\\n' >"$1" """)
    done = spoolq("edit", "a", code=1)
    assert "line 3" in done.err
    assert "priority" in done.err
    kept = done.err.split("--file ")[1].split()[0]
    assert stat.S_IMODE(os.stat(kept).st_mode) == 0o600
    assert shown(spoolq)["command"] == "x"
    with open(kept) as file:
        text = file.read()
    with open(kept, "w") as file:
        file.write(text.replace("12", "2"))
    spoolq("edit", "a", "--file", kept)
    assert (shown(spoolq)["command"], shown(spoolq)["priority"]) == ("y", 2)


@pytest.mark.parametrize(
    "text", ["", "nonsense", "[]", '{"command": ""}', '{"name": "x"}', "\\377"]
)
def test_text_that_is_no_job_changes_nothing(spool, spoolq, editor, tmp_path, monkeypatch, text):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    spoolq("enqueue", "--id", "a", "x")
    before = entries(spool, "pending")
    editor(f"printf '{text}' >\"$1\"")
    assert "not changed" in spoolq("edit", "a", code=1).err
    assert entries(spool, "pending") == before


def test_a_job_that_starts_during_the_edit_runs_as_it_was(spool, spoolq, editor):
    spoolq("enqueue", "--id", "a", "x")
    name = entries(spool, "pending")[0]
    moved = f"{spool.path}/completed/{name}"
    editor(f"""mv '{spool.path}/pending/{name}' '{moved}'; sed -i s/x/y/ "$1" """)
    done = spoolq("edit", "a", code=1)
    assert "job a is completed" in done.err
    with open(moved) as file:
        assert json.load(file)["command"] == "x"


def test_an_editor_that_fails_changes_nothing(spoolq, editor):
    spoolq("enqueue", "--id", "a", "x")
    editor("""sed -i s/x/y/ "$1"; exit 3""")
    assert "ended with 3" in spoolq("edit", "a", code=1).err
    assert shown(spoolq)["command"] == "x"

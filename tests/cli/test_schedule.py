"""`schedule`: what a person types, and what comes of it."""

import json
import os
import re

import pytest

from spoolq import instants, names
from tests.conftest import entries

pytest.importorskip("cronsim", reason="the extra `schedule` is not installed")


def stored(spool, name):
    with open(os.path.join(spool.path, "schedules", f"{name}.json"), encoding="utf-8") as file:
        return json.load(file)


def listed(spoolq):
    return {one["name"]: one for one in json.loads(spoolq("schedule", "list", "--json").out)}


def test_what_is_added_is_a_file_with_the_job_as_enqueue_would_make_it(spool, spoolq, tmp_path):
    done = spoolq(
        *("schedule", "add", "nightly", "30 2 * * *", "--timezone", "Europe/Berlin"),
        *("--priority", "7", "--tag", "x", "--timeout", "1h", "--cwd", str(tmp_path)),
        *("--", "make", "-j", "--priority", "2"),
    )
    assert done.out == ""
    assert "nightly: at 02:30 every day, Europe/Berlin time; the next is " in done.err
    found = stored(spool, "nightly")
    assert (found["cron"], found["timezone"], found["missed"]) == (
        "30 2 * * *",
        "Europe/Berlin",
        "once",
    )
    job = found["job"]
    assert job["command"] == ["make", "-j", "--priority", "2"]
    assert (job["priority"], job["tags"], job["timeout"]) == (7, ["x"], 3600)
    assert job["cwd"] == str(tmp_path)
    assert "PATH" in job["env"]


@pytest.mark.parametrize(
    ("words", "command"),
    [
        (["echo hello && true"], "echo hello && true"),
        (["ls", "-l"], ["ls", "-l"]),
        (["--", "ls", "--", "-l"], ["ls", "--", "-l"]),
        (["--priority", "3", "ls", "--tag", "x"], ["ls", "--tag", "x"]),
        (['{"command": "x"}', "--priority", "3"], "x"),
        (["--", "-"], "-"),
    ],
)
def test_options_end_where_the_command_begins(spool, spoolq, words, command):
    spoolq("schedule", "add", "--missed", "all", "s", "--tag", "y", "@daily", *words)
    found = stored(spool, "s")
    assert found["job"]["command"] == command
    assert found["job"]["tags"] == ["y"]
    assert found["missed"] == "all"
    assert found["job"].get("priority") == (3 if "3" in words else None)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["s"], 2, "CRON is missing"),
        (["s", "@daily"], 2, "what is to be run?"),
        (["s", "@daily", "-"], 2, "a schedule has one job, and - reads many"),
        (["s", "@daily", "{}"], 2, "needs a 'command'"),
        (["s", "@daily", '{"command": "x"}', '{"command": "y"}'], 2, "a schedule has one job"),
        (["s", "@daily", '{"command": "x", "id": "y"}'], 2, "a schedule makes many"),
        (["s", "@daily", "--priority", "11", "x"], 2, "--priority: 11 is not from 0 to 9"),
        (["s", "@daily", "--timeout", "0", "x"], 2, "--timeout: must be from"),
        (["s", "@daily", "--at", "18:00", "x"], 2, "when is what CRON says"),
        (["s", "@daily", "--in", "5", "x"], 2, "--in is not for schedules"),
        (["s", "@daily", "--hold", "x"], 2, "spoolq schedule pause"),
        (["s", "@daily", "--id", "x", "x"], 2, "--id is not for schedules"),
        (["s", "@daily", "--after", "x", "x"], 2, "--after is not for schedules"),
        (["s", "@daily", "--if-queued", "error", "x"], 2, "--if-queued is not for schedules"),
        (["s", "@daily", "--missed", "al", "x"], 2, "did you mean 'all'?"),
        (["s", "@daily", "--timezone", "Mars", "x"], 2, "no time zone 'Mars'"),
        (["s", "* * * *", "x"], 2, "five fields"),
        (["s", "0 0 31 2 *", "x"], 2, "bad day-of-month"),
        (["a b", "@daily", "x"], 2, "cannot name a schedule"),
        (["s", "@daily", "x y", "--tag", "z"], 2, "options come before the command"),
    ],
)
def test_what_is_wrong_is_refused_in_words(spool, spoolq, words, code, said):
    err = spoolq("schedule", "add", *words, code=code).err
    assert said in err
    assert "Traceback" not in err
    assert (
        not spool.root.has("schedules") or os.listdir(os.path.join(spool.path, "schedules")) == []
    )


def test_a_name_that_is_taken_is_refused_and_replaced_on_request(spool, spoolq):
    spoolq("schedule", "add", "s", "@daily", "old")
    err = spoolq("schedule", "add", "s", "@hourly", "new", code=1).err
    assert "there is a schedule 's' already" in err
    assert "--replace" in err
    spoolq("schedule", "add", "s", "@hourly", "--replace", "new")
    assert stored(spool, "s")["cron"] == "@hourly"


def test_without_a_zone_it_is_that_of_this_machine(spool, spoolq, monkeypatch):
    import tzlocal

    monkeypatch.setattr(tzlocal, "get_localzone_name", lambda: "America/New_York")
    spoolq("schedule", "add", "s", "@daily", "x")
    assert stored(spool, "s")["timezone"] == "America/New_York"


def test_list_tells_when_each_comes_next_and_what_became_of_its_last_job(spool, spoolq):
    assert "no schedules" in spoolq("schedule", "list").err
    assert listed(spoolq) == {}
    spoolq("schedule", "add", "daily", "@daily", "--timezone", "UTC", "make report")
    spoolq("schedule", "add", "quiet", "@daily", "x")
    spoolq("schedule", "pause", "quiet")
    room = os.path.join(spool.path, "schedules")
    with open(os.path.join(room, "bad\x1b[31m.json"), "w") as file:
        file.write("{}")
    with open(os.path.join(room, "daily.last"), "w") as file:
        file.write("2026-01-01T00:00:00Z\n")
    job_id = "daily-20260101T000000Z"
    spoolq("enqueue", "--id", job_id, "true")
    name = entries(spool, "pending")[0]
    spool.dir("pending").rename(name, spool.dir("completed"), name)
    lines = spoolq("schedule", "list").out.splitlines()
    assert re.match(r"NAME +NEXT +LAST +ZONE +CRON, AND THE COMMAND", lines[0])
    assert any(
        re.match(r"daily +\S+T00:00:00Z +completed +UTC +@daily  make report", one) for one in lines
    )
    assert any(re.match(r"quiet +paused +- +\S+ +@daily  x", one) for one in lines)
    assert any(re.match(r"bad\\x1b\[31m +- +- +- +\[a schedule's name has", one) for one in lines)
    found = listed(spoolq)
    assert found["daily"]["last_job"] == job_id
    assert found["daily"]["last_state"] == "completed"
    assert found["daily"]["next"].endswith("T00:00:00.000000Z")
    assert (found["quiet"]["paused"], found["quiet"]["next"]) == (True, None)
    assert found["bad\x1b[31m"]["problem"]


def test_next_tells_the_ticks_of_all_in_their_order(spool, spoolq):
    spoolq("schedule", "add", "a", "0 * * * *", "--timezone", "UTC", "x")
    spoolq("schedule", "add", "b", "30 * * * *", "--timezone", "Asia/Kolkata", "x")
    spoolq("schedule", "add", "c", "* * * * *", "x")
    spoolq("schedule", "pause", "c")
    found = json.loads(spoolq("schedule", "next", "--count", "4", "--json").out)
    assert [one["at"] for one in found] == sorted(one["at"] for one in found)
    assert [one["name"] for one in found] == ["a", "b", "a", "b"]
    assert {one["local"][-6:] for one in found if one["name"] == "b"} == {"+05:30"}
    assert all(instants.from_rfc3339(one["at"]) > instants.now() for one in found[1:])
    lines = spoolq("schedule", "next", "b", "-n", "2").out.splitlines()
    assert len(lines) == 3
    assert "there is no schedule 'x'" in spoolq("schedule", "next", "x", code=1).err


def test_run_enqueues_one_now_and_prints_its_id(spool, spoolq):
    spoolq("schedule", "add", "s", "@yearly", "--priority", "8", "true")
    job_id = spoolq("schedule", "run", "s").out.strip()
    assert job_id.startswith("s-")
    (name,) = map(names.parse, entries(spool, "pending"))
    assert (name.id, name.priority) == (job_id, 8)
    assert spoolq("schedule", "run", "s").out.strip() != job_id
    assert "no schedule 'none'" in spoolq("schedule", "run", "none", code=1).err


def test_of_one_that_cannot_be_run_its_file_is_named(spool, spoolq):
    spoolq("schedule", "add", "s", "@yearly", "true")
    file = os.path.join(spool.path, "schedules", "s.json")
    with open(file, "w") as broken:
        broken.write("[]")
    said = spoolq("schedule", "run", "s", code=1).err
    assert f"  file  {file}\n" in said


def test_one_whose_key_is_taken_is_not_run_twice(spool, spoolq):
    spoolq("schedule", "add", "s", "@yearly", "--key", "k", "true")
    first = spoolq("schedule", "run", "s").out
    done = spoolq("schedule", "run", "s")
    assert done.out == first
    assert "has this key" in done.err


def test_remove_pause_and_resume_take_many_and_tell_of_each(spool, spoolq):
    for name in "ab":
        spoolq("schedule", "add", name, "@daily", "x")
    assert "a: rests until  spoolq schedule resume a" in spoolq("schedule", "pause", "a", "b").err
    assert "b: goes on" in spoolq("schedule", "resume", "b").err
    done = spoolq("schedule", "remove", "a", "nobody", "b", code=1)
    assert "a: removed" in done.err
    assert "there is no schedule 'nobody'" in done.err
    assert listed(spoolq) == {}


def test_without_the_libraries_it_is_said_what_to_install(spool, spoolq, monkeypatch):
    import sys

    for library in ("cronsim", "tzlocal"):
        with monkeypatch.context() as patch:
            patch.setitem(sys.modules, library, None)
            err = spoolq("schedule", "add", "s", "@daily", "x", code=1).err
        assert f"the library {library}, which is not installed" in err
        assert "pip install 'spoolq[schedule]'" in err


def test_names_of_schedules_are_offered(spool, spoolq, run_cli):
    spoolq("schedule", "add", "nightly", "@daily", "x")
    spoolq("schedule", "add", "other", "@daily", "x")
    done = run_cli(
        env={
            "_SPOOLQ_COMPLETE": "bash_complete",
            "COMP_WORDS": f"spoolq --spool {spool.path} schedule run n",
            "COMP_CWORD": "5",
        }
    )
    assert done.stdout.split() == ["plain,nightly"]


def test_status_tells_how_many_there_are_which_comes_next_and_what_is_wrong(spool, spoolq):
    assert "schedules" not in spoolq("status").out
    assert json.loads(spoolq("status", "--json").out)["next_tick"] is None
    spoolq("schedule", "add", "yearly", "@yearly", "x")
    spoolq("schedule", "add", "soon", "* * * * *", "x")
    done = spoolq("status")
    assert re.search(r"^  schedules   2  the next (in [\d sm]+|now): soon$", done.out, re.MULTILINE)
    assert "spoolq worker start" in done.err
    with open(os.path.join(spool.path, "schedules", "bad\x1b.json"), "w") as file:
        file.write("{}")
    done = spoolq("status")
    assert r"warning: schedules/bad\x1b.json: a schedule's name has" in done.err
    found = json.loads(spoolq("status", "--json").out)
    assert found["schedules"] == 3
    assert found["next_tick"].endswith("Z")
    assert len(found["warnings"]) == 1

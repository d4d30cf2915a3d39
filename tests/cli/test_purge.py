"""`purge` and `list --archived`, as they are typed."""

import json
from pathlib import Path

import pytest

from spoolq import instants, names
from tests import given


@pytest.fixture
def ended(spool):
    """Put a job into each ended state, ten days old, with a log."""
    stamp = instants.to_stamp(instants.later(instants.now(), -10 * 86_400))
    for state in ("completed", "dead"):
        given.job(spool, state, names.Name(stamp, 5, 1, state), tags=[f"t-{state}"])
        given.write(spool, "logs", f"{state}.a1.{stamp}.log", "x")


def left(spool):
    return [names.id_in(e) for state in ("completed", "dead") for e in spool.dir(state).list()]


def test_purge_archive_puts_jobs_away_and_list_archived_shows_them(spoolq, spool, ended):
    done = spoolq("purge", "--archive", "--older-than", "7d")
    assert done.err == f"removed 1 job and 1 log of {spool.path}, 1 of them archived\n"
    assert left(spool) == ["dead"]
    line = spoolq("list", "--archived").out.splitlines()[1]
    assert line.split()[:2] == ["completed", "completed"]
    (found,) = json.loads(spoolq("list", "--archived", "--json").out)
    assert (found["id"], found["state"], found["tags"]) == (
        "completed",
        "completed",
        ["t-completed"],
    )
    assert found["file"].startswith(f"{spool.path}/archive/")


def test_show_of_an_archived_job_says_where_it_is(spoolq, ended):
    assert "--archived" not in spoolq("show", "none", code=1).err
    spoolq("purge", "--archive", "--yes")
    assert "what was put away:  spoolq list --archived" in spoolq("show", "completed", code=1).err


def test_list_archived_chooses_as_list_does(spoolq, ended):
    spoolq("purge", "--archive", "--state", "dead", "--state", "completed", "--yes")

    def listed(*args):
        return [job["id"] for job in json.loads(spoolq("list", "--archived", "--json", *args).out)]

    assert sorted(listed()) == ["completed", "dead"]
    assert listed("--state", "dead") == listed("--tag", "t-dead") == ["dead"]
    assert len(listed("--limit", "1")) == 1
    assert listed("--tag", "none") == []
    assert spoolq("list", "--json").out == "[]\n"
    refused = spoolq("list", "--archived", "--state", "pending", code=2)
    assert "pending jobs are in no archive" in refused.err


def test_a_damaged_archive_is_told_and_the_rest_is_listed(spoolq, spool, ended):
    spoolq("purge", "--archive", "--yes")
    bad = Path(spool.path, "archive", "20260101T000000000000Z-abcdefgh.jsonl.gz")
    bad.write_text("no gzip")
    done = spoolq("list", "--archived", "--json", code=1)
    assert [job["id"] for job in json.loads(done.out)] == ["completed"]
    assert "cannot be read: " in done.err
    assert str(bad) in done.err


def test_purge_archive_without_an_age_asks(spoolq, spool, ended):
    spoolq("purge", "--archive", code=2)
    assert left(spool) == ["completed", "dead"]


def test_purge_says_what_it_did_as_json(spoolq, ended):
    done = json.loads(spoolq("purge", "--state", "dead", "--yes", "--json").out)
    assert done == {"jobs": 1, "archived": 0, "logs": 1, "stuck": 0}


def test_purge_retention_does_what_the_setting_says(spoolq, spool, ended):
    rule = {"completed": {"age": "7d", "archive": True}, "dead": {"age": "30d"}}
    spoolq("config", "set", "retention", json.dumps(rule))
    done = spoolq("purge", "--retention")
    assert done.err == f"removed 1 job and 1 log of {spool.path}, 1 of them archived\n"
    assert left(spool) == ["dead"]
    assert spoolq("purge", "--retention").err == ""
    spoolq("config", "set", "retention", '{"logs": {"size": 0}}')
    assert json.loads(spoolq("purge", "--retention", "--json").out)["logs"] == 1
    assert (left(spool), spool.dir("logs").list()) == (["dead"], [])


def test_purge_retention_without_the_setting_says_how_to_set_it(spoolq, ended):
    done = spoolq("purge", "--retention", code=2)
    assert """spoolq config set retention '{"completed": {"age": "30d"}}'""" in done.err
    done = spoolq("purge", "--retention", "--state", "dead", code=2)
    assert "spoolq config get retention" in done.err


def test_a_wrong_retention_is_refused_with_what_is_right(spoolq):
    done = spoolq("config", "set", "retention", '{"completed": {"age": "soon"}}', code=2)
    assert "retention completed.age must be a duration: 90 (seconds), 12h, 30d" in done.err
    done = spoolq("config", "set", "retention", "30d", code=2)
    assert 'must be an object, as {"completed"' in done.err
    spoolq("config", "set", "retention", '{"dead": {"age": "9d"}}')
    assert json.loads(spoolq("config", "get", "retention").out) == {"dead": {"age": "9d"}}
    spoolq("config", "set", "retention", "none")

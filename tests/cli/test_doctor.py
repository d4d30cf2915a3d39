"""`doctor` as it is typed: exit codes, JSON, and what a person reads."""

import json
import os
import shutil

import pytest

from spoolq import doctor
from tests import given

KEYS = {"code", "severity", "path", "what", "fix", "repaired"}


@pytest.fixture(autouse=True)
def _no_pause(monkeypatch):
    monkeypatch.setattr(doctor, "_MOVING", 0)
    monkeypatch.setattr(doctor, "_STILL", 0)


def test_a_healthy_spool_gets_one_line_and_the_facts(spoolq, spool):
    done = spoolq("doctor")
    first, *facts = done.out.splitlines()
    assert first == f"all is well with {spool.path}"
    assert [line.split()[0] for line in facts] == ["versions", "click", "disk", "works", "jobs"]
    assert done.err == ""


def test_a_job_that_waits_for_its_first_worker_is_no_problem(spoolq):
    spoolq("enqueue", "true")
    assert "spoolq worker start" in spoolq("doctor").out


def test_a_problem_exits_with_4_and_says_how_to_mend_it(spoolq, spool):
    shutil.rmtree(os.path.join(spool.path, "logs"))
    done = spoolq("doctor", code=4)
    assert done.out.splitlines()[:4] == [
        "problem   missing  logs",
        "          this directory of the spool is not there",
        f"          fix: mkdir -m 0700 {spool.path}/logs",
        f"1 problem with {spool.path}",
    ]
    assert done.err == "1 of these can be repaired without a loss:  spoolq doctor --repair\n"


def test_a_repair_says_what_it_did_and_the_next_one_has_nothing_to_do(spoolq, spool):
    shutil.rmtree(os.path.join(spool.path, "logs"))
    done = spoolq("doctor", "--repair")
    assert done.out.splitlines()[0] == "repaired  missing  logs"
    assert f"1 repaired; all is well with {spool.path}" in done.out
    assert spoolq("doctor", "--repair").out.startswith("all is well")


def test_json_is_one_document_with_every_finding_whole(spoolq, spool):
    assert json.loads(spoolq("doctor", "--json").out)["findings"] == []
    for number in range(7):
        given.write(spool, "dead", f"x{number}.json", "no job")
    shutil.rmtree(os.path.join(spool.path, "logs"))
    found = json.loads(spoolq("doctor", "--json", code=4).out)
    assert set(found) == {"spool", "ok", "findings", "facts"}
    assert found["ok"] is False
    assert all(set(finding) == KEYS for finding in found["findings"])
    assert [f["code"] for f in found["findings"]] == ["missing"] + ["unparseable"] * 7
    repaired = json.loads(spoolq("doctor", "--json", "--repair").out)
    assert repaired["ok"] is True
    assert repaired["findings"][0]["repaired"] is True


def test_many_findings_of_one_kind_are_counted(spoolq, spool):
    for number in range(12):
        given.write(spool, "dead", f"x{number}.json", "no job")
    out = spoolq("doctor").out
    assert out.count("unparseable") == 5
    assert "and 7 more of these" in out


def test_names_cannot_move_the_cursor_and_words_fit_80_columns(spoolq, spool):
    given.write(spool, "dead", "x\x1b[2J\n.json", '{"command": "true", "\x1b[2J": 1')
    given.write(spool, "processing", "stray\x07.json", "no job")
    out = spoolq("doctor", code=4).out
    assert all(char == "\n" or char.isprintable() for char in out)
    words = [line for line in out.splitlines() if "fix:" not in line and spool.path not in line]
    assert max(map(len, words)) < 80


def test_colour_comes_only_when_it_is_wanted(spoolq, spool):
    assert "\x1b" not in spoolq("doctor").out
    assert "\x1b[32mall is well\x1b[0m" in spoolq("--color", "always", "doctor").out


def test_where_there_is_no_spool_it_is_an_ordinary_error(spoolq, tmp_path):
    done = spoolq("doctor", "--repair", code=1, spool_path=tmp_path / "nowhere")
    assert "there is no spool at" in done.err
    assert not (tmp_path / "nowhere").exists()

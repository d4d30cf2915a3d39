"""The rules of the fields, and that docs/job.schema.json says the same."""

import subprocess
import sys

import pytest

from spoolq import fields, platform
from spoolq.errors import InvalidJob
from spoolq.fields import FIELDS
from tests.conftest import REPOSITORY

SCHEMA = REPOSITORY / "docs" / "job.schema.json"


def fault(**given):
    with pytest.raises(InvalidJob) as caught:
        fields.check({"command": "true", **given})
    return caught.value


@pytest.mark.parametrize(
    "given",
    [
        {"command": "make report"},
        {"command": ["make", "report", ""]},
        {"command": "\n true"},
        {"id": "nightly-42"},
        {"priority": 0},
        {"priority": 9.0},
        {"run_at": "2026-11-24T18:00:00+01:00"},
        {"run_at": 0},
        {"run_at": 1795543606.5},
        {"max_retries": 0},
        {"backoff_base": 0.5},
        {"timeout": 0.001},
        {"cwd": "/tmp"},
        {"env": {}},
        {"env": {"PATH": "", "ü": "x\ny"}},
        {"name": "n" * 256},
        {"needs": {"gpu": 1}},
        {"needs": {"a" * 64: 0.5, "mem.GB": 1e15}},
        {"tags": []},
        {"tags": ["a"] * 64},
        {"created_at": "2026-11-24T02:06:46.123456Z"},
        {"history": []},
        {"history": [{}, {"attempt": 1, "exit_code": -1, "anything": None}]},
        {"a field of tomorrow": [None]},
    ],
)
def test_what_the_format_allows_passes(given):
    fields.check({"command": "true", **given})


@pytest.mark.parametrize(
    ("given", "field"),
    [
        ({"command": ""}, "command"),
        ({"command": " \n\t"}, "command"),
        ({"command": []}, "command"),
        ({"command": [""]}, "command[0]"),
        ({"command": ["a", 3]}, "command[1]"),
        ({"command": ["a", None]}, "command[1]"),
        ({"command": ["a", "b\0"]}, "command[1]"),
        ({"command": "a\0b"}, "command"),
        ({"command": None}, "command"),
        ({"command": True}, "command"),
        ({"command": {"run": "x"}}, "command"),
        ({"command": ("a", "b")}, "command"),
        ({"id": ""}, "id"),
        ({"id": "../x"}, "id"),
        ({"id": "last"}, "id"),
        ({"id": 42}, "id"),
        ({"id": "x" * 65}, "id"),
        ({"priority": True}, "priority"),
        ({"priority": "5"}, "priority"),
        ({"priority": 5.5}, "priority"),
        ({"priority": 10}, "priority"),
        ({"priority": -1}, "priority"),
        ({"priority": float("nan")}, "priority"),
        ({"priority": float("inf")}, "priority"),
        ({"priority": None}, "priority"),
        ({"run_at": "tomorrow"}, "run_at"),
        ({"run_at": "2026-11-24T18:00:00"}, "run_at"),
        ({"run_at": -1}, "run_at"),
        ({"run_at": True}, "run_at"),
        ({"run_at": None}, "run_at"),
        ({"run_at": 1e300}, "run_at"),
        ({"run_at": float("nan")}, "run_at"),
        ({"max_retries": -1}, "max_retries"),
        ({"max_retries": 1e6}, "max_retries"),
        ({"backoff_base": -0.1}, "backoff_base"),
        ({"backoff_base": False}, "backoff_base"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": None}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"cwd": ""}, "cwd"),
        ({"cwd": "a\0"}, "cwd"),
        ({"cwd": 3}, "cwd"),
        ({"env": []}, "env"),
        ({"env": {"": "x"}}, "env."),
        ({"env": {"A=B": "x"}}, "env.A=B"),
        ({"env": {"A": 3}}, "env.A"),
        ({"env": {7: "x"}}, "env.7"),
        ({"env": {"A": "x\0"}}, "env.A"),
        ({"name": "n" * 257}, "name"),
        ({"needs": {}}, "needs"),
        ({"needs": ["gpu"]}, "needs"),
        ({"needs": {"g p u": 1}}, "needs.g p u"),
        ({"needs": {"": 1}}, "needs."),
        ({"needs": {"gpu": 0}}, "needs.gpu"),
        ({"needs": {"gpu": True}}, "needs.gpu"),
        ({"needs": {"gpu": "1"}}, "needs.gpu"),
        ({"needs": {str(n): 1 for n in range(17)}}, "needs"),
        ({"tags": "a"}, "tags"),
        ({"tags": [""]}, "tags[0]"),
        ({"tags": ["a"] * 65}, "tags"),
        ({"tags": ["a", "b" * 65]}, "tags[1]"),
        ({"created_at": 0}, "created_at"),
        ({"created_at": "yesterday"}, "created_at"),
        ({"history": {}}, "history"),
        ({"history": [3]}, "history[0]"),
        ({"history": [{"attempt": True}]}, "history[0].attempt"),
        ({"history": [{"exit_code": 1.5}]}, "history[0].exit_code"),
        ({"history": [{"signal": float("inf")}]}, "history[0].signal"),
        ({"history": [{"error": None}]}, "history[0].error"),
        ({"history": [{"output": {}}]}, "history[0].output"),
        ({"history": [{}, {"started_at": "x"}]}, "history[1].started_at"),
        ({"history": [{"finished_at": None}]}, "history[0].finished_at"),
    ],
)
def test_what_the_format_forbids_is_refused_by_its_field(given, field):
    assert fault(**given).field == field


def test_true_is_no_number_in_any_field():
    for key in ("priority", "run_at", "max_retries", "backoff_base", "timeout"):
        assert "not true" in fault(**{key: True}).reason


def test_a_job_without_a_command_is_refused_and_a_likely_slip_is_named():
    with pytest.raises(InvalidJob, match="needs a 'command'") as caught:
        fields.check({"comand": "true"})
    assert "'comand'" in caught.value.hint


def test_an_argument_that_exec_refuses_is_refused_before():
    longest = "x" * platform.MAX_ARGUMENT
    fields.check({"command": ["echo", longest]})
    assert fault(command=["echo", longest + "x"]).field == "command[1]"
    assert "put it into a script" in fault(command=longest + "x").reason


def test_an_argument_is_measured_in_bytes():
    half = "é" * (platform.MAX_ARGUMENT // 2)
    fields.check({"command": half})
    fault(command=half + "é")


def test_arguments_that_exec_refuses_together_are_refused():
    words = ["echo"] + ["x" * 100_000] * (platform.MAX_ARGUMENTS // 100_000)
    fields.check({"command": words[:-2]})
    assert "longer than this system can run" in fault(command=[*words, "x" * 100_000]).reason


@pytest.mark.skipif(not platform.LINUX, reason="the limit that is asked for is Linux's")
def test_the_longest_argument_that_passes_is_one_that_exec_takes():
    longest = "x" * platform.MAX_ARGUMENT
    assert subprocess.run(["true", longest]).returncode == 0
    with pytest.raises(OSError):
        subprocess.run(["true", longest + "x"])


def test_a_variable_that_exec_refuses_is_refused_before():
    room = platform.MAX_ARGUMENT - len("A=")
    fields.check({"env": {"A": "x" * room}, "command": "true"})
    assert fault(env={"A": "x" * (room + 1)}).field == "env.A"


def test_the_schema_is_the_table():
    assert set(fields.schema()["properties"]) == set(FIELDS)
    assert all(field.meaning for field in FIELDS.values())


def test_the_published_schema_is_what_the_code_says():
    make = REPOSITORY / "docs" / "make_schema.py"
    told = subprocess.run(
        [
            sys.executable,
            "-c",
            f"import runpy; print(runpy.run_path({str(make)!r})['text'](), end='')",
        ],
        stdout=subprocess.PIPE,
        check=True,
        env={"PYTHONIOENCODING": "utf-8"},
    ).stdout
    assert SCHEMA.read_bytes() == told, "run: python docs/make_schema.py"

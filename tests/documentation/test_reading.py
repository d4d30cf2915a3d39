"""The reader of the pages notices what it should: a page that lies does not pass."""

import shutil
import sys

import pytest

from tests.documentation import blocks
from tests.documentation.__main__ import written
from tests.documentation.compare import Bindings, plain
from tests.documentation.page import Reader, Went, left, place

on_linux = pytest.mark.skipif(
    not sys.platform.startswith("linux") or not shutil.which("bash"), reason="wants Linux and bash"
)


def faults(text):
    """Return what is wrong with a page."""
    found = []
    with place() as made:
        reader = Reader(made)
        try:
            for block in blocks.read("page.md", text)[0]:
                if block.is_run:
                    found += [went.fault for went in reader.block(block)]
        finally:
            reader.close()
        found += left(made)
    return [fault for fault in found if fault]


@on_linux
@pytest.mark.parametrize(
    "page, fault",
    [
        ("```console\n$ echo one\ntwo\n```", "prints something else"),
        ("```console\n$ echo one\n```", "prints something else"),
        ("```console\n$ true\none\n```", "prints something else"),
        ("```console\n$ echo one; false\none\n```", "exits 1"),
        ("```sh\nspoolq nothing\n```", "exits 2"),
        ("```python\nraise SystemExit(3)\n```", "exits 3"),
        ("<!-- exits: 1 -->\n```sh\ntrue\n```", "exits 0"),
        (
            "```sh\nspoolq init\n```\n```console\n$ spoolq list --state dead\n"
            + "k3v9x2a7m4q1c\n```",
            "says nothing of k3v9x2a7m4q1c",
        ),
        ("<!-- crontab -->\n```text\n* * * * * echo mailed\n```", "cron would mail it"),
        ("<!-- crontab -->\n```text\n* * * * * spoolq status\n```", "exits 127"),
        ("```sh\nspoolq enqueue 'exit 9'\n```", "exit code 9: exit 9"),
    ],
    ids=lambda value: value[:40],
)
def test_a_page_that_does_not_go_as_it_says_is_noticed(page, fault, monkeypatch):
    monkeypatch.setattr("tests.documentation.page.PATIENCE", 1.0)
    found = faults(page)
    assert len(found) == 1 and found[0].endswith(fault), found


@on_linux
def test_a_page_goes_on_with_the_ids_that_its_commands_have_printed():
    page = """
```console
$ spoolq enqueue 'echo hello'
…
k3v9x2a7m4q1c
…
$ spoolq worker start --drain
2026-11-24 04:28:36,644 INFO    worker web1-16455-mtnkx5 on …: 1 at a time
…
$ spoolq logs k3v9
hello
```
"""
    assert faults(page) == []


def test_what_differs_from_run_to_run_may_differ_and_nothing_else():
    bindings = Bindings()
    told = ["2026-11-24 04:28:36,644 INFO    k3v9x2a7m4q1c completed: exit 0 after 0.00187 s"]
    printed = "2031-01-02 01:02:03,999 INFO k000000000001 completed: exit {} after 12 s\n"
    assert bindings.fault("x", told, printed.format(1)) is not None
    assert bindings.real == {}
    assert bindings.fault("x", told, printed.format(0)) is None
    assert bindings.command("spoolq show k3v9") == "spoolq show k000000000001"
    assert bindings.fault("x", ["k3v9x2a7m4q1c"], "k000000000002\n") is not None


def test_a_worker_that_is_met_brings_its_pid_along():
    bindings = Bindings()
    told = ["WORKER             PID", "web1-16202-zc8jce  16202"]
    assert bindings.fault("x", told, "WORKER  PID\nvm-7-abc234  7\n") is None
    assert bindings.command("kill -9 16202") == "kill -9 7"


def test_what_a_terminal_overwrites_is_not_shown():
    assert plain("1 of 2\r2 of 2\r\n\x1b[1mdone\x1b[0m\r\n") == "2 of 2\ndone\n"


@pytest.mark.parametrize(
    "page",
    [
        "```\nls\n```",
        "```bash\nls\n```",
        "```sh\nls\n",
        "<!-- not run: why -->\ntext\n```sh\nls\n```",
    ],
)
def test_a_block_that_could_escape_the_test_is_refused(page):
    assert len(blocks.read("page.md", page)[1]) == 1


def test_an_id_that_happens_to_be_all_letters_is_one():
    bindings = Bindings()
    assert bindings.fault("x", ["k3v9x2a7m4q1c"], "xcshggnrvjyfn\n") is None
    assert bindings.command("spoolq logs k3v9") == "spoolq logs xcshggnrvjyfn"


def test_a_page_is_given_what_came_where_that_differs_by_more_than_it_must():
    page = "```console\n$ a\n2026-11-24 04:28:36 one\n$ b\n{}\n$ c\n…\n```\n"
    (block,) = blocks.read("page.md", page.format("two"))[0]
    came = ["2031-01-01 01:01:01 one\n", "three\n\nfour\n", "more\n"]
    went = [Went(typed, printed, "") for typed, printed in zip(block.typed(), came)]
    assert written(page.format("two"), went) == page.format("three\n\nfour")

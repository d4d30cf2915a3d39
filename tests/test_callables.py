"""What a call may be: functions by their names, and arguments that JSON brings back."""

import collections
import enum
import functools
import json
import math
import os.path
import textwrap

import pytest

from spoolq import callables
from spoolq.errors import InvalidJob
from spoolq.job import Job


class Colour(enum.IntEnum):
    RED = 1


class Text(str):
    pass


def outer():
    def inner():
        pass

    return inner


class Home:
    def method(self):
        pass

    @classmethod
    def made(cls):
        pass

    @staticmethod
    def plain():
        pass


replaced = textwrap.dedent


def dedent():
    """Not what `textwrap.dedent` names."""


dedent.__module__ = "textwrap"


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -(2**63) + 1,
        2**63 - 1,
        0.5,
        -0.0,
        "",
        "ü\0\U0001f600",
        [],
        {},
        [[{"a": [1]}]],
    ],
)
def test_what_json_brings_back_may_be_an_argument(value):
    callables.check({"target": "a:b", "args": [value], "kwargs": {"x": value}})
    assert json.loads(json.dumps(value)) == value


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ((1, 2), "a tuple would not come back"),
        ({1, 2}, "a set would not come back"),
        (b"x", "a bytes would not come back"),
        (Colour.RED, "a Colour would not come back"),
        (Text("x"), "a Text would not come back"),
        (collections.OrderedDict(a=1), "an OrderedDict would not come back"),
        (object(), "an object would not come back"),
        (math.nan, "nan is no number"),
        (-math.inf, "-inf is no number"),
        (2**63, "larger than 63 bits"),
        ({1: "x"}, "the key 1 is no text"),
        ({None: "x"}, "the key None is no text"),
        ("\ud800", "half a surrogate pair"),
        ({"\ud800": 1}, "half a surrogate pair"),
        (functools.reduce(lambda inner, _: [inner], range(40), []), "nested more than 32 deep"),
    ],
)
def test_what_would_come_back_as_something_else_is_refused(value, words):
    with pytest.raises(InvalidJob, match=words) as refused:
        callables.check({"target": "a:b", "args": [0, {"in": value}]})
    assert refused.value.field.startswith("call.args[1].in")


@pytest.mark.parametrize("target", ["a:b", "a.b.c:d", "_a.B9:C.d", "shop.mail:send"])
def test_a_function_is_named_by_module_and_name(target):
    callables.check({"target": target})


@pytest.mark.parametrize(
    "call",
    [
        None,
        [],
        {},
        *({"target": text} for text in ["", "a", "a.b", ":b", "a:", "a:b:c", "a b:c", "../a:b"]),
        *({"target": text} for text in ["a:b\n", "a:b()", "a-b:c", "9a:b", "a:" + "b" * 512, 3]),
        {"target": "a:b", "args": {}},
        {"target": "a:b", "args": None},
        {"target": "a:b", "kwargs": []},
    ],
)
def test_what_is_no_call_is_refused(call):
    with pytest.raises(InvalidJob) as refused:
        callables.check(call)
    assert refused.value.field.startswith("call")


@pytest.mark.parametrize(
    ("function", "name"),
    [
        (os.path.join, "posixpath:join"),
        (Home.made, f"{__name__}:Home.made"),
        (Home.plain, f"{__name__}:Home.plain"),
        (outer, f"{__name__}:outer"),
        ("any.thing:at_all", "any.thing:at_all"),
    ],
)
def test_a_function_is_found_by_its_name(function, name):
    assert callables.name_of(function) == name


@pytest.mark.parametrize(
    ("function", "words"),
    [
        (lambda: 1, "cannot be found by its name"),
        (outer(), "cannot be found by its name"),
        (Home().method, "is something else"),
        (dedent, "textwrap:dedent is something else"),
        (functools.partial(outer), "a partial has no name"),
        (3, "an int has no name"),
    ],
)
def test_a_function_that_no_worker_could_find_is_refused(function, words):
    with pytest.raises(InvalidJob, match=words):
        callables.name_of(function)


def test_a_function_of_the_program_itself_is_refused(monkeypatch):
    monkeypatch.setattr(outer, "__module__", "__main__")
    with pytest.raises(InvalidJob, match="which a worker cannot import") as refused:
        callables.name_of(outer)
    assert refused.value.hint == "move it into a module"


def test_a_call_is_shown_as_python_has_it():
    job = Job(
        {
            "command": ["/usr/bin/python3", "-m", "spoolq.call"],
            "call": {"target": "shop.mail:send", "args": ["a@b", [1]], "kwargs": {"copies": 2}},
        }
    )
    assert job.typed == job.line == "shop.mail:send('a@b', [1], copies=2)"


@pytest.mark.parametrize("command", ["rm -rf x", ["rm", "x"], ["python", "-m", "spoolq.call", "x"]])
def test_a_command_that_makes_no_call_is_shown_whatever_call_stands_beside_it(command):
    job = Job({"command": command, "call": {"target": "nice:and_harmless"}})
    assert job.call is None
    assert "nice" not in job.typed + job.line

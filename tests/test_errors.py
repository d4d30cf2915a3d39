"""The tree of errors: what a caller may rely on when it catches one."""

import inspect

import pytest

from spoolq import errors
from spoolq.errors import InvalidJob, OutcomeUnknown, SpoolqError, spell

CLASSES = [
    cls
    for _, cls in inspect.getmembers(errors, inspect.isclass)
    if issubclass(cls, Exception) and cls.__module__ == errors.__name__
]


def test_every_error_is_a_spoolq_error():
    assert len(CLASSES) > 10
    assert all(issubclass(cls, SpoolqError) for cls in CLASSES)


def test_every_error_stands_in_the_tree_that_the_docstring_draws():
    drawn = {}
    ancestors = []
    for line in errors.__doc__.splitlines():
        head, separator, _ = line.partition("-- ")
        name = (line.partition("-- ")[2] if separator else line.strip()).split(" ")[0]
        if name not in [cls.__name__ for cls in CLASSES]:
            continue
        depth = (len(head) - 1) // 4 if separator else 0
        ancestors = [*ancestors[:depth], name]
        drawn[name] = ancestors[-2] if depth else "Exception"
    assert drawn == {cls.__name__: cls.__bases__[0].__name__ for cls in CLASSES}


def test_the_text_of_an_error_is_its_message_and_the_hint_stands_beside_it():
    error = SpoolqError("it broke", hint="mend it", where="/spool")
    assert (str(error), error.hint, error.where) == ("it broke", "mend it", "/spool")
    assert SpoolqError("it broke").hint is None


def test_an_invalid_job_names_line_column_and_field():
    error = InvalidJob("is empty", path=("command", 2), line=3, column=7)
    assert str(error) == "line 3, column 7, field 'command[2]': is empty"
    assert (error.reason, error.field, error.line, error.column) == ("is empty", "command[2]", 3, 7)


def test_an_invalid_job_without_a_place_is_its_message_alone():
    error = InvalidJob("larger than 1024 KiB")
    assert str(error) == error.reason == "larger than 1024 KiB"
    assert error.field is error.line is error.column is error.index is None


def test_an_unknown_outcome_names_the_jobs_it_is_about():
    error = OutcomeUnknown("the sync failed", ["a", "b"], hint="look")
    assert error.ids == ("a", "b")
    assert error.hint == "look"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ((), ""),
        (("command",), "command"),
        (("command", 2), "command[2]"),
        (("env", "PATH"), "env.PATH"),
        (("history", 0, "started_at"), "history[0].started_at"),
    ],
)
def test_a_path_is_spelt_as_people_do(path, text):
    assert spell(path) == text

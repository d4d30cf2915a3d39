"""Strict JSON: what it refuses, where it says the fault is, and that it never takes long."""

import json
import time

import pytest

from spoolq import strictjson
from spoolq.errors import InvalidJob


def fault(data):
    with pytest.raises(InvalidJob) as caught:
        strictjson.parse_object(data)
    return caught.value


def test_an_object_is_read_as_json_reads_it():
    data = b'{"a": [1, -2.5e3, true, null, "\\u00e9\\ud83d\\ude00"], "b": {}}\n'
    text, value = strictjson.parse_object(data)
    assert value == json.loads(data)
    assert text == data.decode()


@pytest.mark.parametrize(
    ("data", "line", "column", "field", "reason"),
    [
        (b"", 1, 1, None, "not JSON"),
        (b" \n ", 2, 2, None, "not JSON"),
        (b"\xef\xbb\xbf{}", 1, 1, None, "byte order mark"),
        ('{"a": 1}'.encode("utf-16"), 1, 1, None, "not UTF-8"),
        (b'{\n"a": "\xc3\xa9\xff"}', 2, 8, None, "not UTF-8"),
        (b'{"a": 1', 1, 8, None, "not JSON"),
        (b'{"a": 1}}', 1, 9, None, "not JSON"),
        (b"{'a': 1}", 1, 2, None, "not JSON"),
        (b'{"a": 1,}', 1, 9, None, "not JSON"),
        (b'{"a": 01}', 1, 8, None, "not JSON"),
        (b'{"a": "\t"}', 1, 8, None, "not JSON"),
        (b'{\n  "a": NaN\n}', 2, 8, "a", "not a number that fits"),
        (b'{"a": [0, -Infinity]}', 1, 11, "a[1]", "not a number that fits"),
        (b'{"a": 1e999}', 1, 7, "a", "not a number that fits"),
        (b'{"a": 9223372036854775808}', 1, 7, "a", "not a number that fits"),
        (b'{"a": {"b": -99999999999999999999}}', 1, 13, "a.b", "not a number that fits"),
        (b'{"a": 1,\n "a": 2}', 2, 2, "a", "this key stands twice"),
        (b'{"a": 1, "\\u0061": 2}', 1, 10, "a", "this key stands twice"),
        (b'{"x": [{"a": 1, "a": 1}]}', 1, 17, "x[0].a", "this key stands twice"),
        (b'{"a": "\\ud800"}', 1, 7, "a", "half a surrogate pair"),
        (b'{"a": "\\udcff"}', 1, 7, "a", "half a surrogate pair"),
        (b'{"a": ["", "\\udc00\\ud800"]}', 1, 12, "a[1]", "half a surrogate pair"),
        (b'{"\\udfff": 1}', 1, 2, "\udfff", "half a surrogate pair"),
        (b"[]", 1, 1, None, "a job is a JSON object"),
        (b'"text"', 1, 1, None, "a job is a JSON object"),
        (b"null", 1, 1, None, "a job is a JSON object"),
    ],
)
def test_a_fault_has_its_place(data, line, column, field, reason):
    error = fault(data)
    assert reason in error.reason
    assert (error.line, error.column, error.field) == (line, column, field)


def test_a_five_thousand_digit_integer_is_refused():
    assert fault(b'{"a": ' + b"9" * 5000 + b"}").field == "a"


def test_the_largest_numbers_are_read():
    data = b'{"a": 9223372036854775807, "b": -9223372036854775807, "c": 1e308}'
    assert strictjson.parse_object(data)[1] == json.loads(data)


def test_a_hundred_thousand_levels_are_refused_where_the_limit_is():
    error = fault(b"[" * 100_000)
    assert "nested more than 64 deep" in error.reason
    assert (error.line, error.column) == (1, strictjson.MAX_DEPTH + 1)


def test_depth_is_bounded_below_what_python_can_nest():
    def nested(levels):
        return b'{"a": ' + b"[" * levels + b"]" * levels + b"}"

    assert strictjson.parse_object(nested(strictjson.MAX_DEPTH - 1))
    assert "nested" in fault(nested(strictjson.MAX_DEPTH)).reason


def test_brackets_in_texts_do_not_count_as_depth():
    data = json.dumps({"a": "[{" * 1000, "b": [[]] * 100}).encode()
    assert strictjson.parse_object(data)[1] == json.loads(data)


def test_an_escaped_backslash_before_a_u_is_no_surrogate():
    assert strictjson.parse_object(b'{"a": "\\\\ud800"}')[1] == {"a": "\\ud800"}


SIZE = 1024 * 1024


@pytest.mark.parametrize(
    "data",
    [
        b"[" + b"[]," * 70 + b'"' + b'\\"' * (SIZE // 2),
        b"[" + b"[]," * 70 + b" " * SIZE + b"\x0b",
        b'{"a": NaN, "b": "' + b'\\"' * (SIZE // 2),
        b'{"a": NaN' + b" " * SIZE + b"\x0b",
        b'{"a": ' * (SIZE // 6),
        b'{"a": "' + b"\\ud800" * (SIZE // 6) + b'"}',
        b'{"a": ' + b"9" * SIZE + b"}",
        b'{"a": [' + b"1," * (SIZE // 8) + b"NaN]}",
        b'{"a": [' + b'"\\ud83d\\ude00",' * (SIZE // 15) + b'"\\ud800"]}',
    ],
    ids=[
        "unterminated text after brackets",
        "spaces after brackets",
        "unterminated text after a fault",
        "spaces after a fault",
        "deep",
        "surrogates",
        "digits",
        "a late fault",
        "a late surrogate",
    ],
)
def test_a_hostile_text_of_the_largest_size_is_refused_without_delay(data):
    began = time.process_time()
    fault(data)
    # What tried again from every character would take hours.
    assert time.process_time() - began < 20


def test_one_field_a_line_and_one_run_a_line():
    fields = {"command": ["a", "b"], "history": [{"attempt": 1}, {"attempt": 2}]}
    assert strictjson.dump_object(fields) == (
        b'{\n  "command": ["a", "b"],\n  "history": [\n    {"attempt": 1},\n'
        b'    {"attempt": 2}\n  ]\n}\n'
    )


def test_an_empty_history_is_written_on_its_line():
    assert strictjson.dump_object({"history": []}) == b'{\n  "history": []\n}\n'


def test_letters_are_written_as_they_are():
    assert "ü 漢".encode() in strictjson.dump_object({"name": "ü 漢"})


@pytest.mark.parametrize("text", ["\x1b[2J", "\u202e", "\u2028", "\x9b", "\x7f", "a\nb"])
def test_what_a_terminal_would_act_on_is_written_as_an_escape(text):
    data = strictjson.dump_object({"name": text})
    assert data.decode("ascii").replace("\n", "").isprintable()
    assert strictjson.parse_object(data)[1] == {"name": text}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "\ud800", "\udcff", "\x1b\udcff"])
def test_what_strict_json_cannot_say_is_not_written(value):
    with pytest.raises(ValueError):
        strictjson.dump_object({"name": value})


TEXT = '{\n  "command": ["a", "b\\"]["],\n  "env": {"PATH": "x",\n    "HOME": 3}\n}\n'


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ((), (1, 1)),
        (("command",), (2, 14)),
        (("command", 0), (2, 15)),
        (("command", 1), (2, 20)),
        (("env",), (3, 10)),
        (("env", "PATH"), (3, 19)),
        (("env", "HOME"), (4, 13)),
        (("env", "LANG"), (3, 10)),
        (("nothing", 3), (1, 1)),
    ],
)
def test_the_place_of_a_value_or_of_what_holds_it(path, expected):
    assert strictjson.place(TEXT, path) == expected

"""Strict JSON, jobs and the schema, for every text and object that Hypothesis can think of."""

import json
import math
import re

import jsonschema
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from spoolq import api, fields, instants, job, strictjson
from spoolq.errors import InvalidJob
from spoolq.fields import FIELDS
from spoolq.job import Job, Policy

LARGEST = strictjson.MAX_INTEGER

characters = st.characters(blacklist_categories=("Cs",))
strings = st.text(characters, max_size=12)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-LARGEST, LARGEST)
    | st.floats(allow_nan=False, allow_infinity=False)
    | strings
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(strings, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(strings, values, max_size=6)

# Texts that are nearly JSON: an object as it is written, with some of it replaced.
crumbs = st.sampled_from(
    [
        "",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        '"',
        "\\",
        "\\u00",
        "\\ud800",
        "\\udc00",
        "NaN",
        "-",
        "1e999",
    ]
    + ["Infinity", "9" * 30, "0", "01", "\n", "\t", "\x00", "\ufeff", "\u2028", "'", "true", "//"]
    + ['"a":1,', '"a":2', "[" * 70, "[]," * 70]
)


@st.composite
def near_json(draw):
    text = json.dumps(draw(objects), ensure_ascii=draw(st.booleans()))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(text)))
        text = text[:at] + draw(crumbs) + text[at + draw(st.integers(0, 3)) :]
    return text.encode("utf-8")


def read(data):
    """What strict JSON makes of it, or None where it is refused, with a place."""
    try:
        text, value = strictjson.parse_object(data)
    except InvalidJob as error:
        assert (error.line is None) == (error.column is None)
        assert error.line is None or (error.line >= 1 and error.column >= 1)
        return None
    assert text.encode("utf-8") == data
    return value


@given(st.binary(max_size=200))
def test_arbitrary_bytes_are_read_or_refused_and_nothing_else(data):
    value = read(data)
    assert value is None or value == json.loads(data.decode("utf-8"))


@given(near_json())
@settings(max_examples=100)
def test_what_is_accepted_is_what_the_standard_library_reads(data):
    value = read(data)
    if value is not None:
        assert isinstance(value, dict)
        assert json.loads(data.decode("utf-8")) == value
        strictjson.dump_object(value)  # so it holds nothing that cannot be written


@given(near_json())
@settings(max_examples=100)
def test_what_the_standard_library_reads_is_refused_for_a_rule_of_ours_alone(data):
    try:
        value = json.loads(data.decode("utf-8"))
    except ValueError:
        assert read(data) is None
        return
    if read(data) is None:
        rules = "stands twice|not a number that fits|surrogate|nested|object: {|byte order mark"
        try:
            strictjson.parse_object(data)
        except InvalidJob as error:
            assert re.search(rules, error.reason)
            assert not isinstance(value, dict) or "object: {" not in error.reason


@given(objects)
def test_an_object_is_read_as_it_was_written(value):
    data = strictjson.dump_object(value)
    again = read(data)
    assert again == value
    assert list(again) == list(value)
    assert strictjson.dump_object(again) == data
    assert all(char.isprintable() or char == "\n" for char in data.decode("utf-8"))


@given(st.dictionaries(st.text(max_size=5), st.text(max_size=5) | st.floats() | st.integers()))
def test_what_is_written_can_be_read_or_is_not_written(value):
    assume(all(not isinstance(one, int) or abs(one) <= LARGEST for one in value.values()))
    try:
        data = strictjson.dump_object(value)
    except ValueError:
        return
    assert read(data) == value


@given(objects, st.data())
def test_every_value_has_a_place_where_it_stands(value, data):
    text = strictjson.dump_object(value).decode("utf-8")
    path, here = [], value
    while isinstance(here, (dict, list)) and here and data.draw(st.booleans()):
        step = data.draw(
            st.sampled_from(sorted(here) if isinstance(here, dict) else range(len(here)))
        )
        path.append(step)
        here = here[step]
    line, column = strictjson.place(text, tuple(path))
    rest = "\n".join(text.split("\n")[line - 1 :])[column - 1 :]
    assert json.JSONDecoder().raw_decode(rest)[0] == here


# --- jobs near and in the format ------------------------------------------------------------------

odd = st.sampled_from(
    [None, True, False, 0, 1, -1, 5, 9, 10, 1.0, 5.5, 0.001, 1e300, 100_000, 253402300799]
    + ["", " ", "\n", "\0", "a\0b", "last", "lastly", "-rf", "a.b", "A_b-9", "x" * 64, "x" * 65]
    + ["2026-11-24T18:00:00+01:00", "2026-11-24T18:00:00", "2026-02-30T00:00:00Z", "tomorrow"]
    + ["0001-01-01T00:00:00+00:01", "2016-12-31T23:59:60Z", "x" * 256, "x" * 257, "\x85", "\u3000"]
    + [[], [""], ["a"], ["a", ""], ["a", 1], ["a\0"], ["a"] * 64, ["a"] * 65, {}, {"A": "b"}]
    + [{"": "x"}, {"A=": "x"}, {"A\0": "x"}, {"A": 1}, {"A": "\0"}, [{}], [1], {"A": ""}]
    + [[{"attempt": 1, "exit_code": -9}], [{"attempt": True}], [{"started_at": "x"}]]
    + [[{"signal": "9"}], [{"finished_at": "2026-11-24T18:00:00Z", "not_before": None}]]
    + [[{"attempt": 1.0}], [{"worker": 3}], [{"error": None}], [{"output": []}]]
)
near_jobs = st.fixed_dictionaries(
    {"command": st.just("true") | odd | values},
    optional={key: odd | values for key in FIELDS if key != "command"},
) | st.dictionaries(st.sampled_from([*FIELDS, "comand", "note"]), odd, max_size=3)

_checker = jsonschema.FormatChecker(formats=())


@_checker.checks("date-time", raises=ValueError)
def _is_instant(value):
    # "format" is the one word of the schema that a validator may leave to its user. RFC 3339
    # also lets a space stand for the T, as we do.
    return not isinstance(value, str) or instants.from_rfc3339(value) is not None


VALIDATOR = jsonschema.Draft202012Validator(fields.schema(), format_checker=_checker)


def allowed(given_fields):
    try:
        fields.check(given_fields)
    except InvalidJob:
        return False
    return True


def beyond_the_schema(given_fields):
    """What the schema cannot say, or this validator misreads."""
    # Python's $ also matches before a last line end; the dialect of JSON Schema has none of that.
    given_id = given_fields.get("id")
    return isinstance(given_id, str) and given_id.endswith("\n")


def test_the_schema_is_a_schema():
    jsonschema.Draft202012Validator.check_schema(fields.schema())


@given(near_jobs)
@settings(max_examples=100)
def test_the_schema_and_the_check_allow_the_same(given_fields):
    assume(not beyond_the_schema(given_fields))
    faults = [error.message for error in VALIDATOR.iter_errors(given_fields)]
    assert allowed(given_fields) == (not faults), faults


@given(st.sampled_from(sorted(FIELDS)), odd)
@settings(max_examples=100)
def test_they_agree_on_every_field_by_itself(key, value):
    given_fields = {"command": "true", key: value}
    assert allowed(given_fields) == VALIDATOR.is_valid(given_fields)


def test_a_length_in_bytes_is_more_than_the_schema_can_say():
    given_fields = {"command": "é" * 100_000}
    assert VALIDATOR.is_valid(given_fields)
    assert not allowed(given_fields)


@given(near_jobs)
def test_a_job_is_read_as_it_was_written_or_never_was_one(given_fields):
    try:
        made = Job(given_fields)
    except InvalidJob as error:
        assert error.field is not None or "command" not in given_fields
        return
    data = made.to_bytes()
    assert Job.from_bytes(data).fields == made.fields
    assert Job.from_bytes(data).to_bytes() == data


@given(near_json())
def test_arbitrary_files_are_jobs_or_invalid_jobs(data):
    try:
        made = Job.from_bytes(data)
    except InvalidJob:
        return
    assert Job.from_bytes(made.to_bytes()).fields == made.fields


python_values = st.recursive(
    scalars | st.integers() | st.floats() | st.text(max_size=3) | st.binary(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.tuples(inner)
        | st.dictionaries(
            st.text(max_size=3) | st.integers(0, 3) | st.booleans(), inner, max_size=3
        )
    ),
    max_leaves=8,
)


python_env = st.dictionaries(
    st.text(max_size=3) | st.binary(max_size=2) | st.integers(0, 3), st.text(max_size=3), max_size=2
)
python_fields = st.sampled_from(sorted(FIELDS.keys() - {"command"}))


@given(
    st.dictionaries(strings | st.integers(0, 3), python_values, max_size=4)
    | st.dictionaries(python_fields, python_values | odd, max_size=3)
    | st.fixed_dictionaries({"env": python_env}, optional={"tags": st.lists(st.text(max_size=2))})
)
@example({1: 2})
@example({"env": {1: "x"}})
@example({"env": {b"A": "x"}})
@example({"history": [{"note": 10**30}]})
@example({"x": 10**30})
@example({"x": {1: 1, "1": 2}})
@example({"x": json.loads("[" * 100 + "]" * 100)})
def test_what_python_enqueues_can_be_read_or_is_refused(given_fields):
    try:
        _, _, data = api._prepare({**given_fields, "command": "true"}, "")
    except InvalidJob:
        return
    assert strictjson.parse_object(data)[1]["command"] == "true"
    assert Job.from_bytes(data).to_bytes() == data


def test_what_is_nested_without_end_is_refused():
    endless = {"command": "true"}
    endless["x"] = {}
    here = endless["x"]
    for _ in range(100_000):
        here["x"] = {}
        here = here["x"]
    try:
        api._prepare(endless, "")
    except InvalidJob as error:
        assert "cannot be written" in error.reason
    finally:
        while endless:  # from the outside in: freeing it at once would recurse as deep
            endless = endless.pop("x", None)


# --- what follows a run ---------------------------------------------------------------------------

policies = st.builds(
    Policy,
    st.integers(0, 100_000),
    st.floats(0, 86_400) | st.integers(0, 86_400),
    st.floats(0, 315_360_000),
    st.floats(0, 10),
)
ends = st.fixed_dictionaries(
    {
        "attempt": st.integers(0, 999_999),
        "started_at": st.just("2026-11-24T02:06:46.123456Z"),
        "finished_at": st.datetimes(timezones=st.just(instants._EPOCH.tzinfo)).map(
            instants.to_rfc3339
        ),
    },
    optional={
        "exit_code": st.integers(0, 255),
        "signal": st.integers(1, 64),
        "error": st.sampled_from([job.CANCELLED, job.INTERRUPTED, job.LOST, "timed out"]),
    },
)


@given(st.integers(1, 999_999), policies, st.floats(0, 1))
def test_a_wait_is_never_negative_and_never_longer_than_the_bound(attempt, policy, chance):
    wait = job.backoff(attempt, policy, chance)
    assert 0 <= wait <= policy.backoff_max
    assert math.isfinite(wait)


@given(ends, policies, st.floats(0, 1))
def test_every_end_has_one_next_place(entry, policy, chance):
    attempt = entry["attempt"]
    state, at, attempts = job.next_place(entry, attempt, policy, chance)
    assert state in ("pending", "failed", "completed", "dead")
    assert attempts == attempt or (state == "pending" and attempts == max(attempt - 1, 0))
    if state != "pending":
        assert at >= instants.from_rfc3339(entry["finished_at"])
    assert (state == "completed") == job.succeeded(entry)
    if state == "failed":
        assert attempt <= policy.max_retries


@given(st.lists(ends, min_size=1, max_size=5))
def test_a_history_never_shrinks_and_its_last_run_stays_whole(entries):
    made = Job({"command": "true"})
    for number, entry in enumerate(entries, 1):
        made = made.with_entry(entry, instants.now())
        assert len(made.history) == number
        assert made.history[-1] == entry
        assert Job.from_bytes(made.to_bytes(), job.MAX_FILE).fields == made.fields

"""A line of an export says all of a file, and is refused where it says something else."""

import base64
import json
import os

import pytest

from spoolq import lines
from spoolq.errors import InvalidJob
from spoolq.job import MAX_FILE
from tests import given

NAME = "20261124T020646123456Z.p5.a0.k3v9x2a7m4q1c.json"
CLAIM = "20261124T020646123456Z.p5.a1.k3v9x2a7m4q1c@web1-4121-x7f3.0.json"


def line(**changes):
    said = {"state": "pending", "name": NAME, "job": {"command": "true"}, **changes}
    return json.dumps({key: value for key, value in said.items() if value is not None}).encode()


def refused(data):
    with pytest.raises(InvalidJob) as error:
        lines.read(data)
    return error.value


def of(spool, state, filename):
    return lines.of_file(spool.dir(state), state, filename)


@pytest.mark.parametrize(
    ("data", "reason", "path"),
    [
        (line(state="waiting"), "must be one of pending", ("state",)),
        (line(state=None), "must be one of pending", ("state",)),
        (line(state=["pending"]), "must be one of pending", ("state",)),
        (line(name="../../x.json"), "must be the name of a job's file", ("name",)),
        (line(name="/x.json"), "must be the name of a job's file", ("name",)),
        (line(name=".x.json"), "must be the name of a job's file", ("name",)),
        (line(name="x\0.json"), "must be the name of a job's file", ("name",)),
        (line(name="x"), "must be the name of a job's file", ("name",)),
        (line(name="x" * 300 + ".json"), "must be the name of a job's file", ("name",)),
        (line(name=7), "must be the name of a job's file", ("name",)),
        (line(name="x.json"), "must have time, priority", ("name",)),
        (line(name=CLAIM), "is no name of a job that is pending", ("name",)),
        (line(state="processing"), "is no name of a job that is processing", ("name",)),
        (line(job=None), "either a 'job' or 'data'", ()),
        (line(data="eA=="), "either a 'job' or 'data'", ()),
        (line(job=None, data="x"), "must be a file in base64", ("data",)),
        (line(job=None, data="\u00e9"), "must be a file in base64", ("data",)),
        (line(job=None, data=7), "must be a file in base64", ("data",)),
        (line(job=[]), "must be an object", ("job",)),
        (line(job={"command": ""}), "is empty", ("job", "command")),
        (line(job={"command": "true", "tags": [7]}), "a tag must be text", ("job", "tags", 0)),
        (line(priority=9), "no line of an export has this", ("priority",)),
        (b'{"command": "true"}', "no line of an export has this", ("command",)),
        (b"[]", "a job is a JSON object", ()),
    ],
)
def test_what_is_no_line_of_an_export_is_refused_with_its_place(data, reason, path):
    error = refused(data)
    assert reason in error.reason
    assert error.path == path
    if path and path[0] in json.loads(data):
        assert error.column > 1


def test_a_line_that_is_too_long_is_refused_unread():
    assert "longer than" in refused(b"x" * (lines.LONGEST + 1)).reason


def test_a_file_that_is_as_large_as_a_job_may_be_fits_a_line(spool, clock):
    given.write(spool, "dead", "large.json", b"\xff" * MAX_FILE)
    written = lines.written(of(spool, "dead", "large.json"))
    assert len(written) <= lines.LONGEST
    assert lines.read(written.rstrip(b"\n")).data == b"\xff" * MAX_FILE


def test_a_larger_one_is_not_exported(spool):
    given.write(spool, "dead", "large.json", b" " * (MAX_FILE + 1))
    with pytest.raises(InvalidJob, match="larger than"):
        of(spool, "dead", "large.json")


def test_a_job_nested_as_deep_as_a_file_may_be_fits_a_line(spool, clock):
    deep = {"command": "true", "deep": json.loads("[" * 63 + "]" * 63)}
    name = given.job(spool, "pending", given.named(clock), **deep)
    written = lines.written(of(spool, "pending", str(name)))
    assert lines.read(written).fields["deep"] == deep["deep"]
    deeper = {"command": "true", "deep": json.loads("[" * 64 + "]" * 64)}
    assert "nested more than 65 deep" in refused(line(job=deeper)).reason


def test_when_a_job_was_enqueued_is_exported_though_its_file_does_not_say_it(spool, clock):
    name = given.job(spool, "pending", given.named(clock))
    os.utime(os.path.join(spool.path, "pending", str(name)), (1_700_000_000, 1_700_000_000))
    assert of(spool, "pending", str(name)).fields["created_at"] == "2023-11-14T22:13:20.000000Z"


@pytest.mark.parametrize("content", [b"\x00\xff", b"{", b'{"command": ""}', b""])
def test_what_is_no_job_is_exported_byte_for_byte(spool, content):
    for filename in ("notes.json", NAME):
        given.write(spool, "dead", filename, content)
        said = json.loads(lines.written(of(spool, "dead", filename)))
        assert base64.b64decode(said["data"]) == content
        assert lines.read(lines.written(of(spool, "dead", filename))).data == content


def test_a_name_that_is_no_text_is_not_exported(spool):
    name = os.fsdecode(b"\xff.json")
    given.write(spool, "dead", name, b"{")
    with pytest.raises(InvalidJob, match="not UTF-8"):
        of(spool, "dead", name)


def test_a_part_from_the_at_sign_on_is_dropped_outside_processing(spool):
    given.write(spool, "dead", CLAIM, b'{"command": "true"}')
    assert of(spool, "dead", CLAIM).filename == CLAIM.partition("@")[0] + ".json"


@pytest.mark.parametrize("filename", [NAME, "x.json"])
def test_a_stray_in_processing_is_exported_as_what_waits(spool, filename):
    given.write(spool, "processing", filename, b'{"command": "true"}')
    assert of(spool, "processing", filename).state == "pending"

"""Out of a spool, into another, and out again: not a byte is lost, whatever was in it."""

import io
import json
import os
import tempfile

from hypothesis import given, settings
from hypothesis import strategies as st

from spoolq import importing, instants, lines, names
from spoolq.names import Name
from spoolq.spool import SpoolDir
from tests.given import everything, write
from tests.properties.test_job_properties import objects, strings, values

STATES = ("pending", "failed", "completed", "dead")
stamps = st.datetimes(
    instants.from_stamp("19700101T000000000000Z").replace(tzinfo=None),
    instants.from_stamp(names.HELD).replace(tzinfo=None),
).map(lambda at: at.strftime("%Y%m%dT%H%M%S%fZ").rjust(22, "0"))
ids = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}", fullmatch=True).filter(names.is_id)
commands = strings.filter(lambda text: text.strip() and "\0" not in text) | st.lists(
    st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"), min_size=1),
    min_size=1,
    max_size=3,
)
history = st.lists(
    st.fixed_dictionaries({"attempt": st.integers(0, 9), "more": values}), max_size=3
)


@st.composite
def jobs(draw):
    """State, file name and content of a job, with fields that nobody knows."""
    name = Name(draw(stamps), draw(st.integers(0, 9)), draw(st.integers(0, 999_999)), draw(ids))
    strange = {f"x-{key}": value for key, value in draw(objects).items()}
    fields = {"command": draw(commands), **strange, "history": draw(history)}
    text = json.dumps(fields, ensure_ascii=draw(st.booleans()), indent=draw(st.none() | st.just(1)))
    return draw(st.sampled_from(STATES)), str(name), text.encode("utf-8")


litter = st.tuples(
    st.sampled_from(("pending", "dead")),
    st.from_regex(r"[a-z]{1,8}\.json", fullmatch=True),
    st.binary(max_size=64),
)


def export(spool):
    found = [
        lines.written(lines.of_file(spool.dir(state), state, filename))
        for state, filename in everything(spool)
    ]
    return b"".join(sorted(found))


@settings(max_examples=40)
@given(
    st.lists(jobs(), max_size=5, unique_by=lambda job: names.parse(job[1]).id),
    st.lists(litter, max_size=3, unique_by=lambda file: file[:2]),
)
def test_export_import_export_gives_equal_bytes(some_jobs, some_litter):
    with tempfile.TemporaryDirectory() as top:
        here, there = (SpoolDir.create(os.path.join(top, name)) for name in ("here", "there"))
        try:
            for state, filename, content in some_jobs + some_litter:
                write(here, state, filename, content)
            first = export(here)
            assert importing.checked(io.BytesIO(first)) == len(some_jobs) + len(some_litter)
            importing.take_in(there, io.BytesIO(first), "none")
            assert everything(there) == everything(here)
            assert export(there) == first
            for state, filename, content in some_jobs:
                given_fields = json.loads(content)
                with open(os.path.join(there.path, state, filename), encoding="utf-8") as file:
                    kept = json.load(file)
                assert {key: kept[key] for key in given_fields} == given_fields
        finally:
            here.close()
            there.close()

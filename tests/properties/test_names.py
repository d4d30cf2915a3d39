"""File names and instants, for every value that they can hold."""

import re
import string
from datetime import datetime, timedelta, timezone

from hypothesis import example, given
from hypothesis import strategies as st

from spoolq import instants, logs, names
from spoolq.names import MAX_ATTEMPT, SUFFIX, Name

PLAIN = string.ascii_letters + string.digits + "_"
PRINTABLE = re.compile(r"[ -~]*")

FIRST = datetime(1, 1, 2, tzinfo=timezone.utc)  # a day from either end, for what zones do to it
LAST = datetime(9999, 12, 30, tzinfo=timezone.utc)
MICROSECOND = timedelta(microseconds=1)

moments = st.integers(0, (LAST - FIRST) // MICROSECOND).map(lambda n: FIRST + n * MICROSECOND)
stamps = moments.map(instants.to_stamp)
zones = st.integers(-23 * 60 - 59, 23 * 60 + 59).map(lambda m: timezone(timedelta(minutes=m)))


def words(longest):
    return st.builds(
        lambda first, rest: first + rest,
        st.sampled_from(PLAIN),
        st.text(PLAIN + "-", max_size=longest - 1),
    )


parts = (stamps, st.integers(0, 9), st.integers(0, MAX_ATTEMPT), words(64))
owner = (words(80), st.text(PLAIN, min_size=1, max_size=16))
waiting = st.tuples(*parts).map(lambda values: Name(*values))
claims = st.tuples(*parts, *owner).map(lambda values: Name(*values))
texts = st.text(max_size=120) | st.builds(
    "{}.p{}.a{}.{}{}{}".format,
    stamps | st.text(max_size=25),
    st.text("0123456789-x", max_size=2),
    st.text("0123456789-", max_size=7),
    st.text(PLAIN + "-./@", max_size=70),
    st.sampled_from(["", "@w.0", "@w", "@.0", "@../w.0", "\n"]),
    st.sampled_from([".json", ".json\n", ".JSON", ""]),
)


@given(waiting | claims)
def test_a_name_is_read_as_it_was_written(name):
    assert names.parse(str(name)) == name
    assert names.id_in(str(name)) == name.id
    assert names.is_job(str(name))


@given(waiting | claims)
def test_a_name_fits_every_filesystem_and_leads_nowhere_else(name):
    text = str(name)
    assert PRINTABLE.fullmatch(text)
    assert len(text) <= 255
    assert "/" not in text
    assert not text.startswith((".", "-"))


@given(texts)
@example("20261124T020646123456Z.p5.a0.a.json\n")
@example("20260229T020646123456Z.p5.a0.a.json")
def test_what_is_read_is_written_the_same_and_nothing_crashes(text):
    name = names.parse(text)
    if name is not None:
        assert str(name) == text
        assert name.at == instants.from_stamp(name.stamp)
        assert names.id_in(text) == name.id
    names.id_in(text)
    names.is_id(text)
    names.is_worker(text)
    logs.parse(text)


@given(st.lists(waiting, min_size=2, max_size=6))
def test_names_sort_as_their_times_do(several):
    in_text = sorted(several, key=str)
    assert [name.at for name in in_text] == sorted(name.at for name in several)


@given(claims)
def test_the_waiting_name_of_a_claim_is_the_claim_without_its_owner(claim):
    assert str(claim.waiting()) == str(claim).split("@")[0] + SUFFIX
    assert names.parse(str(claim.waiting())) == claim.waiting()


@given(claims)
def test_the_log_of_a_claim_says_whose_it_is(claim):
    name = logs.log_name(claim)
    assert logs.parse(str(name)) == name
    assert (name.id, name.attempt, name.stamp) == (claim.id, claim.attempt, claim.stamp)


@given(st.text(max_size=80))
def test_every_dropped_file_gets_an_id_and_a_name_of_the_form(stem):
    made = names.id_from_stem(stem + SUFFIX)
    assert names.is_id(made)
    name = Name("20261124T020646123456Z", 5, 0, made)
    assert names.parse(str(name)) == name
    if names.is_id(stem):
        assert made.startswith(stem[:50] + "-")


@given(st.text(max_size=300), st.integers(1, 2**22))
def test_every_host_gets_workers_whose_claims_can_be_read(host, pid):
    worker = names.new_worker(host, pid)
    assert names.is_worker(worker)
    assert f"-{pid}-" in worker


@given(moments, zones)
def test_an_instant_is_the_same_in_all_its_spellings(moment, zone):
    local = moment.astimezone(zone)
    assert instants.from_stamp(instants.to_stamp(local)) == moment
    assert instants.from_rfc3339(instants.to_rfc3339(local)) == moment
    assert instants.from_rfc3339(local.isoformat(timespec="microseconds")) == moment
    assert instants.stamp_to_rfc3339(instants.to_stamp(moment)) == instants.to_rfc3339(moment)


@given(moments, moments)
def test_stamps_sort_as_instants_do(first, second):
    assert (first < second) == (instants.to_stamp(first) < instants.to_stamp(second))
    assert (first < second) == (instants.to_rfc3339(first) < instants.to_rfc3339(second))


@given(
    st.text(max_size=40)
    | st.from_regex(r"\A\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)\Z")
)
def test_a_text_is_an_instant_or_a_value_error(text):
    try:
        moment = instants.from_rfc3339(text)
    except ValueError:
        return
    assert moment.utcoffset() == timedelta(0)
    assert instants.from_rfc3339(instants.to_rfc3339(moment)) == moment


@given(st.floats() | st.integers())
def test_a_number_is_an_instant_or_a_value_error(seconds):
    try:
        moment = instants.from_epoch(seconds)
    except ValueError:
        return
    assert abs(moment.timestamp() - seconds) < 1e-3


@given(moments, st.floats(min_value=0))
def test_later_is_never_earlier_and_never_fails(moment, seconds):
    assert instants.later(moment, seconds) >= moment

"""Instants and their three spellings."""

from datetime import datetime, timedelta, timezone

import pytest

from spoolq import instants

STAMP = "20261124T020646123456Z"
INSTANT = datetime(2026, 11, 24, 2, 6, 46, 123456, timezone.utc)
FIRST = datetime(1, 1, 1, tzinfo=timezone.utc)
LAST = datetime(9999, 12, 31, 23, 59, 59, 999999, timezone.utc)


def test_now_is_aware_and_in_utc():
    before = datetime.now(timezone.utc)
    now = instants.now()
    assert now.utcoffset() == timedelta(0)
    assert before <= now <= datetime.now(timezone.utc)


def test_a_stamp_is_utc_with_microseconds():
    assert instants.to_stamp(INSTANT) == STAMP
    assert instants.from_stamp(STAMP) == INSTANT


def test_the_stamp_of_an_instant_in_another_zone_is_utc():
    berlin = timezone(timedelta(hours=1))
    assert instants.to_stamp(INSTANT.astimezone(berlin)) == STAMP


@pytest.mark.parametrize("instant", [FIRST, LAST])
def test_stamps_have_one_width_from_the_first_instant_to_the_last(instant):
    stamp = instants.to_stamp(instant)
    assert len(stamp) == instants.STAMP_WIDTH
    assert instants.from_stamp(stamp) == instant


def test_a_stamp_of_a_day_that_does_not_exist_is_refused():
    with pytest.raises(ValueError):
        instants.from_stamp("20260230T000000000000Z")


def test_rfc3339_is_the_stamp_with_its_punctuation():
    assert instants.to_rfc3339(INSTANT) == "2026-11-24T02:06:46.123456Z"
    assert instants.stamp_to_rfc3339(STAMP) == instants.to_rfc3339(INSTANT)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11-24T02:06:46.123456Z",
        "2026-11-24t02:06:46.123456z",
        "2026-11-24 02:06:46.123456Z",
        "2026-11-24T03:06:46.123456+01:00",
        "2026-11-23T21:36:46.123456-04:30",
        "2026-11-24T02:06:46.123456789Z",
        "2026-11-24T02:06:46.123456-00:00",
    ],
)
def test_every_spelling_of_rfc3339_names_the_same_instant(text):
    assert instants.from_rfc3339(text) == INSTANT
    assert instants.from_rfc3339(text).utcoffset() == timedelta(0)


def test_a_short_fraction_counts_tenths_first():
    assert instants.from_rfc3339("2026-11-24T02:06:46.1Z").microsecond == 100_000


def test_a_leap_second_is_the_second_after_it():
    leap = instants.from_rfc3339("2016-12-31T23:59:60.5Z")
    assert leap == datetime(2017, 1, 1, 0, 0, 0, 500_000, timezone.utc)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "tomorrow",
        "2026-11-24",
        "2026-11-24T02:06:46",  # no offset: whose time is it?
        "2026-11-24T02:06Z",
        "2026-11-24T02:06:46.Z",
        "2026-11-24T02:06:46.1234567890Z",
        "2026-11-24T02:06:46+0100",
        "2026-11-24T02:06:46+24:00",
        "2026-11-24T02:06:46+00:60",
        "2026-13-24T02:06:46Z",
        "2026-02-29T02:06:46Z",
        "2026-11-24T24:00:00Z",
        "2026-11-24T02:60:46Z",
        "2026-11-24T02:06:61Z",
        "0000-11-24T02:06:46Z",
        "2026-11-24T02:06:46Z\n",
        " 2026-11-24T02:06:46Z",
        "２０２６-11-24T02:06:46Z",
        "0001-01-01T00:00:00+00:01",  # before year 1 in UTC
        "9999-12-31T23:59:59-00:01",  # after year 9999 in UTC
        "9999-12-31T23:59:60Z",
    ],
)
def test_what_is_no_instant_is_refused(text):
    with pytest.raises(ValueError):
        instants.from_rfc3339(text)


def test_seconds_since_the_epoch_may_have_a_fraction():
    assert instants.from_epoch(0) == datetime(1970, 1, 1, tzinfo=timezone.utc)
    assert instants.from_epoch(1.5).microsecond == 500_000


@pytest.mark.parametrize("seconds", [1e12, -1e12, 10**400, float("inf"), float("nan")])
def test_seconds_outside_the_calendar_are_refused(seconds):
    with pytest.raises(ValueError):
        instants.from_epoch(seconds)


@pytest.mark.parametrize("seconds, year", [(0, 1970), (10**12, 9999), (-(10**12), 1)])
def test_a_files_time_is_an_instant_whatever_it_is(seconds, year):
    """Found by the campaign of clocks: `touch -d @1000000000000` of one file ended the worker."""
    assert instants.of_file(seconds * 10**9).year == year


def test_later_adds_seconds():
    assert instants.later(INSTANT, 2.5) - INSTANT == timedelta(seconds=2.5)


@pytest.mark.parametrize("seconds", [1e12, 1e300, float("inf")])
def test_later_ends_where_the_calendar_does(seconds):
    assert instants.later(INSTANT, seconds) == LAST

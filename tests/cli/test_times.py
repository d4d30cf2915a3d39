"""Times as people type them."""

import os
import time
from datetime import datetime, timedelta, timezone

import pytest

from spoolq.cli import times
from spoolq.errors import InvalidTime

NOW = datetime(2026, 11, 24, 12, 0, 0, 500_000, timezone.utc)  # 13:00 in Berlin


@pytest.fixture(autouse=True)
def _in_berlin(monkeypatch):
    """Local time is an hour ahead of UTC in winter and two in summer."""
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    os.environ.pop("TZ", None)
    monkeypatch.undo()
    time.tzset()


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90),
        ("0", 0),
        ("10m", 600),
        ("3h", 10_800),
        ("2d", 172_800),
        ("1w", 604_800),
        ("1h30m", 5_400),
        ("1.5h", 5_400),
        (" 1H30M ", 5_400),
        ("1d2h3m4s", 93_784),
    ],
)
def test_a_duration_is_read(text, seconds):
    assert times.duration(text) == seconds
    assert times.instant(text, NOW) == NOW + timedelta(seconds=seconds)


@pytest.mark.parametrize("text", ["", " ", "m", "10x", "-5", "1m1h", "10m ago", "1e3", "٣h", "nan"])
def test_what_is_no_duration_is_refused(text):
    with pytest.raises(InvalidTime):
        times.duration(text)


@pytest.mark.parametrize(
    ("text", "utc"),
    [
        ("2026-11-24T18:00:00+01:00", "2026-11-24T17:00:00"),
        ("2026-11-24T18:00:00Z", "2026-11-24T18:00:00"),
        ("2026-11-24t18:00:00.25z", "2026-11-24T18:00:00.250000"),
        ("2026-11-24T18:00:00", "2026-11-24T17:00:00"),
        ("2026-11-24 18:00", "2026-11-24T17:00:00"),
        ("2027-07-01", "2027-06-30T22:00:00"),
        ("1795543200", "2026-11-24T18:00:00"),
        ("1795543200.5", "2026-11-24T18:00:00.500000"),
        ("18:00", "2026-11-24T17:00:00"),
        ("13:00", "2026-11-25T12:00:00"),
        ("6:30", "2026-11-25T05:30:00"),
        ("18:00:30", "2026-11-24T17:00:30"),
        ("tomorrow 06:00", "2026-11-25T05:00:00"),
        ("Tomorrow 06:00", "2026-11-25T05:00:00"),
        ("today 18:00", "2026-11-24T17:00:00"),
    ],
)
def test_an_instant_is_read(text, utc):
    assert times.instant(text, NOW) == datetime.fromisoformat(utc + "+00:00")


def test_the_next_18_00_is_tomorrow_when_today_has_had_it():
    late = datetime(2026, 11, 24, 18, 0, 0, tzinfo=timezone.utc)
    assert times.instant("18:00", late).isoformat() == "2026-11-25T17:00:00+00:00"


def test_18_00_of_the_day_on_which_the_clocks_change_is_18_00_of_its_own_offset():
    before = datetime(2026, 10, 24, 12, 0, 0, tzinfo=timezone.utc)  # summer time ends that night
    assert times.instant("tomorrow 18:00", before).isoformat() == "2026-10-25T17:00:00+00:00"


def test_a_number_is_a_duration_below_ten_to_the_eighth_and_an_instant_from_there_on():
    assert times.instant("99999999", NOW) == NOW + timedelta(seconds=99_999_999)
    with pytest.raises(InvalidTime, match="past: it was 1973-03-03"):
        times.instant("100000000", NOW)


@pytest.mark.parametrize(
    "text", ["2026-11-24T12:59", "2020-01-01", "today 12:00", "2026-11-24T11:59:59Z"]
)
def test_what_is_past_is_refused_with_what_was_understood(text):
    with pytest.raises(InvalidTime, match="is past: it was 20"):
        times.instant(text, NOW)


def test_the_present_second_is_not_past():
    assert times.instant("2026-11-24T12:00:00Z", NOW) == NOW.replace(microsecond=0)


@pytest.mark.parametrize(
    "text",
    ["", "soon", "25:00", "18:60", "2026-13-01", "2026-02-30T10:00", "tomorrow", "10m ago",
     "99999-01-01", "1" * 15, "2026-11-24T18:00:00+25:00"],
)  # fmt: skip
def test_what_is_no_time_is_refused(text):
    with pytest.raises(InvalidTime) as caught:
        times.instant(text, NOW)
    assert "18:00" in caught.value.hint or "durations" in caught.value.hint


def test_a_time_is_echoed_in_local_time_and_by_its_distance():
    when = NOW + timedelta(hours=5)
    assert times.echoed(when, NOW) == "2026-11-24 18:00:00 +0100, in 5 h"
    assert times.short(when, NOW) == "18:00:00"
    assert times.short(NOW + timedelta(days=2), NOW) == "2026-11-26 13:00"


@pytest.mark.parametrize("west", [True, False])
def test_a_time_that_has_no_year_here_is_spelled_in_utc(west, monkeypatch):
    """Found by the campaign of clocks: `list` broke on a job for the end of the year 9999."""
    monkeypatch.setenv("TZ", "EST5" if west else "JST-9")
    time.tzset()
    when = datetime(1, 1, 1, tzinfo=timezone.utc)
    if not west:
        when = datetime(9999, 12, 31, 23, 59, tzinfo=timezone.utc)
    assert times.spelled(when).endswith("+0000")
    assert times.short(when, NOW)

"""Ticks: over changes of the clocks, ends of months, long gaps, and whatever is written for one."""

import random
import sys
from datetime import datetime, timedelta, timezone
from itertools import islice

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spoolq import ticks
from spoolq.errors import BadInput
from spoolq.ticks import Cron, Missing

pytest.importorskip("cronsim", reason="the extra `schedule` is not installed")

BERLIN, NEW_YORK = "Europe/Berlin", "America/New_York"


def at(text):
    """An instant in UTC."""
    return datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=timezone.utc)


def following(text, zone, after, count):
    """The next ticks as the clocks of the zone show them, with their distance from UTC."""
    cron = Cron(text, zone)
    found = islice(cron.from_(at(after)), count)
    return [cron.local(tick).strftime("%d %H:%M %z") for tick in found]


@pytest.mark.parametrize(
    ("text", "zone", "after", "expected"),
    [
        # The clocks are set ahead: what is skipped counts once they have been.
        ("30 2 * * *", BERLIN, "2026-03-28 00:00", ["28 02:30 +0100", "29 03:00 +0200"]),
        ("30 2 * * *", NEW_YORK, "2026-03-08 00:00", ["08 03:00 -0400", "09 02:30 -0400"]),
        ("0 3 * * *", BERLIN, "2026-03-28 12:00", ["29 03:00 +0200", "30 03:00 +0200"]),
        ("30 * * * *", BERLIN, "2026-03-29 00:00", ["29 01:30 +0100", "29 03:30 +0200"]),
        ("*/30 * * * *", BERLIN, "2026-03-29 00:30", ["29 03:00 +0200", "29 03:30 +0200"]),
        # They are set back: what comes twice counts once, what has a distance keeps it.
        ("30 2 * * *", BERLIN, "2026-10-24 12:00", ["25 02:30 +0200", "26 02:30 +0100"]),
        ("30 1 * * *", NEW_YORK, "2026-11-01 00:00", ["01 01:30 -0400", "02 01:30 -0500"]),
        (
            "30 * * * *",
            BERLIN,
            "2026-10-25 00:00",
            ["25 02:30 +0200", "25 02:30 +0100", "25 03:30 +0100"],
        ),
        (
            "*/30 * * * *",
            NEW_YORK,
            "2026-11-01 05:20",
            ["01 01:30 -0400", "01 01:00 -0500", "01 01:30 -0500", "01 02:00 -0500"],
        ),
        # Asked in the second half of the hour that comes twice: its first half is over.
        ("30 2 * * *", BERLIN, "2026-10-25 01:10", ["26 02:30 +0100"]),
        # Ends of months, leap days, days of the week.
        ("0 0 L * *", "UTC", "2026-01-31 00:00", ["28 00:00 +0000", "31 00:00 +0000"]),
        ("0 0 31 * *", "UTC", "2026-01-31 00:00", ["31 00:00 +0000", "31 00:00 +0000"]),
        ("0 12 * * FRI#2", "UTC", "2026-11-30 00:00", ["11 12:00 +0000"]),
        ("0 0 13 * 5", "UTC", "2026-11-30 00:00", ["04 00:00 +0000", "11 00:00 +0000"]),
        ("@weekly", BERLIN, "2026-11-30 00:00", ["06 00:00 +0100", "13 00:00 +0100"]),
    ],
)
def test_ticks_come_as_the_clocks_of_the_zone_say(text, zone, after, expected):
    assert following(text, zone, after, len(expected)) == expected


def test_a_leap_day_comes_every_four_years():
    found = islice(Cron("0 0 29 2 *").from_(at("2026-11-30 00:00")), 3)
    assert [tick.date().isoformat() for tick in found] == ["2028-02-29", "2032-02-29", "2036-02-29"]


def test_a_tick_is_after_the_instant_and_never_at_it():
    cron = Cron("* * * * *")
    assert cron.after(at("2026-11-30 12:00")) == at("2026-11-30 12:01")
    assert cron.after(at("2026-11-30 12:00") + timedelta(seconds=59.9)) == at("2026-11-30 12:01")


def test_the_end_of_time_has_no_tick():
    assert (
        Cron("@hourly", BERLIN).after(datetime(9999, 12, 31, 23, 30, tzinfo=timezone.utc)) is None
    )


EXPRESSIONS = (
    "* * * * *",
    "*/7 * * * *",
    "30 * * * *",
    "30 2 * * *",
    "0,30 1-3 * * *",
    "* 2 * * *",
    "0 */5 * * *",
    "@daily",
    "0 0 L * *",
    "15 3 * 3,10,11 0",
)
ZONES = ("UTC", BERLIN, NEW_YORK, "Australia/Lord_Howe", "Africa/Cairo", "America/Havana")
#: Around changes of the clocks of these zones, and anywhere else.
INSTANTS = st.one_of(
    st.sampled_from(["2026-03-29", "2026-10-25", "2026-03-08", "2026-11-01", "2026-04-05"])
    .map(lambda day: at(f"{day} 00:00"))
    .flatmap(lambda day: st.integers(-90_000, 90_000).map(lambda s: day + timedelta(seconds=s))),
    st.integers(0, 20 * 365 * 86_400).map(lambda s: at("2020-01-01 00:00") + timedelta(seconds=s)),
)


@settings(max_examples=200)
@given(st.sampled_from(EXPRESSIONS), st.sampled_from(ZONES), INSTANTS, st.floats(0, 0.999))
def test_the_next_tick_is_the_same_from_wherever_before_it_one_asks(text, zone, instant, share):
    cron = Cron(text, zone)
    tick = cron.after(instant)
    assert tick > instant
    assert cron.after(instant + (tick - instant) * share) == tick


@settings(max_examples=60)
@given(
    st.sampled_from(EXPRESSIONS),
    st.sampled_from(ZONES),
    INSTANTS,
    st.integers(0, 5_000),
    st.integers(1, 20),
)
def test_the_newest_are_the_last_of_all(text, zone, after, minutes, most):
    cron = Cron(text, zone)
    until = after + timedelta(minutes=minutes)
    every = []
    for tick in cron.from_(after):
        if tick > until:
            break
        every.append(tick)
    assert cron.newest(after, until, most) == every[-most:]


def test_the_newest_of_ten_years_are_found_without_a_look_at_each(monkeypatch):
    cron = Cron("* * * * *", BERLIN)
    looked = []
    simulate = cron._simulate

    def counted(*args):
        for found in simulate(*args):
            looked.append(found)
            yield found

    monkeypatch.setattr(cron, "_simulate", counted)
    until = at("2026-11-30 12:00")
    assert cron.newest(until - timedelta(days=3650), until, 3) == [
        until - timedelta(minutes=minutes) for minutes in (2, 1, 0)
    ]
    assert len(looked) < 1000


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "five fields"),
        ("* * * *", "five fields"),
        ("* * * * * *", "five fields"),
        ("61 * * * *", "bad minute"),
        ("0 25 * * *", "bad hour"),
        ("0 0 31 2 *", "bad day-of-month"),
        ("* * * * 5L/2", "bad day-of-week"),
        ("@dailly", "did you mean '@daily'?"),
        ("@reboot", "no time"),
        ("*" * 201, "at most 200"),
        ("² * * * *", "bad minute"),
    ],
)
def test_what_is_no_expression_is_refused_with_what_is_wrong(text, said):
    with pytest.raises(BadInput, match=said.replace("?", r"\?")) as refusal:
        Cron(text)
    assert refusal.value.hint


@pytest.mark.parametrize("zone", ["Mars", "", "../../etc/passwd", "America", "a\0b", "\ud800"])
def test_what_is_no_zone_is_refused(zone):
    with pytest.raises(BadInput, match="no time zone"):
        Cron("@daily", zone)


@settings(max_examples=300)
@given(st.lists(st.text("0123456789*/,-#LW MONSUJANFEB²", max_size=9), min_size=5, max_size=5))
def test_whatever_is_written_is_an_expression_or_refused(fields):
    try:
        cron = Cron(" ".join(fields), random.choice(ZONES))
    except BadInput:
        return
    assert cron.words
    tick = cron.after(at("2026-11-30 12:00"))
    assert tick is None or tick > at("2026-11-30 12:00")


def test_what_a_person_reads_of_it():
    assert Cron("30 2 * * *").words == "at 02:30 every day"


def test_the_zone_of_this_machine_is_a_zone(monkeypatch):
    tzlocal = pytest.importorskip("tzlocal")
    Cron("@daily", ticks.local_zone())
    for name in (None, "Nowhere/Else"):
        monkeypatch.setattr(tzlocal, "get_localzone_name", lambda name=name: name)
        assert ticks.local_zone() == "UTC"


def test_without_the_library_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cronsim", None)
    with pytest.raises(Missing, match="cronsim") as refusal:
        Cron("@daily")
    assert refusal.value.hint == "pip install 'spoolq[schedule]'"

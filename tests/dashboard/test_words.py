"""Lengths and amounts in the words of the pages."""

import pytest

from spoolq.dashboard import words


@pytest.mark.parametrize(
    ("seconds", "told"),
    [
        (None, ""),
        (-1, "0 ms"),
        (0.003, "3 ms"),
        (0.3, "0.3 s"),
        (9.9, "9.9 s"),
        (59.7, "1 m"),
        (124, "2 m 04 s"),
        (7500, "2 h 05 m"),
        (86_400 * 3, "3 d"),
    ],
)
def test_a_length_has_at_most_two_units(seconds, told):
    assert words.length(seconds) == told


def test_thousands_stand_apart():
    assert words.count(7) == "7"
    assert words.count(1_234_567) == "1&#8239;234&#8239;567"
    assert words.many(1, "job", "jobs") == "1 job"
    assert words.many(2000, "job", "jobs") == "2&#8239;000 jobs"


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (None, "none"),
        (False, "false"),
        (2.5, "2.5"),
        ("full", "full"),
        (("PATH", "LANG"), "PATH LANG"),
    ],
)
def test_a_setting_is_told_as_it_is_typed(value, told):
    assert words.setting(value) == told


@pytest.mark.parametrize(
    ("number", "told"),
    [(1, "1 byte"), (900, "900 bytes"), (64 << 10, "64 KiB"), (40 << 20, "40 MiB")],
)
def test_a_size_is_told_roughly(number, told):
    assert words.size(number) == told

"""Lengths of time in words."""

import pytest

from spoolq import spans


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 ms"),
        (0.003, "3 ms"),
        (0.3, "0.3 s"),
        (59.4, "59 s"),
        (59.6, "1 m"),
        (200, "3 m 20 s"),
        (7500, "2 h 05 m"),
        (86_400 * 4, "4 d"),
    ],
)
def test_a_length_of_time_has_at_most_two_units(seconds, text):
    assert spans.length(seconds) == text


@pytest.mark.parametrize(
    ("seconds", "brief", "whole"),
    [
        (-5, "0 s", "0 s"),
        (0.9, "0 s", "0 s"),
        (59.9, "59 s", "59 s"),
        (60, "1 min", "1 m"),
        (200, "3 min", "3 m 20 s"),
        (7500, "2 h", "2 h 05 m"),
        (90_000, "1 d", "1 d 01 h"),
    ],
)
def test_what_is_not_full_is_left_out(seconds, brief, whole):
    assert (spans.brief(seconds), spans.whole(seconds)) == (brief, whole)

"""What a row says of its time, and when that will be another text."""

import pytest

from spoolq.cli.watch.moments import next_change, of_row
from tests.cli.watch.made_up import NOW, row


@pytest.mark.parametrize(
    ("kind", "age", "told", "changes"),
    [
        ("running", 4.25, "4 s", 0.75),
        ("running", 7500, "2 h 05 m", 60),
        ("dead", 4.5, "4 s ago", 0.5),
        ("completed", 200, "3 min ago", 40),
        ("next", 3, "due", None),
        ("next", -3, "in 3 s", 1),
        ("retries", -0.5, "in 1 s", 1),
        ("retries", 0.5, "now", None),
        ("next", -90_000, "in 1 d", 60),
    ],
)
def test_a_row_tells_its_time_until_it_changes(kind, age, told, changes):
    found = row(kind, 1, at=NOW - age)
    assert of_row(found, NOW) == told
    assert next_change([found], NOW) == (None if changes is None else pytest.approx(changes))


def test_what_has_no_time_tells_none():
    found = row("dead", 1)._replace(at=None)
    assert (of_row(found, NOW), next_change([found], NOW)) == ("", None)


def test_the_next_change_is_that_of_the_first_row_to_change():
    rows = [row("dead", 1, at=NOW - 61), row("running", 1, at=NOW - 4.9)]
    assert next_change(rows, NOW) == pytest.approx(0.1)

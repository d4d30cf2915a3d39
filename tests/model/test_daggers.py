"""Each † of the format has its negative controls, and each of those is there and runs."""

import pytest

from tests.conftest import REPOSITORY

from .daggers import DAGGERS, WHERE

MARK = "†"
TEXT = (REPOSITORY / "docs" / "spool-format.md").read_text(encoding="utf-8")
EXPLAINED = "The rules marked "  # the sentence that says what the mark means


def marked():
    """Return the text before each mark, from its beginning; the explanation is no rule."""
    parts = TEXT.split(MARK)[:-1]
    ends = [MARK.join(parts[: number + 1]) for number in range(len(parts))]
    return [text for text in ends if not text.endswith(EXPLAINED)]


@pytest.mark.parametrize("text", marked(), ids=lambda text: text[-40:])
def test_every_mark_has_its_row(text):
    assert len([row for row in DAGGERS if text.endswith(row)]) == 1


@pytest.mark.parametrize("row", DAGGERS)
def test_every_row_is_one_mark_of_the_document(row):
    assert len([text for text in marked() if text.endswith(row)]) == 1


@pytest.mark.parametrize("row", DAGGERS)
def test_every_row_names_controls_that_there_are(row):
    assert DAGGERS[row]
    for control in DAGGERS[row]:
        where, _, name = control.partition(": ")
        assert name in WHERE[where], control

"""Text in columns: it fits, nothing else of it is lost, and styles stay where they were."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from spoolq.cli import columns
from spoolq.cli.columns import Cell
from spoolq.text import printable

# What commands and names are made of, with what has two cells and what has none.
ALPHABET = "ab -/漢字🎉שלוםé\u0301❤☺\ufe0f\u202e\u200d\x1b\n"
texts = st.text(ALPHABET, max_size=60).map(printable)


def brackets(text, style):
    return f"<{style}>{text}</>"


def plain(text, style):
    return text


@given(texts, st.integers(1, 70))
def test_a_cut_text_fits_and_is_a_beginning(text, room):
    found = columns.cut(text, room)
    assert cell_len(found) <= room
    assert found == text if cell_len(text) <= room else text.startswith(found[:-1])


@given(texts, st.integers(2, 70))
def test_wrapped_lines_fit_and_lose_nothing_but_blanks(text, room):
    lines = columns.wrapped(text, room)
    assert all(cell_len(line) <= room for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())


@given(st.lists(st.tuples(texts, texts, texts, texts), min_size=1, max_size=5), st.integers(2, 200))
def test_no_line_of_a_table_is_wider_than_the_terminal(rows, room):
    heads = ("ID", "STATE", "TRY", "COMMAND")
    rows = [(row[0], row[1][:10], row[2][:3], row[3]) for row in rows]
    for line in columns.table(heads, rows, room, plain, {"TRY": 20}):
        assert cell_len(line) <= room


@given(st.lists(st.tuples(texts, texts), min_size=1, max_size=5))
def test_columns_of_a_table_begin_below_each_other(rows):
    lines = columns.table(("A", "B"), [(a, f"|{b}") for a, b in rows], None, plain)
    assert len({cell_len(line[: line.index("|")]) for line in lines[1:]}) == 1


@given(st.lists(st.tuples(st.sampled_from(["job", "file"]), texts), max_size=5))
def test_a_story_in_a_pipe_has_a_line_for_each_label(rows):
    lines = columns.story(rows, None, plain)
    assert len(lines) == len(rows)
    assert all(text.rstrip() in line for line, (_, text) in zip(lines, rows))


@given(st.lists(st.tuples(st.sampled_from(["job", "file"]), texts), max_size=5))
def test_no_line_of_a_story_is_wider_than_the_terminal(rows):
    assert all(cell_len(line) <= 40 for line in columns.story(rows, 40, plain, "  "))


def test_right_to_left_letters_keep_to_their_column():
    """On a terminal that reorders, two such cells side by side would change places."""
    rows = [("id", "שלום", "אבג"), ("id", "plain", "אבג")]
    first, second = columns.table(("ID", "TAGS", "COMMAND"), rows, 80, plain)[1:]
    assert first == "id  שלום\u200e   אבג"
    assert "\u200e" not in second
    assert cell_len(first) == cell_len(second)


def test_columns_are_left_out_where_the_last_one_needs_their_room():
    rows = [("x" * 13, "completed", "5 min ago", "y" * 40)]
    heads = ("ID", "STATE", "WHEN", "COMMAND")
    assert "WHEN" in columns.table(heads, rows, 60, plain, {"WHEN": 20})[0]
    assert "WHEN" not in columns.table(heads, rows, 50, plain, {"WHEN": 20})[0]
    short = [("x", "dead", "now", "y")]
    assert "WHEN" in columns.table(heads, short, 30, plain, {"WHEN": 20})[0]


def test_the_parts_of_a_cell_keep_their_styles_through_cuts_and_wraps():
    text = Cell.joined(Cell.styled("[exit code 1]", "red"), " echo ", Cell.styled("漢字", "bold"))
    assert columns.painted(text, text, brackets) == "<red>[exit code 1]</> echo <bold>漢字</>"
    cut = columns.cut(text, 8)
    assert columns.painted(text, cut, brackets) == "<red>[exit c…</>"
    assert columns.clipped(text, 16).parts[-1] == "…"
    story = columns.story([("a", text)], 17, brackets)
    assert story == [
        "<dim>a</>  <red>[exit code 1]</>",
        "   echo <bold>漢字</>",
    ]


@pytest.mark.parametrize("text", ["", "x", "漢"])
def test_where_there_is_no_room_nothing_is_shown(text):
    assert columns.cut(text, 0) == ""

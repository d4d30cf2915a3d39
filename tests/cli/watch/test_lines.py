"""Lines never take more cells than they may, whatever is in them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from spoolq.cli.watch.lines import Line, Span, cut, cut_left, fold, line, pad, padded, safe, width
from tests.cli.watch.made_up import HOSTILE

texts = st.text() | st.sampled_from(HOSTILE)


def harmless(text):
    return all(char.isprintable() for char in text)


@given(texts)
def test_a_safe_text_holds_nothing_that_a_terminal_acts_on(text):
    assert harmless(safe(text))


@given(texts, st.integers(0, 300))
def test_what_is_cut_fits(text, cells):
    for cutting in (cut, cut_left):
        found = cutting(safe(text), cells)
        assert width(found) <= cells
        assert cell_len(found) <= cells


@given(texts, st.integers(0, 50))
def test_what_is_padded_takes_all_its_cells(text, cells):
    assert width(pad(safe(text), cells)) == cells


@given(texts, st.integers(2, 50))
def test_what_is_folded_is_all_there_and_fits(text, cells):
    found = fold(safe(text), cells)
    assert "".join(found) == safe(text)
    assert all(width(part) <= cells for part in found)


@given(st.lists(texts), st.integers(1, 120))
def test_a_line_of_whatever_spans_fits(texts, cells):
    found = line(cells, [Span(safe(text), "bold red") for text in texts])
    assert cell_len(found.plain) <= cells
    assert width(padded(found, cells).plain) == cells


@pytest.mark.parametrize(
    ("text", "cells", "shown"),
    [
        ("hello", 5, "hello"),
        ("hello", 4, "hel…"),
        ("日本語", 6, "日本語"),
        ("日本語", 5, "日本…"),
        ("日本語", 4, "日…"),
        ("日本語", 1, "…"),
        ("hello", 0, ""),
    ],
)
def test_what_does_not_fit_ends_in_an_ellipsis(text, cells, shown):
    assert cut(text, cells) == shown


def test_of_a_path_the_end_is_kept():
    assert cut_left("/srv/long/spool", 8) == "…g/spool"
    assert cut_left("/日本/spool", 8) == "…/spool"


def test_escapes_and_marks_of_direction_are_shown_as_such():
    assert safe("\x1b[2J\u202e") == "\\x1b[2J\\u202e"
    assert safe("e" + "\u0301" * 50) == "e" + "\u0301" * 3
    assert safe("\u2764\ufe0f") == "\u2764"


def test_a_painted_line_ends_each_style():
    found = Line([Span("a"), Span("b", "bold red"), Span("", "dim")])
    assert found.painted() == "a\x1b[1;31mb\x1b[0m"


@given(texts, st.sampled_from(["ascii", "latin-1", "koi8-r", "utf-8"]))
def test_each_cell_stays_where_it_is_in_whatever_characters(text, encoding):
    before = Line([Span(safe(text), "red")])
    found = before.carried(encoding)
    assert found.plain.encode(encoding).decode(encoding) == found.plain
    assert cell_len(found.plain) == cell_len(before.plain)
    assert [span.style for span in found] == ["red"]


def test_our_own_signs_have_plain_ones():
    assert Line([Span("▁▂▃▄▅▆▇█ ▌x│ ≈5 …é日")]).carried("ascii").plain == "_.:-=+*# >x| ~5 ~???"
    assert Line([Span("█é…")]).carried("latin-1").plain == "#é~"

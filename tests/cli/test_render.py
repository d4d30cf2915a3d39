"""Nothing hostile reaches the terminal."""

import pytest

from spoolq.cli import render
from spoolq.harmless import Harmless


def shown(*pieces, colors=True):
    harmless = Harmless(colors=colors)
    text = "".join(harmless.feed(piece) for piece in pieces)
    return text + harmless.feed(b"", final=True)


def test_names_are_escaped_wherever_a_terminal_would_act_on_them():
    assert render.escape("plain ü 漢字") == "plain ü 漢字"
    assert render.escape("a\x1b[2Jb\nc\u202ed\x9b") == r"a\x1b[2Jb\nc\u202ed\x9b"
    assert render.escape("file\udcff") == r"file\udcff"


def test_output_keeps_lines_and_tabs_and_no_line_is_written_over():
    assert shown(b"a\tb\r\nc\rd\n") == "a\tb\nc\nd\n"
    assert shown(b"a\r", b"\nb\r", b"c\r") == "a\nb\nc\n"


def test_output_keeps_colours_and_ends_without_any():
    assert shown(b"\x1b[1;31mred\x1b[0m plain") == "\x1b[1;31mred\x1b[0m plain"
    assert shown(b"\x1b[31mred") == "\x1b[31mred\x1b[0m"


def test_output_loses_its_colours_where_colour_is_off():
    assert shown(b"\x1b[31mred\x1b[0m", colors=False) == "red"


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (b"\x1b[2Jgone", r"\x1b[2Jgone"),
        (b"\x1b]0;title\x07", r"\x1b]0;title\x07"),
        (b"\x1b]52;c;cm0gLXJm\x07", r"\x1b]52;c;cm0gLXJm\x07"),
        (b"\x1b[A", r"\x1b[A"),
        (b"back\x08", r"back\x08"),
        ("\u202etxt.exe".encode(), r"\u202etxt.exe"),
        ("\u009b31m".encode(), r"\x9b31m"),
        (b"\xff\xfe", "\ufffd\ufffd"),
        (b"\x7f\x00", r"\x7f\x00"),
        ("👩\u200d👩\u200d👧 \u00a0ok".encode(), "👩\u200d👩\u200d👧 \u00a0ok"),
    ],
)
def test_output_shows_what_would_do_more_than_write_as_an_escape(data, text):
    assert shown(data) == text


def test_output_in_pieces_is_the_same_as_in_one():
    data = "ü\x1b[31m漢\x1b[2J\x1b[0m\r\nz".encode()
    whole = shown(data)
    for size in range(1, 6):
        pieces = [data[at : at + size] for at in range(0, len(data), size)]
        assert shown(*pieces) == whole


def test_an_escape_that_is_never_finished_is_shown_in_the_end():
    assert shown(b"end\x1b[31") == r"end\x1b[31"


def test_colour_follows_the_option_before_no_color(monkeypatch):
    class Terminal:
        def isatty(self):
            return True

    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert render.has_color(Terminal())
    monkeypatch.setenv("NO_COLOR", "1")
    assert not render.has_color(Terminal())
    monkeypatch.setattr(render, "_color", "always")
    assert render.has_color(Terminal())
    assert render.has_color(None)
    monkeypatch.setattr(render, "_color", "never")
    monkeypatch.delenv("NO_COLOR")
    assert not render.has_color(Terminal())

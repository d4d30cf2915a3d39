"""What a terminal sends becomes keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from spoolq.cli.watch.keys import Keys


@pytest.mark.parametrize(
    ("sent", "keys"),
    [
        (b"q", ["q"]),
        (b"/ab\r", ["/", "a", "b", "enter"]),
        (b"\x1b[A\x1b[B", ["up", "down"]),
        (b"\x1bOA\x1b[5~\x1b[6~\x1b[H\x1b[F", ["up", "page up", "page down", "home", "end"]),
        ("é日".encode(), ["é", "日"]),
        (b"\x7f\x15", ["backspace", "erase"]),
        (b"\x1b[200~x", ["x"]),  # the beginning of a paste means nothing
        (b"\x1b[<0;10;20Mq", ["q"]),  # a mouse
        (b"\x1bx", []),  # Alt+x
        (b"\x00\x01", []),
        (b"\xff", ["\ufffd"]),
    ],
)
def test_what_is_sent_is_a_key(sent, keys):
    assert Keys().feed(sent) == keys


def test_a_sequence_in_pieces_is_one_key():
    keys = Keys()
    assert [keys.feed(bytes([byte])) for byte in b"\x1b[5~"] == [[], [], [], ["page up"]]
    assert keys.held == ""


def test_escape_alone_is_a_key_when_nothing_follows():
    keys = Keys()
    assert keys.feed(b"\x1b") == []
    assert keys.held == "\x1b"
    assert keys.flush() == ["escape"]
    assert keys.held == ""


def test_two_escapes_are_one_key_and_one_that_is_open():
    keys = Keys()
    assert keys.feed(b"\x1b\x1b") == ["escape"]
    assert keys.flush() == ["escape"]


@given(st.lists(st.binary(max_size=50), max_size=20))
def test_whatever_is_sent_little_is_held_and_every_key_can_be_told(pieces):
    keys = Keys()
    for piece in pieces:
        for key in keys.feed(piece):
            assert key
            assert key.isprintable()
        assert len(keys.held) < 32
    keys.flush()
    assert keys.held == ""

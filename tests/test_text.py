from spoolq.text import printable


def test_what_a_terminal_would_act_on_is_printed_as_an_escape():
    hostile = "\x1b[2J\r\n\u202e\udcff\x9b"
    assert printable(hostile) == r"\x1b[2J\r\n\u202e\udcff\x9b"
    assert printable("plain ü 漢") == "plain ü 漢"

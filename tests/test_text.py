"""Text that comes from anybody."""

import shutil
import subprocess

import pytest

from spoolq.text import printable, shell_word


def test_what_a_terminal_would_act_on_is_printed_as_an_escape():
    hostile = "\x1b[2J\r\n\u202e\udcff\x9b"
    assert printable(hostile) == r"\x1b[2J\r\n\u202e\udcff\x9b"
    assert printable("plain ü 漢") == "plain ü 漢"


@pytest.mark.skipif(shutil.which("bash") is None, reason="there is no bash here")
@pytest.mark.parametrize(
    "word",
    ["plain", "two words", "it's", "a\nb\r\n'c' \\n \x1b[1m", "", "-x", "$HOME `id`", "漢\t\u202e"],
)
def test_a_word_for_the_shell_can_be_typed_and_is_one_line(word):
    spelled = shell_word(word)
    assert spelled.isprintable()
    said = subprocess.run(
        ["bash", "-c", f"printf %s {spelled}"], stdout=subprocess.PIPE, check=True
    ).stdout
    assert said.decode("utf-8") == word

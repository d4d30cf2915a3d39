"""The texts of units: what systemd reads in them is what was meant."""

import re
import shutil
import subprocess

import pytest
from hypothesis import given as drawn
from hypothesis import strategies as st

from spoolq import units
from spoolq.errors import BadInput
from spoolq.units import Wanted

SYSTEMD = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="there is no systemd here"
)
ODD = 'a b%c$d/sp"o\\ol'


def wanted(**changes):
    return Wanted(
        "spoolq", ["/bin/true"], "/srv/spool", "root", 4, 60.0, 5.0, "text", "30d"
    )._replace(**changes)


def settings(text, key):
    return re.findall(rf"^{key}=(.*)$", text, re.MULTILINE)


def complaints(directory, texts, *more):
    """Return what systemd says of units of ours, of a machine's other units nothing."""
    for name, text in texts.items():
        (directory / name).write_text(text, encoding="utf-8")
    done = subprocess.run(
        [
            "systemd-analyze",
            "verify",
            "--man=no",
            *more,
            *(str(directory / name) for name in texts),
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return [line for line in done.stdout.splitlines() if any(name in line for name in texts)]


@SYSTEMD
@pytest.mark.parametrize("run_as", ["root", None])
@pytest.mark.parametrize("spool", ["/srv/spool", f"/srv/{ODD}"])
def test_systemd_has_no_complaint(tmp_path, run_as, spool):
    program = tmp_path / "a b%c$d" / "spool'q"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\n", encoding="utf-8")
    program.chmod(0o755)
    texts = units.units(wanted(program=[str(program)], spool=spool, run_as=run_as))
    assert complaints(tmp_path, texts, *([] if run_as else ["--user"])) == []


@SYSTEMD
def test_what_is_wrong_in_a_unit_is_complained_of(tmp_path):
    texts = units.units(wanted())
    name = "spoolq.service"
    wrong = {name: texts[name].replace("KillMode=mixed", "KillMode=some")}
    assert "kill mode" in complaints(tmp_path, wrong)[0]
    gone = units.units(wanted(program=["/bin/no such%program"]))
    assert "/bin/no such%program" in complaints(tmp_path, {name: gone[name]})[0]


def read(line):
    """Read a command line as systemd.service(5) says."""
    words, index = [], 0
    for match in re.finditer(r'"((?:[^"\\]|\\.)*)"(?: |$)|(\S+)(?: |$)', line):
        assert match.start() == index
        index = match.end()
        quoted, plain = match.groups()
        text = plain if quoted is None else re.sub(r"\\(.)", r"\1", quoted)
        assert "%" not in text.replace("%%", "")
        text = text.replace("%%", "%")
        if words:
            assert "$" not in text.replace("$$", "")
            text = text.replace("$$", "$")
        words.append(text)
    assert index == len(line)
    return words


printable = st.text(st.characters(blacklist_categories=["C", "Z"], whitelist_characters=" "))


@drawn(st.lists(printable, min_size=1, max_size=4))
def test_every_word_of_a_command_line_is_read_as_it_was_meant(words):
    program, *others = words
    line = units.command([f"/{program}", *others])
    assert [word for word in read(line) if word != "/usr/bin/env"] == [f"/{program}", *others]


def test_a_dollar_in_the_path_of_the_program_is_no_variable():
    assert read(units.command(["/a$b", "c"])) == ["/usr/bin/env", "/a$b", "c"]
    assert units.command(["/usr/bin/spoolq", "$HOME"]) == '/usr/bin/spoolq "$$HOME"'


@pytest.mark.parametrize("path", ["/a\nb", "/a\x1b", "/a ", "/\udcff", "/a\u2028b"])
def test_a_path_that_no_unit_can_hold_is_refused(path):
    for changes in ({"spool": path}, {"program": [path]}):
        with pytest.raises(BadInput, match="cannot be written in a unit"):
            units.units(wanted(**changes))


def test_a_stop_has_time_for_what_it_promises():
    text = units.units(wanted(stop_within=600.5, grace=20.0))["spoolq.service"]
    assert settings(text, "TimeoutStopSec") == ["651"]  # 600.5 + 20 + 30
    assert "--stop-within 601s" in settings(text, "ExecStart")[0]
    assert settings(text, "KillMode") == ["mixed"]


def test_what_would_confine_commands_is_left_out_and_the_purge_is_confined():
    texts = units.units(wanted())
    for name in ("spoolq.service", "spoolq-drain.service"):
        assert not re.search(
            "^(NoNew|Protect|Private|Restrict[^a]|System)", texts[name], re.MULTILINE
        )
        assert settings(texts[name], "OOMPolicy") == ["continue"]
    assert settings(texts["spoolq-purge.service"], "ProtectSystem") == ["strict"]
    assert settings(texts["spoolq-purge.service"], "ReadWritePaths") == ["/srv/spool"]


def test_units_of_a_user_name_no_user_and_need_no_rights():
    for name, text in units.units(wanted(run_as=None)).items():
        assert settings(text, "User") == settings(text, "ProtectSystem") == []
        assert "multi-user.target" not in text, name


def test_a_purge_takes_what_was_completed_alone():
    (line,) = settings(units.units(wanted(keep="7d"))["spoolq-purge.service"], "ExecStart")
    assert line.endswith("purge --state completed --older-than 7d")


def test_a_unit_that_was_changed_is_told_from_one_as_it_was_written():
    for text in units.units(wanted()).values():
        assert units.is_as_written(text)
        assert not units.is_as_written(text.replace("[Unit]", "[Unit]\nAfter=x.service"))
        assert not units.is_as_written(text[1:])
        assert not units.is_as_written(text + "\n")
    for foreign in ("", "\n", "\n\n", "[Unit]\nDescription=x\n", "# Changed here\n\n"):
        assert not units.is_as_written(foreign)

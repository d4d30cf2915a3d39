"""The manual pages say what the program says, and are installed with it."""

import importlib.util
import os
import shutil
import subprocess
import sys

import click
import pytest

from tests.conftest import DEADLINE, REPOSITORY

PAGES = REPOSITORY / "docs" / "man"


@pytest.fixture(scope="module")
def maker():
    spec = importlib.util.spec_from_file_location("make_man", REPOSITORY / "docs" / "make_man.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def needs(program):
    return pytest.mark.skipif(shutil.which(program) is None, reason=f"no {program} here")


def test_the_pages_are_those_of_the_program(maker):
    pages = maker.pages()
    assert {path.name for path in PAGES.iterdir()} == set(pages), "run: python docs/make_man.py"
    for name, text in pages.items():
        assert (PAGES / name).read_text(encoding="utf-8") == text, "run: python docs/make_man.py"


def test_every_verb_has_a_page_with_its_options_and_examples(maker):
    from tests.cli.test_main import commands

    for words, command in commands():
        text = (PAGES / f"spoolq-{'-'.join(words)}.1").read_text(encoding="utf-8")
        assert ".SH EXAMPLES\n.nf\nspoolq" in text or "spoolq" in text.partition(".SH EXAMPLES")[2]
        for param in command.params:
            if isinstance(param, click.Option) and not param.hidden:
                assert maker.roff(max(param.opts, key=len)) in text


@needs("mandoc")
@pytest.mark.parametrize("page", sorted(PAGES.glob("*.1")), ids=lambda page: page.stem)
def test_mandoc_has_nothing_to_say_of_a_page(page):
    done = subprocess.run(
        ["mandoc", "-Tlint", "-Wwarning", page], stdout=subprocess.PIPE, text=True, timeout=DEADLINE
    )
    # There is no date: the same program gives the same pages.
    assert [line for line in done.stdout.splitlines() if "missing date" not in line] == []


@needs("groff")
@pytest.mark.parametrize("page", sorted(PAGES.glob("*.1")), ids=lambda page: page.stem)
def test_groff_has_nothing_to_say_of_a_page(page):
    done = subprocess.run(
        ["groff", "-man", "-Tutf8", "-ww", "-z", page], capture_output=True, text=True,
        timeout=DEADLINE,
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")


@needs("mandoc")
def test_examples_can_be_pasted_from_a_page():
    """Quotes, hyphens, tildes and backslashes come out as those of the shell."""

    def shown(verb):
        page = PAGES / f"spoolq-{verb}.1"
        text = subprocess.run(
            ["mandoc", "-Tutf8", "-Owidth=100", page], stdout=subprocess.PIPE, check=True
        ).stdout.decode()
        return "".join(char for at, char in enumerate(text)
                       if char != "\b" and text[at + 1 : at + 2] != "\b")  # fmt: skip

    assert """find . -name '*.wav' | sed 's/.*/flac "&"/' | spoolq enqueue -""" in shown("enqueue")
    assert "spoolq completion fish > ~/.config/fish/completions/spoolq.fish" in shown("completion")


def test_what_is_installed_brings_the_pages_to_where_man_looks(tmp_path):
    """By the step of an install that puts such files in place; a wheel has them from it too."""
    pytest.importorskip("setuptools", minversion="64", reason="setup.cfg wants setuptools 64")
    tree, place = tmp_path / "tree", tmp_path / "place"
    tree.mkdir()
    for name in ("setup.cfg", "pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, tree)
    for name in ("spoolq", "docs/man"):
        shutil.copytree(
            REPOSITORY / name, tree / name, ignore=shutil.ignore_patterns("__pycache__")
        )
    subprocess.run(
        [sys.executable, "-c", "import setuptools; setuptools.setup()",
         "-q", "install_data", "--install-dir", place],
        cwd=tree, check=True, stdout=subprocess.DEVNULL, timeout=DEADLINE,
    )  # fmt: skip
    found = next(place.rglob("spoolq.1"))
    assert found.parent == place / "share" / "man" / "man1"
    assert {path.name for path in found.parent.iterdir()} == {path.name for path in PAGES.iterdir()}
    if shutil.which("man") is None:
        return
    shown = subprocess.run(
        ["man", "spoolq-dlq-retry"],
        env={**os.environ, "MANPATH": str(found.parent.parent), "MANPAGER": "cat"},
        capture_output=True, text=True, timeout=DEADLINE,
    )  # fmt: skip
    assert "spoolq dlq retry --all" in shown.stdout

"""What README.md and docs/ say is typed, runs, and prints what they say."""

import importlib.util
import shutil
import sys

import pytest

from tests.conftest import REPOSITORY
from tests.documentation import blocks
from tests.documentation.page import Reader, left, place

pytestmark = pytest.mark.skipif(
    not sys.platform.startswith("linux") or not shutil.which("bash"), reason="wants Linux and bash"
)

#: What is typed on this one is run by `tests.comparison`, which made it.
TRIED = REPOSITORY / "docs" / "features.md"
PAGES = sorted({REPOSITORY / "README.md", *(REPOSITORY / "docs").rglob("*.md")} - {TRIED})
READ = {
    str(path.relative_to(REPOSITORY)): blocks.read(
        str(path.relative_to(REPOSITORY)), path.read_text(encoding="utf-8")
    )
    for path in PAGES
    if "_build" not in path.parts
}
RUN = [page for page, (found, _) in READ.items() if any(block.is_run for block in found)]

#: Why a block is not run here: each reason, and how many blocks may give it.
REASONS = {
    "it installs": 4,
    "it takes minutes": 5,
    "it is the tools' own": 1,
    "it needs root and another user": 2,
    "it needs systemd": 4,
    "it needs a container runtime": 1,
    "it needs a browser": 2,
    "it needs another package": 1,
    "it needs several hosts": 4,
    "it needs a Slurm": 1,
    "it takes several machines": 1,
}


def is_here(name):
    """Say whether there is a program, or a module of Python, of this name."""
    return bool(shutil.which(name) or importlib.util.find_spec(name))


def test_every_page_is_read_and_every_block_has_a_language():
    assert len(RUN) >= 15
    assert [fault for _, wrong in READ.values() for fault in wrong] == []


def test_a_block_in_which_nothing_is_run_holds_no_command():
    hidden = [
        f"{block.place}: {line}"
        for found, _ in READ.values()
        for block in found
        if block.language in blocks.READ and "crontab" not in block.told
        for line in block.text.splitlines()
        if line.startswith(("$ ", "spoolq "))
    ]
    assert hidden == []


def test_what_is_not_run_says_why_and_is_little():
    given = [block for found, _ in READ.values() for block in found if "not run" in block.told]
    reasons = [block.told["not run"].split(":")[0] for block in given]
    unknown = [block.place for block, reason in zip(given, reasons) if reason not in REASONS]
    assert unknown == []
    for reason, most in REASONS.items():
        assert reasons.count(reason) <= most, reason
    run = sum(block.is_run for found, _ in READ.values() for block in found)
    assert len(given) * 3 <= run


@pytest.mark.parametrize("page", RUN)
def test_what_a_page_says_is_typed_runs_and_prints_what_it_says(page):
    missing = set()
    with place() as made:
        reader = Reader(made)
        try:
            for block in READ[page][0]:
                if not block.is_run:
                    continue
                absent = [each for each in block.programs if not is_here(each)]
                missing.update(absent)
                if absent:
                    continue
                for went in reader.block(block):
                    assert not went.fault, (
                        f"{block.place}: {went.typed.command.strip()}\n{went.fault}:\n"
                        f"{went.printed}\nthe page has:\n" + "\n".join(went.typed.expected)
                    )
        finally:
            reader.close()
        assert left(made) == []
    if missing:
        pytest.skip(f"not here: {', '.join(sorted(missing))}; the rest of the page was run")

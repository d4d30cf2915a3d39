"""That what the reference and the explanation state is what the program is."""

import json
import re

import pytest

from spoolq import config
from spoolq.cli import main
from spoolq.cli.settings import spelled
from spoolq.conformance.rules import RULES
from tests.conftest import REPOSITORY

DOCS = REPOSITORY / "docs"


def table(page, heading):
    """Return the rows of the first table below a heading, as lists of cells."""
    section = (DOCS / page).read_text(encoding="utf-8").split(f"## {heading}\n", 1)[1]
    rows = []
    for line in section.splitlines():
        if line.startswith("|"):
            rows.append([cell.strip() for cell in line.strip().strip("|").split(" | ")])
        elif rows:
            break
    return rows[2:]


def test_every_setting_is_documented_in_order_with_its_default():
    told = [(row[0].strip("`"), row[2]) for row in table("configuration.md", "All settings")]
    assert told == [(key, spelled(config.default(key))) for key in config.KEYS]


@pytest.mark.parametrize("row", table("configuration.md", "All settings"), ids=lambda row: row[0])
def test_a_setting_takes_what_its_documented_type_allows_and_nothing_beyond(row):
    key, kind = row[0].strip("`"), row[1]
    ends = re.search(r"([\d.]+) to ([\d.]+)", kind)
    least = re.search(r"from ([\d.]+)", kind)
    for text in ends.groups() if ends else least.groups() if least else ():
        config.from_text(key, text)
    if ends:
        low, high = (float(end) for end in ends.groups())
        for beyond in (low - 0.0005, high + 1):
            with pytest.raises(config.InvalidSetting):
                config.check(key, int(beyond) if beyond.is_integer() else beyond)
    if "none" in kind.split(", ")[-1]:
        assert config.from_text(key, "none") in (None, "none")
    for choice in re.findall(r"`(\w+)`", kind):
        assert config.from_text(key, choice) == choice
    if "true or false" in kind:
        assert [config.from_text(key, text) for text in ("true", "false")] == [True, False]


def test_the_exit_codes_are_those_that_the_program_says_of_itself():
    told = {row[0]: row[1] for row in table("environment.md", "Exit codes")}
    said = main.__doc__.split("\n\n", 1)[1]
    codes = dict(re.findall(r"(?:^|· |\n)(\d+) ([^·\n]+)", said))
    assert codes.keys() == told.keys()


def test_the_variables_that_a_command_is_given_are_documented(spool, run_cli, start_worker):
    run_cli("enqueue", 'env | grep -o "^SPOOLQ_[A-Z_]*"')
    assert start_worker("--drain", ready=False).wait(60) == 0
    given = set(run_cli("logs").stdout.split())
    told = {row[0].strip("`") for row in table("environment.md", "What a job is given")}
    assert given == told


def test_the_variables_that_the_program_reads_are_documented():
    source = "".join(
        path.read_text(encoding="utf-8")
        for path in (REPOSITORY / "spoolq").rglob("*.py")
        if path.name != "demo.py"  # what it looks at, it hands on
    )
    read = set(re.findall(r"""environ(?:ment)?(?:\(\))?(?:\.get\(|\[)["'](\w+)["']""", source))
    told = " ".join(row[0] for row in table("environment.md", "What spoolq reads"))
    assert read - set(re.findall(r"\w+", told)) == set()
    assert "SPOOLQ_SPOOL" in read


def test_the_figures_of_the_explanation_are_those_of_the_benchmarks():
    measured = (DOCS / "benchmarks.md").read_text(encoding="utf-8")
    rows = table("why.md", "What it costs")
    assert len(rows) >= 7
    for what, figure in rows:
        for number in re.findall(r"\d[\d.,]*", figure):
            assert number in measured, f"{what}: {number}"


def test_the_schema_that_the_docs_offer_is_json():
    assert json.loads((DOCS / "job.schema.json").read_text(encoding="utf-8"))["required"]


def test_the_rules_of_a_producer_are_those_that_it_is_checked_by():
    told = {row[0].strip("`"): row[1:3] for row in table("producers.md", "The rules")}
    assert told == {name: [rule.asks, rule.prevents] for name, rule in RULES.items()}
    headings = re.findall(r"^#+ (.+)$", (DOCS / "spool-format.md").read_text("utf-8"), re.MULTILINE)
    assert {rule.stands for rule in RULES.values()} <= set(headings)


def test_every_producer_is_in_the_page_of_producers():
    page = (DOCS / "producers.md").read_text(encoding="utf-8")
    files = [path.name for path in (DOCS / "producers").iterdir()]
    assert len(files) == 6
    assert [name for name in files if f"{{literalinclude}} producers/{name}\n" not in page] == []
